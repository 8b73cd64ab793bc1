// What was written and not sent yet, for each session. Pure.

const NEW = ""; // the session that is begun by sending

export class Drafts {
  /** Pages under other paths of an origin belong to other servers. */
  constructor(storage, path) {
    this._storage = storage;
    this._key = `myagent draft ${path} `;
  }

  of(sessionId) {
    return this._storage.getItem(this._key + (sessionId ?? NEW)) ?? "";
  }

  keep(sessionId, text) {
    if (text === "") this._storage.removeItem(this._key + (sessionId ?? NEW));
    else this._storage.setItem(this._key + (sessionId ?? NEW), text);
  }
}
