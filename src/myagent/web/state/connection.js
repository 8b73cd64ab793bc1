// One WebSocket that comes back by itself: a ticket for each try, backoff with jitter, and what each close code means.

import { whole } from "../parsing/escape.js";

const FIRST_PAUSE = 500; // milliseconds before the second try; doubled each time…
const LONGEST_PAUSE = 30_000; // …up to this
const LATER = 10_000; // the least pause when the server asked for one
const PING_EVERY = 10_000;
const STALLED_AFTER = 10_000; // without anything of an answer over HTTP
const SILENT_FOR = 25_000; // without any message, though we asked: the network is gone
const VERSION = "1";
const ENDED = { "the credential was revoked": "was revoked", "the credential has expired": "has expired" };

/** What a close code asks of us: try again, how, and what to say when not. */
export function verdict(code, reason) {
  switch (code) {
    case 4401:
      return { retry: false, gone: true, say: `this link ${ENDED[reason] ?? "has expired or was revoked"}; ask for a new one` };
    case 4409:
      return { retry: true, asFollower: true, say: "ownership moved to another connection" };
    case 4408:
      return { retry: true, say: "this connection read too slowly" };
    case 1009:
      return { retry: true, tooLarge: true, say: "what this page sent was too large for the server" };
    case 1002: case 1003: case 1007:
      return { retry: false, say: `the server refused what this page sent (${code})` };
    case 1008: case 1013:
      return { retry: true, later: true, say: reason || "the server asks to come back later" };
    case 1001: case 1012:
      return { retry: true, say: "the server has stopped or restarts" };
    default:
      return { retry: true, say: "the connection was lost" };
  }
}

/** How long to wait before try number `attempt`, from 1 on; `chance` is from 0 to 1. */
export function pause(attempt, chance) {
  const most = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(attempt - 1, 10));
  return most * (0.5 + chance / 2);
}

/**
 * `told` is called with what changes: `opened()`, `message(message)`, `tooLarge()` (what was sent last), `ready()` (hello was answered, what follows is
 * complete), `waiting(say, seconds)`, `ended(say, gone)`.
 */
export class Connection {
  constructor(base, credential, told) {
    this._base = base; // the page's own address: there is no other that this connects to
    this._credential = credential;
    this._told = told;
    this._socket = null;
    this._attempt = 0;
    this._timer = null;
    this._try = 0; // number of the try that counts; what an earlier one still brings is dropped
    this._helloId = null;
    this._asFollower = false;
    this._wait = 0;
    this.label = "";
    this.reclaimToken = null; // proves that we are the owner who was here before
    this.clock = 0; // milliseconds that the server's clock is ahead of ours
    this.ready = false;
    setInterval(() => this._beat(), PING_EVERY);
  }

  /** Connect now, whatever was waited for. */
  async open() {
    clearTimeout(this._timer);
    this._drop();
    const turn = this._try;
    let ticket;
    try {
      ticket = await this._ticket();
    } catch (error) {
      if (turn === this._try) this._failed(error);
      return;
    }
    if (turn !== this._try) return;
    const url = new URL("./", this._base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this._asFollower) url.searchParams.set("role", "follower");
    const socket = new WebSocket(url, ["myagent.v1", `ticket.${ticket}`]);
    this._socket = socket;
    this._heard = this._began = Date.now();
    socket.onmessage = ({ data }) => this._received(turn, JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      if (turn === this._try) this._closed(verdict(code, reason));
    };
  }

  /** Leave for good. */
  close() {
    clearTimeout(this._timer);
    this._drop();
  }

  /** Try at once if a pause is being made, and look whether the connection lives: the network is back, or somebody looks. */
  hurry() {
    if (this._timer !== null) this.open();
    else this._beat();
  }

  send(message) {
    if (this._socket?.readyState !== WebSocket.OPEN) return false;
    this._socket.send(JSON.stringify(message, (_, value) => (typeof value === "string" ? whole(value) : value)));
    return true;
  }

  /** A follower that comes back asks to stay one: ownership never falls to somebody who only reconnected. */
  rejoinAs(role) {
    this._asFollower = role === "follower";
  }

  /** Get something from the server over HTTP: its headers and text. */
  async fetch(path, more = {}) {
    const { headers, parts } = await this._read(path, more);
    return { headers, text: new TextDecoder().decode(await new Blob(parts).arrayBuffer()) };
  }

  /** Get a picture or a file, of the type that the server says. */
  async blob(path) {
    const { headers, parts } = await this._read(path, {});
    return new Blob(parts, { type: headers.get("Content-Type") ?? "" });
  }

  /** What stalls is given up. */
  async _read(path, more) {
    const stopped = new AbortController();
    let timer = null;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => stopped.abort(), STALLED_AFTER);
    };
    wait();
    try {
      const headers = { Authorization: `Bearer ${this._credential.token}`, ...more };
      const asked = { headers, cache: "no-store", credentials: "same-origin", signal: stopped.signal };
      const response = await fetch(new URL(path, this._base), asked);
      if (!response.ok) throw new Refused(response.status);
      const reader = response.body.getReader();
      const parts = [];
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        wait();
        parts.push(part.value);
      }
      return { headers: response.headers, parts };
    } finally {
      clearTimeout(timer);
    }
  }

  /** What is told of this tab's own token for an invite's; a token of null where the server keeps no more devices, or knows nothing of that. */
  async _device(nonce) {
    try {
      const name = { "X-Myagent-Device-Name": encodeURIComponent(whole(this.label)) };
      return JSON.parse((await this.fetch("device", { "X-Myagent-Device": nonce, ...name })).text);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return { token: null };
      throw error;
    }
  }

  async _ticket() {
    await this._credential.exchange((nonce) => this._device(nonce));
    const { headers, text } = await this.fetch("ticket");
    const told = Date.parse(headers.get("Date") ?? "");
    if (!Number.isNaN(told)) this.clock = told + 500 - Date.now(); // it tells whole seconds
    return JSON.parse(text).ticket;
  }

  _failed(error) {
    const status = error instanceof Refused ? error.status : 0;
    if (status === 401) {
      this._ended({ gone: true, say: "this link is not valid: it has expired, was revoked, or is not complete" });
    } else if (status === 0 || status === 502 || status === 504) { // a proxy says that of a server that is away
      this._pause({ say: "the server cannot be reached" });
    } else if (status === 429 || status >= 500) {
      this._pause({ later: true, say: status === 429 ? "too many wrong links came from here" : "the server is busy" });
    } else {
      this._ended({ say: `the server refused this page (${status})` });
    }
  }

  _received(turn, message) {
    if (turn !== this._try) return;
    this._heard = Date.now();
    if (message.type === "welcome") this._hello();
    if (message.reclaimToken) this.reclaimToken = message.reclaimToken;
    this._told.message(message);
    if (this._helloId !== null && message.id === this._helloId) {
      this._helloId = null;
      if (message.type === "error") return; // the server is one that knows no hello; it sends what it has
      this._attempt = 0;
      this.ready = true;
      this._told.ready();
    }
  }

  _hello() {
    this._told.opened();
    this._helloId = randomId();
    const hello = { type: "hello", id: this._helloId, client: { name: "myagent-page", version: VERSION } };
    hello.wants = ["updates"];
    if (this.label) hello.label = this.label;
    if (this.reclaimToken && !this._asFollower) hello.reclaimToken = this.reclaimToken;
    this.send(hello);
  }

  _closed(what) {
    if (what.asFollower) {
      this._asFollower = true;
      this.reclaimToken = null;
    }
    if (what.tooLarge) this._told.tooLarge();
    if (what.retry) this._pause(what);
    else this._ended(what);
  }

  _pause({ later, say }) {
    this._drop();
    this._attempt += 1;
    const wait = Math.max(later ? LATER : 0, pause(this._attempt, Math.random()));
    this._timer = setTimeout(() => this.open(), wait);
    this._told.waiting(say, Math.ceil(wait / 1000));
  }

  _ended({ say, gone = false }) {
    this._drop();
    this._told.ended(say, gone);
  }

  _drop() {
    this._try += 1;
    this._timer = null;
    this._helloId = null;
    this.ready = false;
    this._socket?.close();
    this._socket = null;
  }

  _beat() {
    if (this._socket === null) return;
    const welcome = this.ready || Date.now() - this._began <= SILENT_FOR;
    if (Date.now() - this._heard > SILENT_FOR || !welcome) {
      this._closed({ retry: true, say: "the server does not answer" });
    } else {
      this.send({ type: "ping", id: "ping" });
    }
  }
}

class Refused extends Error {
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

/** A new id; `crypto.randomUUID` is there on https and localhost only. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
