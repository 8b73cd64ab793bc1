// A session's events as what is read: prompts, text, tool calls, questions and ends. Pure.

import { escapeLine } from "../parsing/escape.js";
import { peopleText } from "./asked.js";
import { Printed } from "../parsing/printed.js";

const ITEM_CHARACTERS = 32_768; // of text in one item; the next line begins another, so that drawing stays cheap
const OPEN = ["pending", "in_progress"]; // tool calls
const STREAMS = ["output", "stderr"]; // a line of one goes on after lines of the other
const LIVE = ["terminal_output_delta", "terminal_output", "mcp_output_delta"]; // pieces of a running command's output
const LOOKS = ["read", "search"]; // kinds of tool calls that are folded together
const SPLIT_CHUNK = 16_384; // a chunk of this size may go on in the next one, which then has no update of its own

function answeredText({ outcome, by, reason }) {
  const words = { accept: "answered", decline: "declined", cancel: "cancelled" };
  return `Question ${words[outcome] ?? outcome} by ${escapeLine(by)}${reason ? `: ${escapeLine(reason)}` : ""}`;
}

/** Items in order. Each has a `key` that stays its own, and a `version` that changes with it. */
export class Timeline {
  /** `raw`: an agent's text as it came, with its control characters written out. */
  constructor(raw = false) {
    this.items = [];
    this._raw = raw;
    this._unfinished = new Map(); // output and stderr, while nothing else came between → item whose last line is open
    this._tools = new Map(); // turn and tool call → item
    this._plans = new Map(); // turn → item
    this._prompts = new Map();
    this._questions = new Map();
    this._said = null; // the last output event, for chunks that were split
  }

  /** Take the next event in. Returns the items that are new or changed. */
  apply(event) {
    switch (event.type) {
      case "prompt":
        return [this._add(event, { kind: "prompt", text: event.prompt, content: list(event.content), by: escapeLine(event.by), end: null })];
      case "activity":
        return [this._add(event, { kind: "activity", end: null })];
      case "agent_stdout":
      case "agent_stderr":
        return this._output(event);
      case "permission_request":
        return [this._question(event)];
      case "permission_allowed":
        return [this._add(event, { kind: "asked", text: `Permission asked${peopleText({ request: event, ...event })}` })];
      case "permission_resolved":
        return this._resolved(event);
      case "question":
        return [this._add(event, { kind: "asked", text: `The agent asks: ${event.message}${event.url ? ` ${escapeLine(event.url)}` : ""}` })];
      case "question_resolved":
        return [this._add(event, { kind: "asked", text: answeredText(event) })];
      case "terminal_state":
        return this._ended(event);
      case "option_set":
        return [this._add(event, { kind: "chosen", event })];
      case "gap":
        return [this._add({ ...event, seq: event.from, id: "" }, { kind: "gap", from: event.from, to: event.to })];
      default:
        return [];
    }
  }

  _add(event, fields) {
    const item = { key: `${fields.kind} ${event.seq}`, version: event.seq, seq: event.seq, turn: event.id, sessionId: event.sessionId, at: event.at, ...fields };
    if (parentOf(event) !== "") item.nested = true;
    this.items.push(item);
    if (!STREAMS.includes(item.kind)) this._unfinished.clear();
    if (item.kind === "prompt" || item.kind === "activity") this._prompts.set(event.id, item);
    return item;
  }

  _output(event) {
    const update = event.update;
    const goesOn = this._goesOn(event);
    this._said = event;
    switch (update?.sessionUpdate) {
      case "tool_call":
      case "tool_call_update":
        return [this._tool(event, update)];
      case "plan":
        return [this._plan(event, update)];
      case "agent_message_chunk":
        if (isPicture(update.content)) return [this._add(event, { kind: "picture", content: [update.content] })];
        return this._text(event, "message", update.messageId);
      case "agent_thought_chunk":
        return this._text(event, "thought");
      default:
        break;
    }
    if (event.chunk === "" || event.chunk === "\n" && this._lastIs("message", "thought")) return [];
    if (goesOn) return this._text(event, this.items.at(-1)?.kind ?? "output", this.items.at(-1)?.message);
    return this._text(event, event.type === "agent_stdout" ? "output" : "stderr");
  }

  /** Whether a chunk without update is the rest of one that was too long for one frame. */
  _goesOn(event) {
    const before = this._said;
    const split = before !== null && !event.update && before.type === event.type && before.id === event.id;
    if (!split || before.chunk.length < SPLIT_CHUNK) return false;
    return this._lastIs("message", "thought");
  }

  _lastIs(...kinds) {
    return kinds.includes(this.items.at(-1)?.kind);
  }

  /** Text goes on in the item that it belongs to; a new one begins only where a line does. */
  _text(event, kind, message = undefined) {
    if (event.chunk === "") return [];
    const nested = parentOf(event) !== "";
    const belongs = (item) =>
      item?.kind === kind && item.turn === event.id && item.message === message && Boolean(item.nested) === nested;
    const last = this.items.at(-1);
    const target = belongs(last) ? last : this._unfinished.get(kind);
    const changed = [];
    let chunk = event.chunk;
    if (belongs(target)) {
      const roomy = target === last && (kind === "message" || target.printed.length < ITEM_CHARACTERS);
      const end = roomy ? chunk.length : target.printed.open ? chunk.indexOf("\n") + 1 || chunk.length : 0;
      if (end > 0) {
        target.printed.push(chunk.slice(0, end));
        target.version = event.seq;
        changed.push(target);
      }
      chunk = chunk.slice(end);
    }
    if (chunk !== "") {
      const printed = new Printed(this._raw);
      printed.push(chunk);
      changed.push(this._add(event, { kind, message, printed, goesOn: belongs(last) }));
    }
    if (STREAMS.includes(kind)) this._unfinished.set(kind, changed.at(-1));
    return changed;
  }

  _tool(event, update) {
    const id = `${event.id} ${update.toolCallId}`;
    const item = this._tools.get(id) ?? this._newTool(event, id, update.kind);
    for (const [key, value] of Object.entries(update)) {
      if (value !== null && key !== "sessionUpdate") item.call[key] = value;
    }
    const meta = update._meta ?? {};
    const piece = LIVE.map((key) => text(meta[key]?.data)).find(Boolean) ?? "";
    item.output = lastLines(item.output + piece, ITEM_CHARACTERS); // the end of it is what tells
    item.exit = exitText(meta.terminal_exit) || exitCode(item.call) || item.exit;
    item.title = escapeLine(text(item.call.title) || text(item.call.kind) || "tool call");
    item.status = ["pending", "in_progress", "completed", "failed"].includes(item.call.status) ? item.call.status : "pending";
    return this._changed(item, event);
  }

  /** A tool call begins; one that only looks joins those before it. */
  _newTool(event, id, kind) {
    const fields = { call: {}, title: "", status: "", output: "", exit: "", raw: this._raw, turn: event.id, sessionId: event.sessionId };
    const looks = LOOKS.includes(kind);
    const tool = looks ? fields : this._add(event, { kind: "tool", key: `tool ${id}`, ...fields });
    this._tools.set(id, tool);
    if (!looks) return tool;
    const last = this.items.at(-1);
    const nested = parentOf(event) !== "";
    const joins = last?.kind === "reads" && last.turn === event.id && Boolean(last.nested) === nested;
    tool.group = joins ? last : this._add(event, { kind: "reads", members: [], key: `reads ${id}` });
    tool.group.members.push(tool);
    return tool;
  }

  /** Note that a tool call changed; returns what has to be drawn. */
  _changed(tool, event) {
    tool.version = event.seq;
    if (tool.group === undefined) return tool;
    tool.group.version = event.seq;
    return tool.group;
  }

  /** A request is part of the call that it is about: the same input or title, or the only one that is open. */
  _question(event) {
    const { request } = event;
    const question = { request, id: event.permissionRequestId };
    const open = [...this._tools.values()].filter((tool) =>
      tool.turn === event.id && OPEN.includes(tool.status) && tool.question === undefined);
    const input = JSON.stringify(request.input);
    const tool = open.findLast(({ call }) => call.rawInput !== undefined && JSON.stringify(call.rawInput) === input)
      ?? open.findLast(({ title }) => title === request.title)
      ?? (open.length === 1 ? open[0] : undefined);
    if (tool === undefined) {
      const item = this._add(event, { kind: "question", ...question });
      this._questions.set(item.id, item);
      return item;
    }
    tool.question = question;
    this._questions.set(question.id, tool);
    return this._changed(tool, event);
  }

  _plan(event, update) {
    let item = this._plans.get(event.id);
    if (item === undefined) {
      item = this._add(event, { kind: "plan", entries: [] });
      item.key = `plan ${event.id}`;
      this._plans.set(event.id, item);
    }
    item.entries = list(update.entries).map(({ content, status }) => ({ content: escapeLine(text(content)), status }));
    item.version = event.seq;
    return item;
  }

  _resolved(event) {
    const resolution = { outcome: event.outcome, by: escapeLine(event.by), reason: escapeLine(event.reason ?? "") };
    const item = this._questions.get(event.permissionRequestId);
    if (item === undefined) return [this._add(event, { kind: "resolution", resolution })];
    if (item.question === undefined) {
      Object.assign(item, { resolution, version: event.seq });
      return [item];
    }
    item.question = { ...item.question, resolution };
    return [this._changed(item, event)];
  }

  _ended(event) {
    const end = { exitCode: event.exitCode, stopReason: event.stopReason, message: escapeLine(event.message ?? ""), at: event.at };
    const changed = [this._add(event, { kind: "end", ...end })];
    const prompt = this._prompts.get(event.id);
    if (prompt !== undefined) {
      Object.assign(prompt, { end, version: event.seq });
      changed.push(prompt);
    }
    const stopped = event.stopReason === "cancelled" ? this._stopped(event.id) : [];
    for (const item of this._tools.values()) { // the agent was stopped, and told no more of them
      if (item.turn !== event.id || !(OPEN.includes(item.status) || stopped.includes(item))) continue;
      item.status = "cancelled";
      changed.push(this._changed(item, event));
    }
    return changed;
  }

  /** The calls that a cancelled turn ends with: they have failed, for there is no other word for it, with no exit code. */
  _stopped(turn) {
    const stopped = [];
    for (const item of this.items.toReversed()) {
      if (item.turn !== turn) break;
      if (item.kind !== "tool") continue;
      if (item.status !== "failed" || exitCode(item.call) !== "") break;
      stopped.push(item);
    }
    return stopped;
  }
}

/** What a tool call shows when it is opened: its input, its texts and the files that it changes; `live` came in pieces. */
export function toolDetails(call, live = "") {
  const content = list(call.content);
  const texts = content.filter(({ type }) => type === "content").map(({ content: block }) => text(block?.text));
  const raw = call.rawOutput;
  return {
    input: call.rawInput === undefined ? "" : pretty(call.rawInput),
    texts: texts.filter(Boolean),
    pictures: content.filter(({ type, content: block }) => type === "content" && isPicture(block)).map(({ content: block }) => block),
    output: live || (raw === undefined || exitCode(call) !== "" ? "" : pretty(raw)),
    diffs: content.filter(({ type, newText }) => type === "diff" && typeof newText === "string").map((each) => ({
      path: escapeLine(text(each.path)),
      before: typeof each.oldText === "string" ? each.oldText : null,
      after: each.newText,
    })),
    paths: list(call.locations).map(({ path }) => escapeLine(text(path))).filter(Boolean),
  };
}

/** Whether a block is a picture that the server keeps, or says why it does not. */
function isPicture(block) {
  return block?.type === "image" && block.data === undefined;
}

/** The exit code of a tool call that tells of nothing else, in words. */
export function exitCode({ rawOutput }) {
  const keys = rawOutput !== null && typeof rawOutput === "object" ? Object.keys(rawOutput) : [];
  const code = rawOutput?.exitCode ?? rawOutput?.exit_code;
  return keys.length === 1 && Number.isInteger(code) ? `exit ${code}` : "";
}

/** The last lines of a text that fit; of a line that does not fit alone, its end. */
function lastLines(text, most) {
  if (text.length <= most) return text;
  const end = text.slice(-most);
  return end.slice(end.indexOf("\n") + 1);
}

/** The tool call that a subagent's update belongs to. */
function parentOf({ update }) {
  const meta = update?._meta ?? {};
  return text(meta.claudeCode?.parentToolUseId) || text(meta.parentToolCallId);
}

function exitText(exit) {
  if (text(exit?.signal) !== "") return escapeLine(exit.signal);
  return Number.isInteger(exit?.exit_code) ? `exit ${exit.exit_code}` : "";
}

function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function text(value) {
  return typeof value === "string" ? value : "";
}

function list(value) {
  return Array.isArray(value) ? value.filter((each) => each !== null && typeof each === "object") : [];
}
