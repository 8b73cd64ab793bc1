// The credential of this tab: comes in the link's fragment, which no server or log sees. An invite's is exchanged at
// once for one of this tab's own, which outlives reloads and the server's restarts. That of a device that was paired is
// kept by the browser, for every tab that has none of its own.

const FORM = /^[A-Za-z0-9._~-]{20,256}$/;
const INVITE = "myagent_inv_";

/** Where this tab keeps it: pages under other paths of the same origin belong to other servers. */
export class Credential {
  constructor(storage, path, lasting) {
    this._storage = storage;
    this._lasting = lasting;
    this._key = `myagent ${path}`;
    this._nonceKey = `${this._key} device`; // while an invite is being exchanged: what proves that this tab asked
    this._stays = null; // an invite that the server does not exchange
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
    this._drop();
    this._storage.setItem(this._key, token);
    return true;
  }

  get token() {
    return this._storage.getItem(this._key) ?? this._lasting.getItem(this._key);
  }

  /**
   * Exchange an invite's token, if this is one, for this tab's own. `ask(nonce)` has the server do it: `token`, or
   * null where the invite's stays, and `keep` where this device was paired. After a failure the next call asks for the same again, and uses nothing twice.
   */
  async exchange(ask) {
    const invite = this.token;
    if (!invite?.startsWith(INVITE) || invite === this._stays) return;
    if (this._storage.getItem(this._nonceKey) === null) this._storage.setItem(this._nonceKey, randomNonce());
    const { token: own, keep } = await ask(this._storage.getItem(this._nonceKey));
    if (this.token !== invite) return; // another was taken, or this one exchanged by a call beside this
    if (own === null) this._stays = invite;
    else if (keep) {
      this._lasting.setItem(this._key, own);
      this._storage.removeItem(this._key);
    } else this._storage.setItem(this._key, own);
    this._storage.removeItem(this._nonceKey);
  }

  /** Forget what is in use: this tab's own, or else what the browser keeps. */
  forget() {
    if (this._storage.getItem(this._key) === null) this._lasting.removeItem(this._key);
    this._drop();
  }

  _drop() {
    this._stays = null;
    this._storage.removeItem(this._key);
    this._storage.removeItem(this._nonceKey);
  }
}

function randomNonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
