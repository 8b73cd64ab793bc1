"""What a hint says can be pasted, however the program was installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from myagent import extras


@pytest.mark.parametrize(
    ("prefix", "source", "expected"),
    [
        ("/home/me/venv", None, "{python} -m pip install 'myagent[models]'"),
        ("/home/me/.local/pipx/venvs/myagent", None, "pipx install --force 'myagent[models]'"),
        ("/home/me/.local/share/uv/tools/myagent", None, "uv tool install --force 'myagent[models]'"),
        ("/home/me/my agent/.venv", "/home/me/my agent", "{python} -m pip install '/home/me/my agent[models]'"),
    ],
)
def test_the_command_fits_how_it_was_installed(
    prefix: str, source: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(sys, "executable", "/opt/python")
    monkeypatch.setattr(extras, "_source", lambda: source)
    assert extras.install("models") == expected.format(python="/opt/python")


def test_the_directory_is_what_the_installer_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noted:
        def __init__(self, text: str | None) -> None:
            self.read_text = lambda _: text

    for text, source in (
        ('{"url": "file:///home/me/my%20agent", "dir_info": {"editable": true}}', "/home/me/my agent"),
        ('{"url": "https://example.org/myagent.whl", "archive_info": {}}', None),
        (None, None),
    ):
        noted: Any = Noted(text)
        monkeypatch.setattr(extras, "distribution", lambda _, noted=noted: noted)
        assert extras._source() == source


def test_here_it_is_this_checkout_or_none() -> None:
    assert extras._source() in (None, str(Path(__file__).parents[1]))
