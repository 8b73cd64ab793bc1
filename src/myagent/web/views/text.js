// The text of a drawn node as it is read, and where each of its characters is.

const BLOCKS = "p, pre, li, div, h1, h2, h3, h4, h5, h6, td, th, summary, details, blockquote";
const ASIDE = "button, .gutter, .item-head, .code-head, .status"; // of the page, not of the text

export class Text {
  constructor(node) {
    this.node = node;
    this._nodes = [];
    this._starts = [];
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    let text = "";
    let block = null;
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      if (parent.closest(ASIDE) !== null) continue;
      const around = parent.closest(BLOCKS);
      if (around !== block && text !== "") text += "\n"; // nothing is found across two blocks
      block = around;
      this._nodes.push(walker.currentNode);
      this._starts.push(text.length);
      text += walker.currentNode.data;
    }
    this.folded = fold(text);
  }

  range(at, length) {
    const range = new Range();
    range.setStart(...this._place(at));
    range.setEnd(...this._place(at + length, true));
    return range;
  }

  _place(at, end = false) {
    let low = 0;
    let high = this._starts.length - 1;
    while (low < high) { // the last node that begins at or before it; for an end, before it
      const middle = (low + high + 1) >> 1;
      if (this._starts[middle] < at || (!end && this._starts[middle] === at)) low = middle;
      else high = middle - 1;
    }
    const node = this._nodes[low];
    return [node, Math.min(at - this._starts[low], node.length)];
  }
}

/** A text in small letters, each at its place: a few letters become two when small, and stay as they are here. */
export function fold(text) {
  const small = text.toLowerCase();
  if (small.length === text.length) return small;
  return Array.from(text, (letter) => (letter.toLowerCase().length === letter.length ? letter.toLowerCase() : letter)).join("");
}

/** Where a text is in another, each place once. */
export function hitsIn(text, wanted) {
  const places = [];
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) places.push(at);
  return places;
}
