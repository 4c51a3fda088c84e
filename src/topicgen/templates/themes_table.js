// The table of the selected documents: sorted by a header, one page of rows at a time.

function documentTable(data, chooseTheme) {
  const ROWS = 25;
  const { topic, text, theme, subtheme, source, sources, position, date, score } = data.documents;
  const count = topic.length;
  const table = byId("table");
  const orders = {};
  let selected = null;
  let found = [];
  let sorting = { key: "score", falling: true };
  let page = 0;
  const plain = (values) => values.map((value) => value.toLowerCase());
  const keys = {
    topic: () => plain(topic),
    theme: () => theme.map((i) => (i < 0 ? "\uffff" : data.themes[i].name.toLowerCase())),
    date: () => date,
    source: () => {
      const order = new Map(sources.map((name, i) => [i, name]).sort(([, a], [, b]) => (a < b ? -1 : 1)).map(([i], rank) => [i, rank]));
      return source.map((i, at) => order.get(i) * 2 ** 40 + position[at]);
    },
    score: () => score,
  };

  // A page of one collection sorts the same column again and again: the order of all documents is kept.
  function orderBy({ key, falling }) {
    const name = `${key} ${falling}`;
    if (!orders[name]) {
      const values = keys[key]();
      const sign = falling ? -1 : 1;
      orders[name] = [...topic.keys()].sort((i, j) => {
        const [a, b] = [values[i], values[j]];
        if (a === null || b === null) return (a === null) - (b === null) || i - j; // what has no date stands last either way
        return (a < b ? -sign : a > b ? sign : 0) || i - j;
      });
    }
    return orders[name];
  }

  function where(i) {
    const name = sources[source[i]];
    const label = build("bdi", {}, name);
    const linked = /^https?:\/\//i.test(name);
    const made = linked ? build("a", { href: name, rel: "noreferrer noopener", target: "_blank" }, label) : label;
    return [made, build("span", { class: "note" }, `${name ? ", " : ""}${grouped(position[i])}`)];
  }

  function row(i) {
    const what = build("td", { class: "what" }, build("p", { class: "topic", dir: "auto" }, topic[i] || "–"));
    if (text[i]) what.append(build("p", { class: "text", dir: "auto" }, text[i]));
    const of = build("td", { class: "of" });
    if (theme[i] >= 0) {
      const button = build("button", { type: "button", title: "Choose this theme" }, swatch(data.themes[theme[i]].colour), isolated(data.themes[theme[i]].name));
      button.addEventListener("click", () => chooseTheme(theme[i], -1));
      of.append(button);
      const sub = data.subthemes[subtheme[i]];
      if (sub) of.append(build("p", { class: "note" }, isolated(sub.name)));
    } else of.append("–");
    const made = build("tr", {}, what, of);
    if (date) made.append(build("td", { class: "when" }, date[i] ?? "–"));
    made.append(build("td", { class: "where" }, ...where(i)), build("td", { class: "number" }, score[i].toFixed(2)));
    return made;
  }

  function draw() {
    const last = Math.max(Math.ceil(found.length / ROWS) - 1, 0);
    page = clamp(page, 0, last);
    table.tBodies[0].replaceChildren(...found.slice(page * ROWS, (page + 1) * ROWS).map(row));
    byId("page").value = page + 1;
    byId("page").max = last + 1;
    byId("pages").textContent = `of ${grouped(last + 1)}`;
    byId("first").disabled = byId("previous").disabled = page === 0;
    byId("next").disabled = byId("last").disabled = page === last;
  }

  function show(mask) {
    selected = mask;
    const order = orderBy(sorting);
    found = mask ? order.filter((i) => mask[i]) : order;
    page = 0;
    draw();
  }

  function turn(to) {
    page = to;
    draw();
    if (table.getBoundingClientRect().top < 0) table.scrollIntoView();
  }

  const headers = [...table.tHead.rows[0].cells];
  for (const header of headers) {
    const button = header.querySelector("button");
    const { key } = button.dataset;
    button.addEventListener("click", () => {
      sorting = { key, falling: sorting.key === key ? !sorting.falling : key === "score" };
      for (const other of headers) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", sorting.falling ? "descending" : "ascending");
      show(selected);
    });
  }
  if (!date) table.querySelector("thead .when").remove();
  byId("first").addEventListener("click", () => turn(0));
  byId("previous").addEventListener("click", () => turn(page - 1));
  byId("next").addEventListener("click", () => turn(page + 1));
  byId("last").addEventListener("click", () => turn(Math.ceil(count / ROWS)));
  byId("page").addEventListener("change", (event) => turn((Math.round(Number(event.target.value)) || 1) - 1));
  return { show, order: () => found };
}
