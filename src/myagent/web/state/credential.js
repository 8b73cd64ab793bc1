// The credential of this tab: comes in the link's fragment, which no server or log sees. An invite's is exchanged at
// once for one of this tab's own, which outlives reloads and the server's restarts.

const FORM = /^[A-Za-z0-9._~-]{20,256}$/;
const INVITE = "myagent_inv_";

/** Where this tab keeps it: pages under other paths of the same origin belong to other servers. */
export class Credential {
  constructor(storage, path) {
    this._storage = storage;
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
    this.forget();
    this._storage.setItem(this._key, token);
    return true;
  }

  get token() {
    return this._storage.getItem(this._key);
  }

  /**
   * Exchange an invite's token, if this is one, for this tab's own. `ask(nonce)` has the server do it: the token, or
   * null where the invite's stays. After a failure the next call asks for the same again, and uses nothing twice.
   */
  async exchange(ask) {
    const invite = this.token;
    if (!invite?.startsWith(INVITE) || invite === this._stays) return;
    if (this._storage.getItem(this._nonceKey) === null) this._storage.setItem(this._nonceKey, randomNonce());
    const own = await ask(this._storage.getItem(this._nonceKey));
    if (this.token !== invite) return; // another was taken, or this one exchanged by a call beside this
    if (own === null) this._stays = invite;
    else this._storage.setItem(this._key, own);
    this._storage.removeItem(this._nonceKey);
  }

  forget() {
    this._stays = null;
    this._storage.removeItem(this._key);
    this._storage.removeItem(this._nonceKey);
  }
}

function randomNonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
