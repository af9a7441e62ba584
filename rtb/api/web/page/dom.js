// Elements, numbers and times. Text only ever becomes text: nothing here parses HTML.
export const STATUSES = ["waiting", "sent", "queued", "processing", "success", "error", "cancelled"];
export const LETTERS = { waiting: "W", sent: "S", queued: "Q", processing: "▶", success: "✓", error: "✕", cancelled: "⊘" };
// What can happen to a unit: its sign, and in words.
export const KINDS = { claimed: ["→", "given to"], queued: ["Q", "in the tracker of"], processing: ["▶", "run by"], success: ["✓", "success"], error: ["✕", "error"], failed: ["✕", "failed, tried again"], returned: ["↩", "given back"], lost: ["!", "lost with its agent"], rescued: ["↩", "taken back"], cancelled: ["⊘", "cancelled"], retried: ["↻", "another round"], held: ["⏸", "held by"], released: ["▷", "released by"], prioritized: ["⇅", "given another priority by"] };
export const BAR = ["success", "error", "cancelled", "processing", "queued", "sent", "waiting"];

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Put *text* into *element* if it says anything else. */
export function say(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** Show *items* as children of *parent*: one element for each key, kept as long as its key is there. */
export function list(parent, items, key, make, update) {
  const had = parent.rtbKeys || new Map();
  if (!parent.rtbKeys) parent.replaceChildren();
  const has = new Map();
  let place = null;
  for (const item of items) {
    const name = String(key(item));
    const element = had.get(name) || make(item);
    has.set(name, element);
    update(element, item);
    const next = place ? place.nextSibling : parent.firstChild;
    if (next !== element) parent.insertBefore(element, next);
    place = element;
  }
  for (const [name, element] of had) if (!has.has(name)) element.remove();
  parent.rtbKeys = has;
}

/** A bar of *counts* by status, as rectangles: styles are not allowed, attributes are. */
export function bar(counts, label) {
  const box = svg("svg", { class: "bar", viewBox: "0 0 100 1", preserveAspectRatio: "none" });
  if (label) { box.setAttribute("role", "img"); box.setAttribute("aria-label", label); } else box.setAttribute("aria-hidden", "true");
  fillBar(box, counts);
  return box;
}

export function fillBar(box, counts) {
  const total = BAR.reduce((sum, name) => sum + (counts[name] || 0), 0) || 1;
  let left = 0;
  const parts = [];
  for (const name of BAR) {
    const width = (100 * (counts[name] || 0)) / total;
    if (width) parts.push(svg("rect", { class: `f-${name}`, x: left.toFixed(3), width: width.toFixed(3), height: 1 }));
    left += width;
  }
  box.replaceChildren(...parts);
}

export const number = (value) => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
export const two = (value) => String(value).padStart(2, "0");
export function clock(ms) {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
export function rate(value) {
  if (value == null) return "–";
  return value >= 100 ? number(Math.round(value)) : value >= 9.95 ? value.toFixed(0) : value.toFixed(1);
}
export function span(seconds) {
  if (seconds == null) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}
export const units = (n) => `${number(n)} unit${n === 1 ? "" : "s"}`;
