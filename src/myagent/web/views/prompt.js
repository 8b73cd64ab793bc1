// The prompt box: its history, the draft of each session, and a prompt that is kept until the server has it.

import { byId, setText } from "./dom.js";
import { whole } from "../parsing/escape.js";

const COMPOSING = 229; // keyCode of a key that an input method takes; Safari says no more of the Enter that ends a word
const SAVE_AFTER = 200; // milliseconds
const SHARE = 3; // the box takes at most this part of the height

/** `send(prompt, mode)` is called for what is to be sent. */
export class PromptBox {
  constructor(send, drafts) {
    this._box = byId("prompt");
    this._drafts = drafts;
    this._session = null; // whose draft is in the box
    this._history = [];
    this._at = 0; // place in the history; its length: what is being written
    this._draft = "";
    this._width = 0;
    byId("prompt-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this._box.value.trim() === "" || byId("send").disabled) return;
      const prompt = whole(this._box.value);
      if (prompt !== this._box.value) this._set(prompt);
      send(prompt, byId("mode").value);
    });
    this._box.addEventListener("keydown", (event) => this._key(event));
    this._box.addEventListener("input", () => this._written());
    addEventListener("pagehide", () => this._save());
    addEventListener("resize", () => this._grow());
    new ResizeObserver(() => {
      if (this._box.clientWidth !== this._width) this._grow();
    }).observe(this._box);
    this._set(drafts.of(null));
  }

  /** Put an example into the empty box, to be changed or sent. */
  propose(text) {
    if (this._box.value.trim() === "") this._set(text);
    this._written();
    this._box.focus();
  }

  /** The prompts of the session so far, oldest first. */
  remember(prompts) {
    if (this._at !== this._history.length) return; // somebody is looking through it
    this._history = prompts.filter((prompt, index) => prompt !== prompts[index - 1]);
    this._at = this._history.length;
  }

  /** Another session is shown. `carry`: it is the one that was begun here, and what is being written belongs to it. */
  turnTo(sessionId, carry = false) {
    if (sessionId === this._session) return;
    const writing = this._writing;
    this._drafts.keep(this._session, carry ? "" : writing);
    this._session = sessionId;
    this._history = [];
    this._at = 0;
    this._set(carry ? writing : this._drafts.of(sessionId));
    if (carry) this._save();
    this.note("");
  }

  /** A prompt was taken: its draft is done with, unless something else was written meanwhile. */
  sent(sessionId, prompt) {
    if (sessionId !== this._session) {
      if (this._drafts.of(sessionId) === prompt) this._drafts.keep(sessionId, "");
      return;
    }
    if (this._box.value === prompt) this._set("");
    this._history.push(prompt);
    this._at = this._history.length;
    this._save();
    this.note("");
  }

  note(text) {
    setText(byId("prompt-note"), text);
  }

  focus() {
    this._box.focus();
  }

  get _writing() {
    return this._at === this._history.length ? this._box.value : this._draft;
  }

  _written() {
    this._at = this._history.length; // what was changed is a draft of its own
    this._grow();
    this._timer ??= setTimeout(() => this._save(), SAVE_AFTER);
  }

  _save() {
    clearTimeout(this._timer);
    this._timer = null;
    this._drafts.keep(this._session, this._writing);
  }

  _key(event) {
    if (event.isComposing || event.keyCode === COMPOSING) return;
    if (event.key === "Enter" && !event.shiftKey && !(matchMedia("(pointer: coarse)").matches && !event.ctrlKey)) {
      event.preventDefault();
      byId("prompt-form").requestSubmit();
    } else if (event.key === "ArrowUp" && !this._box.value.slice(0, this._box.selectionStart).includes("\n")) {
      this._move(event, -1);
    } else if (event.key === "ArrowDown" && !this._box.value.slice(this._box.selectionEnd).includes("\n")) {
      this._move(event, 1);
    }
  }

  _move(event, by) {
    const to = this._at + by;
    if (to < 0 || to > this._history.length || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (this._at === this._history.length) this._draft = this._box.value;
    this._at = to;
    this._set(this._history[to] ?? this._draft);
  }

  _set(text) {
    this._box.value = text;
    this._grow();
  }

  /** As tall as its text, wrapped lines and all; what does not fit scrolls, and how much there is stands below. */
  _grow() {
    const { style } = this._box;
    this._width = this._box.clientWidth;
    style.height = "auto";
    const wanted = this._box.scrollHeight + this._box.offsetHeight - this._box.clientHeight;
    const most = Math.floor(innerHeight / SHARE);
    style.height = wanted > 0 ? `${Math.min(wanted, most)}px` : "";
    this._box.classList.toggle("scrolls", wanted > most);
    setText(byId("prompt-size"), wanted > most ? `${this._box.value.split("\n").length.toLocaleString()} lines` : "");
  }
}

/** Why a prompt is too long to be sent, or `null`: it would not be taken, and more than a message would end the connection. */
export function tooLong(prompt, { promptBytes = Infinity }) {
  const bytes = new TextEncoder().encode(prompt).length;
  if (bytes <= promptBytes) return null;
  return `This prompt is ${size(bytes)}; at most ${size(promptBytes)} can be sent. Write it to a file and name that.`;
}

function size(bytes) {
  return bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
