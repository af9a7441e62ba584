// Every unit of an order as a cell; a large order in bins.
import { $, BAR, el, LETTERS, number, say, STATUSES, svg } from "./dom.js";

const NAMES = { w: "waiting", s: "sent", q: "queued", p: "processing", o: "success", e: "error", c: "cancelled" };
let drawn = { order: null, cells: "", ids: [] };

function ids(runs) {
  const all = [];
  for (const [first, n] of runs) for (let i = 0; i < n; i += 1) all.push(first + i);
  return all;
}

export function mosaic(state, order, status, open) {
  const box = $("units");
  const name = order ? order.name || `order ${order.id}` : state ? `order ${state.order}` : "";
  say($("units-of"), state ? `of ${name} – ${number(state.total)}` : "");
  if (!state) { box.replaceChildren(); drawn = { order: null, cells: "", ids: [] }; say($("units-hint"), order ? "" : "Choose an order to see its units."); return; }
  if (state.bins) return bins(box, state);
  if (state.cells === undefined) {
    box.className = "units";
    box.replaceChildren();
    say($("units-hint"), state.pruned ? "Its units were pruned: only the counts are left." : "Too many to draw one by one: the bar of the order shows them.");
    return;
  }
  if (drawn.order !== state.order || drawn.ids.length !== state.cells.length) {
    drawn = { order: state.order, cells: "", ids: ids(state.runs) };
    box.className = state.cells.length > 420 ? "units tiny" : "units";
    box.replaceChildren(...drawn.ids.map((id, i) => el("button", { class: "cell", tabindex: i ? -1 : 0, "data-unit": id })));
    if (!box.rtbKeys2) { box.rtbKeys2 = true; listen(box, open); }
    say($("units-hint"), "W waiting · S on the way · Q queued · ▶ processing · ✓ success · ✕ error — choose a unit for its story");
  }
  const cells = box.children;
  for (let i = 0; i < state.cells.length; i += 1) {
    const letter = state.cells[i];
    if (drawn.cells[i] !== letter) {
      const what = NAMES[letter];
      cells[i].className = `cell ${letter}`;
      cells[i].textContent = LETTERS[what];
      cells[i].setAttribute("aria-label", `unit ${drawn.ids[i]} ${what}`);
      cells[i].title = `unit ${drawn.ids[i]}: ${what}`;
    }
    const other = status && NAMES[letter] !== status && !(status === "queued" && letter === "s");
    if (cells[i].classList.contains("dim") !== Boolean(other)) cells[i].classList.toggle("dim", Boolean(other));
  }
  drawn.cells = state.cells;
}

function listen(box, open) {
  box.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-unit]");
    if (cell) open.unit(Number(cell.dataset.unit));
  });
  box.addEventListener("keydown", (event) => {
    const cells = [...box.children], at = cells.indexOf(document.activeElement);
    if (at < 0) return;
    const wide = cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide > 0 ? wide : 0, ArrowUp: wide > 0 ? -wide : 0 }[event.key];
    const next = event.key === "Home" ? cells[0] : event.key === "End" ? cells.at(-1) : step ? cells[at + step] : null;
    if (!next) return;
    event.preventDefault();
    cells[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

function bins(box, state) {
  drawn = { order: state.order, cells: "", ids: [] };
  box.className = "units bins";
  const wide = 100 / state.bins.length;
  const picture = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": `${state.total} units in ${state.bins.length} pieces` });
  state.bins.forEach(([, ...counts], i) => {
    const total = counts.reduce((sum, n) => sum + n, 0) || 1;
    let top = 0;
    for (const name of BAR) {
      const high = (100 * counts[STATUSES.indexOf(name)]) / total;
      if (high) picture.append(svg("rect", { class: `f-${name}`, x: (i * wide).toFixed(3), y: top.toFixed(2), width: (wide * 1.02).toFixed(3), height: high.toFixed(2) }));
      top += high;
    }
  });
  box.replaceChildren(picture);
  say($("units-hint"), `Each of the ${state.bins.length} columns stands for about ${number(Math.round(state.total / state.bins.length))} units, in the order of the units.`);
}
