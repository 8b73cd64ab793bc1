"""The host's side of admission: relays ask whether a credential is good, and the host alone says so."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from myagent.access.credentials import OWNER, Credential
from myagent.access.invites import Spent
from myagent.access.registry import Access
from myagent.relay.engine import Engine
from myagent.relay.subjects import INBOXES, access
from myagent.relay.words import Question, Verdict

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)


class Doorkeeper:
    """Answers for one name, from the first `open` until `close`. `ours`: whether it is we who publish so."""

    def __init__(self, registry: Access, engine: Engine, name: str, ours: Callable[[], bool]) -> None:
        self._access = registry
        self._engine = engine
        self._name = name
        self._ours = ours
        self._granted: Counter[str] = Counter()  # uses of invites that were counted, and nobody was seated for yet
        self._listening = False
        self._closed = False

    async def open(self) -> None:
        if not self._listening:
            self._listening = True
            await self._engine.hear(access(self._name), self._asked)

    def close(self) -> None:
        self._closed = True

    async def _asked(self, message: Msg) -> None:
        if self._closed or not self._ours() or not message.reply.startswith(INBOXES):
            return
        try:
            question = msgspec.json.decode(message.data, type=Question)
            digest = bytes.fromhex(question.digest)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return
        await message.respond(msgspec.json.encode(self.judge(digest, question)))

    def judge(self, digest: bytes, question: Question) -> Verdict:
        """Whether the bearer of a token may do what is asked; what counts against its invite is counted here."""
        found = self._access.authenticator.check_digest(digest)
        if found is None:
            return Verdict(False)
        counted = self._is_counted(found)
        if counted and question.use != "look" and not self._count(found, question):
            return Verdict(False)
        if counted and question.use == "join" and found.scope != "follower":
            self._granted[found.credential_id] += 1
        seconds = None if found.credential_id == OWNER else self._access.invites.seconds_left(found.credential_id)
        return Verdict(
            True, found.credential_id, found.scope, found.session_id, found.device_id, seconds=seconds, once=counted
        )

    def _is_counted(self, found: Credential) -> bool:
        return self._access.invites.is_counted(found.credential_id) and found.device_id is None

    def was_counted(self, found: Credential) -> bool:
        """Whether somebody may be seated with a credential: each use of one that is counted is good for one seat."""
        if not self._is_counted(found):
            return True
        if self._granted[found.credential_id] == 0:
            return False
        self._granted[found.credential_id] -= 1
        return True

    def _count(self, found: Credential, question: Question) -> bool:
        try:
            if question.use == "join":
                self._access.use(found, question.network)
            else:
                self._access.reads(found, question.network)
        except Spent:
            return False
        except OSError as error:
            _log.warning("a use of an invite could not be stored: %s", error.strerror)
            return False
        return True
