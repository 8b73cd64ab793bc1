// Draws one item of the timeline, as text nodes, and draws on when it changes.

import { compare } from "../parsing/diff.js";
import { copyButton, el, flowing, setText } from "./dom.js";
import { escape, escapeLine, visible } from "../parsing/escape.js";
import { printed } from "../parsing/printed.js";
import { MarkdownView } from "./markdown.js";
import { chosenText } from "./options.js";
import { toolDetails } from "./timeline.js";

const DIFF_ROWS = 2000; // drawn at once
const OPEN_ROWS = 60; // a diff this short is shown without being asked for
const STATUS = { pending: "waiting", in_progress: "running", completed: "done", failed: "failed", cancelled: "cancelled" };
const OUTCOME = { allow: "allowed", deny: "denied", cancelled: "cancelled", expired: "expired" };
const BOXES = { completed: "[x]", in_progress: "[~]" };

/** A drawn item: `node`, and `update(item)` for when it changed. `plain`: what the agent says is no Markdown. */
export function draw(item, plain) {
  const asText = plain && item.kind === "message";
  const drawn = new ((asText ? null : DRAWN[item.kind]) ?? DrawnText)(item);
  drawn.update(item);
  return drawn;
}

class DrawnText {
  constructor(item) {
    this._lines = 0; // characters drawn of lines that have ended: they stay as they are
    this._tail = ""; // what is drawn of the last line, which may still change
    this._tailNodes = [];
    this.body = el("pre", { class: "text" });
    const name = { stderr: "stderr", output: "stdout" }[item.kind];
    const gutter = name && !item.goesOn ? el("span", { class: "gutter", text: name }) : null;
    this.node = el("div", { class: `item ${item.kind}${item.goesOn ? " goes-on" : ""}` }, gutter, this.body);
  }

  update({ printed: { text } }) {
    if (text.length < this._lines) {
      this.body.replaceChildren();
      this._tailNodes = [];
      this._lines = 0;
    }
    const lines = text.lastIndexOf("\n") + 1;
    if (lines === this._lines && text.startsWith(this._tail, lines)) {
      this._append(text.slice(lines + this._tail.length), this._tailNodes);
    } else {
      this._tailNodes.forEach((node) => node.remove());
      this._append(text.slice(this._lines, lines));
      this._append(text.slice(lines), (this._tailNodes = []));
    }
    this._lines = lines;
    this._tail = text.slice(lines);
  }

  _append(text, into = []) {
    if (text === "") return;
    const nodes = flowing(text);
    into.push(...nodes);
    this.body.append(...nodes);
  }
}

class DrawnThought extends DrawnText {
  constructor(item) {
    super(item);
    const label = el("summary", { text: "Thinking" });
    this.node = el("details", { class: "item thought" }, label, this.body);
  }
}

class DrawnMessage {
  constructor() {
    this.node = el("div", { class: "item message" });
    this._view = new MarkdownView(this.node.appendChild(el("div", { class: "prose" })));
  }

  update({ printed: { text } }) {
    this._view.update(text);
  }
}

class DrawnPrompt {
  constructor(item) {
    this._end = el("span", { class: "turn-state" });
    const head = el("div", { class: "item-head" }, el("span", { class: "by", text: item.by }), this._end);
    this.node = el("div", { class: "item prompt" }, head, el("pre", { class: "text", text: visible(item.text) }));
  }

  update({ end }) {
    setText(this._end, end === null ? "running" : endText(end));
    this._end.className = `turn-state ${end === null ? "running" : end.exitCode === 0 ? "done" : "failed"}`;
  }
}

function endText({ exitCode, stopReason }) {
  return stopReason === "end_turn" ? `exit ${exitCode}` : `${escapeLine(stopReason)}, exit ${exitCode}`;
}

class DrawnEnd {
  constructor(item) {
    const message = item.message === "" ? null : el("span", { class: "why", text: item.message });
    const state = item.exitCode === 0 ? "done" : "failed";
    this.node = el("div", { class: `item end ${state}` }, el("span", { text: `turn ended: ${endText(item)}` }), message);
  }

  update() {}
}

class DrawnGap {
  constructor({ from, to }) {
    this.node = el("div", { class: "item gap", text: `events ${from} to ${to} are no longer kept` });
  }

  update() {}
}

class DrawnChosen { // an option of the agent's
  constructor({ event }) {
    this.node = el("div", { class: `item end ${event.guarded ? "failed" : "done"}` }, el("span", { text: chosenText(event) }));
  }

  update() {}
}

class DrawnPlan {
  constructor() {
    this._rows = el("ul", { class: "plan-rows" });
    this.node = el("div", { class: "item plan" }, el("div", { class: "item-head", text: "Plan" }), this._rows);
  }

  update({ entries }) {
    this._rows.replaceChildren(
      ...entries.map(({ content, status }) =>
        el("li", { class: status === "completed" ? "done" : "", text: `${BOXES[status] ?? "[ ]"} ${content}` })),
    );
  }
}

class DrawnTool {
  constructor() {
    this._status = el("span", { class: "status" });
    this._title = el("span", { class: "title" });
    this._kind = el("span", { class: "kind" });
    this._body = el("div", { class: "details" });
    this.node = el("details", { class: "item tool", ontoggle: () => this._fill() },
      el("summary", {}, this._status, this._title, this._kind), this._body);
    this._touched = false; // opened of itself once, for a short diff
  }

  update(item) {
    this._item = item;
    setText(this._status, STATUS[item.status]);
    this._status.className = `status ${item.status}`;
    setText(this._title, item.title);
    setText(this._kind, escapeLine([item.call.kind ?? "", item.exit].filter(Boolean).join(", ")));
    this._stale = true;
    if (!this._touched) {
      const { diffs } = toolDetails(item.call);
      if (diffs.length > 0 && diffs.every(({ before, after }) => (before ?? "").length + after.length < OPEN_ROWS * 80)) {
        this._touched = this.node.open = true;
      }
    }
    this._fill();
  }

  /** Draw what it holds, open or not: a search looks at it. */
  reveal() {
    this._fill(true);
  }

  _fill(closed = false) {
    if (!(this.node.open || closed) || !this._stale) return;
    this._stale = false;
    const details = toolDetails(this._item.call, this._item.output);
    const parts = details.diffs.map(drawDiff);
    if (details.paths.length > 0) parts.push(field("where", details.paths.join("\n")));
    if (details.input !== "" && details.diffs.length === 0) parts.push(field("input", details.input, visible(details.input)));
    const results = details.texts.length > 0 ? details.texts : [details.output].filter(Boolean);
    for (const text of results) parts.push(field("result", text, printed(text, this._item.raw)));
    if (parts.length === 0) parts.push(el("p", { class: "faint", text: "The agent told nothing more of it." }));
    this._body.replaceChildren(...parts);
  }
}

function field(name, text, shown = text) {
  return el("div", { class: "field" },
    el("div", { class: "code-head" }, el("span", { text: name }), copyButton(() => text)),
    el("pre", { tabindex: "0", text: shown }));
}

/** A change of a file, coloured by line. */
export function drawDiff({ path, before, after }) {
  const rows = compare(before, after);
  const table = el("pre", { class: "diff", tabindex: "0" });
  const more = (start) => {
    table.append(...rows.slice(start, start + DIFF_ROWS).map(drawRow));
    const left = rows.length - start - DIFF_ROWS;
    if (left <= 0) return;
    const button = el("button", { type: "button", class: "quiet", text: `Show ${left} more lines` });
    button.addEventListener("click", () => {
      button.remove();
      more(start + DIFF_ROWS);
    });
    table.append(button);
  };
  more(0);
  const name = el("span", { class: "path", text: before === null ? `${path} (new)` : path });
  return el("div", { class: "field" }, el("div", { class: "code-head" }, name, copyButton(() => after, "Copy new text")), table);
}

function drawRow({ kind, text }) {
  const sign = { old: "-", new: "+", same: " ", skip: " " }[kind];
  const shown = kind === "skip" ? text : escape(text).replaceAll("\\u{9}", "\t");
  return el("span", { class: `line ${kind}`, text: `${sign}${shown}\n` });
}

class DrawnQuestion {
  constructor(item) {
    this._state = el("span", { class: "status" });
    const title = el("span", { class: "title", text: item.request.title || item.request.toolName });
    const what = el("pre", { class: "display", tabindex: "0" }, ...drawDisplay(item.request));
    this._why = el("p", { class: "why" });
    this.node = el("details", { class: "item question" }, el("summary", {}, this._state, title), what, this._why);
  }

  update({ resolution }) {
    setText(this._state, resolution === undefined ? "permission asked" : resolutionText(resolution));
    this._state.className = `status ${resolution === undefined ? "pending" : resolution.outcome === "allow" ? "completed" : "failed"}`;
    setText(this._why, resolution?.reason ?? "");
    this._why.hidden = !resolution?.reason;
  }
}

class DrawnResolution {
  constructor({ resolution }) {
    const text = `permission ${resolutionText(resolution)}${resolution.reason ? `: ${resolution.reason}` : ""}`;
    this.node = el("div", { class: "item end", text });
  }

  update() {}
}

export function resolutionText({ outcome, by }) {
  return `${OUTCOME[outcome] ?? "closed"} by ${by}`;
}

/** Which tool, of which kind, where. */
export function whatAndWhere({ toolName, kind = "other" }, cwd) {
  return `${toolName}${toolName.toLowerCase() === kind ? "" : ` (${escapeLine(kind)})`} in ${cwd}`;
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
  const kinds = { "+": "new", "-": "old", "@": "skip" };
  return lines.map((text, index) =>
    el("span", { class: `line ${kinds[text[0]] ?? "same"}`, text: index < lines.length - 1 ? `${text}\n` : text }));
}

const DRAWN = {
  prompt: DrawnPrompt,
  message: DrawnMessage,
  thought: DrawnThought,
  tool: DrawnTool,
  plan: DrawnPlan,
  question: DrawnQuestion,
  resolution: DrawnResolution,
  end: DrawnEnd,
  gap: DrawnGap,
  chosen: DrawnChosen,
};
