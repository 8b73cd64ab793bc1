// Cuts Markdown into blocks, line by line, as CommonMark says (appendix "A parsing strategy"), with GFM's tables. Pure.

import { cellsOf, definition, labelOf, unescaped } from "./references.js";

const DEEPEST = 60; // blocks within blocks; what is nested deeper is text
const COLUMNS = 128; // of a table
const CELLS = 20_000; // of a table; what follows is text
const INDENTED = 4; // columns that make code
const RULE = /^(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$/;
const FENCE = /^(?:`{3,}(?!`)(?!.*`)|~{3,})/; // a run has one end: it is tried once
const FENCE_END = /^(?:`{3,}|~{3,})(?=[ \t]*$)/;
const UNDERLINE = /^(?:=+|-+)[ \t]*$/;
const DELIMITERS = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const CONTAINERS = new Set(["document", "quote", "list", "item"]);
const TASK = /^\[([ xX])\][ \t]+(?=\S)/;

/**
 * Blocks of a text: `{type, start, children}`, `start` being the place of its first line. Types: document, quote, list
 * (`ordered`, `first`, `tight`), item (`task`: undefined, " " or "x"), paragraph and heading (`text`, `level`), code
 * (`text`, `info`), rule, table (`align`, `rows` of cells of text; the first is its head).
 */
export function parseBlocks(text, references) {
  const parser = new Parser(references);
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf("\n", start);
    parser.line(text.slice(start, end < 0 ? text.length : end), start);
    start = end < 0 ? text.length : end + 1;
  }
  return parser.end();
}

class Parser {
  constructor(references) {
    this._references = references;
    this._document = { type: "document", parent: null, children: [], open: true, depth: 0, start: 0 };
    this._tip = this._document; // the innermost open block
  }

  line(line, start) {
    this._line = line.replaceAll("\0", "\ufffd");
    this._start = start;
    this._offset = this._column = 0;
    this._next = -1;
    this._partTab = this._eaten = false;
    this._before = this._tip;
    let container = this._document;
    for (let last; (last = container.children?.at(-1)) && last.open; container = last) {
      this._look();
      const goesOn = this._continues(last);
      if (goesOn === null) return; // the end of a code block is all that the line says
      if (!goesOn) break;
    }
    this._closed = container === this._before;
    this._matched = container;
    let leaf = container.type === "code";
    while (!leaf) {
      this._look();
      if (!this._begin(container)) {
        this._skipBlanks();
        break;
      }
      container = this._tip;
      leaf = !CONTAINERS.has(container.type);
    }
    if (!this._closed && !this._blank && this._tip.type === "paragraph") {
      this._add(); // a lazy continuation
      return;
    }
    this._closeUnmatched();
    this._noteBlank(container);
    if (this._eaten) return;
    if (container.type === "code" || container.type === "paragraph") this._add();
    else if (container.type === "table") this._addRow(container);
    else if (CONTAINERS.has(container.type) && !this._blank) {
      this._open("paragraph", { text: "" });
      this._skipBlanks();
      this._add();
    }
  }

  end() {
    while (this._tip !== null) this._close(this._tip);
    return this._document;
  }

  // --- places in the line ---

  /** Find the next character that is no blank; between here and there lie `_indent` columns. */
  _look() {
    if (this._offset > this._next || this._next < 0) this._lookAhead();
    this._indent = this._nextColumn - this._column;
    this._indented = this._indent >= INDENTED;
  }

  _lookAhead() {
    let at = this._offset;
    let column = this._column;
    for (; this._line[at] === " " || this._line[at] === "\t"; at += 1) column += this._line[at] === " " ? 1 : 4 - (column % 4);
    this._blank = at >= this._line.length;
    this._next = at;
    this._nextColumn = column;
  }

  _skipBlanks() {
    this._offset = this._next;
    this._column = this._nextColumn;
    this._partTab = false;
  }

  _advance(count, columns = false) {
    let left = count;
    while (left > 0 && this._offset < this._line.length) {
      const width = this._line[this._offset] === "\t" ? 4 - (this._column % 4) : 1;
      const step = columns ? Math.min(left, width) : width;
      this._partTab = step < width;
      this._column += step;
      if (!this._partTab) this._offset += 1;
      left -= columns ? step : 1;
    }
  }

  _isBlankAt(offset) {
    return this._line[offset] === " " || this._line[offset] === "\t";
  }

  _rest() {
    return this._line.slice(this._next);
  }

  // --- the tree ---

  _open(type, fields) {
    while (!(type === "item" ? this._tip.type === "list" : CONTAINERS.has(this._tip.type) && this._tip.type !== "list")) this._close(this._tip);
    const block = { type, parent: this._tip, open: true, depth: this._tip.depth + 1, start: this._start, blankAfter: false, ...fields };
    if (CONTAINERS.has(type)) block.children = [];
    this._tip.children.push(block);
    this._tip = block;
    return block;
  }

  _close(block) {
    block.open = false;
    this._tip = block.parent;
    if (block.type === "paragraph") this._closeParagraph(block);
    else if (block.type === "code" && !block.fenced) block.text = `${trimEmptyLines(block.text)}\n`;
    else if (block.type === "list") block.tight = isTight(block);
    else if (block.type === "item") findTask(block);
  }

  _closeUnmatched() {
    for (let block = this._before; !this._closed && block !== this._matched; block = block.parent) this._close(block);
    this._closed = true;
  }

  _closeParagraph(block) {
    this._takeDefinitions(block);
    if (block.text.trim() === "") block.parent.children.pop();
  }

  _takeDefinitions(block) {
    for (let found; block.text.startsWith("[") && (found = definition(block.text)) !== null;) {
      const { label, length, ...target } = found;
      if (!this._references.has(labelOf(label))) this._references.set(labelOf(label), target);
      block.text = block.text.slice(length);
    }
  }

  _noteBlank(container) {
    const { children } = container;
    if (this._blank && children?.length > 0) children.at(-1).blankAfter = true;
    const fresh = container.type === "item" && children.length === 0 && container.start === this._start;
    const counts = this._blank && !(container.type === "quote" || container.fenced || fresh);
    for (let block = container; block !== null; block = block.parent) block.blankAfter = counts;
  }

  _add() {
    if (this._partTab) {
      this._offset += 1;
      this._tip.text += " ".repeat(4 - (this._column % 4));
    }
    this._tip.text += `${this._line.slice(this._offset)}\n`;
  }

  _addRow(table) {
    const cells = cellsOf(this._rest());
    const { length } = table.align;
    table.rows.push(Array.from({ length }, (_, index) => cells[index] ?? ""));
  }

  // --- whether an open block goes on ---

  /** Whether it does; `null`: this line ends it, and says nothing else. */
  _continues(block) {
    switch (block.type) {
      case "quote":
        return this._takeQuoteMark();
      case "item":
        if (this._blank) {
          if (block.children.length === 0) return false;
          this._skipBlanks();
          return true;
        }
        if (this._indent < block.padding) return false;
        this._advance(block.padding, true);
        return true;
      case "list":
        return true;
      case "code":
        return block.fenced ? this._continuesFence(block) : this._continuesIndented();
      case "paragraph":
        return !this._blank;
      case "table":
        return !this._blank && block.rows.length * block.align.length < CELLS;
      default:
        return false;
    }
  }

  _takeQuoteMark() {
    if (this._indented || this._line[this._next] !== ">") return false;
    this._skipBlanks();
    this._advance(1);
    if (this._isBlankAt(this._offset)) this._advance(1, true);
    return true;
  }

  _continuesFence(block) {
    const end = !this._indented && this._line[this._next] === block.fence[0] ? FENCE_END.exec(this._rest()) : null;
    if (end !== null && end[0].length >= block.fence.length) {
      for (let open = this._before; open !== block; open = open.parent) this._close(open);
      this._close(block);
      return null;
    }
    for (let left = block.indent; left > 0 && this._isBlankAt(this._offset); left -= 1) this._advance(1, true);
    return true;
  }

  _continuesIndented() {
    if (this._indented) this._advance(INDENTED, true);
    else if (this._blank) this._skipBlanks();
    else return false;
    return true;
  }

  // --- what begins a block ---

  /** Begin a block in the container where the line does; whether it did. */
  _begin(container) {
    if (this._indented) return this._beginItem(container) || this._beginIndented();
    const deep = container.depth >= DEEPEST;
    switch (this._line[this._next]) {
      case ">":
        if (deep) return false;
        this._takeQuoteMark();
        this._closeUnmatched();
        return Boolean(this._open("quote"));
      case "#":
        return this._beginHeading();
      case "`": case "~":
        return this._beginFence();
      case "=": case "-": case "|": case ":": case "*": case "_": case "+":
        return this._beginTable(container) || this._underline(container) || this._beginRule() || (!deep && this._beginItem(container));
      default:
        return !deep && this._beginItem(container);
    }
  }

  _beginHeading() {
    const mark = /^#{1,6}(?=[ \t]|$)/.exec(this._rest());
    if (mark === null) return false;
    this._closeUnmatched();
    let text = this._rest().slice(mark[0].length).trim();
    let end = text.length;
    while (text[end - 1] === "#") end -= 1;
    if (end === 0 || /[ \t]/.test(text[end - 1])) text = text.slice(0, end).trim();
    this._eaten = true;
    return Boolean(this._open("heading", { level: mark[0].length, text }));
  }

  _beginFence() {
    const fence = FENCE.exec(this._rest());
    if (fence === null) return false;
    this._closeUnmatched();
    const info = unescaped(this._rest().slice(fence[0].length).trim());
    this._eaten = true;
    return Boolean(this._open("code", { fenced: true, fence: fence[0], indent: this._indent, info, text: "" }));
  }

  _beginIndented() {
    if (this._tip.type === "paragraph" || this._blank) return false;
    this._advance(INDENTED, true);
    this._closeUnmatched();
    return Boolean(this._open("code", { fenced: false, info: "", text: "" }));
  }

  _beginRule() {
    if (!RULE.test(this._rest())) return false;
    this._closeUnmatched();
    this._eaten = true;
    return Boolean(this._open("rule"));
  }

  /** A line that makes the paragraph above it a heading. */
  _underline(container) {
    if (container.type !== "paragraph" || !UNDERLINE.test(this._rest())) return false;
    this._closeUnmatched();
    this._takeDefinitions(container);
    if (container.text.trim() === "") return false;
    container.type = "heading";
    container.level = this._line[this._next] === "=" ? 1 : 2;
    container.text = container.text.trim();
    return (this._eaten = true);
  }

  /** A line that makes the last line of the paragraph above it the head of a table. */
  _beginTable(container) {
    const rest = this._rest();
    if (container.type !== "paragraph" || !/[|:]/.test(rest) || !DELIMITERS.test(rest)) return false;
    const text = container.text.slice(0, -1);
    const last = text.lastIndexOf("\n") + 1;
    const head = cellsOf(text.slice(last));
    const align = cellsOf(rest).map((cell) => ({ ":-": "left", "-:": "right", "::": "center" })[cell[0] + cell.at(-1)] ?? "");
    if (head.length !== align.length || align.length > COLUMNS) return false;
    this._closeUnmatched();
    container.text = text.slice(0, last);
    if (last > 0) this._close(container);
    else container.parent.children.pop();
    this._tip = container.parent;
    this._eaten = true;
    const table = this._open("table", { align, rows: [head] });
    if (last === 0) table.start = container.start;
    return true;
  }

  _beginItem(container) {
    if (this._indented || this._blank) return false;
    const mark = /^(?:[*+-]|(\d{1,9})[.)])(?=[ \t]|$)/.exec(this._rest());
    if (mark === null) return false;
    const [text, first] = mark;
    if (container.type === "paragraph") { // it is interrupted by what says something, and by a list's beginning only
      if (first !== undefined && Number(first) !== 1) return false;
      if (this._rest().slice(text.length).trim() === "") return false;
    }
    const padding = this._indent + this._takeMark(text);
    this._closeUnmatched();
    const kind = text.at(-1);
    const list = this._tip.type === "list" ? this._tip : container;
    if (this._tip.type !== "list" || list.kind !== kind) {
      this._open("list", { kind, ordered: first !== undefined, first: Number(first ?? 1), tight: true });
    }
    return Boolean(this._open("item", { padding }));
  }

  /** Take a list's mark and the blanks after it; how many columns they are. */
  _takeMark(text) {
    this._skipBlanks();
    this._advance(text.length, true);
    const [column, offset] = [this._column, this._offset];
    do this._advance(1, true);
    while (this._column - column < 5 && this._isBlankAt(this._offset));
    const blanks = this._column - column;
    if (blanks >= 1 && blanks < 5 && this._offset < this._line.length) return text.length + blanks;
    this._column = column;
    this._offset = offset;
    this._partTab = false;
    if (this._isBlankAt(this._offset)) this._advance(1, true);
    return text.length + 1;
  }
}

function trimEmptyLines(text) {
  const lines = text.split("\n");
  while (lines.length > 0 && lines.at(-1).trim() === "") lines.pop();
  return lines.join("\n");
}

/** Whether no blank line is between two items, or between what is in one. */
function isTight({ children }) {
  return !children.some((item, index) => {
    const more = index < children.length - 1;
    return (more && endsBlank(item)) || item.children.some((each, at) => (more || at < item.children.length - 1) && endsBlank(each));
  });
}

function endsBlank(block) {
  for (let each = block; each !== undefined; each = each.children.at(-1)) {
    if (each.blankAfter) return true;
    if (each.type !== "list" && each.type !== "item") return false;
  }
  return false;
}

function findTask(item) {
  const [first] = item.children;
  const mark = first?.type === "paragraph" ? TASK.exec(first.text) : null;
  if (mark === null) return;
  item.task = mark[1].toLowerCase();
  first.text = first.text.slice(mark[0].length);
}
