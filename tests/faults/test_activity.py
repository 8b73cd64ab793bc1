"""Turns of the agent's own over cut connections and kill −9: nothing lost, nothing doubled, nothing answered twice."""

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

import pytest
from tests.faults.serving import Program, stored
from tests.faults.wire import Json, Wire

AGENT = str(Path(__file__).parents[1] / "agents" / "background_agent.py")
ROUNDS = 8  # own turns; in each the agent says three numbers, and asks


@dataclass
class Seen:
    """What a follower that is cut off again and again has seen, and what the log holds."""

    run: list[int] = field(default_factory=list)  # `seq`s
    events: list[Json] = field(default_factory=list)
    log: list[Json] = field(default_factory=list)
    answers: int = 0

    def wrong(self, numbers: int) -> list[str]:
        """What is not as promised; `numbers` were said, in order."""
        found = []
        if self.run != list(range(1, len(self.run) + 1)):
            found.append("a hole or a double in the follower's run")
        if self.events != self.log[: len(self.events)]:
            found.append("the follower saw something else than the log holds")
        own = {event["id"] for event in self.log if event["type"] == "activity"}
        said = "".join(event["chunk"] for event in self.log if event["type"] == "agent_stdout" and event["id"] in own)
        if [int(number) for number in re.findall(r"<(\d+)>", said)] != list(range(numbers)):
            found.append(f"not every number once, in order, in own turns: {said}")
        ends = Counter(event["id"] for event in self.log if event["type"] == "terminal_state")
        if any(ends[turn] != 1 for turn in own):
            found.append("an own turn has not one end")
        asked = [event["permissionRequestId"] for event in self.log if event["type"] == "permission_request"]
        resolved = [event["permissionRequestId"] for event in self.log if event["type"] == "permission_resolved"]
        if sorted(asked) != sorted(resolved):
            found.append("a request is not resolved once")
        if said.count("[") > self.answers:
            found.append("the agent was answered twice")
        return found


async def work_on(directory: Path, seed: int, *, kill: bool, module: tuple[str, ...] = ("myagent",)) -> list[str]:
    """Have an agent work by itself while a follower is cut off; the server ends well, or is killed while it asks."""
    chance, seen, fifo = random.Random(seed), Seen(), directory / "orders"
    os.mkfifo(fifo)
    (directory / "work").mkdir()
    agent = ("--activity-quiet", "600", "--", sys.executable, "-I", AGENT, str(fifo))
    server = await Program(directory / "work", *agent, module=module).start()
    numbers = 0
    try:
        owner = await Wire.open(server.port, server.token)
        await owner.send("user_message", id="p", prompt="go")
        session = (await owner.until("terminal_state", id="p"))["sessionId"]
        for number in range(ROUNDS):
            last = number == ROUNDS - 1
            orders = [{"do": "say", "text": f"<{numbers + each}>"} for each in range(3)]
            numbers += 3
            orders.append({"do": "ask", "id": f"c{number}", "title": "write"})
            await asyncio.to_thread(fifo.write_text, "".join(json.dumps(each) + "\n" for each in orders))
            query = f"?session={session}&after={len(seen.run)}&role=follower"
            follower = await Wire.open(server.port, server.token, query)
            asked = await owner.until("permission_request")
            for _ in range(chance.randrange(1, 5)):  # it is cut off somewhere in the middle
                message = await follower.receive()
                if "seq" in message and not message.get("pending"):
                    seen.run.append(message["seq"])
                    seen.events.append(message)
            follower.abort()
            if last and kill:
                await server.stop(hard=True)
                break
            decision = {"kind": "allow", "digest": asked["request"]["digest"]}
            request = {"permissionRequestId": asked["permissionRequestId"], "decision": decision}
            first = await owner.send("permission_decision", **request)
            assert not (await owner.answer(first))["duplicate"]
            assert (await owner.answer(await owner.send("permission_decision", **request)))["duplicate"]
            seen.answers += 1
            while sum(each["chunk"].count("[") for each in owner.messages if "chunk" in each) < seen.answers:
                await owner.receive()  # it has heard the answer
            await asyncio.to_thread(fifo.write_text, json.dumps({"do": "idle"}) + "\n")
            if not last:  # else the agent may still be told to answer
                await owner.until("terminal_state", id=asked["id"])
        await owner.close()
    finally:
        await server.stop(hard=kill)
    if kill:  # the next server writes how it ended
        again = await Program(directory / "work", module=module).start()
        await again.stop()
    log = await stored(directory / "work")
    seen.log = [json.loads(event.body) for event in log[session]]
    return seen.wrong(numbers)


@pytest.mark.parametrize("kill", [False, True])
def test_nothing_of_an_agents_own_work_is_lost_or_doubled(tmp_path: Path, kill: bool) -> None:
    assert asyncio.run(work_on(tmp_path, 7, kill=kill)) == []


@pytest.mark.parametrize("promise", ["late_forgotten", "late_twice", "no_recovery"])
def test_a_broken_promise_would_be_found(tmp_path: Path, promise: str) -> None:
    """Negative control."""
    kill = promise == "no_recovery"
    module = ("tests.faults.broken", promise)
    assert asyncio.run(work_on(tmp_path, 7, kill=kill, module=module))
