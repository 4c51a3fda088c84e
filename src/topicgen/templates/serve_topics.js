// Writes the topics of all rows that have none yet, in requests of bounded size, each answered row by row.

import { askLines, Failure, query } from "./serve_api.js";

const FIRST_ROWS = 8; // few, so that topics appear at once
const MOST_ROWS = 500;
const MOST_CHARACTERS = 1_000_000;
const PATIENCE = 5; // failures in a row, after which the run stops

// Calls `grown` as rows get their topics and `waits` before it tries again; rows written stay, whatever happens.
export async function writeTopics(rows, model, { signal, grown, waits }) {
  let [failures, most] = [0, FIRST_ROWS];
  for (let at = firstUnwritten(rows, 0); at < rows.length; at = firstUnwritten(rows, at)) {
    const before = at;
    try {
      at = await writeSome(rows, at, most, model, signal, grown);
      [failures, most] = [0, Math.min(4 * most, MOST_ROWS)];
    } catch (error) {
      failures = firstUnwritten(rows, before) > before ? 1 : failures + 1;
      if (!error.passing || failures > PATIENCE) throw error;
      const seconds = error.seconds || 2 ** (failures - 1);
      waits(error, seconds);
      await pause(seconds, signal);
    }
  }
}

export function firstUnwritten(rows, from) {
  let at = from;
  while (at < rows.length && rows[at].status) at++;
  return at;
}

async function writeSome(rows, from, most, model, signal, grown) {
  const lines = [];
  let size = 0;
  for (let at = from; at < rows.length && lines.length < most && size < MOST_CHARACTERS; at++) {
    lines.push(JSON.stringify({ id: String(at), text: rows[at].text }) + "\n");
    size += rows[at].text.length;
  }
  const request = { method: "POST", body: new Blob(lines), headers: { "Content-Type": "application/x-ndjson" }, signal };
  let at = from;
  for await (const written of askLines(`v1/topics${query({ model })}`, request)) {
    for (const row of written) take(rows, at++, row);
    grown();
  }
  if (at < from + lines.length) throw new Failure("The server ended its answer early.");
  return at;
}

function take(rows, at, { id, topic, score, status, error }) {
  // A text that no topic could be written for holds up none of the others.
  if (error && error.code !== "engine_failed") throw new Failure(error.message, { status: error.code === "overloaded" ? 503 : 500 });
  if (error) [topic, score, status] = ["", null, "failed"];
  else if (id !== String(at)) throw new Failure("The server answered rows out of order.", { status: 500 });
  Object.assign(rows[at], { topic, score, status: status === "ok" && rows[at].cut ? "truncated" : status });
}

function pause(seconds, signal) {
  return new Promise((done, stopped) => {
    const timer = setTimeout(done, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      stopped(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}
