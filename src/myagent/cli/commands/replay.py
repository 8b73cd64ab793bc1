"""`myagent remote replay`: plays a session on this terminal, at its own pace or faster."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from myagent.cli.reading import Carried, read_session
from myagent.cli.terminal.output import coloured, emit
from myagent.client.incoming import read
from myagent.core.messages import Metadata
from myagent.export import with_gaps
from myagent.export.asciicast import steps
from myagent.export.parts import uncoloured
from myagent.text.overwriting import Overwriting
from myagent.text.terminal import RESET


def run(arguments: argparse.Namespace) -> int:
    return read_session(arguments, _replay)


def _replay(arguments: argparse.Namespace, metadata: Metadata, lines: Iterable[bytes], _: Carried) -> None:
    terminal, colour = sys.stdout.isatty(), coloured(sys.stdout)
    over = Overwriting()
    try:
        events = map(read, with_gaps(lines, metadata.session_id))
        for pause, text in steps(events, raw=arguments.raw, max_wait=arguments.max_wait):
            if arguments.speed:
                time.sleep(pause / arguments.speed)
            if not (arguments.raw or terminal):
                text = over.feed(text)
            emit(sys.stdout, text if arguments.raw or colour else uncoloured(text))  # made safe where it is made
    finally:
        emit(sys.stdout, RESET if colour else uncoloured(over.line))
