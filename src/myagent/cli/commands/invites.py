"""`myagent remote invites`: lists the invites of the workspace here."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from myagent.access.registry import ListInvites
from myagent.cli.administration import UNITS, Answer, carry_out
from myagent.core.display import escape


def run(arguments: argparse.Namespace) -> int:
    return carry_out(arguments, ListInvites(), lambda answer: _table(answer["invites"], datetime.now(UTC)))


def _table(invites: list[Answer], time: datetime) -> list[str]:
    if not invites:
        return ["no invites"]
    rows = [("ID", "SCOPE", "SESSION", "EXPIRES IN", "USES", "LAST SEEN", "NOW", "LABEL")]
    for invite in invites:
        waits = None if invite.get("devices") else invite.get("enrolBy")  # a link that pairs a device, unused
        left = (datetime.fromisoformat(waits or invite["expiresAt"]) - time).total_seconds()
        uses = f"{invite['used']}/{invite['uses']}" if invite["uses"] else f"{invite['used']}"
        seen = _time(invite["lastSeen"])
        live = _live(invite)
        session = invite["sessionId"] or "all"
        may = str(invite.get("may", "watch"))  # of a server that was started before an upgrade
        rows.append(
            (
                invite["id"],
                may,
                session,
                _left(left),
                uses,
                seen,
                live,
                escape(invite["label"]),
            )
        )
        rows += [
            (
                f"  {each['id']}",
                "device",
                "",
                "",
                "",
                _time(each["lastSeen"]),
                _live(each),
                escape(each.get("label", "")),
            )
            for each in invite.get("devices", ())
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[7]]).rstrip()
        for row in rows
    ]


def _live(one: Answer) -> str:
    """Who is there now: connections, and readers over HTTP."""
    reading = one.get("reading", 0)  # a server that was started before an upgrade tells of none
    return f"{one['connections']}+{reading} reading" if reading else str(one["connections"])


def _time(seen: str | None) -> str:
    return (seen or "never").partition(".")[0]


def _left(seconds: float) -> str:
    for unit in ("d", "h", "m"):
        if seconds >= UNITS[unit]:
            return f"{int(seconds // UNITS[unit])}{unit}"
    return f"{max(0, int(seconds))}s"
