"""RFC 6455, by the Autobahn cases, through our own listener: what fails is named here, with the reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A close frame within a message that has not ended: `websockets` answers 1002, and names it in its own list of
# exceptions; the suite wants the 1000 of the close frame.
FAILS = {"7.1.5"}


def test_the_autobahn_cases() -> None:
    pytest.importorskip("kosoku", reason="the Autobahn cases need the package kosoku")
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.stdout, done.stderr
    verdicts: dict[str, str] = json.loads(done.stdout)
    assert len(verdicts) == 265
    failed = {case for case, verdict in verdicts.items() if verdict not in ("OK", "NON_STRICT", "INFORMATIONAL")}
    assert failed <= FAILS, failed - FAILS
    assert "Traceback" not in done.stderr, done.stderr
