// Reads the text of a block as CommonMark's inlines (appendix "An algorithm for parsing nested emphasis"), and GFM's
// strikethrough. HTML is text like any other. Pure.

import { destination, entityAt, labelLength, labelOf, match, skipSpace, title } from "./references.js";

const PLAIN = /[^\n`[\]\\!<&*_~]+/y;
const TICKS = /`+/y;
const MARKS = /\*+|_+|~+/y;
const ESCAPED = /\\([!-/:-@[-`{-~])/y;
const ADDRESS = /<([A-Za-z][A-Za-z0-9.+-]{1,31}:[^<>\0-\x20]{0,2000})>/y;
const MAIL = /<([a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,100}@[a-zA-Z0-9-]{1,63}(?:\.[a-zA-Z0-9-]{1,63}){0,20})>/y;
const LABEL_LENGTH = 1001; // with its brackets
const BARE_SCHEME = "http://"; // of an address that begins with www.
const BARE = /(?:https?:\/\/|www\.)[^\s<]{1,2000}|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g;

/**
 * Inlines of a text: `{type: "text" | "code", text}`, `{type: "softbreak" | "hardbreak"}`,
 * `{type: "emph" | "strong" | "strike" | "link" | "image", children, destination, title}`.
 */
export function parseInlines(text, references) {
  return new Parser(text, references).parse();
}

/** A text in which addresses stand as they are: `{type: "text" | "link", …}`, as GFM's extended autolinks. */
export function linked(text) {
  const found = [];
  let at = 0;
  for (const match of text.matchAll(BARE)) {
    if (/[\w/.@]/.test(text[match.index - 1] ?? "")) continue;
    const shown = trimmed(match[0]);
    const mail = !/^(?:https?:|www\.)/.test(shown);
    if (!mail && !/^(?:https?:\/\/)?[\w-]/.test(shown)) continue;
    if (match.index > at) found.push({ type: "text", text: text.slice(at, match.index) });
    const to = mail ? `mailto:${shown}` : shown.startsWith("www.") ? BARE_SCHEME + shown : shown;
    found.push({ type: "link", destination: to, title: "", children: [{ type: "text", text: shown }] });
    at = match.index + shown.length;
  }
  if (at < text.length) found.push({ type: "text", text: text.slice(at) });
  return found;
}

/** An address without what ends the sentence around it. */
function trimmed(address) {
  let shown = address;
  for (;;) {
    const last = shown.at(-1);
    const odd = last === ")" && shown.split(")").length > shown.split("(").length;
    if (!odd && !/[?!.,:*_~'"\]]/.test(last)) return shown;
    shown = shown.slice(0, -1);
  }
}

class Parser {
  constructor(text, references) {
    this._text = text.trim();
    this._references = references;
    this._at = 0;
    this._first = { type: "root", next: null, before: null }; // nodes are a list, so that they can be put in others
    this._last = this._first;
    this._marks = null; // the last of the marks that may begin or end emphasis
    this._brackets = null; // the last of the open brackets
    this._unclosed = new Set(); // lengths of runs of backticks of which none is left
  }

  parse() {
    while (this._at < this._text.length) this._next();
    this._emphasize(null);
    return this._take(this._first, null);
  }

  _next() {
    switch (this._text[this._at]) {
      case "\n":
        return this._newline();
      case "\\":
        return this._backslash();
      case "`":
        return this._code();
      case "*": case "_": case "~":
        return this._mark();
      case "[":
        return this._open("[", false);
      case "!":
        return this._text[this._at + 1] === "[" ? this._open("![", true) : this._literal(1);
      case "]":
        return this._close();
      case "<":
        return this._address();
      case "&": {
        const entity = entityAt(this._text, this._at);
        if (entity === null) return this._literal(1);
        this._at += entity.length;
        return this._append({ type: "text", text: entity.text });
      }
      default:
        return this._literal(match(PLAIN, this._text, this._at)[0].length);
    }
  }

  _append(node) {
    node.before = this._last;
    node.next = null;
    this._last.next = node;
    this._last = node;
    return node;
  }

  _literal(length) {
    const text = this._text.slice(this._at, this._at + length);
    this._at += length;
    return this._append({ type: "text", text });
  }

  _unlink(node) {
    node.before.next = node.next;
    if (node.next === null) this._last = node.before;
    else node.next.before = node.before;
  }

  /** Take the nodes between two out of the list. */
  _take(from, to) {
    const taken = [];
    for (let node = from.next; node !== to; node = node.next) {
      const last = taken.at(-1);
      if (node.type === "text" && last?.type === "text") last.text += node.text;
      else if (node.type !== "text" || node.text !== "") taken.push(node);
    }
    from.next = to;
    if (to === null) this._last = from;
    else to.before = from;
    return taken.map(({ next, before, ...node }) => node);
  }

  _newline() {
    this._at += 1;
    const last = this._last;
    let type = "softbreak";
    if (last.type === "text" && last.text.endsWith(" ")) {
      if (last.text.endsWith("  ")) type = "hardbreak";
      last.text = last.text.trimEnd();
    }
    this._append({ type });
    while (this._text[this._at] === " " || this._text[this._at] === "\t") this._at += 1;
  }

  _backslash() {
    const escaped = match(ESCAPED, this._text, this._at);
    if (this._text[this._at + 1] === "\n") {
      this._at += 2;
      this._append({ type: "hardbreak" });
      while (this._text[this._at] === " ") this._at += 1;
    } else if (escaped !== null) {
      this._at += 2;
      this._append({ type: "text", text: escaped[1] });
    } else {
      this._literal(1);
    }
  }

  _code() {
    const [ticks] = match(TICKS, this._text, this._at);
    const from = this._at + ticks.length;
    if (!this._unclosed.has(ticks.length)) {
      TICKS.lastIndex = from;
      for (let at = this._text.indexOf("`", from); at >= 0;) {
        const [run] = match(TICKS, this._text, at);
        if (run.length === ticks.length) {
          const text = this._text.slice(from, at).replaceAll("\n", " ");
          const padded = text.startsWith(" ") && text.endsWith(" ") && text.trim() !== "";
          this._at = at + run.length;
          return this._append({ type: "code", text: padded ? text.slice(1, -1) : text });
        }
        at = this._text.indexOf("`", at + run.length);
      }
      this._unclosed.add(ticks.length);
    }
    return this._literal(ticks.length);
  }

  _address() {
    const address = match(ADDRESS, this._text, this._at);
    const mail = address === null ? match(MAIL, this._text, this._at) : null;
    const [all, shown] = address ?? mail ?? [];
    if (all === undefined) return this._literal(1);
    this._at += all.length;
    const to = mail === null ? shown : `mailto:${shown}`;
    return this._append({ type: "link", destination: to, title: "", children: [{ type: "text", text: shown }] });
  }

  // --- emphasis ---

  _mark() {
    const [run] = match(MARKS, this._text, this._at);
    const before = characterBefore(this._text, this._at);
    const after = String.fromCodePoint(this._text.codePointAt(this._at + run.length) ?? 10);
    const node = this._literal(run.length);
    const [spaceBefore, spaceAfter] = [before, after].map((each) => /\s/u.test(each));
    const [signBefore, signAfter] = [before, after].map((each) => /[\p{P}\p{S}]/u.test(each));
    const left = !spaceAfter && (!signAfter || spaceBefore || signBefore);
    const right = !spaceBefore && (!signBefore || spaceAfter || signAfter);
    const under = run[0] === "_";
    const opens = under ? left && (!right || signBefore) : left;
    const closes = under ? right && (!left || signAfter) : right;
    if (run[0] === "~" && run.length > 2) return;
    const mark = { node, kind: run[0], count: run.length, size: run.length, opens, closes, before: this._marks, next: null };
    if (this._marks !== null) this._marks.next = mark;
    this._marks = mark;
  }

  _forget(mark) {
    if (mark.before !== null) mark.before.next = mark.next;
    if (mark.next === null) this._marks = mark.before;
    else mark.next.before = mark.before;
  }

  /** Pair the marks after `bottom`. */
  _emphasize(bottom) {
    const bottoms = new Map(); // kind of closer → where no opener for it is below
    let closer = this._marks;
    while (closer !== null && closer.before !== bottom) closer = closer.before;
    if (this._marks === bottom) closer = null;
    while (closer !== null) {
      if (!closer.closes) {
        closer = closer.next;
        continue;
      }
      const kind = `${closer.kind}${closer.opens}${closer.kind === "~" ? closer.size : closer.size % 3}`;
      const opener = this._openerFor(closer, bottom, bottoms.has(kind) ? bottoms.get(kind) : bottom);
      if (opener === null) {
        bottoms.set(kind, closer.before);
        const next = closer.next;
        if (!closer.opens) this._forget(closer);
        closer = next;
      } else {
        closer = this._pair(opener, closer);
      }
    }
    while (this._marks !== bottom) this._forget(this._marks);
  }

  _openerFor(closer, bottom, lowest) {
    for (let opener = closer.before; opener !== null && opener !== bottom && opener !== lowest; opener = opener.before) {
      const odd = (closer.opens || opener.closes) && closer.size % 3 !== 0 && (opener.size + closer.size) % 3 === 0;
      const fits = closer.kind === "~" ? opener.size === closer.size : !odd;
      if (opener.kind === closer.kind && opener.opens && fits) return opener;
    }
    return null;
  }

  /** Put what is between two marks in emphasis; returns the mark to go on with. */
  _pair(opener, closer) {
    const strong = opener.count >= 2 && closer.count >= 2;
    const used = opener.kind === "~" ? opener.count : strong ? 2 : 1;
    for (const mark of [opener, closer]) {
      mark.count -= used;
      mark.node.text = mark.node.text.slice(used);
    }
    for (let between = closer.before; between !== opener; between = between.before) this._forget(between);
    const children = this._take(opener.node, closer.node);
    const node = { type: opener.kind === "~" ? "strike" : strong ? "strong" : "emph", children, before: opener.node, next: closer.node };
    opener.node.next = closer.node.before = node;
    if (opener.count === 0) {
      this._unlink(opener.node);
      this._forget(opener);
    }
    if (closer.count > 0) return closer;
    this._unlink(closer.node);
    this._forget(closer);
    return closer.next;
  }

  // --- links and images ---

  _open(text, image) {
    const node = this._literal(text.length);
    if (this._brackets !== null) this._brackets.followed = true;
    this._brackets = { node, image, at: this._at, marks: this._marks, active: true, followed: false, before: this._brackets };
  }

  _close() {
    const opener = this._brackets;
    const end = this._at;
    if (opener === null) return this._literal(1);
    const target = opener.active ? this._target(opener, end) : null;
    this._brackets = opener.before;
    if (target === null) {
      this._at = end;
      return this._literal(1);
    }
    this._emphasize(opener.marks);
    const children = this._take(opener.node, null);
    this._unlink(opener.node);
    this._append({ type: opener.image ? "image" : "link", destination: target.destination, title: target.title, children });
    if (opener.image) return undefined;
    for (let each = this._brackets; each !== null; each = each.before) { // no link is in another
      if (each.image) continue;
      if (!each.active) break;
      each.active = false;
    }
    return undefined;
  }

  /** Where a bracket that closes leads; leaves the place after it. */
  _target(opener, end) {
    this._at = end + 1;
    const inline = this._text[this._at] === "(" ? this._inlineTarget(this._at + 1) : null;
    if (inline !== null) {
      this._at = inline.end;
      return inline;
    }
    const length = labelLength(this._text, this._at);
    let label = null;
    if (length > 2) label = this._text.slice(this._at + 1, this._at + length - 1);
    else if (!opener.followed && end - opener.at < LABEL_LENGTH) label = this._text.slice(opener.at, end);
    const found = label === null || label.trim() === "" ? undefined : this._references.get(labelOf(label));
    this._at = end + 1 + length;
    return found ?? null;
  }

  _inlineTarget(from) {
    const to = destination(this._text, skipSpace(this._text, from));
    if (to === null) return null;
    let end = skipSpace(this._text, to.end);
    const called = end > to.end ? title(this._text, end) : null;
    if (called !== null) end = skipSpace(this._text, called.end);
    return this._text[end] === ")" ? { destination: to.value, title: called?.value ?? "", end: end + 1 } : null;
  }
}

function characterBefore(text, at) {
  if (at === 0) return "\n";
  const unit = text.charCodeAt(at - 1);
  return unit >= 0xdc00 && unit <= 0xdfff && at > 1 ? text.slice(at - 2, at) : text[at - 1];
}
