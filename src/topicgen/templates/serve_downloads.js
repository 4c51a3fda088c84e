// The chosen rows as CSV, JSON lines or Parquet. The first two are made here, and need no server any more.

import { ask } from "./serve_api.js";

const STEM = "topics";

function record(job, row) {
  const { id, topic, score, status, position, text } = row;
  const found = { id, topic, score, status: status || "unwritten", source: job.name, position, ...row.columns };
  if (job.themes) {
    found.theme = job.themes.themes[row.theme]?.name ?? null;
    found.subtheme = job.themes.subthemes[row.subtheme]?.name ?? null;
  }
  return { ...found, text };
}

export function saveRows(job, rows) {
  const fields = [...job.fields, ...(job.themes ? ["theme", "subtheme"] : [])];
  const names = ["id", "topic", "score", "status", "source", "position", ...fields, "text"];
  const records = () => rows.map((row) => record(job, row));
  const lines = () => records().map((found) => JSON.stringify(found) + "\n");
  return {
    csv: () => saveCsv(`${STEM}.csv`, [names, ...records().map((found) => names.map((name) => found[name]))]),
    jsonl: () => saveFile(`${STEM}.jsonl`, "application/x-ndjson", lines()),
    async parquet() {
      const body = new Blob([JSON.stringify({ fields }) + "\n", ...lines()]);
      const answer = await ask("page/parquet", { method: "POST", body, headers: { "Content-Type": "application/x-ndjson" } });
      saveFile(`${STEM}.parquet`, "application/vnd.apache.parquet", [await answer.blob()]);
    },
  };
}
