"""The permission requests of the sessions that an editor has open: asked once, taken back, answered."""

from __future__ import annotations

from typing import Any

from myagent.core.messages import PermissionDecision, PermissionRequest
from myagent.editors import asking, rpc
from myagent.editors.board import Board
from myagent.editors.waiting import Deciding


class Permits:
    """`only_mine`: those of turns that others began are theirs to answer."""

    def __init__(self, board: Board, *, only_mine: bool) -> None:
        self._board, self._only_mine = board, only_mine
        self._open: dict[str, PermissionRequest] = {}  # of every session, whether asked here or not
        self._asked: dict[int, str] = {}  # our requests to the editor → permission request
        self._answered: set[str] = set()  # what the editor has answered, and the server not resolved yet

    def opened(self, event: PermissionRequest) -> None:
        if event.request.rule_id is None:  # else nobody is asked
            self._open[event.permission_request_id] = event

    def closed(self, request_id: str) -> None:
        self._open.pop(request_id, None)
        self._answered.discard(request_id)

    def ended(self, turn_id: str) -> None:
        """A turn is over, and with it what it asked."""
        for request_id in [key for key, event in self._open.items() if event.id == turn_id]:
            self.closed(request_id)

    def not_counted(self, decision: PermissionDecision, code: str) -> None:
        """The server refused an answer: unless the request is gone, it is open still."""
        if code not in ("already_resolved", "unknown_request"):
            self._answered.discard(decision.permission_request_id)

    def reconsider(self) -> None:
        """Ask what may be asked and was not; take back what may no longer be. After whatever has changed."""
        board = self._board
        wanted = {key for key, event in self._open.items() if self._is_askable(event)}
        for number, request_id in list(self._asked.items()):
            if request_id not in wanted:
                del self._asked[number]
                board.frames.append(rpc.notification("$/cancel_request", {"requestId": number}))
        for request_id in [key for key in self._open if key in wanted - set(self._asked.values())]:
            event, number = self._open[request_id], board.number()
            self._asked[number] = request_id
            call_id = event.request.tool_call_id or request_id
            board.frames.append(rpc.request(number, "session/request_permission", asking.asked(event, call_id)))

    def answered(self, number: rpc.RpcId, result: Any) -> None:
        """Take what the editor answered; to a request that was taken back, it is nothing."""
        request_id = self._asked.pop(number, None) if isinstance(number, int) else None
        event = self._open.get(request_id) if request_id is not None else None
        if event is None or request_id is None:
            return
        self._answered.add(request_id)
        body = asking.decision(event, result)
        decision = PermissionDecision(id=self._board.new_id(), permission_request_id=request_id, decision=body)
        self._board.send(decision, Deciding())

    def _is_askable(self, event: PermissionRequest) -> bool:
        board = self._board
        return (
            board.here.may_answer
            and event.session_id in board.open
            and not board.loads(event.session_id)
            and event.permission_request_id not in self._answered
            and (not self._only_mine or board.is_own(event.id))
        )
