// Puts the page together: state from the first HTML, then from the event stream.
import { $, clock, el, list, say, STATUSES } from "./dom.js";
import { Feed } from "./feed.js";
import { header, parts, pipeline, strip } from "./strip.js";
import { attention, orders } from "./lists.js";
import { mosaic } from "./units.js";
import * as lanes from "./agents.js";
import * as chart from "./chart.js";
import * as drawer from "./drawer.js";
import { go, know, stop } from "./actions.js";

const TICK = { claimed: "given out", queued: "queued", processing: "runs", success: "✓ success", error: "✕ error", failed: "✕ failed", returned: "↩ given back", lost: "! lost", rescued: "↩ taken back", cancelled: "⊘ cancelled", retried: "↻ again" };
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
  mosaic(cells, view.orders.find((order) => order.id === chosen), filter.status, open);
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

function ticker() {
  list($("ticker"), [...view.ticker].reverse(), (tick) => tick[0], ([, at, unit, name, kind, who, ran]) => el("li", {},
    `${clock(at)} `, el("button", { onclick: () => open.unit(unit) }, name), " ", el("b", {}, TICK[kind] || kind), kind === "claimed" || !who ? "" : ` ${who}`, ran ? ` ${ran.toFixed(1)} s` : ""), () => {});
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

$("wheels").addEventListener("click", () => (view.going ? stop() : go()));
$("pause").addEventListener("click", hold);
$("theme").addEventListener("click", theme);
$("help").addEventListener("click", () => $("keys").showModal());
$("drawer-close").addEventListener("click", () => { drawer.close(); remember(); });
$("tiles").addEventListener("click", (event) => { const tile = event.target.closest("button.tile"); if (tile) only(tile.dataset.status); });
$("windows").addEventListener("click", (event) => { if (event.target.dataset.window) chart.choose(event.target.dataset.window); });
$("search").addEventListener("input", (event) => { filter.text = event.target.value; if (!filter.text) filter.found = null; find(); dirty = true; });
$("search").addEventListener("keydown", (event) => { if (event.key === "Enter" && /^\d+$/.test(filter.text.trim())) open.order(Number(filter.text)); });
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
