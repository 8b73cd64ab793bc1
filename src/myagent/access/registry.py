"""Who may connect to a workspace, and every change to that: stored first, then recorded, then carried out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import msgspec

from myagent.access.credentials import (
    OWNER,
    Authenticator,
    Credential,
    adopt_owner_token,
    load_owner_token,
    new_owner_token,
)
from myagent.access.invites import LABEL_CHARACTERS, LIFETIME, Invites, Spent
from myagent.access.invites_file import Invite
from myagent.access.push_book import PushBook
from myagent.access.readers import Readers
from myagent.access.rule_book import RuleBook
from myagent.access.seal import UNSEALED, Foreign, Seal
from myagent.access.tokens import read_id
from myagent.core.display import escape
from myagent.core.messages import Scope
from myagent.core.ownership import MAY, told
from myagent.exceptions import MyagentError


class Request(msgspec.Struct, frozen=True, rename="camel", tag_field="op", kw_only=True, forbid_unknown_fields=True):
    """What an operator asks of a workspace on its own machine."""


class CreateInvite(Request, frozen=True, kw_only=True, omit_defaults=True, tag="invite"):
    lifetime: float  # seconds
    scope: Scope = "follower"
    pairs: bool = False  # one device, which has five minutes to come
    label: str = ""
    session_id: str | None = None
    uses: int | None = None


class ListInvites(Request, frozen=True, kw_only=True, tag="invites"):
    pass


class RevokeInvites(Request, frozen=True, kw_only=True, tag="revoke"):
    invite_ids: list[str] | None = None  # also those of devices; None: all


class RotateToken(Request, frozen=True, kw_only=True, tag="rotate"):
    pass


class AskStatus(Request, frozen=True, kw_only=True, tag="status"):
    pass


class AskRules(Request, frozen=True, kw_only=True, tag="rules"):
    pass


class EndRules(Request, frozen=True, kw_only=True, tag="end_rules"):
    rule_ids: list[str] | None = None  # None: all


AnyRequest = CreateInvite | ListInvites | RevokeInvites | RotateToken | AskStatus | AskRules | EndRules


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new invite. Whoever has its token or its link may do what its scope says, until `expires_at` (ISO 8601 UTC)."""

    id: str
    token: str
    expires_at: str
    link: str  # opens the page


class BadRequest(MyagentError):
    """Something that an operator asked makes no sense here."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


_log = logging.getLogger(__name__)


class NotStored(MyagentError):
    """A change could not be made durable."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class Access:
    """The credentials of a workspace; what is not overridden suits a workspace that nobody serves."""

    def __init__(self, directory: Path) -> None:
        self.auth_path = directory / "auth.json"
        self._invites_path = directory / "invites.json"
        self.invites = Invites(self._invites_path)
        self.rules = RuleBook(directory / "rules.json")
        self.push = PushBook(directory / "push.json")
        self.readers = Readers()
        self._seal: Seal = UNSEALED
        self.token = ""
        self.authenticator: Authenticator
        self.record: Callable[[str, dict[str, Any]], None] = lambda kind, fields: None  # into the audit
        self.end: Callable[[str, str], None] = lambda credential_id, why: None  # its connections
        self.rotated: Callable[[str, str], None] = lambda old, new: None  # the owner token
        self.connected: Callable[[str], int] = lambda credential_id: 0  # how many it has
        self.knows_session: Callable[[str], bool] = lambda session_id: True
        self.status: Callable[[], dict[str, Any]] = dict  # about the listener

    def load(self, *, set_aside: bool = False) -> list[Path]:
        """Read the credentials, or make the owner token on first use. Raises `UnsafeState`, and `Foreign` for what was
        not made by this user on this machine; or, with `set_aside`, gives such files other names, and returns them."""
        self._seal = self.invites.seal = self.rules.seal = self.push.seal = Seal.of_this_user()
        moved: list[Path] = []
        for path, load in (
            (self.auth_path, self._load_token),
            (self._invites_path, self.invites.load),
            (self.rules.path, self.rules.load),
            (self.push.path, self.push.load),
        ):
            try:
                load()
            except Foreign:
                if not set_aside:
                    raise
                moved.append(_aside(path))
                path.rename(moved[-1])
                load()
        self.authenticator = Authenticator(self.token, self.invites)
        return moved

    def adopt(self) -> list[Path]:
        """Take for ours what was not made here: what was set aside, or else what is in place; returns the files.
        Raises `UnsafeState`, `OSError`, `NotStored` where nothing can be marked as ours."""
        self._seal = self.invites.seal = self.rules.seal = self.push.seal = Seal.of_this_user()
        if not self._seal.mark("", b""):
            raise NotStored("nothing was adopted", "this user has no directory in which a key can be kept")
        adopted = []
        for path, adopt in (
            (self.auth_path, lambda source: adopt_owner_token(source, self.auth_path, self._seal)),
            (self._invites_path, self.invites.adopt),
            (self.rules.path, self.rules.adopt),
            (self.push.path, self.push.adopt),
        ):
            aside = _aside(path)
            if adopt(aside if os.path.lexists(aside) else path):
                adopted.append(path)
                aside.unlink(missing_ok=True)
        return adopted

    def exchange(self, credential: Credential, nonce: str, name: str = "") -> dict[str, Any]:
        """What `GET /device` answers: a token for the device that has chosen `nonce` and calls itself `name`, or `None`
        for one whose own is good already and stays so. Raises `Spent`, `OSError`."""
        invite_id = credential.credential_id
        if invite_id == OWNER or credential.device_id is not None:
            return {"token": None}
        known = set(self.invites.device_ids())
        token = self.invites.exchange(invite_id, nonce, name)
        device_id = None if token is None else read_id(token, "dev")
        if device_id is not None and device_id not in known:
            self.record("device", {"credential": invite_id, "device": device_id, "label": name or None})
        paired = self.invites.pairs(invite_id)
        told = {"token": token, "deviceId": device_id, "expiresAt": self.invites.expires_at(invite_id)}
        return {**told, "keep": True} if paired else told

    def use(self, credential: Credential, network: str) -> None:
        """Count a WebSocket against an invite. A device was counted when it came, and who has just read over HTTP with
        the invite's own token when they did that.

        Raises `Spent`, `OSError`.
        """
        invite_id, device_id = credential.credential_id, credential.device_id
        if invite_id == OWNER:
            return
        if device_id is not None or self.readers.join(invite_id, network):
            self.invites.seen(invite_id, device_id)
        elif not self.invites.use(invite_id):
            raise Spent

    def reads(self, credential: Credential, network: str) -> None:
        """Count a request that reads over HTTP; who shows an invite's own token takes one of its uses with a visit.

        Raises `Spent`, `OSError`.
        """
        invite_id, device_id = credential.credential_id, credential.device_id
        if invite_id == OWNER:
            return
        reader = device_id or network
        if device_id is not None or self.readers.is_here(invite_id, reader):
            self.invites.seen(invite_id, device_id)
        elif not self.invites.use(invite_id):
            raise Spent
        self.readers.came(invite_id, reader)

    def _load_token(self) -> None:
        self.token = load_owner_token(self.auth_path, self._seal)

    def answer(self, request: AnyRequest) -> dict[str, Any]:
        """Do what is asked; returns JSON-able data. Raises `MyagentError`."""
        match request:
            case CreateInvite():
                return self._create(request)
            case ListInvites():
                return {"invites": [self._describe(invite) for invite in self.invites.live()]}
            case RevokeInvites():
                return self._revoke(request.invite_ids)
            case RotateToken():
                return self._rotate()
            case AskStatus():
                return self.status()
            case AskRules():
                return {"rules": [msgspec.to_builtins(rule) for rule in self.rules.live()]}
            case EndRules():
                return {"revoked": self.end_rules(request.rule_ids, {"by": "control"})}
            case _:
                assert_never(request)

    def end_rules(self, rule_ids: list[str] | None, actor: Mapping[str, Any]) -> list[str]:
        """End rules at once, or all; the ids of those that there were. Raises `NotStored`, having ended them."""
        known = {rule.rule_id for rule in self.rules.live()}
        if rule_ids is not None and not known.intersection(rule_ids):
            raise BadRequest("no such rule; it may have ended before: `myagent remote rules` lists those that count")
        failed: OSError | None = None
        try:
            self.rules.revoke(rule_ids)
        except OSError as error:
            failed = error
        gone = sorted(known - {rule.rule_id for rule in self.rules.live()})
        for each in gone:
            self.record("rule_revoked", {**actor, "rule": each})
        if failed is not None:
            raise NotStored(
                "revoked until the server stops, but that could not be stored: revoke again when it can",
                failed.strerror or str(failed),
            )
        return gone

    def expire(self) -> None:
        """End what has expired; called at least twice a second. Raises `OSError`, having ended it."""
        gone = [each for each in self.invites.ids() if not self.invites.is_live(each)]
        try:
            self.rules.store_again()
            self.push.store_again()
            if gone:
                self.invites.expire()
        finally:
            for invite_id in gone:
                self.readers.forget(invite_id)
                self._end_rules_of(invite_id)
                self.record("expired", {"credential": invite_id})
                self.end(invite_id, "expired")

    def _end_rules_of(self, credential_id: str) -> NotStored | None:
        """What somebody gave leave for ends with their credential. What cannot be stored of that is said, and tried
        again with each `expire`: a restart before it can be would find them in the file."""
        made = [rule.rule_id for rule in self.rules.live() if rule.credential == credential_id]
        try:
            if made:
                self.end_rules(made, {"credential": credential_id})
        except NotStored as error:
            _log.warning("rules of %s have ended, and that could not be stored yet: %s", credential_id, error.reason)
            return NotStored(
                "it has ended, and its rules until the server stops; that is stored when it can be", error.reason
            )
        return None

    def _create(self, request: CreateInvite) -> dict[str, Any]:
        if not 1 <= request.lifetime <= LIFETIME:
            raise BadRequest("an invite can be made for 1 second to 365 days")
        if request.uses is not None and not 1 <= request.uses <= 1_000_000:
            raise BadRequest("an invite can be good for 1 to 1,000,000 devices")
        if request.session_id is not None and not self.knows_session(request.session_id):
            raise BadRequest("no such session in this workspace")
        label = escape(" ".join(request.label.split()))[:LABEL_CHARACTERS]
        try:
            invite, token = self.invites.create(
                label=label,
                session_id=request.session_id,
                lifetime=request.lifetime,
                uses=request.uses,
                scope=request.scope,
                pairs=request.pairs,
            )
        except OSError as error:
            raise NotStored("no invite was made", error.strerror or str(error)) from None
        self.record("invite", {"credential": invite.id, "may": MAY[invite.scope], **_facts(invite)})
        return {"token": token, **self._describe(invite), "server": self.status() or None}

    def _revoke(self, invite_ids: list[str] | None) -> dict[str, Any]:
        known = self.invites.ids() if invite_ids is None else [*self.invites.ids(), *self.invites.device_ids()]
        chosen = known if invite_ids is None else [each for each in dict.fromkeys(invite_ids) if each in known]
        if invite_ids is not None and not chosen:
            raise BadRequest("no such invite or device; it may have expired, or been revoked before")
        devices = set(self.invites.device_ids())
        failed: OSError | None = None
        try:
            self.invites.revoke(chosen)
        except OSError as error:
            failed = error
        closed = {each: self.connected(each) for each in chosen}
        unstored: NotStored | None = None
        for each in chosen:
            self.readers.forget(each)
            unstored = self._end_rules_of(each) or unstored
            self.record("revoked", {"device" if each in devices else "credential": each})
            self.end(each, "revoked")
        if failed is not None:
            raise NotStored(
                "revoked until the server stops, but that could not be stored: revoke again when it can",
                failed.strerror or str(failed),
            )
        if unstored is not None:
            raise unstored
        return {"revoked": chosen, "closed": sum(closed.values())}

    def _rotate(self) -> dict[str, Any]:
        old = self.token
        try:
            self.token = new_owner_token(self.auth_path, self._seal)
        except OSError as error:
            raise NotStored("the token is as it was", error.strerror or str(error)) from None
        self.authenticator.rotate(self.token)
        self.rotated(old, self.token)
        closed = self.connected(OWNER)
        self.record("rotated", {"credential": OWNER})
        unstored = self._end_rules_of(OWNER)
        self.end(OWNER, "revoked")
        if unstored is not None:
            raise unstored
        return {"closed": closed, "authFile": str(self.auth_path)}

    def _describe(self, invite: Invite) -> dict[str, Any]:
        return {
            "id": invite.id,
            "scope": told(invite.scope),
            "may": MAY[invite.scope],
            "enrolBy": invite.enrol_by,
            **_facts(invite),
            "createdAt": invite.created_at,
            "used": invite.used,
            "lastSeen": invite.last_seen,
            "connections": self.connected(invite.id),
            "reading": self.readers.count(invite.id),
            "devices": [
                {
                    "id": device_id,
                    "label": device.label,
                    "createdAt": device.created_at,
                    "lastSeen": device.last_seen,
                    "connections": self.connected(device_id),
                    "reading": int(self.readers.is_here(invite.id, device_id)),
                }
                for device_id, device in invite.devices.items()
            ],
        }


def _aside(path: Path) -> Path:
    """What credentials that are not ours are called."""
    return path.with_name(f"{path.name}.not-ours")


def _facts(invite: Invite) -> dict[str, Any]:
    return {
        "label": invite.label,
        "sessionId": invite.session_id,
        "expiresAt": invite.expires_at,
        "uses": invite.uses,
    }
