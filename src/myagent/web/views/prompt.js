// The prompt box: its history, and a prompt that is kept until the server has it.

import { byId, setText } from "./dom.js";

/** `send(prompt, mode)` is called for what is to be sent. */
export class PromptBox {
  constructor(send) {
    this._box = byId("prompt");
    this._history = [];
    this._at = 0; // place in the history; its length: what is being written
    this._draft = "";
    byId("prompt-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this._box.value.trim() !== "" && !byId("send").disabled) send(this._box.value, byId("mode").value);
    });
    this._box.addEventListener("keydown", (event) => this._key(event));
    this._box.addEventListener("input", () => this._grow());
  }

  /** The prompts of the session so far, oldest first. */
  remember(prompts) {
    if (this._at !== this._history.length) return; // somebody is looking through it
    this._history = prompts.filter((prompt, index) => prompt !== prompts[index - 1]);
    this._at = this._history.length;
  }

  /** A prompt was taken: the box is free, unless something else was written meanwhile. */
  sent(prompt) {
    if (this._box.value === prompt) this._set("");
    this._history.push(prompt);
    this._at = this._history.length;
    this.note("");
  }

  note(text) {
    setText(byId("prompt-note"), text);
  }

  focus() {
    this._box.focus();
  }

  _key(event) {
    if (event.isComposing) return;
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

  _grow() {
    this._box.rows = Math.min(10, this._box.value.split("\n").length);
  }
}
