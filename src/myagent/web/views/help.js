// What the page is, what its parts do, and the keys that it takes.

import { el } from "./dom.js";

const PARTS = [
  ["A card", "is a tool call: press it to see its input, output and changes. It opens by itself when it waits or fails."],
  ["Sessions", "lists them all; a dot says whether one runs, waits, is done or failed."],
  ["⋯", "on a small screen: search, failures, what changed, who owns."],
  ["Failures", "goes to the last one, then to the one before."],
  ["Changes", "lists the files that changed, with the plan and, for owners, what git tells."],
  ["#", "at the head of a turn: its address, to be shared; it holds no token."],
  ["Raw", "shows control characters instead of what they do."],
];
const KEYS = [
  [["/"], "search in this session"],
  [["j", "k"], "next turn, turn before"],
  [["f"], "last failure, then the one before"],
  [["n"], "next request"],
  [["g"], "latest"],
  [["c"], "what changed"],
  [["i"], "write a prompt"],
  [["?"], "this help"],
];

export class HelpDialog {
  constructor() {
    const parts = PARTS.flatMap(([name, does]) => [el("dt", { text: name }), el("dd", { text: does })]);
    const keys = KEYS.flatMap(([names, does]) => [
      el("dt", {}, ...names.flatMap((name) => [el("kbd", { text: name }), " "])), el("dd", { text: does })]);
    const touched = matchMedia("(pointer: coarse)").matches;
    const close = el("button", { type: "button", id: "help-close", text: "Close", onclick: () => this._dialog.close() });
    this._dialog = el("dialog", { id: "help-dialog", "aria-labelledby": "help-title" },
      el("div", { class: "dialog-body" },
        el("h2", { id: "help-title", text: "Help" }),
        el("div", { class: "scrolls", tabindex: "0", role: "group", "aria-labelledby": "help-title" },
          el("p", { text: "You see one shared session: whoever owns it drives the agent, all others follow. A request of the agent waits "
            + "until it is answered; nothing answers by itself but time, and that denies, and rules that the owner has made." }),
          el("p", { text: touched
            ? "Enter begins a line; Send sends. What you write is kept until it is sent, also over a reload."
            : "Enter sends, Shift+Enter begins a line; up and down go through what was said before." }),
          el("dl", { class: "parts" }, ...parts),
          el("h3", { text: touched ? "With a keyboard" : "Keys" }),
          el("dl", { class: "keys" }, ...keys)),
        el("div", { class: "answers" }, close)));
    document.body.append(this._dialog);
  }

  show() {
    if (!this._dialog.open) this._dialog.showModal();
  }
}
