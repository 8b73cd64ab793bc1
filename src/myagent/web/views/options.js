// What the agent offers for the session (mode, model, effort, …): a small list of which the owner chooses.

import { el } from "./dom.js";
import { escapeLine } from "../parsing/escape.js";

const UNASKED = "may act unasked";

/** Rows of `agentState.options` that can be shown. */
export function optionsOf(session) {
  const rows = session?.agentState?.options;
  return Array.isArray(rows) ? rows.filter((row) => typeof row?.id === "string" && Array.isArray(row.values)) : [];
}

function written(value) {
  return typeof value === "boolean" ? (value ? "on" : "off") : escapeLine(String(value));
}

function valueText({ value, name, guarded }) {
  const text = name ? escapeLine(String(name)) : written(value);
  return guarded ? `${text}: ${UNASKED}` : text;
}

/** What is said of a choice. */
export function chosenText({ optionId, value, by, reason, guarded }) {
  const why = reason ? `: ${escapeLine(reason)}` : "";
  return `${escapeLine(optionId)}=${written(value)} chosen by ${escapeLine(by)}${why}${guarded ? `; the agent ${UNASKED}` : ""}`;
}

/** `choose(optionId, value, failed)` sends; a value by which the agent may act unasked is asked about first. */
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
    this._rows.replaceChildren(...rows.map((row) => this._row(row, owns)));
    this._why.hidden = true;
  }

  _row(row, owns) {
    const places = row.values.map((each, place) => {
      const option = el("option", { value: String(place), text: valueText(each) });
      option.selected = each.value === row.value;
      return option;
    });
    const select = el("select", { "aria-label": escapeLine(row.name || row.id), disabled: !owns }, ...places);
    if (!row.values.some(({ value }) => value === row.value)) select.selectedIndex = -1;
    select.addEventListener("change", () => this._chosen(row, row.values[Number(select.value)]));
    return el("label", { class: "option" }, el("span", { text: escapeLine(row.name || row.id) }), select);
  }

  _chosen(row, { value, guarded }) {
    const ask = `${escapeLine(row.name || row.id)}: ${written(value)}. The agent ${UNASKED} from the next prompt on. Choose it?`;
    this._key = ""; // what is chosen is what the server says, not what the list shows
    if (guarded && !globalThis.confirm(ask)) return;
    this._why.hidden = true;
    this._choose(row.id, value, (why) => {
      this._why.textContent = why;
      this._why.hidden = false;
    });
  }
}
