"""What a `session/update` of ACP version 1 may hold, as types: what an agent sent passes through them, or not at all.

Unknown fields fall away; what does not fit is no update, and is then told by the text that renders it. Content of the
kind `terminal` is left out before: such a terminal would be the editor's, and the agent runs at the host.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct


def _name(field: str) -> str:
    head, *rest = field.split("_")
    return "_meta" if field == "meta" else head + "".join(each.capitalize() for each in rest)


class _Part(Struct, frozen=True, kw_only=True, omit_defaults=True, rename=_name):
    meta: dict[str, Any] | None = None


class Annotations(_Part, frozen=True):
    audience: list[Literal["user", "assistant"]] | None = None
    last_modified: str | None = None
    priority: float | None = None


class _Content(_Part, frozen=True, tag_field="type"):
    annotations: Annotations | None = None


class Text(_Content, frozen=True, kw_only=True, tag="text"):
    text: str


class Image(_Content, frozen=True, kw_only=True, tag="image"):
    data: str
    mime_type: str
    uri: str | None = None


class Audio(_Content, frozen=True, kw_only=True, tag="audio"):
    data: str
    mime_type: str


class ResourceLink(_Content, frozen=True, kw_only=True, tag="resource_link"):
    name: str
    uri: str
    description: str | None = None
    mime_type: str | None = None
    size: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    title: str | None = None


class Embedded(_Part, frozen=True, kw_only=True):
    """Text or, in base64, bytes; one of both is there."""

    uri: str
    text: str | None = None
    blob: str | None = None
    mime_type: str | None = None

    def __post_init__(self) -> None:
        if self.text is None and self.blob is None:
            raise ValueError("a resource has text or a blob")


class Resource(_Content, frozen=True, kw_only=True, tag="resource"):
    resource: Embedded


Block = Text | Image | Audio | ResourceLink | Resource


class CallContent(_Part, frozen=True, kw_only=True, tag_field="type", tag="content"):
    content: Block


class CallDiff(_Part, frozen=True, kw_only=True, tag_field="type", tag="diff"):
    path: str
    new_text: str
    old_text: str | None = None


class Location(_Part, frozen=True, kw_only=True):
    path: str
    line: Annotated[int, Meta(ge=0, lt=2**32)] | None = None


Kind = Literal["read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other"]
Status = Literal["pending", "in_progress", "completed", "failed"]


class _Update(_Part, frozen=True, tag_field="sessionUpdate"):
    pass


class _Chunk(_Update, frozen=True, kw_only=True):
    content: Block
    message_id: str | None = None


class UserChunk(_Chunk, frozen=True, kw_only=True, tag="user_message_chunk"):
    pass


class AgentChunk(_Chunk, frozen=True, kw_only=True, tag="agent_message_chunk"):
    pass


class ThoughtChunk(_Chunk, frozen=True, kw_only=True, tag="agent_thought_chunk"):
    pass


class _Call(_Update, frozen=True, kw_only=True):
    tool_call_id: str
    kind: Kind | None = None
    status: Status | None = None
    content: list[CallContent | CallDiff] | None = None
    locations: list[Location] | None = None
    raw_input: Any = None
    raw_output: Any = None


class ToolCall(_Call, frozen=True, kw_only=True, tag="tool_call"):
    title: str


class ToolCallUpdate(_Call, frozen=True, kw_only=True, tag="tool_call_update"):
    title: str | None = None


class PlanEntry(_Part, frozen=True, kw_only=True):
    content: str
    priority: Literal["high", "medium", "low"]
    status: Literal["pending", "in_progress", "completed"]


class Plan(_Update, frozen=True, kw_only=True, tag="plan"):
    entries: list[PlanEntry]


class Cost(_Part, frozen=True, kw_only=True):
    amount: float
    currency: str


class Usage(_Update, frozen=True, kw_only=True, tag="usage_update"):
    used: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    size: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    cost: Cost | None = None


Update = UserChunk | AgentChunk | ThoughtChunk | ToolCall | ToolCallUpdate | Plan | Usage
