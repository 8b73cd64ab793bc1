"""What every test may use: the wire-level clients of `tests/e2e`, and a log that must stay free of tracebacks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "e2e"))  # `--import-mode=importlib` does not


@pytest.fixture
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing may be logged as an error while the test runs: no traceback, no task that failed unseen."""
    yield
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert errors == []
