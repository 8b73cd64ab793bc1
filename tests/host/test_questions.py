"""Questions in the host: shown to all, answered once by the owner, given again to whoever comes, never left hanging."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.host.test_host import Client, come, served

from myagent.agents import Given, Turn, TurnEnd, TurnIO
from myagent.core.messages import AnswerMessage, Cancel, SessionId, UserMessage
from myagent.core.questions import asked_form
from myagent.core.refusals import NotOwner, UnknownQuestion
from myagent.delivery.cursor import Cursor
from myagent.host.host import Host
from myagent.host.questions import Questions

ASKED = asked_form("which?", {"properties": {"which": {"enum": ["a", "b"]}}, "required": ["which"]})


def told(given: Given) -> str:
    return f"{given.action} {dict(given.content) if given.content is not None else None} {given.reason}"


async def asks(_: Turn, io: TurnIO) -> TurnEnd:
    await io.stdout(told(await io.question(ASKED)))
    return TurnEnd()


def answer(question: dict[str, str], value: str, ident: str = "m") -> AnswerMessage:
    return AnswerMessage(id=ident, question_id=question["questionId"], action="accept", content={"which": value})


async def asked(host: Host, owner: Client) -> dict[str, str]:
    host.receive(owner, UserMessage(id="t", prompt="go"))
    (question,) = await owner.until("question")
    return question


async def refusals(client: Client, count: int) -> list[str]:
    async with asyncio.timeout(30):  # only so that a broken host fails here
        while len(client.of("error")) < count:
            await asyncio.sleep(0)
    return [error["code"] for error in client.of("error")]


async def said(client: Client) -> str:
    await client.until("terminal_state")
    return "".join(event["chunk"] for event in client.of("agent_stdout"))


def test_the_owner_answers_and_the_agent_goes_on(tmp_path: Path) -> None:
    async def what(host: Host, owner: Client) -> None:
        follower = come(host, "follower")
        question = await asked(host, owner)
        assert (await follower.until("question"))[0]["questionId"] == question["questionId"]
        with pytest.raises(NotOwner):
            host.receive(follower, answer(question, "a"))
        host.receive(owner, answer(question, "c", "bad"))
        assert await refusals(owner, 1) == ["bad_message"]
        for ident in ("one", "two"):
            host.receive(owner, answer(question, "b", ident))
        host.receive(owner, answer(question, "a", "late"))
        assert await refusals(owner, 2) == ["bad_message", "already_answered"]
        assert await said(owner) == "accept {'which': 'b'} None"
        acks = {each["id"]: each["duplicate"] for each in owner.of("ack")}
        assert (acks["one"], acks["two"]) == (False, True)
        (resolved,) = await follower.until("question_resolved")
        assert (resolved["outcome"], resolved["by"]) == ("accept", "owner")

    served(asks, tmp_path, what)


def test_a_question_outlives_its_owner_and_is_given_to_the_next(tmp_path: Path) -> None:
    async def what(host: Host, owner: Client) -> None:
        question = await asked(host, owner)
        host.leave(owner, clean=True)
        heir = come(host, "heir")
        (again,) = await heir.until("question")
        assert (again["questionId"], again["pending"]) == (question["questionId"], True)
        host.receive(heir, answer(question, "a"))
        assert await said(heir) == "accept {'which': 'a'} None"

    served(asks, tmp_path, what)


def test_an_answer_counts_only_from_whom_the_question_was_shown(tmp_path: Path) -> None:
    async def what(host: Host, owner: Client) -> None:
        question = await asked(host, owner)
        elsewhere = Client(host, "elsewhere")
        elsewhere.cursor = Cursor(host.fanout, elsewhere, session_id=SessionId("other"))
        with pytest.raises(UnknownQuestion):
            host._requests.questions.check_shown(elsewhere, answer(question, "a"))

    served(asks, tmp_path, what)


@pytest.mark.parametrize("how", ["cancel", "expiry", "taken back"])
def test_what_nobody_answers_is_cancelled(how: str, tmp_path: Path) -> None:
    taken: list[str] = []

    async def script(_: Turn, io: TurnIO) -> TurnEnd:
        asking = asyncio.ensure_future(io.question(ASKED))
        while how == "taken back" and not taken:
            await asyncio.sleep(0)
        if how == "taken back":
            asking.cancel()
            await asyncio.wait({asking})
            return TurnEnd()
        await io.stdout(told(await asking))
        return TurnEnd()

    async def what(host: Host, owner: Client) -> None:
        question = await asked(host, owner)
        match how:
            case "cancel":
                session = SessionId(str(question["sessionId"]))
                host.receive(owner, Cancel(id="c", session_id=session))
            case "expiry":
                host._requests.questions._cancel_later(question["questionId"], "nobody answered in time")
            case _:
                taken.append("now")
        (resolved,) = await owner.until("question_resolved")
        assert resolved["outcome"] == "cancel"
        await owner.until("terminal_state")
        if how == "expiry":
            assert (await said(owner)) == "cancel None nobody answered in time"
        host.receive(owner, answer(question, "a", "late"))
        assert await refusals(owner, 1) == ["already_answered"]

    served(script, tmp_path, what)


def test_the_check_finds_a_host_that_answers_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: a host that takes every answer for the first one lets two count."""

    async def twice(self: Questions, peer: Client, message: AnswerMessage, actor: object) -> None:
        for session in self._store.sessions.values():
            open_again = replace(session.questions, closed=())
            step = replace(session, questions=open_again).answer(message, by="x") if open_again.open else None
            if step is not None:
                kept = replace(step.session, questions=open_again)
                await self._store.commit(type(step)(kept, step.events))

    monkeypatch.setattr(Questions, "answer", twice)

    async def what(host: Host, owner: Client) -> None:
        question = await asked(host, owner)
        host.receive(owner, answer(question, "a", "one"))
        host.receive(owner, answer(question, "b", "two"))
        assert len(await owner.until("question_resolved", 2)) == 2

    served(asks, tmp_path, what)
