"""A client's life over any number of connections.

Everything happens inside the iteration: `async for` receives, answers the server's greeting, and reconnects. So
nothing is read that nobody takes, and a consumer that is slow holds the server back instead of filling memory.
Methods send and return the id they sent; the answer comes in the iteration, with that id.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from myagent import __version__
from myagent.access.asking import Declined, NoAnswer
from myagent.client.commands import Commands, lost, new_id
from myagent.client.errors import RETRY_LATER, CannotConnect, ClientError, Disconnected, NotConnected, NotMyagent
from myagent.client.heartbeat import Heartbeat
from myagent.client.incoming import Message, read
from myagent.client.opening import OPEN_TIMEOUT, open_socket, receive, receive_within
from myagent.client.options import (
    LATER,
    LONGEST_PAUSE,
    RATE_LIMITED_PAUSE,
    RESUME_PAUSE,
    RESUMES_AT_ONCE,
    STABLE,
    WELCOME_WAIT,
    Options,
)
from myagent.client.state import State
from myagent.client.turn import Policy, TurnResult, run
from myagent.core.messages import (
    ClientInfo,
    Command,
    Error,
    Hello,
    PermissionMode,
    Ready,
    Resume,
    RoleMessage,
    SessionId,
    Welcome,
)


class Client(Commands):
    """Made by `connect`; used as `async with`, then `async for`. One task iterates, any task may send."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._up = False  # greeted, so that there is something to say about how things stand
        self._inbox: deque[Message] = deque()  # received while connecting, not yet iterated over
        self._tasks: set[asyncio.Task[None]] = set()  # of the connection that is up
        self._resuming: asyncio.Task[None] | None = None
        self._heartbeat = Heartbeat(options.heartbeat)
        self._connected_at = 0.0
        self._attempt = 0  # of reconnecting, since the last connection that was stable
        self._dropped_at = 0.0
        self._loss: ClientError | None = None  # why the connection is down

    # --- living ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave, with a close frame: an owner's slot is free at once. Idempotent; ends an iteration under way."""
        self._closed = True
        socket, self._socket = self._socket, None
        await self._end_tasks()
        if socket is not None:
            await socket.close()
        if self._state.name != "closed":
            self._tell(State("closed", "left", code=1000))

    async def run(
        self,
        text: str,
        *,
        session: str | None = None,
        mode: PermissionMode | None = None,
        policy: Policy | None = None,
    ) -> TurnResult:
        """Submit a prompt and wait for its turn to end; iterates, so nobody else may do that meanwhile.

        `policy` is called with each permission request of the turn and says "allow", "deny", one of the request's
        options, or `None` to leave it to others; it may be a coroutine function. Without one, everything is denied.

        Raises `PromptRefused`, and a `ClientError` when the connection is gone for good.
        """
        return await run(self, text, session=session, mode=mode, policy=policy)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message. Ends after `close`; raises a `ClientError` when the connection is gone for good."""
        while True:
            if self._inbox:
                return self._inbox.popleft()
            if self._closed:
                raise StopAsyncIteration
            try:
                if self._socket is None:
                    await self._reconnect()
                else:
                    await self._receive(self._socket)
            except ClientError as error:
                self._tell(State("closed", str(error), code=getattr(error, "code", None)))
                await self.close()
                raise

    async def _receive(self, socket: ClientConnection) -> None:
        self._heartbeat.listening = True
        try:
            frame = await receive(socket)
        except ConnectionClosed as closed:
            if not self._closed:
                await self._dropped(closed)
            return
        finally:
            self._heartbeat.listening = False
        self._heartbeat.heard()
        await self._take(frame)

    async def _take(self, frame: bytes) -> Message:
        """Learn from a frame, queue it if it is shown, and do what it calls for."""
        message = read(frame, self._view.session_of)
        if self._view.take(message):
            self._inbox.append(message)
        if isinstance(message, Welcome):
            await self._greet()
        if self._view.cursors.next_resume() is not None and (self._resuming is None or self._resuming.done()):
            pause = _pause(message) if isinstance(message, Error) else 0.0
            self._resuming = self._start(self._resume_all(pause), "resume")
        if isinstance(message, Error) and (refused := self._view.to_repeat(message)) is not None:
            self._start(self._repeat(refused, _pause(message)), "repeat")
        if self._up:
            self._tell(self._view.standing)
        return message

    # --- connections -----------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Connect, up to and with `role`, and with `welcome` where it comes at once."""
        view, options = self._view, self._options
        headers = {"Authorization": f"Bearer {options.token}"}
        if view.role == "owner" and view.reclaim_token is not None:
            headers["X-Myagent-Reclaim"] = view.reclaim_token
        was_follower = view.role == "follower" and view.welcome is not None
        url = options.address.url(
            role="follower" if options.follow or was_follower else None,
            session=options.session,
            after=None if options.session is None else view.cursors.last.get(options.session),
            label=options.label,
        )
        socket = await open_socket(options.address, url, headers, options.tls)
        self._socket, self._connected_at = socket, _now()
        self._heartbeat.heard()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                if not isinstance(await self._take(await receive(socket)), Ready):
                    raise NotMyagent("its first message is not `ready` of protocol version 1")
                if not isinstance(await self._take(await receive(socket)), RoleMessage):
                    raise NotMyagent("its second message is not `role`")
        except ConnectionClosed as closed:
            raise lost(closed) from None
        except TimeoutError:
            raise NotMyagent(f"it said nothing for {OPEN_TIMEOUT:.0f} s") from None
        if (frame := await receive_within(socket, WELCOME_WAIT)) is not None:
            await self._take(frame)
        self._up = True
        self._tell(view.standing)
        self._start(self._heartbeat.watch(socket), "heartbeat")
        for prompt in list(view.unacked.values()):
            with contextlib.suppress(NotConnected, Disconnected):  # whoever reads next learns of it
                await self._upload(prompt)
            await self._send_quietly(prompt)

    async def _greet(self) -> None:
        options = self._options
        hello = Hello(
            id=new_id(),
            client=ClientInfo(name="myagent", version=__version__),
            label=options.label,
            wants=options.wants,
        )
        self._view.sent_by_itself(hello.id)
        await self._send_quietly(hello)

    async def _resume_all(self, pause: float) -> None:
        """Ask for what was missed, session by session, within the rate that servers allow."""
        await asyncio.sleep(pause)
        sent = 0
        while (missed := self._view.cursors.next_resume()) is not None:
            if sent >= RESUMES_AT_ONCE:
                await asyncio.sleep(RESUME_PAUSE)
            session_id, after = missed
            message = Resume(id=new_id(), session_id=SessionId(session_id), after_seq=after)
            self._view.sent_by_itself(message.id)
            self._view.cursors.asked(message.id, session_id, after)
            await self._send_quietly(message)
            sent += 1

    async def _repeat(self, message: Command, pause: float) -> None:
        """Send again what the server had no room for; what is sent meanwhile waits as well."""
        self._calm_until = max(self._calm_until, _now() + pause)
        try:
            if isinstance(message, Resume) and message.after_seq is not None:
                await self._calm()
                self._view.cursors.asked(message.id, message.session_id, message.after_seq, moved=True)
            await self._send(message)
        except (NotConnected, Disconnected):  # the iteration finds out next; prompts are sent on the next connection
            pass

    async def _dropped(self, closed: ConnectionClosed) -> None:
        """Take note of a lost connection. Raises `Disconnected` if there is no coming back."""
        loss = lost(closed)
        self._loss, self._dropped_at = loss, _now()
        await self._forget_socket()
        if loss.code == 4409:
            self._view.role, self._view.reclaim_token = "follower", None
        if not (self._options.reconnect and loss.transient):
            raise loss
        if _now() - self._connected_at >= STABLE:
            self._attempt = 0

    async def _reconnect(self) -> None:
        """Wait, then try once. Raises when it makes no sense to go on."""
        delay = self._options.backoff(self._attempt)
        if isinstance(self._loss, Disconnected) and self._loss.code in RETRY_LATER:
            delay = max(delay, LATER)
        self._attempt += 1
        self._tell(State("reconnecting", str(self._loss), since=self._dropped_at, attempt=self._attempt))
        await asyncio.sleep(delay)
        if self._closed:
            return
        try:
            await self._locate()
            await self._open()
        except BaseException as error:
            await self._forget_socket()
            if not (isinstance(error, ClientError) and error.transient):
                raise
            if _now() - self._dropped_at >= self._options.reconnect_for:
                raise
            self._loss = error
        else:
            if self._closed:
                await self._forget_socket()

    async def _locate(self) -> None:
        """Ask where the server is now, if somebody knows: it may have come back at another port."""
        options = self._options
        if options.locate is None:
            return
        try:
            address, token = await asyncio.to_thread(options.locate)
        except (NoAnswer, Declined, OSError) as error:  # it may be told in a moment
            raise CannotConnect(str(options.address), str(error)) from None
        self._options = replace(options, address=address, token=token, tls=address.tls or options.tls)

    async def _forget_socket(self) -> None:
        socket, self._socket, self._up, self._calm_until = self._socket, None, False, 0.0
        await self._end_tasks()
        self._view.disconnected()
        if socket is not None:
            socket.transport.abort()

    # --- small parts -----------------------------------------------------------------------------------------

    async def _send_quietly(self, message: Command) -> None:
        """Send; a connection that is gone is left to the iteration, which finds out next."""
        try:
            await self._send(message)
        except (NotConnected, Disconnected):
            pass

    def _start(self, work: Any, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"client {name}")
        self._tasks.add(task)
        return task

    async def _end_tasks(self) -> None:
        tasks, self._tasks, self._resuming = self._tasks, set(), None
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def _tell(self, state: State) -> None:
        if state != self._state:
            self._state = state
            if self._options.on_state is not None:
                self._options.on_state(state)


def _pause(error: Error) -> float:
    """Seconds to wait before a message that was too much is sent again."""
    return RATE_LIMITED_PAUSE if error.retry_after is None else min(error.retry_after, LONGEST_PAUSE)


def _now() -> float:
    return asyncio.get_running_loop().time()
