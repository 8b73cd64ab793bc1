// Which sessions have something that this tab has not shown. Pure.

export class Unread {
  constructor() {
    this._seen = new Map(); // session → the head that was shown, or that was there when the page was opened
  }

  /** Whether a session went on since it was last looked at; `current` is the one that is looked at. */
  has({ sessionId, head }, current) {
    if (sessionId === current || !this._seen.has(sessionId)) this._seen.set(sessionId, head);
    return head > this._seen.get(sessionId);
  }
}
