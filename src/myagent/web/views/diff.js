// Draws how a file changed: line by line, the words that differ marked; side by side where there is room, by the style.

import { compare, counts } from "../parsing/diff.js";
import { escape } from "../parsing/escape.js";
import { Marks } from "../parsing/words.js";
import { copyButton, el, flowing } from "./dom.js";

const FIRST = 160; // lines of a difference that are drawn at first
const MORE = 2000; // and at a time when somebody wants to see more
const PAIRED = 400; // lines of one change that are set against each other

/** A change of a file as a tool call tells it, with its head. */
export function drawDiff({ path, before, after }) {
  const rows = compare(before, after);
  const name = el("span", { class: "path", text: before === null ? `${path} (new)` : path });
  const head = el("div", { class: "code-head" }, name, drawCounts(counts(rows)), el("span", { class: "spring" }), copyButton(() => after, "Copy new text"));
  return el("div", { class: "field" }, head, drawRows(rows));
}

/** `+3 −1`, in words for those who hear it. */
export function drawCounts({ added, removed }) {
  if (added === undefined && removed === undefined) return null;
  return el("span", { class: "counts" },
    el("span", { class: "plus", "aria-label": `${added} added`, role: "img", text: `+${added.toLocaleString()}` }), " ",
    el("span", { class: "minus", "aria-label": `${removed} removed`, role: "img", text: `−${removed.toLocaleString()}` }));
}

/** The rows of a difference; long ones show their beginning, and how much more there is. */
export function drawRows(rows) {
  const marks = new Marks();
  const { added, removed } = counts(rows);
  const table = el("pre", { class: added > 0 && removed > 0 ? "diff two" : "diff", tabindex: "0" });
  const more = (start, count) => {
    const end = start + count;
    table.append(...drawn(rows.slice(start, end), marks));
    if (rows.length <= end) return;
    const left = rows.length - end;
    const rest = counts(rows.slice(end));
    const text = `Show ${left.toLocaleString()} more ${left === 1 ? "line" : "lines"} (+${rest.added.toLocaleString()} −${rest.removed.toLocaleString()})`;
    const button = el("button", { type: "button", class: "quiet", text, onclick: () => {
      button.remove();
      more(end, MORE);
    } });
    table.append(button);
  };
  more(0, FIRST);
  return el("div", { class: "sides" }, table);
}

function drawn(rows, marks) {
  const nodes = [];
  for (let at = 0; at < rows.length;) {
    let end = at;
    while (end < rows.length && (rows[end].kind === "old" || rows[end].kind === "new")) end += 1;
    if (end > at) nodes.push(drawChange(rows.slice(at, end), marks));
    else nodes.push(rows[end].kind === "skip" ? drawSkip(rows[end]) : drawSame(rows[end].text));
    at = Math.max(end, at + 1);
  }
  return nodes;
}

/** Lines that were taken out, and those that took their place: the first beside the first. */
function drawChange(rows, marks) {
  const olds = rows.filter(({ kind }) => kind === "old").map(({ text }) => shown(text));
  const news = rows.filter(({ kind }) => kind === "new").map(({ text }) => shown(text));
  const node = el("span", { class: "change" });
  const pairs = olds.map((old, at) => (at < news.length && at < PAIRED ? marks.of(old, news[at]) : null));
  const side = (lines, kind, sign, part) => lines.map((text, at) => {
    const line = el("span", { class: `line ${kind}` }, sign);
    const parts = pairs[at] ?? null;
    if (parts === null) line.append(...flowing(text));
    else line.append(...parts[part].map((each) => (each.changed ? el("mark", { text: each.text }) : document.createTextNode(each.text))));
    line.append("\n");
    return line;
  });
  node.append(...side(olds, "old", "-", 0), ...side(news, "new", "+", 1));
  return node;
}

function drawSame(text) {
  return el("span", { class: "line same", "data-text": ` ${shown(text)}`, text: ` ${shown(text)}\n` });
}

/** What was left out; where it is known, it can be shown. */
function drawSkip({ text, hidden }) {
  if (hidden === undefined) return el("span", { class: "line skip", text: `${shown(text)}\n` });
  const button = el("button", { type: "button", class: "line skip", text: `${text}\n`, onclick: () => {
    const rest = hidden.slice(MORE);
    const nodes = hidden.slice(0, MORE).map((row) => drawSame(row.text));
    button.replaceWith(...nodes, ...(rest.length > 0 ? [drawSkip({ text: `${rest.length.toLocaleString()} more unchanged lines`, hidden: rest })] : []));
  } });
  return button;
}

function shown(text) {
  return escape(text).replaceAll("\\u{9}", "\t");
}
