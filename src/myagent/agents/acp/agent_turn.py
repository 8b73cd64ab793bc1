"""A turn of one of our agents as its client sees it: updates, permission requests, an end that is never an error."""

from __future__ import annotations

import uuid
from typing import Any, Protocol

from myagent.agents import Answer, Asked, Given, ToolCall, Turn, TurnEnd, UnaskedCall
from myagent.agents.rendering import JSON
from myagent.core.messages import Option
from myagent.core.permissions import policy

BESIDE = {"myagent": {"stream": "stderr"}}  # `_meta` of a thought that is none: a command's output, a line of ours
CONTEXT_TOKENS = 100_000  # what a model is taken to read, where nobody knows: the update has to name a number

_SAID = ("agent_message_chunk", "agent_thought_chunk")
_OPTIONS = (Option("allow", "Allow", "allow_once"), Option("reject", "Reject", "reject_once"))


def end_of(result: Any, agent_session_id: str | None) -> TurnEnd:
    """How a turn ended, as the answer to its prompt says; an agent of ours gives its exit code and message too."""
    match result:
        case {"stopReason": str(reason), "_meta": {"myagent": {"exitCode": int(code), "message": str(message)}}}:
            return TurnEnd(reason, code, message, agent_session_id)
        case {"stopReason": reason} if reason:
            return TurnEnd(str(reason), agent_session_id=agent_session_id)
        case _:
            return TurnEnd(agent_session_id=agent_session_id)


class Client(Protocol):
    """The other end of the wire."""

    async def tell(self, session_id: str, update: JSON) -> None: ...

    async def ask(self, method: str, params: JSON) -> Any: ...

    @property
    def elicits(self) -> frozenset[str]: ...  # how it can put a question: form, url


class Side:
    """The host's side of a turn, as far as it is told in updates alone. Why a turn failed is not said beside its
    answer: the end of the turn says it, as words of the answer."""

    updates_only = True

    def __init__(self, client: Client, turn: Turn) -> None:
        self._client, self._turn = client, turn
        self._call_id = turn.turn_id  # of the tool call that was announced last
        self._usage: JSON | None = None  # that has not been told
        self._message = ("", "")  # what is being said, and the id of that message

    async def ended(self, end: TurnEnd) -> JSON:
        """Say what is left to say; the result of the prompt. Whatever came of it, the prompt was answered."""
        await self._tell_usage()
        result: JSON = {"stopReason": end.stop_reason}
        if end.stop_reason != "failed" and end.exit_code in (0, None):
            return result
        words = end.message or (f"exit code {end.exit_code}" if end.exit_code is not None else "it failed")
        content = {"type": "text", "text": f"{words}\n"}
        update = self._in_message({"sessionUpdate": "agent_message_chunk", "content": content})
        await self._client.tell(self._turn.session_id, update)
        stop = "refusal" if end.stop_reason == "failed" else end.stop_reason
        code = 1 if end.exit_code is None else end.exit_code
        return {"stopReason": stop, "_meta": {"myagent": {"exitCode": code, "message": words}}}

    async def stdout(self, text: str, *, update: JSON | None = None) -> None:
        await self._say("agent_message_chunk", text, update, {})

    async def stderr(self, text: str, *, update: JSON | None = None) -> None:
        await self._say("agent_thought_chunk", text, update, {"_meta": BESIDE})

    async def _say(self, kind: str, text: str, update: JSON | None, more: JSON) -> None:
        if update is None:
            if not text:
                return
            update = {"sessionUpdate": kind, "content": {"type": "text", "text": text}, **more}
        await self._tell_usage()
        if update.get("sessionUpdate") == "tool_call":
            self._call_id = update["toolCallId"]
        if isinstance(update.get("content"), list):
            update = {**update, "content": [self._absolute(item) for item in update["content"]]}
        await self._client.tell(self._turn.session_id, self._in_message(update))

    def _in_message(self, update: JSON) -> JSON:
        """A piece of text with the id of its message: another one begins with what is no piece of this."""
        kind = str(update.get("sessionUpdate"))
        if kind != self._message[0]:
            self._message = (kind, str(uuid.uuid4()))
        return {"messageId": self._message[1], **update} if kind in _SAID else update

    async def ask(self, call: ToolCall) -> Answer:
        given = policy(self._turn.mode)
        if given is not None:
            return given
        options = call.options or _OPTIONS
        diffs: list[JSON] = [
            {"type": "diff", "path": each.path, "oldText": each.old_text, "newText": each.new_text}
            for each in call.diffs
        ]
        reason: list[JSON] = (
            [{"type": "content", "content": {"type": "text", "text": call.reason}}] if call.reason else []
        )
        tool_call: JSON = {
            "toolCallId": self._call_id,
            "title": call.title,
            "kind": call.kind,
            "status": "pending",
            "rawInput": call.input,
            "content": [self._absolute(item) for item in (*diffs, *reason)],
            "_meta": {"myagent": {"toolName": call.tool_name}},
        }
        offered = [{"optionId": each.option_id, "name": each.name, "kind": each.kind} for each in options]
        params = {"sessionId": self._turn.session_id, "toolCall": tool_call, "options": offered}
        return decision(await self._client.ask("session/request_permission", params), options)

    async def question(self, asked: Asked) -> Given:
        mode = "form" if asked.url is None else "url"
        if mode not in self._client.elicits:
            return Given("cancel", reason="the client cannot put questions to anybody")
        params: JSON = {"sessionId": self._turn.session_id, "mode": mode, "message": asked.message}
        if asked.url is not None:
            params |= {"url": asked.url, "elicitationId": str(uuid.uuid4())}
        else:
            params["requestedSchema"] = asked.form.schema() if asked.form is not None else {}
        return given(await self._client.ask("elicitation/create", params), asked)

    async def unasked(self, call: UnaskedCall) -> None:
        """Only of hosted agents, and this is none."""

    def tell(self, **state: Any) -> None:
        """Of what is told here there is an update for the usage alone; it goes out with what is said next."""
        if isinstance(usage := state.get("usage"), dict):
            self._usage = usage

    async def _tell_usage(self) -> None:
        usage, self._usage = self._usage, None
        if usage is not None:
            used = int(usage.get("used", 0))
            update = {
                "sessionUpdate": "usage_update",
                "used": used,
                "size": max(used, usage.get("size", CONTEXT_TOKENS)),
            }
            await self._client.tell(self._turn.session_id, update)

    def _absolute(self, item: JSON) -> JSON:
        """A diff names its file from the root, as the protocol wants it."""
        return item | {"path": str(self._turn.cwd / item["path"])} if item.get("type") == "diff" else item


def given(result: Any, asked: Asked) -> Given:
    """What was answered; everything that cannot be understood is `cancel`."""
    match result:
        case {"action": "decline"}:
            return Given("decline")
        case {"action": "accept"} if asked.url is not None:
            return Given("accept")
        case {"action": "accept", "content": dict(content)} if asked.form and asked.form.fault(content) is None:
            return Given("accept", content)
        case {"action": "cancel"}:
            return Given("cancel")
        case _:
            return Given("cancel", reason="the client gave no answer that can be understood")


def decision(result: Any, options: tuple[Option, ...]) -> Answer:
    """What was decided; everything that cannot be understood is a denial."""
    match result:
        case {"outcome": {"outcome": "cancelled"}}:
            return Answer("cancelled")
        case {"outcome": {"outcome": "selected", "optionId": str(chosen)}}:
            kind = next((option.kind for option in options if option.option_id == chosen), "")
            return Answer("allow" if kind.startswith("allow_") else "deny", option_id=chosen)
        case _:
            return Answer("deny", "the client gave no answer that can be understood")
