// Puts the page together: state from the first HTML, then from the event stream.
import { $, clock, el, KINDS, list, say, STATUSES } from "./dom.js";
import { Feed } from "./feed.js";
import { header, parts, pipeline, strip } from "./strip.js";
import { attention, counts, orders } from "./lists.js";
import { mosaic } from "./units.js";
import * as lanes from "./agents.js";
import * as chart from "./chart.js";
import * as drawer from "./drawer.js";
import { change, go, know, stop } from "./actions.js";

const first = JSON.parse($("state").textContent);
let view = first, cells = null, held = null, dirty = true, version = null, wasStale = false;
let skew = 0; // the API's clock minus ours
const filter = { text: "", status: null, found: null };
const link = new URLSearchParams(location.hash.slice(1));
let chosen = Number(link.get("order")) || null;
filter.status = link.get("status");

const now = () => Date.now() + skew;
function take(picture) {
  view = picture;
  view.now = now;
  skew = picture.at - Date.now();
  know(view);
  const fresh = new Set();
  for (const [, , , , kind, who] of view.ticker.filter((tick) => tick[0] > (take.last || 0))) if (kind === "error" || kind === "failed" || kind === "lost") fresh.add(who);
  take.last = Math.max(take.last || 0, ...view.ticker.map((tick) => tick[0]));
  lanes.note(view, now(), fresh);
  chart.note(view, now());
  if (chosen === null && view.orders.length) choose(view.orders[0].id, false);
}

const open = {
  unit(id) { drawer.open(id); remember(); },
  order(id) { choose(id, true); },
};

function choose(order, byHand) {
  if (chosen === order && cells) return;
  chosen = order;
  cells = null;
  if (byHand) remember();
  feed.open(order);
  dirty = true;
}

function remember() {
  const state = new URLSearchParams();
  if (chosen) state.set("order", chosen);
  if (filter.status) state.set("status", filter.status);
  if (drawer.current()) state.set("unit", drawer.current());
  history.replaceState(null, "", `#${state}`);
}

const feed = new Feed((kind, data) => {
  if (kind === "hello") {
    if (version && version !== data.version) location.reload();
    version = data.version;
    say($("version"), `rtb ${version}`);
    skew = data.at - Date.now();
    if (wasStale) { wasStale = false; chart.load(); }
  } else if (kind === "snapshot") {
    take(data);
  } else if (kind === "units") {
    if (data && data.order === chosen) cells = data;
    if (!data) cells = null;
  } else if (kind === "beat") {
    if (view.fresh !== false) view.at = data.at;
  }
  dirty = true;
});

function paint() {
  dirty = false;
  if (held) return;
  strip(view);
  pipeline(view);
  parts(view, feed.stale);
  attention(view, open);
  orders(view, filter, chosen, open);
  const order = view.orders.find((one) => one.id === chosen);
  mosaic(cells, order, filter.status, open);
  verbs(order);
  lanes.agents(view, open);
  ticker();
  const wheels = $("wheels");
  wheels.hidden = false;
  say(wheels, view.going ? "Stop" : "Go");
  wheels.classList.toggle("primary", !view.going);
  for (const tile of document.querySelectorAll("button.tile")) tile.setAttribute("aria-pressed", tile.dataset.status === filter.status);
  const clear = $("filter");
  if (clear.rtbStatus !== filter.status) {
    clear.rtbStatus = filter.status;
    clear.replaceChildren(...(filter.status ? [el("button", { class: "small", onclick: () => only(null) }, `only with ${filter.status}  ✕`)] : []));
  }
}

/** What can be done to the order that is shown. */
function verbs(order) {
  const has = order ? counts(order) : {}, can = [];
  if (has.error) can.push("retry");
  if (has.waiting && !order.ending) can.push(order.held ? "release" : "hold");
  if (has.waiting + has.sent + has.queued + has.processing && !order.ending) can.push("cancel");
  list($("order-acts"), can, (verb) => verb, (verb) => el("button", { class: "small", onclick: () => change(view.orders.find((one) => one.id === chosen), verb) }, verb), () => {});
}

function ticker() {
  list($("ticker"), [...view.ticker].reverse(), (tick) => tick[0], ([, at, unit, name, kind, who, ran]) => el("li", {},
    `${clock(at)} `, el("button", { onclick: () => open.unit(unit) }, name), " ", el("b", {}, (KINDS[kind] || [kind]).join(" ")), who ? ` ${who}` : "", ran ? ` ${ran.toFixed(1)} s` : ""), () => {});
}

function only(status) {
  filter.status = status === filter.status ? null : status;
  remember();
  dirty = true;
}

let seen = "";
function beat() {
  const state = header(view, feed, held);
  if (state === "stale") wasStale = true;
  document.title = `${state === "stale" ? "✕ stale – " : ""}${view.units.total ? `${Math.floor((100 * (view.units.success + view.units.error + view.units.cancelled)) / view.units.total)} % – ` : ""}Red-Tailed Boa`;
  if (state !== seen) { seen = state; dirty = true; }
  if (dirty) paint();
}

// Once a second what only time changes: ages, lanes, the chart's new point.
function second() {
  if (feed.stale || held) return;
  lanes.note(view, now(), null);
  chart.note(view, now());
  lanes.agents(view, open);
  orders(view, filter, chosen, open);
}

async function find() {
  if (filter.found || !filter.text) return;
  try {
    const answer = await (await fetch("orders?limit=500", { headers: { Accept: "application/json" } })).json();
    if (!filter.text) return; // cleared meanwhile
    filter.found = answer.orders.map((order) => ({ ...order, units: STATUSES.map((name) => order.units[name]), created: Date.parse(order.created_at), finished: order.finished_at ? Date.parse(order.finished_at) : null, rate: null, eta: null }));
    dirty = true;
  } catch { /* the header says so */ }
}

function hold() {
  held = held ? null : now();
  $("pause").setAttribute("aria-pressed", Boolean(held));
  dirty = true;
}

function theme() {
  const dark = document.documentElement.dataset.theme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("rtb-theme", document.documentElement.dataset.theme); } catch { /* for this page only */ }
  chart.draw();
}

const on = (id, done, kind = "click") => $(id).addEventListener(kind, done);
on("wheels", () => (view.going ? stop() : go()));
on("pause", hold);
on("theme", theme);
on("help", () => $("keys").showModal());
$("drawer-close").addEventListener("click", () => { drawer.close(); remember(); });
on("tiles", (event) => { const tile = event.target.closest("button.tile"); if (tile) only(tile.dataset.status); });
on("windows", (event) => { if (event.target.dataset.window) chart.choose(event.target.dataset.window); });
on("search", (event) => { filter.text = event.target.value; if (!filter.text) filter.found = null; find(); dirty = true; }, "input");
on("search", (event) => { if (event.key === "Enter" && /^\d+$/.test(filter.text.trim())) open.order(Number(filter.text)); }, "keydown");
window.addEventListener("resize", () => chart.resize());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.draw());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && drawer.close()) return remember();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, dialog[open]")) return null; // a closed dialog keeps the focus until the next frame
  const statuses = ["waiting", "queued", "processing", "success", "error"];
  if (event.key === "/") { event.preventDefault(); $("search").focus(); }
  else if (event.key === "p") hold();
  else if (event.key === "t") theme();
  else if (event.key === "?") $("keys").showModal();
  else if (statuses[event.key - 1]) only(statuses[event.key - 1]);
  return null;
});

lanes.begin(first.lanes, first.at);
first.now = now;
chart.begin(first.trace);
take(first);
paint();
if (!feed.source) feed.open(chosen);
setInterval(beat, 100);
setInterval(second, 1000);
setInterval(() => { if (chart.shown() !== "5m" && !feed.stale) chart.load(); }, 60000);
setInterval(() => drawer.refresh(), 3000);
if (link.get("unit")) drawer.open(Number(link.get("unit")));
