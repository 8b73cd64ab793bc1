"""Rules at work: which one allows what an agent asks, what a decision asks to be remembered, and their list."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from msgspec.structs import replace

from myagent.core import rules
from myagent.core.audit import entry
from myagent.core.codec import encode
from myagent.core.messages import Ack, ListRules, PermissionDecision, RevokeRule, Rules
from myagent.core.permissions import ToolCall
from myagent.core.refusals import DiskFull, NotAllowed
from myagent.core.rule import Missed, Offer, Remember, Rule
from myagent.core.session import Session
from myagent.exceptions import MyagentError
from myagent.host.peer import Peer, name_of
from myagent.host.session_store import SessionStore, iso, now
from myagent.redaction.redactor import Redactor

ONE_SESSION = "this connection watches one session, and makes and ends no rules beyond it"

_log = logging.getLogger(__name__)


class Book(Protocol):
    """Where rules are kept. Every change is durable when the method returns; `OSError` where it cannot be."""

    def live(self) -> list[Rule]: ...

    def add(self, rule: Rule) -> None: ...

    def revoke(self, rule_ids: list[str] | None) -> list[Rule]: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What rules make of a request: the one that allows it, or else what is shown beside it."""

    rule: Rule | None = None
    offers: tuple[Offer, ...] = ()
    missed: tuple[Missed, ...] = ()


class Remembering:
    """The rules of a workspace; without a `book` there are none, and none can be made."""

    def __init__(self, book: Book | None, store: SessionStore, redactor: Redactor) -> None:
        self._book = book
        self._store = store
        self._redactor = redactor
        store.erases.append(self.forget_gone)

    def judge(self, call: ToolCall, session: Session, time: datetime) -> Verdict:
        """Look at a request before it is put; the store's lock is held."""
        if self._book is None:
            return Verdict()
        rule, missed = rules.judge(
            call, self._book.live(), cwd=session.cwd, session_id=session.session_id, now=iso(time), resolve=_leads
        )
        return Verdict(rule, () if rule else rules.offers(call, session.cwd, resolve=_leads), missed)

    async def forget_gone(self) -> None:
        """End the rules of sessions that were deleted."""
        rows = self._book.live() if self._book else []
        gone = [each.rule_id for each in rows if each.session_id not in (None, *self._store.sessions)]
        if self._book is not None and gone:
            try:
                self._book.revoke(gone)
            except OSError as error:  # they count no more; the file has them until its next change
                _log.warning("the rules of a deleted session are still in the file: %s", error.strerror or error)

    def used(self, rule: Rule, session: Session, request_id: str, turn_id: str) -> bytes:
        """The audit's record of a rule that allowed something."""
        fields = {"session": session.session_id, "turn": turn_id, "request": request_id, "rule": rule.rule_id}
        return entry("rule_used", now(), {**fields, "credential": rule.credential, "shown": rule.shown})

    def keep(
        self, peer: Peer, message: PermissionDecision, call: ToolCall, session: Session, time: datetime,
        actor: Mapping[str, Any],
    ) -> tuple[Rule, bytes]:  # fmt: skip
        """Store the rule that a decision asks for, before the decision itself; with it, the audit's record of it.

        Raises `Refused`, and nothing was kept."""
        assert message.decision.remember is not None
        if self._book is None:
            raise NotAllowed("this server keeps no rules")
        if peer.cursor.session_id is not None and message.decision.remember.scope != "session":
            raise NotAllowed(ONE_SESSION)
        rule = rules.make(
            call, _with_utc(message.decision.remember), cwd=session.cwd, rule_id=secrets.token_hex(4),
            session_id=session.session_id, stamp=iso(time), made_by=name_of(peer),
            credential=str(actor.get("credential")), message_id=message.id, resolve=_leads,
        )  # fmt: skip
        rule = replace(rule, shown=self._redactor.text(rule.shown))
        try:
            self._book.add(rule)
        except OSError:
            raise DiskFull from None
        except MyagentError as error:
            raise NotAllowed(str(error)) from None
        fields = {"session": session.session_id, "rule": rule.rule_id, "match": rule.match, "shown": rule.shown}
        fields["scope"] = message.decision.remember.scope
        return rule, entry("rule", now(), {**actor, **fields, "until": rule.until})

    def forget(self, rule: Rule) -> None:
        """Take a rule back whose decision could not be stored."""
        assert self._book is not None
        try:
            self._book.revoke([rule.rule_id])
        except OSError:  # it counts no more; what is in the file ends with the next change of it
            self._store.record("rule_revoked", {"rule": rule.rule_id, "why": "its decision was not stored"})

    def receive(self, peer: Peer, message: ListRules | RevokeRule, actor: Mapping[str, Any]) -> None:
        """List the rules, or end one at once. Raises `Refused`."""
        seen = [each for each in (self._book.live() if self._book else []) if _sees(peer, each)]
        if isinstance(message, ListRules):
            peer.send(encode(Rules(id=message.id, rules=seen)))
            return
        if peer.cursor.session_id is not None and message.rule_id not in [each.rule_id for each in seen]:
            raise NotAllowed(ONE_SESSION)
        try:
            gone = self._book.revoke([message.rule_id]) if self._book else []
        except OSError:
            self._store.record("rule_revoked", {**actor, "rule": message.rule_id})
            raise DiskFull("the rule counts no more until the server stops") from None
        if gone:
            self._store.record("rule_revoked", {**actor, "rule": message.rule_id})
        peer.send(encode(Ack(id=message.id, duplicate=not gone)))


def _sees(peer: Peer, rule: Rule) -> bool:
    """Whether a rule is shown to a connection: to one that watches one session, those of that session."""
    only = peer.cursor.session_id
    return only is None or rule.session_id == only


def _leads(path: str) -> str:
    """Where a path leads, through all links; one that cannot be is itself."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return path


def _with_utc(remember: Remember) -> Remember:
    """With its end as the core compares it; one that is no time stays as it is, and is refused there."""
    try:
        until = datetime.fromisoformat(remember.until or "")
    except ValueError:
        return remember
    try:
        return replace(remember, until=iso(until.astimezone(UTC))) if until.tzinfo is not None else remember
    except OverflowError:
        return remember
