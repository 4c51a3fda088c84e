// One selection for the whole page: theme, sub-theme, period and search. Everything shows the same documents.

(() => {
  const data = JSON.parse(byId("data").textContent);
  byId("data").remove(); // its text would stay in memory a second time
  const { id, topic, text, theme, subtheme, source, sources, position, date, period, score } = data.documents;
  const count = topic.length;
  const selection = { theme: -1, subtheme: -1, period: -1, words: [] };
  let searchable = null;

  // Choosing what is chosen already shows everything again.
  function chooseTheme(chosen, sub, toggle = false) {
    const again = toggle && chosen === selection.theme && sub === selection.subtheme;
    selection.subtheme = again ? -1 : sub;
    selection.theme = again && sub < 0 ? -1 : chosen;
    update();
  }

  function choosePeriod(chosen, within) {
    Object.assign(selection, { period: period ? chosen : -1, theme: within, subtheme: -1 });
    update();
  }

  function passes(i) {
    if (selection.theme >= 0 && theme[i] !== selection.theme) return false;
    if (selection.subtheme >= 0 && subtheme[i] !== selection.subtheme) return false;
    if (selection.period >= 0 && period[i] !== selection.period) return false;
    return selection.words.every((word) => searchable[i].includes(word));
  }

  function selected() {
    if (selection.theme < 0 && selection.period < 0 && !selection.words.length) return null;
    if (selection.words.length) {
      searchable ??= topic.map((found, i) => `${found}\n${text[i] ?? ""}\n${id[i]}\n${sources[source[i]]}`.toLowerCase());
    }
    const mask = new Uint8Array(count);
    for (let i = 0; i < count; i++) mask[i] = passes(i) ? 1 : 0;
    return mask;
  }

  function describe(mask) {
    const number = mask ? mask.reduce((sum, one) => sum + one, 0) : count;
    const parts = [];
    if (selection.theme >= 0) parts.push(isolated(data.themes[selection.theme].name));
    if (selection.subtheme >= 0) parts.push(isolated(data.subthemes[selection.subtheme].name));
    if (selection.period >= 0) parts.push(isolated(data.trends.periods[selection.period]));
    if (selection.words.length) parts.push(build("span", {}, "“", isolated(byId("search").value.trim()), "”"));
    const status = byId("status");
    status.replaceChildren(build("b", {}, grouped(number)), mask ? ` of ${counted(count)}` : ` document${count === 1 ? "" : "s"}, all shown`);
    parts.forEach((part, i) => status.append(i ? " · " : ": ", part));
    byId("download").disabled = !number;
    byId("clear").disabled = !mask;
  }

  function fill(select, options) {
    const all = select.options[0];
    select.replaceChildren(all, ...options.map(([value, label]) => build("option", { value, dir: "auto" }, label)));
  }

  function setFields() {
    byId("theme").value = selection.theme;
    if (byId("period")) byId("period").value = selection.period;
    if (!byId("subtheme")) return;
    const within = data.subthemes.map((found, i) => [i, found]).filter(([, found]) => found.parent === selection.theme);
    fill(byId("subtheme"), within.map(([i, found]) => [i, `${found.name} (${grouped(found.size)})`]));
    byId("subtheme").value = selection.subtheme;
    byId("subtheme").disabled = !within.length;
  }

  function update() {
    const mask = selected();
    setFields();
    describe(mask);
    map.show(mask, selection.theme, selection.subtheme);
    legend.show(selection.theme, selection.subtheme);
    boxes.show(selection.theme, selection.subtheme);
    trends?.show(selection.theme);
    table.show(mask);
  }

  function download() {
    const head = ["id", "topic", "theme_id", "theme", "subtheme_id", "subtheme", "date", "fit", "source", "position", "text"];
    const lines = table.order().map((i) => {
      const [of, sub] = [data.themes[theme[i]], data.subthemes[subtheme[i]]];
      return [id[i], topic[i], of?.id, of?.name, sub?.id, sub?.name, date?.[i], score[i], sources[source[i]], position[i], text[i]];
    });
    saveCsv("documents.csv", [head, ...lines]);
  }

  const map = themeMap(data, chooseTheme);
  const legend = themeLegend(data, chooseTheme);
  const boxes = themeBoxes(data, chooseTheme);
  const trends = data.trends && trendCards(data, chooseTheme, choosePeriod);
  const table = documentTable(data, chooseTheme);

  fill(byId("theme"), data.themes.map((found, i) => [i, `${found.name} (${grouped(found.size)})`]));
  if (byId("period")) fill(byId("period"), data.trends.periods.map((name, i) => [i, name]));
  byId("theme").addEventListener("change", (event) => chooseTheme(Number(event.target.value), -1));
  byId("subtheme")?.addEventListener("change", (event) => chooseTheme(selection.theme, Number(event.target.value)));
  byId("period")?.addEventListener("change", (event) => {
    selection.period = Number(event.target.value);
    update();
  });
  let typing = 0;
  byId("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      selection.words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
      update();
    }, count > 5000 ? 200 : 40);
  });
  byId("clear").addEventListener("click", () => {
    byId("search").value = "";
    Object.assign(selection, { theme: -1, subtheme: -1, period: -1, words: [] });
    update();
    byId("search").focus();
  });
  byId("download").addEventListener("click", download);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  update();
})();
