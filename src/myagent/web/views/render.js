// Draws one item of the timeline, as text nodes, and draws on when it changes.

import { DrawnQuestion, resolutionText } from "./asked.js";
import { drawCarried } from "./carrying.js";
import { copy, el, flowing, setText } from "./dom.js";
import { addressOf } from "../state/address.js";
import { escapeLine, visible } from "../parsing/escape.js";
import { MarkdownView } from "./markdown.js";
import { chosenText } from "./options.js";
import { drawSteps } from "./steps.js";
import { clock, lasted, moment } from "./times.js";
import { DrawnReads, DrawnTool } from "./tool.js";

/** A drawn item: `node`, and `update(item)` for when it changed. `plain`: what the agent says is no Markdown. */
export function draw(item, plain) {
  const asText = plain && item.kind === "message";
  const drawn = new ((asText ? null : DRAWN[item.kind]) ?? DrawnText)(item);
  drawn.update(item);
  if (item.nested) drawn.node.classList.add("nested");
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
    const address = addressOf(location.href, item.sessionId ?? null, item.seq);
    const link = el("a", { class: "anchor", href: address, title: "Link to this turn", "aria-label": "Link to this turn", text: "#", onclick: linked });
    const at = el("time", { class: "faint", text: clock(item.at), ...moment(item.at) });
    const head = el("div", { class: "item-head" }, el("span", { class: "by", text: item.by }), at, link, el("span", { class: "spring" }), this._end);
    this.node = el("div", { class: "item prompt" }, head, el("pre", { class: "text", text: visible(item.text) }), drawCarried(item.content ?? [], item.sessionId));
  }

  update({ end, at }) {
    setText(this._end, end === null ? "running" : [endText(end), lasted(at, end.at)].filter(Boolean).join(" · "));
    this._end.className = `turn-state ${end === null ? "running" : end.exitCode === 0 ? "done" : "failed"}`;
  }
}

class DrawnPicture { // that the agent sent
  constructor({ content, sessionId }) {
    this.node = el("div", { class: "item" }, drawCarried(content, sessionId));
  }

  update() {}
}

class DrawnActivity extends DrawnPrompt { // a turn that nobody prompted
  constructor(item) {
    super({ ...item, by: "The agent goes on by itself", text: "" });
    this.node.lastElementChild.remove();
    this.node.classList.add("activity");
  }
}

/** The address of a turn is put where addresses are, and copied: nothing is loaded anew. */
function linked(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(null, "", event.currentTarget.getAttribute("href"));
  copy(location.href);
}

function endText({ exitCode, stopReason }) {
  return stopReason === "end_turn" ? `exit ${exitCode}` : `${escapeLine(stopReason)}, exit ${exitCode}`;
}

class DrawnEnd {
  constructor(item) {
    const message = item.message === "" ? null : el("span", { class: "why", text: item.message });
    const state = item.exitCode === 0 ? "done" : "failed";
    this.node = el("div", { class: `item end ${state}` }, el("span", { text: `turn ended: ${endText(item)}` }), el("time", { text: clock(item.at), ...moment(item.at) }), message);
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
    this._head = el("div", { class: "item-head" });
    this.node = el("div", { class: "item plan" }, this._head, el("ul"));
  }

  update({ entries }) {
    const done = entries.filter(({ status }) => status === "completed").length;
    setText(this._head, `Plan, ${done} of ${entries.length} done`);
    this.node.lastElementChild.replaceWith(drawSteps(entries));
  }
}

class DrawnResolution {
  constructor({ resolution }) {
    const text = `permission ${resolutionText(resolution)}${resolution.reason ? `: ${resolution.reason}` : ""}`;
    this.node = el("div", { class: "item end", text });
  }

  update() {}
}

class DrawnAsked {
  constructor({ text }) {
    this.node = el("p", { class: "item asked", text });
  }

  update() {} // it does not change
}

const DRAWN = {
  prompt: DrawnPrompt,
  activity: DrawnActivity,
  message: DrawnMessage,
  thought: DrawnThought,
  tool: DrawnTool,
  reads: DrawnReads,
  plan: DrawnPlan,
  question: DrawnQuestion,
  asked: DrawnAsked,
  picture: DrawnPicture,
  resolution: DrawnResolution,
  end: DrawnEnd,
  gap: DrawnGap,
  chosen: DrawnChosen,
};
