// All rules by which requests are answered without a question, each of which can be ended.

import { escapeLine } from "../parsing/escape.js";
import { el, setText } from "./dom.js";

/** All rules, for the owner. `ask(message, answered, failed)` sends. */
export class RulesDialog {
  constructor(ask) {
    this._ask = ask;
    this._rows = el("ul", { id: "rules-list" });
    this._why = el("p", { class: "notice", role: "alert", hidden: true });
    this._dialog = el("dialog", { id: "rules-dialog", "aria-labelledby": "rules-title" },
      el("div", { class: "dialog-body" },
        el("h2", { id: "rules-title", text: "Rules" }),
        el("p", { class: "faint", text: "What is allowed without a question. Requests with warnings are asked in any case." }),
        this._rows, this._why,
        el("div", { class: "answers" }, el("button", { type: "button", id: "rules-close", text: "Close", onclick: () => this._dialog.close() }))));
    document.body.append(this._dialog);
  }

  show() {
    this._why.hidden = true;
    this._ask({ type: "list_rules" }, ({ rules }) => this._draw(rules), (why) => this._failed(why));
    if (!this._dialog.open) this._dialog.showModal();
  }

  _draw(rules) {
    this._rows.replaceChildren(...rules.map((rule) => this._row(rule)));
    if (rules.length === 0) this._rows.append(el("li", { class: "faint", text: "No rules: everything is asked." }));
  }

  _failed(why) {
    setText(this._why, why);
    this._why.hidden = false;
  }

  _row({ ruleId, match, shown, sessionId, until, madeBy }) {
    const end = () => this._ask({ type: "revoke_rule", ruleId }, () => this.show(), (why) => this._failed(why));
    const where = sessionId === undefined ? "all sessions" : `session ${escapeLine(sessionId)}`;
    const facts = `${match}, ${where}${until === undefined ? "" : `, until ${escapeLine(until)}`}, made by ${escapeLine(madeBy)}`;
    return el("li", {},
      el("span", { class: "title", text: shown }),
      el("span", { class: "faint", text: facts }),
      el("button", { type: "button", text: "Revoke", "aria-label": `Revoke the rule ${shown}`, onclick: end }));
  }
}
