// The prompt on its way: kept until it has become a turn, and sent again under the same id, so that it runs once. Pure.

import { randomId } from "./connection.js";

export class Sending {
  /** `ask(message, done, failed)` sends; `live()`: connected; `note(text)` tells; `sent(prompt, sessionId)`: a turn now. */
  constructor({ ask, live, note, sent }) {
    Object.assign(this, { _ask: ask, _live: live, _note: note, _sent: sent });
    this.waiting = null; // what the server has not acknowledged
    this.unsure = null; // the last one of which it is not known whether it arrived
  }

  get underway() {
    return this.waiting !== null;
  }

  /** Send a prompt; the same one again, after it was not known whether it arrived, has the id that it had. */
  begin({ prompt, mode, sessionId, content = [] }) {
    const unsure = this.unsure;
    const again = unsure?.prompt === prompt && unsure.sessionId === sessionId && unsure.mode === mode && `${JSON.stringify(unsure.content)}` === JSON.stringify(content);
    this.waiting = again ? unsure : { id: randomId(), prompt, mode, sessionId, content };
    this.again();
  }

  /** Send once more what was not acknowledged. */
  again() {
    const sending = this.waiting;
    if (sending === null) return;
    const { id, prompt, mode, sessionId, content } = sending;
    const message = { type: "user_message", id, prompt };
    if (sessionId !== null) message.sessionId = sessionId;
    if (content.length > 0) message.content = content;
    if (mode !== "") message.permissionMode = mode;
    this._note("sending");
    this._ask(message, (ack) => this._taken(id, ack.sessionId), (why) => {
      this.unsure = sending;
      if (this._live()) this.waiting = null;
      this._note(why);
    });
  }

  /** Forget what will never be taken. */
  drop() {
    this.waiting = null;
  }

  /** A prompt has become a turn also when its answer was lost and the turn is there. */
  receive(message) {
    if (message.type === "prompt") this._taken(message.id, message.sessionId);
    if (message.type === "session_metadata") message.session.queue.forEach(({ id }) => this._taken(id, message.session.sessionId));
  }

  _taken(id, sessionId) {
    const taken = [this.waiting, this.unsure].find((each) => each?.id === id);
    if (taken === undefined) return;
    this.waiting = this.unsure = null;
    this._sent(taken, sessionId);
  }
}
