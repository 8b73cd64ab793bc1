// The credential of this tab: comes in the link's fragment, which no server or log sees, and stays in this tab.

const FORM = /^[A-Za-z0-9._~-]{20,256}$/;

/** Where this tab keeps it: pages under other paths of the same origin belong to other servers. */
export class Credential {
  constructor(storage, path) {
    this._storage = storage;
    this._key = `myagent ${path}`;
  }

  /** Take a credential out of an address's fragment, and take the fragment off. Whether there was one. */
  takeFrom(location, history) {
    const text = location.hash.slice(1);
    if (text === "") return false;
    history.replaceState(null, "", location.pathname + location.search);
    return this.take(text);
  }

  /** Take what somebody pasted: a credential, or a link with one. */
  take(pasted) {
    const text = pasted.trim();
    const token = text.slice(text.indexOf("#") + 1);
    if (!FORM.test(token)) return false;
    this._storage.setItem(this._key, token);
    return true;
  }

  get token() {
    return this._storage.getItem(this._key);
  }

  forget() {
    this._storage.removeItem(this._key);
  }
}
