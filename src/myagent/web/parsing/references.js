// The small grammars within Markdown: escapes, entities, link destinations, titles, labels, definitions and rows. Pure.

import { ENTITIES } from "./entities.js";

const LONGEST = 2000; // characters of a destination or title: nobody wrote a longer one to be read
const PARENTHESES = 32; // within parentheses, in a destination
const ESCAPABLE = "[!-/:-@\\[-`{-~]";
const WRITTEN = new RegExp(`\\\\(${ESCAPABLE})|&(?:#[xX]([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([A-Za-z][A-Za-z0-9]{1,31}));`, "g");
const ANGLED = new RegExp(`<((?:[^<>\\n\\\\]|\\\\.){0,${LONGEST}})>`, "y");
const TITLE = new RegExp(["\"(?:[^\"\\\\]|\\\\[^])", "'(?:[^'\\\\]|\\\\[^])", "\\((?:[^()\\\\]|\\\\[^])"]
  .map((part) => `${part}{0,${LONGEST}}${{ "\"": "\"", "'": "'", "\\": "\\)" }[part[0]]}`).join("|"), "y");
const SPACE = /[ \t]*(?:\n[ \t]*)?/y;
const LINE_END = /[ \t]*(?:\n|$)/y;
const LABEL = /\[((?:[^\\[\]]|\\[^]){0,999})\]/y;

/** A text with its escapes and entities read. */
export function unescaped(text) {
  return text.replace(WRITTEN, (written, escaped, hex, decimal, name) => {
    if (escaped !== undefined) return escaped;
    return name === undefined ? numbered(hex === undefined ? Number(decimal) : parseInt(hex, 16)) : ENTITIES.get(name) ?? written;
  });
}

/** The one entity at a place: `{text, length}`, or `null`. */
export function entityAt(text, at) {
  const [written] = /^&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});/.exec(text.slice(at, at + 40)) ?? [""];
  const read = unescaped(written);
  return read === written ? null : { text: read, length: written.length };
}

function numbered(code) {
  return code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? "\ufffd" : String.fromCodePoint(code);
}

export function match(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

export function skipSpace(text, at) {
  return at + match(SPACE, text, at)[0].length;
}

/** A link's destination: `{value, end}`, or `null`. */
export function destination(text, at) {
  if (text[at] === "<") {
    const angled = match(ANGLED, text, at);
    return angled === null ? null : { value: unescaped(angled[1]), end: at + angled[0].length };
  }
  let depth = 0;
  let end = at;
  for (; end < text.length && end - at <= LONGEST; end += 1) {
    const character = text[end];
    if (character === "\\" && /[!-/:-@[-`{-~]/.test(text[end + 1] ?? "")) end += 1;
    else if (character === "(" && depth < PARENTHESES) depth += 1;
    else if (character === "(") return null;
    else if (character === ")" && depth === 0) break;
    else if (character === ")") depth -= 1;
    else if (character <= " " || character === "\x7f") break;
  }
  if (depth !== 0 || end - at > LONGEST) return null;
  return { value: unescaped(text.slice(at, end)), end };
}

/** A link's title: `{value, end}`, or `null`. */
export function title(text, at) {
  const found = match(TITLE, text, at);
  return found === null ? null : { value: unescaped(found[0].slice(1, -1)), end: at + found[0].length };
}

/** A label in brackets: its length with them, 0 if there is none. */
export function labelLength(text, at) {
  return match(LABEL, text, at)?.[0].length ?? 0;
}

/** What two labels have in common that name the same. */
export function labelOf(label) {
  return label.trim().replace(/[ \t\r\n]+/g, " ").toLowerCase().toUpperCase();
}

/** The definition that a paragraph begins with: `{label, destination, title, length}`, or `null`. */
export function definition(text) {
  const size = labelLength(text, 0);
  const label = text.slice(1, size - 1);
  if (size < 3 || text[size] !== ":" || label.trim() === "") return null;
  const from = skipSpace(text, size + 1);
  const to = destination(text, from);
  if (to === null || to.end === from) return null;
  const after = skipSpace(text, to.end);
  const called = after > to.end ? title(text, after) : null;
  for (const each of called === null ? [null] : [called, null]) {
    const end = match(LINE_END, text, each?.end ?? to.end);
    if (end !== null) return { label, destination: to.value, title: each?.value ?? "", length: end.index + end[0].length };
  }
  return null;
}

/** The cells of a table's row; a bar in one is written `\|`. */
export function cellsOf(row) {
  const text = row.trim().replace(/^\|/, "");
  const cells = [];
  let cell = "";
  for (const part of text.split(/(\\\||\|)/)) {
    if (part === "|") {
      cells.push(cell.trim());
      cell = "";
    } else {
      cell += part === "\\|" ? "|" : part;
    }
  }
  if (cell.trim() !== "" || cells.length === 0) cells.push(cell.trim());
  return cells;
}
