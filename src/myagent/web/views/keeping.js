// Sessions as people keep them: given a name, put out of the way, deleted. For their owner.

import { el, setText } from "./dom.js";

export class KeepingDialog {
  /** `ask(message, answered, failed)` sends. */
  constructor(ask) {
    this._ask = ask;
    this._session = undefined;
    this._name = el("input", { id: "keep-name", maxlength: "200", autocomplete: "off" });
    this._away = el("button", { type: "button", onclick: () => this._send({ type: "archive", archived: !this._session.archived }) });
    this._sure = el("input", { type: "checkbox", id: "keep-sure", onchange: () => (this._delete.disabled = !this._sure.checked) });
    this._delete = el("button", { type: "button", class: "deny", text: "Delete", onclick: () => this._send({ type: "delete" }) });
    this._why = el("p", { class: "notice", role: "alert", hidden: true });
    const form = el("form", { class: "dialog-body", method: "dialog" },
      el("h2", { text: "This session" }),
      el("label", { for: "keep-name", text: "Name (empty: as it was called before)" }),
      el("div", { class: "row" }, this._name, el("button", { type: "submit", class: "primary", text: "Rename" })),
      el("div", { class: "row" }, el("label", { class: "check" }, this._sure, el("span", { text: "Delete it, for everybody and for good" })), this._delete),
      this._why,
      el("div", { class: "answers" },
        this._away,
        el("span", { class: "spring" }),
        el("button", { type: "button", text: "Close", onclick: () => this._dialog.close() })));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._send({ type: "rename", title: this._name.value });
    });
    this._dialog = el("dialog", { id: "keeping", "aria-label": "This session" }, form);
    document.body.append(this._dialog);
  }

  draw(session, owns) {
    this._session = session;
    if ((!owns || session === undefined) && this._dialog.open) this._dialog.close();
  }

  show(session) {
    this._session = session;
    this._name.value = this._session.title;
    this._sure.checked = false;
    this._delete.disabled = true;
    setText(this._away, this._session.archived ? "Bring back" : "Put away");
    this._why.hidden = true;
    this._dialog.showModal();
  }

  _send(message) {
    this._ask({ ...message, sessionId: this._session.sessionId }, () => this._dialog.close(), (why) => {
      setText(this._why, why);
      this._why.hidden = false;
    });
  }
}
