// Everything around the stream: the bar, the list of sessions, what waits for a decision, the queue.

import { byId, el, setText } from "./dom.js";
import { escapeLine } from "../parsing/escape.js";
import { drawDisplay, peopleText, whatAndWhere } from "./asked.js";
import { flagsText, timeLeft } from "./permission.js";
import { duration } from "./times.js";

const FILTERED = 6; // from so many on there is a box to search them
const LISTED = 300; // sessions drawn at most

/** The state of the connection, said in a word. `seconds`: until the next try. */
export function drawConnection({ state, say = "", behind = 0, waitingSince = null, now }) {
  let text = { connecting: "connecting", live: "live", waiting: `reconnecting: ${say}`, ended: say }[state];
  let shown = state;
  if (state === "live" && behind > 0) {
    text = `${behind} behind`;
    shown = "behind";
  } else if (state === "live" && waitingSince !== null) {
    text = `waiting for a human, ${duration(now - waitingSince)}`;
    shown = "human";
  }
  setText(byId("connection"), text);
  byId("connection").dataset.state = shown;
  byId("connection").dataset.link = state;
}

export function drawOwnership(workspace, connected) {
  const { owner, owns, followers } = workspace;
  const name = owner === null ? "nobody owns" : `${escapeLine(owner.label) || "somebody"} owns`;
  setText(byId("ownership"), owns ? "you own" : name);
  const away = workspace.offlineSince ? ` · host offline since ${new Date(workspace.offlineSince).toLocaleString()}` : "";
  setText(byId("following"), `${followers} ${followers === 1 ? "follower" : "followers"}${away}`);
  byId("claim").hidden = !connected || !workspace.mayClaim;
  const refused = owner !== null && workspace.refusedBy === owner.connectionId;
  setText(byId("claim"), owner === null ? "Own" : refused ? "Ask" : "Take over");
  byId("claim").title = owner === null ? "" : refused ? "Asks the owner to hand over" : "Takes over from your own credential at once; others are asked";
  byId("release").hidden = byId("people").hidden = byId("rules").hidden = !connected || !owns;
}

/** The button that stops the turn: beside the prompt, or, for somebody who may stop and not prompt, at the top. */
export function drawStop(may, owns) {
  byId("stop").hidden = !may || !owns;
  byId("stop-turn").hidden = !may || owns;
}

/** `unread` tells which have news; of those whose title or id has the filter in it. */
export function drawSessions(workspace, current, chosen, unread) {
  const wanted = byId("session-filter").value.trim().toLowerCase();
  const fits = ({ title, sessionId }) => `${title} ${sessionId}`.toLowerCase().includes(wanted);
  byId("session-filter").hidden = workspace.sessions.size < FILTERED && wanted === "";
  const sessions = workspace.listed.filter(fits).slice(0, LISTED);
  const rows = sessions.map((session) => {
    const waits = workspace.waitingIn(session.sessionId).length;
    const state = waits > 0 ? "human" : session.state;
    const title = escapeLine(session.title) || session.sessionId;
    const queue = session.queue.length > 0 ? `, ${session.queue.length} queued` : "";
    const news = unread.has(session, current);
    return el("li", { class: news ? "unread" : undefined },
      el("button", {
        type: "button",
        "aria-current": session.sessionId === current ? "true" : undefined,
        "data-session": session.sessionId,
        onclick: () => chosen(session.sessionId),
      },
        el("span", { class: `dot ${state}`, "aria-hidden": "true" }),
        el("span", { class: "title", text: title }),
        news ? el("span", { class: "hidden", text: "(unread)" }) : null,
        el("span", { class: "faint", text: `${stateText(session, waits)}${queue} · ${when(session.updatedAt)}` })));
  });
  const list = byId("session-list");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.session : null;
  list.replaceChildren(...(rows.length > 0 || wanted === "" ? rows : [el("li", { class: "faint none", text: "No session is called that." })]));
  if (focused !== null) list.querySelector(`[data-session="${CSS.escape(focused)}"]`)?.focus();
}

const STOPPED = 130; // the exit code of a turn that somebody cancelled

function stateText({ state, lastExitCode }, waits) {
  if (waits > 0) return "waiting for a human";
  if (state === "failed") return lastExitCode === STOPPED ? "stopped" : `failed, exit ${lastExitCode}`;
  return state;
}

const SUPERVISION = { verified: "asks first", unverified: "may or may not ask", operator: "asks first, says the operator", unsupervised: "UNSUPERVISED" };

export function drawSessionHead(session) {
  setText(byId("bar-title"), session ? escapeLine(session.title) || session.sessionId : "New session");
  setText(byId("session-name"), session ? escapeLine(session.title) || session.sessionId : "New session");
  const facts = session ? [session.agent, SUPERVISION[session.agentState?.supervision], session.mode, usage(session.agentState?.usage), session.cwd] : [];
  setText(byId("session-facts"), facts.filter(Boolean).map((fact) => escapeLine(String(fact))).join(" · "));
}

function usage(told) {
  if (typeof told?.used !== "number") return "";
  const size = typeof told.size === "number" && told.size > 0 ? ` of ${told.size.toLocaleString()}` : "";
  const cost = typeof told.cost?.amount === "number" ? `, ${told.cost.amount} ${told.cost.currency ?? ""}` : "";
  return `${told.used.toLocaleString()}${size} tokens${cost}`;
}

/** What waits for a decision, shown to whoever cannot answer it, or has put it aside. */
export function drawWaiting(entries, { owns, answer, now, cwd }) {
  const panel = byId("waiting");
  panel.hidden = entries.length === 0;
  const keys = entries.map(({ event }) => event.permissionRequestId + peopleText(event)).join(" ") + owns;
  if (panel.dataset.keys !== keys) {
    panel.dataset.keys = keys;
    panel.replaceChildren(...entries.map((entry) => drawRequest(entry, owns, answer, cwd)));
  }
  panel.querySelectorAll(".left").forEach((node, index) => {
    const { event, since } = entries[index];
    setText(node, `for ${duration(now() - since)}, ${timeLeft(event.request.expiresAt, now())}`);
  });
}

function drawRequest(entry, owns, answer, cwd) {
  const { request } = entry.event;
  const said = owns ? "Waiting for your answer" : "Waiting for somebody else's answer";
  const flags = request.flags?.length > 0 ? el("p", { class: "notice", text: `Contains ${flagsText(request.flags)}` }) : null;
  const button = owns ? el("button", { type: "button", class: "primary", text: "Answer", onclick: () => answer(entry) }) : null;
  return el("div", { class: "request", "data-request": entry.event.permissionRequestId },
    el("p", { class: "eyebrow" }, el("span", { text: said }), el("span", { class: "spring" }), el("span", { class: "left" })),
    el("div", { class: "request-head" }, el("strong", { text: request.title || request.toolName }), el("span", { class: "spring" }), button),
    el("p", { class: "faint", text: whatAndWhere(request, cwd(entry)) + peopleText(entry.event) }),
    flags,
    owns ? null : el("pre", { class: "display", tabindex: "0", "aria-label": "What is decided on" }, ...drawDisplay(request)));
}

export function drawQueue(session, owns, cancel) {
  const queue = session?.queue ?? [];
  byId("queue").hidden = queue.length === 0;
  const key = queue.map(({ id }) => id).join(" ") + owns;
  if (byId("queue-list").dataset.key === key) return;
  byId("queue-list").dataset.key = key;
  byId("queue-list").replaceChildren(...queue.map(({ id, prompt }) => {
    const text = escapeLine(prompt);
    const button = el("button", { type: "button", class: "quiet", text: "Cancel", "aria-label": `Cancel ${text}` });
    button.addEventListener("click", () => cancel(id));
    return el("li", {}, el("span", { class: "title", text }), owns ? button : null);
  }));
}

function when(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : date.toLocaleDateString();
}
