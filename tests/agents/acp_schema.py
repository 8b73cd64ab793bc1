"""The published schema of the Agent Client Protocol, as its Python SDK has it: whether frames are what it says.

The SDK's models let unknown fields pass. Here they do not: what a model does not give back was none of the protocol's.
"""

from __future__ import annotations

from typing import Any

import pytest

schema = pytest.importorskip("acp.schema", reason="needs: pip install agent-client-protocol")

AGENT: dict[str, tuple[str, str]] = {  # what a client sends
    "initialize": ("InitializeRequest", "InitializeResponse"),
    "authenticate": ("AuthenticateRequest", "AuthenticateResponse"),
    "session/new": ("NewSessionRequest", "NewSessionResponse"),
    "session/load": ("LoadSessionRequest", "LoadSessionResponse"),
    "session/resume": ("ResumeSessionRequest", "ResumeSessionResponse"),
    "session/list": ("ListSessionsRequest", "ListSessionsResponse"),
    "session/close": ("CloseSessionRequest", "CloseSessionResponse"),
    "session/delete": ("DeleteSessionRequest", "DeleteSessionResponse"),
    "session/set_mode": ("SetSessionModeRequest", "SetSessionModeResponse"),
    "session/set_config_option": ("SetSessionConfigOption{}Request", "SetSessionConfigOptionResponse"),
    "session/prompt": ("PromptRequest", "PromptResponse"),
}
CLIENT: dict[str, tuple[str, str]] = {  # what an agent sends
    "session/request_permission": ("RequestPermissionRequest", "RequestPermissionResponse"),
    "elicitation/create": ("CreateElicitationRequest", "CreateElicitationResponse"),
}
NOTIFICATIONS = {
    "session/update": "SessionNotification",
    "session/cancel": "CancelNotification",
    "$/cancel_request": "CancelRequestNotification",
}
# What a draft of the protocol has, and an agent looks for: it tells more to who can show it.
DRAFTS = (
    "InitializeRequest.clientCapabilities.session.notices",
    "InitializeRequest.clientCapabilities.session.compaction",
)
NOT_YET = {"session/set_model"}  # of agents before config options; no schema has it any more


class Frames:
    """The frames of one side, as they go out; what the other side asked must be shown, too, to judge its answers."""

    def __init__(self) -> None:
        self._asked: dict[Any, str] = {}
        self.kinds: set[str] = set()

    def asked(self, frame: dict[str, Any]) -> None:
        """A request of the other side."""
        if "method" in frame and "id" in frame:
            self._asked[frame["id"]] = frame["method"]

    def check(self, frame: dict[str, Any]) -> None:
        """Raise where a frame is not what the schema says."""
        assert frame["jsonrpc"] == "2.0"
        method = frame.get("method")
        if method is None:
            assert set(frame) == {"jsonrpc", "id", "result"} or set(frame) == {"jsonrpc", "id", "error"}, frame
            if "error" in frame:
                assert isinstance(frame["error"]["code"], int) and isinstance(frame["error"]["message"], str)
                return
            method = self._asked[frame["id"]]
            _hold(({**AGENT, **CLIENT})[method][1], frame["result"])
            self.kinds.add(f"{method} answered")
            return
        self.kinds.add(method)
        if method in NOT_YET:
            return
        assert set(frame) == {"jsonrpc", "method", "params"} | ({"id"} if "id" in frame else set()), frame
        if method in NOTIFICATIONS:
            assert "id" not in frame
            _hold(NOTIFICATIONS[method], frame["params"])
            if method == "session/update":
                self.kinds.add(frame["params"]["update"]["sessionUpdate"])
            return
        name = ({**AGENT, **CLIENT})[method][0]
        _hold(name.format("Boolean" if isinstance(frame["params"].get("value"), bool) else "Select"), frame["params"])


def _hold(name: str, given: Any) -> None:
    model: Any = getattr(schema, name).model_validate(given)
    _same(given, model.model_dump(mode="json", by_alias=True, exclude_unset=True), name)


def _same(given: Any, known: Any, where: str) -> None:
    """Nothing was passed over, below `_meta` and what may be anything excepted."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key in ("_meta", "rawInput", "rawOutput") or f"{where}.{key}" in DRAFTS:
                continue
            assert key in known, f"{where}.{key} is not of the protocol"
            _same(value, known[key], f"{where}.{key}")
    elif isinstance(given, list) and isinstance(known, list):
        for number, (one, other) in enumerate(zip(given, known, strict=True)):
            _same(one, other, f"{where}[{number}]")
