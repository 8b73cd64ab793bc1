"""Holds every frame that an editor of version 2 is sent against that draft's published schema.

It is that of the TypeScript SDK's package, where `make editors` has installed it; without it nothing is judged, and the
tests say that they were skipped.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema
import pytest
from tests.editors.judge import EDITORS, Judge

PUBLISHED = EDITORS / "node_modules/@agentclientprotocol/sdk/schema/v2/schema.json"
needs_schema = pytest.mark.skipif(not PUBLISHED.exists(), reason="no schema of version 2 here: make editors")

NAMES = {
    "initialize": "InitializeResponse",
    "session/new": "NewSessionResponse",
    "session/resume": "ResumeSessionResponse",
    "session/attach": "ResumeSessionResponse",  # an extension
    "session/detach": "CloseSessionResponse",
    "session/list": "ListSessionsResponse",
    "session/close": "CloseSessionResponse",
    "session/delete": "DeleteSessionResponse",
    "session/prompt": "PromptResponse",
    "session/set_config_option": "SetSessionConfigOptionResponse",
    "session/update": "UpdateSessionNotification",
    "session/request_permission": "RequestPermissionRequest",
    "elicitation/create": "CreateElicitationRequest",
    "$/cancel_request": "CancelRequestNotification",
}
# The draft lets everything through that it does not know: of what it does know, the rest is not taken for a variant.
UPDATES = {
    "user_message": "UserMessage",
    "agent_message": "AgentMessage",
    "agent_thought": "AgentThought",
    "agent_message_chunk": "ContentChunk",
    "agent_thought_chunk": "ContentChunk",
    "state_update": "StateUpdate",
    "tool_call_update": "ToolCallUpdate",
    "plan_update": "PlanUpdate",
    "available_commands_update": "AvailableCommandsUpdate",
    "config_option_update": "ConfigOptionUpdate",
    "session_info_update": "SessionInfoUpdate",
    "usage_update": "UsageUpdate",
}


@functools.cache
def _validator(name: str) -> Any:
    whole = json.loads(PUBLISHED.read_text())
    part = {"$schema": whole["$schema"], "$defs": whole["$defs"], "$ref": f"#/$defs/{name}"}
    return jsonschema.validators.validator_for(part)(part)


def fits(name: str, value: Any) -> None:
    _validator(name).validate(value)
    if name == "UpdateSessionNotification":
        update = value["update"]
        _validator(UPDATES[update["sessionUpdate"]]).validate(update)  # raises KeyError for one that there is not


class SecondJudge(Judge):
    names = NAMES
    fits = staticmethod(fits)
