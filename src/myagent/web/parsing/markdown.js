// Cuts an agent's Markdown into segments and spans to be set apart. Every character stays: marks are dimmed, not removed.

const SEGMENT_CHARACTERS = 4096; // of plain text after which a blank line begins a new segment, to be drawn once
const LONG_LINE = 2000; // characters, from which on a line is not looked into: nobody wrote it to be read
const FENCE = /^ {0,3}(`{3,}(?!`)|~{3,}(?!~))\s*(?!\s)([^`]*)$/; // each run has one end: it is tried once
const HEADING = /^(#{1,6})(\s+)(.*)$/;
const SPANS = /(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)|(\*\*)(?=\S)(.+?)(?<=\S)\*\*|\bhttps?:\/\/[!#-;=?-_a-z~]*[/=\w]/g;

/** Text as it arrives, in segments `{kind: "text" | "code", language, text}`; only the last one still changes. */
export class Markdown {
  constructor() {
    this.segments = [{ kind: "text", language: "", text: "" }];
    this._fence = null; // what closes the code block that is open
    this._line = ""; // the line that has no end yet; it is in the last segment already
  }

  push(text) {
    const lines = text.split("\n");
    lines.forEach((line, index) => {
      this._line += line;
      this._last.text += line;
      if (index < lines.length - 1) {
        this._endLine();
      }
    });
  }

  get _last() {
    return this.segments[this.segments.length - 1];
  }

  _endLine() {
    const line = this._line;
    const last = this._last;
    this._line = "";
    const fence = FENCE.exec(line);
    if (this._fence === null && fence !== null) {
      last.text = last.text.slice(0, last.text.length - line.length);
      this._fence = fence[1];
      this.segments.push({ kind: "code", language: fence[2].trim(), text: "" });
    } else if (fence !== null && fence[2] === "" && fence[1].startsWith(this._fence)) {
      last.text = last.text.slice(0, last.text.length - line.length);
      this._fence = null;
      this.segments.push({ kind: "text", language: "", text: "" });
    } else {
      last.text += "\n";
      if (line.trim() === "" && this._fence === null && last.text.length > SEGMENT_CHARACTERS) {
        this.segments.push({ kind: "text", language: "", text: "" });
      }
    }
  }
}

/** Plain text as spans `{kind: "text" | "mark" | "heading" | "strong" | "code" | "link", text}`. Joined they are it. */
export function spans(text) {
  const found = [];
  text.split("\n").forEach((line, index) => {
    if (index > 0) add(found, "text", "\n");
    const heading = HEADING.exec(line);
    if (heading !== null) {
      add(found, "mark", heading[1] + heading[2]);
      add(found, "heading", heading[3]);
    } else {
      addLine(found, line);
    }
  });
  return found;
}

function addLine(found, line) {
  let at = 0;
  for (const match of line.length > LONG_LINE ? [] : line.matchAll(SPANS)) {
    add(found, "text", line.slice(at, match.index));
    const mark = match[1] ?? match[3];
    if (mark === undefined) {
      add(found, "link", match[0]);
    } else {
      add(found, "mark", mark);
      add(found, match[1] === undefined ? "strong" : "code", match[2] ?? match[4]);
      add(found, "mark", mark);
    }
    at = match.index + match[0].length;
  }
  add(found, "text", line.slice(at));
}

function add(found, kind, text) {
  if (text === "") return;
  const last = found[found.length - 1];
  if (last?.kind === kind && kind === "text") last.text += text;
  else found.push({ kind, text });
}
