"""The event log port: the one durable, ordered record of a workspace, of which everything shown is a view.

The log keeps bytes. It knows sessions, order and commits; it knows nothing of what an event means.

- A **unit** is stored whole or not at all, in the order in which it was given to `write`.
- `seq` is dense and rising from 1 in its session, and `pos` rises over the whole workspace; both are given inside
  the commit, and `seq` is spliced into the event's JSON there: stored bytes are the bytes that every client gets.
- `on_commit` is called after the commit (durable: it survives power loss), on the event loop's thread, in commit order.
- Nothing here blocks the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from myagent.exceptions import MyagentError


class Draft(Struct, frozen=True, gc=False):
    """An event before its commit. `body` is a JSON object without `seq`; `update` is the JSON of its structured
    update, which only some clients get.

    This and `Stored` are structs, since one is made for every event: a frozen dataclass takes nine times as long.
    """

    session_id: str
    body: bytes
    update: bytes | None = None


class Stored(Struct, frozen=True, gc=False):
    """An event after its commit. `body` is the JSON object with its `seq`, as it is shown."""

    pos: int
    session_id: str
    seq: int
    body: bytes
    update: bytes | None = None


@dataclass(frozen=True, slots=True)
class PromptKey:
    """An accepted prompt, remembered for ever so that no resend runs twice.

    `digest` is SHA-256 over the prompt; `opened`: it came without a session id and opened `session_id`.
    """

    session_id: str
    client_id: str
    digest: bytes
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """What is stored in one piece.

    `on_refuse` is called instead of `on_commit` when the unit could not be stored: then nothing of it was. A `fact`
    (output of the agent, the end of a turn) is not refused for want of space: the log keeps it, in order, and tries
    again until there is some; it is refused only with `LogFailed` and `UnitRejected`. Without `on_refuse` a refusal
    is told to nobody.
    """

    on_commit: Callable[[list[Stored]], None]
    on_refuse: Callable[[LogRefused], None] | None = None
    events: Sequence[Draft] = ()
    sessions: Mapping[str, bytes] = field(default_factory=dict)  # session id → its whole new state document
    prompts: Sequence[PromptKey] = ()
    audit: Sequence[bytes] = ()  # JSON objects for the audit trail; the log chains them inside the commit
    fact: bool = False
    # For a copy of another log: session id → the `seq` after which the unit's events go on, if that is more than the
    # session's head. What lies between is missing here for good, and readers see that as they see what retention took.
    skips: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a log held when it was opened. `heads` has every session; `pos` is that of the last event, 0 if none."""

    sessions: dict[str, bytes]
    heads: dict[str, int]
    pos: int


class LogRefused(MyagentError):
    """The log could not store a unit; nothing of it was stored."""


class LogFull(LogRefused):
    """There is no space: writes are refused until there is; reads go on. `quota`: bytes that the log may have, where
    that is what there is no more of: then facts are still stored, and whoever makes them is held back."""

    def __init__(self, quota: int | None = None) -> None:
        super().__init__(quota)
        self.quota = quota

    def __str__(self) -> str:
        if self.quota is not None:
            return f"the log has grown to its {self.quota:,} bytes: nothing new is stored (--max-log, --retain-events)"
        return "the disk is full: nothing new can be stored until there is space"


class LogFailed(LogRefused):
    """The storage failed in a way that no retry mends; the log takes no more writes until the server restarts."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the event log failed and takes no more writes: {self.reason}"


class LogGone(LogFailed):
    """The log's files were deleted, moved or replaced: what would be stored now, nobody would find again. What was
    stored can be read until the log is closed."""

    def __init__(self, path: str) -> None:
        super().__init__("its files were deleted or replaced")
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} was deleted, moved or replaced while it was in use: nothing more can be stored in it"


class UnitRejected(LogRefused):
    """A unit contradicts what is stored (a prompt key twice) or cannot be stored at all: a bug of whoever wrote it.

    Nothing of it was stored; the units before and after it are not concerned. Of one without `on_refuse` the event
    loop's exception handler is told.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the event log cannot store this unit: {self.reason}"


class LogUnusable(MyagentError):
    """A log cannot be opened; it was left untouched."""

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        super().__init__(path, reason, remedy)
        self.path, self.reason, self.remedy = path, reason, remedy

    def __str__(self) -> str:
        return f"cannot open the event log {self.path}: {self.reason}; {self.remedy}"


class EventLog(Protocol):
    """One writer, any number of readers; every method is called from the event loop's thread."""

    async def open(self) -> Opened:
        """Open or create; raises `LogUnusable`, having changed nothing."""

    def write(self, unit: Unit) -> None:
        """Queue a unit; returns at once. What is queued while a commit runs shares the next one (group commit)."""

    async def room(self) -> None:
        """Return when less than `QUEUE_BYTES` wait to be committed: back-pressure for whoever produces output."""

    async def flush(self) -> None:
        """Return when all that was queued before the call was committed or refused, and told."""

    @property
    def refusing(self) -> LogRefused | None:
        """Why writes are being refused now; `None` when they are not. The log finds out by itself when they are
        possible again."""

    async def read(self, after_pos: int, *, max_bytes: int) -> list[Stored]:
        """The events of all sessions after a position, oldest first: at least one if there is one, then as many as
        fit in `max_bytes` of body and update together."""

    async def read_session(
        self, session_id: str, after_seq: int, *, until_seq: int | None = None, max_bytes: int
    ) -> list[Stored]:
        """The same for one session, after a `seq`, up to and with `until_seq`."""

    async def read_back(self, session_id: str, before_seq: int, *, limit: int, max_bytes: int) -> list[Stored]:
        """The last events before `before_seq`, oldest of them first: for paging back."""

    async def find_prompt(self, client_id: str, session_id: str) -> PromptKey | None:
        """The accepted prompt of that id in that session."""

    async def find_opening(self, client_id: str, digest: bytes) -> PromptKey | None:
        """The accepted prompt of that id and that digest which opened a session."""

    async def read_audit(self, after: int, *, max_bytes: int) -> list[tuple[int, bytes]]:
        """The audit records after a number, each with its own: at least one if there is one, then as many as fit."""

    async def reserve_epochs(self, count: int) -> int:
        """Durably reserve `count` owner epochs, return the first: none was ever returned before, also over restarts.
        Raises `LogRefused`."""

    async def retain(self, keep: int) -> None:
        """Drop all but the last `keep` events of every session. What is gone stays countable: `seq` never restarts,
        and a reader sees the gap because the first `seq` it gets is not the one it expected."""

    async def close(self) -> None:
        """Commit what is queued, as far as there is space, and close; idempotent, and nothing to a log never opened."""


QUEUE_BYTES = 1 << 20  # of events waiting for their commit, before producers are held back


def with_seq(body: bytes, seq: int) -> bytes:
    """Give an event's JSON object its `seq`, as its last member."""
    return b'%b,"seq":%d}' % (body[:-1], seq)


def with_update(body: bytes, update: bytes | None) -> bytes:
    """The view of an event for those who asked for structured updates."""
    return body if update is None else b'%b,"update":%b}' % (body[:-1], update)


def within(records: Iterable[tuple[int, bytes]], max_bytes: int) -> list[tuple[int, bytes]]:
    """The first record, and what follows it as far as it fits."""
    found: list[tuple[int, bytes]] = []
    size = 0
    for number, record in records:
        size += len(record)
        if size > max_bytes and found:
            break
        found.append((number, record))
    return found


def unit_size(unit: Unit) -> int:
    """What a unit counts for against `QUEUE_BYTES`: its bytes, and something for each of its parts."""
    size = 64
    for draft in unit.events:
        size += 64 + len(draft.body) + (0 if draft.update is None else len(draft.update))
    size += sum(map(len, unit.sessions.values())) + sum(map(len, unit.audit)) + 256 * len(unit.prompts)
    return size
