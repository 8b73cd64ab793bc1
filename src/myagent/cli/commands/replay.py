"""`myagent remote replay`: plays a session on this terminal, at its own pace or faster."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from myagent.cli.reading import read_session
from myagent.cli.terminal.output import emit
from myagent.client.incoming import read
from myagent.core.messages import Metadata
from myagent.export import with_gaps
from myagent.export.asciicast import steps
from myagent.text.terminal import RESET


def run(arguments: argparse.Namespace) -> int:
    return read_session(arguments, _replay)


def _replay(arguments: argparse.Namespace, metadata: Metadata, lines: Iterable[bytes]) -> None:
    try:
        for pause, text in steps(map(read, with_gaps(lines, metadata.session_id))):
            if arguments.speed:
                time.sleep(pause / arguments.speed)
            emit(sys.stdout, text)  # made safe where the steps are made
    finally:
        if sys.stdout.isatty():
            emit(sys.stdout, RESET)
