"""The picker for what the agent offers for a session: mode, model, effort, switches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from myagent.client import Client
from myagent.core.messages import Metadata
from myagent.text.options import Option, offered, written_value
from myagent.tui.lists import Choice, Chooser


class _Attach(Protocol):
    client: Client

    @property
    def metadata(self) -> Metadata | None: ...
    def _choose(self, chooser: Chooser, chosen: Callable[[str], None]) -> None: ...
    def _say(self, text: str, *, error: bool = False) -> None: ...
    def _send(self, ask: Callable[[], Awaitable[object]]) -> None: ...


class OptionPicker:
    """What the full-screen client does for that; the server says what needs more than an owner."""

    def action_options(self: _Attach) -> None:
        metadata = self.metadata
        options = offered(metadata)
        if metadata is None or not options:
            self._say("this agent offers nothing to choose here")
        elif self.client.role != "owner":
            self._say("only the owner can choose", error=True)
        else:
            session = metadata.session_id

            def opened(place: str) -> None:
                option = options[int(place)]

                def chosen(at: str) -> None:
                    value = option.values[int(at)].value
                    self._send(lambda: self.client.set_option(session, option.option_id, value))

                self._choose(_values(option), chosen)

            rows = [Choice(str(number), str(each)) for number, each in enumerate(options)]
            self._choose(Chooser("What the agent offers here", rows), opened)


def _values(option: Option) -> Chooser:
    rows = []
    for number, each in enumerate(option.values):
        mark = "*" if option.current is not None and written_value(option.current) == written_value(each.value) else " "
        rows.append(Choice(str(number), f"{mark} {each}"))
    return Chooser(f"{option} (* is chosen)", rows)
