// The rows of what the agent offers, in each of which the owner chooses one value.

import { el } from "./dom.js";
import { escapeLine } from "../parsing/escape.js";
import { UNASKED, written } from "./options.js";

function valueText({ value, name, guarded }) {
  const text = name ? escapeLine(String(name)) : written(value);
  return guarded ? `${text}: ${UNASKED}` : text;
}

/** `choose(optionId, value)` sends; a value by which the agent may act unasked is asked about first. */
export function drawRows(rows, owns, choose) {
  return rows.map((row) => {
    const places = row.values.map((each, place) => {
      const option = el("option", { value: String(place), text: valueText(each) });
      option.selected = each.value === row.value;
      return option;
    });
    const known = row.values.some(({ value }) => value === row.value);
    if (!known) places.unshift(el("option", { value: "", text: "choose…", disabled: true, selected: true }));
    const select = el("select", { "aria-label": escapeLine(row.name || row.id), disabled: !owns }, ...places);
    select.addEventListener("change", () => chosen(row, row.values[Number(select.value)], choose));
    return el("label", { class: "option" }, el("span", { text: escapeLine(row.name || row.id) }), select);
  });
}

function chosen(row, { value, guarded }, choose) {
  const ask = `${escapeLine(row.name || row.id)}: ${written(value)}. The agent ${UNASKED} from the next prompt on. Choose it?`;
  choose(row.id, value, !guarded || globalThis.confirm(ask));
}
