"""What git tells of a directory: all of it, odd names included, in bounds, and with nothing of the directory run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from myagent.host import repository
from myagent.host.repository import NoChanges, Repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

ENV = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example",
}  # fmt: skip
ODD = [
    b"with space", b"two\nlines", b'quote"s', b"-dash", b":(top)magic", b"*", b"not utf-8 \xff", "äöü 日本".encode(),
    b"tab\there", b"percent%41", b"sub dir/deep\\er", b"bidi \xe2\x80\xae.txt",
]  # fmt: skip


def git(place: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=place, env=ENV, check=True, capture_output=True)


def write(place: Path, name: bytes | str, text: str) -> None:
    path = os.path.join(os.fsencode(place), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def made(place: Path, files: dict[str, str], *how: str) -> Path:
    """A repository in which these are committed."""
    place.mkdir(exist_ok=True)
    git(place, "init", "-q", "-b", "main", *how)
    for name, text in files.items():
        write(place, name, text)
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "first", "--allow-empty")
    return place


async def told(place: Path) -> dict[bytes, str]:
    status = await Repository(place).status()
    assert status.complete
    return {each.name: each.status for each in status.files}


async def test_what_is_changed_added_deleted_and_unknown_is_told_with_counts(tmp_path: Path) -> None:
    place = made(
        tmp_path / "w", {"kept": "1\n", "changed": "1\n2\n3\n", "gone": "1\n", "staged": "1\n", "moved": "m\n" * 9}
    )
    write(place, "changed", "1\nzwei\n3\n4\n")
    (place / "gone").unlink()
    write(place, "staged", "2\n")
    git(place, "add", "staged")
    write(place, "new/file", "a\nb\n")
    git(place, "mv", "moved", "there")
    status = await Repository(place).status()
    assert status.branch == "main"
    assert {each.name: (each.status, each.added, each.removed) for each in status.files} == {
        b"changed": (" M", 2, 1), b"gone": (" D", 0, 1), b"staged": ("M ", 1, 1), b"new/file": ("??", None, None),
        b"moved": ("D ", 0, 9), b"there": ("A ", 9, 0),
    }  # fmt: skip
    reader = Repository(place)
    assert (await reader.difference("changed")).text == "@@ -1,3 +1,4 @@\n 1\n-2\n+zwei\n 3\n+4\n"
    assert (await reader.difference("gone")).text == "@@ -1 +0,0 @@\n-1\n"
    assert (await reader.difference("staged")).text == "@@ -1 +1 @@\n-1\n+2\n"
    assert (await reader.difference("new/file")).text == "@@ -0,0 +1,2 @@\n+a\n+b\n"
    assert (await reader.difference("kept")).text == ""


async def test_names_are_bytes_and_each_has_its_difference(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {})
    for name in ODD:
        write(place, name, "old\n")
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "odd")
    for name in ODD:
        write(place, name, "new\n")
    write(place, b"unknown \xfe\n", "text\n")
    status = await Repository(place).status()
    assert {each.name for each in status.files} == {*ODD, b"unknown \xfe\n"}
    for each in status.files:
        assert each.key.isascii()
        assert each.key.isprintable()
        found = (await Repository(place).difference(each.key)).text
        assert found == ("@@ -0,0 +1,1 @@\n+text\n" if each.status == "??" else "@@ -1 +1 @@\n-old\n+new\n")


async def test_any_repository_will_do(tmp_path: Path) -> None:
    """Without a commit, detached, a linked work tree, part of a larger one, with SHA-256, with a split index."""
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q", "-b", "start")
    write(empty, "new", "1\n")
    write(empty, "staged", "1\n")
    git(empty, "add", "staged")
    assert (await Repository(empty).status()).branch == "start"
    assert await told(empty) == {b"new": "??", b"staged": "A "}
    assert (await Repository(empty).difference("staged")).text == "@@ -0,0 +1 @@\n+1\n"
    for name, how in (("one", ()), ("sha256", ("--object-format=sha256",))):
        place = made(tmp_path / name, {"a/b/file": "1\n", "c/file": "1\n"}, *how)
        git(place, "update-index", "--split-index")
        for file in ("a/b/file", "c/file"):
            write(place, file, "2\n")
        assert await told(place / "a" / "b") == {b"file": " M"}
        assert (await Repository(place / "a").difference("b/file")).text == "@@ -1 +1 @@\n-1\n+2\n"
        with pytest.raises(NoChanges):
            await Repository(place / "a").difference("../c/file")
        git(place, "checkout", "-q", "--detach")
        assert (await Repository(place).status()).branch == ""
        git(place, "worktree", "add", "-q", "../linked-" + name, "main")
        write(tmp_path / f"linked-{name}", "c/file", "3\n")
        assert await told(tmp_path / f"linked-{name}") == {b"c/file": " M"}
        assert (await Repository(tmp_path / f"linked-{name}").status()).branch == "main"


async def test_line_endings_and_modes_are_compared_as_the_repository_says(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {"file": "1\n2\n", "script": "x\n"})
    git(place, "config", "core.autocrlf", "true")
    git(place, "config", "core.filemode", "false")
    (place / "file").unlink()
    git(place, "checkout", "file")
    assert (place / "file").read_bytes() == b"1\r\n2\r\n"
    os.utime(place / "file", (1, 1))  # so that it is looked into
    (place / "script").chmod(0o755)
    assert await told(place) == {}
    git(place, "config", "core.filemode", "true")
    assert await told(place) == {b"script": " M"}


async def test_where_there_is_no_repository_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoChanges, match="not a git repository"):
        await Repository(tmp_path).status()
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(NoChanges):
        await Repository(tmp_path).status()


async def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoChanges, match="git is not installed"):
        await Repository(tmp_path).status()


async def test_what_only_the_server_may_read_is_neither_listed_nor_shown(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {"known": "1\n"})
    write(place, ".myagent/token", "secret\n")
    write(place, ".MyAgent/token", "secret\n")
    (place / "link").symlink_to(".myagent/token")
    (place / "out").symlink_to("/etc/passwd")
    os.link(place / ".myagent" / "token", place / "hard")
    (place / "known").unlink()
    os.link(place / ".myagent" / "token", place / "known")
    assert {b"known", b"link", b"out", b"hard"} == set(await told(place))
    for name in (
        ".myagent/token",
        ".MyAgent/token",
        "link",
        "out",
        "hard",
        "known",
        ".git/config",
        "%2e%2e/x",
        "/etc/passwd",
    ):
        try:
            shown = (await Repository(place).difference(name)).text
        except NoChanges:
            continue
        assert "secret" not in shown
        assert "root:" not in shown


async def test_it_changes_nothing(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {"file": "1\n"})
    write(place, "file", "2\n")
    write(place, "new", "2\n")
    os.utime(place / "file", (1, 1))

    def looks() -> list[tuple[str, float, int]]:
        found = [path for path in sorted((place / ".git").rglob("*")) if path.is_file()]
        return [(str(path), path.stat().st_mtime, path.stat().st_size) for path in found]

    before = looks()
    await Repository(place).status()
    for name in ("file", "new"):
        await Repository(place).difference(name)
    assert looks() == before


# --- bounds -----------------------------------------------------------------------------------------------------------


async def test_what_is_too_much_is_cut_and_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "FILES", 5)
    monkeypatch.setattr(repository, "DIFF_BYTES", 1000)
    place = made(tmp_path / "w", {"file": "1\n"})
    write(place, "file", "line\n" * 1000)
    for number in range(9):
        write(place, f"new {number}", "line\n" * 1000)
    status = await Repository(place).status()
    assert (len(status.files), status.complete) == (5, False)
    for name in ("file", "new 1"):
        found = await Repository(place).difference(name)
        assert not found.complete
        assert found.text.endswith("\n")
        assert 100 < len(found.text) <= 1300
    monkeypatch.setattr(repository, "LIST_BYTES", 20)
    assert not (await Repository(place).status()).complete


async def test_a_small_repository_with_large_files_of_holes_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = made(tmp_path / "w", {"a": "one\n"})
    git(place, "update-index", "--split-index")
    assert await told(place) == {}
    for number in range(7):
        with open(place / ".git" / f"sharedindex.{number:040x}", "wb") as file:
            file.truncate(repository.INDEX_BYTES // 2)
    with pytest.raises(NoChanges, match="too large to be looked at"):
        await told(place)
    monkeypatch.setattr(repository, "INDEX_BYTES", 100 * repository.INDEX_BYTES)
    assert await told(place) == {}  # the control: it would be copied


async def test_an_object_that_inflates_beyond_what_git_may_address_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree of one name with millions of letters: its object is small."""
    place = made(tmp_path / "w", {"a": "one\n"})
    name = b"a" * (60 << 20)
    body = b"100644 " + name + b"\0" + b"\1" * 20
    whole = b"tree %d\0%b" % (len(body), body)
    digest = hashlib.sha1(whole).hexdigest()
    path = place / ".git" / "objects" / digest[:2] / digest[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zlib.compress(whole, 1))
    commit = subprocess.run(
        ["git", "commit-tree", "-m", "x", digest], cwd=place, check=True, capture_output=True, text=True
    ).stdout.strip()
    (place / ".git" / "HEAD").write_text(f"{commit}\n")
    monkeypatch.setattr(repository, "GIT_KIB", 100 << 10)
    with pytest.raises(NoChanges, match=r"memory|git failed"):
        await told(place)


async def test_what_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "SECONDS", 0.3)
    place = made(tmp_path / "w", {"file": "1\n"})
    (place / ".git" / "HEAD").unlink()
    os.mkfifo(place / ".git" / "HEAD")
    with pytest.raises(NoChanges, match=r"longer than 0\.3 s"):
        await Repository(place).status()


async def test_files_that_are_no_files_are_not_waited_for(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {"file": "1\n"})
    os.mkfifo(place / "pipe")
    (place / ".git" / "info" / "exclude").unlink()
    os.mkfifo(place / ".git" / "info" / "exclude")
    (place / "binary").write_bytes(b"a\0b")
    assert (await Repository(place).difference("binary")).text == ""
    with pytest.raises(NoChanges):
        await Repository(place).difference("pipe")
    assert b"binary" in await told(place)


# --- nothing of it runs -----------------------------------------------------------------------------------------------


def planted(place: Path, marker: Path) -> Path:
    """A repository that has a program started wherever git can be made to start one."""
    made(
        place,
        {"file.txt": "1\n", "filtered.dat": "1\n", "converted.doc": "1\n", "driven.drv": "1\n", "inner.txt": "1\n"},
    )
    program = place.parent / "program"
    program.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{marker}'\ncat\n")
    program.chmod(0o755)
    hooks = place / ".git" / "hooks"
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "post-checkout", "pre-auto-gc"):
        (hooks / name).write_text(program.read_text())
        (hooks / name).chmod(0o755)
    for key, value in {
        "core.fsmonitor": str(program), "core.pager": str(program), "core.sshCommand": str(program),
        "core.editor": str(program), "core.askPass": str(program), "core.alternateRefsCommand": str(program),
        "core.gitProxy": str(program), "diff.external": str(program), "diff.drv.command": str(program),
        "diff.doc.textconv": str(program), "filter.dat.clean": str(program), "filter.dat.smudge": str(program),
        "filter.dat.required": "true", "filter.proc.process": str(program), "credential.helper": f"!{program}",
        "gpg.program": str(program), "pager.status": str(program), "pager.diff": str(program),
        "interactive.diffFilter": str(program), "status.submoduleSummary": "true", "diff.submodule": "log",
        "extensions.partialClone": "origin", "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{program} %S",
        "remote.origin.uploadpack": str(program), "protocol.allow": "always", "protocol.ext.allow": "always",
        "alias.status": f"!{program}", "alias.rev-parse": f"!{program}", "include.path": "../more",
    }.items():  # fmt: skip
        git(place, "config", key, value)
    write(place, "more", f"[core]\n\tfsmonitor = {program}\n[diff]\n\texternal = {program}\n")
    attributes = "*.drv diff=drv\n*.doc diff=doc\n*.dat filter=dat\n*.proc filter=proc\n"
    write(place, ".gitattributes", attributes)
    write(place, ".git/info/attributes", attributes)
    inner = made(place / "inner", {"file.dat": "1\n"})
    git(inner, "config", "core.fsmonitor", str(program))
    git(inner, "config", "filter.dat.clean", str(program))
    write(inner, ".gitattributes", attributes)
    subprocess.run(
        ["git", "-c", "core.fsmonitor=", "add", "inner"], cwd=place, env=ENV, check=False, capture_output=True
    )
    for name in ("file.txt", "filtered.dat", "converted.doc", "driven.drv", "inner/file.dat", "new.proc", "new.dat"):
        write(place, name, "2\n")
    marker.unlink(missing_ok=True)
    return place


async def test_nothing_that_a_repository_names_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    place = planted(tmp_path / "w", marker)
    status = await Repository(place).status()
    assert {b"file.txt", b"filtered.dat", b"converted.doc", b"driven.drv", b"new.proc"} <= {
        each.name for each in status.files
    }
    for each in status.files:
        await Repository(place).difference(each.key)
    assert (await Repository(place).difference("driven.drv")).text == "@@ -1 +1 @@\n-1\n+2\n"
    assert not marker.exists(), marker.read_text()


async def test_nor_is_what_is_missing_fetched(tmp_path: Path) -> None:
    """The objects of a partial clone are asked of a remote that is a program."""
    marker = tmp_path / "ran"
    place = planted(tmp_path / "w", marker)
    for path in (place / ".git" / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    for question in (Repository(place).status(), Repository(place).difference("file.txt")):
        with pytest.raises(NoChanges):
            await question
    assert not marker.exists(), marker.read_text()


def test_control_git_itself_would_run_them(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    place = planted(tmp_path / "w", marker)
    subprocess.run(["git", "diff"], cwd=place, env=ENV, check=False, capture_output=True)
    assert "program" in marker.read_text()
    marker.unlink()
    argv = ["git", "-c", "core.fsmonitor=", "diff", "--no-ext-diff", "--no-textconv"]
    subprocess.run(argv, cwd=place, env=ENV, check=False, capture_output=True)
    assert "program" in marker.read_text(), "with the flags alone its filters run"


async def test_control_the_repositorys_own_configuration_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it says copied into ours, the tests above fail."""
    marker = tmp_path / "ran"
    place = planted(tmp_path / "w", marker)
    make = repository._make

    def careless(target: Path, git_directory: Path, *rest: object) -> None:
        make(target, git_directory, *rest)  # type: ignore[arg-type]
        shutil.copy(git_directory / "config", target / "config")
        shutil.copy(place / "more", target.parent / "more")

    monkeypatch.setattr(repository, "_make", careless)
    try:
        await Repository(place).status()
        await Repository(place).difference("filtered.dat")
    finally:
        assert marker.exists()
