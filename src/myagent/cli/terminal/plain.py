"""`myagent remote attach --plain`: sits in a session line by line, for dumb terminals, screen readers and logs.

No cursor movement, no colour, nothing is written over. A line typed is a prompt, a /command, or the answer to the
question that is open.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import BinaryIO

from myagent.cli import target
from myagent.cli.terminal.driver import DONE, Driver, Wanted
from myagent.cli.terminal.output import Screen
from myagent.cli.terminal.question import Keyboard
from myagent.client import Client, ClientError, Message, Refused, connect
from myagent.client.address import Address
from myagent.client.asking import page
from myagent.client.incoming import read
from myagent.client.naming import named, resolve
from myagent.core.messages import Ack, Connections, Error, TerminalState
from myagent.exceptions import MyagentError
from myagent.export.asciicast import steps
from myagent.export.parts import uncoloured
from myagent.text import options as offers
from myagent.text.options import Option, lines, offered
from myagent.text.overwriting import overwritten
from myagent.text.wording import name_line, one_line, state_word

HISTORY = 50  # events that /history shows, unless told
LINE_BYTES = 4 << 20  # of one line of a pipe; a prompt may have a quarter of it
BLOCK = '"""'  # a line of its own before and after a prompt of several lines

CATEGORIES = {"effort": "thought_level"}  # what a command is called, and ACP's category where that differs

HELP = f"""\
/help            this list
/sessions        list the sessions       /session ID   show and prompt that one
/new             the next prompt opens a new session
/history [N]     the last N events here  /who          who is connected
/claim           take the free ownership /release      let go of it
/takeover        take it from an owner   /ask          ask the owner to hand over
/handover ID     give it to a follower   /stop         stop the turn that runs here
/queue           prompts that wait       /cancel ID    take one of them back
/options         what the agent offers   /option NAME VALUE, /mode, /model, /effort VALUE   choose
/quit            leave; the agent goes on
Any other line is a prompt; {BLOCK} on a line of its own begins and ends one of several lines."""


class UnknownSession(MyagentError):
    def __init__(self, session: str) -> None:
        super().__init__(session)
        self.session = session

    def __str__(self) -> str:
        return f"there is no session {self.session} on that server"


class SharedKeyboard(Keyboard):
    """Reads every line; one that a question waits for goes there, any other to `take`. `None` is the end of input."""

    def __init__(self, fd: int, take: Callable[[str | None], Awaitable[None]]) -> None:
        super().__init__(fd)
        self._take = take
        self._waiter: asyncio.Future[str | None] | None = None
        self._ended = False

    async def pump(self) -> None:
        while not self._ended:
            line = await super().line()
            self._ended = line is None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(line)
            else:
                await self._take(line)

    async def line(self) -> str | None:
        if self._ended:
            return None
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None


class Commands:
    """Reads lines from what is no terminal: a pipe, a file. `None` is the end of input."""

    def __init__(self, take: Callable[[str | None], Awaitable[None]]) -> None:
        self._take = take

    async def pump(self) -> None:
        async for line in _lines(sys.stdin.buffer):
            await self._take(line.decode(errors="replace").strip())
        await self._take(None)


async def _lines(file: BinaryIO) -> AsyncIterator[bytes]:
    if not (stat.S_ISFIFO(mode := os.fstat(file.fileno()).st_mode) or stat.S_ISSOCK(mode)):
        for line in file.read().splitlines():  # a file, or /dev/null: it does not keep one waiting
            yield line
        return
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    while line := await reader.readline():
        yield line


class Sitting(Driver):
    """A watching driver in which one can also write; `fetch` gives a session's last events, as text.

    Without a terminal, lines come from standard input all the same; questions are denied then. When such input has
    ended, so does this, as soon as what was asked for has been done; if nothing ever came, it goes on watching.
    """

    can_prompt = True

    def __init__(self, screen: Screen, session: str | None, fetch: Callable[[str, int, int], str]) -> None:
        has_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._lines = SharedKeyboard(sys.stdin.fileno(), self._typed) if has_terminal else None
        super().__init__(Wanted(), screen, self._lines)
        self._shown = session
        self._fetch = fetch
        self._commands = None if has_terminal or sys.stdin is None else Commands(self._typed)
        self._sent: set[str] = set()
        self._opening: str | None = None  # a prompt that opens a session
        self._opened = asyncio.Event()
        self._turns: set[str] = set()  # prompts of ours that have not ended
        self._came = False  # a line
        self._ending = False  # no more lines will come
        self._block: list[str] | None = None  # the lines of a prompt that is being written

    async def run(self, client: Client) -> int:
        source = self._lines or self._commands
        pump = None if source is None else asyncio.create_task(source.pump(), name="keyboard")
        try:
            return await super().run(client)
        finally:
            if pump is not None:
                pump.cancel()

    def _show(self, client: Client, message: Message) -> int | None:
        if self._shown is None and client.sessions and not self._sent:
            self._shown = max(client.sessions.values(), key=lambda each: each.updated_at).session_id
        match message:
            case Ack() if message.id in self._sent:
                self._sent.discard(message.id)
                if self._shown is None:
                    self._shown = message.session_id
                self._answered(message.id)
            case Error() if message.id in self._turns:
                self._sent.discard(message.id)
                self._turns.discard(message.id)
                self._answered(message.id)
                self._end_if_done()
            case TerminalState() if message.id in self._turns:
                self._turns.discard(message.id)
                code = super()._show(client, message)
                self._end_if_done()
                return code
            case Connections():
                for each in message.connections:
                    label = name_line(each.label)
                    self._screen.say(f"{each.connection_id} {each.role}, may become {each.scope}, {label or 'no name'}")
            case _:
                pass
        return super()._show(client, message)

    async def _typed(self, line: str | None) -> None:
        assert self._work is not None
        if line is None and self._lines is None:
            self._ending = self._came
            self._end_if_done()
            return
        self._came = True
        if line is None:
            self._work.cancel()
            self.interrupted = True
        elif self.is_asking:
            self._screen.say("ignored: that was typed before the question was there")
        elif self._block is not None or line == BLOCK:
            await self._add(line)
        elif line:
            await self._do(line)

    async def _add(self, line: str) -> None:
        if line != BLOCK:
            assert self._block is not None
            self._block.append(line)
        elif self._block is None:
            self._block = []
        else:
            text, self._block = "\n".join(self._block), None
            await self._try(lambda client: self._prompt(client, text))

    async def _do(self, line: str) -> None:
        if not line.startswith("/"):
            await self._try(lambda client: self._prompt(client, line))
            return
        name, _, rest = line[1:].partition(" ")
        rest = rest.strip()
        match name:
            case "help":
                for each in HELP.split("\n"):
                    self._screen.say(each)
            case "sessions":
                self._say_sessions()
            case "session" if self._client is not None and rest:
                await self._show_session(rest)
            case "new":
                self._shown = None
                self._sent.add("")  # nothing else is shown until the prompt is there
                self._screen.say("the next prompt opens a new session")
            case "history" if not rest or (rest.isascii() and rest.isdigit() and len(rest) < 7):
                await self._history(int(rest or HISTORY))
            case "who":
                await self._try(lambda client: client.who())
            case "claim":
                await self._try(lambda client: client.claim())
            case "takeover":
                await self._try(lambda client: client.claim(force=True))
            case "ask":
                await self._try(lambda client: client.request_control())
            case "release":
                await self._try(lambda client: client.release())
            case "handover" if rest:
                await self._try(lambda client: client.handover(rest))
            case "stop" if self._shown is not None:
                session = self._shown
                await self._try(lambda client: client.cancel(session))
            case "queue":
                self._say_queue()
            case "cancel" if rest and self._shown is not None:
                session = self._shown
                await self._try(lambda client: client.cancel(session, rest))
            case "options" | "option" | "mode" | "model" | "effort" if name == "options" or not rest:
                self._say_options("" if name in ("options", "option") else name)
            case "option" | "mode" | "model" | "effort" if self._shown is not None:
                session = self._shown
                option, _, value = rest.partition(" ") if name == "option" else (name, "", rest)
                await self._try(lambda client: client.set_option(session, self._option(option), value.strip()))
            case "quit":
                assert self._work is not None
                self.interrupted = True
                self._work.cancel()
            case _:
                self._screen.say(f"that cannot be done: {one_line(line)}; /help tells what can")

    async def _show_session(self, wanted: str) -> None:
        latest = sorted(self._client.sessions.values() if self._client else (), key=lambda each: each.updated_at)
        listed = [{"sessionId": each.session_id, "title": each.title} for each in reversed(latest)]
        try:
            self._shown = resolve(wanted, listed)
        except MyagentError as error:
            for line in str(error).split("\n"):
                self._screen.say(line)
        else:
            await self._history(10)

    async def _prompt(self, client: Client, text: str) -> None:
        if not text.strip():
            return
        self._sent.discard("")
        while (
            self._shown is None and self._opening is not None
        ):  # two prompts are one session, however slow the line is
            await self._opened.wait()
        opens = self._shown is None
        if opens:
            self._opened.clear()
            self._opening = ""
        try:
            sent = await client.prompt(text, session=self._shown)
        except ClientError:
            self._answered("")
            raise
        self._sent.add(sent)
        self._turns.add(sent)
        if opens:
            self._opening = sent

    def _answered(self, message_id: str) -> None:
        if self._opening == message_id:
            self._opening = None
            self._opened.set()

    def _end_if_done(self) -> None:
        """Leave when the input has ended and nothing of it goes on."""
        if self._ending and not self._turns:
            assert self._work is not None
            self.interrupted = True
            self._work.cancel()

    async def _try(self, ask: Callable[[Client], Awaitable[object]]) -> None:
        try:
            if self._client is not None:
                await ask(self._client)
        except ClientError as error:
            self._screen.say(f"not sent: {one_line(str(error))}")

    async def _history(self, count: int) -> None:
        if self._client is None or self._shown is None or not count:
            self._screen.say("no session is shown")
            return
        metadata = self._client.sessions.get(self._shown)
        head = max(self._client.seen.get(self._shown, 0), metadata.head if metadata else 0)
        try:
            text = await asyncio.to_thread(self._fetch, self._shown, head + 1, count)
        except MyagentError as error:
            self._screen.say(one_line(str(error)))
        else:
            self._screen.own(text)

    def _say_sessions(self) -> None:
        sessions = self._client.sessions.values() if self._client else ()
        for each in sorted(sessions, key=lambda each: each.updated_at):
            mark = "shown" if each.session_id == self._shown else ""
            self._screen.say(
                f"{each.session_id} {state_word(each.state, each.last_exit_code)} {mark} {one_line(each.title)}"
            )

    def _offered(self) -> list[Option]:
        return offered(self._client.sessions.get(self._shown) if self._client and self._shown else None)

    def _option(self, name: str) -> str:
        """The id of the option that goes by that name, else the name: the server says what is wrong with it."""
        found = offers.named(self._offered(), name) or offers.named(self._offered(), CATEGORIES.get(name, name))
        return name if found is None else found.option_id

    def _say_options(self, name: str) -> None:
        options = [each for each in self._offered() if not name or each.option_id == self._option(name)]
        for line in lines(options):
            self._screen.say(line)
        if not options:
            self._screen.say("the agent offers nothing of that here")

    def _say_queue(self) -> None:
        metadata = self._client.sessions.get(self._shown) if self._client and self._shown else None
        waiting = metadata.queue if metadata else []
        for each in waiting:
            self._screen.say(f"{one_line(each.id)} {one_line(each.prompt)}")
        if not waiting:
            self._screen.say("no prompt waits here")


def check_session(address: Address, token: str, session: str) -> None:
    """Raises `UnknownSession`, and as asking a server does."""
    try:
        page(address, token, session, before=1, limit=1)
    except Refused as refused:
        raise (UnknownSession(session) if refused.status == 404 else refused) from None


async def run(arguments: argparse.Namespace) -> int:
    os.environ["NO_COLOR"] = "1"  # for the question, too
    address = target.address(arguments)
    token = target.token(arguments, address)

    def fetch(session: str, before: int, limit: int) -> str:
        where, shown = client.server
        events = map(read, page(where, shown, session, before=before, limit=limit))
        return uncoloured(overwritten("".join(text for _, text in steps(events))))

    if arguments.session is not None:
        address.check_plain(allowed=arguments.insecure_plain)
        arguments.session = await asyncio.to_thread(named, address, token, arguments.session)
        await asyncio.to_thread(check_session, address, token, arguments.session)
    sitting = Sitting(Screen(raw=False, lines=True), arguments.session, fetch)
    client = connect(
        address, token=token, role=arguments.role, label=target.label(arguments), reconnect=True,
        insecure_plain=arguments.insecure_plain, on_state=sitting.state_changed,
        locate=target.locating(arguments),
    )  # fmt: skip
    work = sitting.start(client)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, sitting.interrupt)
    loop.add_signal_handler(signal.SIGTERM, sitting.terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, sitting.terminate)
    try:
        return await work
    except asyncio.CancelledError:
        return DONE
