"""What happens at a server, a line each, worded from the records of its audit: who comes and goes, who owns, what waits
for an answer and how it was answered. Wrong credentials, which are in no audit, are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from myagent.core.display import escape
from myagent.text.wording import OUTCOMES

NAMES = 4096  # connections, requests and invites that are remembered, the latest of each
WRONG_SECONDS = 60.0  # between two lines about wrong credentials
TEXT = 80  # characters of what others chose, in one line
_SHORT = 8  # characters of an id that tell it from others

_OWNERSHIP = {
    "joined": "{who} owns the session",
    "claimed": "{who} has claimed the session",
    "taken_over": "{who} has taken the session over",
    "handed_over": "{who} owns the session: it was handed over",
    "reclaimed": "{who} is back and owns the session",
    "released": "nobody owns the session: {lost} has released it",
    "left": "nobody owns the session: {lost} has left",
    "lost": "nobody owns the session: {lost} dropped out",
    "grace_over": "nobody owns the session: its owner did not come back in time",
}


class Happenings:
    """Words records. `invite_label` gives the name of an invite, by its id, or an empty text."""

    def __init__(self, invite_label: Callable[[str], str]) -> None:
        self._invite_label = invite_label
        self._names: dict[str, str] = {}  # of connections
        self._asked: dict[str, str] = {}  # by request
        self._labels: dict[str, str] = {}  # of invites, also of such as are gone
        self._wrong = 0  # that are not told yet
        self._wrong_told: float | None = None  # when they were

    def line(self, record: Mapping[str, Any]) -> str | None:
        """What to say of a record, which is safe for a terminal; of most kinds, nothing."""
        match record.get("kind"):
            case "join":
                if record.get("label"):
                    _remember(self._names, str(record["connection"]), _text(record["label"]))
                return f"{self._who(record['connection'])} joined as {record['role']}, with {self._credential(record)}"
            case "leave":
                return f"{self._who(record['connection'])} left"
            case "visits":
                return f"{record['joins']} joined and {record['leaves']} left, with {self._credential(record)}"
            case "owner":
                return self._owner(record)
            case "request":
                what = _text(record.get("target") or record.get("title") or record.get("tool") or "a tool call")
                _remember(self._asked, str(record["request"]), what)
                return f"waits for the owner, in session {_short(record['session'])}: {what}"
            case "allowed":
                return self._allowed(record)
            case "decision" | "resolved":
                return self._answered(record)
            case "invite":
                return f"an invite was made: {self._credential(record)}"
            case "control_requested":
                return f"{self._who(record['connection'])} asks the owner to hand over"
            case "revoked" | "expired":
                credential = record.get("credential")
                which = self._named(str(credential)) if credential else f"device {_short(record.get('device'))}"
                return f"{record['kind']}: {which}"
            case "rotated":
                return "the owner token was replaced"
            case _:
                return None

    def wrong_credential(self, address: str, now: float) -> str | None:
        """Take a wrong credential, at a time in seconds of any clock; they are told at most once a minute."""
        self._wrong += 1
        if self._wrong_told is not None and now - self._wrong_told < WRONG_SECONDS:
            return None
        count, self._wrong, self._wrong_told = self._wrong, 0, now
        more = f" (and {count - 1} more since the last such line)" if count > 1 else ""
        return f"a wrong credential from {_text(address)}{more}"

    def _owner(self, record: Mapping[str, Any]) -> str | None:
        connection, lost = record.get("connection"), record.get("lost")
        who, loser = self._who(connection), self._who(lost)
        said = _OWNERSHIP.get(str(record.get("why")))
        if said is None:
            said = "{who} owns the session" if connection else "nobody owns the session"
        return said.format(who=who, lost=loser)

    def _allowed(self, record: Mapping[str, Any]) -> str:
        what = self._asked.get(str(record["request"]), "a request")
        who = f"{_text(record['allows'])} of {_text(record['people'])} people"
        if not record.get("connection"):
            return f"allowed by {who} now, since a credential has ended: {what}"
        return f"allowed by {self._who(record['connection'])}, {who}: {what}"

    def _answered(self, record: Mapping[str, Any]) -> str:
        what = self._asked.pop(str(record["request"]), "a request")
        outcome = OUTCOMES.get(str(record["outcome"])) or _text(record["outcome"])
        by = f" by {self._who(record['connection'])}" if record.get("connection") else ""
        reason = f" ({_text(record['reason'])})" if record.get("reason") else ""
        return f"{outcome}{by}: {what}{reason}"

    def _who(self, connection: object) -> str:
        return self._names.get(str(connection), f"connection {_short(connection)}")

    def _credential(self, record: Mapping[str, Any]) -> str:
        device = record.get("device")
        return f"{self._named(str(record['credential']))}{f', device {_short(device)}' if device else ''}"

    def _named(self, credential: str) -> str:
        if credential == "owner":
            return "the owner token"
        if label := self._invite_label(credential):
            _remember(self._labels, credential, label)
        label = self._labels.get(credential, "")
        return f"invite {_text(credential)}{f' ({_text(label)})' if label else ''}"


def _remember(kept: dict[str, str], key: str, value: str) -> None:
    kept[key] = value
    if len(kept) > NAMES:
        del kept[next(iter(kept))]


def _short(value: object) -> str:
    return _text(str(value)[-_SHORT:])


def _text(value: object) -> str:
    """What others chose: one line, made visible, and no longer than it may be."""
    text = escape(str(value)).replace("\n", "\\u{a}")
    return text if len(text) <= TEXT else f"{text[:TEXT]}…"
