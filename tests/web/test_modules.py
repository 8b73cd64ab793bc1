"""The page's pure modules under node's own test runner, and the rules that hold for all of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from myagent.core.display import escape

WEB = Path(str(files("myagent") / "web"))
SUITE = Path(__file__).parent / "js" / "pure.test.mjs"

DISPLAYED = [
    "plain", "a\nb", "tab\there", "back\\slash", "\\u{41}", "\\\\u{41}", "\\", "\\\u202e", "\u202eevil",
    "zero\u200bwidth", "nbsp\u00a0", "\u3164", "\u034f", "soft\u00adhyphen", "\x1b[31m", "\x00", "\x7f", "\x9b",
    "emoji \U0001f600", "family \U0001f468\u200d\U0001f469", "flag\ufe0f", "\u2800", "\U0001d159", "\ue000",
    "\U000e0041", "\u2028", "\u00e9", "e\u0301", "\u65e5\u672c", "\U0010ffff", "u{", "\\u", "\\\n",
]  # fmt: skip

DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\b"
    r"|new Function|javascript:|setHTML|localStorage|document\.cookie|https?://(?!www\.w3\.org/2000/svg)"
)


def test_the_pure_modules(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    shown = json.dumps([(text, escape(text)) for text in DISPLAYED])
    modules = Path(shutil.copytree(WEB, tmp_path / "web"))
    (modules / "package.json").write_text('{"type": "module"}')  # browsers know by the script tag
    overwrites = SUITE.parents[2] / "text" / "overwrites.json"  # what every view of an output agrees on
    shared = overwrites.read_text() if overwrites.exists() else "[]"
    surroundings = {
        **os.environ,
        "MYAGENT_OVERWRITES": shared,
        "MYAGENT_WEB": modules.as_uri(),
        "MYAGENT_DISPLAY": shown,
    }
    argv = [node, "--test", str(SUITE)]
    done = subprocess.run(argv, env=surroundings, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(WEB.rglob("*.*")), ids=lambda path: path.name)
def test_nothing_of_the_page_takes_markup_or_leads_elsewhere(path: Path) -> None:
    """No script can make text into markup or code, keep anything beyond the tab, or name another host."""
    found = [line.strip() for line in path.read_text().splitlines() if DANGEROUS.search(line) and "SPANS" not in line]
    assert found == []


def test_the_check_would_find_it() -> None:
    assert DANGEROUS.search("node.innerHTML = text")
    assert DANGEROUS.search('fetch("https://elsewhere.example/")')


def test_the_page_has_nothing_inline() -> None:
    page = (WEB / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []
    assert re.findall(r'(?:src|href)="(?:/|[a-z]+:)', page) == []  # relative: it works under any prefix


def test_the_page_names_every_module_at_once() -> None:
    """Without it, a browser learns of each room's modules only from the last one's imports: a round trip a level."""
    named = re.findall(r'<link rel="modulepreload" href="([^"]+)">', (WEB / "index.html").read_text())
    modules = {path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js")}
    assert sorted([*named, "app.js"]) == sorted(modules)


@pytest.mark.parametrize("path", sorted(WEB.rglob("*.js")), ids=lambda path: path.name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("// ")
