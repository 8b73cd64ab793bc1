"""Why a command is refused: one class each, which carries the wire `code` that clients act on.

A refusal never repeats what the client sent. Text that begins with "read-only follower" is v1's own wording.
"""

from __future__ import annotations

from typing import ClassVar

from myagent.exceptions import MyagentError


class Refused(MyagentError):
    """A command that is not carried out; nothing has changed."""

    code: ClassVar[str]


class BadJson(Refused):
    code = "bad_json"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"not a JSON object that can be read: {self.why}"


class BadMessage(Refused):
    """A JSON object that is no message of the protocol; `id` is the client's own where it could be read."""

    code = "bad_message"

    def __init__(self, why: str, message_id: str | None = None) -> None:
        super().__init__(why, message_id)
        self.why, self.message_id = why, message_id

    def __str__(self) -> str:
        return self.why


class UnknownType(Refused):
    code = "unknown_type"

    def __init__(self, message_id: str | None = None) -> None:
        super().__init__(message_id)
        self.message_id = message_id

    def __str__(self) -> str:
        return "no message of this type exists in protocol version 1"


class NotOwner(Refused):
    code = "not_owner"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"read-only follower: only the owner may send {self.what}"


class StaleOwner(Refused):
    code = "stale_owner"

    def __init__(self, held: int, current: int) -> None:
        super().__init__(held, current)
        self.held, self.current = held, current

    def __str__(self) -> str:
        return f"read-only follower: your ownership ended (epoch {self.held}; the current one is {self.current})"


class NotClaimable(Refused):
    code = "not_claimable"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"ownership cannot be taken: {self.why}"


class NotAllowed(Refused):
    code = "not_allowed"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


class UnknownSession(Refused):
    code = "unknown_session"

    def __str__(self) -> str:
        return "no such session in this workspace"


class SessionBusy(Refused):
    code = "session_busy"

    def __str__(self) -> str:
        return "a turn runs or waits in this session: it can be deleted when that has ended; cancel it first"


class UnknownRequest(Refused):
    code = "unknown_request"

    def __str__(self) -> str:
        return "no such permission request was shown to this connection"


class AlreadyResolved(Refused):
    code = "already_resolved"

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return f"the permission request is no longer open: {self.outcome}"


class UnknownQuestion(Refused):
    code = "unknown_question"

    def __str__(self) -> str:
        return "no such question was shown to this connection"


class AlreadyAnswered(Refused):
    code = "already_answered"

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return f"the question is no longer open: {self.outcome}"


class DigestMismatch(Refused):
    code = "digest_mismatch"

    def __str__(self) -> str:
        return "the decision is for something else than what was asked; the request stays open"


class OptionRequired(Refused):
    """The request offers several answers that allow, so one of them must be chosen."""

    code = "option_required"

    def __init__(self, option_ids: tuple[str, ...]) -> None:
        super().__init__(option_ids)
        self.option_ids = option_ids

    def __str__(self) -> str:
        return (
            f"the request offers {len(self.option_ids)} answers that allow: "
            "name one of them in optionId; the request stays open"
        )


class Conflict(Refused):
    code = "conflict"

    def __str__(self) -> str:
        return "this id was already used in this session for another prompt"


class QueueFull(Refused):
    code = "queue_full"

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} prompts wait in this session already; try again when one has begun"


class TooLarge(Refused):
    code = "too_large"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what, self.limit = what, limit

    def __str__(self) -> str:
        return f"{self.what} is larger than {self.limit} bytes"


class NotTaken(Refused):
    """What a prompt carries is nothing that this agent can be given."""

    code = "not_taken"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"this agent takes no {self.what}s; the prompt was not sent"


class UnknownBlob(Refused):
    """What a prompt names by its digest was not uploaded, or not lately: it is to be uploaded, and sent again."""

    code = "unknown_blob"

    def __str__(self) -> str:
        return "what the prompt carries was not uploaded here, or is not kept any more; upload it and send it again"


class RateLimited(Refused):
    code = "rate_limited"

    def __init__(self, what: str, retry_after: float = 1.0) -> None:
        super().__init__(what, retry_after)
        self.what = what
        self.retry_after = retry_after  # seconds

    def __str__(self) -> str:
        return f"too many {self.what}; this one was not processed, slow down"


class DiskFull(Refused):
    """`done`: what took effect although it could not be stored: an agent was stopped, or told no."""

    code = "disk_full"

    def __init__(self, done: str | None = None) -> None:
        super().__init__(done)
        self.done = done

    def __str__(self) -> str:
        if self.done is not None:
            return f"the server's disk or log is full: {self.done}; that is stored and told when there is space"
        return "the server's disk or log is full: nothing was stored; watching goes on, try again later"


class Internal(Refused):
    code = "internal"

    def __str__(self) -> str:
        return "internal error; the server's log has it"


class StateGone(Refused):
    """What keeps the sessions was deleted under the server."""

    code = "state_gone"

    def __str__(self) -> str:
        return (
            "the server's state directory (.myagent) was deleted or replaced: nothing can be stored, so nothing new is "
            "taken; what was said before can be read and exported until the server is started again"
        )


class OptionNotOffered(Refused):
    """The agent offers no such option, or no such value of it; `offered` is what it has instead."""

    code = "not_offered"

    def __init__(self, offered: tuple[str, ...]) -> None:
        super().__init__(offered)
        self.offered = offered

    def __str__(self) -> str:
        offers = f"; it offers {', '.join(self.offered)}" if self.offered else ", nor anything else"
        return f"the agent does not offer that{offers}"


class HostAway(Refused):
    """At a relay: only the host could decide this."""

    code = "host_away"

    def __str__(self) -> str:
        return "the host is away: nothing can be changed until it is back"


class AgentRefused(Refused):
    """What was chosen was offered, and the agent refused it all the same."""

    code = "agent_refused"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


CODES = tuple(
    sorted(
        kind.code
        for kind in (
            BadJson,
            BadMessage,
            UnknownType,
            NotOwner,
            StaleOwner,
            NotClaimable,
            NotAllowed,
            UnknownSession,
            SessionBusy,
            UnknownRequest,
            AlreadyResolved,
            UnknownQuestion,
            AlreadyAnswered,
            DigestMismatch,
            OptionRequired,
            Conflict,
            QueueFull,
            TooLarge,
            NotTaken,
            UnknownBlob,
            RateLimited,
            DiskFull,
            Internal,
            StateGone,
            OptionNotOffered,
            AgentRefused,
            HostAway,
        )
    )
)
