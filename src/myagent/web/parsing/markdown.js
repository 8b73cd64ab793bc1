// Markdown as it arrives: its blocks, of which the last one still changes and the others stay as they are. Pure.

import { parseBlocks } from "./blocks.js";

const REFERENCES = 1000; // definitions of links that are looked at; each may change what was said before

export class Markdown {
  constructor() {
    this.blocks = []; // as `parseBlocks` gives them
    this.references = new Map(); // label → {destination, title}
    this._text = "";
    this._from = 0; // where the last block begins, from which on the text is read anew
    this._done = 0; // blocks before it
    this._defined = new Map(); // references of which the text is done
  }

  /** Take the text so far: more of it, or, while its last line is overwritten, another end. */
  update(text) {
    if (!text.startsWith(this._text.slice(0, this._from))) {
      this._from = this._done = 0;
      this._defined.clear();
    }
    this._text = text;
    const references = new Map(this._defined);
    const { children } = parseBlocks(text.slice(this._from), references);
    this.blocks = [...this.blocks.slice(0, this._done), ...children];
    this.references = references;
    if (children.length < 2) return;
    const { start } = children.at(-1);
    if (references.size > this._defined.size && this._defined.size < REFERENCES) {
      parseBlocks(text.slice(this._from, this._from + start), this._defined);
    }
    this._from += start;
    this._done = this.blocks.length - 1;
  }
}
