// What somebody may mean who types `/` at the beginning (a command of the agent's) or `@` (a file of the directory).

import { escapeLine } from "../parsing/escape.js";
import { byId, el } from "./dom.js";

const SHOWN = 8;
const WAIT = 80; // milliseconds after a key before files are asked for

export class Completion {
  /** `commands()` are the agent's; `files(query, done)` asks for names. */
  constructor(commands, files) {
    Object.assign(this, { _commands: commands, _files: files });
    this._box = byId("prompt");
    this._list = el("ul", { id: "completion", role: "listbox", "aria-label": "What is meant", hidden: true });
    byId("prompt-form").prepend(this._list);
    this._box.setAttribute("aria-controls", "completion");
    this._rows = [];
    this._at = 0;
    this._asked = 0;
    this._known = new Set(); // paths that were offered
    this._box.addEventListener("keydown", (event) => this._key(event), { capture: true });
    this._box.addEventListener("blur", () => this._close());
  }

  get open() {
    return !this._list.hidden;
  }

  /** What a prompt names with `@`, of the files that were offered. */
  mentioned(prompt) {
    return mentions(prompt, this._known).map((path) => ({ type: "link", path }));
  }

  typed() {
    const before = this._box.value.slice(0, this._box.selectionStart);
    const command = /^\/(\S*)$/.exec(before);
    const file = /(?:^|\s)@(\S*)$/.exec(before);
    this._asked += 1;
    clearTimeout(this._timer);
    if (command !== null) this._offer(commandRows(this._commands(), command[1]), before.length - command[1].length);
    else if (file !== null) this._askFiles(file[1], before.length - file[1].length);
    else this._close();
  }

  _askFiles(query, start) {
    const asked = this._asked;
    this._timer = setTimeout(() => this._files(query, (paths) => {
      paths.forEach((path) => this._known.add(path));
      if (asked === this._asked) this._offer(paths.slice(0, SHOWN).map((path) => ({ text: path })), start);
    }), WAIT);
  }

  _offer(rows, start) {
    this._rows = rows;
    this._start = start;
    this._at = 0;
    this._draw();
  }

  _draw() {
    this._list.hidden = this._rows.length === 0;
    this._box.setAttribute("aria-expanded", String(this.open));
    this._list.replaceChildren(...this._rows.map((row, place) => el("li", {
      role: "option", id: `completion-${place}`, "aria-selected": String(place === this._at),
      onpointerdown: (event) => {
        event.preventDefault();
        this._take(row);
      },
    }, el("span", { class: "title", text: escapeLine(row.shown ?? row.text) }), el("span", { class: "faint", text: escapeLine(row.says ?? "") }))));
    if (this.open) this._box.setAttribute("aria-activedescendant", `completion-${this._at}`);
    else this._box.removeAttribute("aria-activedescendant");
  }

  _close() {
    this._asked += 1;
    clearTimeout(this._timer);
    this._rows = [];
    this._draw();
  }

  _key(event) {
    if (!this.open || event.isComposing || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    const whole = this._box.value.slice(this._start, this._box.selectionStart) === this._rows[this._at].text;
    const act = {
      ArrowDown: () => this._move(1),
      ArrowUp: () => this._move(-1),
      Tab: () => this._take(this._rows[this._at]),
      Escape: () => this._close(),
      Enter: whole ? undefined : () => this._take(this._rows[this._at]),
    }[event.key];
    if (act === undefined) {
      if (event.key === "Enter") this._close();
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    act();
  }

  _move(by) {
    this._at = (this._at + by + this._rows.length) % this._rows.length;
    this._draw();
  }

  _take({ text }) {
    const { value, selectionStart } = this._box;
    this._box.setRangeText(`${text} `, this._start, selectionStart, "end");
    if (value !== this._box.value) this._box.dispatchEvent(new Event("input"));
    this._close();
    this._box.focus();
  }
}

/** Those that begin with what was typed, then those that have it, with what they are for and what they take. */
export function commandRows(commands, typed) {
  const wanted = typed.toLowerCase();
  const rows = commands.filter(({ name }) => name.toLowerCase().includes(wanted));
  rows.sort((a, b) => b.name.toLowerCase().startsWith(wanted) - a.name.toLowerCase().startsWith(wanted));
  return rows.slice(0, SHOWN).map(({ name, description = "", hint = "" }) => ({
    text: name, shown: `/${name}${hint ? ` ${hint}` : ""}`, says: description,
  }));
}

/** The paths that a prompt names with `@`, of those that are known. */
export function mentions(prompt, known) {
  const named = [...prompt.matchAll(/(?:^|\s)@(\S+)/g)].map(([, path]) => path);
  return [...new Set(named)].filter((path) => known.has(path));
}
