"""The words in which rules are told to a human: each line is safe for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from myagent.core.messages import RequestBody
from myagent.core.rule import Offer, Remember, Rule
from myagent.text.wording import escaped_line, one_line, whole_line


def rule_line(rule: Rule) -> str:
    """A whole rule."""
    where = f"session {rule.session_id}" if rule.session_id else "all sessions"
    until = f", until {whole_line(rule.until)}" if rule.until else ""
    who = f"made by {escaped_line(rule.made_by)} at {whole_line(rule.made_at)}"
    return f"{whole_line(rule.rule_id)}  {rule.match:6}  {escaped_line(rule.shown)}  ({where}{until}; {who})"


def missed_lines(request: RequestBody) -> Iterator[str]:
    """The rules that would have matched a request and did not."""
    for missed in request.missed:
        yield f"rule {whole_line(missed.rule_id)} does not allow it: {one_line(missed.why)}"


def choices(request: RequestBody) -> list[Remember]:
    """What can be remembered with an allow, the narrowest first."""
    found = [part for offer in request.remembers for part in _narrow_and_wide(offer)]
    return [
        Remember(scope=scope, match=each.match, words=each.words, path=each.path)
        for scope in ("session", "workspace")
        for each in found
    ]


TIMES: dict[str, timedelta | None] = {
    "until revoked": None,
    "for an hour": timedelta(hours=1),
    "for a day": timedelta(1),
}


def until(time: str, now: datetime) -> str | None:
    """The end of a rule that is remembered for one of `TIMES`, ISO 8601."""
    lasts = TIMES[time]
    return None if lasts is None else (now + lasts).isoformat(timespec="milliseconds")


def choice_line(remember: Remember) -> str:
    """What a choice would allow from now on."""
    what = {
        "exact": "exactly this",
        "prefix": f"{whole_line(' '.join(remember.words or ()))} …",
        "path": f"edits below {whole_line(remember.path or '')}/",
    }[remember.match]
    return f"{what} ({'this session' if remember.scope == 'session' else 'all sessions'})"


def _narrow_and_wide(offer: Offer) -> list[Offer]:
    """A command with all its words, and with those that mostly say what it does."""
    if offer.match != "prefix" or offer.words is None or len(offer.words) < 2:
        return [offer]
    return [offer, Offer("prefix", words=offer.words[: 2 if len(offer.words) > 2 else 1])]
