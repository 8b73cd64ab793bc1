"""Confinement: which paths the tools open, and that nothing talks them into another one."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from myagent.agents.tools import workspace as workspace_module
from myagent.agents.tools.workspace import FILE_BYTES, FileFailed, PathRefused, Place, Workspace, decoded

SECRET = "the owner's token"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with its state, and a file beside it that is none of its business."""
    root = tmp_path / "workspace"
    (root / ".myagent/remote").mkdir(parents=True)
    (root / ".myagent/remote/auth.json").write_text(SECRET)
    (root / "src").mkdir()
    (root / "src/a.py").write_text("a = 1\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text(SECRET)
    return root


def test_reads_inside(root: Path) -> None:
    workspace = Workspace(root)
    for path in ("src/a.py", "./src//a.py", str(root / "src/a.py"), f"/proc/self/root{root}/src/a.py"):
        assert workspace.read(path).data == b"a = 1\n"


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "link").symlink_to("src")
    (root / "absolute").symlink_to(root / "src/a.py")
    assert Workspace(root).read("link/a.py").data == b"a = 1\n"
    assert Workspace(root).read("absolute").data == b"a = 1\n"


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret",
        "src/../src/a.py",
        "..",
        "{outside}/secret",
        "/etc/passwd",
        "/",
        "/proc/self/root{outside}/secret",
        "/proc/self/environ",
        "{root}2/x",
        "link/secret",
        "file-link",
        "link-to-link/secret",
        "loop",
        ".myagent/remote/auth.json",
        ".myagent",
        ".myagent/new",
        ".MyAgent/remote/auth.json",
        "src/.myagent/x",
        "{root}/.myagent/remote/auth.json",
        "/proc/self/root{root}/.myagent/remote/auth.json",
        "/proc/self/cwd/.myagent/remote/auth.json",
        "state-link/remote/auth.json",
        "auth-link",
        "hard-link",
        "",
        "a\0b",
    ],
)
def test_what_is_out_of_bounds_is_refused(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    outside = root.parent / "outside"
    (root / "link").symlink_to(outside)
    (root / "file-link").symlink_to("../outside/secret")
    (root / "link-to-link").symlink_to("link")
    (root / "loop").symlink_to("loop")
    (root / "state-link").symlink_to(".myagent")
    (root / "auth-link").symlink_to(".myagent/remote/auth.json")
    os.link(root / ".myagent/remote/auth.json", root / "hard-link")
    with pytest.raises(PathRefused) as caught:
        Workspace(root).read(path.format(outside=outside, root=root))
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_state_under_another_name_is_known_by_its_identity(root: Path) -> None:
    """`.myagent` may itself be a link to a directory of the workspace."""
    (root / ".myagent").rename(root / "state")
    (root / ".myagent").symlink_to("state")
    with pytest.raises(PathRefused, match=r"leads into \.myagent"):
        Workspace(root).read("state/remote/auth.json")


def test_without_the_identity_check_it_would_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    (root / ".myagent").rename(root / "state")
    (root / ".myagent").symlink_to("state")
    monkeypatch.setattr(Workspace, "_protected", lambda self: set())
    assert Workspace(root).read("state/remote/auth.json").data.decode() == SECRET


def test_without_the_hard_link_check_it_would_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    os.link(root / ".myagent/remote/auth.json", root / "hard-link")
    monkeypatch.setattr(Workspace, "_state_files", lambda self: iter(()))
    assert Workspace(root).read("hard-link").data.decode() == SECRET


@pytest.mark.parametrize("swapped", ["src", "src/a.py"])
def test_a_link_swapped_in_between_judging_and_opening_is_refused(root: Path, swapped: str) -> None:
    workspace = Workspace(root)
    place = workspace.locate("src/a.py")
    (root / "src").rename(root / "old")
    if swapped == "src":
        (root.parent / "outside/a.py").write_text(SECRET)
        (root / "src").symlink_to("../outside")
    else:
        (root / "src").mkdir()
        (root / "src/a.py").symlink_to("../../outside/secret")
    with pytest.raises(PathRefused):
        workspace.find(place)
    if swapped == "src":
        with pytest.raises(PathRefused):
            workspace.replace(place, b"x", None)
        assert (root.parent / "outside/a.py").read_text() == SECRET


def test_if_links_were_followed_when_opening_the_swap_would_work(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above."""
    monkeypatch.setattr(workspace_module, "_DIRECTORY", workspace_module._DIRECTORY & ~os.O_NOFOLLOW)
    workspace = Workspace(root)
    place = workspace.locate("src/a.py")
    (root / "src").rename(root / "old")
    (root.parent / "outside/a.py").write_text(SECRET)
    (root / "src").symlink_to("../outside")
    found = workspace.find(place)
    assert found is not None
    assert found.data.decode() == SECRET


def test_a_race_of_swaps_never_shows_what_is_outside(root: Path) -> None:
    """A directory and a link that leaves take turns at one name, as fast as they can."""
    (root.parent / "outside/a.py").write_text(SECRET)
    (root / "link").symlink_to("../outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "src", root / "away")
            os.rename(root / "link", root / "src")
            os.rename(root / "src", root / "link")
            os.rename(root / "away", root / "src")

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for _ in range(2000):
            try:
                seen.add(Workspace(root).read("src/a.py").data)
            except FileFailed:
                pass
    finally:
        stop.set()
        swapper.join()
    assert seen == {b"a = 1\n"}


def test_what_is_no_regular_file_is_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "socket"))
    listener.close()
    workspace = Workspace(root)
    for name in ("fifo", "socket"):
        with pytest.raises(FileFailed, match=f"^{name}: is not a regular file$"):
            workspace.read(name)
    with pytest.raises(FileFailed, match=r"^src: is a directory$"):
        workspace.read("src")
    with pytest.raises(FileFailed, match=r"^\.: is a directory$"):
        workspace.read(".")
    with pytest.raises(FileFailed, match=r"^nothing: there is no such file$"):
        workspace.read("nothing")
    with pytest.raises(FileFailed, match="not a directory"):
        workspace.read("src/a.py/x")


def test_a_huge_file_says_so(root: Path) -> None:
    with open(root / "huge", "wb") as file:
        file.truncate(FILE_BYTES + 1)
    with pytest.raises(FileFailed, match=r"huge: is too large: 4,194,305 bytes, the limit is 4,194,304"):
        Workspace(root).read("huge")


def test_what_is_no_text_says_so(root: Path) -> None:
    (root / "binary").write_bytes(b"\x7fELF\0\0")
    (root / "latin").write_bytes(b"caf\xe9")
    workspace = Workspace(root)
    with pytest.raises(FileFailed, match=r"^binary: is binary, 6 bytes$"):
        decoded("binary", workspace.read("binary"))
    with pytest.raises(FileFailed, match=r"^latin: is not UTF-8 text \(byte 3\), 4 bytes$"):
        decoded("latin", workspace.read("latin"))


@pytest.mark.parametrize("special", [stat.S_ISUID, stat.S_ISGID, stat.S_ISUID | stat.S_ISGID])
def test_a_replaced_file_runs_as_nobody_else(root: Path, special: int) -> None:
    file = root / "src/a.py"
    file.chmod(special | 0o755)
    assert file.stat().st_mode & special == special  # or this tests nothing
    workspace = Workspace(root)
    place = workspace.locate("src/a.py")
    workspace.replace(place, b"#!/bin/sh\n", workspace.find(place))
    assert stat.S_IMODE(file.stat().st_mode) == 0o755


def test_replace_keeps_the_mode_and_leaves_nothing_else(root: Path) -> None:
    workspace = Workspace(root)
    (root / "src/a.py").chmod(0o754)
    place = workspace.locate("src/a.py")
    workspace.replace(place, b"new", workspace.find(place))
    assert (root / "src/a.py").read_bytes() == b"new"
    assert stat.S_IMODE((root / "src/a.py").stat().st_mode) == 0o754
    assert os.listdir(root / "src") == ["a.py"]


def test_a_new_file_gets_its_directories_and_the_umask(root: Path) -> None:
    workspace = Workspace(root)
    before = os.umask(0o027)
    try:
        workspace.replace(workspace.locate("x/y/z"), b"new", None)
    finally:
        os.umask(before)
    assert (root / "x/y/z").read_bytes() == b"new"
    assert stat.S_IMODE((root / "x/y/z").stat().st_mode) == 0o640


@pytest.mark.parametrize("expected", ["something", "nothing"])
def test_replace_never_overwrites_what_it_did_not_expect(root: Path, expected: str) -> None:
    workspace = Workspace(root)
    place = workspace.locate("src/a.py")
    found = workspace.find(place) if expected == "something" else None
    (root / "src/a.py").write_text("somebody else's")
    with pytest.raises(FileFailed, match="somebody else changed it just now"):
        workspace.replace(place, b"new", found)
    assert (root / "src/a.py").read_text() == "somebody else's"
    assert os.listdir(root / "src") == ["a.py"]


def test_a_full_disk_leaves_the_old_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(root)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileFailed, match=r"^src/a\.py: no space left on device$"):
        workspace.replace(workspace.locate("src/a.py"), b"new", workspace.read("src/a.py"))
    assert (root / "src/a.py").read_text() == "a = 1\n"
    assert os.listdir(root / "src") == ["a.py"]


def test_a_link_to_what_is_not_there_yet_is_written_where_it_leads(root: Path) -> None:
    (root / "link").symlink_to("src/new.py")
    workspace = Workspace(root)
    place = workspace.locate("link")
    assert place == Place("link", ("src", "new.py"))
    workspace.replace(place, b"new", None)
    assert (root / "link").is_symlink()
    assert (root / "src/new.py").read_bytes() == b"new"
