"""How long `myagent --help` takes, beside a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Effort, Figure, Result, compare, interleave, pick
from benchmarks.tools import Tools

COMMANDS = {
    "python3 -c pass": [sys.executable, "-c", "pass"],
    "myagent --help": [str(Path(sys.executable).parent / "myagent"), "--help"],
    "myagent remote client --help": [str(Path(sys.executable).parent / "myagent"), "remote", "client", "--help"],
}


def run(tools: Tools, effort: Effort) -> Result:
    subjects = {name: lambda c=command: _wall(c) for name, command in COMMANDS.items()}
    seconds = interleave(subjects, pick(effort, 25, 7, 1))
    base = seconds["python3 -c pass"]
    verdicts = [
        compare(f"{name} / python3 -c pass", seconds[name].over(base), most=3.0) for name in COMMANDS if "help" in name
    ]
    figure = Figure("Start-up", "seconds", ["wall"], {name: [each] for name, each in seconds.items()})
    return Result("startup", verdicts, {"seconds": seconds}, figure)


def _wall(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
