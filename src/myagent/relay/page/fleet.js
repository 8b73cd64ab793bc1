// All workspaces of this relay of which this tab has a credential: each is followed, and those that wait for a human come
// first. What goes over the wire is what a workspace's own page sends.

import { Connection } from "./state/connection.js";
import { Credential } from "./state/credential.js";
import { keptByTheBrowser, TabStorage } from "./state/storage.js";
import { Workspace } from "./state/workspace.js";
import { byId, el, setText } from "./views/dom.js";

const BASE = new URL("./", location.href);
const KEY = /^myagent (\/(?:[a-z0-9_-]+\/)+)$/; // as `Credential` names what it keeps
const SHOWN = 8; // sessions of a workspace of which nothing waits

/** One workspace, followed. */
class Watched {
  constructor(path, storage, lasting, changed) {
    this.path = path;
    this.name = path.slice(BASE.pathname.length, -1);
    this.workspace = new Workspace();
    this.say = "connecting";
    this.credential = new Credential(storage, path, lasting);
    this.connection = new Connection(new URL(path, BASE), this.credential, {
      opened: () => this.workspace.reconnected(),
      message: (message) => {
        this.workspace.receive(message, Date.now() + this.connection.clock);
        changed();
      },
      tooLarge: () => {},
      ready: () => this._say("", changed),
      waiting: (say) => this._say(say, changed),
      ended: (say) => this._say(say, changed),
    });
    this.connection.rejoinAs("follower");
    this.connection.open();
  }

  _say(text, changed) {
    this.say = text;
    changed();
  }

  /** Milliseconds for which a human is waited for; 0: for none. */
  waited(now) {
    const since = this.workspace.waitingSince;
    return since === null ? 0 : Math.max(1, now + this.connection.clock - since);
  }
}

class Fleet {
  constructor() {
    this._storage = new TabStorage(() => sessionStorage);
    this._lasting = keptByTheBrowser();
    this._watched = new Map(); // by path
    this._frame = null;
    byId("add").addEventListener("submit", (event) => this._add(event));
    setInterval(() => this._changed(), 1000);
  }

  start() {
    for (const key of new Set([...this._storage.keys(), ...this._lasting.keys()])) {
      const path = KEY.exec(key)?.[1];
      if (path?.startsWith(BASE.pathname) && path !== BASE.pathname) this._watch(path);
    }
    this._changed();
  }

  _watch(path) {
    this._watched.get(path)?.connection.close();
    this._watched.set(path, new Watched(path, this._storage, this._lasting, () => this._changed()));
  }

  _add(event) {
    event.preventDefault();
    const link = byId("link");
    const why = this._take(link.value.trim());
    byId("why").hidden = why === "";
    setText(byId("why"), why);
    if (why === "") link.value = "";
  }

  _take(text) {
    let url;
    try {
      url = new URL(text, BASE);
    } catch {
      return "This is no address.";
    }
    const path = url.pathname.endsWith("/") ? url.pathname : `${url.pathname}/`;
    if (url.origin !== BASE.origin || !path.startsWith(BASE.pathname) || path === BASE.pathname) {
      return `An address at this relay is needed, like ${BASE.href}team/web/#TOKEN`;
    }
    const credential = new Credential(this._storage, path, this._lasting);
    if (!credential.take(url.hash)) return "The address has no token: it comes behind a #.";
    this._watch(path);
    return "";
  }

  _changed() {
    this._frame ??= requestAnimationFrame(() => {
      this._frame = null;
      this._draw();
    });
  }

  _draw() {
    const now = Date.now();
    const all = [...this._watched.values()];
    all.sort((a, b) => b.waited(now) - a.waited(now) || (a.name < b.name ? -1 : 1));
    const waiting = all.filter((each) => each.waited(now) > 0).length;
    const count = `${all.length} ${all.length === 1 ? "workspace" : "workspaces"}`;
    setText(byId("summary"), waiting > 0 ? `${count}, ${waiting} waiting for a human` : count);
    document.title = waiting > 0 ? `(${waiting}) myagent: workspaces` : "myagent: workspaces";
    const drawn = JSON.stringify(all.map((each) => told(each, now)));
    if (drawn === this._drawn) return; // what somebody reads or has the keys on stays
    this._drawn = drawn;
    byId("workspaces").replaceChildren(...all.map((each) => section(each, now)));
  }
}

/** What is said of a workspace: its state in words, and its sessions. */
function told(watched, now) {
  const { workspace } = watched;
  const rows = workspace.listed.map((session) => {
    const since = workspace.waitingIn(session.sessionId).map((each) => each.since);
    const waits = since.length > 0 ? now + watched.connection.clock - Math.min(...since) : null;
    return { session, waits, say: waits === null ? session.state : `waiting for a human, ${minutes(waits)}` };
  });
  rows.sort((a, b) => (b.waits ?? -1) - (a.waits ?? -1));
  const owner = workspace.owner === null ? "nobody owns" : `owned by ${workspace.owner.label || workspace.owner.connectionId}`;
  const offline = workspace.offlineSince === null ? "" : `host offline since ${new Date(workspace.offlineSince).toLocaleString()}`;
  const shown = rows.filter((row, index) => row.waits !== null || index < SHOWN);
  return {
    name: watched.name,
    state: watched.say || offline || owner,
    rows: shown.map(({ session, say, waits }) => ({ id: session.sessionId, title: session.title, say, waits: waits !== null })),
    more: rows.length - shown.length,
  };
}

function minutes(milliseconds) {
  const passed = Math.floor(milliseconds / 60_000);
  return passed < 1 ? "less than a minute" : passed < 120 ? `${passed} min` : `${Math.floor(passed / 60)} h`;
}

function section(watched, now) {
  const { name, state, rows, more } = told(watched, now);
  const sessions = rows.map((row) => {
    const href = `${watched.path}?session=${encodeURIComponent(row.id)}`;
    return el("li", {}, el("a", { href },
      el("span", { text: row.title || row.id }), el("span", { class: row.waits ? "waits" : "faint", text: row.say })));
  });
  return el("section", { "data-name": name, "data-waits": rows.some(({ waits }) => waits) },
    el("h2", {}, el("a", { href: watched.path, text: name })),
    el("p", { class: "faint", text: state }),
    el("ul", {}, ...sessions),
    more > 0 ? el("p", { class: "faint", text: `and ${more} more` }) : null);
}

new Fleet().start();
