// Finds text in a session: every place in what is loaded, then in what was before, page by page.

import { byId, setText } from "./dom.js";
import { fold, hitsIn, Text } from "./text.js";

const PAGES = 200; // fetched for one search before it stops and says so
const MARKED = 2000; // places marked at once, those next to the one that is looked at
const WAIT = 150; // milliseconds after the last key before what was typed is marked

export class Search {
  constructor(view) {
    this._view = view;
    this._at = null; // {seq, nth}: the place that was found last
    this._running = 0;
    this._texts = new WeakMap(); // node → its text, as long as its item does not change
  }

  /** Something else is in the box. */
  typed() {
    this.reset();
    this._timer = setTimeout(() => this._markAll(), WAIT);
  }

  reset() {
    clearTimeout(this._timer);
    this._running += 1;
    this._at = null;
    setText(byId("search-result"), "");
    for (const name of ["found", "current"]) globalThis.CSS?.highlights?.delete(name);
    document.querySelector(".item.found")?.classList.remove("found");
  }

  /** Say how often it is there, and mark it, before anybody goes anywhere. */
  _markAll() {
    const hits = this._hits();
    if (byId("search-text").value === "") return;
    setText(byId("search-result"), hits.length === 0 ? "" : `${hits.length.toLocaleString()}${this._more} found`);
    mark(hits, hits.length - 1);
  }

  /** Go to the next place (1) or the one before (-1). */
  async find(way) {
    clearTimeout(this._timer);
    if (byId("search-text").value === "") return;
    const run = (this._running += 1);
    let complete = false; // what was found at the very beginning may be the rest of something that is not loaded
    for (let pages = 0; pages <= PAGES; pages += 1) {
      const hits = this._hits();
      const index = this._next(hits, way);
      const { timeline, window } = this._view;
      const cut = way < 0 && !complete && hits[index]?.item === timeline.items[0] && window.hasEarlier;
      if (index >= 0 && !cut) {
        this._show(hits, index);
        return;
      }
      complete ||= cut;
      if (way > 0) break;
      setText(byId("search-result"), `searching before event ${this._view.window.after + 1}`);
      this._view.stick = false;
      if (!(await this._view.fetchEarlier()) && !cut) break;
      if (run !== this._running) return;
      this._view.drawNow();
    }
    setText(byId("search-result"), this._at === null ? "not found" : way > 0 ? "no later one" : "no earlier one");
  }

  /** Every place in what is loaded, in order: `{item, nth, text, at, length}`. */
  _hits() {
    const wanted = fold(byId("search-text").value);
    if (wanted === "") return [];
    return this._view.timeline.items.flatMap((item) => {
      const text = this._text(item);
      return hitsIn(text.folded, wanted).map((at, nth) => ({ item, nth, text, at, length: wanted.length }));
    });
  }

  _text(item) {
    const drawn = this._view.drawn(item);
    const known = this._texts.get(drawn.node);
    if (known?.version === item.version) return known.text;
    drawn.reveal?.(); // what is folded away is searched as well
    const text = new Text(drawn.node);
    this._texts.set(drawn.node, { version: item.version, text });
    return text;
  }

  _next(hits, way) {
    if (this._at === null) return way < 0 ? hits.length - 1 : hits.length > 0 ? 0 : -1;
    const { seq, nth } = this._at;
    const order = ({ item, nth: other }) => item.seq - seq || other - nth;
    return way < 0 ? hits.findLastIndex((hit) => order(hit) < 0) : hits.findIndex((hit) => order(hit) > 0);
  }

  get _more() {
    const { window } = this._view;
    return window.hasEarlier || !window.attached ? "+" : "";
  }

  _show(hits, index) {
    this._view.stick = false;
    document.querySelector(".item.found")?.classList.remove("found");
    const { item, nth, text } = hits[index];
    const { node } = this._view.drawn(item);
    this._at = { seq: item.seq, nth };
    node.classList.add("found");
    const current = mark(hits, index);
    for (let at = current.startContainer; at !== node.parentNode; at = at.parentNode) {
      if (at instanceof HTMLDetailsElement) at.open = true;
    }
    scrollTo(current, text.node);
    setText(byId("search-result"), `${(index + 1).toLocaleString()} of ${hits.length.toLocaleString()}${this._more}`);
  }
}

/** Mark places without changing the nodes; returns the range of the one that is looked at. */
function mark(hits, index) {
  const ranges = hits.slice(Math.max(0, index - MARKED / 2), index + MARKED / 2).map(({ text, at, length }) => text.range(at, length));
  const hit = hits[index];
  const current = hit === undefined ? null : hit.text.range(hit.at, hit.length);
  if (globalThis.CSS?.highlights) {
    CSS.highlights.set("found", new Highlight(...ranges));
    const looked = new Highlight(...(current === null ? [] : [current]));
    looked.priority = 1;
    CSS.highlights.set("current", looked);
  }
  return current;
}

/** Bring a range to the middle of everything that scrolls around it. */
function scrollTo(range, within) {
  for (let node = range.startContainer.parentElement; node !== null; node = node.parentElement) {
    const box = node.getBoundingClientRect();
    const scrolls = node.scrollHeight > node.clientHeight + 1 && ["auto", "scroll"].includes(getComputedStyle(node).overflowY);
    const place = range.getBoundingClientRect();
    if (scrolls) node.scrollTop += place.top + place.height / 2 - (box.top + node.clientHeight / 2);
    if (node.getAttribute("role") === "log" || !within.isConnected) return;
  }
}
