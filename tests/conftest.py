"""What every test may use: `async def` tests, the wire-level clients of `tests/e2e`, and a log that must stay quiet."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline is a timed assertion. The same examples every time, so that a change is judged by what it changed;
# MYAGENT_TEST_RANDOM=1 looks for new ones.
settings.register_profile("unhurried", deadline=None, derandomize="MYAGENT_TEST_RANDOM" not in os.environ)
settings.load_profile("unhurried")

# What ours keep for the user is kept here for the tests, and gone with them.
_state = tempfile.TemporaryDirectory(prefix="myagent-tests-")
os.environ["XDG_STATE_HOME"] = _state.name

# Under `nohup`, or in a shell's background, these are ignored, and would be in every program that a test starts.
for _number, _usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

sys.path.insert(0, str(Path(__file__).parent / "e2e"))  # `--import-mode=importlib` does not


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in arguments}))
    return True


@pytest.fixture
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing may be logged as an error while the test runs: no traceback, no task that failed unseen."""
    yield
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert errors == []
