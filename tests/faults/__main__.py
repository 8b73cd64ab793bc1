"""The fault suite, long: `python -m tests.faults [SECTION…] [--seed N] [--scale F]` runs it and prints its figures.

A seed that is printed replays its faults exactly: `python -m tests.faults delivery --seed N --scale 0.001` plays that
one schedule. How the machine interleaves it with what it does otherwise is not replayed; `simulation` replays wholly.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.floods import FLOODS, target
from tests.faults.floods import flood as flood_of
from tests.faults.followers import Verdict
from tests.faults.kills import kill_and_check
from tests.faults.resends import resend
from tests.faults.schedules import Outcome, play
from tests.faults.simulation import count_wrong
from tests.faults.slow import BOUND, PATIENT, flood, memory_of_a_flood
from tests.faults.takeovers import FOUND_WITHIN, owner_after_a_restart, stale_writes, times_to_find

PROGRAM_EVERY = 10  # one schedule in so many is played on the real program


def simulation(directory: Path, seed: int, scale: float) -> bool:
    right = True
    for keep in (None, 10, 1):
        seeds = range(seed, seed + max(1, round(5000 * scale)))
        found, bad = count_wrong(seeds, keep=keep)
        say(
            f"{len(seeds)} simulated histories, retention {keep or 'off'}: {found.delivered} events handed over, "
            f"{found.gaps} told to be gone, {len(found.wrong)} wrong {bad[:5] or ''}"
        )
        right = right and not bad
    return right


def delivery(directory: Path, seed: int, scale: float) -> bool:
    total, faults, outcomes = Verdict(), Counter[str](), list[Outcome]()
    for number in range(max(1, round(1000 * scale))):
        program = (seed + number) % PROGRAM_EVERY == 0
        with tempfile.TemporaryDirectory(dir=directory) as place:
            outcome = asyncio.run(play(seed + number, Path(place), program=program))
        outcomes.append(outcome)
        total += outcome.verdict
        faults += outcome.faults
        if not outcome.right:
            say(f"WRONG: {'the real program, ' if program else ''}{outcome}")
    say(f"{len(outcomes)} random fault schedules from seed {seed}, {faults.total()} faults: {dict(faults)}")
    say(f"{sum(each.reconnects for each in outcomes)} reconnects of raw followers, {total.events} events to be seen")
    say(f"lost {total.lost}, doubled {total.doubled}, reordered {total.reordered}, altered {total.altered}")
    say(f"runs of one connection broken {sum(len(each.breaks) for each in outcomes)}, "
        f"prompts acked and lost {sum(each.unacked for each in outcomes)}, "
        f"run twice {sum(len(each.twice) for each in outcomes)}")  # fmt: skip
    return all(each.right for each in outcomes)


def kills(directory: Path, seed: int, scale: float) -> bool:
    tally = asyncio.run(kill_and_check(directory, max(3, round(200 * scale)), seed))
    say(f"{tally.kills} kills −9 from seed {seed}, {tally.in_recovery} of them while it started")
    say(f"{tally.acked} prompts acknowledged, {tally.seen} events seen: lost {len(tally.lost)}")
    say(f"turns or requests without their one end {len(tally.unended)}, prompts run again {len(tally.twice)}")
    return tally.right


def resends(directory: Path, seed: int, scale: float) -> bool:
    tally = asyncio.run(resend(directory, max(10, round(1300 * scale)), seed))
    say(f"{tally.cuts.total()} cuts ({dict(tally.cuts)}) and {tally.restarts} restarts from seed {seed}")
    say(f"{tally.prompts} prompts, sent {tally.sends} times: {len(tally.wrong)} ran not once, "
        f"{tally.interrupted} told to be interrupted by a restart {tally.wrong[:5] or ''}")  # fmt: skip
    return not tally.wrong


def ownership(directory: Path, seed: int, scale: float) -> bool:
    took = asyncio.run(times_to_find(directory / "dead", max(2, round(100 * scale))))
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    say(
        f"{len(took)} dead owners, default settings: found in {took[len(took) // 2]:.2f} s (median), "
        f"p99 {p99:.2f} s, worst {took[-1]:.2f} s"
    )
    (directory / "stale").mkdir()
    stale = asyncio.run(stale_writes(directory / "stale", max(2, round(100 * scale))))
    say(f"{stale.takeovers} takeovers, {stale.writes} stale writes: {stale.refused} answered stale_owner, "
        f"{stale.effects} stale effects, {len(stale.other)} other answers")  # fmt: skip
    storms = max(1, round(20 * scale))
    back = []
    for number in range(storms):
        place = directory / f"storm{number}"
        place.mkdir()
        back.append(asyncio.run(owner_after_a_restart(place, 50)))
    say(
        f"{storms} restarts with 50 followers and one owner: the former owner owns again "
        f"{back.count(('owner', 0))} times"
    )
    return (
        took[-1] <= FOUND_WITHIN and stale.refused == stale.writes and not stale.effects and set(back) == {("owner", 0)}
    )


def slow(directory: Path, seed: int, scale: float) -> bool:
    megabytes = max(10, round(200 * scale))
    for name in ("flood", "memory"):
        (directory / name).mkdir()
    worst, verdict, left = asyncio.run(flood(directory / "flood", 20, megabytes * 70, PATIENT))
    say(f"20 readers that never read, {megabytes} MB: at most {worst / 1024:.0f} KiB held for one (bound "
        f"{BOUND >> 10}), {left} still connected; a reader beside them: {verdict}")  # fmt: skip
    before, after = asyncio.run(memory_of_a_flood(directory / "memory", 20, megabytes=megabytes))
    say(f"the same with the real program: resident {before / 2**20:.0f} → {after / 2**20:.0f} MiB")
    return worst <= BOUND and not verdict.faults and after - before < 64 << 20


def floods(directory: Path, seed: int, scale: float) -> bool:
    each = max(50, round(1000 * scale))

    async def one(name: str, kinds: Sequence[str], rounds: int) -> bool:
        place = directory / name
        place.mkdir()
        async with target(place) as at:
            figures = await flood_of(at, kinds, each, rounds=rounds)
        say(f"{name}, {rounds} × {each} sockets of each: {figures}")
        return figures.within

    quiet = asyncio.run(one("nobody", [], 20))
    alone = [asyncio.run(one(kind, [kind], 3)) for kind in FLOODS]
    return quiet and all(alone) and asyncio.run(one("all", [*FLOODS], 3))


SECTIONS: dict[str, Callable[[Path, int, float], bool]] = {
    each.__name__: each for each in (simulation, delivery, kills, resends, ownership, slow, floods)
}


def say(line: str) -> None:
    print(f"  {line}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Run the fault suite, long.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--scale", type=float, default=1.0, help="how much of it, 1.0 being the published figures")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}")
    logging.getLogger("myagent").setLevel(logging.CRITICAL)  # turns that a fault ends are not news here
    wrong = []
    for name in arguments.sections or SECTIONS:
        began = time.monotonic()
        print(f"{name} (seed {arguments.seed})", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            if not SECTIONS[name](Path(directory), arguments.seed, arguments.scale):
                wrong.append(name)
        say(f"{'WRONG' if name in wrong else 'right'}, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
