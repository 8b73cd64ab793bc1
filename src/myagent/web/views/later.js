// A part of the page that is not needed for the first look: loaded when it is first wanted, or when there is time.

import { byId, setText } from "./dom.js";

const FAILED = "This part of the page could not be loaded. Try again; if that does not help, reload the page.";

/** `load()` imports its module, `make(module)` makes the part of it, once. */
export class Later {
  constructor(load, make) {
    this._load = load;
    this._make = make;
    this._loading = null;
    this.part = undefined;
  }

  /** Call `use(part)`: at once if it is there, else when it is, in the order in which that was asked. */
  use(use) {
    if (this.part !== undefined) {
      use(this.part);
      return;
    }
    this._loading ??= this._load().then((module) => {
      if (byId("ownership-note").textContent === FAILED) byId("ownership-note").hidden = true;
      return (this.part ??= this._make(module));
    });
    this._loading.then(use).catch((error) => {
      this._loading = null;
      setText(byId("ownership-note"), FAILED);
      byId("ownership-note").hidden = false;
      if (!(error instanceof TypeError)) throw error; // a browser says that of what could not be fetched
    });
  }
}

/** Load what comes later while nothing else is to be done, so that it is there when it is wanted. `always`: also for who saves data. */
export function loadWhenIdle(part, { always = false, use = () => {} } = {}) {
  if (navigator.connection?.saveData && !always) return;
  const load = () => part.use(use);
  if (globalThis.requestIdleCallback) requestIdleCallback(load, { timeout: 5000 });
  else setTimeout(load, 2000);
}
