"""One editor at a shared session: JSON-RPC frames and our messages go in, answers and commands come out.

A state machine without I/O or clock. `from_editor` and `from_server` take what came; `frames` and `commands` give, in
order, what is to be sent, and forget it. What the server has not answered is given again after a `welcome` that is not
the first, so a connection may be lost beneath an editor, which notices nothing.

| the editor asks            | becomes                        | is answered when                                    |
|----------------------------|--------------------------------|-----------------------------------------------------|
| session/new                | open_session                   | its ack has come                                    |
| session/load               | resume from 0                  | the events up to the head of then were told         |
| session/resume             | resume without events          | its ack has come                                    |
| session/attach             | either                         | as those; for an owner, when it is known who is here |
| session/list               | `SessionsWanted`               | `listed` is called                                  |
| session/prompt             | user_message                   | its turn's terminal_state has come                  |
| …/set_config_option        | set_option                     | its ack has come                                    |
| session/delete             | delete                         | its ack has come                                    |
| session/cancel, …/close    | cancel of its own turns        | at once (the prompts: with their turns' ends)       |
| an answer to a permission  | permission_decision            | –                                                   |

A permission request is asked while this connection may answer it and the session is open here, once; when it is
resolved elsewhere, or the connection may no longer answer, the question is taken back (`$/cancel_request`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from myagent.core.messages import (
    Cancel,
    Command,
    Delete,
    Metadata,
    OpenSession,
    Resume,
    SessionId,
    UserMessage,
    Welcome,
)
from myagent.editors import answers, attaching, options, prompts, rpc
from myagent.editors.answers import session_id_of
from myagent.editors.board import Board
from myagent.editors.following import Following
from myagent.editors.permits import Permits
from myagent.editors.rpc import INVALID_PARAMS, INVALID_REQUEST, JSON, METHOD_NOT_FOUND, RpcError, RpcId
from myagent.editors.waiting import (
    Asking,
    Coming,
    Deciding,
    Deleting,
    Joining,
    Listing,
    Open,
    Opening,
    Prompting,
    SessionsWanted,
    Setting,
)


class Editor:
    """The state of one editor's connection.

    Args:
        version: Ours, for `initialize`.
        new_id: Makes ids for commands; never the same twice.
        label: What this connection is called, so that its own prompts need no name.
        directory: The directory that is shared, if it is on the editor's machine: a session of another one is refused.
            `None`: it is elsewhere, and the editor's own directory stands for it.
        only_mine: Tell nothing of turns that others began.
        without_mcp: Open sessions also for an editor that names MCP servers, which are not used.
    """

    def __init__(
        self,
        *,
        version: str,
        new_id: Callable[[], str],
        label: str = "",
        directory: str | None = None,
        only_mine: bool = False,
        without_mcp: bool = False,
    ) -> None:
        self._version, self._directory, self._without_mcp = version, directory, without_mcp
        self.initialized = False
        self._board = Board(new_id)
        self._permits = Permits(self._board, only_mine=only_mine)
        self._following = Following(self._board, self._permits, only_mine=only_mine)
        if label:
            self._board.here.labels.add(label)

    # --- out --------------------------------------------------------------------------------------------------------

    def frames(self) -> list[bytes]:
        """What to send to the editor, without a line's end."""
        frames, self._board.frames = self._board.frames, []
        return frames

    def commands(self) -> list[Command | SessionsWanted]:
        """What to send to the server, and what to ask for."""
        commands, self._board.commands = self._board.commands, []
        return commands

    def failures(self) -> int:
        """How many error answers there were since this was last asked."""
        failures, self._board.failures = self._board.failures, 0
        return failures

    def knows(self, welcome: Welcome) -> None:
        """Learn how things stand before the server's messages are given, for what `initialize` tells."""
        self._board.here.greeted(welcome)
        self._board.sessions.update({str(each.session_id): each for each in welcome.sessions})

    def echo(self) -> None:
        """Answer prompts when they are taken, tell them when they begin, and how each turn ends: for version 2."""
        self._board.echoes = True

    def goes_by(self, label: str) -> None:
        """Take another name of this connection's."""
        self._board.here.labels.add(label)

    # --- in ---------------------------------------------------------------------------------------------------------

    def from_server(self, message: Any) -> None:
        """Take one message of the server's; what is not known is passed over."""
        self._following.take(message)

    def listed(self, wanted: SessionsWanted, sessions: Iterable[Metadata] | str) -> None:
        """Give every session there is, or say why they cannot be had."""
        listing = self._board.listings.pop(wanted.key, None)
        if listing is None:
            return
        try:
            if isinstance(sessions, str):
                raise RpcError(rpc.INTERNAL_ERROR, sessions)
            kept = [each for each in sessions if listing.only in (None, each.cwd)]
            self._board.answer(listing.id, answers.page(kept, listing.cursor, listing.cwd))
        except RpcError as error:
            self._board.fail(listing.id, error)

    def from_editor(self, frame: bytes) -> None:
        """Take one JSON-RPC message; whatever it is, it is answered as JSON-RPC says."""
        match rpc.read(frame):
            case rpc.Request() as request:
                self._request(request)
            case rpc.Notification(method="session/cancel", params=params):
                self._cancel(params.get("sessionId"))
            case rpc.Notification(method="$/cancel_request", params=params):
                self._take_back(params.get("requestId"))
            case rpc.Notification():
                pass  # of a method that we do not know, or that means nothing here
            case rpc.Response(id=number, result=result):
                self._permits.answered(number, result)
            case rpc.Fault(id=number, error=error):
                self._board.fail(number, error)
        self._permits.reconsider()

    def refuse(self, frame: bytes, why: str) -> None:
        """Answer a message that is not taken, such as one too many."""
        match rpc.read(frame):
            case rpc.Request(id=number):
                self._board.fail(number, RpcError(INVALID_REQUEST, why, "rate_limited"))
            case rpc.Fault(id=number, error=error):
                self._board.fail(number, error)
            case _:
                pass

    def lost(self, why: str) -> None:
        """There is no server any more: whoever waits for it is told."""
        board = self._board
        for number in board.waiting():
            board.fail(number, RpcError(rpc.INTERNAL_ERROR, why))
        board.sent.clear()
        board.listings.clear()

    # --- requests ---------------------------------------------------------------------------------------------------

    def _request(self, request: rpc.Request) -> None:
        number = request.id
        if number in self._board.waiting():
            self._board.fail(None, RpcError(INVALID_REQUEST, "a request with this id waits for its answer"))
            return
        try:
            answer = self._handle(number, request.method, request.params)
        except RpcError as error:
            self._board.fail(number, error)
        else:
            if answer is not None:
                self._board.answer(number, answer)

    def _handle(self, number: RpcId, method: str, params: JSON) -> JSON | None:
        """The answer, or `None` where it comes later. Raises `RpcError`."""
        board = self._board
        if method == "initialize":
            self.initialized = True
            board.shows, board.switches = answers.shown(params), answers.knows_switches(params)
            return answers.introduction(self._version, roles=attaching.roles(board), sessions=board.sessions.values())
        if not self.initialized:
            raise RpcError(INVALID_REQUEST, "`initialize` comes first")
        match method:
            case "session/new":
                cwd = self._directory_of(params)
                self._check_mcp(params)
                board.here.check_owner("open a session")
                board.send(OpenSession(id=board.new_id()), Opening(number, cwd))
            case "session/load" | "session/resume":
                session_id, cwd = session_id_of(params), self._directory_of(params)
                self._check_mcp(params)
                is_told = method == "session/load"
                command = Resume(id=board.new_id(), session_id=session_id, after_seq=0 if is_told else None)
                board.send(command, Coming(number, session_id, cwd, is_told, was_open=session_id in board.open))
            case "session/attach":
                attaching.request(board, number, params, self._directory)
            case "session/detach":
                return attaching.detach(board, params)
            case "session/list":
                self._list(number, params)
            case "session/close":
                self._opened(params)
                session_id = session_id_of(params)
                self._cancel_own(session_id)
                del board.open[session_id]
                return {}
            case "session/prompt":
                self._prompt(number, params)
            case "session/set_mode":
                attaching.check_controller(board, session_id_of(params), "set a mode")
                self._opened(params).mode = answers.mode_named(params.get("modeId"))
                return {}
            case "authenticate":
                raise RpcError(INVALID_PARAMS, "there is nothing to authenticate with: the connection has its token")
            case "session/set_config_option":
                self._opened(params)
                session_id = session_id_of(params)
                attaching.check_controller(board, session_id, "change an option")
                choice = options.choice(params, board.options_of(session_id), session_id, board.new_id())
                board.here.check_owner("change an option")
                board.send(choice, Setting(number, session_id, choice.name, choice.value))
            case "session/delete":
                session_id = session_id_of(params)
                attaching.check_controller(board, session_id, "delete the session")
                board.here.check_owner("delete a session")
                board.send(Delete(id=board.new_id(), session_id=session_id), Deleting(number, session_id))
            case _:
                raise RpcError(METHOD_NOT_FOUND, f"there is no method {method[:100]!r}")
        return None

    def _directory_of(self, params: JSON) -> str:
        cwd = prompts.directory(params)
        if self._directory is not None and cwd != self._directory and not cwd.startswith(f"{self._directory}/"):
            raise RpcError(
                INVALID_PARAMS,
                f"the directory that is shared here is {self._directory}, and {cwd} is another one: "
                "start `myagent acp` there",
            )
        return cwd

    def _check_mcp(self, params: JSON) -> None:
        servers = params.get("mcpServers", [])
        if not isinstance(servers, list):
            raise RpcError(INVALID_PARAMS, "`mcpServers` is a list")
        if servers and not self._without_mcp:
            raise RpcError(
                INVALID_PARAMS,
                "MCP servers of the editor are not used, since the agent runs at the host, which has its own: "
                "name none, or start `myagent acp` with --without-mcp",
            )

    def _opened(self, params: JSON) -> Open:
        """A session that is open here. Raises `RpcError`."""
        found = self._board.open.get(session_id_of(params))
        if found is None:
            raise RpcError(rpc.NOT_FOUND, "this session is not open here: open it with session/load or session/resume")
        return found

    def _list(self, number: RpcId, params: JSON) -> None:
        cwd = None if params.get("cwd") is None else prompts.directory(params)
        local = self._directory is not None
        wanted = SessionsWanted(self._board.number())
        listing = Listing(number, params.get("cursor"), cwd=None if local else cwd, only=cwd if local else None)
        self._board.listings[wanted.key] = listing
        self._board.commands.append(wanted)

    def _prompt(self, number: RpcId, params: JSON) -> None:
        board, opened, session_id = self._board, self._opened(params), session_id_of(params)
        attaching.check_controller(board, session_id, "prompt")
        blocks = params.get("prompt")
        typed = answers.ours(prompts.commanded(blocks), board.sessions.get(session_id))
        if typed is not None:
            command = board.here.command(*typed, board.new_id)
            if command is None:
                board.end(number, session_id, board.here.told())
            else:
                board.send(command, Asking(number, session_id, *typed))
            return
        text = prompts.text_of(blocks, opened.cwd)
        board.here.check_owner("prompt")
        board.here.check_size(text)
        message = UserMessage(id=board.new_id(), prompt=text, session_id=session_id, permission_mode=opened.mode)
        board.send(message, Prompting(number, session_id))

    # --- taking back ------------------------------------------------------------------------------------------------

    def _cancel(self, session_id: object) -> None:
        """Of its own turns all; without any, as the owner, what runs."""
        board = self._board
        if not isinstance(session_id, str) or session_id not in board.open or self._cancel_own(session_id):
            return
        session = board.sessions.get(session_id)
        is_observed = board.open[session_id].role == "observer"
        if not is_observed and board.here.may_stop and session is not None and session.state == "running":
            board.send(Cancel(id=board.new_id(), session_id=SessionId(session_id)), Deciding())

    def _cancel_own(self, session_id: str) -> bool:
        own = self._board.own_turns(session_id)
        for turn_id in own:
            self._cancel_turn(session_id, turn_id)
        return bool(own)

    def _cancel_turn(self, session_id: str, turn_id: str) -> None:
        command = Cancel(id=self._board.new_id(), session_id=SessionId(session_id), turn_id=turn_id)
        self._board.send(command, Deciding())

    def _take_back(self, number: object) -> None:
        """`$/cancel_request`: the request gets an answer all the same."""
        board = self._board
        if not rpc.is_id(number) or number not in board.waiting():
            return
        cancelled = RpcError(rpc.REQUEST_CANCELLED, "the request was cancelled")
        for key in [key for key, listing in board.listings.items() if listing.id == number]:
            board.fail(board.listings.pop(key).id, cancelled)
        for command_id, sent in list(board.sent.items()):
            match sent.wait:
                case Prompting(id=found, session_id=session_id) if found == number:
                    self._cancel_turn(session_id, command_id)
                case Opening(id=found) | Coming(id=found) | Asking(id=found) | Joining(id=found) if found == number:
                    del board.sent[command_id]
                    coming = sent.wait.coming if isinstance(sent.wait, Joining) else sent.wait
                    if isinstance(coming, Coming) and not coming.was_open:
                        board.open.pop(coming.session_id, None)
                    board.fail(found, cancelled)
                case _:
                    pass
