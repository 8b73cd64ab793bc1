// Stays at the end of what grows, until a person scrolls away. Whatever else moves or resizes it is no such person.

const BOTTOM = 40; // pixels from the end that still count as being there
const THEIRS = 1000; // milliseconds after a person's input in which a movement is theirs

export class Follow {
  /** `changed()` is called when the end is left or reached again. */
  constructor(stream, changed) {
    this._stick = true;
    this._stream = stream;
    this._changed = changed;
    this._left = { top: 0, height: 0, shown: 0 }; // where we left it last, and how large it was then
    this._touched = -Infinity; // when a person last turned a wheel, dragged or pressed a key here
    this._pressed = false;
    for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) {
      stream.addEventListener(kind, () => (this._touched = performance.now()), { passive: true });
    }
    stream.addEventListener("pointerdown", () => (this._pressed = true), { passive: true });
    for (const kind of ["pointerup", "pointercancel", "blur"]) {
      addEventListener(kind, () => (this._pressed = false), { passive: true });
    }
  }

  get stick() {
    return this._stick;
  }

  set stick(stick) {
    this._stick = stick;
    this._left.top = 0; // from now on: what a person did before does not count
  }

  /** The stream was scrolled, by whomever. `attached`: its end is the end of the session. */
  scrolled(attached) {
    const before = this.stick;
    if (this.fromEnd < BOTTOM) this.stick ||= attached;
    else if (this.stick) this.keep();
    if (this.stick && this.fromEnd < BOTTOM) this._note();
    if (this.stick !== before) this._changed();
  }

  /** Go to the end again, after anything that may have moved it. */
  keep() {
    if (!this.stick) return;
    if (this._wasLeft()) {
      this.stick = false;
      this._changed();
      return;
    }
    this._stream.scrollTop = this._stream.scrollHeight;
    this._note();
  }

  get fromEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this._stream;
    return scrollHeight - scrollTop - clientHeight;
  }

  _wasLeft() {
    const { scrollTop, scrollHeight, clientHeight } = this._stream;
    if (scrollTop >= this._left.top - 1 || this.fromEnd < BOTTOM) return false;
    const resized = scrollHeight !== this._left.height || clientHeight !== this._left.shown;
    return !resized || this._pressed || performance.now() - this._touched < THEIRS;
  }

  _note() {
    const { scrollTop, scrollHeight, clientHeight } = this._stream;
    this._left = { top: scrollTop, height: scrollHeight, shown: clientHeight };
  }
}
