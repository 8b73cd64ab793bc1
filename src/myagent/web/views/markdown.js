// Draws Markdown as elements, and draws on as it arrives: what has not changed is not touched.

import { escapeLine, visible } from "../parsing/escape.js";
import { linked, parseInlines } from "../parsing/inlines.js";
import { Markdown } from "../parsing/markdown.js";
import { copyButton, el, flowing, setText } from "./dom.js";
import { Later } from "./later.js";

const DEEPEST = 40; // emphasis within emphasis that is drawn; browsers recurse over elements
const SCHEMES = ["http:", "https:", "mailto:"];

/** The text of a message in an element; `update(text)` takes the text so far. */
export class MarkdownView {
  constructor(node) {
    this._node = node;
    this._markdown = new Markdown();
    this._drawn = [];
    this._defined = "[]";
  }

  update(text) {
    this._markdown.update(text);
    const { blocks, references } = this._markdown;
    const defined = JSON.stringify([...references]);
    const changed = defined !== this._defined; // brackets may lead elsewhere now
    this._defined = defined;
    reconcile(this._node, this._drawn, blocks, { references, changed });
  }
}

/** Bring the drawn blocks of an element in line with what they should be. */
function reconcile(node, drawn, blocks, links) {
  while (drawn.length > blocks.length) drawn.pop().node.remove();
  blocks.forEach((block, index) => {
    const known = drawn[index];
    if (known?.block === block && !links.changed) return;
    if (known?.block.type === block.type && known.update(block, links)) {
      known.block = block;
      return;
    }
    const made = new DRAWN[block.type](block, links);
    made.block = block;
    if (known === undefined) node.append(made.node);
    else known.node.replaceWith(made.node);
    drawn[index] = made;
  });
}

class DrawnText {
  constructor({ type, level, text }, { references }) {
    this._text = text;
    this.node = type === "heading" ? el(`h${Math.min(6, level + 2)}`, { class: `heading h${level}` }) : el("p");
    this.node.append(...drawInlines(parseInlines(text, references)));
  }

  update({ text, level }, { references, changed }) {
    if (level !== this.block.level) return false;
    if (text === this._text && !(changed && text.includes("["))) return true;
    this._text = text;
    this.node.replaceChildren(...drawInlines(parseInlines(text, references)));
    return true;
  }
}

const colours = new Later(() => import("../parsing/syntax.js"), ({ tokensOf }) => tokensOf);

class DrawnCode {
  constructor(block) {
    this._text = "";
    this._tokens = []; // that are drawn, each as `[kind, text, nodes]`
    this._name = el("span");
    this._pre = el("pre", { tabindex: "0" });
    const head = el("div", { class: "code-head" }, this._name, copyButton(() => this._text));
    this.node = el("div", { class: "code" }, head, this._pre);
    this.update(block);
  }

  update({ text, info }) {
    const shown = text.endsWith("\n") ? text.slice(0, -1) : text;
    setText(this._name, escapeLine(info) || "code");
    const tokens = this._tokensOf(shown, info);
    if (tokens !== null) {
      this._drawTokens(tokens);
      this._text = shown;
      return true;
    }
    if (this._tokens.length > 0) this._drawTokens([]);
    if (!shown.startsWith(this._text)) {
      this._pre.replaceChildren();
      this._text = "";
    }
    if (shown !== this._text) this._pre.append(...flowing(shown.slice(this._text.length)));
    this._text = shown;
    return true;
  }

  /** What has colours; those come later than the text, which does not move for them. */
  _tokensOf(text, info) {
    if (colours.part !== undefined) return colours.part(text, info);
    if (info === "") return null;
    if (this._wanted === undefined) colours.use(() => this.update(this._wanted));
    this._wanted = { text, info };
    return null;
  }

  /** What begins as it did stays as it is drawn. */
  _drawTokens(tokens) {
    let same = 0;
    while (same < tokens.length && this._tokens[same]?.[0] === tokens[same][0] && this._tokens[same][1] === tokens[same][1]) same += 1;
    if (this._tokens.length === 0) this._pre.replaceChildren();
    for (const [, , nodes] of this._tokens.splice(same)) nodes.forEach((node) => node.remove());
    for (const [kind, text] of tokens.slice(same)) {
      const nodes = kind === "" ? flowing(text) : [el("span", { class: kind, text })];
      this._pre.append(...nodes);
      this._tokens.push([kind, text, nodes]);
    }
    if (tokens.length === 0) this._text = "";
  }
}

class DrawnRule {
  constructor() {
    this.node = el("hr");
  }

  update() {
    return true;
  }
}

class DrawnContainer {
  constructor(block, links) {
    this._children = [];
    this.node = this._make(block);
    this.update(block, links);
  }

  _make() {
    return el("blockquote");
  }

  update(block, links) {
    reconcile(this.node, this._children, block.children, links);
    return true;
  }
}

class DrawnList extends DrawnContainer {
  _make({ ordered, first }) {
    return el(ordered ? "ol" : "ul", { start: ordered && first !== 1 ? String(first) : undefined });
  }

  update(block, links) {
    if (this.block !== undefined && (this.block.ordered !== block.ordered || this.block.first !== block.first)) return false;
    this.node.classList.toggle("loose", !block.tight);
    return super.update(block, links);
  }
}

class DrawnItem extends DrawnContainer {
  _make({ task }) {
    if (task === undefined) return el("li");
    return el("li", { class: "task" }, el("span", { class: "box", role: "img", "aria-label": task === "x" ? "done" : "to do", text: task === "x" ? "☑" : "☐" }));
  }

  update(block, links) {
    if (this.block !== undefined && this.block.task !== block.task) return false;
    return super.update(block, links);
  }
}

class DrawnTable {
  constructor(block, links) {
    this._head = el("thead");
    this._body = el("tbody");
    this._rows = [];
    this.node = el("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" }, el("table", {}, this._head, this._body));
    this.update(block, links);
  }

  update({ align, rows }, { references, changed }) {
    if (this.block !== undefined && this.block.align.join() !== align.join()) return false;
    while (this._rows.length > rows.length) this._rows.pop().node.remove();
    rows.forEach((cells, index) => {
      const key = JSON.stringify(cells);
      if (this._rows[index]?.key === key && !changed) return;
      const node = el("tr", {}, ...cells.map((text, column) =>
        el(index === 0 ? "th" : "td", { class: align[column] || undefined }, ...drawInlines(parseInlines(text, references)))));
      if (this._rows[index] === undefined) (index === 0 ? this._head : this._body).append(node);
      else this._rows[index].node.replaceWith(node);
      this._rows[index] = { key, node };
    });
    return true;
  }
}

const DRAWN = {
  paragraph: DrawnText,
  heading: DrawnText,
  code: DrawnCode,
  rule: DrawnRule,
  quote: DrawnContainer,
  list: DrawnList,
  item: DrawnItem,
  table: DrawnTable,
};

const ELEMENTS = { emph: "em", strong: "strong", strike: "del" };

function drawInlines(nodes, depth = 0, inLink = false) {
  return nodes.flatMap((node) => {
    const { type, text, children } = node;
    switch (type) {
      case "text":
        return inLink ? flowing(visible(text)) : linked(visible(text)).flatMap((each) => (each.type === "text" ? flowing(each.text) : drawLink(each, depth)));
      case "code":
        return [el("code", { text })];
      case "softbreak":
        return [document.createTextNode("\n")];
      case "hardbreak":
        return [el("br")];
      case "link": case "image":
        return drawLink(node, depth);
      default:
        if (depth >= DEEPEST) return flowing(visible(textOf(children)));
        return [el(ELEMENTS[type], {}, ...drawInlines(children, depth + 1, inLink))];
    }
  });
}

/** A link says where it leads, beside its text if that says something else. No image is fetched. */
function drawLink({ type, destination, children }, depth) {
  const said = textOf(children);
  const text = type === "image" ? [document.createTextNode(visible(`image: ${said}`))] : drawInlines(children, depth + 1, true);
  const url = URL.canParse?.(destination) ? new URL(destination) : null;
  if (url === null || !SCHEMES.includes(url.protocol) || url.username !== "" || depth >= DEEPEST) {
    return [...text, ...(said === destination ? [] : [el("span", { class: "leads", text: ` (${escapeLine(destination)})` })])];
  }
  const same = type === "link" && [url.href, url.href.replace(/\/$/, "")].includes(said);
  const place = url.protocol === "mailto:" ? url.pathname : url.host;
  return [
    el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, ...text),
    ...(same || said === place ? [] : [el("span", { class: "leads", text: ` (${place})` })]),
  ];
}

/** The text of inlines, without going as deep as they may be nested. */
function textOf(nodes) {
  const parts = [];
  const left = [...nodes].reverse();
  while (left.length > 0) {
    const node = left.pop();
    if (node.children === undefined) parts.push(node.text ?? "\n");
    else left.push(...[...node.children].reverse());
  }
  return parts.join("");
}
