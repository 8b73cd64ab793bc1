"""A prompt that carries a picture, through real agents: the model gets its bytes."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.agents.model_server import model_server
from tests.agents.real import CLAUDE, CLAUDE_P, CODEX, GEMINI, Real
from tests.agents.recorder import Recorder
from tests.agents.test_real_agents import Workplace

from myagent.agents import Attached, Turn

# What each says of itself. opencode and qwen-code take pictures, too, and leave them out for a model that they do not
# know to see, such as ours.
TAKES = {
    CLAUDE_P: ("image",),
    CLAUDE: ("image", "file"),
    CODEX: ("image", "file"),
    GEMINI: ("image", "file"),
}


def picture() -> bytes:
    """A real one: some agents look at it, and make another of the same."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compress((b"\0" + b"\xff\0\0" * 40) * 30)
    head = struct.pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("real", TAKES, ids=lambda real: real.name)
async def test_the_model_gets_the_picture(real: Real, tmp_path: Path) -> None:
    if not real.path.exists():
        pytest.skip(f"{real.name} is not installed")
    workspace, home = tmp_path / "workspace", tmp_path / "home"
    workspace.mkdir()
    home.mkdir()
    shot = tmp_path / "shot.png"
    shot.write_bytes(picture())
    asked: list[dict[str, Any]] = []
    async with model_server(asked) as url:
        place = Workplace(real, workspace, home, url)
        async with place.hosted() as agent:
            assert agent.info.takes == TAKES[real]
            attached = Attached("image", name="shot.png", mime_type="image/png", path=shot)
            turn = Turn("s", "t", "look at this", "default", workspace, content=(attached,))
            await agent.run(turn, Recorder())
    assert base64.b64encode(picture()).decode() in json.dumps(asked)
