// Makes characters visible that cannot be seen or that reorder text; the rule of core/display.py.

const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}\p{Default_Ignorable_Code_Point}\u2800\u{1d159}]/u;
const PLAIN = /^[\n -[\]-~]*$/;
const RUN = /(\\+)(u\{|[^\n -~]+)?|([^\n -~]+)/gu;

// What may pass in an agent's text: newline, tab, and what merely joins or spaces visible characters.
const COLOURS = /(?:\x1b\[|\x9b)[0-9;:]{0,64}m/g;
const UNSAFE = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}\p{Cs}]/gu;

/** Write every unseen or reordering character as `\u{…}`; newline and space stay. Injective, as in core/display.py. */
export function escape(text) {
  return PLAIN.test(text) ? text : text.replace(RUN, escapeRun);
}

/** One line of it, for labels and titles. */
export function escapeLine(text) {
  const lines = text.split("\n").map((line) => line.trim());
  return escape(lines.filter((line) => line !== "").join(" "));
}

/** An agent's text to be read: colours dropped, line ends made one kind, what steers or reorders made visible. */
export function readable(text) {
  return text.replace(COLOURS, "").replace(/\r\n?/g, "\n").replace(UNSAFE, code);
}

function escapeRun(_, backslashes = "", after, alone) {
  const rest = after ?? alone ?? "";
  if (rest === "u{") return backslashes + backslashes + rest;
  let shown = "";
  for (const character of rest) shown += UNSEEN.test(character) ? code(character) : character;
  return (shown.startsWith("\\") ? backslashes + backslashes : backslashes) + shown;
}

function code(character) {
  return `\\u{${character.codePointAt(0).toString(16)}}`;
}
