"""Lets the tests here be imported as `tests.faults`, as `python -m tests.faults` does."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
