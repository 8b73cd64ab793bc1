// What the agent offers for the session (mode, model, effort, …): a small list of which the owner chooses.

import { el } from "./dom.js";
import { escapeLine } from "../parsing/escape.js";
import { Later } from "./later.js";

export const UNASKED = "may act unasked";

/** Rows of `agentState.options` that can be shown. */
export function optionsOf(session) {
  const rows = session?.agentState?.options;
  return Array.isArray(rows) ? rows.filter((row) => typeof row?.id === "string" && Array.isArray(row.values)) : [];
}

export function written(value) {
  return typeof value === "boolean" ? (value ? "on" : "off") : escapeLine(String(value));
}

/** What is said of a choice. */
export function chosenText({ optionId, value, by, reason, guarded }) {
  const why = reason ? `: ${escapeLine(reason)}` : "";
  return `${escapeLine(optionId)}=${written(value)} chosen by ${escapeLine(by)}${why}${guarded ? `; the agent ${UNASKED}` : ""}`;
}

const rowsDrawn = new Later(() => import("./choosing.js"), ({ drawRows }) => drawRows);

/** `choose(optionId, value, failed)` sends. */
export class OptionsBox {
  constructor(choose) {
    this._choose = choose;
    this._key = "";
    this._summary = el("summary", { id: "options-now" });
    this._rows = el("div", { id: "options-rows" });
    this._why = el("p", { class: "notice", role: "alert", hidden: true });
    this.node = el("details", { id: "options", hidden: true }, this._summary, this._rows, this._why);
    document.getElementById("search").before(this.node);
  }

  draw(session, owns) {
    const rows = optionsOf(session);
    this.node.hidden = rows.length === 0;
    const key = JSON.stringify([session?.sessionId, owns, rows]);
    if (key === this._key) return; // a list that is open stays so
    this._key = key;
    this._summary.textContent = rows.map(({ value }) => written(value ?? "")).filter(Boolean).slice(0, 3).join(" · ");
    this._why.hidden = true;
    if (rows.length > 0) rowsDrawn.use((draw) => this._rows.replaceChildren(...draw(rows, owns, (...what) => this._chosen(...what))));
  }

  _chosen(id, value, sure) {
    this._key = ""; // what is chosen is what the server says, not what the list shows
    if (!sure) return;
    this._why.hidden = true;
    this._choose(id, value, (why) => {
      this._why.textContent = why;
      this._why.hidden = false;
    });
  }
}
