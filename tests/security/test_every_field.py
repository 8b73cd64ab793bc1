"""A secret in any field that a message, a document or the agent's port has: it is in no frame, file, page or export."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asking import invite
from puppet import Puppet
from wire import Client, Scene, decide, scene

from myagent.agents import AgentInfo, ToolCall, UnaskedCall
from myagent.core.codec import encode
from myagent.core.messages import Diff, Option, ServerMessage, SessionEvent
from myagent.core.session import Session
from myagent.export import FORMATS, render
from myagent.redaction.redactor import MASK, Redactor

SECRET = "owner-" + "s3cret" * 6
GIVEN = {"reclaim_token"}  # told to whom it belongs, and to nobody else


def artefacts(here: Scene) -> bytes:
    """Everything that the server keeps beside its credentials."""
    return b"".join(path.read_bytes() for path in here.server.auth_path.parent.glob("sessions.db*"))


def frames(*clients: Client) -> str:
    """All that clients were sent, but the reclaim token of an owner, which is its own."""
    return repr([{**message, "reclaimToken": None} for client in clients for message in client.messages])


def filled(kind: Any, text: str) -> Any:
    """A value of a type, with a text wherever it can have one."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return filled(arguments[0], text)
    if isinstance(kind, typing.NewType) or kind in (str, Any):
        return {"deep": [text], text: 1} if kind is Any else text
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return filled(next(each for each in arguments if each is not type(None)), text)
    if origin is dict:
        return {text: filled(arguments[1], text), "deep": {"deeper": [[text]]}}
    if origin is list:
        return [filled(arguments[0], text)] * 2
    if origin is tuple:
        return (filled(arguments[0], text),)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        given = {name: hint for name, hint in hints.items() if name in kind.__struct_fields__ and name not in GIVEN}
        return kind(**{name: filled(hint, text) for name, hint in given.items()})
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(
            **{each.name: filled(hints[each.name], text) for each in dataclasses.fields(kind) if each.name != "secrets"}
        )
    return kind(1)


KINDS = [*typing.get_args(SessionEvent), *typing.get_args(ServerMessage), Session]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_field_of_a_message_or_document_keeps_a_secret(kind: type) -> None:
    redactor = Redactor()
    redactor.register(SECRET)
    message = encode(filled(kind, SECRET))
    covered = redactor.encoded(message)
    assert SECRET.encode() not in covered
    assert message.count(SECRET.encode()) == covered.count(MASK.encode()) or b"deep" in message
    assert msgspec.json.decode(covered, type=kind), "it is a message still"
    assert redactor.encoded(covered) == covered


def test_a_pattern_of_the_operators_changes_no_id_and_breaks_no_document() -> None:
    pytest.importorskip("re2")
    redactor = Redactor([r"[0-9a-z_]{3,}"])
    session = filled(Session, "remote_12345")
    again = msgspec.json.decode(redactor.encoded(encode(session)), type=Session)
    assert (again.session_id, again.open[0].digest, again.mode) == (
        session.session_id,
        session.open[0].digest,
        session.mode,
    )
    assert again.title == MASK
    assert list(again.agent_state) == [MASK]


async def play_all(tmp_path: Path) -> str:
    """Everything that can be seen of a turn whose agent says the owner token in every field that its port has."""
    puppet = Puppet()
    async with scene(tmp_path, puppet) as here:
        token = here.server.token
        puppet.info = filled(AgentInfo, token)  # type: ignore[misc]
        _, shown = await invite(here.server)
        owner, watcher = await here.join(), await here.join(headers=shown)
        await owner.acked(await owner.send("hello", client={"name": "x"}, wants=["updates"], label=token))
        await owner.send("user_message", prompt=token)
        play = await puppet.begun()
        await play.say(token)
        await play.io.stderr(token, update={"sessionUpdate": token, "content": {"type": token, token: [token]}})
        play.io.tell(title=token, config=[{"id": token, "values": [token], token: token}], mode=token)
        await play.io.unasked(dataclasses.replace(filled(UnaskedCall, token), swapped=True))
        options = (Option(token, token, "allow_once"), Option("x" + token, "x", "reject_once"), Option("c", "c", token))
        call = dataclasses.replace(filled(ToolCall, token), options=options, diffs=(Diff(token, token, token),))
        asked = play.ask(**{each.name: getattr(call, each.name) for each in dataclasses.fields(call)})
        request = await owner.until("permission_request")
        await decide(owner, request, "allow", reason=token, optionId=request["request"]["options"][0]["optionId"])
        assert (await asked).option_id == token, "the agent gets the id that it gave"
        play.end(token, message=token, agent_session_id=token, exit_code=1)
        await owner.until("terminal_state")
        await watcher.until("terminal_state")
        late = await here.join(headers=shown)
        await owner.send("who")
        await owner.settle()
        await here.server.host.log.flush()
        session_id = play.turn.session_id
        pages = [
            await here.get(path) for path in ("/sessions", f"/sessions/{session_id}/events?wants=updates", "/metrics")
        ]
        audit = await here.server.host.log.read_audit(0, max_bytes=1 << 24)
        metadata = here.server.host.store.listed()[0]
        lines = pages[1][1].splitlines()
        seen = [frames(owner, watcher, late), artefacts(here).decode("latin-1"), repr(audit), repr(pages)]
        exported = msgspec.convert(msgspec.json.decode(pages[0][1])["sessions"][0], type=type(metadata))
        seen += ["".join(render(form, exported, lines)) for form in FORMATS]
        return "\n".join(seen).replace(token, "THE TOKEN")


async def test_no_field_that_an_agent_can_fill_keeps_a_secret(tmp_path: Path) -> None:
    assert "THE TOKEN" not in await play_all(tmp_path)


async def test_field_by_field_some_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the look at whole messages, what was named in no list of fields passes."""
    monkeypatch.setattr(Redactor, "encoded", lambda _, message: message)
    assert "THE TOKEN" in await play_all(tmp_path)
