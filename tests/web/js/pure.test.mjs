// The page's pure modules, run by node: what they decide without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

const web = new URL(`${process.env.MYAGENT_WEB}/`);
const load = (name) => import(new URL(name, web));

const { escape, escapeLine, readable } = await load("parsing/escape.js");
const { Markdown, spans } = await load("parsing/markdown.js");
const { compare } = await load("parsing/diff.js");
const { Credential, Keeping } = await load("state/credential.js");
const { pause, verdict } = await load("state/connection.js");
const { Window } = await load("state/window.js");
const { Timeline, toolDetails } = await load("views/timeline.js");
const { Workspace } = await load("state/workspace.js");

function event(seq, type = "agent_stdout", fields = {}) {
  return { type, id: "t1", sessionId: "s1", seq, ...(type.startsWith("agent_std") ? { chunk: `line ${seq}\n` } : {}), ...fields };
}

test("escape agrees with core/display.py on every case it was given", () => {
  const cases = JSON.parse(process.env.MYAGENT_DISPLAY);
  assert.ok(cases.length > 20);
  for (const [text, shown] of cases) assert.equal(escape(text), shown);
});

test("an agent's text keeps what can be read and shows what steers or reorders", () => {
  assert.equal(readable("a\x1b[31mred\x1b[0m\r\nb\u00a0c\td"), "ared\nb\u00a0c\td");
  assert.equal(readable("\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}");
  assert.equal(readable("a\u202eb"), "a\\u{202e}b");
});

test("markdown arriving in any pieces is cut into the same segments", () => {
  const text = "# Title\nsome `code` and **bold**\n\n```py\nx = 1\n```\nafter\n~~~\nopen";
  const whole = new Markdown();
  whole.push(text);
  for (const size of [1, 2, 3, 7]) {
    const pieces = new Markdown();
    for (let at = 0; at < text.length; at += size) pieces.push(text.slice(at, at + size));
    assert.deepEqual(pieces.segments, whole.segments);
  }
  assert.deepEqual(whole.segments.map(({ kind }) => kind), ["text", "code", "text", "code"]);
  assert.deepEqual(whole.segments[1], { kind: "code", language: "py", text: "x = 1\n" });
});

test("spans of a text are the text, character for character", () => {
  for (const text of ["# a\n**b** `c`", "2 ** 3 ** 4", "`` a`b ``", "see https://example.org/x?y=1.", "<b>**</b>", "***x***", "`open"]) {
    assert.equal(spans(text).map((span) => span.text).join(""), text);
  }
  assert.deepEqual(spans("go to https://example.org/a, then").filter(({ kind }) => kind === "link"), [
    { kind: "link", text: "https://example.org/a" },
  ]);
  assert.ok(!spans("javascript:alert(1)").some(({ kind }) => kind === "link"));
});

test("a diff leads from the old text to the new one", () => {
  const before = Array.from({ length: 40 }, (_, n) => `line ${n}`).join("\n");
  const after = before.replace("line 20", "changed\nadded").replace("line 3\n", "");
  const rows = compare(before, after);
  const kept = (kinds) => rows.filter(({ kind }) => kinds.includes(kind)).map(({ text }) => text);
  assert.deepEqual(kept(["old"]), ["line 3", "line 20"]);
  assert.deepEqual(kept(["new"]), ["changed", "added"]);
  assert.ok(rows.some(({ kind }) => kind === "skip"));
  assert.deepEqual(compare(null, "a\nb\n"), [{ kind: "new", text: "a" }, { kind: "new", text: "b" }]);
  assert.deepEqual(compare("same", "same"), []);
});

test("a credential is taken out of the fragment and nowhere else", () => {
  const stored = new Map();
  const storage = { setItem: (key, value) => stored.set(key, value), getItem: (key) => stored.get(key) ?? null, removeItem: (key) => stored.delete(key) };
  const credential = new Credential(storage, "/agent/");
  const shown = [];
  const history = { replaceState: (...state) => shown.push(state[2]) };
  const token = "x".repeat(43);
  assert.ok(credential.takeFrom({ hash: `#${token}`, pathname: "/agent/", search: "?a=1" }, history));
  assert.equal(credential.token, token);
  assert.deepEqual(shown, ["/agent/?a=1"]);
  assert.ok(!credential.take("https://host/?token=abc"));
  assert.ok(credential.take(` https://host/agent/#${"y".repeat(43)}\n`));
  assert.equal(new Credential(storage, "/other/").token, null);
});

test("an invite is exchanged once, with the same nonce until there is an answer", async () => {
  const stored = new Map();
  const storage = { setItem: (key, value) => stored.set(key, value), getItem: (key) => stored.get(key) ?? null, removeItem: (key) => stored.delete(key) };
  const invite = `myagent_inv_${"x".repeat(43)}`;
  const credential = new Credential(storage, "/");
  credential.take(invite);
  const nonces = [];
  const lost = async (nonce) => { nonces.push(nonce); throw new Error("lost"); };
  await assert.rejects(credential.exchange(lost), /lost/);
  assert.equal(credential.token, invite);
  await new Credential(storage, "/").exchange(async (nonce) => { nonces.push(nonce); return "myagent_dev_own"; });
  assert.equal(nonces[0], nonces[1]);
  assert.match(nonces[0], /^[0-9a-f]{64}$/);
  assert.equal(credential.token, "myagent_dev_own");
  assert.equal(stored.size, 1);
  await credential.exchange(() => assert.fail("it is its own already"));
  credential.take(invite);
  await credential.exchange(async () => null);
  assert.equal(credential.token, invite);
  await credential.exchange(() => assert.fail("it stays"));
  credential.take(invite);
  await credential.exchange(async () => { credential.take("y".repeat(43)); return "myagent_dev_late"; });
  assert.equal(credential.token, "y".repeat(43), "what was pasted meanwhile stays");
});

test("storages that throw keep for as long as the page is open", () => {
  const no = () => { throw new Error("denied"); };
  for (const open of [no, () => ({ getItem: no, setItem: no, removeItem: no }), () => null]) {
    const kept = new Keeping(open);
    assert.equal(kept.getItem("a"), null);
    kept.setItem("a", "1");
    assert.equal(kept.getItem("a"), "1");
    kept.removeItem("a");
    assert.equal(kept.getItem("a"), null);
  }
});

test("a close code says whether to come back, and how", () => {
  assert.equal(verdict(4401, "").retry, false);
  assert.match(verdict(4401, "the credential was revoked").say, /^this link was revoked/);
  assert.match(verdict(4401, "the credential has expired").say, /^this link has expired;/);
  assert.ok(verdict(4409, "").asFollower && verdict(4409, "").retry);
  for (const code of [1002, 1003, 1007, 1009]) assert.equal(verdict(code, "").retry, false);
  for (const code of [1001, 1006, 1011, 1012, 4408]) assert.ok(verdict(code, "").retry && !verdict(code, "").later);
  for (const code of [1008, 1013]) assert.ok(verdict(code, "").later);
});

test("pauses grow, are bounded, and are never the same for all", () => {
  assert.deepEqual([1, 2, 3].map((attempt) => pause(attempt, 1)), [500, 1000, 2000]);
  assert.equal(pause(50, 1), 30_000);
  assert.equal(pause(50, 0), 15_000);
});

test("a window takes each event once, in order, and says when it is not at the end", () => {
  const window = new Window(0);
  for (const seq of [1, 2, 2, 3, 1]) window.append(event(seq));
  assert.deepEqual(window.events.map(({ seq }) => seq), [1, 2, 3]);
  assert.equal(window.append(event(5)), false);
  assert.equal(window.attached, false);
  window.append(event(4));
  window.append(event(5));
  assert.ok(window.attached);
});

test("earlier events are put before the window only where they fit", () => {
  const window = new Window(10);
  window.append(event(11));
  assert.equal(window.prepend([event(7), event(8)]), false);
  assert.ok(window.prepend([event(9), event(10)]));
  assert.equal(window.after, 8);
  assert.equal(window.prepend([]), false);
  assert.equal(window.hasEarlier, false);
});

test("a window is bounded, and what was let go can be put back", () => {
  const window = new Window(0);
  for (let seq = 1; seq <= 20_000; seq += 1) {
    window.append(event(seq));
    if (window.full) window.trim("earlier");
  }
  assert.ok(window.events.length <= 6000);
  assert.equal(window.events[0].seq, window.after + 1);
  assert.equal(window.last, 20_000);
  window.trim("later");
  assert.equal(window.last, window.events.at(-1).seq);
});

test("text merges, a tool call is one row, a question is resolved in its place", () => {
  const timeline = new Timeline();
  const say = (seq, chunk, update) => timeline.apply(event(seq, "agent_stdout", { chunk, update }));
  timeline.apply(event(1, "prompt", { prompt: "do", by: "ann" }));
  say(2, "a", { sessionUpdate: "agent_message_chunk", messageId: "m" });
  say(3, "b", { sessionUpdate: "agent_message_chunk", messageId: "m" });
  timeline.apply(event(4, "agent_stderr", { chunk: "→ x\n", update: { sessionUpdate: "tool_call", toolCallId: "c", title: "x", status: "pending" } }));
  timeline.apply(event(5, "permission_request", { permissionRequestId: "p", request: { toolName: "x", display: "x" } }));
  timeline.apply(event(6, "permission_resolved", { permissionRequestId: "p", outcome: "allow", by: "ann" }));
  timeline.apply(event(7, "agent_stderr", { chunk: "", update: { sessionUpdate: "tool_call_update", toolCallId: "c", status: "completed" } }));
  timeline.apply(event(8, "terminal_state", { exitCode: 0, stopReason: "end_turn" }));
  assert.deepEqual(timeline.items.map(({ kind }) => kind), ["prompt", "message", "tool", "question", "end"]);
  assert.equal(timeline.items[1].text, "ab");
  assert.equal(timeline.items[2].status, "completed");
  assert.equal(timeline.items[3].resolution.by, "ann");
  assert.equal(timeline.items[0].end.exitCode, 0);
});

test("a running command's output and how it ended are in its row", () => {
  const timeline = new Timeline();
  const told = (seq, fields) => timeline.apply(event(seq, "agent_stderr", {
    chunk: "", update: { sessionUpdate: "tool_call_update", toolCallId: "c", title: "ls", ...fields } }));
  told(1, { status: "in_progress", _meta: { terminal_output_delta: { data: "a\n" } } });
  told(2, { _meta: { terminal_output_delta: { data: "b\n" } } });
  const [item] = told(3, { status: "failed", _meta: { terminal_exit: { exit_code: 3, signal: null } } });
  assert.equal(toolDetails(item.call, item.output).output, "a\nb\n");
  assert.equal(item.exit, "exit 3");
  told(4, { _meta: { terminal_output: { data: "x".repeat(100_000) } } });
  assert.equal(item.output.length, 32_768);
  assert.equal(toolDetails({ rawOutput: "alone" }).output, "alone");
});

test("with its turn, a tool call that was left open ends, and no other one", () => {
  const timeline = new Timeline();
  const call = (seq, id, toolCallId, status) =>
    timeline.apply(event(seq, "agent_stderr", { id, chunk: "", update: { sessionUpdate: "tool_call", toolCallId, title: "x", status } }));
  call(1, "t1", "asked", "pending");
  call(2, "t1", "runs", "in_progress");
  call(3, "t1", "done", "completed");
  call(4, "t2", "runs", "in_progress");
  const changed = timeline.apply(event(5, "terminal_state", { exitCode: 130, stopReason: "cancelled" }));
  const tools = timeline.items.filter(({ kind }) => kind === "tool");
  assert.deepEqual(tools.map(({ status }) => status), ["cancelled", "cancelled", "completed", "in_progress"]);
  assert.deepEqual(changed.filter(({ kind }) => kind === "tool").map(({ version }) => version), [5, 5]);
});

test("the command agent alone speaks plain text", () => {
  const workspace = new Workspace();
  const session = (sessionId, agent) => ({ sessionId, agent, head: 0, updatedAt: "2026-01-01T00:00:00Z", queue: [] });
  assert.ok(!workspace.speaksPlain("s1"));
  workspace.receive({ type: "session_metadata", session: session("s1", "command") }, 0);
  workspace.receive({ type: "session_metadata", session: session("s2", "model") }, 0);
  assert.ok(workspace.speaksPlain("s1") && !workspace.speaksPlain("s2"));
});

test("updates of any shape are taken as they come", () => {
  const timeline = new Timeline();
  const shapes = [null, 1, "x", [], {}, { sessionUpdate: 3 }, { sessionUpdate: "tool_call" }, { sessionUpdate: "plan", entries: [null, 1, {}] },
    { sessionUpdate: "tool_call", toolCallId: {}, title: [], status: "odd", content: [null, { type: "diff" }] }];
  shapes.forEach((update, index) => timeline.apply(event(index + 1, "agent_stderr", { update })));
  assert.ok(timeline.items.length > 0);
});

test("only new requests wait; a replayed one never asks again", () => {
  const workspace = new Workspace();
  const session = { sessionId: "s1", head: 5, updatedAt: "2026-01-01T00:00:00Z", queue: [] };
  workspace.receive({ type: "welcome", scope: "owner", owner: null, followers: 0, sessions: [session], limits: {} }, 0);
  const ask = (seq, id, pending) => event(seq, "permission_request", { permissionRequestId: id, request: {}, ...(pending ? { pending } : {}) });
  workspace.receive(ask(4, "old"), 0);
  assert.equal(workspace.waiting.size, 0);
  workspace.receive(ask(5, "open", true), 0);
  workspace.receive(ask(6, "new"), 7);
  workspace.receive(ask(6, "new"), 9);
  assert.deepEqual([...workspace.waiting.keys()], ["open", "new"]);
  assert.equal(workspace.waiting.get("new").since, 7);
  const asked = Date.parse("2026-01-01T00:00:01Z");
  workspace.receive(event(6, "permission_request", { permissionRequestId: "late", request: { askedAt: "2026-01-01T00:00:01Z" }, pending: true }), 9);
  assert.equal(workspace.waiting.get("late").since, asked);
  workspace.waiting.delete("late");
  workspace.receive(event(7, "permission_resolved", { permissionRequestId: "open", outcome: "deny", by: "b" }), 0);
  assert.deepEqual([...workspace.waiting.keys()], ["new"]);
  workspace.reconnected();
  assert.equal(workspace.waiting.size, 0);
});

// Where each place was tried anew, time grew with the square of these, and the page could not be used any more.
test("a line that repeats one character does not hang the page", () => {
  const n = 1_000_000;
  for (const line of ["~".repeat(n) + "`", "`".repeat(n) + "a`", "```" + " ".repeat(n) + "`", "~".repeat(n) + " ".repeat(n) + "`"]) {
    const markdown = new Markdown();
    markdown.push(`${line}\n`);
    assert.deepEqual(markdown.segments.map(({ kind }) => kind), ["text"]);
  }
  assert.equal(escapeLine(`a${" ".repeat(n)}b`).length, n + 2);
  assert.equal(escapeLine(" a \n \n b "), "a b");
  const ticks = `${"`".repeat(1000)}a${"` ".repeat(490)}\n`.repeat(500);
  assert.equal(spans(ticks).map(({ text }) => text).join(""), ticks);
});
