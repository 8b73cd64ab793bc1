// What was asked of the server and not answered yet. Each is told an answer, or that none came. Pure.

const ANSWER_WITHIN = 30_000; // milliseconds, after which an answer is not waited for any more
const ANSWERS = new Set(["ack", "error", "connections", "rules", "files", "changes", "change", "replayed", "push"]);

export class Answers {
  constructor(within = ANSWER_WITHIN) {
    this._within = within;
    this._waiting = new Map(); // id of what was asked → {done, failed, timer}
  }

  /** Wait for the answer to what goes out under an id: `done(message)`, or `failed(why)`. */
  expect(id, done, failed) {
    const late = `no answer within ${this._within / 1000} s; it is not known whether this arrived`;
    const timer = setTimeout(() => this.fail(id, late), this._within);
    this._waiting.set(id, { done, failed, timer });
  }

  receive(message) {
    if (message.id === undefined || !ANSWERS.has(message.type)) return;
    const { done, failed } = this._take(message.id);
    if (message.type !== "error") done?.(message);
    else failed?.(message.message);
  }

  fail(id, why) {
    this._take(id).failed?.(why);
  }

  forget(id) {
    this._take(id);
  }

  /** The connection is gone: nothing of what was asked on it will be answered. */
  lost() {
    for (const id of [...this._waiting.keys()]) this.fail(id, "the connection was lost; it is not known whether this arrived");
  }

  _take(id) {
    const asked = this._waiting.get(id) ?? {};
    clearTimeout(asked.timer);
    this._waiting.delete(id);
    return asked;
  }
}
