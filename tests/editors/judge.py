"""Holds every frame that an editor is sent against the published schema of ACP version 1, and against JSON-RPC.

The schema is that of an SDK's package, which is not kept here: the TypeScript one where `make editors` has installed it
(or MYAGENT_TEST_EDITORS says where), else the Python one, which is a development dependency.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import acp.schema
import jsonschema
from pydantic import TypeAdapter

ROOT = Path(__file__).parents[2]
EDITORS = Path(os.environ.get("MYAGENT_TEST_EDITORS", ROOT / ".cache" / "editors"))
PUBLISHED = EDITORS / "node_modules/@agentclientprotocol/sdk/schema/v1/schema.json"

JSON = dict[str, Any]
Check = Callable[[str, Any], None]

# What an agent answers, and what it sends of its own, by the names that the schema has for it.
ANSWERS = {
    "initialize": "InitializeResponse",
    "authenticate": "AuthenticateResponse",
    "session/new": "NewSessionResponse",
    "session/load": "LoadSessionResponse",
    "session/resume": "ResumeSessionResponse",
    "session/list": "ListSessionsResponse",
    "session/attach": "ResumeSessionResponse",  # an extension: what that has, and more
    "session/detach": "CloseSessionResponse",
    "session/close": "CloseSessionResponse",
    "session/delete": "DeleteSessionResponse",
    "session/prompt": "PromptResponse",
    "session/set_mode": "SetSessionModeResponse",
    "session/set_config_option": "SetSessionConfigOptionResponse",
}
SENT = {
    "session/update": "SessionNotification",
    "session/request_permission": "RequestPermissionRequest",
    "elicitation/create": "CreateElicitationRequest",
    "elicitation/complete": "CompleteElicitationNotification",
    "$/cancel_request": "CancelRequestNotification",
}


@functools.cache
def checks() -> tuple[Check, ...]:
    """Each raises for what does not fit a definition of the schema."""
    found: list[Check] = [lambda name, value: TypeAdapter(getattr(acp.schema, name)).validate_python(value)]
    if PUBLISHED.exists():
        whole = json.loads(PUBLISHED.read_text())
        validators: dict[str, Any] = {}

        def published(name: str, value: Any) -> None:
            if name not in validators:
                part = {"$schema": whole["$schema"], "$defs": whole["$defs"], "$ref": f"#/$defs/{name}"}
                validators[name] = jsonschema.validators.validator_for(part)(part)
            validators[name].validate(value)

        found.append(published)
    return tuple(found)


def fits(name: str, value: Any) -> None:
    for check in checks():
        check(name, value)


class Judge:
    """Sees both directions of one editor's connection. Every request has one answer in the end."""

    names = {**ANSWERS, **SENT}
    fits = staticmethod(fits)

    def __init__(self) -> None:
        self.waiting: dict[Any, str] = {}  # the editor's requests, by id → method
        self.asked: dict[int, JSON] = {}  # ours that were not taken back
        self.updates: list[JSON] = []  # params of session/update
        self.answers: dict[Any, JSON] = {}

    def sent(self, number: Any, method: str) -> None:
        """The editor asks."""
        self.waiting[number] = method

    def took(self, frame: bytes) -> JSON:
        """We said something. Raises where it fits neither JSON-RPC nor the schema."""
        message: JSON = json.loads(frame)
        assert b"\n" not in frame
        assert message["jsonrpc"] == "2.0"
        if "method" in message:
            name = self.names[message["method"]]
            self.fits(name, message["params"])
            assert ("id" in message) == (message["method"] in ("session/request_permission", "elicitation/create"))
            if "id" in message:
                assert message["id"] not in self.asked, "an id of ours is used twice"
                self.asked[message["id"]] = message["params"]
            elif message["method"] == "$/cancel_request":
                del self.asked[message["params"]["requestId"]]
            else:
                self.updates.append(message["params"])
            return message
        assert ("result" in message) != ("error" in message)
        if "error" in message:
            self.fits("Error", message["error"])
            if message["id"] is None and None not in self.waiting:
                return message
        method = self.waiting.pop(message["id"])  # raises for an answer that nobody waits for
        self.answers[message["id"]] = message
        if "result" in message:
            self.fits(self.names[method], message["result"])
        return message
