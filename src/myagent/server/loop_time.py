"""How long the event loop's turns are: while one lasts, nobody is answered, and the owner's keys do nothing."""

from __future__ import annotations

import asyncio
import logging

LOOK_SECONDS = 0.25  # between two looks: of a turn that is longer than that, at most so much is not seen
LONG_SECONDS = 2.0  # of a turn that is worth a line in the log

_log = logging.getLogger(__name__)


class LoopTime:
    """Watches the running event loop."""

    def __init__(self) -> None:
        self.longest = 0.0  # seconds, since the start
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        assert self._timer is not None
        late = asyncio.get_running_loop().time() - self._timer.when()
        if late > self.longest:
            self.longest = late
            if late > LONG_SECONDS:
                _log.warning("one turn of the event loop took %.1f s; nobody was answered meanwhile", late)
        self.start()
