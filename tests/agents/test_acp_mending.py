"""What strict readers of JSON refuse is made whole, or answered: no text vanishes, and no turn waits for ever."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.recorder import Recorder

from myagent.agents import Turn, TurnEnd
from myagent.agents.acp.host import AcpAgent
from myagent.agents.acp.rpc import Connection
from myagent.core.mending import Halves, mended, whole, whole_text

RAW = Path(__file__).with_name("raw_agent.py")

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def run(cwd: Path, *prompts: str, arguments: tuple[str, ...] = ()) -> list[tuple[TurnEnd, Recorder]]:
    """Turns of one session, each within a time after which it would never end."""

    async def main() -> list[tuple[TurnEnd, Recorder]]:
        agent = AcpAgent([sys.executable, "-I", str(RAW), *arguments], cwd=cwd, allow_unsupervised=True)
        try:
            async with asyncio.timeout(20):
                await agent.start()
                ended = []
                for prompt in prompts:
                    told = Recorder()
                    turn = Turn("one", "t", prompt, "default", cwd, None)
                    ended.append((await agent.run(turn, told), told))
                return ended
        finally:
            await agent.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("joined", "a 😀 b"),
        ("thrice", "😀😀"),
        ("between", "a \ufffdb"),
        ("lone", "x\ufffdyafter"),
        ("last", "end \ufffd"),
        ("bytes", "x\ufffdyafter"),
    ],
)
def test_words_are_made_whole(tmp_path: Path, prompt: str, shown: str) -> None:
    """Halves of a character that come in two chunks are one character; nothing else of the text is lost."""
    [(end, told)] = run(tmp_path, prompt)
    assert end.stop_reason == "end_turn"
    assert told.out.replace("\n", "") == shown
    pieces = [each["content"]["text"] for each in told.updates if each.get("sessionUpdate") == "agent_message_chunk"]
    assert "".join(pieces) == shown


def test_output_of_a_command_is_made_whole(tmp_path: Path) -> None:
    [(end, told)] = run(tmp_path, "output")
    assert end.stop_reason == "end_turn"
    pieces = [each["_meta"]["terminal_output_delta"]["data"] for each in told.updates if "_meta" in each]
    assert pieces == ["a ", "😀 b"]


@pytest.mark.parametrize("ident", ["900", "900.0", "1e400", "900.5", '"nine"'])
def test_a_request_with_half_a_character_is_asked(tmp_path: Path, ident: str) -> None:
    """Asked with U+FFFD in its place, which is what such a program would run; the answer names the request's id."""
    [(end, told)] = run(tmp_path, f"ask {ident}")
    assert end.stop_reason == "end_turn"
    [call] = told.asked
    assert call.input == {"command": "echo \ufffd"}
    assert "echo \ufffd" in call.text
    expected = "1e400" if ident == "1e400" else json.loads(ident)
    assert json.loads(told.out) == [expected, "y"]


@pytest.mark.parametrize("ident", ["null", "true", "[1]", "{}"])
def test_a_request_with_an_id_of_another_kind_is_answered_with_an_error(tmp_path: Path, ident: str) -> None:
    [(end, told)] = run(tmp_path, f"ask {ident}")
    assert end.stop_reason == "end_turn"
    assert told.asked == []
    assert json.loads(told.out) == [json.loads(ident), -32600]


@pytest.mark.parametrize("prompt", ["number NaN", "number -Infinity", "number 1e400", f"number {'9' * 5000}", "float"])
def test_an_answer_that_a_turn_waits_for_is_understood(tmp_path: Path, prompt: str) -> None:
    (end, _), (after, told) = run(tmp_path, prompt, "joined")
    assert (end.stop_reason, after.stop_reason, told.out) == ("end_turn", "end_turn", "a 😀 b")


def test_an_answer_nested_too_deeply_to_be_read_ends_the_agent(tmp_path: Path) -> None:
    [(end, _)] = run(tmp_path, "deep")
    assert end.stop_reason == "failed"
    assert "nested too deeply" in str(end.message)


def test_a_byte_order_mark_before_the_first_message_is_no_part_of_it(tmp_path: Path) -> None:
    [(end, told)] = run(tmp_path, "joined", arguments=("bom",))
    assert (end.stop_reason, told.out) == ("end_turn", "a 😀 b")


def test_the_check_notices_halves_that_are_not_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without a place where a text goes on, both halves are lost."""
    monkeypatch.setattr(Connection, "_piece", lambda _self, _message: None)
    [(_, told)] = run(tmp_path, "joined")
    assert told.out == "a \ufffd\ufffd b"


@given(st.text(st.characters(exclude_categories=())), st.data())
def test_pieces_give_the_same_text_wherever_it_is_cut(text: str, data: st.DataObject) -> None:
    """Cut between any two UTF-16 units, a text is put together again."""
    raw = text.encode("utf-16-le", "surrogatepass")
    cut = 2 * data.draw(st.integers(0, len(raw) // 2))
    halves = Halves()
    pieces = [part.decode("utf-16-le", "surrogatepass") for part in (raw[:cut], raw[cut:])]
    assert "".join(map(halves.feed, pieces)) + halves.flush() == whole_text(text)


@given(st.recursive(st.text(st.characters(exclude_categories=())), lambda some: st.dictionaries(st.text(), some)))
def test_everything_mended_can_be_sent_on(value: object) -> None:
    json.dumps(whole(mended(json.dumps(value).encode())), ensure_ascii=False).encode()
