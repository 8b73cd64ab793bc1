"""What becomes of requests while nobody who may answer is connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from myagent.exceptions import MyagentError

REASON = "nobody who may answer was connected"  # of what is denied then
MOST_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class OwnerAway:
    """`wait`: as long as any request does. `deny`: at once, from when nobody was connected for `seconds`. `notify`: a
    human is called at once instead of after a while."""

    what: Literal["wait", "deny", "notify"] = "wait"
    seconds: float = 0.0

    def is_over(self, away_since: float | None, now: float) -> bool:
        """Whether what is asked is denied now. `away_since`: when the last who may answer went; `None`: one is here."""
        return self.what == "deny" and away_since is not None and now >= away_since + self.seconds


class UnusableOwnerAway(MyagentError):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"--owner-away takes wait, deny:SECONDS (up to {MOST_SECONDS:.0f}) or notify, not {self.text!r}"


def read(text: str) -> OwnerAway:
    """Read `wait`, `deny:300` or `notify`. Raises `UnusableOwnerAway`."""
    what, colon, number = text.partition(":")
    if what in ("wait", "notify") and not colon:
        return OwnerAway(what)  # type: ignore[arg-type]
    if what != "deny" or not (number.isascii() and number.isdigit()) or not 0 < int(number[:9]) <= MOST_SECONDS:
        raise UnusableOwnerAway(text[:64])
    return OwnerAway("deny", float(number))
