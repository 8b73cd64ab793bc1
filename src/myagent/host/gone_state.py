"""What becomes of a workspace whose state directory was deleted under it (`git clean -ffdx`, `rm -rf .myagent`).

The server goes on without storing: who watches keeps what is there, it can be exported, and the workspace stays held.
What runs is stopped, since nobody could ever see what it did.
"""

from __future__ import annotations

import logging

from myagent.core.codec import encode
from myagent.core.messages import Error
from myagent.core.refusals import StateGone
from myagent.delivery.fanout import Fanout
from myagent.eventlog import LogGone
from myagent.host.notifications import Notifications
from myagent.host.turns import Turns

_log = logging.getLogger(__name__)


class GoneState:
    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self._told = False

    def tell(self, error: LogGone, turns: Turns, notifications: Notifications | None) -> None:
        """Tell everybody, once, and stop what runs."""
        if self._told:
            return
        self._told = True
        _log.critical("%s; what runs is stopped, nothing new is taken: export what you need, then start again", error)
        if notifications is not None:
            notifications.state_gone()
        told = StateGone()
        for turn_id in (*turns.abort(), None):
            self._fanout.state(encode(Error(id=turn_id, message=str(told), code=told.code)))
