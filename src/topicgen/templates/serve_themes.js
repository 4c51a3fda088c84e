// Themes of the written topics, as the server groups them, and their map and legend, which the report has too.

import { askJson, Failure } from "./serve_api.js";

const COLOURS = 10;
const MOST_BYTES = 15_000_000; // of a request; the server takes a little more
const LONGEST_TEXT = 8000; // where the texts are too much for one request
const CARD_CHARACTERS = 300;

// Gives every written row its theme and place, and returns the themes; rows stay as they were when it fails.
export async function groupRows(rows, { model, themes, signal }) {
  const members = rows.flatMap((row, i) => (row.topic ? [i] : []));
  if (!members.length) throw new Failure("There is no topic to group.");
  const body = bodyOf(members.map((i) => rows[i]), { model, themes });
  const options = { method: "POST", body, headers: { "Content-Type": "application/json" }, signal };
  const answer = await askJson("v1/themes", options).catch((error) => {
    if (![413, 422].includes(error.status)) throw error;
    throw new Failure(`${error.message}. Save the JSON lines and run: topicgen themes topics.jsonl -o themes`, error);
  });
  return placed(rows, members, answer);
}

function bodyOf(rows, { model, themes }) {
  const options = JSON.stringify({ model, ...(themes ? { themes } : {}) }).slice(1);
  for (let longest = Infinity; ; longest = Math.min(longest, 2 * LONGEST_TEXT) / 2) {
    const documents = rows.map(({ text, topic }, i) => JSON.stringify({ id: String(i), text: text.slice(0, longest), topic }));
    const body = new Blob([`{"documents":[${documents.join(",")}],${options}`]);
    if (body.size <= MOST_BYTES || longest < 1) return body;
  }
}

function placed(rows, members, { themes: found, documents }) {
  const of = (level) => found.filter((theme) => theme.level === level);
  const at = new Map([...of(1), ...of(2)].map((theme) => [theme.id, 0]));
  for (const level of [1, 2]) of(level).forEach((theme, i) => at.set(theme.id, i));
  for (const row of rows) row.theme = row.subtheme = -1;
  documents.forEach(({ theme, subtheme, x, y }, i) => {
    Object.assign(rows[members[i]], { theme: at.get(theme) ?? -1, subtheme: at.get(subtheme) ?? -1, x: Math.round(x * GRID), y: Math.round(y * GRID) });
  });
  const shown = (key) => ({ name, size, topics, parent }, i) => {
    const inside = members.map((at) => rows[at]).filter((row) => row[key] === i);
    const place = [median(inside.map((row) => row.x)) / GRID, median(inside.map((row) => row.y)) / GRID];
    return { name, size, topics, parent: at.get(parent) ?? -1, share: size / members.length, place };
  };
  const themes = of(1).map(shown("theme"));
  colour(themes);
  return { themes, subthemes: of(2).map(shown("subtheme")), members };
}

function median(values) {
  if (!values.length) return GRID / 2;
  const sorted = values.sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

// The largest theme first, each takes the colour whose nearest bearer is farthest away.
function colour(themes) {
  themes.forEach((theme, i) => {
    const nearest = Array(COLOURS).fill(Infinity);
    for (const other of themes.slice(0, i)) {
      const far = Math.hypot(theme.place[0] - other.place[0], theme.place[1] - other.place[1]);
      nearest[other.colour] = Math.min(nearest[other.colour], far);
    }
    theme.colour = nearest.indexOf(Math.max(...nearest));
  });
}

// Elements are made anew each time, so that nothing of earlier themes listens any more.
export function drawThemes(job, chooseTheme) {
  byId("themes").replaceChildren(byId("themes-view").content.cloneNode(true));
  const { themes, subthemes, members } = job.themes;
  const rows = members.map((i) => job.rows[i]);
  const column = (name) => rows.map((row) => row[name]);
  const data = {
    themes,
    subthemes,
    documents: {
      ...Object.fromEntries(["x", "y", "theme", "subtheme", "topic", "position"].map((name) => [name, column(name)])),
      text: rows.map(({ text }) => (text.length > CARD_CHARACTERS ? `${text.slice(0, CARD_CHARACTERS)}…` : text)),
      source: rows.map(() => 0),
      sources: [job.name],
    },
  };
  const [map, legend] = [themeMap(data, chooseTheme), themeLegend(data, chooseTheme)];
  return {
    show(mask, theme, subtheme) {
      map.show(mask && Uint8Array.from(mask), theme, subtheme);
      legend.show(theme, subtheme);
    },
  };
}
