// The dialog in which the owner answers a question of the agent's: a form, or an address to visit.

import { el } from "./dom.js";
import { escape, escapeLine } from "../parsing/escape.js";
import { flagsText, GUARD, timeLeft } from "./permission.js";

/** `waiting` holds what waits, by id, oldest first; `send(message, failed)` sends; `now()` is the server's time. */
export class QuestionDialog {
  constructor(waiting, send, now) {
    this._waiting = waiting;
    this._send = send;
    this._now = now;
    this._aside = new Set();
    this._event = null;
    this._quietSince = 0; // the last key or press, or the moment it appeared
    this._body = el("form", { class: "dialog-body", method: "dialog", novalidate: true });
    this._dialog = el("dialog", { id: "question", "aria-label": "The agent asks" }, this._body);
    this._again = el("button", { type: "button", id: "question-again", hidden: true, text: "Answer the agent's question", onclick: () => this._comeBack() });
    document.body.append(this._dialog);
    document.getElementById("prompt-form").before(this._again);
    this._dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (this._open()) this._putAside();
    });
    for (const kind of ["keydown", "keyup", "pointerdown", "click", "paste"]) {
      this._dialog.addEventListener(kind, (event) => this._guard(event), { capture: true });
    }
    this._body.addEventListener("submit", (event) => {
      event.preventDefault();
      this._give("accept");
    });
  }

  /** Show the oldest that waits, where its answer is ours and no other dialog is open. */
  draw(owns) {
    const open = owns ? [...this._waiting.values()].filter(({ questionId }) => !this._aside.has(questionId)) : [];
    this._again.hidden = !owns || this._waiting.size === 0 || open.length > 0;
    if (this._event !== null && !open.some(({ questionId }) => questionId === this._event.questionId)) {
      this._event = null;
      this._dialog.close();
    }
    if (this._event === null && open.length > 0 && document.querySelector("dialog[open]") === null) this._begin(open[0]);
    if (this._event !== null) this._left.textContent = timeLeft(this._event.expiresAt, this._now()).replace("denied", "cancelled");
  }

  /** The server refused the answer: it can be given again. */
  refused(why) {
    this._why.textContent = why;
    this._why.hidden = false;
  }

  _begin(event) {
    this._event = event;
    this._left = el("span", { class: "faint" });
    this._why = el("p", { class: "notice", role: "alert", hidden: true });
    this._fields = event.url === undefined ? fieldsOf(event.schema) : [];
    const flags = event.flags ?? [];
    this._body.replaceChildren(
      el("p", { class: "eyebrow" }, el("span", { text: "The agent asks" }), el("span", { class: "spring" }), this._left),
      el("pre", { class: "text", tabindex: "-1", text: event.message }),
      ...(flags.length > 0 ? [el("p", { class: "notice", text: `Look closely. This contains ${flagsText(flags)}.` })] : []),
      ...(event.url === undefined ? [] : addressOf(event)),
      ...this._fields.map(({ node }) => node),
      this._why,
      el("div", { class: "answers" },
        el("button", { type: "button", text: "Decline", onclick: () => this._give("decline") }),
        el("button", { type: "button", text: "Cancel", onclick: () => this._give("cancel") }),
        el("span", { class: "spring" }),
        el("button", { type: "submit", class: "primary", text: event.url === undefined ? "Send" : "Done there" })),
    );
    this._dialog.showModal();
    this._body.querySelector("pre").focus();
    this._quietSince = performance.now();
  }

  _give(action) {
    if (!this._open()) return;
    let content;
    if (action === "accept" && this._event.url === undefined) {
      content = {};
      for (const { name, read, input } of this._fields) {
        if (!(input?.reportValidity() ?? true)) return;
        const value = read();
        if (value !== undefined) content[name] = value;
      }
    }
    const { questionId } = this._event;
    this._send({ type: "answer", questionId, action, ...(content === undefined ? {} : { content }) }, (why) => this.refused(why));
  }

  _open() {
    return this._event !== null && performance.now() - this._quietSince >= GUARD;
  }

  /** Swallow what was on its way when the dialog appeared. */
  _guard(event) {
    if (this._open()) return;
    event.preventDefault();
    event.stopPropagation();
    this._quietSince = performance.now();
  }

  _putAside() {
    this._aside.add(this._event.questionId);
    this.draw(true);
  }

  _comeBack() {
    this._aside.clear();
    this.draw(true);
  }
}

/** The whole address and its host; nothing opens it but whoever presses the link. */
function addressOf({ url, host }) {
  const link = el("a", { href: url, target: "_blank", rel: "noopener noreferrer", text: escapeLine(url) });
  return [el("p", { text: `Host: ${escapeLine(host ?? "")}` }), el("p", {}, link)];
}

/** A form's fields: `{name, node, input, read}`; `read` gives `undefined` for what is left out. */
function fieldsOf(schema) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const label = el("span", { text: `${field.title ?? escapeLine(name)}${required.has(name) ? "" : " (may be left out)"}` });
    const about = field.description ? el("span", { class: "faint", text: field.description }) : null;
    const { input, read, nodes } = inputOf(field, required.has(name));
    if (input !== null && nodes === undefined) input.name = name;
    const node = nodes === undefined ? el("label", {}, label, about, input) : el("fieldset", {}, el("legend", {}, label), about, ...nodes);
    return { name, node, input, read };
  });
}

function inputOf(field, required) {
  const choices = field.oneOf ?? field.items?.anyOf;
  if (field.type === "array") {
    const boxes = choices.map(({ const: value, title }) => {
      const box = el("input", { type: "checkbox", value, checked: (field.default ?? []).includes(value) });
      return { box, row: el("label", { class: "check" }, box, el("span", { text: title })) };
    });
    const chosen = () => boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
    return { input: null, nodes: boxes.map(({ row }) => row), read: () => (chosen().length > 0 || required ? chosen() : undefined) };
  }
  if (choices !== undefined || field.type === "boolean") {
    const rows = choices ?? [{ const: "true", title: "Yes" }, { const: "false", title: "No" }];
    const select = el("select", { required }, el("option", { value: "", text: "choose…" }),
      ...rows.map(({ title }, index) => el("option", { value: String(index), text: title })));
    const at = rows.findIndex(({ const: value }) => value === (choices ? field.default : String(field.default)));
    if (at >= 0) select.value = String(at);
    const value = () => rows[Number(select.value)].const;
    return { input: select, read: () => (select.value === "" ? undefined : choices ? value() : value() === "true") };
  }
  const number = field.type === "integer" || field.type === "number";
  const input = el("input", number
    ? { type: "number", required, min: field.minimum, max: field.maximum, step: field.type === "integer" ? "1" : "any" }
    : { type: "text", required, minlength: field.minLength, maxlength: field.maxLength, autocomplete: "off", title: field.pattern ? escape(`matches ${field.pattern}`) : undefined });
  input.value = field.default ?? "";
  return { input, read: () => (input.value === "" ? undefined : number ? Number(input.value) : input.value) };
}
