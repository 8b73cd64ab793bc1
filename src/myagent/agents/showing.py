"""A turn as it is shown: structured updates with the text that they read like, in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from myagent.agents import Answer, ToolCall, TurnIO, UnaskedCall
from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import call_title
from myagent.agents.rendering.bounds import fit
from myagent.agents.rendering.turn import Rendering
from myagent.agents.tripwire import Tripwire
from myagent.core.messages import Option

ASKING_SECONDS = 5.0  # in which an agent that tells of a call as begun may still ask about it (opencode, codex-acp)


class Showing:
    """One turn's side of the conversation with whoever watches it.

    Args:
        io: Where it is shown.
        tripwire: What notices calls that nobody was asked about; without one, nothing does.
        unasked: What to do besides telling of such a call.
        prompt: What the agent was prompted with, which is not shown again when it says so.
    """

    def __init__(
        self,
        io: TurnIO,
        tripwire: Tripwire | None = None,
        unasked: Callable[[UnaskedCall], None] | None = None,
        *,
        prompt: str = "",
    ) -> None:
        self._io = io
        self._tripwire, self._unasked = tripwire, unasked
        self._asking = 0  # requests that wait for a human: what else the agent has begun may have to queue behind them
        self._timers: set[asyncio.Task[None]] = set()
        self._gaps = not getattr(io, "updates_only", False)  # a side that has no text puts what it shows apart itself
        self._rendering = Rendering(prompt)
        self._carried: dict[str, JSON] = {}  # calls of an earlier turn, of which this one has not been told yet

    async def show(self, update: JSON) -> bool:
        """Say an update; whether there was text in it."""
        if self._carried and (known := self._carried.pop(str(update.get("toolCallId")), None)) is not None:
            update = {**known, **{key: value for key, value in update.items() if value is not None}}
        rendered = self._rendering.render(update)
        say = self._io.stdout if rendered.channel == "stdout" else self._io.stderr
        if rendered.gap and self._gaps:
            await say(rendered.gap)
        await say(rendered.text, update=fit(update))
        if self._tripwire is not None and update.get("sessionUpdate") in ("tool_call", "tool_call_update"):
            await self._watch(self._tripwire, str(update.get("toolCallId")))
        return bool(rendered.text)

    def carry(self, calls: dict[str, JSON]) -> None:
        """Take over tool calls that an earlier turn left open: what is said of one here says again what it is."""
        self._carried = dict(calls)

    def open_calls(self) -> dict[str, JSON]:
        """The tool calls that have not ended, with what names them."""
        return self._carried | {
            call_id: {key: call[key] for key in ("title", "kind") if key in call}
            for call_id, call in self._rendering.calls.items()
            if call.get("status", "pending") in ("pending", "in_progress")
        }

    def knows(self, call_id: str) -> bool:
        """Whether a tool call was announced."""
        return call_id in self._rendering.announced

    def asked(self, call: JSON, options: tuple[Option, ...]) -> ToolCall:
        """Take over what a permission request says of its call; what to ask a human, with all that was said before."""
        asked = self._rendering.asked(call, options)
        if self._tripwire is not None:
            self._asking += 1
            self._tripwire.asks(asked)
        return asked

    def answered(self, asked: ToolCall, answer: Answer, *, always: bool = False) -> None:
        """Take the answer to what was asked; `always`: it allows more than this call."""
        if self._tripwire is not None:
            self._asking -= 1
            self._tripwire.answered(asked, answer, always=always)

    async def finish(self) -> None:
        """Tell of the calls that had begun, and that nobody was ever asked about; the turn is over."""
        for timer in self._timers:
            timer.cancel()
        if self._tripwire is not None:
            for call in list(self._rendering.calls.values()):
                if self._tripwire.is_unasked(call):
                    await self._tell(self._tripwire, call)

    async def beside(self, text: str, *, call_id: str | None = None) -> None:
        """Say text that is no part of the answer and that no update tells, such as a call's output as it comes."""
        rendered = self._rendering.beside(text, call_id=call_id)
        if rendered.text:
            await self._io.stderr(rendered.gap * self._gaps + rendered.text)

    async def line(self, sentence: str) -> None:
        """Say one line beside the answer."""
        rendered = self._rendering.beside(f"{sentence}\n", on_new_line=True)
        await self._io.stderr(rendered.gap * self._gaps + rendered.text)

    async def failed(self, sentence: str) -> None:
        """Say why the turn fails, unless the side of the host takes that from its end."""
        if self._gaps:
            await self.line(sentence)

    async def _watch(self, tripwire: Tripwire, call_id: str) -> None:
        call = self._rendering.calls[call_id]
        match tripwire.sees(call):
            case "unasked":
                await self._tell(tripwire, call)
            case "begun":
                timer = asyncio.create_task(self._wait(tripwire, call), name=f"unasked {call_id}")
                self._timers.add(timer)
                timer.add_done_callback(self._timers.discard)
            case _:
                pass

    async def _wait(self, tripwire: Tripwire, call: JSON) -> None:
        """Give an agent time to ask about a call that it told of as begun."""
        await asyncio.sleep(ASKING_SECONDS)
        while self._asking:  # noqa: ASYNC110 -- it may take hours, and then its turn in the queue as well
            await asyncio.sleep(ASKING_SECONDS)
        if tripwire.is_unasked(call):
            await self._tell(tripwire, call)

    async def _tell(self, tripwire: Tripwire, call: JSON) -> None:
        unasked = tripwire.tells(call, call_title(call))
        if (gap := self._rendering.break_line()) and self._gaps:
            await self._io.stderr(gap)
        await self._io.unasked(unasked)
        if self._unasked is not None:
            self._unasked(unasked)

    async def close_calls(self) -> None:
        """Say of each tool call still open that it was stopped."""
        for text, update in self._rendering.close_open_calls():
            await self._io.stderr(text, update=update)
