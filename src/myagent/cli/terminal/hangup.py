"""The end of a terminal: its signals end the program in order, and so does its absence where a signal is ignored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator

LOOK = 1.0  # seconds between two looks at whether the terminal is there
TERMINAL = 0  # standard input: what is full-screen has the same terminal on all three


@contextlib.contextmanager
def leaving(leave: Callable[[int], object]) -> Iterator[None]:
    """Within, SIGTERM and SIGHUP call `leave` with the exit code, 128 and the signal's number; so does the loss of the
    terminal, even with SIGHUP ignored. What is written to a terminal that is gone goes nowhere."""
    loop = asyncio.get_running_loop()
    caught = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]

    def end(number: int) -> None:
        if is_gone(TERMINAL):
            _write_nowhere()
        leave(128 + number)

    next_look = loop.call_later(LOOK, lambda: look())

    def look() -> None:
        nonlocal next_look
        if is_gone(TERMINAL):
            end(signal.SIGHUP)
        else:
            next_look = loop.call_later(LOOK, look)

    for number in caught:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        next_look.cancel()
        for number in caught:
            loop.remove_signal_handler(number)


def is_gone(terminal: int) -> bool:
    """Whether nobody is at the other end of a terminal any more."""
    poll = select.poll()
    poll.register(terminal, 0)
    return bool(poll.poll(0))


def _write_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
