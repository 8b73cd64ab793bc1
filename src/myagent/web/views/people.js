// Who is connected, for the owner; and to whom the slot can be handed over.

import { byId, el, setText } from "./dom.js";

export class PeopleDialog {
  /** `ask(message, answered, failed)` sends; `note(text)` tells why nothing is shown. */
  constructor(workspace, ask, note) {
    this._handOver = (to) => ask({ type: "handover", to }, () => this.hide(), (why) => this.failed(why));
    this._dialog = byId("people-dialog");
    byId("people").addEventListener("click", () => {
      ask({ type: "who" }, ({ connections }) => this.show(connections, workspace.connectionId), note);
    });
    byId("people-close").addEventListener("click", () => this._dialog.close());
  }

  show(connections, mine) {
    byId("people-error").hidden = true;
    const others = connections.filter(({ connectionId }) => connectionId !== mine);
    byId("people-list").replaceChildren(...others.map((each) => this._row(each)));
    if (others.length === 0) byId("people-list").append(el("li", { class: "faint", text: "Nobody else is connected." }));
    if (!this._dialog.open) this._dialog.showModal();
  }

  failed(message) {
    setText(byId("people-error"), message);
    byId("people-error").hidden = false;
  }

  hide() {
    if (this._dialog.open) this._dialog.close();
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
