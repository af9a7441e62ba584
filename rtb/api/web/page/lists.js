// What needs somebody, and the orders.
import { $, bar, clock, el, fillBar, list, number, rate, say, span, STATUSES } from "./dom.js";
import { change, forget, go } from "./actions.js";

const SIGNS = { error: "✕", down: "✕", lost: "✕", dead: "✕", overdue: "⏳", go: "▶", leader: "!", agents: "!", box: "!", unvouched: "!" };

export function attention(view, open) {
  const items = view.attention;
  say($("attn-count"), items.length ? String(items.length) : "");
  const box = $("attention");
  if (!items.length) {
    if (!box.rtbCalm) {
      box.rtbKeys = null;
      box.replaceChildren(el("li", { class: "calm" }, el("b", {}, "✓ "), "Nothing needs you."));
      box.rtbCalm = true;
    }
    return;
  }
  if (box.rtbCalm) { box.replaceChildren(); box.rtbCalm = false; box.rtbKeys = new Map(); }
  list(box, items, (item) => `${item.kind} ${item.text} ${item.agent || item.box || ""}`, (item) => make(item, open), (element, item) => {
    element.rtbItem = item;
    say(element.rtbNote, note(item));
  });
}

function make(item, open) {
  const act = el("span", { class: "item-act" });
  const element = el("li", { class: "item", "data-kind": item.kind },
    el("i", { "aria-hidden": "true" }, SIGNS[item.kind] || "!"),
    el("span", { class: "item-text" }, item.kind === "error" ? `“${item.text}”` : item.text),
    act, el("span", { class: "item-note" }));
  element.rtbNote = element.lastChild;
  const button = (text, done) => act.append(el("button", { class: "small", onclick: done }, text));
  if (item.unit) button("look", () => open.unit(element.rtbItem.unit));
  if (item.order) button("order", () => open.order(element.rtbItem.order));
  if (item.kind === "error" && item.orders === 1) button("retry", () => change({ id: item.order }, "retry"));
  if (item.action === "go") button("go", go);
  if (item.box) button("forget", () => forget(item.box));
  return element;
}

function note(item) {
  const parts = [];
  if (item.count) parts.push(item.kind === "error" ? `${number(item.count)} × in ${item.orders === 1 ? `order ${item.order}` : `${item.orders} orders`}` : number(item.count));
  if (item.last) parts.push(item.count > 1 ? `${clock(item.since)} – ${clock(item.last)}` : clock(item.last));
  else if (item.since) parts.push(`since ${clock(item.since)}`);
  return parts.join(" · ");
}

export function orders(view, filter, chosen, open) {
  const query = filter.text.trim().toLowerCase();
  const at = filter.status;
  const rows = (filter.found || view.orders).filter((order) => {
    const units = counts(order);
    if (at && !(at === "queued" ? units.queued + units.sent : units[at])) return false;
    return !query || String(order.id) === query || `${order.name} ${order.account}`.toLowerCase().includes(query);
  });
  const body = $("orders");
  if (!rows.length) {
    body.rtbKeys = null;
    body.replaceChildren(el("tr", {}, el("td", { colspan: 11, class: "calm" }, query || at ? "No order is like that." : "No orders yet: POST /orders places one.")));
    return;
  }
  list(body, rows, (order) => order.id, () => {
    const name = el("button", {}), account = el("small");
    const cells = ["waiting", "queued", "processing", "error", "success"].map((status) => el("td", { class: `num c-${status}` }));
    const progress = bar({}, "progress"), done = el("td", { class: "num" }), speed = el("td", { class: "num wide" }), left = el("td", { class: "num left" }), age = el("td", { class: "num wide" });
    const row = el("tr", { class: "link" }, el("td", { class: "order-name" }, name, account), ...cells, el("td", { class: "bar-cell" }, progress), done, speed, left, age);
    row.addEventListener("click", () => open.order(row.rtbOrder.id));
    row.rtb = { name, account, cells, progress, done, speed, left, age };
    return row;
  }, (row, order) => {
    const units = counts(order), parts = row.rtb;
    const total = order.units.reduce((sum, n) => sum + n, 0);
    const settled = units.success + units.error + units.cancelled;
    row.rtbOrder = order;
    row.setAttribute("aria-selected", order.id === chosen);
    say(parts.name, order.name || `order ${order.id}`);
    say(parts.account, `#${order.id} ${order.account}`);
    [units.waiting, units.queued + units.sent, units.processing, units.error, units.success].forEach((n, i) => {
      say(parts.cells[i], number(n));
      parts.cells[i].classList.toggle("zero", !n);
    });
    fillBar(parts.progress, units);
    parts.progress.setAttribute("aria-label", `${settled} of ${total} done`);
    say(parts.done, `${total ? Math.floor((100 * settled) / total) : 100} %`);
    say(parts.speed, order.finished ? "–" : rate(order.rate));
    say(parts.left, order.finished ? "done" : order.ending ? "ends" : order.held ? "held" : order.eta ? span(order.eta) : "–");
    say(parts.age, span(((order.finished || view.now()) - order.created) / 1000));
  });
}

export const counts = (order) => Object.fromEntries(STATUSES.map((name, i) => [name, order.units[i]]));
