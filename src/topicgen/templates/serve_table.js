// The table of topics: what is searched for and chosen, its order, and the downloads of just these rows.

import { saveRows } from "./serve_downloads.js";

const SHOWN_CHARACTERS = 280;
const STATUSES = { ok: "ok", empty: "empty", truncated: "end not read", failed: "failed" };

export function topicTable(fail) {
  const table = byId("table");
  const pages = pagedTable(table, row);
  const selection = { theme: -1, subtheme: -1, status: "", words: [] };
  let job = { rows: [], written: 0, themes: null };
  let view = null; // the map and the legend
  let sorting = { key: "position", falling: false };
  const keys = {
    position: (found) => found.map((_, i) => i),
    topic: (found) => found.map((one) => one.topic.toLowerCase() || null),
    theme: (found) => found.map((one) => job.themes?.themes[one.theme]?.name.toLowerCase() ?? null),
    score: (found) => found.map((one) => one.score),
  };

  function passes({ theme, subtheme, status, topic, text }) {
    if (selection.theme >= 0 && theme !== selection.theme) return false;
    if (selection.subtheme >= 0 && subtheme !== selection.subtheme) return false;
    if (selection.status && status !== selection.status) return false;
    if (!selection.words.length) return true;
    const searched = `${topic}\n${text}`.toLowerCase();
    return selection.words.every((word) => searched.includes(word));
  }

  const selecting = () => selection.theme >= 0 || selection.status !== "" || selection.words.length > 0;

  function update(stay = false) {
    const written = job.rows.slice(0, job.written);
    const kept = selecting() ? written.map(passes) : null;
    const order = orderOf(keys[sorting.key](written), sorting.falling);
    const found = kept ? order.filter((i) => kept[i]) : order;
    pages.show(found, stay);
    view?.show(kept && job.themes.members.map((i) => kept[i]), selection.theme, selection.subtheme);
    byId("theme").value = selection.theme;
    setStatuses(written);
    describe(found.length, written.length);
  }

  function describe(number, of) {
    const parts = [build("b", {}, grouped(number)), selecting() ? ` of ${grouped(of)}` : "", of === 1 ? " topic" : " topics"];
    if (selection.theme >= 0) parts.push(": ", isolated(job.themes.themes[selection.theme].name));
    if (selection.subtheme >= 0) parts.push(" · ", isolated(job.themes.subthemes[selection.subtheme].name));
    if (selecting()) byId("status").replaceChildren(...parts);
    else byId("status").replaceChildren(); // the progress is told elsewhere
    byId("downloads-title").textContent = `Download ${grouped(number)}`;
    for (const name of ["csv", "jsonl", "parquet"]) byId(name).disabled = !number;
    byId("clear").disabled = !selecting();
  }

  function setStatuses(written) {
    const there = Object.keys(STATUSES).filter((status) => written.some((one) => one.status === status));
    const select = byId("by-status");
    byId("status-field").hidden = there.length < 2 && !selection.status;
    if (select.options.length === there.length + 1) return;
    const options = there.map((status) => build("option", { value: status }, STATUSES[status]));
    select.replaceChildren(select.options[0], ...options);
    select.value = selection.status;
  }

  function row(i) {
    const { topic, text, status, score, theme, subtheme, position } = job.rows[i];
    const badge = status === "ok" ? [] : [" ", build("span", { class: "badge" }, STATUSES[status])];
    const what = build("td", { class: "what" }, build("p", { class: "topic" }, isolated(topic || "–"), ...badge));
    if (text) what.append(textOf(text));
    const of = build("td", { class: "of" });
    of.hidden = !job.themes;
    const found = job.themes?.themes[theme];
    if (found) {
      const button = build("button", { type: "button", title: "Choose this theme" }, swatch(found.colour), isolated(found.name));
      button.addEventListener("click", () => chooseTheme(theme, -1));
      const sub = job.themes.subthemes[subtheme];
      of.append(button, ...(sub && sub.name !== found.name ? [build("p", { class: "note" }, isolated(sub.name))] : []));
    } else of.append("–");
    const number = build("td", { class: "number" }, score === null ? "–" : score.toFixed(2));
    return build("tr", {}, build("td", { class: "position" }, grouped(position)), what, of, number);
  }

  function textOf(text) {
    if (text.length <= SHOWN_CHARACTERS) return build("p", { class: "text", dir: "auto" }, text);
    const short = `${text.slice(0, SHOWN_CHARACTERS).replace(/[\uD800-\uDBFF]$/, "").trimEnd()}…`;
    const summary = build("summary", { dir: "auto" }, short);
    const made = build("details", { class: "text" }, summary);
    made.addEventListener("toggle", () => (summary.textContent = made.open ? text : short));
    return made;
  }

  function chooseTheme(chosen, sub, toggle = false) {
    const again = toggle && chosen === selection.theme && sub === selection.subtheme;
    selection.subtheme = again ? -1 : sub;
    selection.theme = again && sub < 0 ? -1 : chosen;
    update();
  }

  function clear() {
    byId("search").value = "";
    byId("by-status").value = "";
    Object.assign(selection, { theme: -1, subtheme: -1, status: "", words: [] });
  }

  async function download(kind) {
    const buttons = byId("controls").querySelectorAll(".downloads button");
    for (const button of buttons) button.setAttribute("aria-busy", "true");
    try {
      await saveRows(job, pages.rows().map((i) => job.rows[i]))[kind]();
      if (pages.rows().length === job.written) job.saved = job.written;
      fail(null);
    } catch (error) {
      fail(error);
    } finally {
      for (const button of buttons) button.removeAttribute("aria-busy");
    }
  }

  sortedHeaders(table, sorting, "score", (chosen) => {
    sorting = chosen;
    update();
  });
  let typing = 0;
  byId("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      selection.words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
      update();
    }, job.written > 5000 ? 250 : 50);
  });
  byId("theme").addEventListener("change", (event) => chooseTheme(Number(event.target.value), -1));
  byId("by-status").addEventListener("change", (event) => {
    selection.status = event.target.value;
    update();
  });
  byId("clear").addEventListener("click", () => {
    clear();
    update();
    byId("search").focus();
  });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const kind of ["csv", "jsonl", "parquet"]) byId(kind).addEventListener("click", () => download(kind));

  return {
    open(opened) {
      job = opened;
      this.setView(null);
    },
    grow: () => update(true),
    setView(shown) {
      view = shown;
      clear();
      const themes = job.themes?.themes ?? [];
      byId("theme").replaceChildren(byId("theme").options[0], ...themes.map(({ name, size }, i) => build("option", { value: i, dir: "auto" }, `${name} (${grouped(size)})`)));
      byId("theme-field").hidden = table.tHead.querySelector(".of").hidden = !view;
      update();
    },
    chooseTheme,
  };
}
