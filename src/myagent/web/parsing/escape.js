// Makes characters visible that cannot be seen or that reorder text; the rule of core/display.py.

const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}\p{Default_Ignorable_Code_Point}\u2800\u{1d159}]/u;
const PLAIN = /^[\n -[\]-~]*$/;
const RUN = /(\\+)(u\{|[^\n -~]+)?|([^\n -~]+)/gu;

// What may pass in an agent's text: newline, tab, and what merely joins or spaces visible characters.
const UNSAFE = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}\p{Cs}]/u;
const FLAGS = /\u{1f3f4}\u{e0067}\u{e0062}(?:\u{e0065}\u{e006e}\u{e0067}|\u{e0073}\u{e0063}\u{e0074}|\u{e0077}\u{e006c}\u{e0073})\u{e007f}/u;
const SHOWN = new RegExp(`${FLAGS.source}|${UNSAFE.source}`, "gu"); // tags are text in the three flags of Unicode's emoji data

/** Write every unseen or reordering character as `\u{…}`; newline and space stay. Injective, as in core/display.py. */
export function escape(text) {
  return PLAIN.test(text) ? text : text.replace(RUN, escapeRun);
}

/** One line of it, for labels and titles. */
export function escapeLine(text) {
  const lines = text.split("\n").map((line) => line.trim());
  return escape(lines.filter((line) => line !== "").join(" "));
}

/** A text as it came, with what steers or reorders made visible: nothing is taken out, nothing is obeyed. */
export function visible(text) {
  return text.replace(SHOWN, (found) => (found.length > 2 ? found : code(found)));
}

/** Half a character cannot be sent: it becomes U+FFFD. */
export function whole(text) {
  return text.replace(/\p{Cs}/gu, "\ufffd");
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
