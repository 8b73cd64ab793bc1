"""The heartbeat of one connection: when to ping, and when the other side is dead or does not read."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Literal

from myagent.settings import Settings

PING_PLACES = 16  # of a heartbeat, in which connections have their pings
PINGS_BYTES = 16  # several unanswered ones; who has no more than these unsent is idle

Verdict = Literal["ping", "slow", "dead"]

PING = b"\x89\x00"  # a whole frame: a thousand are sent in every heartbeat


class Heartbeat:
    """Judges a connection a few times a second; all times are the event loop's."""

    __slots__ = ("_ping_due", "_progress", "_settings", "_transport", "_unsent", "heard")

    def __init__(self, transport: asyncio.Transport, settings: Settings, now: float) -> None:
        self._transport = transport
        self._settings = settings
        self.heard = now  # when anything came last
        self._ping_due = 0.0
        self._unsent = -1  # bytes that waited when last looked at, here and in the kernel; -1: it is not watched
        self._progress = 0.0  # when some of them were last taken

    def start(self, now: float, place: int) -> None:
        """Begin to ping; spread, so that a thousand that came together are not pinged together."""
        self._ping_due = now + (place % PING_PLACES + 1) / PING_PLACES * self._settings.heartbeat

    def paused(self, now: float) -> None:
        """Bytes began to wait."""
        self._unsent, self._progress = -1, now

    def judge(self, now: float, *, paused: bool, owns: Callable[[], bool]) -> Verdict | None:
        """What is to be done now: `ping` it, or close it since it reads too slowly or is dead."""
        settings = self._settings
        self._watch_progress(now, paused=paused, silent=now - self.heard > 2 * settings.heartbeat)
        stuck = now - self._progress
        if paused and stuck > settings.stall_timeout:
            return "slow"
        if now - self.heard > 2 * settings.heartbeat:
            idle = self._unsent <= PINGS_BYTES and stuck > 2 * settings.heartbeat
            if owns() or idle or stuck > settings.stall_timeout:
                return "dead"
        if now >= self._ping_due and not paused:
            self._ping_due = now + settings.heartbeat
            return "ping"
        return None

    def excuse(self, now: float, seconds: float) -> None:
        """Nobody could be heard for so long, for it was this server that stood still."""
        self.heard = min(now, self.heard + seconds)
        self._progress = min(now, self._progress + seconds)

    def _watch_progress(self, now: float, *, paused: bool, silent: bool) -> None:
        """See whether bytes that wait are being taken. That there are more says nothing, nor that pings were taken:
        the kernel of a machine whose client is dead takes those."""
        if not (paused or silent):
            self._unsent = -1
            return
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size() + self._in_kernel()
        if before < 0:
            if self._unsent > PINGS_BYTES:
                self._progress = now
        elif before - self._unsent > PINGS_BYTES:
            self._progress = now
            if paused:  # it cannot be pinged; that it takes what waits is its sign of life
                self.heard = now

    def _in_kernel(self) -> int:
        """Bytes that the kernel has and the other side has not acknowledged."""
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return 0
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
