// The dialog in which the owner answers a permission request. Nothing done before it appeared can answer it.

import { byId, el, setText } from "./dom.js";
import { drawDisplay, whatAndWhere } from "./render.js";

export const GUARD = 300; // milliseconds without a key or a press, from the moment it appears, before it can be answered

const FLAGS = {
  bidi: "characters that reorder text",
  invisible: "characters that cannot be seen",
  mixed_script: "a word with letters of several alphabets that look alike",
  escapes: "control characters",
  truncated: "text that was cut: not all of it is shown",
};

/** `decide(entry, decision)` sends an answer; `now()` is the server's time in milliseconds. */
export class PermissionDialog {
  constructor(decide, now, dismissed) {
    this._decide = decide;
    this._now = now;
    this._dialog = byId("permission");
    this._entry = null;
    this._quietSince = 0; // the last key or press, or the moment it appeared
    this._held = new Set(); // keys that went down before they could count
    this._sending = false;
    this._dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (this._open()) dismissed(this._entry);
    });
    for (const kind of ["keydown", "keyup", "pointerdown", "click"]) {
      this._dialog.addEventListener(kind, (event) => this._guard(event), { capture: true });
    }
    byId("permission-read").addEventListener("change", () => this._enable());
    setInterval(() => this._tick(), 1000);
  }

  get requestId() {
    return this._entry?.event.permissionRequestId ?? null;
  }

  /** Show a request, or what has changed around it. */
  show(entry, { cwd, place }) {
    if (entry.event.permissionRequestId !== this.requestId) this._begin(entry);
    const { request } = entry.event;
    setText(byId("permission-place"), place);
    setText(byId("permission-where"), whatAndWhere(request, cwd));
    this._tick();
  }

  hide() {
    if (this._entry === null) return;
    this._entry = null;
    this._dialog.close();
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
    this._sending = false;
    setText(byId("permission-title"), request.title || request.toolName);
    byId("permission-display").replaceChildren(...drawDisplay(request));
    byId("permission-display").scrollTop = 0;
    setText(byId("permission-reason"), request.reason ?? "");
    byId("permission-reason").hidden = !request.reason;
    const flags = request.flags ?? [];
    byId("permission-flags").hidden = flags.length === 0;
    setText(byId("permission-warning"), `Look closely. This contains ${flagsText(flags)}. They are written as \\u{…} where they cannot be seen.`);
    byId("permission-read").checked = false;
    byId("permission-note").value = "";
    byId("permission-error").hidden = true;
    byId("permission-answers").replaceChildren(...this._answers(request));
    if (!this._dialog.open) this._dialog.showModal();
    byId("permission-focus").focus();
    this._appeared();
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

  _button({ name, optionId }, kind, style) {
    const onclick = () => {
      if (this._sending || !this._open()) return;
      this._sending = true;
      this._enable();
      const reason = byId("permission-note").value.trim();
      this._decide(this._entry, {
        kind,
        digest: this._entry.event.request.digest,
        ...(optionId === undefined ? {} : { optionId }),
        ...(kind === "deny" && reason !== "" ? { reason } : {}),
      });
    };
    return el("button", { type: "button", class: style, "data-kind": kind, text: name, onclick });
  }

  _enable() {
    if (this._entry === null) return;
    const unread = (this._entry.event.request.flags ?? []).length > 0 && !byId("permission-read").checked;
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
