"""The tools: what they find, what they change, and that nothing runs which is not as it was when leave was asked."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.agents.processes.process import child_environment
from myagent.agents.tools import search, tools
from myagent.agents.tools.plan import HASHED_BYTES, PlanChanged, command_plan, content_digest, dependence, differences
from myagent.agents.tools.search import PatternInvalid
from myagent.agents.tools.tools import EditFailed, SearchFailed, Tools, unified_diff
from myagent.agents.tools.workspace import FileFailed, PathRefused


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    def sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asyncio.run(test(tmp_path, monkeypatch))

    sync.__name__ = test.__name__
    sync.__doc__ = test.__doc__
    return sync


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"this is {path}\n")


# --- looking ----------------------------------------------------------------------------------------------------


@in_loop
async def test_glob_lists_what_a_developer_expects(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, "a.py", "src/b.py", "src/deep/c.py", "src/deep/d.txt", ".github/w.yml", ".git/config", ".myagent/x.py")
    (root / "up").symlink_to("..")
    (root / "link.py").symlink_to("a.py")
    tool = Tools(root)
    assert await tool.glob("*.py") == "a.py\nlink.py\n"
    assert await tool.glob("**/*.py") == "a.py\nlink.py\nsrc/b.py\nsrc/deep/c.py\n"
    assert await tool.glob("src/*") == "src/b.py\nsrc/deep/\n"
    assert await tool.glob("src/**") == "src/b.py\nsrc/deep/c.py\nsrc/deep/d.txt\n"
    assert await tool.glob("./src/**/[cd].*") == "src/deep/c.py\nsrc/deep/d.txt\n"
    assert await tool.glob("**/deep/**/?.py") == "src/deep/c.py\n"
    assert await tool.glob("*/*.yml") == ".github/w.yml\n"
    assert await tool.glob(".git/*") == await tool.glob(".myagent/*") == await tool.glob("up/*") == ""
    for pattern in ("../*", "/etc/*", "src//x", "a\0", "**/" * 999):
        with pytest.raises(PatternInvalid):
            await tool.glob(pattern)


@in_loop
async def test_what_was_installed_is_looked_into_only_where_it_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(root, "a.js", "node_modules/b.js", "sub/.venv/lib/c.js", "sub/venv")
    tool = Tools(root)
    assert await tool.glob("**/*.js") == "a.js\n(not looked into unless named: .venv, node_modules)\n"
    assert await tool.glob("*/*.js") == await tool.glob("node_modules/**") == "node_modules/b.js\n"
    assert await tool.glob("**/.venv/**") == "sub/.venv/lib/c.js\n(not looked into unless named: node_modules)\n"
    assert await tool.grep("this", "sub") == "sub/venv:1:this is sub/venv\n(not looked into unless named: .venv)\n"
    assert await tool.grep("this", "sub/.venv") == "sub/.venv/lib/c.js:1:this is sub/.venv/lib/c.js\n"


@in_loop
async def test_glob_says_how_much_it_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, *(f"f{n}" for n in range(8)))
    monkeypatch.setattr(search, "GLOB_MATCHES", 3)
    assert await Tools(root).glob("*") == "f0\nf1\nf2\n… and 5 more\n"
    monkeypatch.setattr(search, "ENTRIES", 2)
    assert (await Tools(root).glob("*")).endswith("(stopped after 2 files and directories)\n")


@in_loop
async def test_names_that_are_no_text_can_still_be_shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / os.fsdecode(b"caf\xe9")).write_text("x")
    (root / "two\nlines").write_text("x")
    (await Tools(root).glob("*")).encode()
    assert await Tools(root).glob("*") == "caf\ufffd\ntwo\u240alines\n"
    assert await Tools(root).grep("x") == "caf\ufffd:1:x\ntwo\u240alines:1:x\n"


@in_loop
async def test_a_tree_deeper_than_any_path_may_be_long(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 10, dir_fd=descriptor)
        below = os.open("d" * 10, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    assert await Tools(root).glob("**/*.py") == "(not looked into: what is more than 100 directories deep)\n"
    subprocess.run(["rm", "-r", "d" * 10], cwd=root, check=True)


@in_loop
async def test_grep_finds_lines(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, "a.py", "src/b.py", ".git/config", ".myagent/x")
    (root / "binary").write_bytes(b"this\0is")
    (root / "long").write_text(f"{'this' * 100}\r\n")
    os.mkfifo(root / "fifo")
    tool = Tools(root)
    assert (
        await tool.grep(r"th\ws is .*b")
        == "src/b.py:1:this is src/b.py\n(not searched, being binary, too large or unreadable: 2)\n"
    )
    assert await tool.grep("this", "src") == await tool.grep("this", "src/b.py") == "src/b.py:1:this is src/b.py\n"
    assert await tool.grep("^(this)+$", "long") == f"long:1:{'this' * 75}… [100 more characters]\n"
    assert await tool.grep("nowhere", "src") == ""
    for pattern, path, reason in [
        ("(", ".", "the pattern is not valid: missing ), unterminated subpattern at position 0"),
        ("x", "../", '../: may not contain ".."; name the file from the top of the workspace'),
        ("x", ".myagent/x", ".myagent/x: leads into .myagent, which no tool may touch"),
        ("x", "nothing", "nothing: there is no such file"),
        ("x", "fifo", "fifo: is not a regular file"),
    ]:
        with pytest.raises(SearchFailed) as caught:
            await tool.grep(pattern, path)
        assert str(caught.value) == reason


@in_loop
async def test_grep_says_how_much_it_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "many").write_text("x\n" * 700)
    found = (await Tools(root).grep("x")).splitlines()
    assert len(found) == search.GREP_MATCHES + 1
    assert found[-1] == "… and 200 more"


@in_loop
async def test_a_pattern_that_would_take_for_ever_is_stopped_and_holds_up_nobody(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_text("a" * 40 + "b\n")
    monkeypatch.setattr(tools, "GREP_SECONDS", 0.5)
    searching = asyncio.create_task(Tools(root).grep("(a+)+$"))
    while not searching.done():
        await asyncio.sleep(0)
    with pytest.raises(SearchFailed, match=r"^the search took more than 0\.5 seconds and was stopped$"):
        await searching


def test_a_search_whose_server_was_killed_ends_by_itself(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a" * 40 + "b\n")
    alone = (
        "import sys; from myagent.agents.tools import search; "
        "search.ALONE_SECONDS = 1; sys.exit(search.main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", alone, str(tmp_path), "(a+)+$", "."], check=False)
    assert done.returncode == -signal.SIGALRM


@in_loop
async def test_grep_runs_no_module_of_the_workspace(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("re", "os", "msgspec", "sitecustomize", "myagent"):
        (root / f"{name}.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(root))
    await Tools(root).grep("open")
    assert not (root / "ran").exists()


# --- changing ---------------------------------------------------------------------------------------------------


@in_loop
async def test_write_proposes_then_writes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = await Tools(root).write("new/a.txt", "one\ntwo")
    assert not (root / "new").exists()
    call = proposal.call
    assert (call.tool_name, call.kind, call.title) == ("Write", "edit", "Create new/a.txt")
    assert call.input == {"path": "new/a.txt", "content": "one\ntwo"}
    assert call.plan == {"file new/a.txt": [str(root / "new/a.txt"), None]}
    assert call.text == (
        "new/a.txt\n--- /dev/null\n+++ new/a.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n"
    )
    assert [(diff.path, diff.old_text, diff.new_text) for diff in call.diffs] == [("new/a.txt", None, "one\ntwo")]
    await proposal.launch()
    assert (root / "new/a.txt").read_bytes() == b"one\ntwo"


@in_loop
async def test_edit_replaces_the_one_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a").write_bytes(b"one\ntwo\nthree\n")
    proposal = await Tools(root).edit("a", "two", "2")
    assert proposal.call.plan == {"file a": [str(root / "a"), content_digest(b"one\ntwo\nthree\n")]}
    json.dumps(proposal.call.plan)
    assert proposal.call.text == "a\n--- a\n+++ a\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    await proposal.launch()
    assert (root / "a").read_bytes() == b"one\n2\nthree\n"


@in_loop
async def test_edit_keeps_windows_line_ends(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a").write_bytes(b"one\r\ntwo\r\n")
    await (await Tools(root).edit("a", "one\ntwo", "1\n2")).launch()
    assert (root / "a").read_bytes() == b"1\r\n2\r\n"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("five", "5", "a: the text to replace does not occur in it"),
        ("one", "1", "a: the text to replace occurs more than once; give more of what is around it"),
        ("aa", "b", "a: the text to replace occurs more than once; give more of what is around it"),
        ("", "x", "a: the text to replace is empty"),
        ("two", "two", "a: the new text is the old one"),
    ],
)
def test_an_edit_that_is_not_exact_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    (tmp_path / "a").write_text("one two one aaa")
    with pytest.raises(EditFailed) as caught:
        asyncio.run(Tools(tmp_path).edit("a", old, new))
    assert str(caught.value) == reason


@in_loop
async def test_what_cannot_be_shown_as_a_diff_is_not_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "binary").write_bytes(b"\0")
    os.mkfifo(root / "fifo")
    for path, reason in [("binary", "is binary"), ("fifo", "not a regular"), (".", "is a directory")]:
        with pytest.raises(FileFailed, match=reason):
            await Tools(root).write(path, "x")
    with pytest.raises(PathRefused):
        await Tools(root).write(".myagent/remote/auth.json", "x")
    monkeypatch.setattr(tools, "FILE_BYTES", 3)
    with pytest.raises(FileFailed, match="would become too large"):
        await Tools(root).write("new", "four")


@pytest.mark.parametrize("change", ["content", "gone", "link", "directory"])
def test_a_file_that_changed_while_asking_is_not_written(tmp_path: Path, change: str) -> None:
    async def main() -> None:
        (tmp_path / "a").write_text("one")
        (tmp_path / "b").write_text("one")
        proposal = await Tools(tmp_path).edit("a", "one", "1")
        match change:
            case "content":
                (tmp_path / "a").write_text("one more")
            case "gone":
                (tmp_path / "a").unlink()
            case "link":
                (tmp_path / "a").unlink()
                (tmp_path / "a").symlink_to("b")
            case "directory":
                (tmp_path / "a").unlink()
                (tmp_path / "a").mkdir()
        with pytest.raises(FileFailed if change == "directory" else PlanChanged, match="a"):
            await proposal.launch()
        assert (tmp_path / "b").read_text() == "one"
        assert {entry.name for entry in tmp_path.iterdir()} - {"a"} == {"b"}

    asyncio.run(main())


@in_loop
async def test_a_file_that_came_while_asking_is_not_overwritten(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = await Tools(root).write("a", "mine")
    (root / "a").write_text("theirs")
    with pytest.raises(PlanChanged) as caught:
        await proposal.launch()
    assert str(caught.value) == "changed after leave was asked, so nothing was run: file a"
    assert (root / "a").read_text() == "theirs"


@in_loop
async def test_without_the_second_look_it_would_be_overwritten(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    proposal = await Tools(root).write("a", "mine")
    (root / "a").write_text("theirs")
    monkeypatch.setattr(tools, "differences", lambda before, now: [])
    await proposal.launch()
    assert (root / "a").read_text() == "mine"


# --- running ----------------------------------------------------------------------------------------------------


async def nothing(text: str) -> None:
    pass


@in_loop
async def test_bash_proposes_then_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = await Tools(root).bash("echo hello; exit 5")
    assert (proposal.call.tool_name, proposal.call.kind) == ("Bash", "execute")
    assert proposal.call.input == {"command": "echo hello; exit 5"}
    assert proposal.call.text == "echo hello; exit 5"
    json.dumps(proposal.call.plan)
    heard: list[str] = []

    async def sink(text: str) -> None:
        heard.append(text)

    assert await proposal.launch(sink, nothing) == 5
    assert heard == ["hello\n"]


CHANGES: dict[str, Callable[[Path, pytest.MonkeyPatch], object]] = {
    "file run.sh": lambda root, _: (root / "run.sh").write_text("echo bad >ran"),
    "file data": lambda root, _: (root / "data").unlink(),
    "command tool": lambda root, _: (root / "bin/tool").rename(root / "bin/old") and make(root, "bin/tool"),
    "environment": lambda _, monkeypatch: monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8"),
    "working directory": lambda root, _: root.rename(f"{root}2") and shutil.copytree(f"{root}2", root),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("recheck", [True, False])
def test_what_changed_while_asking_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, recheck: bool
) -> None:
    """With the second look, nothing runs; without it (the negative control), the changed thing does."""
    root = tmp_path / "workspace"
    make(root, "data", "bin/tool")
    (root / "bin/tool").chmod(0o755)
    (root / "run.sh").write_text("echo good >ran")
    monkeypatch.setenv("PATH", f"bin:{os.environ['PATH']}")
    if not recheck:
        monkeypatch.setattr(tools, "differences", lambda before, now: [])

    async def main() -> None:
        proposal = await Tools(root).bash("cat data; command -v tool; sh run.sh")
        CHANGES[name](root, monkeypatch)
        await proposal.launch(nothing, nothing)

    if recheck:
        with pytest.raises(PlanChanged, match=name):
            asyncio.run(main())
    else:
        asyncio.run(main())
    assert (root / "ran").exists() is not recheck
    if name == "file run.sh" and not recheck:
        assert (root / "ran").read_text() == "bad\n"


@pytest.mark.parametrize(
    "line",
    [
        "./run.sh",
        "sh run.sh",
        "sh -c 'sh run.sh'",
        'sh -c "true && sh run.sh"',
        "true;sh run.sh",
        "cat<run.sh|sh",
        "(cd sub && sh ./inner.sh) && . ./run.sh",
        "X=run.sh; sh $X",
        "sh $(echo run.sh)",
        "sh `echo run.sh`",
        "env -i sh {root}/run.sh",
        "sh run.sh 'unbalanced",
        "sh link",
    ],
)
def test_the_plan_sees_the_files_that_a_line_names(tmp_path: Path, line: str) -> None:
    make(tmp_path, "run.sh", "sub/inner.sh")
    (tmp_path / "link").symlink_to("run.sh")
    argv = ("/bin/sh", "-c", line.format(root=tmp_path))
    before = command_plan(argv, cwd=tmp_path, env=child_environment())
    assert differences(before, command_plan(argv, cwd=tmp_path, env=child_environment())) == []
    (tmp_path / "run.sh").write_text("THIS IS RUN.SH\n")  # of the same length
    changed = differences(before, command_plan(argv, cwd=tmp_path, env=child_environment()))
    assert changed in (["file run.sh"], ["file link"])


# Ways to name a script that only the shell can resolve.
RESOLVED_LATER = [
    'sh "$PWD/run.sh"',
    "cd a && cd b && sh x.sh",
    "cd a; cd ../a/b; . ./x.sh",
    "(cd a && (cd b && sh x.sh))",
    "sh r*.sh",
    "sh ru?.sh",
    "sh [r]un.sh",
    "sh {run,none}.sh",
    "for f in *.sh; do sh $f; done",
    "X=run; sh $X.sh",
    "X=ru; Y=n.sh; sh $X$Y",
    "find . -name 'run.sh' -exec sh {} ';'",
    "find . -name x.sh | xargs -n1 sh",
    "ls | grep run | while read f; do sh $f; done",
    'eval "sh ru""n.sh"',
    "sh $(ls | head -1)",
    "sh <(cat a/b/x.sh)",
    "sh ./$(basename run.sh)",
    "case x in x) sh run.sh;; esac",
    "until sh a/b/x.sh; do :; done",
]


@pytest.mark.parametrize("line", RESOLVED_LATER)
@pytest.mark.parametrize("swap", ["written", "replaced", "renamed directory"])
def test_what_only_the_shell_can_resolve_is_looked_at_as_a_whole(tmp_path: Path, line: str, swap: str) -> None:
    make(tmp_path, "run.sh", "a/b/x.sh", "other/b/x.sh", ".myagent/log", ".git/index")
    argv = ("/bin/sh", "-c", line)
    before = command_plan(argv, cwd=tmp_path, env=child_environment())
    for path in (".myagent/log", ".git/index"):
        (tmp_path / path).write_text("goes on changing")
    assert differences(before, command_plan(argv, cwd=tmp_path, env=child_environment())) == []
    for path in ("run.sh", "a/b/x.sh"):
        place = tmp_path / path
        status = place.stat()
        if swap == "written":
            place.write_text("x" * status.st_size)
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif swap == "replaced":
            (tmp_path / "new").write_text("y")
            (tmp_path / "new").rename(place)
    if swap == "renamed directory":
        (tmp_path / "a").rename(tmp_path / "was")
        (tmp_path / "other").rename(tmp_path / "a")
        (tmp_path / "run.sh").rename(tmp_path / "was.sh")
    changed = differences(before, command_plan(argv, cwd=tmp_path, env=child_environment()))
    assert {"file run.sh", "file a/b/x.sh"} <= set(changed)
    assert "depends on files that may change" in dependence(line, before)


def test_a_directory_with_too_many_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myagent.agents.tools.plan.TREE_FILES", 3)
    make(tmp_path, *(f"f{n}" for n in range(5)))
    plan = command_plan(("/bin/sh", "-c", "cat *"), cwd=tmp_path, env=child_environment())
    assert "more than 3" in dependence("cat *", plan)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ls -la", ""),
        ("sh run.sh", ""),
        ("echo make it so", "what make reads by itself"),
        ("make all && npm  test", "what make, npm read by themselves"),
        ("python -m pytest", "what python -m, pytest read by themselves"),
        ("cat a.txt | sort", ""),
    ],
)
def test_what_a_program_reads_by_itself_is_said(tmp_path: Path, line: str, said: str) -> None:
    text = dependence(line, command_plan(("/bin/sh", "-c", line), cwd=tmp_path, env=child_environment()))
    assert text == (f"depends on files that may change: {said}" if said else "")


def test_a_file_in_a_directory_that_the_line_names_is_seen(tmp_path: Path) -> None:
    make(tmp_path, "sub/inner.sh")
    plan = command_plan(("/bin/sh", "-c", "cd sub && sh ./inner.sh"), cwd=tmp_path, env=child_environment())
    assert plan["file sub/inner.sh"][1] == content_digest(b"this is sub/inner.sh\n")


@in_loop
async def test_a_workspace_that_went_away_while_asking_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = await Tools(root).bash("echo hello")
    root.rename(f"{root}2")
    with pytest.raises(PlanChanged, match="working directory"):
        await proposal.launch(nothing, nothing)
    os.rename(f"{root}2", root)


def test_what_says_another_thing_at_each_look_can_still_be_run(tmp_path: Path) -> None:
    argv = ("/bin/sh", "-c", "cat /proc/uptime /proc/self/stat /dev/null")
    first, second = (command_plan(argv, cwd=tmp_path, env=child_environment()) for _ in range(2))
    assert differences(first, second) == []


def test_a_large_file_is_known_by_facts_that_cannot_be_set_back(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"a" * (HASHED_BYTES + 1))
    argv = ("/bin/sh", "-c", "sh big")
    before = command_plan(argv, cwd=tmp_path, env=child_environment())
    status = (tmp_path / "big").stat()
    with open(tmp_path / "big", "r+b") as file:
        file.write(b"b")
    os.utime(tmp_path / "big", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert differences(before, command_plan(argv, cwd=tmp_path, env=child_environment())) == ["file big"]


@pytest.mark.parametrize(
    "line", ["x" * 100_000, "a/" * 50_000, "a " * 60_000, "\0", "~nobody/x ~ ''", "'" * 9, "$((" * 999]
)
def test_no_command_line_breaks_the_plan(tmp_path: Path, line: str) -> None:
    os.mkfifo(tmp_path / "a")
    json.dumps(command_plan(("/bin/sh", "-c", line), cwd=tmp_path, env=child_environment()))


# --- diffs ------------------------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("ab\n"), max_size=60), st.text(st.sampled_from("ab\n"), max_size=60))
def test_patch_makes_the_new_text_of_the_old_one(tmp_path_factory: pytest.TempPathFactory, old: str, new: str) -> None:
    check_with_patch(tmp_path_factory.mktemp("diff"), old, new)


def test_a_diff_in_a_large_file_has_the_right_line_numbers_and_costs_little(tmp_path: Path) -> None:
    old = "".join(f"line {n}\n" for n in range(50_000))
    new = old.replace("line 30000\n", "changed\nand more\n").replace("line 30010\n", "")
    assert unified_diff("a", old, new).splitlines()[2] == "@@ -29998,7 +29998,8 @@"
    check_with_patch(tmp_path, old, new)
    shuffled = old.splitlines(keepends=True)
    random.Random(1).shuffle(shuffled)
    check_with_patch(tmp_path, old, "".join(shuffled))


def check_with_patch(directory: Path, old: str, new: str) -> None:
    if shutil.which("patch") is None:
        pytest.skip("needs the program `patch`")
    diff = unified_diff("a", old, new)
    if old == new:
        assert "(nothing changes)" in diff
        return
    if diff.endswith(" (an empty file)\n"):
        assert new == ""
        return
    (directory / "a").write_text(old)
    subprocess.run(["patch", "--quiet", "--fuzz=0", "a"], input=diff, text=True, cwd=directory, check=True)
    assert ((directory / "a").read_text() if (directory / "a").exists() else "") == new
