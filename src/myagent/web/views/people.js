// Who is connected, for the owner; and to whom the slot can be handed over.

import { el, setText } from "./dom.js";

export class PeopleDialog {
  /** `ask(message, answered, failed)` sends; `note(text)` tells why nothing is shown. */
  constructor(workspace, ask, note) {
    this._handOver = (to) => ask({ type: "handover", to }, () => this._dialog.close(), (why) => this._failed(why));
    this._look = () => ask({ type: "who" }, ({ connections }) => this._draw(connections, workspace.connectionId), note);
    this._list = el("ul", { id: "people-list" });
    this._why = el("p", { class: "notice", role: "alert", hidden: true });
    this._dialog = el("dialog", { id: "people-dialog", "aria-labelledby": "people-title" },
      el("div", { class: "dialog-body" },
        el("h2", { id: "people-title", text: "Connected" }),
        el("p", { class: "faint", text: "You can hand over to a connection whose credential may own. Names are what they call themselves." }),
        this._list, this._why,
        el("div", { class: "answers" }, el("button", { type: "button", id: "people-close", text: "Close", onclick: () => this._dialog.close() }))));
    document.body.append(this._dialog);
  }

  show() {
    this._look();
  }

  _draw(connections, mine) {
    this._why.hidden = true;
    const others = connections.filter(({ connectionId }) => connectionId !== mine);
    this._list.replaceChildren(...others.map((each) => this._row(each)));
    if (others.length === 0) this._list.append(el("li", { class: "faint", text: "Nobody else is connected." }));
    if (!this._dialog.open) this._dialog.showModal();
  }

  _failed(message) {
    setText(this._why, message);
    this._why.hidden = false;
  }

  _row({ connectionId, scope, may, label, since }) {
    const name = label || connectionId;
    const facts = `${scope === "owner" ? "may own" : `may only ${may ?? "watch"}`}, since ${new Date(since).toLocaleTimeString()}`;
    const give = el("button", { type: "button", text: "Hand over", "aria-label": `Hand over to ${name}` });
    give.addEventListener("click", () => this._handOver(connectionId));
    return el("li", {},
      el("span", { class: "title", text: name }),
      el("span", { class: "faint", text: facts }),
      scope === "owner" ? give : null);
  }
}
