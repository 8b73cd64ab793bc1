"""What is asked of people in the sessions that an editor has open: asked here once, taken back, answered.

Permission requests are put to every editor; an agent's questions to one that can show their kind (`elicitation`).
"""

from __future__ import annotations

from typing import Any

from myagent.core.messages import (
    AnswerMessage,
    Command,
    PermissionDecision,
    PermissionRequest,
    Question,
)
from myagent.editors import asking, rpc, updates
from myagent.editors.board import Board
from myagent.editors.waiting import Deciding

GONE = ("already_resolved", "unknown_request", "already_answered", "unknown_question")

Asked = PermissionRequest | Question


class Permits:
    """`only_mine`: what turns ask that others began is theirs to answer."""

    def __init__(self, board: Board, *, only_mine: bool) -> None:
        self._board, self._only_mine = board, only_mine
        self._open: dict[str, Asked] = {}  # of every session, whether asked here or not, by its own id
        self._asked: dict[int, str] = {}  # our requests to the editor → what they ask
        self._answered: set[str] = set()  # what the editor has answered, and the server not resolved yet
        self._told: set[str] = set()  # questions that this editor cannot show, and was told of

    def opened(self, event: Asked) -> None:
        if isinstance(event, Question):
            self._open[event.question_id] = event
        elif event.request.rule_id is None:  # else nobody is asked
            self._open[event.permission_request_id] = event

    def closed(self, key: str) -> None:
        self._open.pop(key, None)
        self._answered.discard(key)
        self._told.discard(key)

    def request(self, key: str) -> PermissionRequest | None:
        """A permission request that is open, by its id."""
        event = self._open.get(key)
        return event if isinstance(event, PermissionRequest) else None

    def open_requests(self, session_id: str) -> list[PermissionRequest]:
        """Those of a session."""
        found = [each for each in self._open.values() if each.session_id == session_id]
        return [each for each in found if isinstance(each, PermissionRequest)]

    def is_mine(self, key: str) -> bool:
        """Whether this editor has answered it."""
        return key in self._answered

    def ended(self, turn_id: str) -> None:
        """A turn is over, and with it what it asked."""
        for key in [key for key, event in self._open.items() if event.id == turn_id]:
            self.closed(key)

    def not_counted(self, command: Command, code: str) -> None:
        """The server refused an answer: unless what it answers is gone, that is open still."""
        if code in GONE:
            return
        match command:
            case PermissionDecision(permission_request_id=key) | AnswerMessage(question_id=key):
                self._answered.discard(key)
            case _:
                pass

    def reconsider(self) -> None:
        """Ask what may be asked and was not; take back what may no longer be. After whatever has changed."""
        board = self._board
        wanted = {key for key, event in self._open.items() if self._is_askable(key, event)}
        for number, key in list(self._asked.items()):
            if key not in wanted:
                del self._asked[number]
                board.frames.append(rpc.notification("$/cancel_request", {"requestId": number}))
        for key in [key for key in self._open if key in wanted - set(self._asked.values())]:
            self._ask(key, self._open[key])

    def _ask(self, key: str, event: Asked) -> None:
        board = self._board
        if isinstance(event, Question) and not board.can_show(event):
            if key not in self._told:
                self._told.add(key)
                text = f"[the agent asks: {event.message} — this editor cannot show it, others can]\n"
                board.tell(event.session_id, updates.beside(text))
            return
        number = board.number()
        self._asked[number] = key
        if isinstance(event, Question):
            method, params = "elicitation/create", asking.elicited(event)
        else:
            call_id = event.request.tool_call_id or key
            method, params = "session/request_permission", asking.asked(event, call_id)
        board.frames.append(rpc.request(number, method, params))

    def answered(self, number: rpc.RpcId, result: Any) -> None:
        """Take what the editor answered; to what was taken back, it is nothing."""
        key = self._asked.pop(number, None) if isinstance(number, int) else None
        event = self._open.get(key) if key is not None else None
        if event is None or key is None:
            return
        self._answered.add(key)
        command_id = self._board.new_id()
        command: Command
        if isinstance(event, Question):
            action, content = asking.answer(event, result)
            command = AnswerMessage(id=command_id, question_id=key, action=action, content=content)
        else:
            body = asking.decision(event, result)
            command = PermissionDecision(id=command_id, permission_request_id=key, decision=body)
        self._board.send(command, Deciding())

    def _is_askable(self, key: str, event: Asked) -> bool:
        board = self._board
        return (
            board.here.may_answer
            and event.session_id in board.open
            and board.open[event.session_id].role != "observer"
            and not board.loads(event.session_id)
            and key not in self._answered
            and (not self._only_mine or board.is_own(event.id))
        )
