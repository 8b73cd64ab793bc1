"""Run a coding agent on one machine and share its session live: one owner drives, any number of followers watch.

What a program uses is here, loaded when it is first asked for (docs/python.md): `connect` and what its client yields,
`Server` and `Settings` to embed a server, and the agents' port to write an agent of one's own.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

TYPE_CHECKING = False  # as that of `typing`, which takes longer to import than a command's help
if TYPE_CHECKING:
    from typing import Any

    from myagent.agents import Agent as Agent
    from myagent.agents import AgentInfo as AgentInfo
    from myagent.agents import Answer as Answer
    from myagent.agents import ToolCall as ToolCall
    from myagent.agents import Turn as Turn
    from myagent.agents import TurnEnd as TurnEnd
    from myagent.agents import TurnIO as TurnIO
    from myagent.agents.command import CommandAgent as CommandAgent
    from myagent.client import Client as Client
    from myagent.client import ClientError as ClientError
    from myagent.client import Message as Message
    from myagent.client import PromptRefused as PromptRefused
    from myagent.client import State as State
    from myagent.client import TurnResult as TurnResult
    from myagent.client import Unknown as Unknown
    from myagent.client import connect as connect
    from myagent.client import to_json as to_json
    from myagent.core.messages import AgentStderr as AgentStderr
    from myagent.core.messages import AgentStdout as AgentStdout
    from myagent.core.messages import Error as Error
    from myagent.core.messages import Gap as Gap
    from myagent.core.messages import Option as Option
    from myagent.core.messages import OwnerChanged as OwnerChanged
    from myagent.core.messages import PermissionRequest as PermissionRequest
    from myagent.core.messages import PermissionResolved as PermissionResolved
    from myagent.core.messages import Presence as Presence
    from myagent.core.messages import Prompt as Prompt
    from myagent.core.messages import SessionMetadata as SessionMetadata
    from myagent.core.messages import TerminalState as TerminalState
    from myagent.core.messages import Welcome as Welcome
    from myagent.exceptions import MyagentError as MyagentError
    from myagent.server import Server as Server
    from myagent.server import Settings as Settings

_PLACES = {
    "myagent.agents": ("Agent", "AgentInfo", "Answer", "ToolCall", "Turn", "TurnEnd", "TurnIO"),
    "myagent.agents.command": ("CommandAgent",),
    "myagent.client": (
        *("Client", "ClientError", "Message", "PromptRefused", "State", "TurnResult", "Unknown", "connect", "to_json"),
    ),
    "myagent.core.messages": (
        *("AgentStderr", "AgentStdout", "Error", "Gap", "Option", "OwnerChanged", "PermissionRequest"),
        *("PermissionResolved", "Presence", "Prompt", "SessionMetadata", "TerminalState", "Welcome"),
    ),
    "myagent.exceptions": ("MyagentError",),
    "myagent.server": ("Server", "Settings"),
}
_WHERE = {name: module for module, names in _PLACES.items() for name in names}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
