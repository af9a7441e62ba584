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

async function send(method, path, done) {
  try {
    const answer = await fetch(path, { method, headers: { Accept: "application/json" } });
    if (answer.ok) return toast(done);
    const problem = await answer.json().catch(() => ({}));
    toast(problem.detail || `refused: ${answer.status}`);
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
