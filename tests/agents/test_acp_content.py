"""Pictures, files and paths on their way to an ACP agent and from it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.agents.recorder import Recorder
from tests.agents.test_acp import Hosted, hosting
from tests.core.test_pictures import png

from myagent.agents import Attached, Turn
from myagent.agents.rendering.bounds import UPDATE_BYTES, fit

PICTURE = png(4, 3) + bytes(UPDATE_BYTES)  # more than an update may have


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_what_a_prompt_carries_comes_as_the_protocol_has_it(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(PICTURE)
    (tmp_path / "t").write_text("words")
    (tmp_path / "b").write_bytes(b"\xff\0")
    content = (
        Attached("image", name="shot.png", mime_type="image/png", path=tmp_path / "p"),
        Attached("text", text="between"),
        Attached("file", name="no tes.txt", mime_type="text/plain", path=tmp_path / "t"),
        Attached("file", name="x.bin", mime_type="application/octet-stream", path=tmp_path / "b"),
        Attached("link", name="src/a b.py", path=tmp_path / "src/a b.py"),
    )

    async def test(hosted: Hosted) -> None:
        turn = Turn("one", "t", "carried", "default", tmp_path, content=content)
        told = Recorder()
        await hosted.agent.run(turn, told)
        assert json.loads(told.out) == [
            {"type": "image", "mimeType": "image/png", "data": base64_of(PICTURE)},
            {"type": "text", "text": "between"},
            {
                "type": "resource",
                "resource": {"uri": "attachment:///no%20tes.txt", "mimeType": "text/plain", "text": "words"},
            },
            {
                "type": "resource",
                "resource": {"uri": "attachment:///x.bin", "mimeType": "application/octet-stream", "blob": "/wA="},
            },
            {"type": "resource_link", "uri": (tmp_path / "src/a b.py").as_uri(), "name": "src/a b.py"},
        ]

    hosting(test, tmp_path, "--takes", "image", "--takes", "embeddedContext")


@pytest.mark.parametrize(
    ("options", "takes"),
    [((), ()), (("--takes", "image"), ("image",)), (("--takes", "audio", "--takes", "embeddedContext"), ("file",))],
)
def test_it_takes_what_it_says_it_takes(tmp_path: Path, options: tuple[str, ...], takes: tuple[str, ...]) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert hosted.agent.info.takes == takes

    hosting(test, tmp_path, *options, allow_unsupervised=True)


def test_pictures_come_whole_however_large_and_are_named(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        _, told = await hosted.run(f"picture {base64_of(PICTURE)}")
        said, call = told.updates
        assert said["content"]["data"] == base64_of(PICTURE)
        assert call["content"][0]["content"]["data"] == call["rawOutput"][0]["data"] == base64_of(PICTURE)
        assert f"[image image/png, {len(PICTURE)} bytes]" in told.out
        assert told.err.count("[image image/png") == 1

    hosting(test, tmp_path)


def test_what_is_beside_a_picture_is_bounded_all_the_same() -> None:
    image = {"type": "image", "mimeType": "image/png", "data": base64_of(PICTURE)}
    update = {"sessionUpdate": "tool_call", "content": [{"type": "content", "content": image}]}
    assert fit(update) == update
    large = fit({**update, "title": "x" * UPDATE_BYTES})
    assert len(large["title"]) < 10_000 and large["content"] == update["content"]
    assert "content" not in fit({**update, "rawOutput": list(range(UPDATE_BYTES))})
