"use strict";
// Texts of the data only ever become text nodes: nothing here writes HTML.
(() => {
  const PAGE_SIZE = 25;
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const nameless = (value) => value === null || value === undefined;

  function build(tag, attributes = {}, ...children) {
    const svg = ["svg", "rect", "line", "circle", "text", "title"].includes(tag);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const isolated = (text) => build("bdi", {}, text);
  const grouped = (number) => number.toLocaleString("en");
  const percent = (share) => `${100 * share}%`;

  function shown(value, unit) {
    if (nameless(value)) return "–";
    const scaled = unit === "percent" ? 100 * value : value;
    return scaled.toFixed(unit === "ratio" ? 2 : 1).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
  }

  const edgeLabel = (value, unit) => shown(value, unit).replace(/\.0+$/, "");

  function fill(select, options) {
    select.replaceChildren(...options.map(([value, label]) => build("option", { value, dir: "auto" }, label)));
  }

  // Tables

  function sortValue(cell) {
    if (!cell.classList.contains("number")) return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }

  function sortTable(table, header) {
    const headers = [...header.parentElement.cells];
    const column = headers.indexOf(header);
    const first = header.classList.contains("number") ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const direction = header.getAttribute("aria-sort") === first ? second : first;
    for (const other of headers) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [sortValue(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what was not measured stands last either way
      return sign * (a < b ? -1 : a > b ? 1 : 0);
    });
    body.append(...rows.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const button of table.querySelectorAll("thead button")) {
      button.addEventListener("click", () => sortTable(table, button.parentElement));
    }
  }

  // Distributions

  function ticks(low, high) {
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
    return found;
  }

  function scaleOf(intervals) {
    const ends = intervals.flatMap((found) => [found.mean, found.low ?? found.mean, found.high ?? found.mean]);
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    const margin = (high - low || Math.abs(high) || 1) * 0.06;
    return { low: low - margin, high: high + margin };
  }

  function intervalPicture(found, scale, unit) {
    const at = (value) => percent((value - scale.low) / (scale.high - scale.low));
    const label = `mean ${shown(found.mean, unit)}, interval ${shown(found.low, unit)} to ${shown(found.high, unit)}`;
    const svg = build("svg", { role: "img", "aria-label": `${found.name}: ${label}` });
    for (const tick of ticks(scale.low, scale.high)) {
      svg.append(build("line", { class: "grid", x1: at(tick), x2: at(tick), y1: "0", y2: "100%" }));
    }
    if (!nameless(found.low) && !nameless(found.high)) {
      svg.append(build("line", { class: "whisker", x1: at(found.low), x2: at(found.high), y1: "50%", y2: "50%" }));
      for (const end of [found.low, found.high]) {
        svg.append(build("line", { class: "whisker", x1: at(end), x2: at(end), y1: "35%", y2: "65%" }));
      }
    }
    svg.append(build("circle", { cx: at(found.mean), cy: "50%", r: 4.5 }));
    return svg;
  }

  function drawIntervals(chart) {
    const scale = scaleOf(chart.intervals);
    const parts = chart.intervals.flatMap((found) => {
      const ends = `[${shown(found.low, chart.unit)}, ${shown(found.high, chart.unit)}]`;
      const amount = build("span", { class: "amount" }, shown(found.mean, chart.unit), " ");
      amount.append(build("span", { class: "interval" }, ends));
      return [isolated(found.name), intervalPicture(found, scale, chart.unit), amount];
    });
    const axis = build("svg", { "aria-hidden": "true" });
    for (const tick of chart.intervals.length ? ticks(scale.low, scale.high) : []) {
      const x = percent((tick - scale.low) / (scale.high - scale.low));
      axis.append(build("text", { x, y: "1rem", "text-anchor": "middle" }, edgeLabel(tick, chart.unit)));
    }
    parts.push(build("span"), axis, build("span"));
    if (!chart.intervals.length) parts.splice(0, 3, build("span", { class: "note" }, "No system has a mean of it."));
    byId("intervals").replaceChildren(...parts);
  }

  function histogram(found, chart, highest) {
    const total = found.counts.reduce((sum, count) => sum + count, 0);
    const bins = found.counts.length;
    const edge = (bin) => edgeLabel(chart.low + (bin * (chart.high - chart.low)) / bins, chart.unit);
    const share = (count) => `${((100 * count) / total).toFixed(0)} %`;
    const peak = found.counts.indexOf(Math.max(...found.counts));
    const summary =
      `${chart.label} of ${found.name}: ${grouped(total)} documents from ${edge(0)} to ${edge(bins)}. ` +
      `Most, ${share(found.counts[peak])}, lie from ${edge(peak)} to ${edge(peak + 1)}; ` +
      `${share(found.counts[0])} in the lowest of ${bins} bins, ${share(found.counts[bins - 1])} in the highest.`;
    const svg = build("svg", { role: "img", "aria-label": summary });
    found.counts.forEach((count, bin) => {
      const height = count / highest;
      const place = { x: percent((bin + 0.06) / bins), width: percent(0.88 / bins) };
      const bar = build("rect", { ...place, y: percent(1 - height), height: percent(height) });
      bar.append(build("title", {}, `${edge(bin)} to ${edge(bin + 1)}: ${grouped(count)} documents, ${share(count)}`));
      svg.append(bar);
    });
    const caption = build("figcaption", {}, isolated(found.name));
    caption.append(build("span", { class: "note" }, `${grouped(total)} documents`));
    const ends = build("div", { class: "ends note" });
    ends.append(...[0, bins / 2, bins].map((bin) => build("span", {}, edge(bin))));
    return build("figure", {}, caption, svg, ends);
  }

  function drawCharts() {
    const chart = data.charts.find((candidate) => candidate.key === byId("chart-metric").value);
    if (!chart) return;
    drawIntervals(chart);
    const highest = Math.max(...chart.histograms.flatMap((found) => found.counts)); // one height scale for all systems
    const figures = chart.histograms.map((found) => histogram(found, chart, highest));
    const none = build("p", { class: "note" }, "Measured on the whole collection only, not for each document.");
    byId("histograms").replaceChildren(...(figures.length ? figures : [none]));
  }

  // Documents

  let limit = PAGE_SIZE;
  const searchable = data.documents.map(({ text }, i) =>
    [text, ...data.systems.map((system) => system.topics[i] ?? "")].join("\n").toLowerCase(),
  );
  const chosen = () => data.systems[Number(byId("system").value)];
  const metric = () => data.metrics[Number(byId("metric").value)];
  const scoreOf = (system, i, key = metric()?.key) => system?.scores[key]?.[i] ?? null;

  function isExact(system, i) {
    if (system.scores.exact) return system.scores.exact[i] === 1;
    const plain = (text) => (text ?? "").trim().toLowerCase();
    return data.documents[i].references.some((reference) => plain(reference) === plain(system.topics[i]));
  }

  function passes(i) {
    const system = chosen();
    const category = byId("category")?.value;
    if (category && data.documents[i].category !== category) return false;
    if (byId("exact").checked && !(system && isExact(system, i))) return false;
    if (byId("zero").checked && scoreOf(system, i) !== 0) return false;
    if (byId("unsupported").checked && !((scoreOf(system, i, "supported") ?? 1) < 1)) return false;
    return searchable[i].includes(byId("search").value.trim().toLowerCase());
  }

  function difference(i) {
    const scores = [chosen(), data.systems[Number(byId("other").value)]].map((system) => scoreOf(system, i));
    return scores.includes(null) ? null : Math.abs(scores[0] - scores[1]);
  }

  function filtered() {
    const found = [...data.documents.keys()].filter(passes);
    const order = byId("order").value;
    if (order === "data") return found;
    const rank = order === "difference" ? difference : (i) => scoreOf(chosen(), i);
    const rising = (order === "worst") !== (metric()?.higher_is_better === false) && order !== "difference";
    const ranked = found.map((i) => [rank(i), i]);
    ranked.sort(([a, i], [b, j]) => {
      if (a === null || b === null) return (a === null) - (b === null) || i - j;
      return (rising ? a - b : b - a) || i - j;
    });
    return ranked.map(([, i]) => i);
  }

  function topicRow(system, i) {
    const topic = system.topics[i];
    const score = scoreOf(system, i);
    const cell = build("td", {}, shown(score, metric()?.unit));
    if (score !== null && metric().unit === "percent") {
      const bar = build("i");
      bar.style.width = percent(Math.min(1, Math.max(0, score)));
      cell.append(build("span", { class: "meter", "aria-hidden": "true" }, bar));
    }
    const row = build("tr", system === chosen() ? { class: "chosen" } : {});
    row.append(build("th", { scope: "row" }, isolated(system.name)));
    row.append(build("td", { dir: "auto" }, nameless(topic) || topic === "" ? "–" : topic), cell);
    return row;
  }

  function textBlock(text) {
    const paragraph = build("p", { class: "text", dir: "auto" }, text);
    if (text.length < 400 && text.split("\n").length < 6) return [paragraph];
    paragraph.classList.add("folded");
    const button = build("button", { type: "button", class: "unfold", "aria-expanded": "false" }, "Show all");
    button.addEventListener("click", () => {
      const folded = paragraph.classList.toggle("folded");
      button.setAttribute("aria-expanded", String(!folded));
      button.textContent = folded ? "Show all" : "Show less";
    });
    return [paragraph, button];
  }

  function documentRow(i) {
    const found = data.documents[i];
    const about = build("p", { class: "about" }, isolated(found.id));
    if (found.category) about.append(isolated(found.category));
    if (byId("order").value === "difference") about.append(`difference ${shown(difference(i), metric()?.unit)}`);
    const table = build("table", { class: "topics" });
    for (const reference of found.references) {
      const row = build("tr", { class: "reference" }, build("th", { scope: "row" }, "Reference"));
      row.append(build("td", { dir: "auto" }, reference), build("td"));
      table.append(row);
    }
    table.append(...data.systems.map((system) => topicRow(system, i)));
    return build("li", {}, build("div", {}, about, ...textBlock(found.text)), table);
  }

  function show() {
    byId("other-field").hidden = byId("order").value !== "difference";
    byId("unsupported").disabled = !chosen()?.scores.supported;
    if (byId("unsupported").disabled) byId("unsupported").checked = false;
    const found = filtered();
    const visible = found.slice(0, limit);
    byId("rows").replaceChildren(...visible.map(documentRow));
    byId("status").textContent = found.length
      ? `Showing ${grouped(visible.length)} of ${grouped(found.length)} documents` +
        (metric() ? `; scores are ${metric().label}` : "")
      : "No document fits these filters.";
    byId("more").hidden = found.length <= limit;
    byId("download").disabled = !found.length;
  }

  function restart() {
    limit = PAGE_SIZE;
    show();
  }

  // A spreadsheet runs a cell that starts like a formula; an apostrophe makes it text.
  function csvCell(value) {
    if (nameless(value)) return "";
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function download() {
    const keys = data.metrics.map((about) => about.key);
    const columns = data.systems.flatMap(({ name }) => [`${name} topic`, ...keys.map((key) => `${name} ${key}`)]);
    const lines = [["id", "category", "text", "references", ...columns]];
    for (const i of filtered()) {
      const found = data.documents[i];
      const values = data.systems.flatMap((system) => [system.topics[i], ...keys.map((key) => scoreOf(system, i, key))]);
      lines.push([found.id, found.category, found.text, found.references.join(" | "), ...values]);
    }
    const text = lines.map((line) => line.map(csvCell).join(",") + "\r\n").join("");
    const address = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
    build("a", { href: address, download: "documents.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser reads it after the click
  }

  fill(byId("chart-metric"), data.charts.map((chart) => [chart.key, chart.label]));
  fill(byId("metric"), data.metrics.map((about, i) => [i, about.label]));
  for (const id of ["system", "other"]) fill(byId(id), data.systems.map((system, i) => [i, system.name]));
  if (data.systems.length > 1) byId("other").value = "1";
  else byId("order").querySelector("[value=difference]").remove();
  byId("chart-metric").addEventListener("change", drawCharts);
  byId("controls").addEventListener("input", restart);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("download").addEventListener("click", download);
  byId("more").addEventListener("click", () => {
    limit += PAGE_SIZE;
    show();
    const next = byId("rows").children[limit - PAGE_SIZE];
    next.tabIndex = -1; // else the keyboard's place is lost when the button goes
    next.focus({ preventScroll: true });
  });
  drawCharts();
  show();
})();
