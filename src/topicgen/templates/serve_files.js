// The form: pasted text or a file, how to read it, and its documents as the server's reader gives them.

import { ask, askJson, askLines, Failure, query } from "./serve_api.js";

const BEGINNING = 4 << 20; // bytes of a file that are enough for its columns and first rows
const PASTED = "pasted.txt";

// Calls `begin` with the chosen texts, and `fail` with what went wrong.
export function inputForm(begin, fail) {
  const form = byId("input");
  let file = null;
  let asked = 0;
  let isExample = false;

  function reading() {
    const [table, unit] = [!byId("column-field").hidden, byId("unit").value];
    return {
      name: file ? file.name : isExample ? "example.txt" : PASTED,
      unit: table ? "" : unit,
      encoding: file ? byId("encoding").value : "",
      delimiter: table ? byId("delimiter").value : "",
      column: table ? byId("column").value : "",
      id_column: table ? byId("id-column").value : "",
      keep: table && byId("keep").checked ? "true" : "",
    };
  }

  async function take(given) {
    file = given;
    byId("paste").hidden = Boolean(file);
    byId("file").hidden = !file;
    byId("chosen-file").value = "";
    for (const name of ["encoding", "delimiter"]) byId(name).value = "";
    showPreview(null);
    fail(null);
    byId("start").disabled = false;
    asked++;
    if (!file) return byId("text").focus();
    byId("file-name").textContent = file.name;
    byId("file-size").textContent = sizeText(file.size);
    byId("file-name").focus();
    return look();
  }

  // Shows how the file would be read; an answer that comes after a later question is passed over.
  async function look() {
    const number = ++asked;
    byId("start").disabled = true;
    try {
      const { name, encoding, delimiter } = reading();
      const body = /\.parquet$/i.test(name) ? file : await beginning(file);
      const found = await askJson(`page/preview${query({ name, encoding, delimiter })}`, { method: "POST", body });
      if (number !== asked) return;
      showPreview(found);
      fail(null);
      byId("start").disabled = false;
    } catch (error) {
      if (number !== asked) return;
      byId("encoding-field").hidden = false;
      fail(error);
    }
  }

  // Without a preview, nothing is known of the file yet; pasted text needs none.
  function showPreview(found) {
    const table = found !== null && found.format !== "text";
    for (const name of ["column", "id", "keep"]) byId(`${name}-field`).hidden = !table;
    byId("delimiter-field").hidden = !["csv", "tsv"].includes(found?.format);
    byId("encoding-field").hidden = !found || found.format === "parquet";
    byId("unit-field").hidden = file ? found?.format !== "text" : false;
    byId("keep-field").hidden = !table || found.columns.length < 2;
    byId("preview").replaceChildren();
    if (!found) return;
    if (found.delimiter) byId("delimiter").value = found.delimiter;
    if (table) fillColumns(found);
    drawPreview(found);
  }

  function fillColumns({ columns, text, id }) {
    const options = columns.map((name) => build("option", { value: name }, name));
    const ask = build("option", { value: "", disabled: "", selected: "" }, "Choose…");
    byId("column").replaceChildren(ask, ...options);
    byId("column").value = text ?? "";
    byId("id-column").replaceChildren(build("option", { value: "" }, "none"), ...options.map((option) => option.cloneNode(true)));
    byId("id-column").value = id ?? "";
  }

  function drawPreview({ columns, rows }) {
    const cells = (row) => row.map((text) => build("td", { dir: "auto" }, text));
    const body = build("tbody", {}, ...rows.map((row) => build("tr", {}, ...cells(row))));
    const head = columns.map((name) => build("th", { scope: "col" }, isolated(name)));
    const made = build("table", { class: "plain" }, ...(columns.length ? [build("thead", {}, build("tr", {}, ...head))] : []), body);
    byId("preview").replaceChildren(...(rows.length ? [made] : [build("p", { class: "note" }, "No rows were found.")]));
    markColumn();
  }

  function markColumn() {
    const at = byId("column").selectedIndex - 1;
    for (const row of byId("preview").querySelectorAll("tr")) {
      [...row.cells].forEach((one, i) => one.classList.toggle("chosen-column", i === at && !byId("column-field").hidden));
    }
  }

  async function submit(event) {
    event.preventDefault();
    if (!file && !byId("text").value.trim()) return refuse("text", "Paste some text or choose a file first.");
    if (file && !byId("column-field").hidden && !byId("column").value) return refuse("column", "Choose the column that holds the texts.");
    const { name } = reading();
    const body = file ?? new Blob([byId("text").value]);
    return begin({ name, model: byId("model").value, example: isExample, read: (signal, grown) => readDocuments(reading(), body, signal, grown) });
  }

  function refuse(field, message) {
    fail(new Failure(message));
    byId(field).focus();
  }

  async function example() {
    try {
      const text = await (await ask("page/example.txt")).text();
      await take(null);
      byId("unit").value = "paragraph";
      byId("text").value = text;
      isExample = true;
      form.requestSubmit();
    } catch (error) {
      fail(error);
    }
  }

  form.addEventListener("submit", submit);
  byId("example").addEventListener("click", example);
  byId("choose").addEventListener("click", () => byId("chosen-file").click());
  byId("chosen-file").addEventListener("change", (event) => event.target.files[0] && take(event.target.files[0]));
  byId("remove").addEventListener("click", () => take(null));
  byId("text").addEventListener("input", () => (isExample = false));
  byId("column").addEventListener("change", markColumn);
  for (const name of ["encoding", "delimiter"]) byId(name).addEventListener("change", look);
  acceptDrops((dropped) => !form.hidden && take(dropped));
}

async function readDocuments({ ...parameters }, body, signal, grown) {
  const found = { fields: [], rows: [], problems: [] };
  for await (const lines of askLines(`page/documents${query(parameters)}`, { method: "POST", body, signal })) {
    for (const line of lines) {
      if (line.error) throw new Failure(line.error.message, { status: 422 });
      if (line.fields) found.fields = line.fields;
      else if (line.problems) found.problems = line.problems;
      else found.rows.push({ ...line, topic: "", score: null, status: "", theme: -1, subtheme: -1 });
    }
    grown(found.rows.length);
  }
  return found;
}

// The whole page takes a dropped file: a browser would leave the page for one that misses its place.
function acceptDrops(take) {
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(depth + change, 0);
    document.body.classList.toggle("dropping", depth > 0);
  };
  const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => holdsFile(event) && mark(1));
  addEventListener("dragleave", (event) => holdsFile(event) && mark(-1));
  addEventListener("dragover", (event) => holdsFile(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    mark(-Infinity);
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}

// Not through the middle of a character, where it can be helped.
async function beginning(file) {
  if (file.size <= BEGINNING) return file;
  const bytes = new Uint8Array(await file.slice(0, BEGINNING).arrayBuffer());
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] >= 0x80) end--;
  return bytes.subarray(0, end || bytes.length);
}

function sizeText(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
