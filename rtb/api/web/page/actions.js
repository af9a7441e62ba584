// What a person can do here: each after a question that says how much it concerns.
import { $, number, say, units } from "./dom.js";

let view = null;
export const know = (now) => { view = now; };

function ask(title, text, yes) {
  say($("ask-title"), title);
  say($("ask-text"), text);
  say($("ask-yes"), yes);
  const dialog = $("ask");
  dialog.returnValue = "";
  dialog.showModal();
  $("ask-no").focus();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

export function toast(text) {
  say($("toast"), text);
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => say($("toast"), ""), 5000);
}

async function send(method, path, done, body) {
  try {
    const headers = { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) };
    const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) { if (done) toast(done); return said; }
    toast(said.detail || `refused: ${answer.status}`);
  } catch {
    toast("no answer: it may or may not have happened");
  }
  return null;
}

export async function go() {
  const { waiting } = view.units;
  if (await ask("Start the wheels?", `${units(waiting)} wait. They are handed out by fair use, as fast as there is room.`, "Go")) await send("POST", "go", "Going.");
}

export async function stop() {
  const { waiting, sent, queued, processing } = view.units;
  const text = `${units(waiting)} stay in the backlog; ${number(sent + queued + processing)} that were handed out finish.`;
  if (await ask("Stop handing out?", text, "Stop")) await send("POST", "stop", "Stopped: what was handed out finishes.");
}

export async function drain(agent) {
  const text = `${agent.name} on ${agent.host} takes nothing new, finishes ${units(agent.busy)}, and ends.`;
  if (await ask(`Drain ${agent.name}?`, text, "Drain")) await send("POST", `agents/${encodeURIComponent(agent.id)}/drain`, `${agent.name} drains.`);
}

export async function forget(name) {
  const box = view.boxes.find((one) => one.box === name);
  const held = box ? box.sent + box.queued + box.processing : 0;
  const text = held ? `${units(held)} are still booked to it, so it will be refused until they are back.` : "Its leader does not report. It comes back by itself when one does.";
  if (await ask(`Forget box ${name}?`, text, "Forget")) await send("DELETE", `leaders/${encodeURIComponent(name)}`, `Box ${name} is forgotten.`);
}

const VERBS = {
  retry: "begins another round|begin another round",
  cancel: "is cancelled|are cancelled, those that run as well",
  hold: "is kept back until somebody releases it|are kept back until somebody releases them; what was handed out finishes",
  release: "may be handed out again",
};

/** Do *verb* to *order*, or to one unit of it (whose name is *order*'s then). */
export async function change(order, verb, unit) {
  const name = order.name || `order ${order.id}`, some = `orders/${order.id}/units/${verb}`;
  let n = 1;
  // Asked without a count, the API only says how many there are.
  if (!unit) n = verb === "hold" || verb === "release" ? order.units[0] : ((await send("POST", some, "", {})) || {}).units;
  if (n === undefined || !await ask(`${verb} ${name}?`, `${units(n)} ${VERBS[verb].split("|").at(n === 1 ? 0 : -1)}.`, verb)) return;
  const done = `${name}: ${verb}, ${units(n)}.`;
  // A single unit may begin again whatever became of it.
  const status = verb === "retry" ? ["success", "error", "cancelled"] : [];
  if (unit) await send("POST", some, done, { unit, status, expect_count: n });
  else if (verb === "retry") await send("POST", some, done, { expect_count: n });
  else await send("POST", `orders/${order.id}/${verb}`, done, {});
}
