"""How the cost of one event grows: with followers, with stored events, with sessions.

CPU per event at the server. Followers: delivery alone; what must not grow is the cost of one delivery beside
the ceiling's. Stored events and sessions: the whole way (say, commit, deliver) to 10 followers, on a log that already
has so many.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from benchmarks.fanout import Audience
from benchmarks.measure import Effort, Figure, Result, Spread, Verdict, interleave, pick
from benchmarks.tools import Tools

STEEPEST = 1.5  # times the least cost; noise on a shared machine is some tenths


def run(tools: Tools, effort: Effort) -> Result:
    crowds: tuple[int, ...] = pick(effort, (10, 100, 1000, 10_000), (10, 100, 1000), (2, 10))
    stores: tuple[int, ...] = pick(effort, (1000, 10_000, 100_000, 1_000_000), (1000, 100_000), (100, 1000))
    sessions = (1, 100)
    repetitions = pick(effort, 5, 3, 1)
    deliveries, ceiling = _followers(tools, crowds, repetitions, pick(effort, 40_000, 40_000, 400))
    stored = _filled(tools, {f"{events:,} events": (1, events) for events in stores}, repetitions)
    shared = _filled(tools, {f"{count:,} sessions": (count, 1000) for count in sessions}, repetitions)
    verdicts = [
        _linear(f"CPU per delivery, {crowds[0]} → {crowds[-1]:,} followers, beside C send()", deliveries, ceiling),
        _flat(f"CPU per event, {stores[0]:,} → {stores[-1]:,} stored events", stored),
        _flat("CPU per event, 1 → 100 sessions", shared),
    ]
    groups = list(deliveries) + list(stored) + list(shared)
    bars: dict[str, list[Spread | None]] = {
        "myagent": [{**deliveries, **stored, **shared}[group] for group in groups],
        "C send()": [ceiling.get(group) for group in groups],
    }
    figure = Figure("Cost growth", "µs of CPU (per delivery; per event)", groups, bars, logarithmic=True)
    data = {"µs per delivery": deliveries, "C send(), µs per delivery": ceiling, "µs per event": {**stored, **shared}}
    return Result("growth", verdicts, data, figure)


def _followers(
    tools: Tools, crowds: tuple[int, ...], repetitions: int, total: int
) -> tuple[dict[str, Spread], dict[str, Spread]]:
    """What a delivery costs us, and the C program that only sends; `total` deliveries are measured at a time."""
    costs: dict[str, Spread] = {}
    ceiling: dict[str, Spread] = {}
    with ExitStack() as stack:
        ours = Audience(tools, stack, stack.enter_context(tools.product()), preparing=True)
        theirs = Audience(tools, stack, stack.enter_context(tools.ceiling()))
        for followers in crowds:
            ours.grow(followers)
            theirs.grow(followers)
            ticks = max(20, total // followers)
            measured = interleave(
                {
                    "ours": partial(_cost, ours, "deliver", ticks),
                    "theirs": partial(_cost, theirs, "emit", ticks),
                },
                repetitions,
            )
            for told, of in ((costs, "ours"), (ceiling, "theirs")):
                if of in measured:
                    told[f"{followers:,} followers"] = measured[of]
    return costs, ceiling


def _cost(audience: Audience, command: str, ticks: int, *, each: bool = True) -> float:
    """µs of CPU for one delivery, or for one event with all its deliveries."""
    return 1e6 / audience.deliveries(command, ticks, 1) * (1 if each else audience.followers)


def _filled(tools: Tools, fillings: dict[str, tuple[int, int]], repetitions: int) -> dict[str, Spread]:
    with ExitStack() as stack:
        subjects = {}
        for name, (sessions, events) in fillings.items():
            server = stack.enter_context(tools.product())
            audience = Audience(tools, stack, server)
            server.ask(f"fill {sessions} {events}")
            audience.grow(10)
            subjects[name] = partial(_cost, audience, "emit", 500, each=False)
        return interleave(subjects, repetitions)


def _linear(figure: str, costs: dict[str, Spread], ceiling: dict[str, Spread]) -> Verdict:
    """Whether a delivery to the largest crowd costs no more, beside the ceiling, than one to the smallest: the kernel
    itself is slower with more sockets than the CPU's caches hold."""
    both = [crowd for crowd in costs if crowd in ceiling]
    if len(both) < 2:
        return Verdict(figure, f"linear (≤ {STEEPEST:g} ×)", "left out", None)
    ratios = [costs[crowd].over(ceiling[crowd]).median for crowd in both]
    values = [costs[crowd].median for crowd in both]
    measured = f"{values[0]:.3g} → {values[-1]:.3g} µs; {ratios[0]:.2f} → {ratios[-1]:.2f} × C"
    return Verdict(figure, f"linear (≤ {STEEPEST:g} ×)", measured, ratios[-1] / ratios[0] <= STEEPEST)


def _flat(figure: str, costs: dict[str, Spread]) -> Verdict:
    """Whether the last of a row costs at most `STEEPEST` times as much as the first one."""
    if len(costs) < 2:
        return Verdict(figure, f"flat (≤ {STEEPEST:g} ×)", "left out", None)
    first, *_, last = costs.values()
    ratio = last.median / first.median
    measured = f"{first.median:.3g} → {last.median:.3g} µs ({ratio:.2f} ×)"
    return Verdict(figure, f"flat (≤ {STEEPEST:g} ×)", measured, ratio <= STEEPEST)
