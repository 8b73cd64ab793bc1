"""What a client can be asked, and what it can ask its server: each message is made here, and sent by one door."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from myagent.client.address import Address
from myagent.client.attachment import Attachment, check, pieces
from myagent.client.errors import Disconnected, NotConnected, PromptTooLarge
from myagent.client.options import Options
from myagent.client.state import State
from myagent.client.view import View
from myagent.core.messages import (
    AnswerMessage,
    Archive,
    Cancel,
    Claim,
    Command,
    DecisionBody,
    Delete,
    Handover,
    Limits,
    ListFiles,
    ListRules,
    Metadata,
    OwnerInfo,
    PermissionDecision,
    PermissionMode,
    PermissionRequest,
    Ping,
    Question,
    QuestionOutcome,
    Release,
    Rename,
    RequestControl,
    RequestSeen,
    Resume,
    RevokeRule,
    Role,
    Seen,
    SessionId,
    SetOption,
    UserMessage,
    Welcome,
    Who,
)
from myagent.core.rule import Remember


class Commands:
    """The part of a `Client` that speaks; what connects it is the other part. Methods return the id they sent."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._view = View(options.session, options.after)
        self._socket: ClientConnection | None = None
        self._calm_until = 0.0  # the loop's time until which the server wants to hear nothing
        self._state = State("connecting")
        self._closed = False
        self._carried: dict[str, tuple[bytes, ...]] = {}  # by prompt, while that is not answered

    # --- what is known ---------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    @property
    def server(self) -> tuple[Address, str]:
        """Where the server is, as last known, and the token for it."""
        return self._options.address, self._options.token

    @property
    def role(self) -> Role | None:
        return self._view.role

    @property
    def may_answer(self) -> bool:
        """Whether permission requests are put to this client: it owns, or has come to approve. (Who has come to drive
        takes over first, though a credential of its own may answer.)"""
        return self.role == "owner" or (self.welcome is not None and self.welcome.may == "approve")

    @property
    def may_stop(self) -> bool:
        """Whether this client may cancel the turn that runs."""
        return self.role == "owner" or (self.welcome is not None and self.welcome.may in ("stop", "approve"))

    @property
    def welcome(self) -> Welcome | None:
        """The newest one; `None` with a server of the bare version 1."""
        return self._view.welcome

    @property
    def connection_id(self) -> str | None:
        return self._view.welcome.connection_id if self._view.welcome else None

    @property
    def limits(self) -> Limits | None:
        return self._view.welcome.limits if self._view.welcome else None

    @property
    def owner(self) -> OwnerInfo | None:
        return self._view.owner

    @property
    def sessions(self) -> dict[str, Metadata]:
        return self._view.sessions

    @property
    def requests(self) -> dict[str, PermissionRequest]:
        """Permission requests that are open, by their id; a session that is `behind` may have resolved them since."""
        return self._view.requests

    @property
    def allowed(self) -> dict[str, list[str]]:
        """Who has allowed a request that several people must allow, by its id, while others are awaited."""
        return self._view.allowed

    @property
    def attention(self) -> dict[str, RequestSeen]:
        """Who could answer the open requests and who has seen them, by their ids; told to those who could answer."""
        return self._view.attention

    @property
    def questions(self) -> dict[str, Question]:
        """Questions of the agent that are open, by their id; as `requests`."""
        return self._view.questions

    @property
    def behind(self) -> frozenset[str]:
        """Sessions whose events are from the past still."""
        return self._view.cursors.behind

    @property
    def unacked(self) -> frozenset[str]:
        """Ids of prompts that the server has neither accepted nor refused."""
        return frozenset(self._view.unacked)

    @property
    def seen(self) -> dict[str, int]:
        """The last event seen of each session."""
        return dict(self._view.cursors.last)

    # --- asking ----------------------------------------------------------------------------------------------

    async def prompt(
        self, text: str, *, session: str | None = None, mode: PermissionMode | None = None, id: str | None = None,
        options: Mapping[str, str | bool] | None = None, attachments: Sequence[Attachment] = (),
    ) -> str:  # fmt: skip
        """Submit a turn. A reconnecting client sends it again, with the same id, until it is answered. `options` are
        chosen for the session before, as by `set_option`. `attachments` are sent before it.

        Raises `PromptTooLarge` and `NotCarried` before anything is sent.
        """
        check(attachments, self.welcome.takes if self.welcome else (), self.limits)
        session_id = None if session is None else SessionId(session)
        message = UserMessage(
            id=id or new_id(),
            prompt=text,
            session_id=session_id,
            permission_mode=mode,
            options=dict(options) if options else None,
            content=tuple(each.item() for each in attachments),
        )
        self._carried[message.id] = tuple({each.data: None for each in attachments if each.data})
        return await self._submit(message)

    async def _submit(self, message: UserMessage) -> str:
        self._check_size(message)
        self._view.unacked[message.id] = message
        try:
            await self._upload(message)
            return await self._send(message)
        except (NotConnected, Disconnected):
            if not self._options.reconnect or self._closed:
                del self._view.unacked[message.id]
                raise
            return message.id

    async def _upload(self, message: UserMessage) -> None:
        """Send what a prompt carries, just before it; no faster than the server wants to hear of it."""
        self._carried = {key: each for key, each in self._carried.items() if key in self._view.unacked}
        ids = iter(new_id, "")
        parts = (part for data in self._carried.get(message.id, ()) for part in pieces(data, self.limits, new_id=ids))
        for number, part in enumerate(parts):
            self._view.sent_by_itself(part.id)
            await self._send(part)
            if self.limits is not None and number > self.limits.owner_messages_per_second // 2:
                await asyncio.sleep(2 / self.limits.owner_messages_per_second)

    async def list_files(self, query: str = "") -> str:
        """Ask for `files`, as the owner: those whose paths have this in them."""
        return await self._send(ListFiles(id=new_id(), query=query))

    async def decide(
        self,
        request: PermissionRequest,
        decision: Literal["allow", "deny"],
        *,
        reason: str | None = None,
        option: str | None = None,
        remember: Remember | None = None,
    ) -> str:
        """Answer a permission request, as it was shown: the request's digest goes with it. `remember`: with an allow,
        make a rule of it."""
        digest = request.request.digest or None
        body = DecisionBody(kind=decision, reason=reason, option_id=option, digest=digest, remember=remember)
        request_id = request.permission_request_id
        return await self._send(PermissionDecision(id=new_id(), permission_request_id=request_id, decision=body))

    async def saw(self, request: PermissionRequest) -> None:
        """Tell that a human has this request in front of them; a server that does not know of it is told nothing."""
        if self.welcome is not None and self.welcome.may is not None and self.may_answer:
            message = Seen(id=new_id(), permission_request_id=request.permission_request_id)
            self._view.sent_by_itself(message.id)
            await self._send(message)

    async def answer(
        self, question: Question, action: QuestionOutcome, content: Mapping[str, Any] | None = None
    ) -> str:
        """Answer a question of the agent; `content` goes with `accept` of a form: its fields by their names."""
        given = None if content is None else dict(content)
        return await self._send(
            AnswerMessage(id=new_id(), question_id=question.question_id, action=action, content=given)
        )

    async def resume(self, session: str, after_seq: int | None = None) -> str:
        """Ask for a session's metadata or, with `after_seq`, for its events after that one, seen before or not."""
        message = Resume(id=new_id(), session_id=SessionId(session), after_seq=after_seq)
        if after_seq is not None and self._socket is not None:
            self._view.cursors.asked(message.id, session, after_seq, moved=True)
        return await self._send(message)

    async def cancel(self, session: str, turn: str | None = None) -> str:
        return await self._send(Cancel(id=new_id(), session_id=SessionId(session), turn_id=turn))

    async def rename(self, session: str, title: str) -> str:
        """As the owner; an empty title is that of its first prompt, or the agent's, again."""
        return await self._send(Rename(id=new_id(), session_id=SessionId(session), title=title))

    async def archive(self, session: str, *, archived: bool = True) -> str:
        return await self._send(Archive(id=new_id(), session_id=SessionId(session), archived=archived))

    async def delete(self, session: str) -> str:
        """As the owner; acknowledged when nothing of the session is left at the server."""
        return await self._send(Delete(id=new_id(), session_id=SessionId(session)))

    async def set_option(self, session: str, name: str, value: str | bool) -> str:
        """Choose one of what the agent offers for a session (`agentState.options`), by an option's id or category."""
        return await self._send(SetOption(id=new_id(), session_id=SessionId(session), name=name, value=value))

    async def claim(self, *, force: bool = False) -> str:
        """Take the free slot; with `force` also from an owner with the same credential."""
        return await self._send(Claim(id=new_id(), force=force))

    async def request_control(self) -> str:
        return await self._send(RequestControl(id=new_id()))

    async def release(self) -> str:
        return await self._send(Release(id=new_id()))

    async def handover(self, to: str) -> str:
        return await self._send(Handover(id=new_id(), to=to))

    async def who(self) -> str:
        return await self._send(Who(id=new_id()))

    async def list_rules(self) -> str:
        """Ask for `rules`, as the owner."""
        return await self._send(ListRules(id=new_id()))

    async def revoke_rule(self, rule_id: str) -> str:
        return await self._send(RevokeRule(id=new_id(), rule_id=rule_id))

    async def ping(self) -> str:
        return await self._send(Ping(id=new_id()))

    async def send(self, message: Command) -> str:
        """Send a message of one's own making, as the methods above do theirs."""
        match message:
            case UserMessage():
                return await self._submit(message)
            case Resume(after_seq=int(after_seq)) if self._socket is not None:
                self._view.cursors.asked(message.id, message.session_id, after_seq, moved=True)
        return await self._send(message)

    # --- sending ---------------------------------------------------------------------------------------------

    def _check_size(self, message: UserMessage) -> None:
        if self.limits is not None:
            prompt, whole = len(message.prompt.encode("utf-8", "surrogatepass")), len(encode(message))
            if prompt > self.limits.prompt_bytes:
                raise PromptTooLarge(prompt, self.limits.prompt_bytes)
            if whole > self.limits.message_bytes:
                raise PromptTooLarge(prompt, self.limits.message_bytes - (whole - prompt))

    async def _calm(self) -> None:
        """Wait as long as the server asked for."""
        if (wait := self._calm_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(wait)

    async def _send(self, message: Command) -> str:
        if self._socket is None:
            raise NotConnected
        self._view.sent(message)
        await self._calm()
        if self._socket is None:
            raise NotConnected
        try:
            await self._socket.send(encode(message), text=True)
        except ConnectionClosed as closed:
            raise lost(closed) from None
        return message.id


def encode(message: Command) -> bytes:
    """The wire's form of a command: what was not given is left out, as a v1 server expects."""
    return msgspec.json.encode(_given(msgspec.to_builtins(message)))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _given(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None and value != [] and value != ()
    }


def new_id() -> str:
    return str(uuid.uuid4())


def lost(closed: ConnectionClosed) -> Disconnected:
    """Why a connection is gone, in the words of its close frame."""
    frame = closed.rcvd or closed.sent
    return Disconnected(1006) if frame is None else Disconnected(frame.code, frame.reason)
