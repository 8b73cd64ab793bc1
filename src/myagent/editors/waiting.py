"""What an editor waits for: requests of its that are answered later, by what the server says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from myagent.core.messages import Command, PermissionMode, SessionId
from myagent.editors.rpc import JSON, RpcId
from myagent.editors.updates import Output


@dataclass(frozen=True, slots=True)
class SessionsWanted:
    """Not a message of the wire: every session there is, to be given to `Editor.listed`."""

    key: int


@dataclass(slots=True)
class Opening:
    """session/new: until the server has made a session."""

    id: RpcId
    cwd: str


@dataclass(slots=True)
class Attach:
    """What session/attach adds; `history` is what its answer lists, by the ids of prompts and requests."""

    role: Literal["controller", "observer"]
    policy: str
    history: dict[str, JSON] = field(default_factory=dict)


@dataclass(slots=True)
class Coming:
    """session/load and session/resume: until the session is there; of a load, all that was said in it as well.

    `head` is the last event that a load shows, `None` until it is known; `reached` the last one shown.
    """

    id: RpcId
    session_id: SessionId
    cwd: str
    is_told: bool
    was_open: bool = False
    begun: bool = False  # the server's cursor has moved: what comes now belongs to the answer
    head: int | None = None
    reached: int = 0
    attach: Attach | None = None


@dataclass(slots=True)
class Joining:
    """session/attach of an owner: the session is open, until it is known who else is here."""

    coming: Coming

    @property
    def id(self) -> RpcId:
        return self.coming.id

    @property
    def session_id(self) -> SessionId:
        return self.coming.session_id


@dataclass(slots=True)
class Prompting:
    """session/prompt: until its turn ends. `failure` is why it could not run, told just before its end."""

    id: RpcId
    session_id: SessionId
    accepted: bool = False
    failure: str = ""


@dataclass(slots=True)
class Listing:
    """session/list: until the sessions are known."""

    id: RpcId
    cursor: object
    cwd: str | None
    only: str | None


@dataclass(slots=True)
class Asking:
    """A command of ours that was typed as a prompt: until the server has done it. `rest` is what followed it."""

    id: RpcId
    session_id: SessionId
    name: str
    rest: str


@dataclass(slots=True)
class Setting:
    """session/set_config_option: until the server has stored what was chosen."""

    id: RpcId
    session_id: SessionId
    option_id: str
    value: str | bool


@dataclass(slots=True)
class Deleting:
    """session/delete: until nothing of the session is left at the server."""

    id: RpcId
    session_id: SessionId


@dataclass(slots=True)
class Deciding:
    """The editor's answer to a permission request, or its cancelling: nobody waits for it."""


Wait = Opening | Coming | Joining | Prompting | Asking | Setting | Deleting | Deciding


@dataclass(slots=True)
class Open:
    """A session that the editor has open."""

    cwd: str
    mode: PermissionMode | None = None  # that the editor chose; else the session's own
    role: Literal["controller", "observer"] | None = None  # of session/attach
    title: str = ""  # last told
    commands: object = None  # last told
    options: object = None  # last told
    output: Output = field(default_factory=Output)


@dataclass(slots=True)
class Sent:
    """Something that the server has not answered yet; it is sent again on a new connection."""

    command: Command
    wait: Wait
