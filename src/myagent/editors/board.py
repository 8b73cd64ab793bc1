"""What the parts of one editor's side have in common: what is open, what waits, and what is to be sent."""

from __future__ import annotations

from collections.abc import Callable

from myagent.core.messages import Command, Metadata, Question
from myagent.editors import answers, options, rpc, updates
from myagent.editors.people import Here
from myagent.editors.rpc import JSON, RpcError, RpcId
from myagent.editors.waiting import Coming, Deciding, Listing, Open, Prompting, Sent, SessionsWanted, Wait


class Board:
    def __init__(self, new_id: Callable[[], str]) -> None:
        self.new_id = new_id
        self.frames: list[bytes] = []  # to the editor
        self.commands: list[Command | SessionsWanted] = []  # to the server
        self.here = Here()
        self.sessions: dict[str, Metadata] = {}  # as last told
        self.open: dict[str, Open] = {}  # sessions that the editor has open
        self.sent: dict[str, Sent] = {}  # what the server has not answered, by the command's id
        self.listings: dict[int, Listing] = {}
        self.shows: frozenset[str] = frozenset()  # the kinds of questions that the editor says it can show
        self.switches = False  # the editor knows options that are on or off
        self.echoes = False  # prompts are answered when they are taken, told when they begin, and so is how turns end
        self.failures = 0  # error answers since they were last counted
        self._numbers = 0

    def number(self) -> int:
        """Of our next request to the editor, or of a list that is wanted."""
        self._numbers += 1
        return self._numbers

    def send(self, command: Command, wait: Wait) -> None:
        self.sent[command.id] = Sent(command, wait)
        self.commands.append(command)

    def tell(self, session_id: str, update: JSON) -> None:
        self.frames.append(rpc.notification("session/update", {"sessionId": session_id, "update": update}))

    def answer(self, number: RpcId, body: JSON) -> None:
        self.frames.append(rpc.result(number, body))

    def fail(self, number: RpcId, error: RpcError) -> None:
        self.failures += 1
        self.frames.append(rpc.error(number, error))

    def end(self, number: RpcId, session_id: str, text: str) -> None:
        """Answer a line of ours that was typed as a prompt: with what became of it, as the agent's message."""
        if session_id in self.open:
            self.tell(session_id, updates.said(text))
        self.answer(number, {"stopReason": "end_turn"})

    def tell_state(self, session: Metadata) -> None:
        """Tell of an open session what is news in its title and its commands."""
        opened = self.open[session.session_id]
        if session.title and session.title != opened.title:
            opened.title = session.title
            news = {"title": session.title, "updatedAt": session.updated_at}
            self.tell(session.session_id, {"sessionUpdate": "session_info_update", **news})
        if (update := answers.commands_of(session)) != opened.commands:
            opened.commands = update
            self.tell(session.session_id, update)
        if (chosen := self.options_of(session.session_id)) != (opened.options or []):
            opened.options = chosen
            self.tell(session.session_id, {"sessionUpdate": "config_option_update", "configOptions": chosen})

    def options_of(self, session_id: str, chosen: tuple[str, str | bool] | None = None) -> list[JSON]:
        """What can be chosen there, as last told; with one perhaps `chosen` already."""
        return options.config_options(self.sessions.get(session_id), switches=self.switches, chosen=chosen)

    def can_show(self, question: Question) -> bool:
        return ("form" if question.url is None else "url") in self.shows

    def is_own(self, turn_id: str) -> bool:
        """Whether a turn is that of a prompt that waits here for its end."""
        sent = self.sent.get(turn_id)
        return sent is not None and isinstance(sent.wait, Prompting)

    def _is_answered(self, wait: Wait) -> bool:
        return self.echoes and isinstance(wait, Prompting) and wait.accepted

    def own_turns(self, session_id: str) -> list[str]:
        return [
            key
            for key, sent in self.sent.items()
            if isinstance(sent.wait, Prompting) and sent.wait.session_id == session_id
        ]

    def loads(self, session_id: str) -> list[tuple[str, Coming]]:
        """The loads of a session that are under way, by the ids of their commands."""
        return [
            (key, sent.wait)
            for key, sent in self.sent.items()
            if isinstance(sent.wait, Coming) and sent.wait.is_told and sent.wait.session_id == session_id
        ]

    def waiting(self) -> set[RpcId]:
        """Ids of the editor's requests that have no answer yet."""
        waits = [sent.wait for sent in self.sent.values() if not self._is_answered(sent.wait)]
        return {wait.id for wait in (*waits, *self.listings.values()) if not isinstance(wait, Deciding)}
