"""Pictures and files with a prompt on the command line: sent, named to who watches, refused in words."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.core.test_pictures import png

FAKE = Path(__file__).parents[1] / "agents" / "fake_agent.py"
AGENT = ("--", sys.executable, "-I", str(FAKE))
TAKES = ("--takes", "image", "--takes", "embeddedContext")
PICTURE = png(4, 3) + os.urandom(1_500_000)  # more than a message may have


def test_a_picture_and_a_file_go_with_a_prompt(serve: Any, myagent: Any, terminal: Any) -> None:
    serving = serve(*AGENT, *TAKES)
    (serving.directory / "a b.png").write_bytes(PICTURE)
    (serving.directory / "notes.txt").write_text("the words")
    watching = terminal("remote", "client", "--url", serving.url, "--role", "follower", cwd=serving.directory)
    watching.read_until("role: follower")
    done = myagent(
        "remote", "client", "--url", serving.url, "--prompt", "carried", "--image", "a b.png", "--file", "notes.txt",
        cwd=serving.directory,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    image, file = json.loads(done.stdout)
    assert image == {"type": "image", "mimeType": "image/png", "data": base64.b64encode(PICTURE).decode()}
    assert file["resource"] == {"uri": "attachment:///notes.txt", "mimeType": "text/plain", "text": "the words"}
    shown = watching.read_until("[file: notes.txt, text/plain, 9 bytes]")
    assert f"[image: a b.png, image/png, 4×3, {len(PICTURE):,} bytes]" in shown.replace("\r\n", "")


def test_pictures_of_the_agent_are_named(serve: Any, myagent: Any) -> None:
    serving = serve(*AGENT)
    picture = base64.b64encode(png(4, 3)).decode()
    done = myagent("remote", "client", "--url", serving.url, "--prompt", f"picture {picture}", cwd=serving.directory)
    assert done.stdout == f"[image image/png, {len(png(4, 3))} bytes]"
    assert "✓ Screenshot: completed" in done.stderr and "[image image/png" in done.stderr


def test_what_cannot_be_sent_is_said_and_no_prompt_runs(serve: Any, myagent: Any) -> None:
    serving = serve(*AGENT, "--takes", "image")
    (serving.directory / "p.png").write_bytes(PICTURE)
    (serving.directory / "x.svg").write_text("<svg/>")

    def told(*options: str) -> str:
        done = myagent("remote", "client", "--url", serving.url, *options, cwd=serving.directory)
        assert done.returncode != 0
        assert "session:" not in done.stderr
        return str(done.stderr)

    assert "the agent there takes no files" in told("--prompt", "p", "--file", "p.png")
    assert "it is no PNG, JPEG, WebP or GIF" in told("--prompt", "p", "--image", "x.svg")
    assert "no such file" in told("--prompt", "p", "--image", "none.png").lower()
    assert "belong to a --prompt" in told("--image", "p.png")
    (serving.directory / "big.png").write_bytes(PICTURE * 6)
    assert "the server takes 8388608" in told("--prompt", "p", "--image", "big.png")
