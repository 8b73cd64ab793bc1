// "Notify this device": has this browser's push service call it when something waits for an answer, page or no page.

import { byId, setText } from "./dom.js";

const DEVICE = "myagent_dev_"; // how the credential of an enrolled device begins
const SAID = { off: "Notify this device", on: "Notifications on", denied: "Notifications blocked", unsupported: "No notifications here" };
const WHY = {
  off: "Call this device when the agent asks for something and nobody answers",
  on: "This device is called when something waits; press to end that",
  denied: "This browser was told not to notify for this page: allow it in the site's settings",
  unsupported: "This browser cannot be called for this page: it needs HTTPS, and on an iPhone the page on the home screen",
};

// The page may run no other script than its own: this names the worker's file, whatever it is given.
const worker = globalThis.trustedTypes?.createPolicy("worker", { createScriptURL: () => "worker.js" });

/** What the button says, of what the browser can, was told, and does. Pure. */
export function stateOf({ able, permission, subscribed }) {
  if (!able) return "unsupported";
  if (permission === "denied") return "denied";
  return subscribed ? "on" : "off";
}

/** The 65 bytes of a key that is base64url. Pure. */
export function keyBytes(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
}

export class PushButton {
  /** `ask(message, done, failed)` sends what is answered; `token()` is the credential that is in use. */
  constructor(ask, token) {
    this._ask = (message) => new Promise((done, failed) => ask(message, done, (why) => failed(new Error(why))));
    this._token = token;
    this._on = false; // the server calls this browser
    this._busy = false;
    this._may = "watch"; // of the credential, while this page is connected
    this._able = globalThis.isSecureContext === true && "serviceWorker" in navigator && "PushManager" in globalThis;
    this._button = byId("push");
    this._button.addEventListener("click", () => this._press());
  }

  /** Connected: see whether this browser has asked to be called before, and the server knows it. */
  async _look() {
    if (!this._able || !this._enrolled) return;
    try {
      const registration = await navigator.serviceWorker.getRegistration();
      if (await registration?.pushManager.getSubscription()) this._on = (await this._ask({ type: "push_state" })).on;
    } catch {
      this._on = false; // a server that knows nothing of it, or a browser that keeps nothing
    }
    this.draw(this._may);
  }

  /** `may`: what the credential may, "watch" while this page is not connected. */
  draw(may) {
    const comes = mayBeCalled(may) && !mayBeCalled(this._may);
    this._may = may;
    if (comes) this._look();
    this._button.hidden = !mayBeCalled(may) || !this._enrolled;
    const state = stateOf({ able: this._able, permission: globalThis.Notification?.permission, subscribed: this._on });
    this._button.disabled = this._busy || state === "denied" || state === "unsupported";
    this._button.title = WHY[state];
    setText(this._button, SAID[state]);
  }

  get _enrolled() {
    return this._token()?.startsWith(DEVICE) === true;
  }

  async _press() {
    this._busy = this._button.disabled = true;
    this._note("");
    try {
      await (this._on ? this._end() : this._begin());
      this._on = !this._on;
    } catch (error) {
      this._note(`Notifications could not be turned ${this._on ? "off" : "on"}: ${error.message}`);
    }
    this._busy = false;
    this.draw(this._may);
  }

  async _begin() {
    if ((await Notification.requestPermission()) !== "granted") throw new Error("this browser does not allow it");
    const { publicKey } = await this._ask({ type: "push_state" });
    const { pushManager } = await this.register();
    await (await pushManager.getSubscription())?.unsubscribe(); // it may be with another key, and is good for that alone
    const made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: keyBytes(publicKey) });
    const { endpoint, keys } = made.toJSON();
    await this._ask({ type: "push_on", endpoint, p256dh: keys.p256dh, auth: keys.auth });
  }

  /** Have the worker there; its registration. */
  async register() {
    await navigator.serviceWorker.register(worker ? worker.createScriptURL("") : "worker.js");
    return navigator.serviceWorker.ready;
  }

  async _end() {
    await this._ask({ type: "push_off" });
    const registration = await navigator.serviceWorker.getRegistration();
    await (await registration?.pushManager.getSubscription())?.unsubscribe();
  }

  _note(text) {
    setText(byId("push-note"), text);
    byId("push-note").hidden = text === "";
  }
}

function mayBeCalled(may) {
  return may === "approve" || may === "drive";
}
