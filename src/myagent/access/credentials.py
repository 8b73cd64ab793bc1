"""Who may connect: the owner token, invites, and the check of an `Authorization` header."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from myagent.access.invites import Invites
from myagent.access.invites_file import Invite
from myagent.access.seal import UNSEALED, Foreign, Seal
from myagent.access.state_directory import UnsafeState, read_private, write_private
from myagent.core.messages import Scope, SessionId
from myagent.core.ownership import OWNER_CREDENTIAL

TOKEN_BYTES = 32  # 256 bits, written URL-safe in 43 characters
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] ([A-Za-z0-9_-]{43,256})")  # RFC 6750; the scheme ignores case


class AuthFile(msgspec.Struct, frozen=True, rename="camel"):
    """What `auth.json` holds."""

    version: int
    token: str
    created_at: str
    seal: str = ""  # that it was made here, see `seal.py`


OWNER = OWNER_CREDENTIAL


@dataclass(frozen=True, slots=True)
class Credential:
    """What a verified token may do. `credential_id` names it in records; it is no secret. With a `session_id` it sees
    that session alone. `generation`: of the owner token that it was verified by; an invite's id is never used again.
    `device_id`: which of the devices that an invite was exchanged for; `credential_id` is the invite's then."""

    credential_id: str
    scope: Scope
    session_id: SessionId | None = None
    generation: int = 0
    device_id: str | None = None
    label: str = ""  # that the operator gave it, or else what a device called itself when it came


class Authenticator:
    """Checks what a request shows. Only digests are kept and compared, in constant time, as bytes."""

    def __init__(self, token: str, invites: Invites) -> None:
        self._owner = hashlib.sha256(token.encode()).digest()
        self._generation = 0  # of the owner token
        self._invites = invites

    def rotate(self, token: str) -> None:
        """Take another owner token for the right one; credentials that the one before gave are good no longer."""
        self._owner = hashlib.sha256(token.encode()).digest()
        self._generation += 1

    def check(
        self,
        headers: Sequence[bytes],
        returns: Callable[[str], bool] = lambda invite_id: False,
        *,
        enrols: bool = False,
    ) -> Credential | None:
        """Judge all `Authorization` header values of a request: exactly one, well-formed and right, or `None`. The same
        is done whatever is wrong. `returns` and `enrols` as for `Invites.find`."""
        matched = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
        shown = matched.group(1) if matched else b""
        digest = hashlib.sha256(shown).digest()
        owns = hmac.compare_digest(digest, self._owner)
        found = self._invites.find(shown, digest, returns=returns, enrols=enrols)
        if owns:
            return Credential(OWNER, "owner", generation=self._generation)
        if found is None:
            return None
        invite, device_id = found
        session_id = SessionId(invite.session_id) if invite.session_id else None
        return Credential(invite.id, invite.scope, session_id, device_id=device_id, label=_label(invite, device_id))

    def check_digest(self, digest: bytes) -> Credential | None:
        """Judge a token of which SHA-256 is all that is shown; whether an invite is spent is for whoever counts."""
        owns = hmac.compare_digest(digest, self._owner)
        found = self._invites.find_digest(digest)
        if owns:
            return Credential(OWNER, "owner", generation=self._generation)
        if found is None:
            return None
        invite, device_id = found
        session_id = SessionId(invite.session_id) if invite.session_id else None
        return Credential(invite.id, invite.scope, session_id, device_id=device_id, label=_label(invite, device_id))

    def of_device(self, invite_id: str, device_id: str) -> Credential | None:
        """What a device may now; `None` where it, or the invite that it came by, is good no more."""
        invite = next((each for each in self._invites.live() if each.id == invite_id), None)
        if invite is None or device_id not in invite.devices:
            return None
        session_id = SessionId(invite.session_id) if invite.session_id else None
        label = invite.label or invite.devices[device_id].label
        return Credential(invite_id, invite.scope, session_id, device_id=device_id, label=label)

    def still_good(self, credential: Credential) -> bool:
        """Whether a credential that was right has been neither replaced, revoked nor expired since. To be asked when
        its effect happens, with nothing awaited in between: that it was right when the request came says nothing."""
        if credential.credential_id == OWNER:
            return credential.generation == self._generation
        device_id = credential.device_id
        return self._invites.is_live(credential.credential_id) and (
            device_id is None or self._invites.has_device(credential.credential_id, device_id)
        )


def _label(invite: Invite, device_id: str | None) -> str:
    return invite.label or (invite.devices[device_id].label if device_id else "")


def load_owner_token(path: Path, seal: Seal = UNSEALED) -> str:
    """Read the owner token from `auth.json`, or make it on first use. Raises `UnsafeState` with the remedy, and
    `Foreign`; a file that is there is never written over."""
    content = _read(path)
    if content is None:
        return new_owner_token(path, seal)
    if not seal.is_ours(OWNER, content.token.encode(), content.seal):
        raise Foreign(path)
    return content.token


def adopt_owner_token(source: Path, path: Path, seal: Seal) -> bool:
    """Put the token of a file in place as ours; false if there is none. Raises `UnsafeState`, `OSError`."""
    content = _read(source)
    if content is None:
        return False
    mark = seal.mark(OWNER, content.token.encode())
    write_private(path, msgspec.json.encode(replace(content, seal=mark)) + b"\n")
    return True


def new_owner_token(path: Path, seal: Seal = UNSEALED) -> str:
    """Make an owner token and store it, in place of the present one if there is one. Raises `OSError`."""
    while (token := secrets.token_urlsafe(TOKEN_BYTES)).startswith("-"):
        pass  # no command line would take it for a value
    created_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    content = AuthFile(1, token, created_at, seal.mark(OWNER, token.encode()))
    write_private(path, msgspec.json.encode(content) + b"\n")
    return token


def _read(path: Path) -> AuthFile | None:
    data = read_private(path)
    if data is None:
        return None
    try:
        content = msgspec.json.decode(data, type=AuthFile)
    except (msgspec.DecodeError, RecursionError):
        content = None
    if content is None or content.version != 1 or not re.fullmatch(r"[A-Za-z0-9_-]{43,256}", content.token):
        raise UnsafeState(
            path, "does not hold an owner token of version 1", "mend it, or remove it to have a new token made"
        )
    return content
