// Header, counts and pipeline.
import { $, bar, clock, el, fillBar, list, number, rate, say, span, svg, units } from "./dom.js";

const TILES = ["waiting", "queued", "processing", "success", "error"];
const STAGE_OF = { ledger: "done", go: "backlog", work: "backlog", leader: "tracker", dispatch: "tracker", "hand-out": "tracker", agents: "agents" };

export function strip(view) {
  const { units: counts, rate: rates } = view;
  const shown = { ...counts, queued: counts.queued + counts.sent };
  const notes = {
    waiting: rates && counts.waiting ? `−${rate(rates.taken)}/s` : "",
    queued: counts.sent ? `${number(counts.sent)} on the way` : "",
    processing: "",
    success: rates && rates.success ? `+${rate(rates.success)}/s` : "",
    error: counts.error ? `${((100 * counts.error) / Math.max(1, counts.success + counts.error)).toFixed(1)} %` : "",
  };
  for (const name of TILES) {
    const count = document.querySelector(`[data-count=${name}]`);
    say(count, number(shown[name]));
    count.classList.toggle("zero", !shown[name]);
    say(document.querySelector(`[data-note=${name}]`), notes[name]);
  }
  say($("total"), number(counts.total));
  const left = counts.total - counts.success - counts.error - counts.cancelled;
  const eta = view.eta;
  say($("eta"), !counts.total ? "" : !left ? "all done" : eta === null ? "" : `${span(eta)} · ETA ${clock(Date.now() + eta * 1000).slice(0, 5)}`);
  const box = $("bar");
  if (!box.rtbBar) { box.rtbBar = bar(counts); box.replaceChildren(box.rtbBar); } else fillBar(box.rtbBar, counts);
  const done = number(counts.total - left);
  const cancelled = counts.cancelled ? `, ${number(counts.cancelled)} cancelled` : "";
  const state = view.going ? "Going" : "Stopped";
  say($("sentence"), counts.total
    ? `${state}: ${done} of ${units(counts.total)} done, ${number(counts.error)} in error${cancelled}.`
    : `${state}: no units yet. Place an order, and its units appear here.`);
}

export function pipeline(view) {
  const active = view.boxes.filter((box) => box.active);
  const sum = (name) => active.reduce((total, box) => total + box[name], 0);
  const held = sum("sent") + sum("queued"), capacity = sum("capacity");
  const slots = sum("slots"), busy = sum("processing");
  const settled = view.units.success + view.units.error + view.units.cancelled;
  const stages = [
    { id: "backlog", name: "backlog", value: number(view.units.waiting), note: "waiting in PostgreSQL" },
    { id: "tracker", name: active.length > 1 ? `${active.length} job trackers` : "job tracker", value: capacity ? `${number(held)} / ${number(capacity)}` : "–", note: capacity ? "held" : "no leader", fill: capacity ? held / capacity : 0, look: "queued" },
    { id: "agents", name: view.agents_alive === 1 ? "1 agent" : `${view.agents_alive} agents`, value: slots ? `${number(busy)} / ${number(slots)}` : "–", note: slots ? "slots busy" : "none there", fill: slots ? busy / slots : 0, look: "processing" },
    { id: "done", name: "done", value: number(settled), note: view.rate ? `${rate(view.rate.settled)} /s` : "", fill: view.units.total ? settled / view.units.total : 0, look: "success" },
  ];
  const limiting = STAGE_OF[view.limit.what];
  list($("stages"), stages, (stage) => stage.id, () => {
    const gauge = svg("svg", { class: "gauge", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { height: 1, width: 0 }));
    const value = el("span"), note = el("small");
    const item = el("li", { class: "stage" }, el("div", { class: "stage-name" }), el("div", { class: "stage-value" }, value, " ", note), gauge);
    item.rtb = { name: item.firstChild, value, note, gauge };
    return item;
  }, (item, stage) => {
    say(item.rtb.name, stage.name);
    say(item.rtb.value, stage.value);
    say(item.rtb.note, stage.note);
    item.toggleAttribute("data-limit", stage.id === limiting);
    item.rtb.gauge.firstChild.setAttribute("class", `f-${stage.look || "waiting"}`);
    item.rtb.gauge.firstChild.setAttribute("width", (100 * Math.min(1, stage.fill || 0)).toFixed(1));
  });
  const { out, in: inbox, dead, again } = view.queues;
  say($("queues"), `RabbitMQ: ${number(out)} out · ${number(inbox)} in · ${number(dead)} dead · ${number(again)} again`);
  const limit = $("limit");
  if (limit.rtbSays !== view.limit.what + view.limit.why) {
    limit.rtbSays = view.limit.what + view.limit.why;
    limit.replaceChildren("limited by ", el("b", {}, view.limit.what === "work" ? "the backlog" : view.limit.what), ` – ${view.limit.why}`);
    if (view.limit.what === "nothing") limit.replaceChildren(view.limit.why);
  }
}

export function header(view, feed, held) {
  const live = $("live");
  const age = feed.age;
  let state = "live", text = `live ${(age / 1000).toFixed(1)} s`;
  if (feed.stale) { state = "stale"; text = `stale since ${clock(feed.wall)}`; }
  else if (view.fresh === false) { state = "stale"; text = `as of ${clock(view.at)}: PostgreSQL is away`; }
  else if (held) { state = "held"; text = `held at ${clock(held)}`; }
  live.dataset.state = state;
  say($("live-text"), text);
  document.body.toggleAttribute("data-stale", state === "stale");
  return state;
}

export function parts(view, gone) {
  const active = view.boxes.filter((box) => box.active).length;
  const state = (part) => (gone ? "unknown" : view.parts[part] === "ready" ? "ok" : "bad");
  const rows = [
    { name: "API", state: gone ? "bad" : view.parts.inbox === "ready" ? "ok" : "bad", why: gone ? "no word from it" : view.parts.inbox },
    { name: active > 1 ? `${active} leaders` : "Leader", state: gone ? "unknown" : active ? "ok" : "bad", why: active ? "reports" : "none reports" },
    { name: `Agents ${view.agents_alive}/${view.agents_total}`, state: gone ? "unknown" : !view.agents_alive ? "bad" : view.agents_alive < view.agents_total ? "warn" : "ok", why: "heard / known" },
    { name: "RabbitMQ", state: state("broker"), why: view.parts.broker },
    { name: "PostgreSQL", state: state("ledger"), why: view.parts.ledger },
  ];
  const SHAPE = { ok: "●", warn: "▲", bad: "✕", unknown: "○" };
  const WORD = { ok: "well", warn: "partly", bad: "away", unknown: "not known" };
  list($("parts"), rows, (row) => row.name.split(" ")[0], () => {
    const item = el("li", { class: "part" }, el("i", { "aria-hidden": "true" }), el("span"), el("span", { class: "sr" }));
    return item;
  }, (item, row) => {
    item.dataset.state = row.state;
    item.title = row.why || "";
    say(item.children[0], SHAPE[row.state]);
    say(item.children[1], row.name);
    say(item.children[2], `: ${WORD[row.state]}`);
  });
}
