"""An event log to which nothing secret is written: the last thing before bytes are stored, and then shown.

It looks at whole encoded messages, whichever field a secret is in. Text that comes in pieces is covered before
(`output_redaction`), since only there more than a piece is seen, and is not looked at again: beside it, such an event
has the ids of the session and the turn alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from myagent.eventlog import Draft, EventLog, LogRefused, Opened, PromptKey, Stored, Unit
from myagent.redaction.redactor import Redactor

_OUTPUT = (b'{"type":"agent_stdout"', b'{"type":"agent_stderr"')


def milliseconds() -> int:
    """Now, since 1970, by this machine's clock, which may be set back."""
    return time.time_ns() // 1_000_000


class CoveredLog:
    """Writes to another log what the redactor leaves; each unit with the time at which it came here."""

    def __init__(self, log: EventLog, redactor: Redactor, clock: Callable[[], int] = milliseconds) -> None:
        self.log = log
        self._redactor = redactor
        self._clock = clock
        self.audited: Callable[[bytes], None] = lambda _: None  # gets each record of the audit that was stored

    def write(self, unit: Unit) -> None:
        cover = self._redactor.encoded
        audit = [cover(record) for record in unit.audit]

        def committed(stored: list[Stored]) -> None:
            unit.on_commit(stored)
            for record in audit:
                self.audited(record)

        self.log.write(
            replace(
                unit,
                on_commit=committed if audit else unit.on_commit,
                events=[self._draft(draft) for draft in unit.events],
                sessions={session_id: cover(document) for session_id, document in unit.sessions.items()},
                audit=audit,
                at=self._clock() if unit.events else None,
            )
        )

    def _draft(self, draft: Draft) -> Draft:
        body = draft.body if draft.body.startswith(_OUTPUT) else self._redactor.encoded(draft.body)
        update = None if draft.update is None else self._redactor.update(draft.update)
        return draft if body is draft.body and update is draft.update else Draft(draft.session_id, body, update)

    @property
    def refusing(self) -> LogRefused | None:
        return self.log.refusing

    async def open(self) -> Opened:
        return await self.log.open()

    async def room(self) -> None:
        await self.log.room()

    async def flush(self) -> None:
        await self.log.flush()

    async def read(self, after_pos: int, *, max_bytes: int) -> list[Stored]:
        return await self.log.read(after_pos, max_bytes=max_bytes)

    async def read_session(
        self, session_id: str, after_seq: int, *, until_seq: int | None = None, max_bytes: int
    ) -> list[Stored]:
        return await self.log.read_session(session_id, after_seq, until_seq=until_seq, max_bytes=max_bytes)

    async def read_back(self, session_id: str, before_seq: int, *, limit: int, max_bytes: int) -> list[Stored]:
        return await self.log.read_back(session_id, before_seq, limit=limit, max_bytes=max_bytes)

    async def find_prompt(self, client_id: str, session_id: str) -> PromptKey | None:
        return await self.log.find_prompt(client_id, session_id)

    async def find_opening(self, client_id: str, digest: bytes) -> PromptKey | None:
        return await self.log.find_opening(client_id, digest)

    async def read_audit(self, after: int, *, max_bytes: int) -> list[tuple[int, bytes]]:
        return await self.log.read_audit(after, max_bytes=max_bytes)

    async def reserve_epochs(self, count: int) -> int:
        return await self.log.reserve_epochs(count)

    async def retain(self, keep: int) -> None:
        await self.log.retain(keep)

    async def erase(self) -> None:
        await self.log.erase()

    async def close(self) -> None:
        await self.log.close()
