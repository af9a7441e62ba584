// One unit: all that happened to it, and what came of it.
import { $, clock, el, KINDS, LETTERS, say, span } from "./dom.js";
import { change } from "./actions.js";

let shown = null, back = null, drawn = "";

export const current = () => shown;

export async function open(unit) {
  if (shown === null) back = document.activeElement;
  drawn = "";
  shown = unit;
  $("drawer").hidden = false;
  say($("drawer-title"), `Unit ${unit}`);
  $("drawer-body").replaceChildren(el("p", {}, "…"));
  $("drawer-title").focus();
  await refresh();
}

export function close() {
  if (shown === null) return false;
  shown = null;
  $("drawer").hidden = true;
  if (back && back.isConnected) back.focus();
  return true;
}

export async function refresh() {
  const wanted = shown;
  if (wanted === null) return;
  let unit = null, why = "";
  try {
    const answer = await fetch(`units/${wanted}`, { headers: { Accept: "application/json" } });
    const said = await answer.json();
    if (answer.ok) unit = said; else why = said.detail || String(answer.status);
  } catch { why = "the API does not answer"; }
  if (wanted !== shown) return;
  const now = JSON.stringify(unit);
  if (unit && now === drawn) return; // what is open stays open, and the focus where it is
  drawn = now;
  if (!unit) { $("drawer-body").replaceChildren(el("p", { class: "wrong" }, why)); return; }
  say($("drawer-title"), `${LETTERS[unit.status]} ${unit.name}`);
  $("drawer-body").replaceChildren(...[facts(unit), acts(unit), ...wrong(unit), timeline(unit), json("Result", unit.result), json("Payload", unit.payload)].filter(Boolean));
}

function facts(unit) {
  const rows = [["status", unit.status], ["unit", `${unit.id} of order ${unit.order}`], ["attempts", `${unit.attempts}${unit.failures ? `, ${unit.failures} failed` : ""}${unit.losses ? `, ${unit.losses} lost` : ""}`]];
  if (unit.held_at) rows.push(["held since", clock(Date.parse(unit.held_at))]);
  if (unit.box) rows.push(["box", unit.box]);
  if (unit.waits) rows.push(["waits", `${unit.waits.code}: ${unit.waits.why}`]);
  if (unit.not_before) rows.push(["tried again at", clock(Date.parse(unit.not_before))]);
  return el("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** What can be done to it, as it is now. */
function acts(unit) {
  const verbs = unit.status === "waiting" ? [unit.held_at ? "release" : "hold", "cancel"] : ["success", "error", "cancelled"].includes(unit.status) ? ["retry"] : ["cancel"];
  return el("div", { class: "acts" }, ...verbs.map((verb) => el("button", { onclick: async () => { await change({ id: unit.order, name: unit.name }, verb, unit.id); refresh(); } }, verb)));
}

const brief = (seconds) => (seconds < 10 ? `${seconds.toFixed(2)} s` : span(seconds));
const wrong = (unit) => (unit.error ? [el("div", { class: "wrong" }, unit.error)] : []);

function timeline(unit) {
  const list = el("ol", { class: "time", "aria-label": "What happened" });
  let before = null, attempt = null;
  for (const event of unit.history) {
    const at = Date.parse(event.at);
    const since = before === null ? "" : `after ${brief(Math.max(0, at - before) / 1000)}`;
    const who = event.who ? ` ${event.who.split("/")[0]}` : "";
    const [sign, words] = KINDS[event.kind] || ["·", event.kind];
    const notes = [event.attempt && attempt !== event.attempt ? `attempt ${event.attempt}` : "", since, event.ran !== null ? `ran ${event.ran.toFixed(2)} s` : ""].filter(Boolean).join(" · ");
    const body = el("div", {}, `${words}${who}`, el("br"), el("small", {}, notes));
    if (event.log) body.append(el("br"), /^https?:/.test(event.log) ? el("a", { href: event.log }, "its log") : el("small", {}, event.log));
    if (event.why) body.append(el("div", { class: "wrong" }, event.why));
    if (event.output) body.append(el("details", {}, el("summary", {}, "what it printed"), el("pre", { tabindex: 0 }, event.output)));
    list.append(el("li", { class: "moment" }, el("time", { datetime: event.at }, clock(at)), el("i", { class: `c-${event.kind === "failed" || event.kind === "lost" ? "error" : event.kind}`, "aria-hidden": "true" }, sign), body));
    before = at;
    attempt = event.attempt;
  }
  if (!unit.history.length) list.append(el("li", {}, "Nothing yet: it waits in the backlog."));
  return list;
}

function json(title, value) {
  if (value == null) return null;
  return el("details", { open: title === "Result" }, el("summary", {}, title), el("pre", { tabindex: 0 }, JSON.stringify(value, null, 1)));
}
