"""Run the Autobahn cases against our own listener, and print what came of each as JSON: `python -m tests.conformance`.

Left out are 9.* (messages of 4 to 16 MiB, where ours may have 1 MiB, and their timings) and, of compression, all but
12.1.*: each echoes a thousand messages, and all are minutes. `tests/security/test_deflated_frames.py` has hostile ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import kosoku
from tests.conformance.echo import echo_server

LEFT_OUT = ["9.*", *(f"12.{part}.*" for part in range(2, 6)), "13.*"]


async def run() -> dict[str, str]:
    """What came of each case."""
    with tempfile.TemporaryDirectory() as directory:
        async with echo_server(Path(directory)) as url:
            try:
                results = await kosoku.run_fuzzingclient(url, None, LEFT_OUT, 8)
            except kosoku.FailureError as failed:
                results = failed.results
    return {each.case_id: str(each.behavior).rpartition(".")[2] for each in results}


def main() -> None:
    print(json.dumps(asyncio.run(run())))
    sys.stdout.flush()
    os._exit(0)  # the suite's own threads sometimes abort the interpreter at its exit


main()
