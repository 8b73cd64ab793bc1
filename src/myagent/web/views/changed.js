// What changed: the files of this session, its plan, what it used; and what git tells of the directory.

import { changesOf, planOf } from "../state/changes.js";
import { hunkRows } from "../parsing/diff.js";
import { escapeLine } from "../parsing/escape.js";
import { drawCounts, drawDiff, drawRows } from "./diff.js";
import { byId, el, setText } from "./dom.js";
import { drawSteps } from "./steps.js";

const COVERS = "(max-width: 1099px), (max-height: 480px)"; // the panel is over the session, not beside it
const LISTED = 500; // files drawn at most
const WORDS = { "?": "not known to git", A: "added", M: "changed", D: "deleted", R: "renamed", C: "copied", T: "changed its type", U: "in conflict" };
const FURTHER = 5; // pages of earlier events that are looked through at a time

export class ChangedPanel {
  /** `view` is the session that is shown; `ask(message, done, failed)` sends; `redraw()` draws the page anew; `workspace`: who may own may ask git. */
  constructor(view, ask, redraw, workspace) {
    this._workspace = workspace;
    this._view = view;
    this._ask = ask;
    this._redraw = redraw;
    this._key = "";
    this._open = new Set(); // paths of files whose changes are shown
    this._plan = el("section", { "aria-labelledby": "changed-plan" });
    this._used = el("p", { class: "faint" });
    this._files = el("section", { "aria-labelledby": "changed-files" });
    this._git = el("section", { "aria-labelledby": "changed-git", hidden: true });
    this._heading = el("h2", { id: "changed-title", tabindex: "-1", text: "What changed" });
    const close = el("button", { type: "button", class: "quiet", id: "changed-close", text: "Close", onclick: () => this.hide() });
    this.node = el("aside", { id: "changed", "aria-labelledby": "changed-title", hidden: true },
      el("div", { class: "nav-head" }, this._heading, close), this._used, this._plan, this._files, this._git);
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.hide();
    });
    byId("workspace").append(this.node);
  }

  toggle(session) {
    if (!this.node.hidden) {
      this.hide();
      return;
    }
    this.node.hidden = false;
    byId("changes").setAttribute("aria-expanded", "true");
    this._key = "";
    if (matchMedia(COVERS).matches) document.body.classList.remove("more");
    this.draw(session);
    if (!this._git.hidden) this._askGit();
    this._heading.focus();
  }

  hide() {
    this.node.hidden = true;
    byId("changes").setAttribute("aria-expanded", "false");
    for (const id of ["more", "changes"]) byId(id).focus(); // on a small screen the second one is not to be seen
  }

  draw(session) {
    if (this.node.hidden) return;
    const { timeline, window, sessionId } = this._view;
    if (sessionId !== this._session) {
      this._session = sessionId;
      this._open.clear();
    }
    this._git.hidden = this._workspace.scope !== "owner";
    const usage = session?.agentState?.usage;
    setText(this._used, usedText(usage));
    this._used.hidden = this._used.textContent === "";
    const key = JSON.stringify([sessionId, window.after, window.last, timeline.items.length, session?.cwd]);
    if (key === this._key) return;
    this._key = key;
    this._drawPlan(planOf(timeline.items));
    this._drawFiles(changesOf(timeline.items), session?.cwd ?? "");
  }

  _drawPlan(entries) {
    this._plan.hidden = entries === null || entries.length === 0;
    if (this._plan.hidden) return;
    const done = entries.filter(({ status }) => status === "completed").length;
    this._plan.replaceChildren(
      el("h3", { id: "changed-plan", text: `Plan, ${done} of ${entries.length} done` }), drawSteps(entries));
  }

  _drawFiles(files, cwd) {
    const rows = files.slice(0, LISTED).map((file) => this._file(file, cwd));
    const total = files.reduce((sum, { added, removed }) => ({ added: sum.added + added, removed: sum.removed + removed }), { added: 0, removed: 0 });
    const { hasEarlier, attached } = this._view.window;
    const parts = [el("h3", { id: "changed-files" }, `By this session, ${count(files.length, "file")} `, files.length > 0 ? drawCounts(total) : null), ...rows];
    if (files.length > LISTED) parts.push(el("p", { class: "faint", text: `${files.length - LISTED} more files are not listed.` }));
    if (files.length === 0) parts.push(el("p", { class: "faint", text: "No tool call has told of a changed file. What commands change is told by git alone." }));
    if (!attached) parts.push(el("p", { class: "faint", text: "Of later events, which are not loaded, nothing is told here." }));
    if (hasEarlier) parts.push(el("button", { type: "button", text: "Look through earlier events", onclick: ({ currentTarget }) => this._further(currentTarget) }));
    const focused = this._files.contains(document.activeElement) ? document.activeElement.closest("[data-path]")?.dataset.path : undefined;
    this._files.replaceChildren(...parts);
    if (focused !== undefined) this._files.querySelector(`[data-path="${CSS.escape(focused)}"] > summary`)?.focus();
  }

  _file({ path, added, removed, isNew, changes }, cwd) {
    const name = cwd !== "" && path.startsWith(`${cwd}/`) ? path.slice(cwd.length + 1) : path;
    const body = el("div", { class: "details" });
    const fill = () => {
      if (!node.open) this._open.delete(path);
      if (!node.open || body.childElementCount > 0) return;
      this._open.add(path);
      body.append(...changes.flatMap(({ item, diff }, at) => [
        el("button", { type: "button", class: "quiet", text: changes.length > 1 ? `Change ${at + 1}: where it happened` : "Where it happened", onclick: () => this._goTo(item) }),
        drawDiff(diff)]));
    };
    const node = el("details", { class: "file", "data-path": path, open: this._open.has(path), ontoggle: fill },
      el("summary", {}, el("span", { class: "title", text: isNew ? `${name} (new)` : name }), drawCounts({ added, removed })), body);
    fill();
    return node;
  }

  _goTo(item) {
    const known = this._view.timeline.items.find(({ key }) => key === item.key) ?? item;
    if (matchMedia(COVERS).matches) this.hide();
    this._view.reveal(known);
  }

  async _further(button) {
    button.disabled = true;
    button.textContent = "Looking…";
    this._view.stick = false;
    for (let pages = 0; pages < FURTHER; pages += 1) {
      if (!(await this._view.fetchEarlier())) break;
    }
    this._view.drawNow();
    this._key = "";
    this._redraw();
  }

  // --- git ---

  _askGit() {
    this._drawGit([el("p", { class: "faint", role: "status", text: "git is asked…" })]);
    this._ask({ type: "list_changes" }, (told) => this._told(told), (why) => this._drawGit([el("p", { class: "notice", text: refused(why) })]));
  }

  _told({ files = [], complete, branch, unknown }) {
    if (unknown !== undefined) {
      this._drawGit([el("p", { class: "faint", text: `Nothing can be told: ${unknown}.` })]);
      return;
    }
    const rows = files.slice(0, LISTED).map((file) => this._gitFile(file));
    if (files.length === 0) rows.push(el("p", { class: "faint", text: "Nothing is different from what is checked out." }));
    if (!complete || files.length > LISTED) rows.push(el("p", { class: "faint", text: "There are more; these are the first." }));
    this._drawGit(rows, branch, files.length);
  }

  _drawGit(rows, branch, files) {
    const told = [branch === undefined ? "" : `on ${branch}`, files > 0 ? count(files, "file") : ""].filter(Boolean).join(", ");
    this._git.replaceChildren(
      el("div", { class: "section-head" },
        el("h3", { id: "changed-git", text: ["In the directory, by git", told].filter(Boolean).join(": ") }),
        el("button", { type: "button", class: "quiet", text: "Ask again", onclick: () => this._askGit() })),
      ...rows);
  }

  _gitFile({ file, path, status, added, removed }) {
    const body = el("div", { class: "details" });
    const letter = [...status].find((each) => each !== " ") ?? "M";
    const word = WORDS[letter] ?? "changed";
    const staged = /^[MADRC]/.test(status) ? ", staged" : "";
    const show = (...nodes) => body.replaceChildren(...nodes);
    const fill = () => {
      if (!node.open || body.childElementCount > 0) return;
      show(el("p", { class: "faint", text: "git is asked…" }));
      const failed = (why) => show(el("p", { class: "notice", text: why }));
      this._ask({ type: "read_change", file }, ({ diff, complete, unknown }) => {
        if (unknown !== undefined) failed(unknown);
        else if (diff === "") show(el("p", { class: "faint", text: "There are no lines to show: it is no text, it is empty, or its mode alone changed." }));
        else show(drawRows(hunkRows(diff)), ...(complete ? [] : [el("p", { class: "faint", text: "This is its beginning; it is too long to be shown whole." })]));
      }, failed);
    };
    const node = el("details", { class: "file", ontoggle: fill },
      el("summary", {}, el("span", { class: `letter ${letter === "D" ? "minus" : letter === "?" || letter === "A" ? "plus" : ""}`, role: "img", "aria-label": `${word}${staged}`, title: `${word}${staged}`, text: letter }),
        el("span", { class: "title", text: path }), drawCounts({ added, removed })), body);
    return node;
  }
}

/** Whoever has the owner's token, and does not own, is told what to do. */
function refused(why) {
  return why.startsWith("read-only follower") ? "git is asked for whoever owns. Own, then ask again." : why;
}

function usedText(usage) {
  if (typeof usage?.used !== "number") return "";
  const { used, size, cost } = usage;
  const share = typeof size === "number" && size > 0 ? ` of ${size.toLocaleString()} (${Math.round((100 * used) / size)} %)` : "";
  const paid = typeof cost?.amount === "number" ? `. Cost: ${cost.amount.toLocaleString()} ${escapeLine(String(cost.currency ?? ""))}` : "";
  return `Context: ${used.toLocaleString()}${share} tokens${paid}`;
}

function count(number, what) {
  return `${number.toLocaleString()} ${what}${number === 1 ? "" : "s"}`;
}
