"""What the tests of agents share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psutil
import pytest


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """No process of ours and no descriptor is left by the test."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert psutil.Process().children() == []
    assert set(os.listdir("/proc/self/fd")) == before
