// Pictures of the themes: the legend, boxes whose area is a size, and lines over time. Each is made of buttons.

function themeLegend(data, chooseTheme) {
  const legend = byId("legend");
  const largest = Math.max(1, ...data.themes.map((found) => found.size));
  const line = (found, extra, choose) => {
    const amount = build("span", { class: "amount" }, grouped(found.size));
    const button = build("button", { type: "button", "aria-pressed": "false", title: found.topics.slice(0, 5).join("; ") });
    button.append(...extra, build("bdi", { class: "label" }, found.name), amount);
    button.addEventListener("click", choose);
    return button;
  };
  const themes = data.themes.map((found, i) => {
    const button = line(found, [swatch(found.colour)], () => chooseTheme(i, -1, true));
    const bar = build("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${(100 * found.size) / largest}%`;
    bar.style.background = `var(--c${found.colour})`;
    button.append(bar, build("span", { class: "spoken" }, ` documents, ${shareText(found.share)}`));
    return { button, item: build("li", {}, button), within: build("ul", { hidden: "" }) };
  });
  const subthemes = data.subthemes.map((found, i) => {
    const button = line(found, [], () => chooseTheme(found.parent, i, true));
    themes[found.parent].within.append(build("li", {}, button));
    return button;
  });
  for (const { item, within } of themes) if (within.children.length > 1) item.append(within);
  legend.append(...themes.map(({ item }) => item));
  const tab = rove(legend);
  tab();
  return {
    show(theme, subtheme) {
      themes.forEach(({ button, within }, i) => {
        button.setAttribute("aria-pressed", String(i === theme));
        within.hidden = i !== theme;
      });
      subthemes.forEach((button, i) => button.setAttribute("aria-pressed", String(i === subtheme)));
      if (theme < 0 || legend.contains(document.activeElement)) return;
      tab();
      const [top, high] = [themes[theme].item.offsetTop - legend.offsetTop, legend.clientHeight];
      if (top < legend.scrollTop || top > legend.scrollTop + high - 60) legend.scrollTop = top - high / 3;
    },
  };
}

// Squarified treemap: Bruls, Huizing, van Wijk (2000). Sizes fall; each gets a rectangle [left, top, width, height].
function rectangles(sizes, [left, top, width, height]) {
  const found = [];
  let [rest, at] = [sizes.reduce((sum, value) => sum + value, 0), 0];
  while (at < sizes.length && rest > 0) {
    const side = Math.min(width, height);
    const area = (width * height) / rest;
    let [sum, worst, end] = [0, Infinity, at];
    while (end < sizes.length) {
      const more = (sum + sizes[end]) * area;
      const [largest, smallest] = [sizes[at] * area, sizes[end] * area];
      const shape = Math.max((side * side * largest) / (more * more), (more * more) / (side * side * smallest));
      if (shape > worst) break;
      [sum, worst, end] = [sum + sizes[end], shape, end + 1];
    }
    const thick = side > 0 ? (sum * area) / side : 0;
    let along = 0;
    for (let i = at; i < end; i++) {
      const long = (side * sizes[i]) / sum;
      found.push(width >= height ? [left, top + along, thick, long] : [left + along, top, long, thick]);
      along += long;
    }
    if (width >= height) [left, width] = [left + thick, width - thick];
    else [top, height] = [top + thick, height - thick];
    [rest, at] = [rest - sum, end];
  }
  while (found.length < sizes.length) found.push([left, top, 0, 0]);
  return found;
}

function themeBoxes(data, chooseTheme) {
  const boxes = byId("boxes");
  const HEAD = 24;
  const subsOf = data.themes.map(() => []);
  data.subthemes.forEach((found, i) => found.size && subsOf[found.parent].push(i));
  const place = (element, [left, top, width, height], gap) => {
    element.hidden = width < 3 || height < 3;
    Object.assign(element.style, { left: `${left}px`, top: `${top}px`, width: `${Math.max(width - gap, 0)}px`, height: `${Math.max(height - gap, 0)}px` });
    element.classList.remove("bare", "line", "tiny");
    element.classList.toggle("small", width < 130 || height < 40);
  };
  const box = (found, level, colour, choose) => {
    const about = `${found.name}: ${counted(found.size)}, ${shareText(found.share)}`;
    const button = build("button", { type: "button", class: `box level${level}`, "aria-pressed": "false", "aria-label": about, title: about });
    button.style.setProperty("--tone", `var(--c${colour})`);
    button.append(build("bdi", { class: "label" }, found.name), " ", build("span", { class: "amount" }, grouped(found.size)));
    button.addEventListener("click", choose);
    return button;
  };
  const themes = data.themes.map((found, i) => box(found, 1, found.colour, () => chooseTheme(i, -1, true)));
  const subthemes = data.subthemes.map((found, i) => {
    return box(found, 2, data.themes[found.parent].colour, () => chooseTheme(found.parent, i, true));
  });
  themes.forEach((button, i) => boxes.append(button, ...subsOf[i].map((sub) => subthemes[sub])));
  const tab = rove(boxes);

  function arrange() {
    const [width, height] = [boxes.clientWidth, boxes.clientHeight];
    rectangles(data.themes.map((found) => found.size), [0, 0, width, height]).forEach((spot, i) => {
      place(themes[i], spot, 3);
      const within = subsOf[i];
      const [left, top, wide, high] = spot;
      const inner = [left + 3, top + HEAD, wide - 8, high - HEAD - 5];
      const holds = within.length > 1 && inner[2] > 60 && inner[3] > 24 && (inner[2] * inner[3]) / within.length > 1600;
      themes[i].classList.toggle("holds", holds);
      const spots = rectangles(within.map((sub) => data.subthemes[sub].size), holds ? inner : [0, 0, 0, 0]);
      within.forEach((sub, at) => place(subthemes[sub], spots[at], 2));
    });
    for (const step of ["bare", "line", "tiny"]) { // what does not fit: the number goes, the name is cut, then it goes
      const full = (button) => button.scrollHeight > button.clientHeight + 1 || button.scrollWidth > button.clientWidth + 1;
      const found = [...themes, ...subthemes].filter((button) => !button.hidden && !button.matches(".holds") && full(button));
      for (const button of found) button.classList.add(step);
    }
    for (const button of boxes.querySelectorAll(".line")) button.classList.toggle("tiny", button.clientWidth < 42); // "A…" says nothing
  }

  new ResizeObserver(arrange).observe(boxes);
  tab();
  return {
    show(theme, subtheme) {
      themes.forEach((button, i) => button.setAttribute("aria-pressed", String(i === theme && subtheme < 0)));
      subthemes.forEach((button, i) => button.setAttribute("aria-pressed", String(i === subtheme)));
      themes.forEach((button, i) => button.classList.toggle("aside", theme >= 0 && i !== theme));
      subthemes.forEach((button, i) => button.classList.toggle("aside", theme >= 0 && data.subthemes[i].parent !== theme));
    },
  };
}

function trendCards(data, chooseTheme, choosePeriod) {
  const FIRST = 12;
  const { periods, themes, unit } = data.trends;
  const arrows = { rising: "↗", falling: "↘", steady: "→" };
  const rank = { rising: 0, falling: 1 };
  const order = [...themes].sort((a, b) => (rank[a.direction] ?? 2) - (rank[b.direction] ?? 2) || Math.abs(b.slope ?? 0) - Math.abs(a.slope ?? 0));
  const chance = (p) => (p === null ? "" : p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(p < 0.01 ? 3 : 2)}`);

  function picture(trend, found) {
    const last = periods.length - 1;
    const top = Math.max(...trend.shares, 1e-9);
    const at = (i) => [last ? (100 * i) / last : 50, 38 - (34 * trend.shares[i]) / top];
    const points = periods.map((_, i) => at(i).map((value) => value.toFixed(2)).join(",")).join(" ");
    const peak = trend.shares.indexOf(Math.max(...trend.shares));
    const label = `${found.name}: ${shareText(trend.shares[0])} in ${periods[0]}, ${shareText(trend.shares[last])} in ${periods[last]}, most in ${periods[peak]} with ${shareText(trend.shares[peak])}`;
    const svg = build("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": label });
    svg.append(build("polygon", { class: "area", points: `0,38 ${points} 100,38` }), build("polyline", { class: "line", points }));
    const wide = 100 / Math.max(periods.length, 1);
    periods.forEach((period, i) => {
      const share = `${period}: ${shareText(trend.shares[i])}, ${counted(trend.counts[i])}`;
      const bar = build("rect", { class: "period", x: (last ? (100 * i) / last : 50) - wide / 2, y: 0, width: wide, height: 40 }, build("title", {}, share));
      bar.addEventListener("click", () => choosePeriod(i, trend.theme));
      svg.append(bar);
    });
    const end = build("span", { class: "end", "aria-hidden": "true" });
    const [x, y] = at(last);
    Object.assign(end.style, { left: `${x}%`, top: `${(100 * y) / 40}%` });
    return build("div", { class: "chart" }, svg, end);
  }

  const cards = order.map((trend) => {
    const found = data.themes[trend.theme];
    const button = build("button", { type: "button", "aria-pressed": "false" }, swatch(found.colour), build("bdi", { class: "label" }, found.name));
    button.addEventListener("click", () => chooseTheme(trend.theme, -1, true));
    const way = build("span", { class: `way ${["rising", "falling"].includes(trend.direction) ? trend.direction : "steady"}` });
    way.append(build("span", { "aria-hidden": "true" }, arrows[trend.direction] ?? "→"), ` ${trend.direction}`);
    const slope = trend.slope === null ? "" : `${trend.slope < 0 ? "−" : "+"}${Math.abs(100 * trend.slope).toFixed(2)} points a ${unit}`;
    const facts = build("p", { class: "note" }, way, ` ${[slope, chance(trend.p)].filter(Boolean).join(", ")}`);
    const ends = build("p", { class: "ends note" });
    for (const i of [0, periods.length - 1]) ends.append(build("span", {}, `${periods[i]} `, build("b", {}, shareText(trend.shares[i]))));
    const card = build("article", { class: "trend" }, build("h3", {}, button), facts, picture(trend, found), ends);
    card.style.setProperty("--tone", `var(--c${found.colour})`);
    return { card, button, theme: trend.theme };
  });
  let all = cards.length <= FIRST + 3;
  const show = (theme) => {
    cards.forEach(({ card, button, theme: own }, i) => {
      card.hidden = !all && i >= FIRST && own !== theme;
      card.classList.toggle("aside", theme >= 0 && own !== theme);
      button.setAttribute("aria-pressed", String(own === theme));
    });
    byId("all-cards").hidden = all;
  };
  byId("cards").append(...cards.map(({ card }) => card));
  byId("all-cards").addEventListener("click", () => {
    all = true;
    show(-1);
    cards[FIRST].button.focus();
  });
  return { show };
}
