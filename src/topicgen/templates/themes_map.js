// The map: documents as points on a canvas, names of themes above them. Screen coordinates are CSS pixels.

const GRID = 65535;
const CLOSEST = 60;

function themeMap(data, chooseTheme) {
  const { x, y, theme } = data.documents;
  const count = x.length;
  const canvas = byId("canvas");
  const context = canvas.getContext("2d");
  const bounds = extent();
  const view = { x: 0, y: 0, zoom: 1 };
  const size = { width: 0, height: 0, ratio: 1 };
  let selected = null; // a byte for each document, or null: all
  let chosen = { theme: -1, subtheme: -1 };
  let cursor = -1;
  let keyed = false; // whether the keyboard brought the cursor where it is
  let waiting = 0;
  let image = null;
  byId("names").classList.toggle("dense", data.themes.length > 24);
  const names = makeNames();

  function extent() {
    const found = [GRID, 0, GRID, 0];
    for (let i = 0; i < count; i++) {
      if (x[i] < found[0]) found[0] = x[i];
      if (x[i] > found[1]) found[1] = x[i];
      if (y[i] < found[2]) found[2] = y[i];
      if (y[i] > found[3]) found[3] = y[i];
    }
    const [left, right, top, bottom] = count ? found : [0, GRID, 0, GRID];
    const [wide, high] = [Math.max(right - left, 1), Math.max(bottom - top, 1)];
    return { left: left - wide * 0.05, wide: wide * 1.1, top: top - high * 0.05, high: high * 1.1 };
  }

  const scaleX = () => (size.width * view.zoom) / bounds.wide;
  const scaleY = () => (size.height * view.zoom) / bounds.high;
  const screenX = (value) => (value - bounds.left) * scaleX() - view.x;
  const screenY = (value) => (value - bounds.top) * scaleY() - view.y;
  const radius = () => clamp(120 / Math.sqrt(count), 1.1, 4.5) * Math.min(view.zoom ** 0.45, 5);

  // Points. They are mixed into pixels here, since 100,000 calls of the canvas would be ten times slower.

  function stamp(reach) {
    const side = Math.ceil(reach) * 2 + 1;
    const middle = (side - 1) / 2;
    const cover = new Float32Array(side * side);
    for (let i = 0; i < cover.length; i++) {
      const far = Math.hypot((i % side) - middle, Math.floor(i / side) - middle);
      cover[i] = clamp(reach + 0.5 - far, 0, 1);
    }
    return { side, middle, cover };
  }

  function press(pixels, mark, atX, atY, [red, green, blue], strength) {
    const [wide, high] = [image.width, image.height];
    const [left, top] = [atX - mark.middle, atY - mark.middle];
    for (let row = Math.max(0, -top); row < mark.side && top + row < high; row++) {
      for (let column = Math.max(0, -left); column < mark.side && left + column < wide; column++) {
        const share = mark.cover[row * mark.side + column] * strength;
        if (!share) continue;
        const at = 4 * ((top + row) * wide + left + column);
        pixels[at] += (red - pixels[at]) * share;
        pixels[at + 1] += (green - pixels[at + 1]) * share;
        pixels[at + 2] += (blue - pixels[at + 2]) * share;
      }
    }
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => {
      const value = parseInt(style.getPropertyValue(name).trim().slice(1), 16);
      return [value >> 16, (value >> 8) & 255, value & 255];
    };
    return { ground: read("--raised"), faint: read("--faint"), themes: data.themes.map((found) => read(`--c${found.colour}`)) };
  }

  function drawPoints() {
    if (image?.width !== canvas.width || image.height !== canvas.height) {
      image = context.createImageData(canvas.width, canvas.height);
    }
    const { ground, faint, themes } = colours();
    const pixels = image.data;
    new Uint32Array(pixels.buffer).fill((255 << 24) | (ground[2] << 16) | (ground[1] << 8) | ground[0]);
    const reach = radius() * size.ratio;
    const mark = stamp(reach);
    const edge = reach > 4 ? stamp(reach + size.ratio) : null; // parts points that touch
    const strength = count > 3000 && view.zoom < 4 ? 0.75 : 0.92;
    const [growX, growY] = [scaleX() * size.ratio, scaleY() * size.ratio];
    const [moveX, moveY] = [screenX(0) * size.ratio, screenY(0) * size.ratio];
    for (const front of selected ? [0, 1] : [1]) {
      for (let i = 0; i < count; i++) {
        if (selected && selected[i] !== front) continue;
        const [atX, atY] = [Math.round(x[i] * growX + moveX), Math.round(y[i] * growY + moveY)];
        if (atX < -20 || atY < -20 || atX > image.width + 20 || atY > image.height + 20) continue;
        if (edge && front) press(pixels, edge, atX, atY, ground, 0.8);
        press(pixels, mark, atX, atY, front ? (themes[theme[i]] ?? faint) : faint, front ? strength : 0.5);
      }
    }
    context.putImageData(image, 0, 0);
  }

  function draw() {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      if (!size.width) return;
      drawPoints();
      placeNames();
      placeCursor();
    });
  }

  // Names

  function makeNames() {
    const name = (found, level, choose) => {
      const made = build("button", { type: "button", tabindex: "-1", class: `name level${level}` }, isolated(found.name));
      made.addEventListener("click", choose);
      byId("names").append(made);
      return made;
    };
    const made = data.themes.map((found, i) => ({ place: found.place, theme: i, subtheme: -1, element: name(found, 1, () => chooseTheme(i, -1)) }));
    data.subthemes.forEach((found, i) => {
      if (found.name.toLowerCase() === data.themes[found.parent].name.toLowerCase()) return;
      const element = name(found, 2, () => chooseTheme(found.parent, i));
      made.push({ place: found.place, theme: found.parent, subtheme: i, element });
    });
    for (const one of made) one.element.style.setProperty("--tone", `var(--c${data.themes[one.theme].colour})`);
    return made;
  }

  function measureNames() {
    for (const { element } of names) [element.hidden, element.style.width] = [false, ""];
    const range = document.createRange();
    const wides = names.map(({ element }) => {
      range.selectNodeContents(element);
      return Math.ceil(range.getBoundingClientRect().width);
    });
    // A name of two lines would keep its full width, wider than its words.
    names.forEach(({ element }, i) => (element.style.width = `${wides[i] + 12}px`));
    for (const name of names) [name.width, name.height] = [name.element.offsetWidth, name.element.offsetHeight];
  }

  // The larger theme comes first; a name that would lie on another is moved a little, or left out until one zooms in.
  function placeNames() {
    const taken = [];
    const wanted = (name) =>
      name.subtheme < 0 ? chosen.theme < 0 || chosen.theme === name.theme : chosen.theme === name.theme || view.zoom > 2.2;
    const first = (name) => (name.subtheme < 0 ? 0 : 1);
    for (const name of [...names].sort((a, b) => first(a) - first(b))) {
      const [middleX, middleY] = [screenX(name.place[0] * GRID), screenY(name.place[1] * GRID)];
      let spot = null;
      if (wanted(name) && middleX > -40 && middleY > -20 && middleX < size.width + 40 && middleY < size.height + 20) {
        for (const [stepX, stepY] of [[0, 0], [0, -1], [0, 1], [-0.35, -0.6], [0.35, 0.6], [0.35, -0.6], [-0.35, 0.6], [0, -1.8], [0, 1.8], [0.6, 0], [-0.6, 0]]) {
          const left = clamp(middleX + (stepX - 0.5) * name.width, 2, Math.max(size.width - name.width - 2, 2));
          const top = clamp(middleY + (stepY - 0.5) * name.height, 2, Math.max(size.height - name.height - 2, 2));
          const box = { left, top, right: left + name.width, bottom: top + name.height };
          if (Math.abs(left + name.width / 2 - middleX) > name.width || taken.some((other) => overlap(box, other))) continue;
          spot = box;
          break;
        }
      }
      name.element.hidden = !spot;
      if (!spot) continue;
      taken.push(spot);
      name.element.style.transform = `translate(${Math.round(spot.left)}px, ${Math.round(spot.top)}px)`;
    }
  }

  const overlap = (a, b) => a.left < b.right + 4 && b.left < a.right + 4 && a.top < b.bottom + 1 && b.top < a.bottom + 1;

  // The document under the pointer, or where the keyboard is

  function nearest(atX, atY, reach) {
    let [found, best] = [-1, reach * reach];
    const [growX, growY, moveX, moveY] = [scaleX(), scaleY(), screenX(0), screenY(0)];
    for (let i = 0; i < count; i++) {
      if (selected && !selected[i]) continue;
      const far = (x[i] * growX + moveX - atX) ** 2 + (y[i] * growY + moveY - atY) ** 2;
      if (far < best) [found, best] = [i, far];
    }
    return found;
  }

  function towards(stepX, stepY) {
    if (cursor < 0) return nearest(size.width / 2, size.height / 2, Infinity);
    let [found, best] = [cursor, Infinity];
    for (let i = 0; i < count; i++) {
      if (i === cursor || (selected && !selected[i])) continue;
      const [dx, dy] = [(x[i] - x[cursor]) * scaleX(), (y[i] - y[cursor]) * scaleY()];
      const [along, across] = [dx * stepX + dy * stepY, Math.abs(dx * stepY - dy * stepX)];
      if (along < 1 || across > along) continue;
      if (along + 2 * across < best) [found, best] = [i, along + 2 * across];
    }
    return found;
  }

  function pointAt(i, speak = false) {
    if (i !== cursor) {
      cursor = i;
      byId("card").replaceChildren(...(i < 0 ? [] : describe(i)));
    }
    keyed = speak;
    placeCursor();
    if (speak && i >= 0) byId("spoken").textContent = byId("card").textContent;
  }

  function describe(i) {
    const { topic, text, source, sources, position } = data.documents;
    const about = build("p", { class: "of" });
    if (theme[i] >= 0) about.append(swatch(data.themes[theme[i]].colour), isolated(data.themes[theme[i]].name), ". ");
    const found = [build("p", { class: "topic", dir: "auto" }, topic[i] || "no topic", " "), about];
    if (text[i]) found.push(build("p", { class: "text", dir: "auto" }, text[i]));
    found.push(build("p", { class: "note" }, isolated(sources[source[i]]), `, ${grouped(position[i])}`));
    return found;
  }

  function placeCursor() {
    const [card, ring] = [byId("card"), byId("ring")];
    card.hidden = ring.hidden = cursor < 0;
    if (cursor < 0) return;
    const [atX, atY] = [screenX(x[cursor]), screenY(y[cursor])];
    ring.hidden = card.hidden = atX < 0 || atY < 0 || atX > size.width || atY > size.height;
    const wide = 2 * radius() + 8;
    ring.style.width = ring.style.height = `${wide}px`;
    ring.style.transform = `translate(${atX - wide / 2}px, ${atY - wide / 2}px)`;
    const [width, height] = [card.offsetWidth, card.offsetHeight];
    const left = clamp(atX + 16 + width > size.width ? atX - 16 - width : atX + 16, 4, Math.max(size.width - width - 4, 4));
    const over = atX + 16 + width > size.width && atX - 16 - width < 4; // no room at either side
    const top = over ? (atY > size.height / 2 ? atY - height - 14 : atY + 14) : clamp(atY - height / 3, 4, Math.max(size.height - height - 4, 4));
    card.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  // Moving about

  function settle() {
    view.x = clamp(view.x, 0, size.width * (view.zoom - 1));
    view.y = clamp(view.y, 0, size.height * (view.zoom - 1));
    canvas.classList.toggle("near", view.zoom > 1);
    byId("farther").disabled = byId("whole").disabled = view.zoom <= 1;
    byId("closer").disabled = view.zoom >= CLOSEST;
    draw();
  }

  function zoomBy(factor, atX = size.width / 2, atY = size.height / 2) {
    const zoom = clamp(view.zoom * factor, 1, CLOSEST);
    view.x = ((view.x + atX) * zoom) / view.zoom - atX;
    view.y = ((view.y + atY) * zoom) / view.zoom - atY;
    view.zoom = zoom;
    settle();
  }

  function whole() {
    Object.assign(view, { x: 0, y: 0, zoom: 1 });
    settle();
  }

  function bringIn(i) {
    const [atX, atY] = [screenX(x[i]), screenY(y[i])];
    if (atX < 10 || atX > size.width - 10) view.x += atX - size.width / 2;
    if (atY < 10 || atY > size.height - 10) view.y += atY - size.height / 2;
    settle();
  }

  const pointers = new Map();
  let dragged = false;
  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    if (!pointers.size) dragged = false;
    pointers.set(event.pointerId, placeOf(event));
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [atX, atY] = placeOf(event);
    const last = pointers.get(event.pointerId);
    if (!last) return pointAt(nearest(atX, atY, Math.max(radius() + 6, 12)));
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (!dragged && Math.hypot(atX - last[0], atY - last[1]) < 4) return undefined;
    dragged = true;
    pointers.set(event.pointerId, [atX, atY]);
    view.x -= (atX - last[0]) / pointers.size;
    view.y -= (atY - last[1]) / pointers.size;
    if (other) {
      const [before, after] = [Math.hypot(last[0] - other[0], last[1] - other[1]), Math.hypot(atX - other[0], atY - other[1])];
      zoomBy(after / Math.max(before, 1), (atX + other[0]) / 2, (atY + other[1]) / 2);
    } else settle();
    return undefined;
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!pointers.delete(event.pointerId) || dragged) return;
    const found = nearest(...placeOf(event), event.pointerType === "touch" ? 22 : 12);
    pointAt(found);
    if (found >= 0 && event.pointerType !== "touch") chooseTheme(theme[found], -1); // a finger cannot hover: it shows the text
  });
  canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => keyed || pointAt(-1));
  canvas.addEventListener("dblclick", (event) => zoomBy(2, ...placeOf(event)));
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return; // the page scrolls
      event.preventDefault();
      zoomBy(Math.exp(-clamp(event.deltaY, -120, 120) / 300), ...placeOf(event));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const centre = () => (cursor < 0 ? [] : [screenX(x[cursor]), screenY(y[cursor])]);
    if (steps[event.key]) {
      pointAt(towards(...steps[event.key]), true);
      if (cursor >= 0) bringIn(cursor);
    } else if (event.key === "+" || event.key === "=") zoomBy(1.5, ...centre());
    else if (event.key === "-") zoomBy(1 / 1.5, ...centre());
    else if (event.key === "0" || event.key === "Home") whole();
    else if (event.key === "Enter" && cursor >= 0) chooseTheme(theme[cursor], -1);
    else if (event.key === "Escape") {
      pointAt(-1);
      whole();
      chooseTheme(-1, -1);
    } else return;
    event.preventDefault();
  });
  canvas.addEventListener("blur", () => pointAt(-1));
  byId("closer").addEventListener("click", () => zoomBy(1.6));
  byId("farther").addEventListener("click", () => zoomBy(1 / 1.6));
  byId("whole").addEventListener("click", whole);

  new ResizeObserver(() => {
    const { clientWidth, clientHeight } = canvas;
    Object.assign(size, { width: clientWidth, height: clientHeight, ratio: Math.min(devicePixelRatio || 1, 2) });
    [canvas.width, canvas.height] = [Math.round(clientWidth * size.ratio), Math.round(clientHeight * size.ratio)];
    measureNames();
    settle();
  }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    show(mask, theme_, subtheme) {
      selected = mask;
      chosen = { theme: theme_, subtheme };
      if (cursor >= 0 && mask && !mask[cursor]) pointAt(-1);
      for (const name of names) {
        name.element.classList.toggle("chosen", name.theme === theme_ && name.subtheme === subtheme);
      }
      draw();
    },
  };
}
