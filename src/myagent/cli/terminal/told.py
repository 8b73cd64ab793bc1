"""Lines that a server tells while it runs, written by a thread of its own: a terminal that stands still (Ctrl+S), or a
pipe that nobody reads, holds up nobody."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import sys
import threading

from myagent.cli.terminal.output import say, say_on

WAITING = 1000  # lines; what comes while so many wait is counted, and told when there is room
CLOSE_SECONDS = 1.0  # for the lines that wait, at the end


class Told:
    """Writes lines to standard output, in order, until it is closed or nobody reads them."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._dropped = 0
        self._stream = None if sys.stdout is None else _without_lock(sys.stdout.fileno())
        self._thread = threading.Thread(target=self._write, name="told", daemon=True)
        self._thread.start()

    def __call__(self, line: str) -> None:
        """Have a line written; returns at once."""
        if self._dropped:
            line = f"({self._dropped} lines were left out: they came faster than they were written)\n{line}"
        try:
            self._lines.put_nowait(line)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits, for a second at most."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(CLOSE_SECONDS)
        if self._stream is not None and not self._thread.is_alive():
            self._stream.close()

    def _write(self) -> None:
        while (lines := self._lines.get()) is not None:
            try:
                for line in lines.splitlines():
                    say_on(self._stream, line)
            except OSError:  # `serve | head -1`: whoever read our lines has gone
                assert self._stream is not None
                self._stream.close()
                self._stream = None
                say("nobody reads standard output any more: serving goes on without it")


def _without_lock(descriptor: int) -> io.TextIOWrapper:
    """A stream of its own for a descriptor: a write that never ends must not keep the program from its last flush."""
    raw = open(os.dup(descriptor), "wb", buffering=0)  # noqa: SIM115 -- the stream's from here on
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
