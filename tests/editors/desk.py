"""An editor's side of the mapping, written down as a conversation: what it asks, what the server says, what comes."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.editors.judge import JSON, Judge
from tests.editors.second_judge import SecondJudge

from myagent.core.messages import (
    Ack,
    AgentStderr,
    AgentStdout,
    Command,
    Limits,
    Metadata,
    OwnerInfo,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    RequestBody,
    RoleMessage,
    ServerInfo,
    SessionMetadata,
    TerminalState,
    Welcome,
)
from myagent.editors.editor import Editor
from myagent.editors.second import Second
from myagent.editors.waiting import SessionsWanted

LIMITS = Limits(
    message_bytes=1 << 20,
    prompt_bytes=1000,
    chunk_frame_bytes=4096,
    fragments=64,
    owner_messages_per_second=50,
    follower_messages_per_second=5,
    errors=20,
    queue=16,
)
SECOND = {"protocolVersion": 2, "info": {"name": "zed", "version": "1"}, "capabilities": {"elicitation": {"form": {}}}}
ME, ALICE = OwnerInfo("c_me", "zed"), OwnerInfo("c_alice", "alice")


def metadata(session_id: str = "s", **more: Any) -> Metadata:
    fields: dict[str, Any] = {
        "version": 1,
        "session_id": session_id,
        "cwd": "/w",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "state": "idle",
        "write_ids": [],
        "title": "",
        "agent": "command",
        "mode": "default",
        "queue": [],
        "head": 0,
    }
    return Metadata(**(fields | more))


def welcome(*sessions: Metadata, owner: OwnerInfo | None = ME, **more: Any) -> Welcome:
    return Welcome(
        connection_id="c_me",  # type: ignore[arg-type]
        server=ServerInfo("myagent", "1"),
        scope=more.pop("scope", "owner"),
        owner_epoch=more.pop("owner_epoch", 1),
        owner=owner,
        followers=0,
        sessions=list(sessions),
        limits=LIMITS,
        **more,
    )


def request(number: str = "p", *, session: str = "s", turn: str = "t", **more: Any) -> PermissionRequest:
    pending, seq = more.pop("pending", False), more.pop("seq", None)
    fields = {"tool_name": "Bash", "input": {"command": "ls"}, "display": "ls", "flags": (), "digest": "d"}
    body = RequestBody(**(fields | {"expires_at": "2026-01-01T00:10:00Z"} | more))
    return PermissionRequest(
        id=turn,
        session_id=session,
        seq=seq,
        permission_request_id=number,
        request=body,
        pending=pending,  # type: ignore[arg-type]
    )


class Desk:
    """`ask` and its like return the frames that come of it, each held against the schema."""

    def __init__(
        self, *, role: str = "owner", owner: OwnerInfo | None = ME, greets: bool = True, **options: Any
    ) -> None:
        second = options.pop("second", False)
        self.judge = SecondJudge() if second else Judge()
        self._ids = (f"m{number}" for number in itertools.count())
        self._numbers = itertools.count(1)
        greeting = {name: options.pop(name) for name in ("scope", "may") if name in options}
        editor = Editor(version="1", new_id=lambda: next(self._ids), label="zed", **options)
        self.core = editor
        self.editor: Any = Second(editor) if second else editor
        self.commands: list[Command | SessionsWanted] = []
        if greets:
            self.says(RoleMessage(role=role), welcome(owner=owner, **greeting))  # type: ignore[arg-type]
            self.ask("initialize", **(SECOND if second else {"protocolVersion": 1}))

    def ask(self, method: str, **params: Any) -> list[JSON]:
        number = next(self._numbers)
        self.judge.sent(number, method)
        return self.gives({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    def tell(self, method: str, **params: Any) -> list[JSON]:
        return self.gives({"jsonrpc": "2.0", "method": method, "params": params})

    def gives(self, message: Any) -> list[JSON]:
        self.editor.from_editor(message if isinstance(message, bytes) else json.dumps(message).encode())
        return self.drain()

    def says(self, *messages: Any) -> list[JSON]:
        for message in messages:
            self.editor.from_server(message)
        return self.drain()

    def drain(self) -> list[JSON]:
        self.commands += self.editor.commands()
        return [self.judge.took(frame) for frame in self.editor.frames()]

    def command(self) -> Any:
        """The only command that is new."""
        [found] = self.commands
        self.commands = []
        return found

    def open(self, session_id: str = "s", **more: Any) -> None:
        """Have a session open, by session/resume."""
        self.ask("session/resume", sessionId=session_id, cwd="/w", mcpServers=[])
        command = self.command()
        self.says(
            Ack(id=command.id, session_id=session_id, duplicate=False),  # type: ignore[arg-type]
            SessionMetadata(session=metadata(session_id, **more)),
        )

    def prompts(self, text: str, session_id: str = "s") -> str:
        """Begin a turn of the editor's own; its id."""
        assert self.ask("session/prompt", sessionId=session_id, prompt=[{"type": "text", "text": text}]) == []
        turn = self.command()
        ack = Ack(id=turn.id, session_id=session_id, duplicate=False)  # type: ignore[arg-type]
        self.says(ack, Prompt(id=turn.id, session_id=session_id, seq=1, prompt=text, by="zed"))  # type: ignore[arg-type]
        return str(turn.id)


def stdout(text: str, turn: str = "t", session: str = "s", seq: int | None = None, update: Any = None) -> AgentStdout:
    return AgentStdout(id=turn, session_id=session, seq=seq, chunk=text, update=update)  # type: ignore[arg-type]


def stderr(text: str, turn: str = "t", session: str = "s", seq: int | None = None, update: Any = None) -> AgentStderr:
    return AgentStderr(id=turn, session_id=session, seq=seq, chunk=text, update=update)  # type: ignore[arg-type]


def resolved(number: str = "p", turn: str = "t", outcome: Any = "allow") -> PermissionResolved:
    return PermissionResolved(id=turn, session_id="s", permission_request_id=number, outcome=outcome, by="alice")  # type: ignore[arg-type]


def ended(
    turn: str = "t", stop: str = "end_turn", session: str = "s", seq: int | None = None, **more: Any
) -> TerminalState:
    return TerminalState(id=turn, session_id=session, seq=seq, exit_code=0, stop_reason=stop, **more)  # type: ignore[arg-type]


def texts(frames: list[JSON]) -> list[tuple[str, str]]:
    """Of each update with text: its kind and the text."""
    found = []
    for frame in frames:
        update = frame.get("params", {}).get("update", {})
        if isinstance(update.get("content"), dict):
            found.append((update["sessionUpdate"], update["content"]["text"]))
    return found
