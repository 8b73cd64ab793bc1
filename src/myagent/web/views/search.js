// Finds text in a session: in what is loaded, then in what was before, page by page.

import { byId, setText } from "./dom.js";
import { plainText } from "./timeline.js";

const PAGES = 200; // fetched for one search before it stops and says so

export class Search {
  constructor(view) {
    this._view = view;
    this._at = null; // seq of the item that was found last
    this._running = 0;
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this._find(-1);
    });
    byId("search-later").addEventListener("click", () => this._find(1));
    byId("search-text").addEventListener("input", () => this.reset());
    byId("search-text").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !event.shiftKey) return;
      event.preventDefault();
      this._find(1);
    });
  }

  reset() {
    this._running += 1;
    this._at = null;
    setText(byId("search-result"), "");
    globalThis.CSS?.highlights?.delete("found");
    document.querySelector(".item.found")?.classList.remove("found");
  }

  async _find(way) {
    const wanted = byId("search-text").value.toLowerCase();
    if (wanted === "") return;
    const run = (this._running += 1);
    let whole = false; // what was found at the very beginning may be the rest of something that is not loaded
    for (let pages = 0; pages <= PAGES; pages += 1) {
      const item = this._next(wanted, way);
      const { timeline, window } = this._view;
      const cut = way < 0 && !whole && item !== undefined && item === timeline.items[0] && window.hasEarlier;
      if (item !== undefined && !cut) {
        this._show(item, wanted);
        return;
      }
      whole ||= cut;
      if (way > 0) break;
      setText(byId("search-result"), `searching before event ${this._view.window.after + 1}`);
      this._view.stick = false;
      if (!(await this._view.fetchEarlier()) && !cut) break;
      if (run !== this._running) return;
    }
    setText(byId("search-result"), this._at === null ? "not found" : way > 0 ? "no later one" : "no earlier one");
  }

  _next(wanted, way) {
    const items = this._view.timeline.items;
    const at = this._at;
    const fits = ({ seq }) => at === null || (way < 0 ? seq < at : seq > at);
    const hits = items.filter((item) => fits(item) && plainText(item).toLowerCase().includes(wanted));
    return way < 0 ? hits.at(-1) : hits[0];
  }

  _show(item, wanted) {
    this._view.stick = false;
    this._view.drawNow();
    document.querySelector(".item.found")?.classList.remove("found");
    const node = this._view.nodeOf(item);
    this._at = item.seq;
    if (node instanceof HTMLDetailsElement) node.open = true;
    node.classList.add("found");
    const range = highlight(node, wanted);
    (range?.startContainer.parentElement ?? node).scrollIntoView({ block: "center" });
    setText(byId("search-result"), `at event ${item.seq}`);
  }
}

/** Mark every place of a text within a node, without changing the node. */
function highlight(node, wanted) {
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  const ranges = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.data.toLowerCase();
    for (let at = text.indexOf(wanted); at >= 0 && ranges.length < 1000; at = text.indexOf(wanted, at + wanted.length)) {
      const range = new Range();
      range.setStart(walker.currentNode, at);
      range.setEnd(walker.currentNode, Math.min(at + wanted.length, walker.currentNode.length));
      ranges.push(range);
    }
  }
  if (globalThis.CSS?.highlights) CSS.highlights.set("found", new Highlight(...ranges));
  return ranges[0];
}
