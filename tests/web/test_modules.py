"""The page's pure modules under node's own test runner, and the rules that hold for all of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pytest

from myagent.core.display import escape
from myagent.server.static import page_files

WEB = Path(str(files("myagent") / "web"))
SUITE = Path(__file__).parent / "js" / "pure.test.mjs"
SPEC = "commonmark-spec@0.31"
MARKDOWN = Path(__file__).parent / "js" / "markdown.test.mjs"

DISPLAYED = [
    "plain", "a\nb", "tab\there", "back\\slash", "\\u{41}", "\\\\u{41}", "\\", "\\\u202e", "\u202eevil",
    "zero\u200bwidth", "nbsp\u00a0", "\u3164", "\u034f", "soft\u00adhyphen", "\x1b[31m", "\x00", "\x7f", "\x9b",
    "emoji \U0001f600", "family \U0001f468\u200d\U0001f469", "flag\ufe0f", "\u2800", "\U0001d159", "\ue000",
    "\U000e0041", "\u2028", "\u00e9", "e\u0301", "\u65e5\u672c", "\U0010ffff", "u{", "\\u", "\\\n",
]  # fmt: skip

# A regular expression; and what a device that was paired keeps, of which `storage.js` has the only line.
EXCEPTIONS = ("BARE_SCHEME =", "new TabStorage(() => localStorage); // the only place where it is used")
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\b"
    r"|new Function|javascript:|setHTML|localStorage|document\.cookie|https?://(?!www\.w3\.org/2000/svg)"
)


def by_node(suite: Path, place: Path, surroundings: Mapping[str, str]) -> str:
    """Run a suite under node, with the page's modules where its `import` finds them; what it said."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    modules = Path(shutil.copytree(WEB, place / "web"))
    (modules / "package.json").write_text('{"type": "module"}')  # browsers know by the script tag
    env = {**os.environ, "MYAGENT_WEB": modules.as_uri(), **surroundings}
    argv = [node, "--test", str(suite)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_pure_modules(tmp_path: Path) -> None:
    shown = json.dumps([(text, escape(text)) for text in DISPLAYED])
    overwrites = SUITE.parents[2] / "text" / "overwrites.json"  # what every view of an output agrees on
    shared = overwrites.read_text() if overwrites.exists() else "[]"
    by_node(SUITE, tmp_path, {"MYAGENT_OVERWRITES": shared, "MYAGENT_DISPLAY": shown})


def test_markdown_agrees_with_commonmarks_examples(tmp_path: Path) -> None:
    """At least 97 % of those without HTML; the suite says how many. They are fetched when the test runs, never kept."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so commonmark-spec cannot be fetched")
    argv = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(tmp_path), SPEC]
    fetched = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    if fetched.returncode != 0:
        pytest.skip(f"commonmark-spec cannot be fetched: {fetched.stderr.strip().splitlines()[-1:]}")
    examples = tmp_path / "node_modules" / "commonmark-spec"
    said = by_node(MARKDOWN, tmp_path, {"MYAGENT_COMMONMARK": str(examples)})
    assert re.search(r"commonmark: \d+ of \d+ examples without HTML", said)


def test_markdown_takes_any_text(tmp_path: Path) -> None:
    by_node(MARKDOWN, tmp_path, {})


@pytest.mark.parametrize("path", sorted(WEB.rglob("*.*")), ids=lambda path: path.name)
def test_nothing_of_the_page_takes_markup_or_leads_elsewhere(path: Path) -> None:
    """No script can make text into markup or code, keep anything beyond the tab, or name another host."""
    found = [
        line.strip()
        for line in path.read_text().splitlines()
        if DANGEROUS.search(line) and not any(each in line for each in EXCEPTIONS)
    ]
    assert found == []


def test_the_check_would_find_it() -> None:
    assert DANGEROUS.search("node.innerHTML = text")
    assert DANGEROUS.search('fetch("https://elsewhere.example/")')


def test_the_page_has_nothing_inline() -> None:
    page = (WEB / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []
    assert re.findall(r'(?:src|href)="(?:/|[a-z]+:)', page) == []  # relative: it works under any prefix


def test_the_page_is_itself_one_script_and_one_for_later() -> None:
    """One request a module would be a connection each, or a round trip each."""
    page = page_files()["/"].body.decode()
    [script] = re.findall(r'<script type="module" src="([^"]+)">', page)
    assert re.fullmatch(r"app\.[0-9a-f]{16}\.js", script)
    assert re.findall(r"modulepreload|<link[^>]*stylesheet", page) == []
    whole = page_files()[f"/{script}"].body.decode()
    [later] = re.findall(r"\./(later\.[0-9a-f]{16}\.js)", whole)
    assert later not in page
    whole += page_files()[f"/{later}"].body.decode()
    modules = {path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js")} - {"worker.js"}  # a script of its own
    for name in modules:
        variable = re.sub(r"\W", "_", name.removesuffix(".js"))
        assert whole.count(f"const ${variable} = (() => {{") == 1, f"{name} is not used, or twice"


@pytest.mark.parametrize("path", sorted(WEB.rglob("*.js")), ids=lambda path: path.name)
def test_no_text_of_a_module_looks_like_a_comment(path: Path) -> None:
    """Whole lines that are comments are not served: none may be inside a text of several lines."""
    assert re.findall(r"[=(,+]\s*`[^`\n]*$", path.read_text(), re.MULTILINE) == []


def test_the_page_is_small_enough_for_a_phone() -> None:
    served = {
        path: len(file.gzipped) for path, file in page_files().items() if path == "/" or "immutable" in file.cache
    }
    later = sum(size for path, size in served.items() if path.startswith("/later."))
    assert sum(served.values()) - later <= 58_000
    assert 0 < later <= 30_000


@pytest.mark.parametrize("path", sorted(WEB.rglob("*.js")), ids=lambda path: path.name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("// ")
