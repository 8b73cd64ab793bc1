// What moves about the page: the menus of a small screen, jumps, and keys.

import { byId } from "./dom.js";
import { Later } from "./later.js";

const SMALL = "(max-width: 760px), (max-height: 480px)";

export class Controls {
  /** `view` is the session that is shown; `redraw()` draws the list of sessions anew; `search` is there later. */
  constructor(view, redraw, search) {
    this._view = view;
    this._help = new Later(() => import("./help.js"), ({ HelpDialog }) => new HelpDialog());
    byId("menu").addEventListener("click", () => this._toggle("menu", byId("sessions"), "open"));
    byId("more").addEventListener("click", () => this._toggle("more", document.body, "more"));
    byId("session-filter").addEventListener("input", redraw);
    byId("latest").addEventListener("click", () => view.toLatest());
    byId("failure").addEventListener("click", () => this._toFailure());
    byId("raw").addEventListener("click", ({ currentTarget }) => {
      const raw = currentTarget.getAttribute("aria-pressed") !== "true";
      currentTarget.setAttribute("aria-pressed", String(raw));
      view.raw = raw;
    });
    byId("help").addEventListener("click", () => this._help.use((help) => help.show()));
    this._listenToSearch(search);
    document.addEventListener("keydown", (event) => this._key(event));
  }

  /** A session was chosen: what was opened to choose it closes. */
  close() {
    byId("sessions").classList.remove("open");
    document.body.classList.remove("more");
    for (const id of ["menu", "more"]) byId(id).setAttribute("aria-expanded", "false");
  }

  /** Whether there is anything to jump to. */
  draw() {
    byId("failure").hidden = !this._view.timeline.items.some(failed);
  }

  _listenToSearch(search) {
    const find = (event, way) => {
      event.preventDefault();
      search.use((it) => it.find(way));
    };
    byId("search").addEventListener("submit", (event) => find(event, -1));
    byId("search-later").addEventListener("click", (event) => find(event, 1));
    byId("search-text").addEventListener("input", () => search.use((it) => it.typed()));
    byId("search-text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.shiftKey && !event.isComposing) find(event, 1);
    });
  }

  _toggle(button, node, name) {
    byId(button).setAttribute("aria-expanded", String(node.classList.toggle(name)));
  }

  _toFailure() {
    const items = this._view.timeline.items.filter(failed);
    const before = items.findLast((item) => item !== this._failure && (this._failure === undefined || item.seq < this._failure.seq));
    this._failure = before ?? items.at(-1);
    if (this._failure !== undefined) this._view.reveal(this._failure);
  }

  /** The next request that waits here; if none does, a session in which one does. */
  _toRequest() {
    const items = this._view.timeline.items.filter(waits);
    const next = items.find((item) => this._request === undefined || item.seq > this._request.seq) ?? items[0];
    this._request = next;
    if (next !== undefined) this._view.reveal(next);
    else document.querySelector("#session-list .dot.human")?.closest("button").click();
  }

  _key(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (target.closest("input, textarea, select, dialog[open]") || document.querySelector("dialog[open]")) return;
    const act = {
      "/": () => this._search(),
      "?": () => this._help.use((help) => help.show()),
      g: () => this._view.toLatest(),
      f: () => this._toFailure(),
      n: () => this._toRequest(),
      j: () => this._turn(1),
      k: () => this._turn(-1),
      i: () => byId("prompt").focus(),
      c: () => byId("changes").click(),
    }[key];
    if (act === undefined || byId("workspace").hidden) return;
    event.preventDefault();
    act();
  }

  _search() {
    if (matchMedia(SMALL).matches && !document.body.classList.contains("more")) this._toggle("more", document.body, "more");
    byId("search-text").focus();
  }

  /** The next turn (1) or the one before (-1), seen from the top of what is shown. */
  _turn(way) {
    const top = byId("stream").getBoundingClientRect().top;
    const prompts = this._view.timeline.items.filter(({ kind }) => kind === "prompt");
    const below = (item) => this._view.drawn(item).node.getBoundingClientRect().top - top;
    const to = way > 0 ? prompts.find((item) => below(item) > 16) : prompts.findLast((item) => below(item) < -1);
    if (to !== undefined) this._view.reveal(to);
    else if (way > 0) this._view.toLatest();
  }
}

/** Whether an item waits for somebody's answer. */
function waits(item) {
  if (item.kind === "reads") return item.members.some(waits);
  if (item.kind === "question") return item.resolution === undefined;
  return item.question !== undefined && item.question.resolution === undefined;
}

/** Whether an item is something that went wrong: a call, or the end of a turn. */
function failed(item) {
  if (item.kind === "reads") return item.members.some(failed);
  return item.status === "failed" || (item.kind === "end" && item.exitCode !== 0);
}
