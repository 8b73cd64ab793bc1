"""Invites, and the devices' credentials that they are exchanged for; both expire, can be revoked, are digests here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from myagent.access.invites_file import Device, Invite, InvitesFile, read_invites, seconds_left, write_invites
from myagent.access.seal import UNSEALED, Foreign, Seal
from myagent.access.tokens import make_token, read_id
from myagent.core.messages import Scope
from myagent.exceptions import MyagentError

LIMIT = 100  # invites at a time
DEVICES = 1000  # that all invites were exchanged for
DEVICES_EACH = 200  # of one invite
LABEL_CHARACTERS = 64
LIFETIME = 365 * 24 * 3600.0  # seconds, at most
DEFAULT_LIFETIME = 24 * 3600.0  # a day, as long as most people remember what they handed out
ENROL_SECONDS = 300.0  # for which a link that pairs a device is good
PAIRED_LIFETIME = 90 * 24 * 3600.0  # of what a device is paired for
SECRET_BYTES = 20  # 160 bits

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # base32, lower case: survives being read aloud and double-clicked
_SECRET_CHARACTERS = SECRET_BYTES * 8 // 5


class InvitesFull(MyagentError):
    def __str__(self) -> str:
        return f"there are {LIMIT} invites already; revoke one first"


class Spent(MyagentError):
    def __str__(self) -> str:
        return "the invite has no uses left"


class Found(NamedTuple):
    """Whose token was shown; without a `device_id` it is the invite's own."""

    invite: Invite
    device_id: str | None


def boot_clock() -> float:
    """Seconds since the machine was started, also those in which it slept; no clock setting moves them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Invites:
    """The invites of a workspace. Every change is durable when the method that makes it returns.

    How long an invite still has is worked out when it is loaded; from there on only `clock` counts, so that a wall
    clock which is set back extends nothing.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = boot_clock,
        wall: Callable[[], float] = time.time,
        seal: Seal = UNSEALED,
    ) -> None:
        self._path = path
        self.seal = seal
        self._clock = clock
        self._wall = wall
        self._invites: dict[str, Invite] = {}
        self._deadlines: dict[str, float] = {}  # of the clock
        self._enrol_by: dict[str, float] = {}  # of the clock, for those that pair a device
        self._holders: dict[str, str] = {}  # of devices: the invite that each has come by
        self._nobody = secrets.token_bytes(32)  # compared with when the id is unknown, so that the work is the same
        self._unsaved = False  # something that may be lost: when an invite was seen last

    def load(self) -> None:
        """Read the file, if there is one. Raises `UnsafeState`, and `Foreign`; a file that cannot be used is never
        written over."""
        content = read_invites(self._path)
        if content is None:
            return
        if not self.seal.is_ours("invites", msgspec.json.encode(content.invites), content.seal):
            raise Foreign(self._path)
        lifetimes = {each.id: seconds_left(each, self._wall()) for each in content.invites}
        now = self._clock()
        for invite in content.invites:
            if lifetimes[invite.id] > 0:
                self._invites[invite.id] = invite
                self._deadlines[invite.id] = now + lifetimes[invite.id]
                if invite.enrol_by is not None:
                    self._enrol_by[invite.id] = now + seconds_left(invite, self._wall(), invite.enrol_by)
        self._holders = _holders(self._invites)
        if len(self._invites) < len(content.invites):
            self._save(self._invites)  # what has expired once stays so, whatever the clock says next time

    def adopt(self, source: Path) -> bool:
        """Put the invites of a file in place as ours; false if there is none. Raises `UnsafeState`, `OSError`."""
        content = read_invites(source)
        if content is None:
            return False
        self._save({each.id: each for each in content.invites})
        return True

    def live(self) -> list[Invite]:
        """The invites that are still good, the oldest first."""
        return [invite for invite in self._invites.values() if self.is_live(invite.id)]

    def expires_at(self, invite_id: str) -> str:
        return self._invites[invite_id].expires_at

    def label(self, invite_id: str) -> str:
        """What it was named; of one that there is no more, nothing."""
        return self._invites[invite_id].label if invite_id in self._invites else ""

    def ids(self) -> list[str]:
        """All that are stored, also those whose time is over and which `expire` has not dropped yet."""
        return [*self._invites]

    def device_ids(self) -> list[str]:
        """The devices of all of these."""
        return [*self._holders]

    def create(
        self,
        *,
        label: str,
        session_id: str | None,
        lifetime: float,
        uses: int | None,
        scope: Scope = "follower",
        pairs: bool = False,
    ) -> tuple[Invite, str]:
        """Make an invite; its token is told here and never again. One that `pairs` is for one device, which has
        `ENROL_SECONDS` to come. Raises `InvitesFull`, and `OSError`."""
        if len(self._invites) >= LIMIT:
            raise InvitesFull
        invite_id = self._new_id()
        token = make_token(invite_id, _random_text(_SECRET_CHARACTERS))
        lifetime = min(lifetime, LIFETIME)
        wall = self._wall()
        invite = Invite(
            id=invite_id,
            digest=_digest(token),
            label=label[:LABEL_CHARACTERS],
            session_id=session_id,
            created_at=_iso(wall),
            expires_at=_iso(wall + lifetime),
            uses=1 if pairs else uses,
            scope=scope,
            enrol_by=_iso(wall + ENROL_SECONDS) if pairs else None,
        )
        self._save({**self._invites, invite_id: invite})
        self._deadlines[invite_id] = self._clock() + lifetime
        if pairs:
            self._enrol_by[invite_id] = self._clock() + ENROL_SECONDS
        return invite, token

    def find(
        self,
        shown: bytes,
        digest: bytes,
        *,
        returns: Callable[[str], bool] = lambda invite_id: False,
        enrols: bool = False,
    ) -> Found | None:
        """The live invite or device whose token this is; `digest` is SHA-256 of what was shown. One look-up and one
        comparison in constant time, whatever is wrong. A spent invite is found where whoever shows it `returns`: has
        taken one of its uses before. `enrols`: it is shown to be exchanged, which is all that a link is for that pairs
        a device."""
        text = shown.decode("latin-1")
        device_id = read_id(text, "dev")
        invite = self._invites.get(self._holders.get(device_id, "") if device_id else read_id(text) or "")
        right = (invite.devices[device_id].digest if device_id else invite.digest) if invite else None
        same = hmac.compare_digest(digest, bytes.fromhex(right) if right else self._nobody)
        if invite is None or not same or not self.is_live(invite.id):
            return None
        if device_id is None and invite.enrol_by is not None and not enrols:
            return None
        return None if device_id is None and invite.spent and not returns(invite.id) else Found(invite, device_id)

    def find_digest(self, digest: bytes) -> Found | None:
        """The live invite or device whose token has this SHA-256; all are compared, whichever it is. The token of a
        link that pairs a device is none."""
        found = None
        for invite in self._invites.values():
            tokens: list[tuple[str | None, str]] = [(key, each.digest) for key, each in invite.devices.items()]
            if invite.enrol_by is None:
                tokens.append((None, invite.digest))
            for device_id, right in tokens:
                if hmac.compare_digest(digest, bytes.fromhex(right)) and self.is_live(invite.id):
                    found = Found(invite, device_id)
        return found

    def is_counted(self, invite_id: str) -> bool:
        """Whether it is good for a number of uses only."""
        invite = self._invites.get(invite_id)
        return invite is not None and invite.uses is not None

    def seconds_left(self, invite_id: str) -> float:
        return max(0.0, self._deadlines.get(invite_id, 0.0) - self._clock())

    def exchange(self, invite_id: str, nonce: str, label: str = "") -> str | None:
        """Take one of its uses for a device; the token of that, or `None` if no more devices can be kept. Whoever sends
        the same `nonce` again, which the device chose and keeps secret, is that device again and uses nothing.

        Raises `Spent`, `OSError`.
        """
        invite = self._invites[invite_id]
        if (known := self._made_with(invite, nonce)) is not None:
            return known
        if invite.spent or not self.is_live(invite_id):
            raise Spent
        if len(invite.devices) >= DEVICES_EACH or len(self._holders) >= DEVICES:
            return None
        device_id = self._new_id()
        token = make_token(device_id, _secret(invite, nonce), "dev")
        time = _iso(self._wall())
        device = Device(digest=_digest(token), created_at=time, last_seen=time, label=label[:LABEL_CHARACTERS])
        devices = {**invite.devices, device_id: device}
        used = replace(invite, used=invite.used + 1, last_seen=time, devices=devices)
        self._save({**self._invites, invite_id: used})
        return token

    def pairs(self, invite_id: str) -> bool:
        """Whether it is there to pair a device, which then keeps its credential."""
        return invite_id in self._enrol_by

    def has_exchanged(self, invite_id: str, nonce: str) -> bool:
        """Whether a device with this nonce has come by an invite."""
        return self._made_with(self._invites[invite_id], nonce) is not None

    def has_device(self, invite_id: str, device_id: str) -> bool:
        return self._holders.get(device_id) == invite_id

    def seen(self, invite_id: str, device_id: str | None) -> None:
        """Note that an invite was seen now, and the device."""
        invite, time = self._invites[invite_id], _iso(self._wall())
        devices = invite.devices
        if device_id is not None:
            devices = {**devices, device_id: replace(devices[device_id], last_seen=time)}
        self._invites[invite_id] = replace(invite, last_seen=time, devices=devices)
        self._unsaved = True

    def is_live(self, invite_id: str) -> bool:
        """Whether it is neither revoked nor expired, nor was to pair a device that did not come or is revoked."""
        now, enrol_by = self._clock(), self._enrol_by.get(invite_id)
        if enrol_by is not None and now >= enrol_by and not self._invites[invite_id].devices:
            return False
        return now < self._deadlines.get(invite_id, 0.0)

    def use(self, invite_id: str) -> bool:
        """Take one of its uses, and note that it was seen; false if there is none left. Raises `OSError`."""
        invite = self._invites.get(invite_id)
        if invite is None or not self.is_live(invite_id) or invite.spent:
            return False
        used = replace(invite, used=invite.used + 1, last_seen=_iso(self._wall()))
        if invite.uses is None:
            self._invites[invite_id] = used
            self._unsaved = True
        else:
            self._save({**self._invites, invite_id: used})
        return True

    def revoke(self, ids: list[str]) -> list[str]:
        """End invites with their devices, or devices alone; returns those that there were. Raises `OSError` if that is
        not durable: they are ended then all the same, for as long as this process lives."""
        gone = [each for each in ids if each in self._invites or each in self._holders]
        if gone:
            self._drop(gone)
        return gone

    def expire(self) -> list[str]:
        """Drop the invites whose time is over; returns them. Raises `OSError` as `revoke` does."""
        gone = [each for each in self._invites if not self.is_live(each)]
        if gone:
            self._drop(gone)
        return gone

    def save(self) -> None:
        """Store when invites were seen last, if that has changed. Raises `OSError`."""
        if self._unsaved:
            self._save(self._invites)

    def _drop(self, ids: list[str]) -> None:
        for each in ids:
            if each in self._invites:
                del self._invites[each], self._deadlines[each]
                self._enrol_by.pop(each, None)
            elif (invite := self._invites.get(self._holders[each])) is not None:
                devices = {key: device for key, device in invite.devices.items() if key != each}
                self._invites[invite.id] = replace(invite, devices=devices)
        self._holders = _holders(self._invites)
        self._save(self._invites)

    def _save(self, invites: dict[str, Invite]) -> None:
        mark = self.seal.mark("invites", msgspec.json.encode(list(invites.values())))
        write_invites(self._path, InvitesFile(1, list(invites.values()), mark))
        self._invites = invites
        self._holders = _holders(invites)
        self._unsaved = False

    def _new_id(self) -> str:
        """An id that neither an invite nor a device has."""
        while (made := _random_text(8)) in self._invites or made in self._holders:
            pass
        return made

    def _made_with(self, invite: Invite, nonce: str) -> str | None:
        """The token of the device that an invite was exchanged for with this nonce."""
        secret = _secret(invite, nonce)
        for device_id, device in invite.devices.items():
            token = make_token(device_id, secret, "dev")
            if hmac.compare_digest(_digest(token), device.digest):
                return token
        return None


def _secret(invite: Invite, nonce: str) -> str:
    """That of a device's token: the same each time, so that an answer which was lost can be asked for again."""
    made = hmac.new(bytes.fromhex(invite.digest), b"device " + nonce.encode(), hashlib.sha256).digest()
    return base64.b32encode(made[:SECRET_BYTES]).decode().lower()


def _holders(invites: dict[str, Invite]) -> dict[str, str]:
    return {device_id: invite.id for invite in invites.values() for device_id in invite.devices}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
