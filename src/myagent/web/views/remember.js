// Rules instead of repeated questions: what an allow is remembered as.

import { escapeLine } from "../parsing/escape.js";
import { byId, el, setText } from "./dom.js";

const SCOPES = [["session", "in this session"], ["workspace", "in all sessions"]];

/** What can be remembered with an allow, the narrowest first: `{scope, match, words?, path?}` each. */
export function choices({ remembers = [] }) {
  const found = remembers.flatMap((offer) => {
    const { match, words = [] } = offer;
    if (match !== "prefix" || words.length < 2) return [offer];
    return [offer, { match, words: words.slice(0, words.length > 2 ? 2 : 1) }];
  });
  return SCOPES.flatMap(([scope]) => found.map((offer) => ({ scope, ...offer })));
}

/** What a choice would allow from now on. */
export function choiceText({ scope, match, words = [], path = "" }) {
  const where = Object.fromEntries(SCOPES)[scope];
  if (match === "prefix") return `Commands that begin with: ${escapeLine(words.join(" "))} (${where})`;
  if (match === "path") return `Edits below ${escapeLine(path)}/ (${where})`;
  return `Exactly this (${where})`;
}

/** The part of the permission dialog about rules. */
export class Remember {
  constructor(now) {
    this._now = now; // the server's time, in milliseconds
    this._choices = [];
    this._select = byId("permission-remember");
    this._hours = byId("permission-until");
    this._select.addEventListener("change", () => (this._hours.hidden = this._select.value === ""));
  }

  show(request) {
    this._choices = choices(request);
    const options = this._choices.map((each, index) => el("option", { value: String(index), text: choiceText(each) }));
    this._hours.value = "0";
    this._hours.hidden = true;
    this._select.replaceChildren(el("option", { value: "", text: "No, ask each time" }), ...options);
    const missed = (request.missed ?? []).map(({ ruleId, why }) =>
      el("li", { text: `Rule ${escapeLine(ruleId)} does not allow it: ${escapeLine(why)}` }));
    byId("permission-missed").replaceChildren(...missed);
    byId("permission-missed").hidden = missed.length === 0;
  }

  /** Whoever approves without owning answers this one time. */
  offer(owns) {
    byId("permission-remembering").hidden = !owns || this._choices.length === 0;
  }

  /** What goes with an allow of a kind that is for this one time. */
  get chosen() {
    const remember = this._choices[Number(this._select.value || -1)];
    if (remember === undefined || byId("permission-remembering").hidden) return {};
    const hours = Number(this._hours.value);
    return { remember: hours > 0 ? { ...remember, until: new Date(this._now() + hours * 3_600_000).toISOString() } : remember };
  }
}
