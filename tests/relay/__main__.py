"""`python -m tests.relay [SCHEDULES [FIRST_SEED]]`: random schedules over relays at length; prints its figures."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.followers import Verdict
from tests.relay.schedules import play


def main() -> int:
    given = [int(each) for each in sys.argv[1:]]
    count, first = (given + [300, 0][len(given) :])[:2]
    verdict, done, wrong, reconnects = Verdict(), Counter[str](), 0, 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as directory:
            outcome = asyncio.run(play(seed, Path(directory) / "play"))
        verdict, done, reconnects = verdict + outcome.verdict, done + outcome.done, reconnects + outcome.reconnects
        if not outcome.right:
            wrong += 1
            print(f"seed {seed}: {outcome}", flush=True)
        if seed % 10 == 9:
            print(f"{seed - first + 1} schedules, {wrong} wrong: {verdict}", flush=True)
    print(f"{count} schedules, {wrong} wrong: {verdict}, reconnects {reconnects}, {dict(done)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
