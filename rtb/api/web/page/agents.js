// The agents: what they run, and how busy they were in the last minute.
import { $, clock, el, list, say, span, svg } from "./dom.js";
import { drain } from "./actions.js";

const SECONDS = 60;
const lanes = new Map(); // agent -> characters, one a second: . unknown, 0-9 busy, x error
let second = 0;

export function begin(known, now) {
  second = Math.floor(now / 1000);
  for (const [agent, lane] of Object.entries(known || {})) lanes.set(agent, lane);
}

/** Take note of how busy everybody is, up to *now*. */
export function note(view, now, errors) {
  const at = Math.floor(now / 1000), passed = Math.min(Math.max(0, at - second), SECONDS);
  second = Math.max(second, at);
  for (const agent of view.agents) {
    const level = agent.slots ? Math.round((9 * Math.min(agent.busy, agent.slots)) / agent.slots) : 0;
    let lane = lanes.get(agent.id) || ".".repeat(SECONDS);
    if (passed) lane = (lane + String(level).repeat(passed)).slice(-SECONDS);
    const last = lane.at(-1);
    const mark = errors && errors.has(agent.name) ? "x" : last === "x" ? "x" : String(Math.max(level, passed ? 0 : Number(last) || 0));
    lanes.set(agent.id, lane.slice(0, -1) + mark);
  }
}

export function agents(view, open) {
  const box = $("agents");
  const starts = view.boxes.map((one) => (one.launcher ? `${one.launcher.line}; ` : "")).join("");
  say($("agents-of"), `${starts}${view.agents_total > view.agents.length ? `${view.agents.length} of ${view.agents_total}, ` : ""}last 60 s`);
  if (!view.agents.length) {
    box.rtbKeys = null;
    box.replaceChildren(el("li", { class: "calm" }, "No agent has been heard yet: twistd rtb-agent starts one."));
    return;
  }
  list(box, view.agents, (agent) => agent.id, (agent) => {
    const lane = svg("svg", { class: "lane", viewBox: `0 0 ${SECONDS} 10`, preserveAspectRatio: "none", role: "img" },
      svg("path", { class: "none" }), svg("path", { class: "busy" }), svg("path", { class: "bad" }));
    const item = el("li", { class: "agent" }, el("span", { class: "agent-name" }), el("span", { class: "agent-slots" }), el("span", { class: "agent-units" }), lane,
      el("button", { class: "small", title: `Let ${agent.name} finish what it runs, and end`, onclick: () => drain(item.rtbAgent) }, "drain"));
    return item;
  }, (item, agent) => {
    item.rtbAgent = agent;
    item.dataset.presence = agent.presence;
    const [name, slots, units, lane, button] = item.children;
    say(name, agent.name);
    name.title = `${agent.name} on ${agent.host}, box ${agent.box} (${agent.id})`;
    say(slots, agent.presence === "lost" ? "✕ lost" : agent.presence === "draining" ? "drains" : `${agent.busy}/${agent.slots} ▶`);
    running(units, agent, view.now(), open);
    button.hidden = agent.presence !== "ready";
    draw(lane, lanes.get(agent.id) || "");
  });
}

function running(box, agent, now, open) {
  if (agent.presence === "lost") { say(box, agent.seen ? `since ${clock(agent.seen)}` : "not heard"); box.rtbFirst = null; return; }
  const first = agent.units[0];
  if (!first) { say(box, "idle"); box.rtbFirst = null; return; }
  if (!box.rtbFirst) { box.rtbFirst = el("button", { onclick: () => open.unit(box.rtbUnit) }); box.replaceChildren(box.rtbFirst, el("span")); }
  box.rtbUnit = first.id;
  say(box.rtbFirst, first.name);
  const more = agent.busy > 1 ? ` +${agent.busy - 1}` : "";
  say(box.lastChild, ` ${span(Math.max(0, (now - first.since) / 1000))}${more}`);
}

function draw(lane, levels) {
  const paths = { none: "", busy: "", bad: "" };
  [...levels].forEach((mark, i) => {
    if (mark === ".") paths.none += `M${i} 9h.8v1h-.8z`;
    else if (mark === "x") paths.bad += `M${i} 0h.9v10h-.9z`;
    else if (mark !== "0") { const high = 1 + Number(mark); paths.busy += `M${i} ${10 - high}h.9v${high}h-.9z`; }
  });
  [...lane.children].forEach((path) => path.setAttribute("d", paths[path.getAttribute("class")]));
  const known = [...levels].filter((mark) => mark !== ".");
  const idle = known.filter((mark) => mark === "0").length, bad = known.filter((mark) => mark === "x").length;
  lane.setAttribute("aria-label", `of the last ${known.length} seconds, ${idle} idle, ${bad} with an error`);
}
