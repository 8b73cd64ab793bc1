// The page: joins its parts. Messages come in, state changes, what changed is drawn; actions go out.

import { addressOf, eventIn, sessionIn } from "./state/address.js";
import { Answers } from "./state/answers.js";
import { Connection, randomId } from "./state/connection.js";
import { Credential } from "./state/credential.js";
import { Drafts } from "./state/drafts.js";
import { Sending } from "./state/sending.js";
import { keptByTheBrowser, TabStorage } from "./state/storage.js";
import { Unread } from "./state/unread.js";
import { listenForFiles, source, withContent } from "./views/carrying.js";
import { Controls } from "./views/controls.js";
import { byId, setText } from "./views/dom.js";
import { drawEmpty } from "./views/empty.js";
import { escapeLine } from "./parsing/escape.js";
import { JoinForm } from "./views/join.js";
import { loadWhenIdle } from "./views/later.js";
import { Notices } from "./views/notice.js";
import * as panels from "./views/panels.js";
import { OptionsBox } from "./views/options.js";
import { OwnershipButtons } from "./views/ownership.js";
import { deviceName, takePairing } from "./views/pairing.js";
import { PermissionDialog } from "./views/permission.js";
import { pairForm, partsOf } from "./views/parts.js";
import { PromptBox, tooLong } from "./views/prompt.js";
import { resolutionText } from "./views/asked.js";
import { SessionView } from "./views/session.js";
import { isEvent, Workspace } from "./state/workspace.js";

const BASE = new URL("./", location.href);
const MANY = 50; // sessions that a welcome tells of at most

class Page {
  constructor() {
    this.workspace = new Workspace();
    this.storage = new TabStorage(() => sessionStorage);
    this.lasting = keptByTheBrowser(); // of a device that was paired
    this.credential = new Credential(this.storage, BASE.pathname, this.lasting);
    this.connection = new Connection(BASE, this.credential, {
      opened: () => this.workspace.reconnected(),
      message: (message) => this.receive(message),
      ready: () => this.resume(),
      tooLarge: () => this.sending.drop(),
      waiting: (say, seconds) => this.status({ state: "waiting", say: `${say}; next try in ${seconds} s` }),
      ended: (say, gone) => this.ended(say, gone),
    });
    this.entry = new JoinForm((text) => this.credential.take(text), (label) => {
      this.storage.setItem("myagent label", label);
      this.join();
    });
    this.view = new SessionView(byId("stream"), (id, query) => this.fetchEvents(id, query), () => this.drawEnds());
    Object.assign(this, partsOf(this)); // search, rules, questions, people, changed, keeping, push: each there later
    this.controls = new Controls(this.view, () => this.draw(), this.search);
    this.unread = new Unread();
    this.prompts = new PromptBox((prompt, mode) => this.send(prompt, mode), new Drafts(this.storage, BASE.pathname));
    this.dialog = new PermissionDialog((entry, decision) => this.decide(entry, decision), () => this.now(), (entry) => this.putAside(entry),
      (entry) => this._saw(entry));
    this.options = new OptionsBox((name, value, failed) => this.ask({ type: "set_option", sessionId: this.session, name, value }, () => {}, failed));
    this.ownership = new OwnershipButtons(this.workspace, (...asked) => this.ask(...asked), (text) => this._say(text));
    this.notices = new Notices();
    this.answers = new Answers();
    this.aside = new Set(); // requests that the owner has put aside
    this.sending = new Sending({
      ask: (...asked) => this.ask(...asked),
      live: () => this.link.state === "live",
      note: (text) => this.prompts.note(text),
      sent: (taken, sessionId) => this._sent(taken, sessionId),
    });
    this.link = { state: "connecting" };
    this.replay = null; // id of the `resume` that is being answered
    this.session = null; // the session that was chosen; null: a new one, or none yet
    this.wanted = sessionIn(location.href); // the session that the address asks for, until it is found
    this.fresh = false; // somebody chose to begin a new session
    this._frame = null;
    source.blob = (path) => this.connection.blob(path);
    listenForFiles(this.attachments, this.completion);
    this._listen();
    setInterval(() => this.draw(), 1000);
  }

  start() {
    const pairing = takePairing(location, history);
    if (pairing !== null) return pairForm.use((askToPair) => askToPair(deviceName(), (name) => this._pair(pairing, name)));
    const damaged = location.hash !== "" && !this.credential.takeFrom(location, history);
    if (damaged) this.entry.show("This link is damaged: what follows the # is no token. Ask for the link again.");
    else if (this.credential.token === null) this.entry.show("");
    else this.join();
  }

  _pair(token, name) {
    this.storage.setItem("myagent label", name);
    this.lasting.setItem("myagent label", name);
    if (this.credential.take(token)) this.join();
    else this.entry.show("This link is damaged: what follows the # is no token. Ask for the link again.");
  }

  join() {
    this.entry.hide();
    const named = this.storage.getItem("myagent label") || this.lasting.getItem("myagent label");
    this.connection.label = named || deviceName();
    this.status({ state: "connecting" });
    this.connection.open();
  }

  now() {
    return Date.now() + this.connection.clock;
  }

  // --- what comes ---

  receive(message) {
    this.answers.receive(message);
    this.sending.receive(message);
    if (message.type === "replayed" && message.id === this.replay) this.replay = null;
    const news = this.workspace.receive(message, this.now());
    this.ownership.receive(message);
    this.view.plain = this.workspace.speaksPlain(this.session);
    news.forEach((each) => this._tell(each));
    const mine = message.sessionId === this.session;
    if (mine && this.connection.ready && (isEvent(message) || message.type === "gap")) this.view.receive(message);
    if (news.some(({ kind }) => ["asked", "resolved", "question"].includes(kind))) this.draw(); // a dialog is not kept waiting
    else this._schedule();
  }

  /** The connection is complete: go on where we were. */
  resume() {
    this.status({ state: "live" });
    this.connection.rejoinAs(this.workspace.role);
    if (!this.workspace.sessions.has(this.session)) this.session = null;
    if (this.session !== null) this._resumeFrom(this.view.resumeAfter(this.workspace.sessions.get(this.session).head));
    this.sending.again();
    if (this.wanted !== null && !this.workspace.sessions.has(this.wanted)) this._findWanted();
    if (this.workspace.sessions.size >= MANY) byId("all-sessions").hidden = false;
    this._schedule();
    loadWhenIdle(this.search);
    if (["approve", "drive"].includes(this.workspace.may)) loadWhenIdle(this.push, { always: true, use: () => this.draw() });
  }

  _resumeFrom(afterSeq) {
    if (afterSeq === null) return;
    const sessionId = this.session;
    this.replay = this.ask({ type: "resume", sessionId, afterSeq }, () => {}, () => {
      this.replay = null;
    });
  }

  ended(say, gone) {
    this.status({ state: "ended", say });
    if (gone) {
      this.credential.forget();
      this.entry.show(`${say[0].toUpperCase()}${say.slice(1)}.`);
    }
    this.draw();
  }

  status(link) {
    this.link = link;
    if (link.state !== "live") {
      this.replay = null;
      this.answers.lost();
    }
    this._schedule();
  }

  _tell(news) {
    if (news.kind === "role" && this.connection.ready) this.connection.rejoinAs(this.workspace.role);
    if (news.kind === "role") this._say(this.workspace.owns ? "You own this session now" : "You follow this session");
    if (news.kind === "ended" && news.event.sessionId === this.session) this._say(`The turn ended, exit ${news.event.exitCode}`);
    if (news.kind === "resolved") {
      this._say(`Permission ${resolutionText(news.event)}`);
      this.aside.delete(news.event.permissionRequestId);
    }
    if (news.kind === "asked") this._asked(news.event);
    if (news.kind === "deleted" && news.event.sessionId === this.session) {
      this.choose(this.workspace.listed[0]?.sessionId ?? null, { history: "replace" });
      this._say(`The session was deleted by ${escapeLine(news.event.by)}`);
    }
  }

  _asked({ request }) {
    const title = request.title || request.toolName;
    this._say(this.workspace.mayAnswer ? `Permission asked: ${title}` : `The owner is asked for permission: ${title}`);
  }

  _say(text) {
    setText(byId("announcer"), text);
  }

  // --- what goes ---

  /** Send a message that is answered; returns its id. */
  ask(message, done, failed) {
    const id = message.id ?? randomId();
    this.answers.expect(id, done, failed);
    if (!this.connection.send({ ...message, id })) this.answers.fail(id, "not connected");
    return id;
  }

  /** Show a session; `null`: the one that a prompt will begin. `history`: what the address becomes. */
  choose(sessionId, { history: way = "push", carry = false } = {}) {
    const seq = way === "push" ? null : eventIn(location.href);
    this.session = sessionId;
    this.wanted = null;
    this.fresh = sessionId === null && this.workspace.sessions.size > 0;
    const address = addressOf(location.href, sessionId, seq);
    if (way === "push" && address !== location.pathname + location.search) history.pushState(null, "", address);
    if (way === "replace") history.replaceState(null, "", address);
    this.controls.close();
    this.search.part?.reset();
    this.prompts.turnTo(sessionId, carry);
    this.view.open(sessionId, this.workspace.sessions.get(sessionId)?.head ?? 0);
    this.view.plain = this.workspace.speaksPlain(sessionId);
    if (sessionId !== null && this.connection.ready) this._resumeFrom(this.view.window.after);
    if (seq !== null) this.view.toEvent(seq);
    this._schedule();
  }

  /** The address asks for a session that the welcome did not tell of: there may be more. */
  async _findWanted() {
    try {
      await this._allSessions();
    } catch {
      return; // the connection tells that the server is gone, and this is done again when it is back
    }
    if (this.wanted !== null && !this.workspace.sessions.has(this.wanted)) {
      this._say("The session of this address is not here; the latest one is shown");
      this.prompts.note("The session of this address is not here.");
      this.wanted = null;
    }
    this._schedule();
  }

  send(prompt, mode) {
    const why = tooLong(prompt, this.workspace.limits);
    if (why === null) withContent(this, prompt, (content) => this.sending.begin({ prompt, mode, sessionId: this.session, content }));
    else this.prompts.note(why);
    this._schedule();
  }

  /** A prompt has become a turn. */
  _sent(taken, sessionId) {
    this.answers.forget(taken.id);
    this.prompts.sent(taken.sessionId, taken.prompt);
    this.attachments.part?.sent(taken.content);
    if (taken.sessionId === null && this.session === null) this.choose(sessionId, { carry: true });
    this._schedule();
  }

  decide(entry, decision) {
    const { permissionRequestId, request } = entry.event;
    const done = () => request.people > 1 && this.putAside(entry); // it waits for others
    this.ask({ type: "permission_decision", permissionRequestId, decision }, done, (why) => this.dialog.refused(why));
  }

  _saw(entry) {
    entry.saw = true;
    this.ask({ type: "seen", permissionRequestId: entry.event.permissionRequestId }, () => {}, () => {});
  }

  putAside(entry) {
    this.aside.add(entry.event.permissionRequestId);
    this.draw();
  }

  async fetchEvents(sessionId, query) {
    const { text } = await this.connection.fetch(`sessions/${encodeURIComponent(sessionId)}/events?${query}&wants=updates`);
    return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  async _allSessions() {
    const { text } = await this.connection.fetch("sessions");
    this.workspace.know(JSON.parse(text).sessions);
    byId("all-sessions").hidden = true;
    this._schedule();
  }

  // --- drawing ---

  _schedule() {
    this._frame ??= setTimeout(() => this.draw(), 50);
  }

  draw() {
    clearTimeout(this._frame);
    this._frame = null;
    const { workspace } = this;
    const connected = this.link.state === "live" && this.connection.ready;
    if (connected && this.session === null && !this.fresh && workspace.sessions.size > 0) {
      if (workspace.sessions.has(this.wanted)) this.choose(this.wanted, { history: "replace" });
      else if (this.wanted === null) this.choose(workspace.listed[0].sessionId, { history: "replace" });
    }
    const owns = connected && workspace.owns;
    const entries = connected ? [...workspace.waiting.values()] : [];
    const behind = this.replay === null ? 0 : this.view.newer;
    panels.drawConnection({ ...this.link, behind, waitingSince: connected ? workspace.waitingSince : null, now: this.now() });
    panels.drawOwnership(workspace, connected);
    this._drawSessions(workspace);
    const session = workspace.sessions.get(this.session);
    panels.drawSessionHead(this.session === null && !owns ? { title: "No session yet", sessionId: "" } : session);
    this.options.draw(session, owns);
    byId("keep").hidden = !owns || session === undefined;
    this.keeping.part?.draw(session, owns);
    this.changed.part?.draw(session);
    const nothing = connected && this.view.window.head === 0;
    drawEmpty({ empty: nothing, owns, workspace, cwd: escapeLine(session?.cwd ?? "") }, (text) => this.prompts.propose(text));
    panels.drawQueue(session, owns, (turnId) => this._cancel(turnId));
    const answers = connected && workspace.mayAnswer;
    this._drawPermission(entries, answers);
    if (workspace.questions.size > 0 || this.questions.part) this.questions.use((dialog) => dialog.draw(answers));
    if (connected) this.notices.show(entries, { looking: !document.hidden, owns: answers });
    byId("prompt-form").hidden = !workspace.owns;
    byId("new-session").hidden = !owns;
    byId("send").disabled = !owns || this.sending.underway || this.attachments.part?.busy;
    byId("attach").hidden = !owns || workspace.takes.length === 0;
    panels.drawStop(connected && workspace.mayStop && session?.state === "running", workspace.owns);
    setText(byId("send"), session?.state === "running" ? "Queue" : "Send");
    this.push.part?.draw(connected ? this.workspace.may : "watch");
    byId("notify").hidden = this.notices.wanted !== "default" || !byId("push").hidden; // a call also comes while one looks
    const asked = connected ? entries.length + workspace.questions.size : 0;
    document.title = `${asked > 0 ? `(${asked}) ` : ""}${session ? escapeLine(session.title) : "myagent"}`;
    this.drawEnds();
  }

  _drawSessions(workspace) {
    const key = JSON.stringify([this.session, byId("session-filter").value, workspace.listed.map((each) => [
      each.sessionId, each.head, each.state, each.title, each.updatedAt, each.queue.length, workspace.waitingIn(each.sessionId).length,
    ])]);
    if (key === this._listed) return;
    this._listed = key;
    panels.drawSessions(workspace, this.session, (sessionId) => this.choose(sessionId), this.unread);
  }

  _drawPermission(entries, owns) {
    const here = entries.filter(({ event }) => event.sessionId === this.session);
    const ordered = [...here, ...entries.filter((entry) => !here.includes(entry))];
    const open = owns ? ordered.filter(({ event }) => !this.aside.has(event.permissionRequestId)) : [];
    const cwd = ({ event }) => escapeLine(this.workspace.sessions.get(event.sessionId)?.cwd ?? "");
    const shown = open.find(({ event }) => event.permissionRequestId === this.dialog.requestId) ?? open[0];
    if (shown === undefined) this.dialog.hide();
    else this.dialog.show(shown, { cwd: cwd(shown), place: open.length > 1 ? `(1 of ${open.length})` : "", owns: this.workspace.owns });
    panels.drawWaiting(ordered.filter((entry) => !open.includes(entry)), {
      owns,
      cwd,
      now: () => this.now(),
      answer: (entry) => {
        this.aside.delete(entry.event.permissionRequestId);
        this.draw();
      },
    });
  }

  drawEnds() {
    const { stick, newer } = this.view;
    this.controls.draw();
    byId("latest").hidden = stick;
    setText(byId("latest"), newer > 0 ? `Jump to latest (${newer} more)` : "Jump to latest");
    this.prompts.remember(this.view.timeline.items.filter(({ kind }) => kind === "prompt").map(({ text }) => text));
  }

  _cancel(turnId) {
    this.ask({ type: "cancel", sessionId: this.session, ...(turnId ? { turnId } : {}) }, () => {}, (why) => this.prompts.note(why));
  }

  // --- who does what ---

  _listen() {
    byId("new-session").addEventListener("click", () => {
      this.choose(null);
      this.fresh = true;
      this.draw();
      this.prompts.focus();
    });
    for (const id of ["rules", "people"]) byId(id).addEventListener("click", () => this[id].use((dialog) => dialog.show()));
    byId("keep").addEventListener("click", () => this.keeping.use((dialog) => dialog.show(this.workspace.sessions.get(this.session))));
    byId("changes").addEventListener("click", () => this.changed.use((panel) => panel.toggle(this.workspace.sessions.get(this.session))));
    byId("all-sessions").addEventListener("click", () => this._allSessions().catch(() => this._say("The sessions could not be fetched")));
    for (const id of ["stop", "stop-turn"]) byId(id).addEventListener("click", () => this._cancel(null));
    byId("notify").addEventListener("click", () => this.notices.ask().then(() => this.draw()));
    addEventListener("hashchange", () => {
      if (location.hash.startsWith("#pair.")) this.start();
      else if (this.credential.takeFrom(location, history)) location.reload();
    });
    addEventListener("popstate", () => {
      const asked = sessionIn(location.href);
      if (asked === this.session) return;
      if (asked === null || this.workspace.sessions.has(asked)) this.choose(asked, { history: "keep" });
    });
    addEventListener("online", () => this.connection.hurry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.connection.hurry();
      this.draw();
    });
  }
}

const page = new Page();
globalThis.page = page; // for whoever looks with the developer tools, and for the tests
page.start();
