"""What the engine holds, and under which subjects; the names of workspaces that can be in them.

| subject | who publishes | what |
|---|---|---|
| `myagent.<name>.events.<session>` | the host | an event as stored; a newline and its update, if it has one |
| `myagent.<name>.events.0` | the host | that it took the name: from then on nobody else's events are taken |
| `myagent.<name>.state.host`, `….state.session.<session>` | the host | the latest of who owns, and of each session |
| `myagent.<name>.moved` | the host | the stream's number of the last event: nothing is stored |
| `myagent.<name>.revoked` | the host | credentials have ended: nothing is stored |
| `myagent.<name>.access` | relays | whether a credential is good; the host answers |
| `myagent.<name>.commands` | relays | what the connections send for which they vouch (`words.Carried`) |
| `myagent.<name>.told.<relay>` | the host | what those are told (`words.Returned`): nothing is stored |
| `$KV.MYAGENT_NAMES.<name>` | the host | the lease of the name, renewed |
"""

from __future__ import annotations

import re
from typing import Any

from myagent.exceptions import MyagentError

EVENTS = "MYAGENT_EVENTS"  # streams
STATE = "MYAGENT_STATE"
NAMES = "MYAGENT_NAMES"  # the bucket of leases
NAME_CHARACTERS = 64
# Where answers may go: to inboxes, and to what the engine puts in their place between accounts. Nobody may have us
# publish somewhere else in our own name.
INBOXES = ("_INBOX.", "_R_.")
TAKEN = "0"  # in the place of a session, which is never called so

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")
_ROUTES = frozenset({"sessions", "ticket", "device", "metrics", "healthz", "workspaces"})


class BadName(MyagentError):
    """A workspace cannot be called so."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"this name cannot be published under: {self.why}"


def check_name(name: str) -> str:
    """The name, if it can be one: parts of `a-z 0-9 - _` between slashes. Raises `BadName`."""
    if len(name) > NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise BadName(f"at most {NAME_CHARACTERS} of a-z, 0-9, - and _, in parts between slashes, like team/web")
    for found in _ROUTES.intersection(name.split("/")):
        raise BadName(f"{found} is an address of its own")
    return name


def is_name(name: str) -> bool:
    try:
        check_name(name)
    except BadName:
        return False
    return True


def events(name: str, session_id: str = "*") -> str:
    return f"myagent.{name}.events.{session_id}"


def state(name: str, *what: str) -> str:
    return f"myagent.{name}.state.{'.'.join(what)}"


def moved(name: str) -> str:
    return f"myagent.{name}.moved"


def revoked(name: str) -> str:
    return f"myagent.{name}.revoked"


def access(name: str) -> str:
    return f"myagent.{name}.access"


def commands(name: str) -> str:
    return f"myagent.{name}.commands"


def told(name: str, relay: str) -> str:
    return f"myagent.{name}.told.{relay}"


def lease(name: str) -> str:
    return f"$KV.{NAMES}.{name}"


def name_of(subject: str) -> str:
    """The name in a subject; empty if there is none that can be one."""
    parts = subject.split(".")
    name = parts[2] if parts[0] == "$KV" and len(parts) > 2 else parts[1] if len(parts) > 1 else ""
    return name if is_name(name) else ""


def streams(lease_seconds: float, replicas: int) -> list[dict[str, Any]]:
    """What JetStream is asked to keep. An operator may make them beforehand, with limits of their own."""
    common = {"storage": "file", "num_replicas": replicas, "allow_direct": True, "discard": "old"}
    return [
        {**common, "name": EVENTS, "subjects": [events("*")], "retention": "limits", "allow_atomic": True},
        {**common, "name": STATE, "subjects": [state("*", ">")], "retention": "limits", "max_msgs_per_subject": 1},
        {
            **common,
            "name": f"KV_{NAMES}",
            "subjects": [f"$KV.{NAMES}.>"],
            "retention": "limits",
            "max_msgs_per_subject": 1,
            "max_age": int(lease_seconds * 1e9),
            "allow_rollup_hdrs": True,
        },
    ]
