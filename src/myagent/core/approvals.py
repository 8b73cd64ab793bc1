"""When more than one person must allow what an agent asks, and who has done so far.

| a request that needs N | an allow of a new credential      | of one that allowed | a deny of anybody's |
|------------------------|-----------------------------------|---------------------|---------------------|
| fewer than N - 1 so far| counted, told; nothing runs       | a duplicate         | denied              |
| N - 1 so far           | allowed                           | a duplicate         | denied              |

A person is a credential, as the audit names it: the owner token, an invite, a paired device. Two devices that came by
one invite are one person, and so are two labels. Every allow names the digest of what was shown, and the same answer of
the agent's. No rule stands in for a person, and no answer that the agent itself would remember is offered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from myagent.core.messages import PermissionAllowed, SessionId
from myagent.core.permissions import Allow, OpenRequest, ToolCall, allowed_once
from myagent.core.refusals import BadMessage
from myagent.exceptions import MyagentError

MOST = 9  # people that one request can need
# The kinds of calls that an agent can name. Any other, and `other`, says nothing: such a call is never left out.
KINDS = ("read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode")
COMMANDS = ("command", "cmd", "commands", "script", "argv", "args", "shell", "code")  # names of what is run
UNSAID = frozenset({"contradicts", "unspecified"})  # flags of a call whose kind is not to be believed


@dataclass(frozen=True, slots=True)
class ApproveBy:
    """How many people must allow a call; of these `kinds` alone, or of every kind where there are none."""

    people: int = 1
    kinds: frozenset[str] = frozenset()

    def needed(self, call: ToolCall) -> int:
        """How many people this call needs."""
        named = {call.kind, "execute"} if _holds_command(call) else {call.kind}
        one = self.kinds and named <= {*KINDS} and not named & self.kinds and not UNSAID.intersection(call.flags)
        return 1 if one else self.people


def _holds_command(call: ToolCall) -> bool:
    """Whether a call's input has a command to run, whatever its kind says."""
    return isinstance(call.input, Mapping) and any(name in call.input for name in COMMANDS)


class UnusableApproveBy(MyagentError):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"--approve-by cannot be used: {self.why}"


def read(text: str) -> ApproveBy:
    """Read `2`, or `2:execute,delete`. Raises `UnusableApproveBy`."""
    number, colon, rest = text.partition(":")
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:3]) <= MOST):
        raise UnusableApproveBy(f"{number!r} is no number of people from 1 to {MOST}")
    kinds = frozenset(rest.split(",")) if colon else frozenset()
    if unknown := sorted(kinds - {*KINDS, "other"}):
        raise UnusableApproveBy(f"there is no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    return ApproveBy(int(number), kinds)


def allowed(request: OpenRequest, new: Allow, *, digest: str | None, message_id: str) -> OpenRequest | None:
    """The request with one more allow; `None` if this person has allowed it. Raises `BadMessage`."""
    if digest is None:
        raise BadMessage("several people must allow this: an allow names the digest of what was shown", message_id)
    if any(each.credential == new.credential for each in request.allows):
        return None
    if new.option_id is None and (only := allowed_once(request.options)):
        new = replace(new, option_id=only[0])  # there is one: of several, one had to be named
    if any(each.option_id != new.option_id for each in request.allows):
        raise BadMessage("somebody else has allowed this with another option: it must be the same one", message_id)
    return replace(request, allows=(*request.allows, new))


def without(request: OpenRequest, ended: Collection[str]) -> OpenRequest:
    """The request as if these credentials and devices, which were revoked or are over, had not allowed it."""
    kept = tuple(each for each in request.allows if each.credential not in ended and each.device not in ended)
    return replace(request, allows=kept)


def told(request: OpenRequest, session_id: SessionId, *, by: str) -> PermissionAllowed:
    """What everybody is told of the allows that there are."""
    return PermissionAllowed(
        id=request.turn_id,
        session_id=session_id,
        permission_request_id=request.permission_request_id,
        by=by,
        allowed_by=[each.by for each in request.allows],
        people=request.people,
    )


def so_far(request: OpenRequest, session_id: SessionId) -> PermissionAllowed:
    """The same, for whoever comes now."""
    return replace(told(request, session_id, by=request.allows[-1].by), pending=True)
