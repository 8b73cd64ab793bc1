// Draws a tool call as one card: what it is, who allowed it, what came of it; reads and searches in a row share one.

import { drawDisplay, resolutionText } from "./asked.js";
import { drawCarried } from "./carrying.js";
import { copyButton, el, setText } from "./dom.js";
import { escapeLine, visible } from "../parsing/escape.js";
import { Later } from "./later.js";
import { printed } from "../parsing/printed.js";
import { toolDetails } from "./timeline.js";

const OPEN_ROWS = 60; // a diff this short is shown without being asked for
const STATUS = { pending: "waiting", in_progress: "running", completed: "done", failed: "failed", cancelled: "cancelled" };

/** A line when it is done, open while it waits for an answer, when it failed, and for a short change. */
export class DrawnTool {
  constructor() {
    this._status = el("span", { class: "status" });
    this._title = el("span", { class: "title" });
    this._kind = el("span", { class: "kind" });
    this._answered = el("span", { class: "answered" });
    this._body = el("div", { class: "details" });
    this._touched = false; // by somebody: it stays as they left it
    const summary = el("summary", { onclick: () => (this._touched = true) }, this._status, this._title, this._answered, this._kind);
    this.node = el("details", { class: "item tool", ontoggle: () => this._fill() }, summary, this._body);
  }

  update(item) {
    this._item = item;
    const waits = item.question !== undefined && item.question.resolution === undefined;
    const refused = item.status === "failed" && item.question?.resolution?.outcome === "deny";
    setText(this._status, waits ? "asked" : refused ? "denied" : STATUS[item.status]);
    this._status.className = `status ${waits ? "pending" : item.status}`;
    setText(this._title, item.title);
    setText(this._kind, escapeLine([item.call.kind ?? "", item.exit].filter(Boolean).join(", ")));
    const resolution = item.question?.resolution;
    setText(this._answered, resolution === undefined ? "" : resolutionText(resolution));
    this._answered.className = `answered ${resolution?.outcome === "allow" ? "" : "denied"}`;
    this._stale = true;
    if (!this._touched) this.node.open = waits || (item.status === "failed" && resolution?.outcome !== "deny") || isShort(item.call);
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
    const parts = details.diffs.map(drawChange);
    const { question } = this._item;
    if (question?.resolution?.reason) parts.unshift(el("p", { class: "why", text: question.resolution.reason }));
    if (question !== undefined && details.diffs.length === 0) {
      parts.unshift(el("pre", { class: "display", tabindex: "0", "aria-label": "What was asked" }, ...drawDisplay(question.request)));
    }
    if (details.paths.length > 0) parts.push(field("where", details.paths.join("\n")));
    if (details.input !== "" && details.diffs.length === 0 && question === undefined) parts.push(field("input", details.input, visible(details.input)));
    const results = details.texts.length > 0 ? details.texts : [details.output].filter(Boolean);
    for (const text of results) parts.push(field("result", text, printed(text, this._item.raw)));
    if (details.pictures.length > 0) parts.push(drawCarried(details.pictures, this._item.sessionId));
    if (parts.length === 0) parts.push(el("p", { class: "faint", text: "The agent told nothing more of it." }));
    this._body.replaceChildren(...parts);
  }
}

/** Whether it changes files, and that by little. */
function isShort(call) {
  const { diffs } = toolDetails(call);
  const fits = (text) => text.length < OPEN_ROWS * 80 && text.split("\n", OPEN_ROWS + 1).length <= OPEN_ROWS;
  return diffs.length > 0 && diffs.every(({ before, after }) => fits(before ?? "") && fits(after));
}

/** Reads and searches that follow each other: one is a card, more are folded into one. */
export class DrawnReads {
  constructor() {
    this._drawn = new Map(); // member → its card
    this._status = el("span", { class: "status" });
    this._title = el("span", { class: "title" });
    this._list = el("div", { class: "details" });
    this._fold = el("details", { class: "fold" }, el("summary", {}, this._status, this._title), this._list);
    this.node = el("div", { class: "item reads" });
  }

  update({ members }) {
    for (const member of members) {
      if (!this._drawn.has(member)) this._drawn.set(member, new DrawnTool());
      this._drawn.get(member).update(member);
    }
    const nodes = members.map((member) => this._drawn.get(member).node);
    if (members.length === 1) {
      if (nodes[0].parentNode !== this.node) this.node.replaceChildren(...nodes);
      return;
    }
    const status = ["failed", "in_progress", "pending", "cancelled"].find((each) => members.some((member) => member.status === each));
    setText(this._status, STATUS[status ?? "completed"]);
    this._status.className = `status ${status ?? "completed"}`;
    setText(this._title, foldedTitle(members));
    nodes.filter((node) => node.parentNode !== this._list).forEach((node) => this._list.append(node));
    if (this._fold.parentNode !== this.node) this.node.replaceChildren(this._fold);
    if (members.some((member) => member.question !== undefined && member.question.resolution === undefined)) this._fold.open = true;
  }

  reveal() {
    for (const drawn of this._drawn.values()) drawn.reveal();
  }
}

function foldedTitle(members) {
  const searches = members.filter(({ call }) => call.kind === "search").length;
  const reads = members.length - searches;
  const said = [reads > 0 ? `${reads} ${reads === 1 ? "read" : "reads"}` : "", searches > 0 ? `${searches} ${searches === 1 ? "search" : "searches"}` : ""];
  return `${said.filter(Boolean).join(", ")}: ${members.map(({ title }) => title).join(", ")}`;
}

function field(name, text, shown = text) {
  return el("div", { class: "field" },
    el("div", { class: "code-head" }, el("span", { text: name }), copyButton(() => text)),
    el("pre", { tabindex: "0", text: shown }));
}

const changes = new Later(() => import("./diff.js"), ({ drawDiff }) => drawDiff);

/** A change of a file; its place is taken at once. */
function drawChange(change) {
  if (changes.part !== undefined) return changes.part(change);
  const place = el("div", { class: "field" });
  changes.use((drawDiff) => place.replaceWith(drawDiff(change)));
  return place;
}
