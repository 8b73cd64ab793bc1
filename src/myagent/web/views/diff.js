// Draws how a file changed, line by line.

import { compare } from "../parsing/diff.js";
import { escape } from "../parsing/escape.js";
import { copyButton, el } from "./dom.js";

const DIFF_ROWS = 2000; // drawn at once

/** A change of a file, coloured by line. */
export function drawDiff({ path, before, after }) {
  const rows = compare(before, after);
  const table = el("pre", { class: "diff", tabindex: "0" });
  const more = (start) => {
    table.append(...rows.slice(start, start + DIFF_ROWS).map(drawRow));
    const left = rows.length - start - DIFF_ROWS;
    if (left <= 0) return;
    const button = el("button", { type: "button", class: "quiet", text: `Show ${left} more lines` });
    button.addEventListener("click", () => {
      button.remove();
      more(start + DIFF_ROWS);
    });
    table.append(button);
  };
  more(0);
  const name = el("span", { class: "path", text: before === null ? `${path} (new)` : path });
  return el("div", { class: "field" }, el("div", { class: "code-head" }, name, copyButton(() => after, "Copy new text")), table);
}

function drawRow({ kind, text }) {
  const sign = { old: "-", new: "+", same: " ", skip: " " }[kind];
  const shown = kind === "skip" ? text : escape(text).replaceAll("\\u{9}", "\t");
  return el("span", { class: `line ${kind}`, text: `${sign}${shown}\n` });
}
