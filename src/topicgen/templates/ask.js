"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const questions = data.questions;
const shelf = "topicgen-ask-" + data.form;
const element = (id) => document.getElementById(id);
const choices = [...document.querySelectorAll("[data-answer]")];
const VALUES = ["1", "2", "tie"];
const KEYS = { 1: "1", 2: "2", 0: "tie", t: "tie" };
// Where digits need Shift, as on French keyboards, the key's place counts.
const PLACES = { Digit1: "1", Digit2: "2", Digit0: "tie" };

const answers = new Map();
let alias = newAlias();
let at = 0;
let unsaved = false;

// Two people who leave out their names must still be two.
function newAlias() {
  const [number] = crypto.getRandomValues(new Uint32Array(1));
  return "anonymous-" + number.toString(16).padStart(8, "0");
}

function stored() {
  // Reading throws where the browser denies storage; its content may be from anyone.
  try {
    return JSON.parse(localStorage.getItem(shelf)) || {};
  } catch {
    return {};
  }
}

function restore() {
  const kept = stored();
  for (const { id } of questions) {
    const value = Object(kept.answers)[id];
    if (VALUES.includes(value)) answers.set(id, value);
  }
  if (typeof kept.name === "string") element("annotator").value = kept.name;
  if (/^anonymous-[0-9a-f]{8}$/.test(kept.alias)) alias = kept.alias;
  const open = questions.findIndex(({ id }) => !answers.has(id));
  at = open < 0 ? questions.length : open;
}

function keep() {
  const value = { answers: Object.fromEntries(answers), name: element("annotator").value, alias };
  try {
    localStorage.setItem(shelf, JSON.stringify(value));
    return true;
  } catch {
    tell("This browser cannot keep your answers: save them before you close the page.");
    return false;
  }
}

function tell(message) {
  element("note").textContent = message;
}

function show() {
  const question = questions[at];
  element("question").hidden = !question;
  element("end").hidden = Boolean(question);
  element("bar").value = answers.size;
  element("back").disabled = at === 0;
  element("forward").disabled = !question || !answers.has(question.id);
  element("save").disabled = answers.size === 0;
  element("save").classList.toggle("urgent", !question);
  element("progress").textContent = question
    ? `Question ${at + 1} of ${questions.length}, ${answers.size} answered`
    : `All ${questions.length} questions answered`;
  if (!question) return;
  element("text").textContent = question.text;
  element("text").scrollTop = 0;
  choices.forEach((button) => {
    const value = button.dataset.answer;
    button.setAttribute("aria-pressed", String(answers.get(question.id) === value));
    const topic = button.querySelector("bdi");
    if (!topic) return;
    const written = question.topics[value - 1];
    topic.textContent = written.trim() ? written : "(no topic)";
    topic.classList.toggle("none", !written.trim());
  });
}

function go(to) {
  at = Math.min(Math.max(to, 0), questions.length);
  show();
  // A screen reader reads on from here.
  element(at < questions.length ? "text" : "end-label").focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function answer(value) {
  if (at >= questions.length) return;
  answers.set(questions[at].id, value);
  tell("");
  unsaved = !keep();
  go(at + 1);
}

function forward() {
  if (at < questions.length && answers.has(questions[at].id)) go(at + 1);
}

function save() {
  const annotator = element("annotator").value.trim() || alias;
  const name = annotator.replace(/[^\p{L}\p{N}_-]+/gu, "-");
  const content = { form: data.form, annotator, answers: Object.fromEntries(answers) };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1) + "\n"], { type: "application/json" }));
  link.download = `answers-${name}.json`;
  link.click();
  // The browser may still be reading it; a minute is enough for a small file.
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  unsaved = false;
  tell(`Saved ${answers.size} of ${questions.length} answers as ${link.download}.`);
}

function clear() {
  if (answers.size && !confirm("Forget all answers in this browser and start again?")) return;
  answers.clear();
  element("annotator").value = "";
  alias = newAlias();
  unsaved = false;
  tell("");
  keep();
  go(0);
}

document.addEventListener("keydown", (event) => {
  // A key that is held down must not answer the questions after this one.
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.target.id === "annotator") return;
  const value = KEYS[event.key.toLowerCase()] ?? PLACES[event.code];
  if (value) answer(value);
  else if (event.key === "ArrowLeft" || event.key === "Backspace") go(at - 1);
  else if (event.key === "ArrowRight") forward();
  else return;
  event.preventDefault();
});
choices.forEach((button) => button.addEventListener("click", () => answer(button.dataset.answer)));
element("back").addEventListener("click", () => go(at - 1));
element("forward").addEventListener("click", forward);
element("save").addEventListener("click", save);
element("clear").addEventListener("click", clear);
element("annotator").addEventListener("input", keep);
window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});

restore();
show();
