// The dialog in which the owner answers a permission request. Nothing done before it appeared can answer it.

import { byId, el, setText } from "./dom.js";
import { drawDisplay, peopleText, whatAndWhere } from "./asked.js";
import { Remember } from "./remember.js";

export const GUARD = 300; // milliseconds without a key or a press, from the moment it appears, before it can be answered

const FLAGS = {
  bidi: "characters that reorder text",
  invisible: "characters that cannot be seen",
  mixed_script: "a word with letters of several alphabets that look alike",
  look_alike: "a host, a path or a command that passes for another one",
  escapes: "control characters",
  truncated: "text that was cut: not all of it is shown",
  credentials: "a place that holds credentials",
  contradicts: "different things that the agent said about it",
  unspecified: "nothing of what it would run or change: the agent does not say",
  misnamed_option: "an answer whose name says the opposite of what it does",
  deletes_state: "a command that may delete .myagent, where the server keeps its sessions",
};

const ANSWERS = { allow_once: "Allow", allow_always: "Always allow", reject_once: "Deny", reject_always: "Always deny" };

/** `decide(entry, decision)` sends an answer, `saw(entry)` that it is shown; `now()` is the server's time in milliseconds. */
export class PermissionDialog {
  constructor(decide, now, dismissed, saw) {
    this._saw = saw; // is told of a request that a human can see, once
    this._decide = decide;
    this._now = now;
    this._dialog = byId("permission");
    this._remember = new Remember(now);
    this._entry = null;
    this._quietSince = 0; // the last key or press, or the moment it appeared
    this._held = new Set(); // keys that went down before they could count
    this._sending = false;
    this._seen = false; // the end of what is asked was in sight
    this._before = null; // what had the focus
    this._dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (this._open()) dismissed(this._entry);
    });
    for (const kind of ["keydown", "keyup", "pointerdown", "click"]) {
      this._dialog.addEventListener(kind, (event) => this._guard(event), { capture: true });
    }
    this._text = byId("permission-display");
    this._text.addEventListener("scroll", () => this._look());
    byId("permission-more").addEventListener("click", () => this._text.scrollBy(0, this._text.clientHeight * 0.9));
    new ResizeObserver(() => this._look()).observe(this._text);
    byId("permission-read").addEventListener("change", () => this._enable());
    setInterval(() => this._tick(), 1000);
  }

  get requestId() {
    return this._entry?.event.permissionRequestId ?? null;
  }

  /** Show a request, or what has changed around it. */
  show(entry, { cwd, place, owns }) {
    if (entry.event.permissionRequestId !== this.requestId) this._begin(entry);
    const { request } = entry.event;
    setText(byId("permission-place"), place);
    this._remember.offer(owns);
    setText(byId("permission-where"), whatAndWhere(request, cwd) + peopleText(entry.event));
    this._tick();
    if (!entry.saw && document.visibilityState === "visible") this._saw(entry);
  }

  hide() {
    if (this._entry === null) return;
    this._entry = null;
    this._dialog.close();
    this._giveFocusBack();
  }

  /** To where somebody was; a button may be gone or disabled by now. */
  _giveFocusBack() {
    const before = this._before;
    this._before = null;
    for (const node of [before, byId("prompt"), byId("stream")]) {
      if (node === null || node === document.body) continue;
      node.focus({ preventScroll: true });
      if (document.activeElement === node) return;
    }
  }

  /** The server refused the decision: it can be made again. */
  refused(message) {
    this._sending = false;
    setText(byId("permission-error"), message);
    byId("permission-error").hidden = false;
    this._enable();
  }

  _begin(entry) {
    const { request } = entry.event;
    this._entry = entry;
    this._sending = this._seen = false;
    setText(byId("permission-title"), request.title || request.toolName);
    byId("permission-display").replaceChildren(...drawDisplay(request));
    byId("permission-display").scrollTop = 0;
    setText(byId("permission-reason"), request.reason ?? "");
    byId("permission-reason").hidden = !request.reason;
    const flags = request.flags ?? [];
    byId("permission-flags").hidden = flags.length === 0;
    setText(byId("permission-warning"), `Look closely. This contains ${flagsText(flags)}. Characters that cannot be seen are written as \\u{…}.`);
    byId("permission-read").checked = false;
    byId("permission-note").value = "";
    byId("permission-error").hidden = true;
    this._remember.show(request);
    byId("permission-answers").replaceChildren(...this._answers(request));
    if (!this._dialog.open) {
      this._before = document.activeElement;
      this._dialog.showModal();
    }
    byId("permission-focus").focus();
    this._look();
    this._appeared();
  }

  /** Notice whether the end of what is asked is in sight, and say how much is not. */
  _look() {
    if (this._entry === null || !this._dialog.open) return;
    const { scrollHeight, scrollTop, clientHeight } = this._text;
    const below = scrollHeight - scrollTop - clientHeight;
    if (below <= 2 && clientHeight > 0) this._seen = true;
    const lines = Math.ceil(below / parseFloat(getComputedStyle(this._text).lineHeight));
    const more = byId("permission-more");
    setText(more, `${lines} more ${lines === 1 ? "line" : "lines"}${this._seen ? "" : ": read to the end to allow"}`);
    more.hidden = below <= 2;
    this._enable();
  }

  _appeared() {
    this._held.clear();
    this._quietSince = performance.now();
    this._enable();
    this._wake();
  }

  _wake() {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._enable(), GUARD - (performance.now() - this._quietSince) + 1);
  }

  _open() {
    return performance.now() - this._quietSince >= GUARD;
  }

  /** Swallow what was on its way when the dialog appeared; somebody who types on waits for a quiet moment. */
  _guard(event) {
    const key = event.type === "keydown" || event.type === "keyup";
    const early = !this._open();
    if (event.type === "keydown" && early) this._held.add(event.code);
    const held = key && this._held.has(event.code); // went down too early: counts only when pressed anew
    if (event.type === "keyup") this._held.delete(event.code);
    if (!early && !held) return;
    event.preventDefault();
    event.stopPropagation();
    if (early && event.type !== "click") {
      this._quietSince = performance.now();
      this._wake();
    }
  }

  _answers(request) {
    const options = request.options ?? [];
    const of = (kind) => options.filter((option) => option.kind.startsWith(kind));
    const allow = of("allow").length > 0 ? of("allow") : [{ name: "Allow", kind: "allow_once" }];
    const deny = of("reject").length > 0 ? of("reject") : [{ name: "Deny", kind: "reject_once" }];
    return [
      ...deny.map((option) => this._button(option, "deny", "deny")),
      el("span", { class: "spring" }),
      ...allow.map((option) => this._button(option, "allow", option.kind === "allow_once" ? "primary allow" : "allow")),
    ];
  }

  /** What it does stands first, by its kind: an agent's name for it could say the opposite. */
  _button({ name, optionId, kind: does }, kind, style) {
    const word = ANSWERS[does] ?? ANSWERS[`${kind === "deny" ? "reject" : kind}_once`];
    const same = ["", word.toLowerCase(), `${word} once`.toLowerCase()].includes(name.trim().toLowerCase());
    const text = same ? word : `${word} · ${name}`;
    const onclick = () => {
      if (this._sending || !this._open()) return;
      this._sending = true;
      this._enable();
      const reason = byId("permission-note").value.trim();
      this._decide(this._entry, {
        kind,
        digest: this._entry.event.request.digest,
        ...(optionId === undefined ? {} : { optionId }),
        ...(does === "allow_once" ? this._remember.chosen : {}),
        ...(kind === "deny" && reason !== "" ? { reason } : {}),
      });
    };
    return el("button", { type: "button", class: style, "data-kind": kind, text, onclick });
  }

  _enable() {
    if (this._entry === null) return;
    const flagged = (this._entry.event.request.flags ?? []).length > 0 && !byId("permission-read").checked;
    const unread = flagged || !this._seen;
    for (const button of byId("permission-answers").querySelectorAll("button")) {
      button.disabled = this._sending || !this._open() || (unread && button.dataset.kind === "allow");
    }
  }

  _tick() {
    if (this._entry === null) return;
    setText(byId("permission-left"), timeLeft(this._entry.event.request.expiresAt, this._now()));
  }
}

/** What is odd about a request, in words. */
export function flagsText(flags) {
  return flags.map((flag) => FLAGS[flag] ?? flag).join(", and ");
}

/** How long a request still waits before it is denied. */
export function timeLeft(expiresAt, now) {
  const seconds = Math.max(0, Math.round((Date.parse(expiresAt) - now) / 1000));
  if (Number.isNaN(seconds)) return "";
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left, then denied`;
}
