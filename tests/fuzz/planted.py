"""The program with a bug in it, `python -m tests.fuzz.planted remote serve …`: what the storm must find."""

from __future__ import annotations

import sys

from tests.fuzz.targets import plant_in_decoder

from myagent.__main__ import main

if __name__ == "__main__":
    plant_in_decoder()
    sys.exit(main())
