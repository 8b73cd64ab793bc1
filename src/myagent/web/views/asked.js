// Draws what is asked permission for, and how it was answered.

import { el, flowing, setText } from "./dom.js";
import { escapeLine } from "../parsing/escape.js";

const OUTCOME = { allow: "allowed", deny: "denied", cancelled: "cancelled", expired: "expired" };

/** A request that belongs to no tool call that is known: a card of its own, open while it waits. */
export class DrawnQuestion {
  constructor(item) {
    this._state = el("span", { class: "status" });
    const title = el("span", { class: "title", text: item.request.title || item.request.toolName });
    const what = el("pre", { class: "display", tabindex: "0" }, ...drawDisplay(item.request));
    this._why = el("p", { class: "why" });
    this.node = el("details", { class: "item question" }, el("summary", {}, this._state, title), what, this._why);
  }

  update({ resolution }) {
    if (resolution === undefined) this.node.open = true;
    else if (this._waited) this.node.open = false;
    this._waited = resolution === undefined;
    setText(this._state, resolution === undefined ? "permission asked" : resolutionText(resolution));
    this._state.className = `status ${resolution === undefined ? "pending" : resolution.outcome === "allow" ? "completed" : "failed"}`;
    setText(this._why, resolution?.reason ?? "");
    this._why.hidden = !resolution?.reason;
  }
}

export function resolutionText({ outcome, by }) {
  return `${OUTCOME[outcome] ?? "closed"} by ${by}`;
}

/** Which tool, of which kind, where. */
export function whatAndWhere({ toolName, kind = "other" }, cwd) {
  return `${toolName}${toolName.toLowerCase() === kind ? "" : ` (${escapeLine(kind)})`} in ${cwd}`;
}

const names = (all) => (all.length > 0 ? `: ${all.map(escapeLine).join(", ")}` : "");

/** Who has allowed what several people must allow; who else could answer, and who has seen it. */
export function peopleText({ request: { people = 1 }, allowedBy = [], couldAnswer = [], seenBy = [] }) {
  const allowed = people < 2 ? "" : `. Allowed by ${allowedBy.length} of ${people} people${names(allowedBy)}`;
  return couldAnswer.length < 2 ? allowed : `${allowed}. Could answer${names(couldAnswer)}. Seen by ${seenBy.length}${names(seenBy)}`;
}

/** The lines of a text that is decided on; stretches that show nothing are replaced by how long they are. */
export function folded(text) {
  return text
    .replace(/(?:^|(?<=\n))(?:[^\S\n]*\n){4,}/g, (run) => `[${run.split("\n").length - 1} empty lines]\n`)
    .replace(/(?<=\n)(?:[^\S\n]*\n){3,}[^\S\n]*$/, (run) => `[${run.split("\n").length} empty lines]`)
    .replace(/ {60,}/g, (run) => `[${run.length} spaces]`)
    .split("\n");
}

/** The text that is decided on, exactly; lines of a change are coloured, which changes none of its characters. */
export function drawDisplay({ display, diffs = [] }) {
  const lines = folded(display);
  if (diffs.length === 0) return flowing(lines.join("\n"));
  const kinds = kindsOf(lines);
  return lines.map((text, index) =>
    el("span", { class: `line ${kinds[index]}`, text: index < lines.length - 1 ? `${text}\n` : text }));
}

/** What each line of unified diffs is: within a hunk, by its sign, as many as its head says; the two before it name the file. */
function kindsOf(lines) {
  const kinds = { "+": "new", "-": "old", " ": "same" };
  let left = { old: 0, new: 0 };
  return lines.map((text, index) => {
    const head = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(text);
    if (head !== null) {
      left = { old: Number(head[1] ?? 1), new: Number(head[2] ?? 1) };
      return "skip";
    }
    const names = text.startsWith("--- ") ? lines[index + 1]?.startsWith("+++ ") : text.startsWith("+++ ") && lines[index - 1]?.startsWith("--- ");
    if (names && left.old <= 0 && left.new <= 0) return "head";
    const kind = kinds[text[0]] ?? "same";
    const count = Number(/^\[(\d+) empty lines\]$/.exec(text)?.[1] ?? 1);
    if (kind !== "new") left.old -= count;
    if (kind !== "old") left.new -= count;
    return kind;
  });
}
