"""What `make audit` makes of an answer: a hole fails it, an answer without any does not, and no answer says so."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from scripts import audit

SAFE = {"name": "safe", "version": "1", "vulns": []}
HOLED = {"name": "holed", "version": "2", "vulns": [{"id": "ADVISORY-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


def run(monkeypatch: pytest.MonkeyPatch, answer: Any) -> int:
    def ask(_: Path) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return {"dependencies": answer}

    monkeypatch.setattr(audit, "ask", ask)
    return audit.main()


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ([SAFE, UNKNOWN], 0, "0 known holes in 1 packages; 1 not known\n"),
        ([SAFE, HOLED], 1, "holed 2: ADVISORY-1, mended in 3\n1 known holes in 2 packages; 0 not known\n"),
        ([UNKNOWN], 0, "nothing was audited: none of 1 packages is known to the advisory service here\n"),
        (subprocess.TimeoutExpired("pip", 1), 0, "nothing was audited: TimeoutExpired: "),
        (ValueError("no JSON\nat all"), 0, "nothing was audited: ValueError: no JSON\n"),
    ],
)
def test_a_hole_fails_it_and_silence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: Any, code: int, said: str
) -> None:
    assert run(monkeypatch, answer) == code
    assert capsys.readouterr().out.startswith(said)
