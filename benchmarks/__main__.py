"""Run the benchmarks: `python -m benchmarks [--quick] [NAME …]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from benchmarks.measure import CLIENT_CPU, SERVER_CPU, Result, Scratch, Verdict, plain
from benchmarks.plots import draw
from benchmarks.tools import Missing, Tools

NAMES = ("fanout", "path", "latency", "connections", "replay", "growth", "stalled", "startup")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, of {', '.join(NAMES)} (all)")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer repetitions: two minutes, not twenty")
    parser.add_argument("--no-install", action="store_true", help="use the peers that are there already")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    RESULTS.mkdir(exist_ok=True)
    results: list[Result] = []
    with ExitStack() as stack:
        tools = Tools(Scratch(stack), install=not options.no_install, quick=options.quick)
        for name in options.names or NAMES:
            began = time.monotonic()
            print(f"{name} …", flush=True)
            try:
                result = import_module(f"benchmarks.{name}").run(tools, quick=options.quick)
            except Missing as missing:
                print(f"{name} is left out: {missing}")
                continue
            _keep(result, quick=options.quick)
            results.append(result)
            print(f"{name}: {time.monotonic() - began:.0f} s")
    _print([verdict for result in results for verdict in result.verdicts])
    for name, why in tools.left_out.items():
        print(f"left out: {name}: {why}")
    return 0


def _keep(result: Result, *, quick: bool) -> None:
    document = {
        "name": result.name,
        "quick": quick,
        "machine": {
            "cpus": os.cpu_count(), "server on": SERVER_CPU, "client on": CLIENT_CPU,
            "system": platform.platform(), "python": platform.python_version(),
        },
        "verdicts": [
            {"figure": each.figure, "goal": each.goal, "measured": each.measured, "met": each.met}
            for each in result.verdicts
        ],
        "data": plain(result.data),
    }  # fmt: skip
    (RESULTS / f"{result.name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if not draw(result.figure, RESULTS / f"{result.name}.png"):
        print("no plot: matplotlib is not installed")


def _print(verdicts: list[Verdict]) -> None:
    width = max((len(each.figure) for each in verdicts), default=0)
    print(f"\n{'figure':{width}}  {'goal':14}  {'measured':34}  met")
    for each in verdicts:
        met = {True: "yes", False: "NO", None: "–"}[each.met]
        print(f"{each.figure:{width}}  {each.goal:14}  {each.measured:34}  {met}")


if __name__ == "__main__":
    sys.exit(main())
