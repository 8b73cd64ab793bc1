// What a terminal would show of an agent's output: within a line, what follows a carriage return overwrites. Pure.

import { visible } from "./escape.js";

const CONTROL = /(?:\x1b\[|\x9b)([0-9;:]{0,64})([mK])|[\r\b\t]/g; // colours take no place; K erases within the line
const UNFINISHED = /(?:\x1b(?:\[[0-9;:]{0,64})?|\x9b[0-9;:]{0,64}|\u{1f3f4}[\u{e0061}-\u{e007a}]{0,5})$/u; // its rest is in the next chunk
const MOVES = /[\r\b]|(?:\x1b\[|\x9b)[0-9;:]{0,64}K/;
const COLOURS = /(?:\x1b\[|\x9b)[0-9;:]{0,64}m/g;
const JOINS = /^[\p{M}\u200d\ufe0e\ufe0f]+/u; // takes no column of its own
const WIDE = new RegExp("^(?:\\p{Emoji_Presentation}|[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\u4dbf\\u4e00-\\ua4cf\\uac00-\\ud7a3"
  + "\\uf900-\\ufaff\\ufe30-\\ufe6f\\uff00-\\uff60\\uffe0-\\uffe6\\u{20000}-\\u{3fffd}])|\\ufe0f", "u");
const TAB = 8; // columns
const clusters = globalThis.Intl?.Segmenter === undefined ? null : new Intl.Segmenter("en", { granularity: "grapheme" });

/** An output as it arrives. `raw`: as it came, with every control character written out. */
export class Printed {
  constructor(raw = false) {
    this._raw = raw;
    this._done = ""; // finished lines, each with its newline
    this._line = ""; // the line that still changes, while nothing in it moved the cursor…
    this._cells = null; // …and then its columns: a wide character is followed by "", which shows nothing
    this._column = 0;
    this._rest = ""; // the beginning of a control sequence
  }

  /** What is shown so far; of it, only what follows the last newline can still change. */
  get text() {
    return this._done + this._shownLine + (/^[\x1b\x9b]/.test(this._rest) ? "" : visible(this._rest));
  }

  get length() {
    return this._done.length + (this._cells ?? this._line).length;
  }

  /** Whether its last line has not ended. */
  get open() {
    return this._line !== "" || this._cells !== null || this._rest !== "";
  }

  push(chunk) {
    if (this._raw) {
      const lines = visible(chunk).split("\n");
      const last = lines.pop();
      if (lines.length > 0) this._newline(`${this._line}${lines.join("\n")}`);
      this._line += last;
      return;
    }
    const text = this._rest + chunk;
    this._rest = UNFINISHED.exec(text)?.[0] ?? "";
    const lines = text.slice(0, text.length - this._rest.length).split("\n");
    lines.forEach((line, index) => {
      const ends = index < lines.length - 1;
      const part = ends && line.endsWith("\r") ? line.slice(0, -1) : line; // the usual end of a line elsewhere
      if (this._cells === null && !MOVES.test(part)) this._line += visible(part.replace(COLOURS, ""));
      else this._move(part);
      if (ends) this._newline(this._shownLine);
    });
  }

  get _shownLine() {
    return this._cells === null ? this._line : this._cells.join("");
  }

  _newline(line) {
    this._done += `${line}\n`;
    this._line = "";
    this._cells = null;
    this._column = 0;
  }

  _move(text) {
    if (this._cells === null) {
      this._cells = [];
      const line = this._line;
      this._line = "";
      this._column = 0;
      this._write(line);
    }
    let at = 0;
    for (const found of text.matchAll(CONTROL)) {
      this._put(visible(text.slice(at, found.index)));
      at = found.index + found[0].length;
      if (found[0] === "\r") this._column = 0;
      else if (found[0] === "\b") this._column = Math.max(0, this._column - 1);
      else if (found[0] === "\t") this._tab();
      else if (found[2] === "K") this._erase(found[1]);
    }
    this._put(visible(text.slice(at)));
  }

  _write(line) {
    line.split("\t").forEach((part, index) => {
      if (index > 0) this._tab();
      this._put(part);
    });
  }

  _put(text) {
    const joins = JOINS.exec(text)?.[0] ?? "";
    if (joins !== "" && this._column > 0) this._cells[this._start(this._column - 1)] += joins;
    for (const cluster of split(text.slice(joins.length))) {
      const width = WIDE.test(cluster) ? 2 : 1;
      this._clear(this._column, this._column + width);
      this._cells[this._column] = cluster;
      if (width === 2) this._cells[this._column + 1] = "";
      this._column += width;
    }
  }

  /** Where the character begins that covers a column. */
  _start(column) {
    let start = column;
    while (start > 0 && this._cells[start] === "") start -= 1;
    return start;
  }

  /** Make room: of a character of which only a part is overwritten, blanks remain. */
  _clear(from, to) {
    const { _cells: cells } = this;
    if (from < cells.length && cells[from] === "") cells.fill(" ", this._start(from), from);
    let end = to;
    while (end < cells.length && cells[end] === "") end += 1;
    cells.fill(" ", Math.min(from, cells.length), Math.min(end, cells.length));
  }

  /** A tab moves over what is there, and is itself text at the end of a line. */
  _tab() {
    const stop = (Math.floor(this._column / TAB) + 1) * TAB;
    const { _cells: cells } = this;
    const first = Math.max(this._column, cells.length);
    for (let column = first; column < stop; column += 1) cells[column] = column === first ? "\t" : "";
    this._column = stop;
  }

  _erase(which) {
    const { _cells: cells } = this;
    if (which === "" || which === "0") {
      if (this._column < cells.length) {
        this._clear(this._column, cells.length);
        cells.length = this._column;
      }
    } else if (which === "1") {
      this._clear(0, Math.min(this._column + 1, cells.length));
    } else {
      cells.fill(" ");
      cells.length = Math.min(cells.length, this._column);
    }
  }
}

/** A finished output as it is shown. */
export function printed(text, raw = false) {
  const output = new Printed(raw);
  output.push(text);
  return output.text;
}

function split(text) {
  if (/^[\n -~]*$/.test(text) || clusters === null) return text;
  return Array.from(clusters.segment(text), ({ segment }) => segment);
}
