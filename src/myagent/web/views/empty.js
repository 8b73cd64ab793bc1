// What is shown where nothing has happened yet: what this is, who is here, and what one can do.

import { escapeLine } from "../parsing/escape.js";
import { byId, el } from "./dom.js";

const EXAMPLES = { command: ["help", "!git status", "read README.md"] }; // of agents whose commands are known
const ANY = ["What does this project do?", "Run the tests and explain what fails"];

/** `use(text)` puts an example into the prompt box. */
export function drawEmpty({ empty, owns, workspace, cwd }, use) {
  const place = byId("empty");
  place.hidden = !empty;
  if (!empty) return;
  const agent = workspace.listed[0]?.agent ?? "";
  const owner = workspace.owner === null ? "Nobody drives now." : `${escapeLine(workspace.owner.label) || "Somebody"} drives.`;
  const key = JSON.stringify([owns, agent, owner, workspace.followers, cwd]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const others = workspace.followers === 1 ? "1 follower watches." : `${workspace.followers} followers watch.`;
  const where = cwd === "" ? null : el("p", { class: "faint", text: cwd });
  const parts = [
    el("h3", { text: owns ? "What shall be done?" : "Nothing has happened yet" }),
    el("p", { text: owns
      ? "Say below what to do. The agent works in the directory that is shared; what it asks permission for waits for your answer."
      : "What the owner does appears here by itself: what the agent says, runs and changes." }),
    el("p", { class: "faint", text: `${owns ? "You drive." : owner} ${others}` }),
    where,
    owns ? el("div", { class: "examples" }, ...(EXAMPLES[agent] ?? ANY).map((text) =>
      el("button", { type: "button", text, onclick: () => use(text) }))) : null,
  ];
  place.replaceChildren(...parts.filter((part) => part !== null));
}
