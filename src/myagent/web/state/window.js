// The stretch of a session's events that is kept: contiguous, bounded, each event once. Pure.

export const TAIL = 1000; // events that a session is opened with
const EVENTS = 6000; // kept at most…
const CHARACTERS = 6_000_000; // …of at most about this size together

export class Window {
  constructor(after, head = after) {
    this.events = [];
    this.after = after; // seq of the last event before the window
    this.head = head; // of the session, as far as we know
    this._sizes = 0;
  }

  get last() {
    return this.after + this._span;
  }

  get _span() {
    const last = this.events.at(-1);
    return last === undefined ? 0 : (last.to ?? last.seq) - this.after;
  }

  /** Whether the newest event is in it, so that live events follow. */
  get attached() {
    return this.last >= this.head;
  }

  get hasEarlier() {
    return this.after > 0;
  }

  /** Take the next event in. An event that is here already, or that does not follow, is dropped. */
  append(event) {
    const first = event.from ?? event.seq;
    const last = event.to ?? event.seq;
    this.head = Math.max(this.head, last);
    if (last <= this.last || first > this.last + 1) return false;
    this.events.push(event);
    this._sizes += size(event);
    return true;
  }

  /** Put earlier events before those that are here; they end where the window begins. */
  prepend(events) {
    if (events.length === 0) {
      this.after = 0; // what was earlier is gone for good
      return false;
    }
    if (events.at(-1).seq !== this.after) return false;
    this.events = [...events, ...this.events];
    this.after = events[0].seq - 1;
    this._sizes += total(events);
    return true;
  }

  get full() {
    return this.events.length > EVENTS || this._sizes > CHARACTERS;
  }

  /** Let go of what is far from where somebody reads; it can be fetched again. */
  trim(side) {
    let count = 0;
    const tooMuch = () => this.events.length - count > EVENTS / 2 || this._sizes > CHARACTERS / 2;
    while (count < this.events.length - 1 && tooMuch()) {
      count += 1;
      this._sizes -= size(side === "earlier" ? this.events[count - 1] : this.events[this.events.length - count]);
    }
    const gone = side === "earlier" ? this.events.splice(0, count) : this.events.splice(this.events.length - count);
    if (side === "earlier" && count > 0) this.after = gone.at(-1).to ?? gone.at(-1).seq;
  }
}

function size(event) {
  return 200 + (event.chunk?.length ?? event.prompt?.length ?? 0) + (event.update ? updateSize(event.update) : 0);
}

function updateSize(update) {
  return String(update.sessionUpdate).endsWith("_chunk") ? 0 : JSON.stringify(update).length;
}

function total(events) {
  return events.reduce((sum, event) => sum + size(event), 0);
}
