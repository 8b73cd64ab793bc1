"""A relay's side of admission: what the host has said of a credential, kept for seconds."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myagent.access.credentials import Authenticator, Credential
from myagent.access.invites import Invites
from myagent.access.registry import Access
from myagent.exceptions import MyagentError
from myagent.relay.words import Verdict

FRESH_SECONDS = 5.0  # for which a verdict is believed without asking again
OFFLINE_SECONDS = 24 * 3600.0  # for which a credential that was good is believed while the host is away
WRONG_SECONDS = 2.0
KEPT = 10_000  # verdicts; the oldest gives way

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] ([A-Za-z0-9_-]{43,256})")


class Unjudged(MyagentError):
    """The host has to be asked about a token first."""

    def __init__(self, digest: bytes) -> None:
        super().__init__(digest)
        self.digest = digest


@dataclass(slots=True)
class _Kept:
    credential: Credential | None  # None: it is wrong
    fresh_until: float
    ends_at: float  # when it is not believed any more, whoever is away
    once: bool = False  # to be asked again each time
    granted: int = 0  # uses that were counted and not had yet


class JudgedInvites(Invites):
    """Those of a host, of which only what it has said is known."""

    def __init__(self, judged: Judged) -> None:
        super().__init__(Path("nowhere"))
        self._judged = judged

    def is_live(self, invite_id: str) -> bool:
        return self._judged.is_live(invite_id)

    def has_exchanged(self, invite_id: str, nonce: str) -> bool:
        return False


class Judged(Authenticator):
    """Checks credentials by what the host has said. Times are of `clock`, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()  # by digest, the oldest first

    def check(
        self,
        headers: Sequence[bytes],
        returns: Callable[[str], bool] = lambda invite_id: False,
        *,
        enrols: bool = False,
    ) -> Credential | None:
        """Raises `Unjudged` where only the host can tell."""
        matched = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
        if matched is None:
            return None
        digest = hashlib.sha256(matched[1]).digest()
        kept = self._kept.get(digest)
        now = self._clock()
        if kept is None or now >= min(kept.fresh_until, kept.ends_at) or (kept.once and not kept.granted):
            raise Unjudged(digest)
        if kept.once:
            kept.granted -= 1
        return kept.credential

    def still_good(self, credential: Credential) -> bool:
        now = self._clock()
        return any(kept.credential == credential and now < kept.ends_at for kept in self._kept.values())

    def take(self, digest: bytes, verdict: Verdict, *, used: bool) -> None:
        """The host has spoken. `used`: a use was counted, and may be had."""
        now = self._clock()
        known = self._kept.pop(digest, None)
        if not verdict.good:
            self._kept[digest] = _Kept(None, now + WRONG_SECONDS, now + WRONG_SECONDS)
        else:
            generation = int.from_bytes(digest[:8])  # tells one token from the next of the same id
            credential = Credential(
                verdict.credential_id, verdict.scope, verdict.session_id, generation, verdict.device_id
            )
            ends_at = now + (OFFLINE_SECONDS if verdict.seconds is None else min(verdict.seconds, OFFLINE_SECONDS))
            granted = (known.granted if known is not None else 0) + (verdict.once and used)
            self._kept[digest] = _Kept(credential, now + FRESH_SECONDS, ends_at, verdict.once, granted)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def believe(self, digest: bytes) -> bool:
        """The host is away: go by what it said last, if it said anything that still holds."""
        kept = self._kept.get(digest)
        now = self._clock()
        if kept is None or kept.credential is None or now >= kept.ends_at or kept.once:
            return False
        kept.fresh_until = now + FRESH_SECONDS
        return True

    def stale(self) -> None:
        """Something has changed at the host: it is asked again about everybody."""
        for kept in self._kept.values():
            kept.fresh_until = 0.0

    def good(self, credential_ids: Container[str]) -> list[bytes]:
        """The digests of those of some credentials that were good when they were last asked about."""
        kept = self._kept.items()
        return [digest for digest, each in kept if each.credential and each.credential.credential_id in credential_ids]

    def digest_of(self, credential_id: str, device_id: str | None) -> bytes | None:
        """What was shown last of a credential that was good."""
        for digest, kept in reversed(self._kept.items()):
            found = kept.credential
            if found is not None and (found.credential_id, found.device_id) == (credential_id, device_id):
                return digest
        return None

    def is_live(self, credential_id: str) -> bool:
        now = self._clock()
        kept = self._kept.values()
        return any(
            each.credential is not None and each.credential.credential_id == credential_id and now < each.ends_at
            for each in kept
        )


class JudgedAccess(Access):
    """Who may connect, as the host has said; nothing is counted or made here."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(Path("nowhere"))
        self.judged = Judged(clock)
        self.authenticator = self.judged
        self.invites = JudgedInvites(self.judged)

    def use(self, credential: Credential, network: str) -> None:
        """The host has counted it."""

    def reads(self, credential: Credential, network: str) -> None:
        """The host has counted it."""

    def exchange(self, credential: Credential, nonce: str, name: str = "") -> dict[str, Any]:
        """Devices are made by the host alone: whoever comes through a relay goes on with what they have."""
        return {"token": None}
