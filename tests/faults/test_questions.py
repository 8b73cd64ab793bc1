"""Questions of agents over cut connections and kills: each is resolved once, and its agent is answered once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from tests.faults.serving import Program, stored
from tests.faults.test_activity import AGENT
from tests.faults.wire import Gone, Json, Wire

ROUNDS = 8  # own turns; in each the agent says a number, and asks
FORM = {"which": {"type": "string", "enum": ["red", "blue"]}}
_HEARD = re.compile(r"\[(bg-elicit-\d+) (.*?)\](?=\[|<|$)")

Fault = Literal["none", "server killed", "agent killed"]


@dataclass
class Seen:
    """What a follower that is cut off again and again has seen, what its owners were told, and what the log holds."""

    run: list[int] = field(default_factory=list)  # `seq`s
    events: list[Json] = field(default_factory=list)
    log: list[Json] = field(default_factory=list)
    given: list[str] = field(default_factory=list)  # what each question was answered with, in order
    wrong: list[str] = field(default_factory=list)

    def check(self) -> list[str]:
        """What is not as promised."""
        found = self.wrong
        if self.run != list(range(1, len(self.run) + 1)):
            found.append("a hole or a double in the follower's run")
        if self.events != self.log[: len(self.events)]:
            found.append("the follower saw something else than the log holds")
        asked = Counter(event["questionId"] for event in self.log if event["type"] == "question")
        resolved = Counter(event["questionId"] for event in self.log if event["type"] == "question_resolved")
        if asked != resolved or set(asked.values()) != {1} or asked.total() != ROUNDS:
            found.append(f"not every question asked once and resolved once: {asked}, {resolved}")
        outcomes = [event["outcome"] for event in self.log if event["type"] == "question_resolved"]
        heard = _HEARD.findall("".join(event["chunk"] for event in self.log if event["type"] == "agent_stdout"))
        answers = [json.loads(text)["content"]["which"] for _, text in heard]
        if len(heard) != len({number for number, _ in heard}) or answers != self.given:
            found.append(f"the agent was answered otherwise, or twice: {answers}, given {self.given}")
        if outcomes.count("accept") != len(self.given):
            found.append(f"told to all otherwise than it was: {outcomes}")
        return found


async def heard_by_the_agent(server: Program, session: str, count: int) -> None:
    """Wait until the agent has said of so many answers that it has them: else it may be told to stop before."""
    wire, said = await Wire.open(server.port, server.token, f"?session={session}&after=0&role=follower"), ""
    while len(_HEARD.findall(said)) < count:
        message = await wire.receive()
        said += message["chunk"] if message["type"] == "agent_stdout" else ""
    wire.abort()


async def come_back(server: Program, session: str) -> Wire:
    while (owner := await Wire.open(server.port, server.token, f"?session={session}")).role != "owner":
        await owner.close()  # the one before has not been missed yet
    return owner


async def late_owner(server: Program, session: str, questions: set[str], seen: Seen) -> Wire:
    """Somebody who comes when a question is open, and must be shown it."""
    owner = await come_back(server, session)
    await owner.hello()  # its answer comes after whatever is told to somebody who comes
    pending = {each["questionId"] for each in owner.messages if each["type"] == "question" and each.get("pending")}
    if pending != questions:
        seen.wrong.append(f"a late owner is shown {pending}, open are {questions}")
    return owner


async def say(owner: Wire, question: Json, value: str) -> str:
    content = {"which": value}
    return await owner.send("answer", questionId=question["questionId"], action="accept", content=content)


async def ask_on(directory: Path, seed: int, fault: Fault, module: tuple[str, ...] = ("myagent",)) -> list[str]:
    """Have an agent ask by itself while owners and a follower are cut off, and at last something is killed."""
    chance, seen, fifo, number = random.Random(seed), Seen(), directory / "orders", 0
    os.mkfifo(fifo)
    (directory / "work").mkdir()
    agent = ("--activity-quiet", "600", "--owner-grace", "0", "--", sys.executable, "-I", AGENT, str(fifo))
    server = await Program(directory / "work", *agent, module=module).start()

    async def order(*orders: Json) -> None:
        await asyncio.to_thread(fifo.write_text, "".join(json.dumps(each) + "\n" for each in orders))

    try:
        owner = await Wire.open(server.port, server.token)
        await owner.send("user_message", id="p", prompt="go")
        session = (await owner.until("terminal_state", id="p"))["sessionId"]
        for number in range(ROUNDS):
            last = number == ROUNDS - 1
            await order({"do": "say", "text": f"<{number}>"}, {"do": "elicit", "form": FORM})
            query = f"?session={session}&after={len(seen.run)}&role=follower"
            follower = await Wire.open(server.port, server.token, query)
            question = await owner.until("question")
            for _ in range(chance.randrange(1, 5)):  # it is cut off somewhere in the middle
                message = await follower.receive()
                if "seq" in message and not message.get("pending"):
                    seen.run.append(message["seq"])
                    seen.events.append(message)
            follower.abort()
            if chance.random() < 0.6:
                owner.abort()
                owner = await late_owner(server, session, {question["questionId"]}, seen)
            if last and fault == "server killed":
                await server.stop(hard=True)
                break
            if last and fault == "agent killed":
                await order({"do": "die"})
                await owner.until("question_resolved", questionId=question["questionId"], outcome="cancel")
                await owner.until("terminal_state", id=question["id"], stopReason="failed")
                break
            value = chance.choice(["red", "blue"])
            first = await say(owner, question, value)
            seen.given.append(value)
            if chance.random() < 0.5:  # cut off before it knows; the next one sends it again
                await owner.answer(first)
                owner.abort()
                owner = await come_back(server, session)
            for again, expected in ((value, "ack"), ({"red": "blue", "blue": "red"}[value], "error")):
                reply = await owner.answer(await say(owner, question, again))
                if reply["type"] != expected or (expected == "error" and reply["code"] != "already_answered"):
                    seen.wrong.append(f"an answer after the answer: {reply}")
            await heard_by_the_agent(server, session, len(seen.given))
            await order({"do": "idle"})
            await owner.until("terminal_state", id=question["id"])
        await owner.close()
    except Gone:
        seen.wrong.append("a connection ended")
    finally:
        await server.stop(hard=fault == "server killed")
    if fault == "server killed":  # the next server writes how it ended
        again = await Program(directory / "work", module=module).start()
        await again.stop()
    seen.log = [json.loads(event.body) for event in (await stored(directory / "work"))[session]]
    return seen.check()


@pytest.mark.parametrize("fault", ["none", "server killed", "agent killed"])
def test_every_question_is_resolved_once_and_answered_once(tmp_path: Path, fault: Fault) -> None:
    assert asyncio.run(ask_on(tmp_path, 7, fault)) == []


@pytest.mark.parametrize("promise", ["answered_twice", "told_twice", "question_not_shown_again", "no_recovery"])
def test_a_broken_promise_would_be_found(tmp_path: Path, promise: str) -> None:
    """Negative control."""
    fault: Fault = "server killed" if promise == "no_recovery" else "none"
    assert asyncio.run(ask_on(tmp_path, 7, fault, ("tests.faults.broken", promise)))
