// What this tab remembers over a reload; where the browser forbids or has no room, until the page is left.

export class TabStorage {
  /** `find` gives the browser's storage: even looking at it may throw. */
  constructor(find) {
    this._kept = new Map(); // what the browser did not take
    try {
      this._storage = find();
    } catch {
      this._storage = null;
    }
  }

  getItem(key) {
    if (this._kept.has(key)) return this._kept.get(key);
    try {
      return this._storage?.getItem(key) ?? null;
    } catch {
      return null;
    }
  }

  setItem(key, value) {
    try {
      this._storage.setItem(key, value);
      this._kept.delete(key);
    } catch {
      this._kept.set(key, value);
    }
  }

  keys() {
    try {
      return [...this._kept.keys(), ...Object.keys(this._storage)];
    } catch {
      return [...this._kept.keys()];
    }
  }

  removeItem(key) {
    this._kept.delete(key);
    try {
      this._storage?.removeItem(key);
    } catch {
      this._kept.set(key, null); // it is there still; for this page it is not
    }
  }
}

/** What this browser keeps when it is closed: the credential of a device that was paired, and its name; nothing else. */
export function keptByTheBrowser() {
  return new TabStorage(() => localStorage); // the only place where it is used
}
