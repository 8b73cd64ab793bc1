// The page's pure modules, run by node: what they decide without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

const web = new URL(`${process.env.MYAGENT_WEB}/`);
const load = (name) => import(new URL(name, web));

const { escape, escapeLine, visible, whole } = await load("parsing/escape.js");
const { Printed, printed } = await load("parsing/printed.js");
const { compare, counts, hunkRows } = await load("parsing/diff.js");
const { Marks } = await load("parsing/words.js");
const { changesOf, planOf } = await load("state/changes.js");
const { tokensOf } = await load("parsing/syntax.js");
const { addressOf, eventIn, sessionIn } = await load("state/address.js");
const { Answers } = await load("state/answers.js");
const { Drafts } = await load("state/drafts.js");
const { TabStorage } = await load("state/storage.js");
const { Credential } = await load("state/credential.js");
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
  assert.equal(printed("a\x1b[31mred\x1b[0m\r\nb\u00a0c\td"), "ared\nb\u00a0c\td");
  assert.equal(printed("\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}");
  assert.equal(printed("a\u202eb"), "a\\u{202e}b");
});

const PRINTED = [
  [["10%\r50%\r", "100%"], "100%"], [["10%\r", "\n"], "10%\n"], [["abcdef\rxy\n"], "xycdef\n"], [["a\r\nb\r\n"], "a\nb\n"],
  [["ab\b", "c\n"], "ac\n"], [["a\b\b\bz"], "z"], [["\x1b[3", "2mgreen\x1b[0m\n"], "green\n"], [["\x1b[31mred\x1b[0m\rX"], "Xed"],
  [["日本\rab"], "ab本"], [["日本\ra"], "a 本"], [["a\tb\rX"], "X\tb"], [["Reading\r\x1b[Kok\n"], "ok\n"], [["e\u0301x\rf"], "fx"],
  [["👩‍👩‍👧‍👦 family\n"], "👩‍👩‍👧‍👦 family\n"], [["👩‍👩‍👧‍👦x\rab"], "abx"], [["line\nab\b\b", "X\n"], "line\nXb\n"],
  [["🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}"], "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}"], [["a\u{e0041}"], "a\\u{e0041}"],
];

test("within a line, what follows a carriage return overwrites, in whatever pieces it comes", () => {
  const shared = JSON.parse(process.env.MYAGENT_OVERWRITES ?? "[]").map(([chunks, lines]) => [chunks, lines.join("\n")]);
  for (const [chunks, shown] of [...PRINTED, ...shared]) {
    const output = new Printed();
    chunks.forEach((chunk) => output.push(chunk));
    assert.equal(output.text, shown, JSON.stringify(chunks));
    const pieces = new Printed();
    for (const character of chunks.join("")) pieces.push(character);
    assert.equal(pieces.text, output.text, JSON.stringify(chunks));
  }
});

test("what was printed can be had as it came, and prompts obey nothing", () => {
  assert.equal(printed("10%\r50%\b\x1b[31m\r\n", true), "10%\\u{d}50%\\u{8}\\u{1b}[31m\\u{d}\n");
  assert.equal(visible("safe\rrm -rf"), "safe\\u{d}rm -rf");
  assert.equal(whole("a\ud83db😀"), "a\ufffdb😀");
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
  const hidden = rows.flatMap((each) => each.hidden ?? (each.kind === "old" ? [] : [each]));
  assert.equal(hidden.map(({ text }) => text).join("\n"), after);
  assert.deepEqual(counts(rows), { added: 2, removed: 2 });
});

test("a unified diff is its rows", () => {
  const rows = hunkRows("@@ -3,2 +4 @@ def f():\n-a\n+b\n c\n\\ No newline at end of file\n");
  assert.deepEqual(rows, [
    { kind: "skip", text: "line 4 def f():" }, { kind: "old", text: "a" }, { kind: "new", text: "b" }, { kind: "same", text: "c" },
    { kind: "skip", text: "No newline at end of file" },
  ]);
});

test("the words that differ are marked, and both lines stay whole", () => {
  const text = (parts) => parts.map((part) => part.text).join("");
  const changed = (parts) => parts.filter((part) => part.changed).map((part) => part.text);
  const [old, now] = new Marks().of("def f(x): return x", "def f(x, y): return y");
  assert.equal(text(old), "def f(x): return x");
  assert.equal(text(now), "def f(x, y): return y");
  assert.deepEqual([changed(old), changed(now)], [["x"], [", y", "y"]]);
  assert.equal(new Marks().of("entirely this", "something else"), null);
  let random = 7;
  const next = (n) => (random = (random * 16807) % 2147483647) % n;
  for (let round = 0; round < 300; round += 1) {
    const line = () => Array.from({ length: next(40) }, () => "ab (😀é\t".split("")[next(8)]).join("");
    const [before, after] = [line(), line()];
    const found = new Marks().of(before, after);
    if (found !== null) assert.deepEqual(found.map(text), [before, after]);
    if (found !== null) assert.equal(text(found[0].filter((part) => !part.changed)), text(found[1].filter((part) => !part.changed)));
  }
});

test("marks cost a bounded time", () => {
  const marks = new Marks();
  assert.equal(marks.of("a ".repeat(5000), "b ".repeat(5000)), null);
  let marked = 0;
  for (let line = 0; line < 10_000; line += 1) if (marks.of("a b ".repeat(200), "a c ".repeat(200)) !== null) marked += 1;
  assert.ok(marked < 10);
});

test("what a session changed is counted once a call, and only where it took place", () => {
  const timeline = new Timeline();
  const call = (seq, toolCallId, path, oldText, newText, status = "completed") => timeline.apply(event(seq, "agent_stderr", { chunk: "", update: {
    sessionUpdate: "tool_call", toolCallId, title: "Edit", kind: "edit", status, content: [{ type: "diff", path, oldText, newText }],
  } }));
  call(1, "a", "a.py", "1\n2\n", "1\n3\n4\n");
  call(2, "b", "b.py", null, "1\n");
  call(3, "c", "a.py", "4\n", "5\n", "failed");
  call(4, "a", "a.py", "1\n2\n", "1\n3\n4\n"); // told again
  timeline.apply(event(5, "agent_stderr", { chunk: "", update: { sessionUpdate: "plan", entries: [{ content: "x", status: "pending" }] } }));
  const shown = changesOf(timeline.items).map(({ path, added, removed, isNew, changes }) => [path, added, removed, isNew, changes.length]);
  assert.deepEqual(shown, [["b.py", 1, 0, true, 1], ["a.py", 2, 1, false, 1]]);
  assert.deepEqual(planOf(timeline.items), [{ content: "x", status: "pending" }]);
  assert.equal(planOf([]), null);
});

const store = () => {
  const stored = new Map();
  return { stored, setItem: (key, value) => stored.set(key, value), getItem: (key) => stored.get(key) ?? null, removeItem: (key) => stored.delete(key) };
};

test("what pairs a device is kept by the browser, and nothing else is", async () => {
  const [tab, lasting] = [store(), store()];
  const credential = new Credential(tab, "/", lasting);
  const invite = `myagent_inv_${"x".repeat(43)}`;
  credential.take(invite);
  await credential.exchange(async () => ({ token: "myagent_dev_tab" }));
  assert.equal(lasting.stored.size, 0);
  credential.take(invite);
  await credential.exchange(async () => ({ token: "myagent_dev_kept", keep: true }));
  assert.equal(tab.stored.size, 0);
  assert.equal(new Credential(store(), "/", lasting).token, "myagent_dev_kept");
  credential.take("y".repeat(43));
  credential.forget(); // that of the tab alone
  assert.equal(credential.token, "myagent_dev_kept");
  credential.forget();
  assert.equal(credential.token, null);
});

test("a credential is taken out of the fragment and nowhere else", () => {
  const stored = new Map();
  const storage = { setItem: (key, value) => stored.set(key, value), getItem: (key) => stored.get(key) ?? null, removeItem: (key) => stored.delete(key) };
  const credential = new Credential(storage, "/agent/", store());
  const shown = [];
  const history = { replaceState: (...state) => shown.push(state[2]) };
  const token = "x".repeat(43);
  assert.ok(credential.takeFrom({ hash: `#${token}`, pathname: "/agent/", search: "?a=1" }, history));
  assert.equal(credential.token, token);
  assert.deepEqual(shown, ["/agent/?a=1"]);
  assert.ok(!credential.take("https://host/?token=abc"));
  assert.ok(credential.take(` https://host/agent/#${"y".repeat(43)}\n`));
  assert.equal(new Credential(storage, "/other/", store()).token, null);
});

test("an invite is exchanged once, with the same nonce until there is an answer", async () => {
  const stored = new Map();
  const storage = { setItem: (key, value) => stored.set(key, value), getItem: (key) => stored.get(key) ?? null, removeItem: (key) => stored.delete(key) };
  const invite = `myagent_inv_${"x".repeat(43)}`;
  const credential = new Credential(storage, "/", store());
  credential.take(invite);
  const nonces = [];
  const lost = async (nonce) => { nonces.push(nonce); throw new Error("lost"); };
  await assert.rejects(credential.exchange(lost), /lost/);
  assert.equal(credential.token, invite);
  await new Credential(storage, "/", store()).exchange(async (nonce) => { nonces.push(nonce); return { token: "myagent_dev_own" }; });
  assert.equal(nonces[0], nonces[1]);
  assert.match(nonces[0], /^[0-9a-f]{64}$/);
  assert.equal(credential.token, "myagent_dev_own");
  assert.equal(stored.size, 1);
  await credential.exchange(() => assert.fail("it is its own already"));
  credential.take(invite);
  await credential.exchange(async () => ({ token: null }));
  assert.equal(credential.token, invite);
  await credential.exchange(() => assert.fail("it stays"));
  credential.take(invite);
  await credential.exchange(async () => { credential.take("y".repeat(43)); return { token: "myagent_dev_late" }; });
  assert.equal(credential.token, "y".repeat(43), "what was pasted meanwhile stays");
});

test("an address shows a session and no token", () => {
  assert.equal(addressOf("https://host/agent/?session=a&x=1#frag", "b c&d"), "/agent/?session=b+c%26d&x=1");
  assert.equal(sessionIn("https://host/agent/?session=b+c%26d"), "b c&d");
  assert.equal(addressOf("https://host/?session=a&event=3", null), "/");
  assert.equal(addressOf("https://host/?session=a", "a", 7), "/?session=a&event=7");
  for (const [asked, seq] of [["7", 7], ["0", null], ["-1", null], ["1e3", null], ["x", null], ["", null]]) {
    assert.equal(eventIn(`https://host/?session=a&event=${asked}`), seq);
  }
  assert.equal(sessionIn("https://host/?session="), null);
});

test("a storage that throws, or is full, forgets nothing while the page is open", () => {
  const full = { getItem: () => null, setItem: () => { throw new Error("QuotaExceededError"); }, removeItem: () => { throw new Error("no"); } };
  for (const find of [() => { throw new Error("SecurityError"); }, () => null, () => full]) {
    const storage = new TabStorage(find);
    const drafts = new Drafts(storage, "/");
    drafts.keep("s1", "one");
    drafts.keep(null, "new");
    assert.deepEqual([drafts.of("s1"), drafts.of(null), drafts.of("s2")], ["one", "new", ""]);
    drafts.keep("s1", "");
    assert.equal(drafts.of("s1"), "");
  }
});

test("whatever is asked is answered, or told that it was not", async () => {
  const answers = new Answers(1);
  const told = [];
  const ask = (id) => answers.expect(id, () => told.push(`${id} done`), (why) => told.push(`${id} ${why.split(";")[0]}`));
  for (const id of ["a", "b", "c"]) ask(id);
  answers.receive({ type: "ack", id: "a" });
  answers.receive({ type: "error", id: "b", message: "refused" });
  answers.receive({ type: "pong", id: "c" });
  await new Promise((done) => answers.expect("d", done, done));
  assert.deepEqual(told, ["a done", "b refused", "c no answer within 0.001 s"]);
  answers.receive({ type: "ack", id: "c" });
  ask("e");
  answers.lost();
  assert.deepEqual(told.slice(3), ["e the connection was lost"]);
});

test("a close code says whether to come back, and how", () => {
  assert.equal(verdict(4401, "").retry, false);
  assert.match(verdict(4401, "the credential was revoked").say, /^this link was revoked/);
  assert.match(verdict(4401, "the credential has expired").say, /^this link has expired;/);
  assert.ok(verdict(4409, "").asFollower && verdict(4409, "").retry);
  for (const code of [1002, 1003, 1007]) assert.equal(verdict(code, "").retry, false);
  for (const code of [1001, 1006, 1009, 1011, 1012, 4408]) assert.ok(verdict(code, "").retry && !verdict(code, "").later);
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

test("text merges, a tool call is one row, with what was asked about it and who answered", () => {
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
  assert.deepEqual(timeline.items.map(({ kind }) => kind), ["prompt", "message", "tool", "end"]);
  assert.equal(timeline.items[1].printed.text, "ab");
  assert.equal(timeline.items[2].status, "completed");
  assert.equal(timeline.items[2].question.resolution.by, "ann");
  assert.equal(timeline.items[0].end.exitCode, 0);
});

test("a request belongs to the call with its input or title, and else to the only open one; others stand alone", () => {
  const timeline = new Timeline();
  const call = (seq, id, fields) => timeline.apply(event(seq, "agent_stderr", { chunk: "", update: { sessionUpdate: "tool_call", toolCallId: id, kind: "execute", ...fields } }));
  const ask = (seq, id, request) => timeline.apply(event(seq, "permission_request", { permissionRequestId: id, request: { toolName: "bash", display: "", ...request } }));
  call(1, "a", { title: "same", rawInput: { command: "one" } });
  call(2, "b", { title: "same", rawInput: { command: "two" } });
  ask(3, "p", { title: "other", input: { command: "one" } });
  ask(4, "q", { title: "unlike", input: {} });
  ask(5, "r", { title: "unlike", input: {} });
  assert.deepEqual(timeline.items.map(({ kind, question }) => [kind, question?.id]), [["tool", "p"], ["tool", "q"], ["question", undefined]]);
  const [changed] = timeline.apply(event(6, "permission_resolved", { permissionRequestId: "q", outcome: "deny", by: "ann", reason: "no" }));
  assert.equal(changed, timeline.items[1]);
  assert.deepEqual(changed.question.resolution, { outcome: "deny", by: "ann", reason: "no" });
});

test("reads and searches that follow each other are one item, until something else comes between", () => {
  const timeline = new Timeline();
  const call = (seq, id, kind, more = {}) => timeline.apply(event(seq, "agent_stderr", { chunk: "", update: { sessionUpdate: "tool_call", toolCallId: id, kind, title: id, ...more } }));
  call(1, "a", "read");
  call(2, "b", "search");
  call(3, "c", "read", { _meta: { claudeCode: { parentToolUseId: "z" } } });
  call(4, "d", "edit");
  call(5, "e", "read");
  assert.deepEqual(timeline.items.map(({ kind, members, nested }) => [kind, members?.map(({ title }) => title), nested ?? false]),
    [["reads", ["a", "b"], false], ["reads", ["c"], true], ["tool", undefined, false], ["reads", ["e"], false]]);
  const before = timeline.items[0].version;
  const [changed] = timeline.apply(event(6, "agent_stderr", { chunk: "", update: { sessionUpdate: "tool_call_update", toolCallId: "b", status: "failed" } }));
  assert.equal(changed, timeline.items[0]);
  assert.ok(changed.version > before);
  timeline.apply(event(7, "terminal_state", { exitCode: 130, stopReason: "cancelled" }));
  assert.deepEqual(timeline.items[0].members.map(({ status }) => status), ["cancelled", "failed"]);
});

test("code is taken apart into the same characters, and quickly", () => {
  const marked = (code, info) => tokensOf(code, info).filter(([kind]) => kind !== "").map(([kind, text]) => `${kind}:${text}`);
  assert.deepEqual(marked('def f(x): # no "string"\n    return "a # b" + 1.5e3', "python"),
    ["keyword:def", 'comment:# no "string"', "keyword:return", 'string:"a # b"', "number:1.5e3"]);
  assert.deepEqual(marked("const a = `x\n// ${b}`; /* one\ntwo */ define", "ts"), ["keyword:const", "string:`x\n// ${b}`", "comment:/* one\ntwo */"]);
  assert.deepEqual(marked("echo $# a#b # c", "bash"), ["comment:# c"]);
  assert.deepEqual(marked("fn a<'b>() -> &'b str", "rust"), ["keyword:fn"]);
  assert.equal(tokensOf("anything", "unheard-of"), null);
  assert.equal(tokensOf("a", ""), null);
  const hostile = ['"', "'", "`", "/*", '"""', "\\", "//", "#", "é\u{1f600}\ud800", "a1", "\n", " ", "\u202e"];
  for (const language of ["python", "js", "json", "sh", "c", "go", "rust", "ruby", "php", "sql", "yaml", "css"]) {
    for (let seed = 1; seed < 40; seed += 1) {
      const code = Array.from({ length: 60 }, (_, n) => hostile[(seed * (n + 7) * 2654435761 >>> 7) % hostile.length]).join("");
      assert.equal(tokensOf(code, language).map(([, text]) => text).join(""), code);
    }
    for (const one of hostile) tokensOf(one.repeat(20_000).slice(0, 20_000), language);
  }
});

test("items end only where lines do", () => {
  const text = Array.from({ length: 12_000 }, (_, n) => `${n + 1} the quick brown fox jumps over the lazy dog\n`).join("");
  for (const size of [1000, 16_384, 40_000]) {
    const timeline = new Timeline();
    for (let at = 0; at < text.length; at += size) timeline.apply(event(at + 1, "agent_stdout", { chunk: text.slice(at, at + size) }));
    const shown = timeline.items.map(({ printed }) => printed.text);
    assert.ok(shown.length > 5);
    assert.ok(shown.every((each) => each.endsWith("\n")));
    assert.equal(shown.join(""), text);
  }
});

test("a line of one stream goes on after lines of the other, and not after anything else", () => {
  const timeline = new Timeline();
  timeline.apply(event(1, "agent_stdout", { chunk: "77" }));
  timeline.apply(event(2, "agent_stderr", { chunk: "warning\n" }));
  timeline.apply(event(3, "agent_stdout", { chunk: "14\nnext\n" }));
  const shown = () => timeline.items.map(({ kind, printed }) => `${kind}: ${printed?.text}`);
  assert.deepEqual(shown(), ["output: 7714\n", "stderr: warning\n", "output: next\n"]);
  timeline.apply(event(4, "agent_stdout", { chunk: "open" }));
  timeline.apply(event(5, "agent_stdout", { chunk: "", update: { sessionUpdate: "tool_call", toolCallId: "c" } }));
  timeline.apply(event(6, "agent_stdout", { chunk: "other\n" }));
  assert.deepEqual(shown().slice(2), ["output: next\nopen", "tool: undefined", "output: other\n"]);
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
  told(5, { _meta: { terminal_output: { data: `\n${"a whole line\n".repeat(5000)}` } } });
  assert.match(item.output, /^(a whole line\n){2000,}$/);
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

// Where each place was tried anew, time grew with the square of it, and the page could not be used any more.
test("a line that repeats one character does not hang the page", () => {
  const n = 1_000_000;
  assert.equal(escapeLine(`a${" ".repeat(n)}b`).length, n + 2);
  assert.equal(escapeLine(" a \n \n b "), "a b");
});
