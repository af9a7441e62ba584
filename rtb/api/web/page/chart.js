// Throughput and fill of the job trackers, with one cursor.
import { $, el, rate } from "./dom.js";

const STEP = 5;
let plots = [], data = null, window_ = "5m", last = null;

// As a colour that a canvas knows, too.
function css(name) {
  $("legend").style.color = `var(${name})`;
  const { color } = getComputedStyle($("legend"));
  $("legend").style.color = "";
  return color;
}

export function begin(trace) { if (trace) data = rows(trace); draw(); }
const rows = (trace) => [trace.t, trace.success, trace.error, trace.taken, trace.fill];
export const shown = () => window_;

export async function choose(name) {
  window_ = name;
  for (const button of $("windows").children) button.setAttribute("aria-pressed", button.dataset.window === name);
  await load();
}

export async function load() {
  try {
    const wanted = window_;
    const answer = await fetch(`trace?window=${wanted}`);
    if (!answer.ok || wanted !== window_) return;
    data = rows(await answer.json());
    last = null;
    draw();
  } catch { /* the header says that nobody answers */ }
}

/** Add what a snapshot says, if a step has passed; *now* is the API's time. */
export function note(view, now) {
  const at = Math.floor(now / 1000 / STEP) * STEP, units = view.units;
  const counts = [units.success, units.error, units.total - units.waiting];
  if (!last || at < last.at) { last = { at, counts }; return; }
  if (at === last.at || window_ !== "5m" || !data) return;
  const held = view.boxes.filter((box) => box.active);
  const capacity = held.reduce((sum, box) => sum + box.capacity, 0);
  const fill = capacity ? Math.round((100 * held.reduce((sum, box) => sum + box.sent + box.queued, 0)) / capacity) : 0;
  const steps = Math.round((at - last.at) / STEP);
  for (let i = 1; i <= Math.min(steps, 60); i += 1) {
    const t = last.at + i * STEP;
    if (t <= (data[0].at(-1) || 0)) continue;
    data[0].push(t);
    counts.forEach((count, k) => data[k + 1].push(Math.max(0, count - last.counts[k]) / STEP / steps));
    data[4].push(fill);
  }
  while (data[0].length > 60) data.forEach((column) => column.shift());
  last = { at, counts };
  redraw();
}

function redraw() {
  if (!plots.length) return draw();
  plots[0].setData(data.slice(0, 4));
  plots[1].setData([data[0], data[4]]);
  legend(plots[0].cursor.idx);
}

export function draw() {
  const box = $("chart");
  if (!data || !data[0].length || typeof uPlot === "undefined") return;
  plots.forEach((plot) => plot.destroy());
  const width = box.clientWidth, line = css("--line"), dim = css("--dim");
  const axis = { stroke: dim, font: "11px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const common = { width, legend: { show: false }, cursor: { y: false, sync: { key: "rtb" }, points: { size: 6 } }, padding: [6, 20, 8, 0] };
  const gap = { spanGaps: false, points: { show: false }, width: 1.6 };
  const hooks = { setCursor: [(plot) => legend(plot.cursor.idx)] };
  const most = (u, min, max) => [0, Math.max(max || 0, 1)];
  plots = [
    new uPlot({ ...common, hooks, height: 132, scales: { y: { range: most } },
      axes: [{ ...axis, size: 0, values: () => [] }, { ...axis, size: 40 }],
      series: [{}, { ...gap, stroke: css("--f-success"), fill: `color-mix(in srgb, ${css("--f-success")} 16%, transparent)` }, { ...gap, stroke: css("--f-error"), width: 2 }, { ...gap, stroke: css("--f-queued"), dash: [4, 4] }] },
    data.slice(0, 4), box),
    new uPlot({ ...common, hooks, height: 58, scales: { y: { range: [0, 100] } },
      axes: [{ ...axis, size: 20, space: 70, values: [[3600, "{HH}:{mm}"], [60, "{HH}:{mm}"], [1, "{HH}:{mm}:{ss}"]].map((one) => [...one, ...Array(6).fill(null), 1]) }, { ...axis, size: 40, splits: [0, 50, 100], values: (u, splits) => splits.map((v) => (v === 50 ? "" : `${v}%`)) }],
      series: [{}, { ...gap, stroke: css("--f-sent"), fill: `color-mix(in srgb, ${css("--f-sent")} 22%, transparent)` }] },
    [data[0], data[4]], box),
  ];
  legend(null);
}

function legend(index) {
  const i = index ?? data[0].length - 1;
  const entry = (look, name, value) => el("span", {}, el("span", { class: `key ${look}` }), `${name} `, el("b", {}, value));
  $("legend").replaceChildren(
    entry("success", "success", `${rate(data[1][i])}/s`), entry("error", "error", `${rate(data[2][i])}/s`),
    entry("taken", "taken", `${rate(data[3][i])}/s`), entry("fill", "tracker", data[4][i] == null ? "–" : `${data[4][i]} %`));
}

export function resize() {
  const width = $("chart").clientWidth;
  plots.forEach((plot) => plot.setSize({ width, height: plot.height }));
}
