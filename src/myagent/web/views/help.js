// What the page is, and the keys that it takes.

import { el } from "./dom.js";

const KEYS = [
  [["/"], "search in this session"],
  [["j", "k"], "next turn, turn before"],
  [["f"], "last failure, then the one before"],
  [["g"], "latest"],
  [["i"], "write a prompt"],
  [["?"], "this help"],
];

export class HelpDialog {
  constructor() {
    const keys = KEYS.flatMap(([names, does]) => [
      el("dt", {}, ...names.flatMap((name) => [el("kbd", { text: name }), " "])), el("dd", { text: does })]);
    this._dialog = el("dialog", { id: "help-dialog", "aria-labelledby": "help-title" },
      el("div", { class: "dialog-body" },
        el("h2", { id: "help-title", text: "Help" }),
        el("p", { text: "You see one shared session: whoever owns it drives the agent, all others follow. A request of the agent waits "
          + "until it is answered; nothing answers by itself but time, and that denies, and rules that the owner has made." }),
        el("dl", { class: "keys" }, ...keys),
        el("div", { class: "answers" }, el("button", { type: "button", id: "help-close", text: "Close", onclick: () => this._dialog.close() }))));
    document.body.append(this._dialog);
  }

  show() {
    if (!this._dialog.open) this._dialog.showModal();
  }
}
