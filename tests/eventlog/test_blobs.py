"""What sessions hold beside their events: whole or not at all, once, private, bounded, and gone with their session."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from myagent.eventlog import blobs as module
from myagent.eventlog.blobs import Blobs, BlobsFull

DATA = b"the-bytes-of-it"
DIGEST = hashlib.sha256(DATA).hexdigest()


def run(directory: Path, what: Callable[[Blobs], Awaitable[None]], *, sessions: tuple[str, ...] = ("s",)) -> None:
    async def running() -> None:
        blobs = Blobs(directory, session_bytes=40)
        blobs.open(sessions)
        try:
            await what(blobs)
        finally:
            await blobs.close()

    asyncio.run(running())


def test_it_is_kept_once_private_and_over_a_restart(tmp_path: Path) -> None:
    async def keeps(blobs: Blobs) -> None:
        assert [await blobs.keep("s", DATA) for _ in range(5)] == [DIGEST] * 5
        assert await blobs.read("s", DIGEST) == DATA
        assert await blobs.read("other", DIGEST) is None

    async def has(blobs: Blobs) -> None:
        assert await blobs.read("s", DIGEST) == DATA
        with pytest.raises(BlobsFull):
            await blobs.keep("s", bytes(30))  # what it had counts

    run(tmp_path / "blobs", keeps)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file == tmp_path / "blobs" / "s" / DIGEST
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    run(tmp_path / "blobs", has)


def test_a_session_has_no_more_than_its_bound(tmp_path: Path) -> None:
    async def fills(blobs: Blobs) -> None:
        await blobs.keep("s", bytes(30))
        with pytest.raises(BlobsFull):
            await blobs.keep("s", bytes(11))
        await blobs.keep("s", bytes(10))
        await blobs.keep("other", bytes(11))

    run(tmp_path / "blobs", fills)


def test_a_session_that_is_forgotten_leaves_no_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overwritten: list[bytes] = []
    unlink = Path.unlink

    def looks(path: Path, missing_ok: bool = False) -> None:
        overwritten.append(path.read_bytes())
        unlink(path, missing_ok=missing_ok)

    async def forgets(blobs: Blobs) -> None:
        await blobs.keep("s", DATA)
        monkeypatch.setattr(Path, "unlink", looks)
        await blobs.forget("s")
        assert await blobs.read("s", DIGEST) is None

    run(tmp_path / "blobs", forgets)
    assert overwritten == [bytes(len(DATA))]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_crash_left_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "blobs"
    for name in ("gone/" + DIGEST, "staged/x-" + DIGEST, f"s/{DIGEST}", "s/1234.part", "stray"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(DATA)

    async def looks(blobs: Blobs) -> None:
        assert await blobs.read("s", DIGEST) == DATA

    run(directory, looks)
    assert [str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()] == [f"s/{DIGEST}"]


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "blobs" / "s").mkdir(parents=True)
    (tmp_path / "mine").write_bytes(DATA)
    (tmp_path / "blobs" / "gone").symlink_to(tmp_path)
    (tmp_path / "blobs" / "s" / "x").symlink_to(tmp_path / "mine")

    async def nothing(_: Blobs) -> None: ...

    run(tmp_path / "blobs", nothing)
    assert (tmp_path / "mine").read_bytes() == DATA
    assert not [*(tmp_path / "blobs" / "s").iterdir()]


def test_what_is_damaged_is_not_served(tmp_path: Path) -> None:
    async def reads(blobs: Blobs) -> None:
        await blobs.keep("s", DATA)
        blobs.path("s", DIGEST).write_bytes(b"other")
        assert await blobs.read("s", DIGEST) is None

    run(tmp_path / "blobs", reads)


def test_what_waits_is_its_credentials_own_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAGED_BYTES", 40)

    async def stages(blobs: Blobs) -> None:
        await blobs.stage("a", DIGEST, DATA)
        assert await blobs.find("a", "s", DIGEST) == DATA
        assert await blobs.find("b", "s", DIGEST) is None
        for data in (b"1" * 20, b"2" * 10):
            await blobs.stage("a", hashlib.sha256(data).hexdigest(), data)
        assert await blobs.find("a", "s", DIGEST) is None  # the oldest gave way

    run(tmp_path / "blobs", stages)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def refused_between(blobs: Blobs) -> bool:
    """An agent sends the picture of a prompt that is refused then; whether it is still there."""
    prompts = await blobs.keep("s", DATA)
    assert await blobs.keep("s", DATA) == prompts  # the agent's, of which an event tells
    await blobs.discard("s", [prompts])
    return await blobs.read("s", DIGEST) == DATA


def test_what_a_refused_prompt_kept_stays_where_something_else_names_it(tmp_path: Path) -> None:
    async def refuses(blobs: Blobs) -> None:
        assert await refused_between(blobs)
        assert await blobs.keep("s", DATA) == DIGEST  # a prompt again, with the same one twice
        assert await blobs.keep("s", DATA) == DIGEST
        await blobs.discard("s", [DIGEST, DIGEST])
        assert await blobs.read("s", DIGEST) == DATA

    async def again(blobs: Blobs) -> None:  # what was there at the start is named
        assert await blobs.keep("s", DATA) == DIGEST
        await blobs.discard("s", [DIGEST])
        assert await blobs.read("s", DIGEST) == DATA

    async def alone(blobs: Blobs) -> None:
        await blobs.discard("s", [await blobs.keep("s", DATA)])
        assert not blobs.holds("s", DIGEST)

    run(tmp_path / "blobs", refuses)
    run(tmp_path / "blobs", again)
    run(tmp_path / "others", alone)
    assert not [path for path in (tmp_path / "others").rglob("*") if path.is_file()]


def test_control_a_discard_that_counts_no_holders_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lets_go(blobs: Blobs, session_id: str, digest: str, _: object) -> bool:
        return blobs._held[session_id].pop(digest, None) is not None

    async def refuses(blobs: Blobs) -> None:
        assert not await refused_between(blobs)

    monkeypatch.setattr(Blobs, "_let_go", lets_go)
    run(tmp_path / "blobs", refuses)


def test_who_comes_while_another_writes_it_has_it_though_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failures = module._write, iter([OSError("cut")])

    def fails_once(path: Path, data: bytes) -> None:
        for error in failures:
            raise error
        write(path, data)

    async def keeps(blobs: Blobs) -> None:
        monkeypatch.setattr(module, "_write", fails_once)
        first, second = await asyncio.gather(*(blobs.keep("s", DATA) for _ in range(2)), return_exceptions=True)
        assert isinstance(first, OSError)
        assert second == DIGEST
        assert await blobs.read("s", DIGEST) == DATA

    run(tmp_path / "blobs", keeps)


def test_when_the_state_is_gone_it_is_not_made_again(tmp_path: Path) -> None:
    async def keeps(blobs: Blobs) -> None:
        with pytest.raises(FileNotFoundError):
            await blobs.keep("s", DATA)

    run(tmp_path / "gone" / "blobs", keeps)
    assert not (tmp_path / "gone").exists()


def test_control_a_write_that_is_not_whole_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the middle of writing: nothing has the name of the whole."""

    def dies(_: int) -> None:
        raise OSError("cut")

    async def keeps(blobs: Blobs) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(module.os, "fsync", dies)
            with pytest.raises(OSError, match="cut"):
                await blobs.keep("s", DATA)
        assert await blobs.read("s", DIGEST) is None
        assert not [*(tmp_path / "blobs" / "s").iterdir()]
        assert await blobs.keep("s", DATA) == DIGEST

    run(tmp_path / "blobs", keeps)
