"""A turn as it is shown: structured updates with the text that they read like, in the order in which they come."""

from __future__ import annotations

from myagent.agents import ToolCall, TurnIO
from myagent.agents.rendering import JSON, Rendering, fit
from myagent.core.messages import Option


class Showing:
    """One turn's side of the conversation with whoever watches it."""

    def __init__(self, io: TurnIO) -> None:
        self._io = io
        self._gaps = not getattr(io, "updates_only", False)  # a side that has no text puts what it shows apart itself
        self._rendering = Rendering()

    async def show(self, update: JSON) -> bool:
        """Say an update; whether there was text in it."""
        rendered = self._rendering.render(update)
        say = self._io.stdout if rendered.channel == "stdout" else self._io.stderr
        if rendered.gap and self._gaps:
            await say(rendered.gap)
        await say(rendered.text, update=fit(update))
        return bool(rendered.text)

    def knows(self, call_id: str) -> bool:
        """Whether a tool call was announced."""
        return call_id in self._rendering.announced

    def asked(self, call: JSON, options: tuple[Option, ...]) -> ToolCall:
        """Take over what a permission request says of its call; what to ask a human, with all that was said before."""
        return self._rendering.asked(call, options)

    async def beside(self, text: str) -> None:
        """Say text that is no part of the answer and that no update tells, such as a command's output as it comes."""
        rendered = self._rendering.beside(text)
        if rendered.text:
            await self._io.stderr(rendered.gap * self._gaps + rendered.text)

    async def line(self, sentence: str) -> None:
        """Say one line beside the answer."""
        rendered = self._rendering.beside(f"{sentence}\n", on_new_line=True)
        await self._io.stderr(rendered.gap * self._gaps + rendered.text)

    async def close_calls(self) -> None:
        """Say of each tool call still open that it was stopped."""
        for text, update in self._rendering.close_open_calls():
            await self._io.stderr(text, update=update)
