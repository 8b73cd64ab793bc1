"""Run the benchmarks: `python -m benchmarks [--quick] [NAME …]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from benchmarks.measure import CLIENT_CPU, SERVER_CPU, Effort, Result, Scratch, Verdict, plain
from benchmarks.plots import draw
from benchmarks.tools import Missing, Tools

NAMES = (
    "fanout",
    "path",
    "latency",
    "connections",
    "replay",
    "growth",
    "stalled",
    "compression",
    "startup",
    "editors",
    "page",
)
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, of {', '.join(NAMES)} (all)")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer repetitions: some minutes, not twenty")
    parser.add_argument("--smoke", action="store_true", help="whether each of them works; figures mean nothing")
    parser.add_argument("--results", metavar="DIRECTORY", type=Path, default=RESULTS, help="where to")
    parser.add_argument("--no-install", action="store_true", help="use the peers that are there already")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    effort: Effort = "smoke" if options.smoke else "quick" if options.quick else "full"
    options.results.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    failed: list[str] = []
    with ExitStack() as stack:
        tools = Tools(Scratch(stack), install=not options.no_install, effort=effort)
        for name in options.names or NAMES:
            began = time.monotonic()
            print(f"{name} …", flush=True)
            try:
                result = import_module(f"benchmarks.{name}").run(tools, effort)
            except Missing as missing:
                print(f"{name} is left out: {missing}")
                continue
            except Exception:
                traceback.print_exc()
                failed.append(name)
                continue
            _keep(result, effort, options.results)
            results.append(result)
            print(f"{name}: {time.monotonic() - began:.0f} s")
    _print([verdict for result in results for verdict in result.verdicts])
    for name, why in tools.left_out.items():
        print(f"left out: {name}: {why}")
    for name in failed:
        print(f"FAILED: {name}")
    return 1 if failed else 0


def _keep(result: Result, effort: Effort, results: Path) -> None:
    document = {
        "name": result.name,
        "effort": effort,
        "date": time.strftime("%Y-%m-%d"),
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
    (results / f"{result.name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if not draw(result.figure, results / f"{result.name}.png"):
        print("no plot: matplotlib is not installed")


def _print(verdicts: list[Verdict]) -> None:
    width = max((len(each.figure) for each in verdicts), default=0)
    print(f"\n{'figure':{width}}  {'goal':14}  {'measured':34}  met")
    for each in verdicts:
        met = {True: "yes", False: "NO", None: "–"}[each.met]
        print(f"{each.figure:{width}}  {each.goal:14}  {each.measured:34}  {met}")


if __name__ == "__main__":
    sys.exit(main())
