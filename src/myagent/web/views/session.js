// The session that is looked at: keeps its window of events, draws it, and moves it when somebody scrolls.

import { el } from "./dom.js";
import { Follow } from "./follow.js";
import { draw } from "./render.js";
import { Timeline } from "./timeline.js";
import { TAIL, Window } from "../state/window.js";

const PAGE = 1000; // events fetched at a time
const NEAR = 800; // pixels from an end at which more is fetched
const ANCHORS = 8; // items that may hold what is read in its place
const FAR_BEHIND = 3000; // events; after more than this, the session is opened anew at its end

/**
 * `fetchEvents(sessionId, query)` gets a page of events; `changed()` is called when what `state` says may have changed.
 */
export class SessionView {
  constructor(stream, fetchEvents, changed) {
    this.sessionId = null;
    this.window = new Window(0);
    this.timeline = new Timeline();
    this._stream = stream;
    this._list = el("div", { class: "items" });
    this._top = el("div", { class: "edge" });
    this._stream.append(this._top, this._list);
    this._fetchEvents = fetchEvents;
    this._changed = changed;
    this._drawn = new Map(); // key → drawn item, with the version that was drawn
    this._dirty = new Set();
    this._rebuild = false;
    this._frame = null;
    this._fetching = false;
    this._plain = false;
    this._generation = 0; // of the window: what was fetched for an earlier one does not fit
    this._raw = false;
    this._follow = new Follow(stream, changed);
    this._stream.addEventListener("scroll", () => this._scrolled(), { passive: true });
    const sizes = new ResizeObserver(() => this._follow.keep());
    for (const each of [this._list, this._stream]) sizes.observe(each);
  }

  /** Whether it stays at the end as more comes. */
  get stick() {
    return this._follow.stick;
  }

  set stick(stick) {
    this._follow.stick = stick;
  }

  /** Look at a session, at its end. What comes next must be asked for from `resumeAfter` on. */
  open(sessionId, head) {
    this.sessionId = sessionId;
    this.window = new Window(Math.max(0, head - TAIL), head);
    this.stick = true;
    this._drawn.clear();
    this._list.replaceChildren();
    this._forgetFetch();
    this._redraw();
  }

  /** Whether what the agent says is drawn as it came, or as Markdown. */
  set plain(plain) {
    if (plain === this._plain) return;
    this._plain = plain;
    this._drawAnew();
  }

  /** Whether an agent's text is shown as it came, with its control characters, or as a terminal would show it. */
  set raw(raw) {
    this._raw = raw;
    this._drawAnew();
  }

  _drawAnew() {
    this._drawn.clear();
    this._list.replaceChildren();
    this._redraw();
  }

  /** The seq after which the live stream has to go on, or `null` while somebody reads further back. */
  resumeAfter(head) {
    if (head < this.window.last || (head - this.window.last > FAR_BEHIND && this.stick)) this.open(this.sessionId, head);
    const wasLive = this.window.attached;
    this.window.head = Math.max(this.window.head, head);
    return wasLive || this.stick ? this.window.last : null;
  }

  get newer() {
    return this.window.head - this.window.last;
  }

  receive(event) {
    if (!this.window.append(event)) return;
    for (const item of this.timeline.apply(event)) this._dirty.add(item);
    if (this.window.full) {
      this.window.trim(this.stick ? "earlier" : "later");
      this._redraw();
    }
    this._schedule();
  }

  /** Go to the newest event. */
  async toLatest() {
    this.stick = true;
    this._forgetFetch();
    if (this.newer > PAGE) this.window = new Window(Math.max(0, this.window.head - TAIL), this.window.head);
    await this._fetchLater();
    this._redraw();
  }

  /** Go to an event, wherever in the session it is. */
  async toEvent(seq) {
    this.stick = false;
    if (seq <= this.window.after || seq > this.window.last) {
      this._forgetFetch();
      this.window = new Window(Math.max(0, seq - PAGE / 2), Math.max(this.window.head, seq));
      await this._fetchOneLater();
    }
    this.drawNow();
    const item = this.timeline.items.findLast((each) => each.seq <= seq) ?? this.timeline.items[0];
    if (item !== undefined) this.reveal(item);
  }

  /** Bring an item to the top, and mark it for a while. */
  reveal(item) {
    this.stick = false;
    const { node } = this.drawn(item);
    const fold = node.querySelector(":scope > .fold");
    if (fold !== null) fold.open = true;
    this._stream.scrollTop += node.getBoundingClientRect().top - this._stream.getBoundingClientRect().top - 8;
    this._list.querySelector(".reached")?.classList.remove("reached");
    node.classList.add("reached");
  }

  /** Fetch what was before the window; whether there was any. */
  async fetchEarlier() {
    if (this._fetching || !this.window.hasEarlier || this.sessionId === null) return false;
    return this._fetch(`before=${this.window.after + 1}`, (events) => {
      const got = this.window.prepend(events);
      if (this.window.full) this.window.trim("later");
      return got;
    });
  }

  /** Fetch what is after the window, until live events follow. */
  async _fetchLater() {
    while (!this.window.attached) {
      const got = await this._fetch(`after=${this.window.last}`, (events) => {
        const [first] = events;
        if (first && first.seq > this.window.last + 1) {
          this.window.append({ type: "gap", from: this.window.last + 1, to: first.seq - 1 });
        }
        events.forEach((event) => this.window.append(event));
        if (this.window.full) this.window.trim("earlier");
        return events.length > 0;
      });
      if (!got || !this.stick) return;
    }
  }

  async _fetch(query, take) {
    if (this._fetching) return false;
    const generation = this._generation;
    this._fetching = true;
    try {
      const events = await this._fetchEvents(this.sessionId, `${query}&limit=${PAGE}`);
      if (generation !== this._generation) return false;
      const got = take(events);
      this._redraw();
      return got;
    } catch {
      return false; // the connection tells that the server is gone; whoever scrolls on asks again
    } finally {
      if (generation === this._generation) this._fetching = false;
    }
  }

  /** The window moves elsewhere: what is on its way is not waited for. */
  _forgetFetch() {
    this._generation += 1;
    this._fetching = false;
  }

  // --- drawing ---

  _redraw() {
    this.timeline = new Timeline(this._raw);
    this._dirty.clear();
    for (const event of this.window.events) this.timeline.apply(event);
    this._rebuild = true;
    this._schedule();
  }

  _schedule() {
    this._frame ??= requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    if (this._frame !== null) cancelAnimationFrame(this._frame);
    this._frame = null;
    const anchors = this.stick ? [] : this._anchors();
    if (this._rebuild) this._drawAll();
    else for (const item of this._dirty) this._drawItem(item);
    this._rebuild = false;
    this._dirty.clear();
    this._drawTop();
    const anchor = anchors.find(({ node }) => node.isConnected);
    if (anchor !== undefined) {
      this._stream.scrollTop += anchor.node.getBoundingClientRect().top - anchor.top;
    }
    this._follow.keep();
    this._fillUp();
    this._changed();
  }

  /** Many events may draw to little: without something to scroll nobody could ask for more. */
  _fillUp() {
    const { scrollTop, scrollHeight, clientHeight } = this._stream;
    const short = scrollHeight < clientHeight + NEAR && this.window.attached && this.window.events.length < 3 * PAGE;
    if (short || (!this.stick && scrollTop < NEAR)) this.fetchEarlier();
  }

  _drawItem(item) {
    const known = this._drawn.get(item.key);
    if (known === undefined) {
      const drawn = draw(item, this._plain);
      this._drawn.set(item.key, { drawn, version: item.version });
      this._list.append(drawn.node);
    } else if (known.version !== item.version) {
      known.version = item.version;
      known.drawn.update(item);
    }
  }

  /** Bring what is drawn in line with the items, keeping whatever stayed the same. */
  _drawAll() {
    const keys = new Set(this.timeline.items.map(({ key }) => key));
    for (const [key, { drawn }] of this._drawn) {
      if (!keys.has(key)) {
        drawn.node.remove();
        this._drawn.delete(key);
      }
    }
    let next = this._list.firstChild;
    for (const item of this.timeline.items) {
      const known = this._drawn.get(item.key);
      if (known !== undefined && known.drawn.node === next) {
        next = next.nextSibling;
        this._drawItem(item);
        continue;
      }
      this._drawItem(item);
      this._list.insertBefore(this._drawn.get(item.key).drawn.node, next);
    }
  }

  _drawTop() {
    const { hasEarlier, events } = this.window;
    const gone = !hasEarlier && events.length > 0 && events[0].seq > 1;
    this._top.textContent = hasEarlier ? "Earlier events are fetched as you scroll up" : gone ? "Earlier events are no longer kept" : "";
    this._top.hidden = this._top.textContent === "";
  }

  /** What is drawn of an item, drawn by now. */
  drawn(item) {
    if (this._frame !== null) this.drawNow();
    return this._drawn.get(item.key).drawn;
  }

  // --- scrolling ---

  _scrolled() {
    this._follow.scrolled(this.window.attached);
    if (this._stream.scrollTop < NEAR) this.fetchEarlier();
    else if (this._follow.fromEnd < NEAR && !this.stick && !this.window.attached) this._fetchOneLater();
  }

  async _fetchOneLater() {
    await this._fetch(`after=${this.window.last}`, (events) => {
      events.forEach((event) => this.window.append(event));
      if (this.window.full) this.window.trim("earlier");
      return events.length > 0;
    });
  }

  /** Where the first visible item is, and some after it: one that was cut in two is drawn anew when its rest comes. */
  _anchors() {
    const top = this._stream.getBoundingClientRect().top;
    const nodes = [...this._list.children];
    const first = nodes.findIndex((node) => node.getBoundingClientRect().bottom > top);
    return first < 0 ? [] : nodes.slice(first, first + ANCHORS).map((node) => ({ node, top: node.getBoundingClientRect().top }));
  }
}
