"""Owner epochs, reserved durably in blocks and ahead of time, so that granting the slot never waits for the disk."""

from __future__ import annotations

import logging

from myagent.core.ownership import Ownership
from myagent.eventlog import EventLog, LogRefused
from myagent.host.session_store import SessionStore

EPOCHS = 64  # in one block

_log = logging.getLogger(__name__)


class Epochs:
    """Keeps `ownership.ceiling` ahead of its epoch; without any ahead, nobody is granted the slot (a full disk)."""

    def __init__(self, log: EventLog, ownership: Ownership, store: SessionStore) -> None:
        self._log = log
        self._ownership = ownership
        self._store = store
        self._reserving = False

    def keep_ahead(self) -> None:
        """Reserve the next block if less than half of one is left; again, if an earlier try was refused."""
        if not self._reserving and self._ownership.ceiling - self._ownership.epoch < EPOCHS // 2:
            self._reserving = True
            self._store.spawn(self._reserve(), "reserve epochs")

    async def _reserve(self) -> None:
        try:
            # No other server reserves in this log, so the new block follows the present one.
            self._ownership.ceiling = await self._log.reserve_epochs(EPOCHS) + EPOCHS - 1
        except LogRefused as error:
            _log.warning("cannot reserve owner epochs: %s", error)
        finally:
            self._reserving = False
