// The table of the selected documents: sorted by a header, one page of rows at a time.

function documentTable(data, chooseTheme) {
  const { topic, text, theme, subtheme, source, sources, position, date, score } = data.documents;
  const table = byId("table");
  const pages = pagedTable(table, row);
  const orders = {};
  let selected = null;
  let sorting = { key: "score", falling: true };
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
    orders[name] ??= orderOf(keys[key](), falling);
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

  function show(mask) {
    selected = mask;
    const order = orderBy(sorting);
    pages.show(mask ? order.filter((i) => mask[i]) : order);
  }

  sortedHeaders(table, sorting, "score", (chosen) => {
    sorting = chosen;
    show(selected);
  });
  if (!date) table.querySelector("thead .when").remove();
  return { show, order: pages.rows };
}
