// What is known of the workspace: who owns, which sessions there are, which permission requests wait. Pure.

const EVENTS = new Set([
  "prompt", "activity", "agent_stdout", "agent_stderr", "permission_request", "permission_allowed", "permission_resolved", "question",
  "question_resolved", "terminal_state", "option_set",
]);

export function isEvent(message) {
  return EVENTS.has(message.type) && !message.pending;
}

export class Workspace {
  constructor() {
    this.role = "follower";
    this.scope = "follower";
    this.may = "watch"; // of the credential, without owning
    this.connectionId = null;
    this.owner = null; // {connectionId, label}, or null when nobody owns
    this.refusedBy = null; // connection of an owner with another credential, who can only be asked to hand over
    this.followers = 0;
    this.offlineSince = null; // ISO 8601: a relay says that the host is away
    this.sessions = new Map(); // id → metadata
    this.waiting = new Map(); // permissionRequestId → {event, since}: open requests, oldest first
    this.questions = new Map(); // questionId → event: open questions of the agent, oldest first
    this.limits = {};
    this.takes = []; // what the agent takes in a prompt beside text: image, file
    this._attention = new Map(); // open request → who could answer and who has seen it
    this._seen = new Map(); // session → the last seq that counted for `waiting` on this connection
  }

  get owns() {
    return this.role === "owner";
  }

  /** Whether this page may take the slot, or ask for it. */
  get mayClaim() {
    return !this.owns && this.scope === "owner";
  }

  /** Whether permission requests are put to this page; who has come to drive takes over first. */
  get mayAnswer() {
    return this.owns || this.may === "approve";
  }

  get mayStop() {
    return this.mayAnswer || this.may === "stop";
  }

  /** Sessions, the latest first. */
  get listed() {
    return [...this.sessions.values()].filter(({ archived }) => !archived).sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1));
  }

  waitingIn(sessionId) {
    return this._awaited().filter(({ event }) => event.sessionId === sessionId);
  }

  /** Since when a human is waited for, in milliseconds of the server's clock; null: nothing waits. */
  get waitingSince() {
    const since = this._awaited().map((each) => each.since);
    return since.length > 0 ? Math.min(...since) : null;
  }

  /** All that the agent waits for: permission requests and questions. */
  _awaited() {
    return [...this.waiting.values(), ...[...this.questions.values()].map((event) => ({ event, since: Date.parse(event.askedAt) }))];
  }

  /** Whether its agent says listings and files as they are: Markdown would take their lines apart. */
  speaksPlain(sessionId) {
    return this.sessions.get(sessionId)?.agent === "command";
  }

  /** A new connection: what waits is told anew. */
  reconnected() {
    this.waiting.clear();
    this.questions.clear();
    this._attention.clear();
    this._seen.clear();
  }

  /** Take a message in; `now` is in milliseconds. Says what happened that somebody may have to be told. */
  receive(message, now) {
    switch (message.type) {
      case "role":
        this.role = message.role;
        return [{ kind: "role" }];
      case "welcome":
        this.scope = message.scope;
        this.may = message.may ?? "watch";
        this.connectionId = message.connectionId;
        this.owner = message.owner;
        this.followers = message.followers;
        this.limits = message.limits;
        this.takes = message.takes ?? [];
        for (const session of message.sessions) this._know(session);
        return [];
      case "owner_changed":
        this.owner = message.owner;
        return [{ kind: "owner", why: message.why }];
      case "presence":
        this.followers = message.followers;
        return [];
      case "host_link":
        this.offlineSince = message.online ? null : message.since;
        return [];
      case "session_metadata":
        this._know(message.session);
        return [];
      case "permission_request":
        return this._asked(message, now);
      case "permission_allowed": {
        if (!message.pending) this._pass(message);
        const asked = this.waiting.get(message.permissionRequestId);
        if (asked) asked.event = { ...asked.event, allowedBy: message.allowedBy };
        return [];
      }
      case "request_seen": {
        const { permissionRequestId, couldAnswer, seenBy } = message;
        this._attention.set(permissionRequestId, { couldAnswer, seenBy }); // it may come before the request itself
        const asked = this.waiting.get(permissionRequestId);
        if (asked) asked.event = { ...asked.event, couldAnswer, seenBy };
        return [];
      }
      case "permission_resolved": {
        this._pass(message);
        const asked = this.waiting.get(message.permissionRequestId);
        this.waiting.delete(message.permissionRequestId);
        this._attention.delete(message.permissionRequestId);
        return asked ? [{ kind: "resolved", event: message, request: asked.event.request }] : [];
      }
      case "session_deleted":
        this.sessions.delete(message.sessionId);
        return [{ kind: "deleted", event: message }];
      case "question":
        if (!message.pending && !this._pass(message)) return [];
        this.questions.set(message.questionId, message);
        return [{ kind: "question", event: message }];
      case "question_resolved":
        this._pass(message);
        this.questions.delete(message.questionId);
        return [{ kind: "question", event: message }];
      case "terminal_state":
        return this._pass(message) ? [{ kind: "ended", event: message }] : [];
      default:
        if (isEvent(message)) this._pass(message);
        return [];
    }
  }

  /** Every session that there is, as `GET /sessions` tells it. */
  know(sessions) {
    for (const session of sessions) this._know(session);
  }

  _know(session) {
    const known = this.sessions.get(session.sessionId);
    if (!known || known.head <= session.head) this.sessions.set(session.sessionId, session);
    if (!this._seen.has(session.sessionId)) this._seen.set(session.sessionId, session.head);
  }

  /** Whether an event is newer than all that was there: a replay tells of old requests, which do not wait. */
  _pass({ sessionId, seq }) {
    if (seq <= (this._seen.get(sessionId) ?? 0)) return false;
    this._seen.set(sessionId, seq);
    const session = this.sessions.get(sessionId);
    if (session && session.head < seq) session.head = seq;
    return true;
  }

  _asked(event, now) {
    const isNew = event.pending ? true : this._pass(event);
    if (!isNew || event.request.ruleId !== undefined || this.waiting.has(event.permissionRequestId)) return [];
    const told = Date.parse(event.request.askedAt ?? "");
    this.waiting.set(event.permissionRequestId, { event: { ...event, ...this._attention.get(event.permissionRequestId) }, since: Number.isNaN(told) ? now : told });
    return [{ kind: "asked", event }];
  }
}
