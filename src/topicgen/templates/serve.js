// From texts to topics to themes: what runs, what the page shows of it, and what it says.

import { askJson } from "./serve_api.js";
import { inputForm } from "./serve_files.js";
import { topicTable } from "./serve_table.js";
import { drawThemes, groupRows } from "./serve_themes.js";
import { firstUnwritten, writeTopics } from "./serve_topics.js";

const DRAW_MILLISECONDS = 250;
const TELL_MILLISECONDS = 10_000; // how often a screen reader hears of the progress

let job = null;
let running = null; // the AbortController of what runs
let drawing = 0;

const table = topicTable(fail);

function fail(error) {
  const known = error?.name === "Failure" || error?.status !== undefined;
  if (error && !known) console.error(error);
  byId("notice").replaceChildren(...(error ? [build("p", { class: "notice" }, known ? error.message : `Something went wrong: ${error.message}`)] : []));
}

function tell(text) {
  byId("told").textContent = text;
}

function show(step) {
  byId("input").hidden = byId("privacy").hidden = step !== "input";
  byId("job").hidden = step === "input" && !job;
  byId("stop").hidden = step !== "running";
  byId("continue").hidden = step === "running" || !job || job.written === job.rows.length;
  byId("again").hidden = step === "running" || step === "input";
  byId("group").disabled = step === "running" || !job?.written;
  byId("how-many").disabled = step === "running";
}

// Runs one task at a time, which the button can stop.
async function run(task) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  fail(null);
  try {
    await task(mine.signal);
    return true;
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
    return false;
  } finally {
    if (running === mine) running = null;
  }
}

async function begin({ name, model, example, read }) {
  if (!(await agreeToLose())) return;
  job = { name, model, example, rows: [], fields: [], problems: [], themes: null, written: 0, saved: 0 };
  byId("job-name").textContent = name;
  byId("results").hidden = true;
  byId("themes").replaceChildren();
  byId("grouping-note").textContent = "";
  setGrouped(false);
  table.open(job);
  showProblems();
  show("running");
  progressText("Reading…");
  byId("bar").removeAttribute("value");
  byId("stop").focus();
  const isRead = await run(async (signal) => {
    Object.assign(job, await read(signal, (count) => progressText(`Reading… ${grouped(count)} texts`)));
  });
  showProblems();
  if (isRead && job.rows.length) return write();
  if (isRead) fail({ status: 0, message: "There is no text in it." });
  job = null;
  show("input");
  byId("start").focus();
}

async function write() {
  const [began, before] = [performance.now(), job.written];
  let told = began;
  let waiting = "";
  show("running");
  byId("stop").focus();
  const draw = () => {
    drawing = 0;
    job.written = firstUnwritten(job.rows, job.written);
    byId("results").hidden = !job.written;
    table.grow();
    const seconds = (performance.now() - began) / 1000;
    progressText(waiting || speedText(job.written, job.rows.length, (job.written - before) / seconds));
    byId("bar").value = job.written / job.rows.length;
    if (performance.now() - told < TELL_MILLISECONDS) return;
    told = performance.now();
    tell(`${grouped(job.written)} of ${grouped(job.rows.length)} topics written`);
  };
  const grown = () => {
    waiting = "";
    drawing ||= setTimeout(draw, DRAW_MILLISECONDS);
  };
  const waits = (error, seconds) => {
    waiting = `${error.message} Trying again in ${seconds} s.`;
    tell(waiting);
    draw();
  };
  draw();
  await run((signal) => writeTopics(job.rows, job.model, { signal, grown, waits }));
  clearTimeout(drawing);
  waiting = "";
  draw();
  finish();
}

function finish() {
  const whole = job.written === job.rows.length;
  const stopHadFocus = document.activeElement === byId("stop");
  show("done");
  const count = `${grouped(job.written)} ${job.written === 1 ? "topic" : "topics"}`;
  progressText(whole ? `${count} written` : `Stopped: ${grouped(job.written)} of ${grouped(job.rows.length)} topics written`);
  tell(byId("progress").textContent);
  if (stopHadFocus || document.activeElement === document.body) byId(whole ? "group" : "continue").focus();
}

async function group(event) {
  event.preventDefault();
  const themes = Number(byId("how-many").value) || null;
  show("running");
  byId("grouping-note").textContent = "Grouping…";
  byId("bar").removeAttribute("value");
  const done = await run(async (signal) => {
    job.themes = await groupRows(job.rows.slice(0, job.written), { model: job.model, themes, signal });
  });
  byId("bar").value = job.written / job.rows.length;
  show("done");
  const count = job.themes?.themes.length;
  byId("grouping-note").textContent = done ? `${grouped(count)} theme${count === 1 ? "" : "s"}` : "";
  if (!done) return byId("group").focus();
  setGrouped(true);
  table.setView(drawThemes(job, table.chooseTheme));
  return byId("map-title").focus();
}

function setGrouped(grouped) {
  byId("group").textContent = grouped ? "Group again" : "Group into themes";
  byId("group").classList.toggle("primary", !grouped);
}

function speedText(written, of, perSecond) {
  const text = `${grouped(written)} of ${grouped(of)} topics`;
  if (!Number.isFinite(perSecond) || perSecond <= 0) return text;
  const left = (of - written) / perSecond;
  const time = left < 90 ? `${Math.ceil(left)} s` : left < 5400 ? `${Math.round(left / 60)} min` : `${(left / 3600).toFixed(1)} h`;
  const rate = perSecond >= 10 ? grouped(Math.round(perSecond)) : perSecond.toFixed(1);
  return `${text} · ${rate} a second · about ${time} left`;
}

function progressText(text) {
  byId("progress").textContent = text;
}

function showProblems() {
  byId("problems").hidden = !job?.problems.length;
  if (!job?.problems.length) return;
  byId("problems-title").textContent = job.problems[0];
  byId("problems-list").replaceChildren(...job.problems.slice(1).map((line) => build("li", { dir: "auto" }, line.trim())));
}

const unsaved = () => job && !job.example && job.written > job.saved;

async function agreeToLose() {
  if (!unsaved()) return true;
  const topics = job.written === 1 ? "1 topic is" : `${grouped(job.written)} topics are`;
  return confirm(`${topics} not saved. Write new ones in their place?`);
}

async function listModels() {
  const { data } = await askJson("v1/models");
  byId("model").replaceChildren(...data.map(({ id }) => build("option", { value: id, dir: "auto" }, id)));
}

inputForm(begin, fail);
byId("stop").addEventListener("click", () => running?.abort());
byId("continue").addEventListener("click", write);
byId("again").addEventListener("click", () => {
  show("input");
  byId("text").focus();
});
byId("grouping-form").addEventListener("submit", group);
addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());
show("input");
listModels().catch(fail);
