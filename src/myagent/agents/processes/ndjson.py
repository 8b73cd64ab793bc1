"""A child process that talks in JSON, one message a line each way, in a process group of its own.

- What is no JSON is counted and passed over; too much of it ends the child.
- Messages are taken one at a time, in order: the next line is read when the handler of the last one has returned.
  That is the back-pressure. What must not hold it up is answered by a task of its own (`_aside`).
- Whatever ends the talk ends the whole process group.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from myagent.agents.processes.piped import PipedChild
from myagent.exceptions import MyagentError

logger = logging.getLogger(__name__)

LINE_BYTES = 64 << 20  # of one message; the largest seen was 570 KB (qwen-code 0.24)
READ_BYTES = 64 << 10  # per read
GARBAGE_LINES = 200  # on stdout that are no messages, before the child is taken for something else
STDERR_TAIL = 4096  # bytes kept to say why an agent died
LAST_LINES = 5  # of each stream, quoted when it died
LINE_CHARS = 500  # of such a line of stdout
STDERR_LOGGED = 256 << 10  # bytes of one process's stderr that reach the log
LINGER_SECONDS = 0.5  # after its exit, for somebody who left its process group with our pipe
CLOSE_SECONDS = 2.0  # to exit on end of input, and again on SIGTERM

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class LineTooLong(MyagentError):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"it sent a line longer than {self.limit >> 20} MiB"


class AgentGone(MyagentError):
    """The agent's process ended, or was ended by us for `reason`; `status` is what `Popen.returncode` says.

    `stderr` and `stdout` are the last lines of each; of stdout those that were no messages.
    """

    def __init__(self, status: int | None, stderr: str = "", reason: str = "", stdout: str = "") -> None:
        super().__init__(status, stderr, reason, stdout)
        self.status, self.stderr, self.reason, self.stdout = status, stderr, reason, stdout

    @property
    def exit_code(self) -> int:
        """The status as a shell gives it; an agent that left in the middle did not succeed, whatever it says."""
        if self.status is None or self.status == 0:
            return 1
        return self.status if self.status > 0 else 128 - self.status

    def __str__(self) -> str:
        if self.reason:
            how = f"was ended: {self.reason}"
        elif self.status is not None and self.status < 0:
            how = f"was killed by {signal.Signals(-self.status).name}"
        else:
            how = f"exited with status {self.status}"
        # What it wrote may be noise as well as the reason, so it is marked as its words.
        words = [f"its stderr ended with: {self.stderr}"] if self.stderr else []
        words += [f"its stdout ended with: {self.stdout}"] if self.stdout else []
        said_nothing = " and said nothing" if self.status and self.status > 0 and not (self.reason or words) else ""
        return "; ".join([f"the agent {how}{said_nothing}", *words])


class Lines:
    """Cuts a stream of bytes into lines in linear time, however a line is spread over the pieces."""

    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.pending = 0  # bytes of the line that has not ended yet

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, without their newline."""
        first, *rest = data.split(b"\n")
        self._add(first)
        if not rest:
            return []
        lines = [b"".join(self._pieces), *rest[:-1]]
        self._pieces, self.pending = [], 0
        self._add(rest[-1])
        return lines

    def rest(self) -> bytes:
        """What came after the last newline."""
        return b"".join(self._pieces)

    def _add(self, piece: bytes) -> None:
        self.pending += len(piece)
        if self.pending > self._limit:
            raise LineTooLong(self._limit)
        if piece:
            self._pieces.append(piece)


async def connected(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> PipedChild:
    """Start a child and take its pipes; raises `OSError` when the command cannot be run."""
    child = PipedChild(argv, cwd, env)
    connecting = asyncio.create_task(child.connect())  # a few turns of the event loop; half of it is no use
    try:
        await asyncio.shield(connecting)
    except BaseException:
        await asyncio.wait({connecting})
        child.signal(signal.SIGKILL)
        child.close_pipes()
        await child.exited.wait()
        raise
    return child


class Talk(ABC):
    """A running agent that was `connected`. From then on `close` must be called, also when it is `gone`.

    A dialect says what becomes of a message (`_take`), and of those who wait for an answer that cannot come (`_lost`).
    """

    dialect = "JSON"

    def __init__(self, child: PipedChild, tally: Counter[str]) -> None:
        self._child, self._tally = child, tally
        self._tail = bytearray()
        self._garbage_lines = 0
        self._words: deque[str] = deque(maxlen=LAST_LINES)  # on stdout, that were no messages
        self._reason = ""  # why we ended it
        self._idle = False  # waiting for the agent to say something
        self._closing = False
        self._asides: set[asyncio.Task[None]] = set()
        self.gone: AgentGone | None = None
        self._receiving = asyncio.create_task(self._receive(), name="talk-receive")
        self._draining = asyncio.create_task(self._drain_stderr(), name="talk-stderr")
        self._tasks = (
            self._receiving,
            self._draining,
            asyncio.create_task(self._watch_exit(), name="talk-exit"),
        )

    @abstractmethod
    async def _take(self, message: Any, line: bytes) -> None:
        """Handle one message; `line` is what it came as."""

    @abstractmethod
    def _lost(self, gone: AgentGone) -> None:
        """Tell everybody who waits for an answer that none will come; may be called twice."""

    def kill(self, reason: str) -> None:
        """End the process group at once; everything that waits for an answer gets `AgentGone` with the reason."""
        self._reason = self._reason or reason
        self._child.signal(signal.SIGKILL)

    async def close(self) -> None:
        """End of input, then SIGTERM, then SIGKILL; returns when nothing of the process group is left to us."""
        self._closing = True
        self._reason = self._reason or "the host closed it"
        try:
            self._child.leave_time()
            self._child.stdin.close()
            for step in (signal.SIGTERM, signal.SIGKILL):
                try:
                    await asyncio.wait_for(self._child.exited.wait(), CLOSE_SECONDS)
                    break
                except TimeoutError:
                    self._child.signal(step)
            await self._child.exited.wait()
        finally:
            self._child.signal(signal.SIGKILL)
            self._child.close_pipes()
            for task in (*self._tasks, *self._asides):
                task.cancel()
            await asyncio.gather(*self._tasks, *self._asides, return_exceptions=True)
            self._fail()

    @property
    def ending(self) -> bool:
        """It is gone, or was told to go."""
        return self.gone is not None or bool(self._reason) or self._child.exited.is_set()

    @property
    def pid(self) -> int:
        return self._child.pid

    def _aside(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Do something that must not hold up the next message; it ends with the talk."""
        task = asyncio.create_task(work, name=name)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)
        return task

    # --- to the agent ------------------------------------------------------------------------------------------

    async def _send(self, message: Mapping[str, Any]) -> None:
        """The one way to the agent's stdin."""
        try:
            self._child.stdin.write(_encode(message) + b"\n")
            await self._child.stdin.drain()
        except (ConnectionError, RuntimeError):
            # It closed its stdin, or died: its exit tells why.
            await self._end("it closed its input and went on running")
            await asyncio.wait({self._receiving})
            raise self._fail() from None

    def _check(self) -> None:
        if self.gone:
            raise self.gone

    # --- from the agent ----------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        lines = Lines()
        try:
            while data := await self._read():
                for line in lines.feed(data):
                    await self._decoded(line)
            if lines.pending:
                logger.debug("agent %d: half a line at the end, of %d bytes", self.pid, lines.pending)
                self._hear(lines.rest())
        except LineTooLong as error:
            self.kill(str(error))
        except Exception:  # a mistake of ours ends this agent, and no other
            logger.exception("agent %d: a message could not be handled", self.pid)
            self.kill("internal error")
        if not self._closing:
            await self._end("it closed its output and went on running")
            await asyncio.wait({self._draining}, timeout=LINGER_SECONDS)  # its last words may still be in the pipe
        self._fail()

    async def _end(self, reason: str) -> None:
        """Wait for the exit of an agent that can no longer be talked to, and see to it."""
        try:
            await asyncio.wait_for(self._child.exited.wait(), LINGER_SECONDS)
        except TimeoutError:
            self.kill(reason)
            await self._child.exited.wait()

    async def _read(self) -> bytes:
        self._idle = True
        try:
            return await self._child.stdout.read(READ_BYTES)
        finally:
            self._idle = False

    async def _decoded(self, line: bytes) -> None:
        try:
            message = _decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            if line.strip():
                self._hear(line)
                self._garbage(line)
            return
        await self._take(message, line)

    def _hear(self, line: bytes) -> None:
        """Keep words on stdout, in case that they are the last ones; half a message is none."""
        text = line[:LINE_CHARS].decode(errors="replace").strip()
        if text and not text.startswith(("{", "[")):
            self._words.append(text)

    def _garbage(self, line: bytes) -> None:
        """No message, or an answer that nobody waits for: counted, logged, and bounded."""
        self._tally["garbage"] += 1
        self._garbage_lines += 1
        logger.debug("agent %d: not a message: %r", self.pid, line[:200])
        if self._garbage_lines > GARBAGE_LINES:
            reason = f"it does not speak {self.dialect}: more than {GARBAGE_LINES} lines are no messages"
            self.kill(f"{reason}, such as {line[:80]!r}")

    # --- its stderr and its end --------------------------------------------------------------------------------

    async def _drain_stderr(self) -> None:
        logged = 0
        while data := await self._child.stderr.read(READ_BYTES):
            self._tail += data
            del self._tail[:-STDERR_TAIL]
            if logged < STDERR_LOGGED:
                logged += len(data)
                logger.debug("agent %d says on stderr: %s", self.pid, data.decode(errors="replace").rstrip())

    async def _watch_exit(self) -> None:
        await self._child.exited.wait()
        while not self._receiving.done():
            await asyncio.wait({self._receiving}, timeout=LINGER_SECONDS)
            if self._idle:  # nothing more comes, and yet the pipe is open: somebody outside the group has it
                self._child.close_pipes()

    def _fail(self) -> AgentGone:
        """Tell everybody who waits that the agent is gone."""
        if self.gone is None:
            stderr = self._tail.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
            stdout = [] if self._reason else self._words  # the reason quotes what it is about
            self.gone = AgentGone(self._child.status, "\n".join(stderr), self._reason, "\n".join(stdout))
        self._lost(self.gone)
        return self.gone
