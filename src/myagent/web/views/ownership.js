// The ownership by buttons: take it, over too, ask for it, hand it to whoever asked, release it.

import { escapeLine } from "../parsing/escape.js";
import { byId, setText } from "./dom.js";

export class OwnershipButtons {
  /** `ask(message, done, failed)` sends what is answered; `say(text)` tells whoever looks or listens. */
  constructor(workspace, ask, say) {
    this._workspace = workspace;
    this._ask = ask;
    this._say = say;
    this._asker = null; // who asked for the ownership last, while this page owns
    byId("claim").addEventListener("click", () => this._take());
    byId("release").addEventListener("click", () => this._send({ type: "release" }));
    byId("control-give").addEventListener("click", () => this._give());
    byId("control-keep").addEventListener("click", () => this._drop());
  }

  /** Take a message in. */
  receive(message) {
    if (message.type === "control_requested") {
      this._asker = message.connectionId;
      const name = escapeLine(message.label) || "somebody";
      setText(byId("control-text"), `${name} asks for the ownership`);
      byId("control").hidden = false;
      this._say(`${name} asks for the ownership`);
    }
    if (message.type === "owner_changed") {
      this._drop();
      const name = escapeLine(message.owner?.label ?? "") || "somebody";
      if (message.why === "taken_over" && !this._workspace.owns) this._note(`taken over by ${name}`);
    }
    if (message.type === "role" && message.role === "owner") this._note("");
  }

  _take() {
    const { owner, refusedBy } = this._workspace;
    if (owner !== null && owner.connectionId === refusedBy) {
      this._request();
      return;
    }
    this._send({ type: "claim", force: true }, (why) => {
      if (owner === null) {
        this._note(why);
        return;
      }
      this._workspace.refusedBy = owner.connectionId;
      this._request();
    });
  }

  _request() {
    this._send({ type: "request_control" }, null, () => this._note("The owner was asked to hand over"));
  }

  _give() {
    if (this._asker !== null) this._send({ type: "handover", to: this._asker });
    this._drop();
  }

  _drop() {
    this._asker = null;
    byId("control").hidden = true;
  }

  _send(message, failed = null, done = () => {}) {
    this._ask(message, done, failed ?? ((why) => this._note(why)));
  }

  _note(text) {
    setText(byId("ownership-note"), text);
    byId("ownership-note").hidden = text === "";
    if (text !== "") this._say(text);
  }
}
