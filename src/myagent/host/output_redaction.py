"""What an agent says is redacted here before it is stored: nothing secret passes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from typing import Any

from myagent.agents import Answer, ToolCall, TurnIO, UnaskedCall
from myagent.agents.rendering.output import LIVE
from myagent.core.forms import BadForm
from myagent.core.messages import Diff, Option
from myagent.core.permissions import canonical
from myagent.core.questions import Asked, Given, asked_form, asked_url
from myagent.redaction.redactor import Redactor, Stream

# Updates that carry a piece of a text, to be put together by whoever reads it, and the channel that the text is on.
_PIECES = {
    "agent_message_chunk": "stdout",
    "agent_thought_chunk": "stderr",
    "user_message_chunk": "stderr",
    "compaction_summary_chunk": "stderr",
    "session_message_chunk": "stderr",
}


class RedactedOutput:
    """A `TurnIO` before another one. Call `finish` when the agent has nothing more to say."""

    def __init__(self, io: TurnIO, redactor: Redactor) -> None:
        self._io = io
        self._redactor = redactor
        self._streams = {"stdout": Stream(redactor), "stderr": Stream(redactor)}
        self._updates = {kind: Stream(redactor) for kind in _PIECES}
        self._outputs: dict[tuple[str, str], Stream] = {}  # of commands that run, by call and by where it stands

    async def stdout(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        await self._say("stdout", text, update)

    async def stderr(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        await self._say("stderr", text, update)

    async def ask(self, call: ToolCall) -> Answer:
        covered = redacted_call(call, self._redactor)
        answer = await self._io.ask(covered)
        # The agent gets back the id that it gave, of which people may have seen another one.
        given = {shown.option_id: own.option_id for shown, own in zip(covered.options, call.options, strict=True)}
        return answer if answer.option_id is None else replace(answer, option_id=given.get(answer.option_id))

    async def question(self, asked: Asked) -> Given:
        message, form, url = self._redactor.text(asked.message), asked.form, asked.url
        if url is not None and self._redactor.text(url) != url:
            return Given("cancel", reason="the address holds a secret")
        covered = asked_url(message, url) if url is not None else Asked(message)
        if form is not None:
            schema = self._redactor.data(form.schema())
            try:
                covered = asked_form(message, schema)
            except BadForm:  # two of its names became one
                covered = Asked(message)
            if covered.form is None or covered.form.answers != form.answers:
                return Given("cancel", reason="the form's own names or choices hold a secret")
        return await self._io.question(covered)

    async def unasked(self, call: UnaskedCall) -> None:
        cover = self._redactor.text
        await self._io.unasked(
            replace(call, call_id=cover(call.call_id), title=cover(call.title), kind=cover(call.kind))
        )

    def tell(self, **state: Any) -> None:
        self._io.tell(**self._redactor.data(state))

    async def finish(self) -> None:
        """Say what was held back."""
        for channel, stream in self._streams.items():
            text = stream.flush()
            update = None
            for kind, pieces in self._updates.items():
                if _PIECES[kind] == channel and (piece := pieces.flush()):
                    update = {"sessionUpdate": kind, "content": {"type": "text", "text": piece}}
                    await self._pass(channel, text, update)
                    text = ""
            if text:
                await self._pass(channel, text, None)
        for (call_id, key), output in self._outputs.items():
            if piece := output.flush():
                update = {"sessionUpdate": "tool_call_update", "toolCallId": call_id, "_meta": {key: {"data": piece}}}
                await self._pass("stderr", "", update)

    async def _say(self, channel: str, text: str, update: dict[str, Any] | None) -> None:
        shown = self._streams[channel].feed(text)
        if update is not None:
            update = self._cover(update)
        if shown or update is not None:
            await self._pass(channel, shown, update)

    async def _pass(self, channel: str, text: str, update: dict[str, Any] | None) -> None:
        say = self._io.stdout if channel == "stdout" else self._io.stderr
        await say(text, update=update)

    def _cover(self, update: dict[str, Any]) -> dict[str, Any]:
        kind, content = update.get("sessionUpdate"), update.get("content")
        if isinstance(kind, str) and kind in _PIECES and isinstance(content, dict):
            text = content.get("text")
            if isinstance(text, str):
                shown = self._updates[kind].feed(text)
                covered = self._redactor.data({**update, "content": {**content, "text": ""}})
                covered["content"] = {**covered["content"], "text": shown}
                return dict(covered)
        return self._cover_output(update, dict(self._redactor.data(update)))

    def _cover_output(self, update: dict[str, Any], covered: dict[str, Any]) -> dict[str, Any]:
        """Put pieces of a command's output in place as they may be shown after the pieces before them."""
        meta, call_id = update.get("_meta"), str(update.get("toolCallId"))
        if not isinstance(meta, dict):
            return covered
        for key in LIVE:
            match meta.get(key):
                case {"data": str(data)}:
                    stream = self._outputs.setdefault((call_id, key), Stream(self._redactor))
                    where = covered["_meta"]
                    covered = {**covered, "_meta": {**where, key: {**where[key], "data": stream.feed(data)}}}
                case _:
                    pass
        return covered


def redacted_call(call: ToolCall, redactor: Redactor) -> ToolCall:
    """A tool call as it may be shown. Its digest still depends on the whole of it: two calls that look alike once their
    secrets are covered are not the same call."""
    covered = replace(
        call,
        tool_name=redactor.text(call.tool_name),
        input=redactor.data(call.input),
        text=redactor.text(call.text),
        title=redactor.text(call.title),
        kind=redactor.text(call.kind),
        reason=None if call.reason is None else redactor.text(call.reason),
        diffs=tuple(_covered_diff(diff, redactor) for diff in call.diffs),
        options=tuple(_covered_option(number, each, redactor) for number, each in enumerate(call.options, 1)),
    )
    if covered == call:
        return call
    whole = hashlib.sha256(canonical({"tool": call.tool_name, "input": call.input})).hexdigest()
    return replace(covered, plan={"plan": call.plan, "covered": whole})


def _covered_option(number: int, option: Option, redactor: Redactor) -> Option:
    """An id that holds a secret is told as another one, that no other option has."""
    own = option.option_id
    shown = own if redactor.text(own) == own else f"option-{number}-{secrets.token_hex(4)}"
    return Option(shown, redactor.text(option.name), option.kind)


def _covered_diff(diff: Diff, redactor: Redactor) -> Diff:
    old = None if diff.old_text is None else redactor.text(diff.old_text)
    return Diff(redactor.text(diff.path), old, redactor.text(diff.new_text))
