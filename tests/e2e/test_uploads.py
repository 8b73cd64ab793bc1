"""What an upload holds in memory: gone with its connection, and bounded while the disk is slow."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest
from puppet import PATIENCE, Puppet
from wire import Client, Scene, scene

from myagent.agents import AgentInfo
from myagent.eventlog.blobs import Blobs
from myagent.host import uploads as module
from myagent.host.content import Content
from myagent.host.uploads import Uploads

pytestmark = pytest.mark.usefixtures("quiet_log")


class Taking(Puppet):
    info = AgentInfo("taking", takes=("image", "file"))


def uploads(here: Scene) -> Uploads:
    found = here.server.host.content._uploads
    assert found is not None
    return found


async def send(client: Client, data: bytes, start: int = 0, end: int | None = None) -> str:
    piece = base64.b64encode(data[start:end]).decode()
    digest = hashlib.sha256(data).hexdigest()
    return str(await client.send("upload", digest=digest, size=len(data), offset=start, data=piece))


async def begun_and_gone(here: Scene) -> int:
    """How many uploads are left over by a connection that sent a half."""
    owner = await here.join()
    await owner.acked(await send(owner, b"1234", 0, 2))
    assert len(uploads(here)._partial) == 1
    await owner.leave()
    async with asyncio.timeout(PATIENCE):
        while here.server.host.peers:
            await asyncio.sleep(0)
    return len(uploads(here)._partial)


async def test_half_an_upload_goes_with_its_connection(tmp_path: Path) -> None:
    async with scene(tmp_path, Taking()) as here:
        assert await begun_and_gone(here) == 0


async def test_control_what_stays_of_one_that_left_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Content, "left", lambda *_: None)
    async with scene(tmp_path, Taking()) as here:
        assert await begun_and_gone(here) == 1


async def test_what_waits_to_be_stored_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 6)
    stage, slow = Blobs.stage, asyncio.Event()

    async def waits(blobs: Blobs, whose: str, digest: str, data: bytes) -> None:
        await slow.wait()
        await stage(blobs, whose, digest, data)

    monkeypatch.setattr(Blobs, "stage", waits)
    async with scene(tmp_path, Taking()) as here:
        owner = await here.join()
        first = await send(owner, b"12345678")  # larger than all that may wait: it goes when nothing does
        await owner.acked(await send(owner, b"abcd", 0, 2))
        await owner.refused(await send(owner, b"abcd", 2), "rate_limited")
        slow.set()
        await owner.acked(first)
        await owner.acked(await send(owner, b"abcd", 2))  # nothing of it was lost
        assert uploads(here)._waiting == 0


async def test_control_a_bound_that_is_not_looked_at_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Blobs, "stage", never)
    monkeypatch.setattr(module, "WAITING_BYTES", 1 << 62)
    async with scene(tmp_path, Taking()) as here:
        owner = await here.join()
        await send(owner, b"12345678")
        await send(owner, b"abcd")
        await owner.acked(await send(owner, b"x", 0, 0))  # an empty piece is answered at once
        assert uploads(here)._waiting == 12
