"""`POST /answer`: one decision, from a device that was called, by the ticket that it was called with."""

from __future__ import annotations

import logging
from functools import partial

from websockets.http11 import Response

from myagent.core.refusals import Refused
from myagent.push.lock_screen import LockScreen
from myagent.push.pressed import Presser, press
from myagent.server.admission import Call, Rejected
from myagent.server.connection import Connection
from myagent.server.http import plain, rejection

_log = logging.getLogger(__name__)


class Pressed:
    """What answers such a call, which came by `connection`."""

    def __init__(self, lock_screen: LockScreen, connection: Connection) -> None:
        self._lock_screen = lock_screen
        self._connection = connection

    def costs(self, call: Call) -> bool:
        return False

    async def answer(self, call: Call) -> Response:
        """The response, whatever happens."""
        assert call.leave is not None
        screen, leave = self._lock_screen, call.leave
        good = partial(screen.still_good, leave)
        presser = Presser(screen.host, leave, why_inside=self._connection.why_inside, still_good=good)
        screen.answers(leave)
        try:
            await press(screen.host, leave, presser)
        except Refused as refused:
            screen.answered_in_vain(leave)
            return plain(409, str(refused))
        except TimeoutError:
            return rejection(Rejected(503, "this could not be stored in time"))
        except Exception:
            _log.exception("POST answer failed")
            return rejection(Rejected(500, "internal error"))
        return plain(200, leave.answer)
