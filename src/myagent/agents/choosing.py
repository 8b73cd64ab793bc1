"""What an adapter does whose agent lets an owner choose (mode, model, …): the part of the agent port for that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from myagent.core.choices import Choice, Value
from myagent.core.display import escape
from myagent.exceptions import MyagentError

SHOWN_VALUES = 12  # of an option, in an error
SHOWN_CHARACTERS = 120  # of one of them


class NotOffered(MyagentError):
    """The operator wants an option, or a value of one, that the agent does not have; `offered` says what it has."""

    def __init__(self, wanted: str, offered: Iterable[str]) -> None:
        self.wanted, self.offered = wanted, tuple(offered)
        super().__init__(wanted, self.offered)

    @property
    def shown(self) -> tuple[str, ...]:
        more = len(self.offered) - SHOWN_VALUES
        first = (escape(each)[:SHOWN_CHARACTERS] for each in self.offered[:SHOWN_VALUES])
        return (*first, *([f"{more} more"] if more > 0 else []))

    def __str__(self) -> str:
        return f"it does not offer {self.wanted}" + (
            f"; it offers {', '.join(self.shown)}" if self.offered else ", nor anything else"
        )


class NeedsBypass(MyagentError):
    """A choice by which the agent may come to act unasked, on a server that does not allow that."""

    def __init__(self, name: str, value: Value) -> None:
        super().__init__(name, value)
        self.name, self.value = name, value

    def __str__(self) -> str:
        said = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return (
            f"{self.name}={said} may let the agent act unasked, and needs a server that was started with --allow-bypass"
        )


@runtime_checkable
class Choosing(Protocol):
    """An adapter with choices. `Turn.choices` has those of the session, which hold from the next turn on."""

    def choose(
        self, session_id: str, name: str, value: Value, choices: Sequence[Choice], *, allow_bypass: bool
    ) -> Choice:
        """Look up what an owner names; `choices` are those of the session so far. Changes nothing.

        Raises `NotOffered` and `NeedsBypass`.
        """

    async def apply(self, session_id: str, choice: Choice) -> None:
        """Set a stored choice at once where that can be done, else the next turn does. Raises `AgentUnavailable`."""
