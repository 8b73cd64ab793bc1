// Draws a plan as a checklist.

import { el } from "./dom.js";

const STEPS = new Map([["completed", ["☑", "done"]], ["in_progress", ["◐", "being done"]]]);
const TODO = ["☐", "to do"];

/** `entries` are `{content, status}`. */
export function drawSteps(entries) {
  return el("ul", { class: "checklist" }, ...entries.map(({ content, status }) => {
    const [sign, word] = STEPS.get(status) ?? TODO;
    return el("li", { class: status === "completed" ? "done" : "" }, el("span", { class: "box", role: "img", "aria-label": word, text: sign }), el("span", { text: content }));
  }));
}
