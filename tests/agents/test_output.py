"""What tool calls bring is shown: output as it comes, results in whatever field, each of them once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.agents.recorder import Recorder

from myagent.agents import UnaskedCall
from myagent.agents.rendering.turn import Rendering
from myagent.agents.showing import Showing
from myagent.agents.tripwire import Tripwire

JSON = dict[str, Any]


def tool(status: str | None = None, call: str = "t", **fields: Any) -> JSON:
    kind = "tool_call_update" if status != "pending" else "tool_call"
    return {"sessionUpdate": kind, "toolCallId": call, **({"status": status} if status else {}), **fields}


def piece(data: str, call: str = "t", key: str = "terminal_output_delta") -> JSON:
    return tool(call=call, _meta={key: {"data": data, "terminal_id": call}})


def shown(*updates: JSON) -> str:
    rendering, text = Rendering(), ""
    for update in updates:
        rendered = rendering.render(update)
        text += rendered.gap + rendered.text
    return text


def text(words: str) -> JSON:
    return {"type": "content", "content": {"type": "text", "text": words}}


RUNS = tool("in_progress", title="ls", content=[{"type": "terminal", "terminalId": "t"}])


@pytest.mark.parametrize("key", ["terminal_output_delta", "terminal_output", "mcp_output_delta"])
def test_a_commands_output_is_shown_as_it_comes(key: str) -> None:
    """codex-acp 2.6.0: no content, no raw output."""
    rendering = Rendering()
    said = [rendering.render(update).text for update in (RUNS, piece("a\nb", key=key), piece("c\n\nd\n", key=key))]
    assert said == ["→ ls\n", "  a\n  b", "c\n  \n  d\n"]
    end = tool("failed", _meta={"terminal_exit": {"exit_code": 3, "signal": None, "terminal_id": "t"}})
    assert rendering.render(end).text == "✗ ls: failed\n  exit status 3\n"


def test_pieces_of_two_commands_are_kept_apart() -> None:
    other = tool("in_progress", call="u", title="pwd")
    assert shown(RUNS, other, piece("a"), piece("/w", call="u"), piece("b\n")) == "→ ls\n→ pwd\n  a\n  /w\n  b\n"


def test_output_that_came_with_the_end_stands_above_it() -> None:
    end = tool("completed", _meta={"terminal_output": {"data": "x"}, "terminal_exit": {"exit_code": 0}})
    assert shown(RUNS, end) == "→ ls\n  x\n✓ ls: completed\n"


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        ({"rawOutput": "File created"}, ["File created"]),
        ({"rawOutput": {"output": "a.txt\nb.txt", "metadata": {"exit": 0}}}, ["a.txt", "b.txt"]),
        ({"rawOutput": {"stdout": "out", "stderr": "err", "exit_code": 2}}, ["out", "err", "exit status 2"]),
        ({"rawOutput": {"error": "no such file"}}, ["no such file"]),
        ({"rawOutput": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}, ["one", "two"]),
        ({"rawOutput": {"content": [{"type": "text", "text": "of MCP"}], "isError": False}}, ["of MCP"]),
        ({"rawOutput": {"matches": 3}}, ["{", '  "matches": 3', "}"]),
        ({"rawOutput": 42}, ["42"]),
        ({"rawOutput": {"exitCode": 0}}, []),
        ({"rawOutput": {}}, []),
        ({"content": [text("both")], "rawOutput": "both"}, ["both"]),
        (
            {"content": [text("```console\nboth\nof it\n```")], "rawOutput": {"output": "both\nof it"}},
            ["```console", "both", "of it", "```"],
        ),
        (
            {"content": [text("short")], "rawOutput": {"output": "something else entirely"}},
            ["short", "something else entirely"],
        ),
        ({"content": [text("4")], "rawOutput": "14"}, ["4", "14"]),
        ({"content": [{"type": "diff", "path": "a", "newText": "x"}], "rawOutput": {"newContent": "x"}}, ["a"]),
        ({"content": [{"type": "diff", "path": "a", "newText": "x"}], "rawOutput": "Written"}, ["a", "Written"]),
        ({"content": [{"type": "terminal", "terminalId": "t"}]}, ["(no output)"]),
        ({"_meta": {"terminal_exit": {"exit_code": None, "signal": "SIGKILL"}}}, ["killed by SIGKILL"]),
        ({"content": [{"type": "chart", "points": []}]}, ["[chart]"]),
    ],
)
def test_a_result_is_shown_wherever_it_stands_and_once(result: JSON, lines: list[str]) -> None:
    begins = tool("in_progress", title="Do it")
    expected = "→ Do it\n✓ Do it: completed\n" + "".join(f"  {line}\n" for line in lines)
    assert shown(begins, tool("completed", **result), tool("completed", **result)) == expected
    assert shown(begins, tool("completed"), tool(**result)) == expected, "what comes later is shown as well"


def test_output_that_was_shown_live_is_not_shown_again_as_a_result() -> None:
    output = "".join(f"line {n}\n" for n in range(2000))
    again = {"content": [text(f"```\n{output}```")], "rawOutput": {"aggregated_output": output, "exit_code": 0}}
    said = shown(RUNS, *(piece(output[n : n + 100]) for n in range(0, len(output), 100)), tool("completed", **again))
    assert said.count("line 1234\n") == 1
    assert said.endswith("  line 1999\n✓ ls: completed\n")


async def test_updates_go_with_their_text() -> None:
    said = Recorder()
    showing = Showing(said)
    for update in (RUNS, piece("a\n"), tool("completed")):
        await showing.show(update)
    assert said.updates == json.loads(json.dumps([RUNS, piece("a\n"), tool("completed")]))


async def test_what_ran_unasked_is_told_on_a_line_of_its_own() -> None:
    class Telling(Recorder):
        async def unasked(self, call: UnaskedCall) -> None:
            await self.stderr(f"UNSUPERVISED: {call}\n")

    said = Telling()
    showing = Showing(said, Tripwire())
    for update in (tool("in_progress", title="ls", kind="execute"), piece("a\nb."), piece("txt\n")):
        await showing.show(update)
    assert said.err == "→ ls\n  a\n  b.\nUNSUPERVISED: ls: it ran and nobody was asked\n  txt\n"
    await showing.finish()


def test_codex_shows_what_its_command_wrote() -> None:
    """The recorded run wrote nothing to its output: that is said."""
    rows = [
        json.loads(line)
        for line in (Path(__file__).parent / "transcripts" / "codex-acp-2.6.jsonl").read_text().splitlines()
    ]
    updates = [row["msg"].get("params", {}).get("update") for row in rows if row["dir"] == "a2c"]
    calls = [update for update in updates if update and "toolCallId" in update]
    assert "(no output)" in shown(*calls[:2])
    assert "hello" in shown(calls[0], piece("hello\n", call=calls[0]["toolCallId"]), calls[1])


def test_the_users_own_words_are_not_shown_again() -> None:
    echo = {"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": "do it"}}
    assert Rendering("/skill do it").render(echo).text == ""
    assert Rendering("another").render(echo).text == "user: do it"
