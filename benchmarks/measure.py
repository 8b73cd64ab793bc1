"""What every benchmark measures with: pinned programs, their CPU clocks and memory, and interleaved repetitions."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, CLIENT_CPU = CPUS[0], CPUS[-1]
PAGE = os.sysconf("SC_PAGE_SIZE")
PATIENCE = 60  # seconds for anything to happen


class Program:
    """A child that takes commands on stdin and answers each with a line; pinned to one CPU."""

    def __init__(self, argv: Sequence[str | Path], cpu: int, env: Mapping[str, str] | None = None) -> None:
        os.sched_setaffinity(0, {cpu})  # inherited by the child and all its threads
        try:
            self.process = subprocess.Popen(
                list(map(str, argv)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **(env or {})},
            )
        finally:
            os.sched_setaffinity(0, {CLIENT_CPU})
        self.pid = self.process.pid
        self._clock = (~self.pid << 3) | 2  # the process's CPU clock: clock_getcpuclockid(3) on Linux

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """The next line, as JSON where it is JSON."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with status {self.process.poll()}")
        return json.loads(line) if line[0] == "{" else line

    def ask(self, line: str) -> Any:
        self.say(line)
        return self.hear()

    @property
    def cpu(self) -> float:
        """Seconds of user and system time of all its threads."""
        return time.clock_gettime(self._clock)

    @property
    def rss(self) -> int:
        """Bytes of resident memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)

    def over(self, other: Spread) -> Spread:
        """Ratios repetition by repetition: what the machine did to both at that time cancels out."""
        pairs = zip(self.values, other.values, strict=True)
        return Spread(tuple(a / b if b else math.inf if a else 1.0 for a, b in pairs))

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.least)}–{number(self.most)})"


def number(value: float) -> str:
    if abs(value) >= 100_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


Effort = Literal["full", "quick", "smoke"]  # quick: for a look; smoke: whether it works at all
_Amount = TypeVar("_Amount")


def pick(effort: Effort, full: _Amount, quick: _Amount, smoke: _Amount) -> _Amount:
    """How much of something is measured."""
    return {"full": full, "quick": quick, "smoke": smoke}[effort]


class Incomplete(Exception):
    """Not everything that was sent came: there is nothing to be measured."""


def interleave(subjects: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, Spread]:
    """Measure all subjects in turn, again and again, after one round that does not count; then the noise of the machine
    is in all of them. A subject that loses something is left out."""
    values: dict[str, list[float]] = {name: [] for name in subjects}
    for repetition in range(repetitions + 1):
        for name in list(values):
            try:
                value = subjects[name]()
            except Incomplete as error:
                print(f"{name} is left out: {error}")
                del values[name]
                continue
            if repetition:
                values[name].append(value)
    return {name: Spread(tuple(each)) for name, each in values.items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the summary. `met` is `None` where there is nothing to be met, or nothing to compare with."""

    figure: str
    goal: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot: bars in groups, with their spread as error bars."""

    title: str
    axis: str
    groups: Sequence[str]
    bars: Mapping[str, Sequence[Spread | None]]
    line: float | None = None  # the goal
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    verdicts: Sequence[Verdict]
    data: Mapping[str, Any]
    figure: Figure


def compare(figure: str, ratio: Spread | None, *, least: float | None = None, most: float | None = None) -> Verdict:
    """Judge a ratio by its median."""
    goal = f"≥ {least:g} ×" if least is not None else f"≤ {most:g} ×"
    if ratio is None:
        return Verdict(figure, goal, "left out", None)
    met = ratio.median >= least if least is not None else ratio.median <= (most or 0)
    return Verdict(figure, goal, f"{ratio} ×", met)


def plain(value: Any) -> Any:
    """What JSON can carry."""
    if isinstance(value, Spread):
        return {"median": value.median, "least": value.least, "most": value.most, "values": list(value.values)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Window on one CPU, as the programs do."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Scratch:
    """A place for workspaces and files, gone at the end."""

    def __init__(self, stack: ExitStack) -> None:
        self.path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        self._count = 0

    def directory(self) -> Path:
        self._count += 1
        path = self.path / str(self._count)
        path.mkdir()
        return path

    def text_file(self, size: int) -> Path:
        """Lines of text like those that an agent writes."""
        path = self.path / f"{size}.txt"
        if not path.exists():
            lines = "".join(
                f'{i:6} The quick brown fox jumps over the lazy dog, and then "over" it again.\n' for i in range(5000)
            )
            path.write_text((lines * (size // len(lines) + 1))[:size])
        return path
