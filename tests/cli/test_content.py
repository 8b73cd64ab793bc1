"""Pictures and files with a prompt on the command line: sent, named to who watches, refused in words."""

from __future__ import annotations

import base64
import hashlib
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


def test_exports_keep_them(serve: Any, myagent: Any) -> None:
    """In an HTML file, as pictures and nothing else; beside JSON lines, by their digests."""
    serving = serve(*AGENT, *TAKES)
    small, said = png(4, 3), png(5, 6)
    (serving.directory / "p.png").write_bytes(small)
    (serving.directory / "x.html").write_text("<script>alert(1)</script>")
    first = myagent(
        "remote", "client", "--url", serving.url, "--prompt", f"picture {base64.b64encode(said).decode()}",
        "--image", "p.png", "--file", "x.html", cwd=serving.directory,
    )  # fmt: skip
    session = first.stderr.partition("session: ")[2].split()[0]

    def export(form: str) -> str:
        path = serving.directory / f"out.{form}"
        done = myagent("remote", "export", session, "--format", form, "--url", serving.url, "-o", str(path))
        assert done.returncode == 0, done.stderr
        return path.read_text()

    page = export("html")
    for data in (small, said):
        assert f'src="data:image/png;base64,{base64.b64encode(data).decode()}"' in page
    assert "<script" not in page and "[file: x.html, text/plain, 25 bytes]" in page
    assert "img-src data:; base-uri 'none'" in page
    lines = [json.loads(line) for line in export("jsonl").splitlines()]
    kept = {path.name: path.read_bytes() for path in (serving.directory / "out.jsonl.blobs").iterdir()}
    named = [item["digest"] for item in lines[0]["content"]]
    assert [kept[digest] for digest in named] == [small, b"<script>alert(1)</script>"]
    assert kept[hashlib.sha256(said).hexdigest()] == said and len(kept) == 3
    assert {path.stat().st_mode & 0o777 for path in (serving.directory / "out.jsonl.blobs").iterdir()} == {0o600}
    assert "[image: p.png, image/png, 4×3," in export("md")
    piped = myagent("remote", "export", session, "--format", "jsonl", "--url", serving.url)
    assert "3 pictures and files of the session are not in it" in piped.stderr
