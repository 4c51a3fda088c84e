"use strict";
// Elements and text. Texts of the data only ever become text nodes: nothing here writes HTML.

const byId = (id) => document.getElementById(id);
const grouped = (number) => number.toLocaleString("en");
const counted = (number) => `${grouped(number)} document${number === 1 ? "" : "s"}`;
const isolated = (text) => build("bdi", {}, text);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function shareText(share) {
  const text = (100 * share).toFixed(1);
  return `${share < 1 && text === "100.0" ? "99.9" : text.replace(/^100\.0$/, "100")} %`;
}

function build(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "polyline", "polygon", "title"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function swatch(colour) {
  const made = build("span", { class: "swatch", "aria-hidden": "true" });
  made.style.background = `var(--c${colour})`;
  return made;
}

// One stop of the Tab key for all buttons of a container; arrows, Home and End go between them.
function rove(container) {
  const buttons = () => [...container.querySelectorAll("button")].filter((button) => button.offsetParent);
  const only = (chosen) => {
    for (const button of container.querySelectorAll("button")) button.tabIndex = button === chosen ? 0 : -1;
  };
  container.addEventListener("focusin", (event) => event.target.matches("button") && only(event.target));
  container.addEventListener("keydown", (event) => {
    const found = buttons();
    const at = found.indexOf(document.activeElement);
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -at, End: found.length - 1 - at };
    if (at < 0 || steps[event.key] === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    found[clamp(at + steps[event.key], 0, found.length - 1)].focus();
  });
  return () => only(container.querySelector("[aria-pressed=true]") ?? container.querySelector("button"));
}

// A spreadsheet runs a cell that starts like a formula and is no number; an apostrophe makes it text.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  const plain = typeof value === "object" ? JSON.stringify(value) : String(value);
  const runs = /^[=+\-@\t\r\n＝＋－＠]/.test(plain) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain);
  const text = runs ? `'${plain}` : plain;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function saveFile(name, type, parts) {
  const address = URL.createObjectURL(new Blob(parts, { type }));
  build("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser reads it after the click
}

function saveCsv(name, lines) {
  saveFile(name, "text/csv;charset=utf-8", ["\ufeff", ...lines.map((line) => line.map(csvCell).join(",") + "\r\n")]);
}
