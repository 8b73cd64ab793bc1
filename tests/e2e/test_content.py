"""Pictures and files over the wire: uploaded in pieces, carried by a prompt, served to whoever may see the session."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from puppet import PATIENCE, Puppet
from wire import Client, Message, Scene, scene

from myagent.agents import AgentInfo
from myagent.core import content as rules
from myagent.eventlog.blobs import Blobs
from myagent.host.content import Content
from myagent.server import http
from myagent.settings import LIMITS

pytestmark = pytest.mark.usefixtures("quiet_log")

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5x", 13, b"IHDR", 4, 3) + b"the-bytes-of-a-picture"
NOTES = b"the words of a file\n"


class Taking(Puppet):
    """Takes pictures and files."""

    info = AgentInfo("taking", takes=("image", "file"))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def upload(client: Client, data: bytes, *, piece: int = 1 << 19) -> str:
    for offset in range(0, len(data), piece):
        part = base64.b64encode(data[offset : offset + piece]).decode()
        sent = await client.send("upload", digest=sha(data), size=len(data), offset=offset, data=part)
        await client.acked(sent)
    return sha(data)


async def get(here: Scene, path: str, token: str | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
    token = here.server.token if token is None else token
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{here.server.port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    top, _, body = answer.partition(b"\r\n\r\n")
    first, *rows = top.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, _, v in (row.partition(": ") for row in rows)}, body


async def carried(here: Scene, puppet: Puppet, owner: Client, **fields: Any) -> str:
    """A turn whose prompt carries a picture and a file; its session."""
    digests = [await upload(owner, PNG, piece=30), await upload(owner, NOTES)]
    content = [
        {"type": "image", "digest": digests[0], "name": "../shot\x1b.png"},
        {"type": "text", "text": "between"},
        {"type": "file", "digest": digests[1], "name": "notes.txt"},
    ]
    await owner.acked(await owner.send("user_message", prompt="look", content=content, **fields))
    play = await puppet.begun()
    play.end()
    return str((await owner.until("terminal_state"))["sessionId"])


def has(directory: Path, data: bytes) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.is_file() and data in path.read_bytes()]


async def test_a_prompt_carries_pictures_and_files_to_its_agent_and_to_all_who_watch(tmp_path: Path) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        owner, follower = await here.join(), await here.join()
        assert owner.welcome["takes"] == ["image", "file"]
        digests = [await upload(owner, PNG, piece=30), await upload(owner, NOTES)]
        content = [
            {"type": "image", "digest": digests[0], "name": "../shot\x1b.png", "mimeType": "text/html", "width": 9},
            {"type": "text", "text": "between"},
            {"type": "file", "digest": digests[1], "name": "notes.txt"},
        ]
        await owner.acked(await owner.send("user_message", prompt="look", content=content))
        play = await puppet.begun()
        image, text, file = play.turn.content
        assert (image.kind, image.mime_type, image.name) == ("image", "image/png", "shot\\u{1b}.png")
        assert image.path is not None and image.path.read_bytes() == PNG
        assert (text.kind, text.text) == ("text", "between")
        assert (file.kind, file.mime_type, file.name) == ("file", "text/plain", "notes.txt")
        assert file.path is not None and file.path.read_bytes() == NOTES
        prompt = await follower.until("prompt")
        picture = {"mimeType": "image/png", "size": len(PNG), "width": 4, "height": 3}
        assert prompt["content"] == [
            {"type": "image", "digest": digests[0], "name": "shot\\u{1b}.png", **picture},
            {"type": "text", "text": "between"},
            {"type": "file", "digest": digests[1], "name": "notes.txt", "mimeType": "text/plain", "size": len(NOTES)},
        ]
        play.end()
        session = prompt["sessionId"]
        status, headers, body = await get(here, f"/sessions/{session}/blobs/{digests[0]}")
        assert (status, headers["content-type"], body) == (200, "image/png", PNG)
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        listed = json.loads((await get(here, f"/sessions/{session}/blobs"))[2])["blobs"]
        assert {each["digest"]: each["size"] for each in listed} == {digests[0]: len(PNG), digests[1]: len(NOTES)}
        status, headers, body = await get(here, f"/sessions/{session}/blobs/{digests[1]}")
        assert (status, headers["content-type"], body) == (200, "application/octet-stream", NOTES)
        assert headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "evil", [b"<html><script>alert(1)</script>", b"<svg onload='alert(1)'/>", b"GIF89a=1;alert(1)"]
)
async def test_what_could_run_is_never_served_as_what_runs(tmp_path: Path, evil: bytes) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        digest = await upload(owner, evil)
        content = [{"type": "file", "digest": digest, "name": "x.html", "mimeType": "text/html"}]
        await owner.acked(await owner.send("user_message", prompt="look", content=content))
        (await puppet.begun()).end()
        session = (await owner.until("terminal_state"))["sessionId"]
        _, headers, _ = await get(here, f"/sessions/{session}/blobs/{digest}")
        assert headers["content-type"] in ("application/octet-stream", "image/gif")
        assert (headers["x-content-type-options"], headers["content-security-policy"][-9:]) == ("nosniff", "; sandbox")


async def test_what_is_no_picture_or_was_not_sent_refuses_the_prompt_and_keeps_nothing(tmp_path: Path) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        digest = await upload(owner, b"<svg/>")
        picture = {"type": "image", "digest": digest}
        await owner.refused(await owner.send("user_message", prompt="p", content=[picture]), "bad_message")
        absent = {"type": "file", "digest": "0" * 64, "name": "n"}
        await upload(owner, PNG)
        both = [{"type": "image", "digest": sha(PNG)}, absent]
        await owner.refused(await owner.send("user_message", prompt="p", content=both), "unknown_blob")
        assert json.loads((await here.get("/sessions"))[1])["sessions"] == []
        blobs = tmp_path / ".myagent" / "remote" / "blobs"
        assert {path.name for path in blobs.iterdir()} == {"staged"}


async def test_an_agent_that_takes_none_is_told_none(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:  # the command agent
        owner = await here.join()
        assert "takes" not in owner.welcome
        part = base64.b64encode(PNG).decode()
        await owner.refused(await owner.send("upload", digest=sha(PNG), size=len(PNG), data=part), "not_taken")
        picture = {"type": "image", "digest": sha(PNG)}
        told = await owner.refused(await owner.send("user_message", prompt="p", content=[picture]), "not_taken")
        assert "takes no images" in told["message"]


async def test_an_upload_is_held_to_what_it_says(tmp_path: Path) -> None:
    async with scene(tmp_path, Taking(), limits=replace(LIMITS, item_bytes=100)) as here:
        owner = await here.join()

        async def refused(code: str, **fields: Any) -> None:
            whole = {"digest": sha(PNG), "size": len(PNG), "offset": 0, "data": base64.b64encode(PNG).decode()}
            await owner.refused(await owner.send("upload", **{**whole, **fields}), code)

        await refused("too_large", size=101)
        await refused("bad_message", digest="0" * 64)
        await refused("bad_message", digest="../" + "0" * 61)
        await refused("bad_message", offset=5)
        await refused("bad_message", size=len(PNG) - 1)
        half = base64.b64encode(PNG[:20]).decode()
        await owner.acked(await owner.send("upload", digest=sha(PNG), size=len(PNG), data=half))
        await refused("bad_message", offset=21)
        await owner.acked(await owner.send("upload", digest=sha(PNG), size=len(PNG), data=half))
        rest = base64.b64encode(PNG[20:]).decode()
        await owner.acked(await owner.send("upload", digest=sha(PNG), size=len(PNG), offset=20, data=rest))
        await owner.acked(await owner.send("upload", digest=sha(PNG), size=len(PNG), data=half), duplicate=True)


async def test_a_session_holds_no_more_than_its_bound(tmp_path: Path) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet, limits=replace(LIMITS, content_bytes=len(PNG) + 5)) as here:
        owner = await here.join()
        digests = [await upload(owner, PNG), await upload(owner, NOTES)]
        content = [{"type": "file", "digest": each, "name": "n"} for each in digests]
        await owner.refused(await owner.send("user_message", prompt="p", content=content), "too_large")
        await owner.acked(await owner.send("user_message", prompt="p", content=content[:1]))
        (await puppet.begun()).end()


async def test_a_prompt_that_is_sent_again_runs_once_and_another_content_is_a_conflict(tmp_path: Path) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        await upload(owner, PNG)
        message = {"prompt": "p", "id": "m1", "content": [{"type": "image", "digest": sha(PNG)}]}
        await owner.acked(await owner.send("user_message", **message))
        (await puppet.begun()).end()
        session = (await owner.until("terminal_state"))["sessionId"]
        await owner.acked(await owner.send("user_message", **message), duplicate=True)
        await owner.acked(await owner.send("user_message", **message, sessionId=session), duplicate=True)
        plain = {**message, "content": []}
        await owner.refused(await owner.send("user_message", **plain, sessionId=session), "conflict")
        assert puppet.runs == 1
        again = await owner.send("user_message", **{**message, "id": "m2"}, sessionId=session)  # by its digest alone
        await owner.acked(again)
        (await puppet.begun()).end()


async def test_only_who_may_see_the_session_gets_its_pictures(tmp_path: Path) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        session = await carried(here, puppet, owner)
        other = (await owner.send("user_message", prompt="other"), await puppet.begun())[1]
        other.end()
        elsewhere = (await owner.until("terminal_state"))["sessionId"]
        path = f"/sessions/{session}/blobs/{sha(PNG)}"
        here_token = here.server.invite(session_id=session).token
        there_token = here.server.invite(session_id=elsewhere).token
        assert (await get(here, path, here_token))[0] == 200
        assert (await get(here, path, there_token))[0] == 404
        assert (await get(here, f"/sessions/{session}/blobs", there_token))[0] == 404
        assert (await get(here, f"/sessions/{elsewhere}/blobs/{sha(PNG)}", there_token))[0] == 404
        assert (await get(here, path, "wrong"))[0] == 401
        assert (await here.get(path, authorized=False))[0] == 401
        assert (await here.get(f"{path}?token={here.server.token}"))[0] == 401
        assert (await here.get(path, method="POST"))[0] == 405
        for bad in ("..%2f..%2fauth.json", "../../auth.json", sha(PNG).upper(), f"{sha(PNG)}/", f"staged-{sha(PNG)}"):
            assert (await get(here, f"/sessions/{session}/blobs/{bad}"))[0] == 404, bad
        assert (await get(here, f"/sessions/staged/blobs/{sha(PNG)}"))[0] == 404


async def test_another_credentials_upload_is_not_there(tmp_path: Path) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        await upload(owner, PNG)
        await owner.leave()
        token = here.server.invite(may="drive").token
        guest = await here.join(headers={"Authorization": f"Bearer {token}"})
        picture = [{"type": "image", "digest": sha(PNG)}]
        await guest.refused(await guest.send("user_message", prompt="p", content=picture), "unknown_blob")


async def test_a_deleted_sessions_pictures_are_gone(tmp_path: Path) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        session = await carried(here, puppet, owner)
        assert has(tmp_path, PNG) and has(tmp_path, NOTES)
        await owner.acked(await owner.send("delete", sessionId=session))
        assert not has(tmp_path, PNG) and not has(tmp_path, NOTES)
        assert (await get(here, f"/sessions/{session}/blobs/{sha(PNG)}"))[0] == 404


async def test_pictures_outlive_a_restart(tmp_path: Path) -> None:
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        session = await carried(here, puppet, await here.join())
    async with scene(tmp_path, Taking()) as here:
        assert (await get(here, f"/sessions/{session}/blobs/{sha(PNG)}"))[2] == PNG


async def test_pictures_of_the_agent_are_kept_and_named_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        await owner.acked(await owner.send("hello", client={"name": "t"}, wants=["updates"]))
        await owner.send("user_message", prompt="p")
        play = await puppet.begun()
        image = {"type": "image", "mimeType": "image/svg+xml", "data": base64.b64encode(PNG).decode()}
        await play.io.stdout("[image]", update={"sessionUpdate": "agent_message_chunk", "content": image})
        svg = {**image, "data": base64.b64encode(b"<svg/>").decode()}
        await play.io.stdout("[image]", update={"sessionUpdate": "agent_message_chunk", "content": svg})
        play.end()
        session = (await owner.until("terminal_state"))["sessionId"]
        first, second = (each["update"]["content"] for each in owner.of("agent_stdout"))
        facts = {"mimeType": "image/png", "size": len(PNG), "width": 4, "height": 3}
        assert first == {"type": "image", "digest": sha(PNG), **facts}
        assert "no PNG, JPEG, WebP or GIF" in second["omitted"] and "data" not in second
        assert (await get(here, f"/sessions/{session}/blobs/{sha(PNG)}"))[2] == PNG


async def test_a_path_is_carried_and_leads_nowhere_else(tmp_path: Path) -> None:
    puppet = Puppet()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "out").symlink_to("/etc")
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        link = [{"type": "link", "path": "a.txt"}]
        await owner.acked(await owner.send("user_message", prompt="see @a.txt", content=link))
        play = await puppet.begun()
        assert [(each.kind, each.name, each.path) for each in play.turn.content] == [
            ("link", "a.txt", here.server.workspace / "a.txt")
        ]
        play.end()
        for path in ("out/passwd", "../x", "/etc/passwd", "no-such", ".myagent/remote/auth.json"):
            sent = await owner.send("user_message", prompt="p", content=[{"type": "link", "path": path}])
            await owner.refused(sent, "bad_message")


async def test_files_are_listed_for_the_owner_as_git_has_them(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    ran = tmp_path / "ran"
    git("config", "core.fsmonitor", f"touch {ran}")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "src").mkdir()
    for name in ("src/app.py", "src/app.log", "app.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "out").symlink_to("/etc")
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()

        async def files(query: str) -> list[str]:
            return list((await owner.until("files", id=await owner.send("list_files", query=query)))["paths"])

        assert await files("app") == ["app.txt", "src/app.py"]
        assert await files("") == ["out", "app.txt", ".gitignore", "src/app.py"]
        assert await files("auth") == await files("passwd") == await files("HEAD") == []
        await follower.refused(await follower.send("list_files", query=""), "not_owner")
        token = here.server.invite(may="watch").token
        watcher = await here.join(headers={"Authorization": f"Bearer {token}"})
        await watcher.refused(await watcher.send("list_files", query=""), "not_owner")
        assert not ran.exists()


async def test_who_sees_one_session_is_told_no_files_and_questions_wait_for_each_other(tmp_path: Path) -> None:
    (tmp_path / "payroll.txt").write_text("x")
    async with scene(tmp_path) as here:
        owner = await here.join()
        session = (await here.turn(owner, "help"))["sessionId"]
        token = here.server.invite(may="drive", session_id=session).token
        guest = await here.join(headers={"Authorization": f"Bearer {token}"})
        await owner.acked(await owner.send("handover", to=guest.connection_id))
        await guest.until("owner_changed")
        error = await guest.refused(await guest.send("list_files", query="pay"), "not_allowed")
        assert "sees one session" in error["message"]
        await guest.acked(await guest.send("release"))
        await owner.acked(await owner.send("claim"))
        sent = [await owner.send("list_files", query="pay") for _ in range(12)]  # the control: who may is told
        answers: list[Message] = []
        while len(answers) < len(sent):
            answers += [each for each in [await owner.next()] if each.get("id") in sent]
        assert [each["paths"] for each in answers if each["type"] == "files"][:8] == [["payroll.txt"]] * 8
        assert {each.get("code") for each in answers} <= {None, "rate_limited"}


async def test_without_git_what_a_walk_finds_is_listed(tmp_path: Path) -> None:
    for name in ("a/b/c.py", "node_modules/x.js", ".hidden/y", "top.py", "bad\nname"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "out").symlink_to("/etc")
    async with scene(tmp_path) as here:
        owner = await here.join()
        answer = await owner.until("files", id=await owner.send("list_files"))
        assert (answer["paths"], answer["complete"]) == (["top.py", "a/b/c.py"], True)


async def test_an_editor_sends_a_picture(tmp_path: Path) -> None:
    """Over `/acp`, where the hosted agent takes them."""
    puppet = Taking()
    async with scene(tmp_path, puppet) as here:
        socket = await here.dial("acp")

        async def ask(number: int, method: str, **params: Any) -> dict[str, Any]:
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
            while (message := json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))).get("id") != number:
                pass
            return dict(message["result"])

        said = await ask(1, "initialize", protocolVersion=1)
        assert said["agentCapabilities"]["promptCapabilities"]["image"] is True
        opened = await ask(2, "session/new", cwd=str(tmp_path), mcpServers=[])
        image = {"type": "image", "mimeType": "image/png", "data": base64.b64encode(PNG).decode()}
        prompted = asyncio.ensure_future(ask(3, "session/prompt", sessionId=opened["sessionId"], prompt=[image]))
        play = await puppet.begun()
        assert [each.path.read_bytes() for each in play.turn.content if each.path] == [PNG]
        play.end()
        assert (await prompted)["stopReason"] == "end_turn"


async def test_without_space_nothing_is_kept_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    puppet = Taking()
    async with scene(tmp_path, puppet, limits=replace(LIMITS, content_bytes=10)) as here:
        owner = await here.join()
        await owner.acked(await owner.send("hello", client={"name": "t"}, wants=["updates"]))
        with monkeypatch.context() as patch:
            patch.setattr(Blobs, "stage", full)
            part = base64.b64encode(PNG).decode()
            await owner.refused(await owner.send("upload", digest=sha(PNG), size=len(PNG), data=part), "disk_full")
        await owner.send("user_message", prompt="p")
        play = await puppet.begun()
        image = {"type": "image", "mimeType": "image/png", "data": part}
        await play.io.stdout("[image]", update={"sessionUpdate": "agent_message_chunk", "content": image})
        play.end()
        await owner.until("terminal_state")
        (said,) = owner.of("agent_stdout")
        assert "may have 10 bytes together" in said["update"]["content"]["omitted"]


# --- controls: what these tests would find ------------------------------------------------------------------------


async def test_control_a_server_that_forgets_whose_session_it_is_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    puppet = Taking()
    monkeypatch.setattr(http, "known_session", lambda _, session_id, __: session_id)
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        session = await carried(here, puppet, owner)
        await owner.send("user_message", prompt="other")
        (await puppet.begun()).end()
        elsewhere = (await owner.until("terminal_state"))["sessionId"]
        token = here.server.invite(session_id=elsewhere).token
        assert (await get(here, f"/sessions/{session}/blobs/{sha(PNG)}", token))[0] == 200


async def test_control_bytes_that_outlive_their_session_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgets_nothing(*_: object) -> None: ...

    puppet = Taking()
    monkeypatch.setattr(Content, "forget_gone", forgets_nothing)
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        session = await carried(here, puppet, owner)
        await owner.acked(await owner.send("delete", sessionId=session))
        assert has(tmp_path, PNG)
    async with scene(tmp_path, Taking()):  # the next start finds them
        assert not has(tmp_path, PNG)


async def test_control_a_path_that_is_not_looked_at_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "is_inside", lambda _: True)
    puppet = Puppet()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        link = [{"type": "link", "path": ".myagent/remote/auth.json"}]
        await owner.acked(await owner.send("user_message", prompt="p", content=link))
        (await puppet.begun()).end()
