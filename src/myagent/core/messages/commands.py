"""What clients send."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from myagent.core.messages.content import Content, Digest
from myagent.core.messages.shared import ClientId, PermissionMode, QuestionOutcome, SessionId
from myagent.core.rule import Remember

OptionName = Annotated[str, Meta(min_length=1, max_length=256)]
OptionValue = bool | Annotated[str, Meta(max_length=1024)]


class Command(Struct, frozen=True, rename="camel", tag_field="type", kw_only=True):
    """What somebody wants; may be refused. `id` is the client's own and comes back in the answer."""

    id: ClientId


class UserMessage(Command, frozen=True, kw_only=True, tag="user_message"):
    prompt: str
    session_id: SessionId | None = None
    permission_mode: PermissionMode | None = None
    skill_names: Annotated[tuple[Annotated[str, Meta(max_length=128)], ...], Meta(max_length=64)] = ()
    options: Annotated[dict[OptionName, OptionValue], Meta(max_length=16)] | None = (
        None  # chosen for the session before
    )
    content: Content = ()  # beside the prompt


class DecisionBody(Struct, frozen=True, rename="camel"):
    kind: Literal["allow", "deny"]
    reason: Annotated[str, Meta(max_length=4096)] | None = None
    option_id: Annotated[str, Meta(max_length=256)] | None = None
    digest: Annotated[str, Meta(max_length=128)] | None = None
    remember: Remember | None = None


class PermissionDecision(Command, frozen=True, kw_only=True, tag="permission_decision"):
    permission_request_id: Annotated[str, Meta(max_length=128)]
    decision: DecisionBody


class Resume(Command, frozen=True, kw_only=True, tag="resume"):
    session_id: SessionId
    after_seq: Annotated[int, Meta(ge=0, lt=2**53)] | None = None


class Ping(Command, frozen=True, kw_only=True, tag="ping"):
    pass


class ClientInfo(Struct, frozen=True):
    name: Annotated[str, Meta(max_length=128)]
    version: Annotated[str, Meta(max_length=128)] = ""


class Hello(Command, frozen=True, kw_only=True, tag="hello"):
    client: ClientInfo
    label: Annotated[str, Meta(max_length=128)] | None = None
    wants: tuple[str, ...] = ()
    reclaim_token: Annotated[str, Meta(max_length=256)] | None = None


class Cancel(Command, frozen=True, kw_only=True, tag="cancel"):
    session_id: SessionId
    turn_id: ClientId | None = None


class Claim(Command, frozen=True, kw_only=True, omit_defaults=True, tag="claim"):
    force: bool = False  # also from an owner of the same credential


class RequestControl(Command, frozen=True, kw_only=True, tag="request_control"):
    pass


class Release(Command, frozen=True, kw_only=True, tag="release"):
    pass


class Handover(Command, frozen=True, kw_only=True, tag="handover"):
    to: Annotated[str, Meta(max_length=128)]


class Who(Command, frozen=True, kw_only=True, tag="who"):
    pass


class AnswerMessage(Command, frozen=True, kw_only=True, tag="answer"):
    question_id: Annotated[str, Meta(max_length=128)]
    action: QuestionOutcome
    content: dict[str, Any] | None = None


class Seen(Command, frozen=True, kw_only=True, tag="seen"):
    """This client has shown a permission request to a human."""

    permission_request_id: Annotated[str, Meta(max_length=128)]


# Rules instead of repeated questions: these two, `Rules`, and what a decision and a request say of them.


class ListRules(Command, frozen=True, kw_only=True, tag="list_rules"):
    pass


class RevokeRule(Command, frozen=True, kw_only=True, tag="revoke_rule"):
    rule_id: Annotated[str, Meta(max_length=128)]


# What has changed in the shared directory, as its git tells: these two, `Changes` and `FileChange`.


class Look(Command, frozen=True, kw_only=True):
    """A question that changes nothing."""


class ListChanges(Look, frozen=True, kw_only=True, tag="list_changes"):
    pass


class ReadChange(Look, frozen=True, kw_only=True, tag="read_change"):
    file: Annotated[str, Meta(max_length=16_384)]  # as `Changes` told it


class SetOption(Command, frozen=True, kw_only=True, tag="set_option"):
    """An owner's choice of what the agent offers for a session; `name` is an option's id, or its category."""

    session_id: SessionId
    name: OptionName
    value: OptionValue


class OpenSession(Command, frozen=True, kw_only=True, tag="open_session"):
    pass


# Calls to a device through its browser's push service: these three, and `PushTold`.


class Push(Command, frozen=True, kw_only=True):
    """Of a device that was enrolled, about itself."""


class PushState(Push, frozen=True, kw_only=True, tag="push_state"):
    pass


class PushOn(Push, frozen=True, kw_only=True, tag="push_on"):
    """What the browser's `PushSubscription` says (RFC 8291)."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=1024)]
    p256dh: Annotated[str, Meta(max_length=128)]
    auth: Annotated[str, Meta(max_length=64)]


class PushOff(Push, frozen=True, kw_only=True, tag="push_off"):
    pass


PushMessage = PushState | PushOn | PushOff


# Sessions as people keep them: these three, `SessionDeleted`, and what a session's metadata says of them.


class Keep(Command, frozen=True, kw_only=True):
    """What becomes of a session as a whole."""

    session_id: SessionId


class Rename(Keep, frozen=True, kw_only=True, tag="rename"):
    title: Annotated[str, Meta(max_length=200)]  # empty: that of its first prompt, or the agent's, again


class Archive(Keep, frozen=True, kw_only=True, tag="archive"):
    archived: bool = True


class Delete(Keep, frozen=True, kw_only=True, tag="delete"):
    pass


KeepMessage = Rename | Archive | Delete


# What a prompt carries beside its text: these two, `content`, and `Files`.


class Upload(Command, frozen=True, kw_only=True, tag="upload"):
    """A piece of something that a prompt is to carry; `data` is base64 on the wire."""

    digest: Digest  # of the whole
    size: Annotated[int, Meta(ge=1, lt=2**53)]  # bytes of the whole
    offset: Annotated[int, Meta(ge=0, lt=2**53)] = 0
    data: bytes


class ListFiles(Command, frozen=True, kw_only=True, tag="list_files"):
    """Which files of the workspace have this in their path."""

    query: Annotated[str, Meta(max_length=1024)] = ""


LookMessage = ListChanges | ReadChange

ClientMessage = (
    UserMessage
    | OpenSession
    | PermissionDecision
    | Resume
    | Ping
    | Hello
    | Cancel
    | Claim
    | RequestControl
    | Release
    | Handover
    | Who
    | AnswerMessage
    | ListRules
    | RevokeRule
    | LookMessage
    | Seen
    | KeepMessage
    | SetOption
    | Upload
    | ListFiles
    | PushMessage
)
