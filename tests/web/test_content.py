"""Pictures and files in a real browser: attached, seen before, sent, shown to all; hostile ones are harmless."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from browser import Stage, Viewer, expect, stage
from puppet import Play, Puppet

from myagent.agents import AgentInfo


class Taking(Puppet):
    """Takes pictures and files."""

    info = AgentInfo("taking", takes=("image", "file"))


def png(width: int, height: int, *, claims: tuple[int, int] | None = None) -> bytes:
    """A red picture; `claims`: the size that its head says."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", *(claims or (width, height)), 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff\0\0" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PICTURE = png(40, 30)

HAND_OVER = """async ([selector, kind, name, type, data]) => {
    const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
    const given = new DataTransfer();
    given.items.add(new File([bytes], name, { type }));
    const init = { bubbles: true, cancelable: true };
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { ...init, clipboardData: given })
        : new DragEvent(kind, { ...init, dataTransfer: given });
    document.querySelector(selector).dispatchEvent(event);
}"""


async def hand_over(viewer: Viewer, kind: str, name: str, mime_type: str, data: bytes, at: str = "#prompt") -> None:
    await viewer.page.evaluate(HAND_OVER, [at, kind, name, mime_type, base64.b64encode(data).decode()])


async def sent(viewer: Viewer, puppet: Puppet, prompt: str = "look") -> Play:
    await viewer.prompt(prompt)
    return await puppet.begun()


async def shown_width(viewer: Viewer, selector: str = ".item.prompt .picture img") -> int:
    await viewer.until(f"document.querySelector('{selector}')?.complete && document.querySelector('{selector}').src")
    return int(await viewer.at(selector).first.evaluate("(image) => image.naturalWidth"))


async def test_a_picture_is_attached_three_ways_seen_before_and_shown_to_all(tmp_path: Path) -> None:
    puppet = Taking()
    async with stage(tmp_path, puppet) as here:
        owner, follower = await here.join(), await here.join()
        await expect(owner.at("#attach")).to_be_visible()
        await expect(follower.at("#attach")).to_be_hidden()
        async with owner.page.expect_file_chooser() as choosing:
            await owner.at("#attach").click()
        await (await choosing.value).set_files({"name": "chosen.png", "mimeType": "image/png", "buffer": PICTURE})
        await expect(owner.at("#attached .chip")).to_have_count(1)
        await hand_over(owner, "paste", "pasted.png", "image/png", png(8, 8))
        await hand_over(owner, "drop", "notes.txt", "text/plain", b"the words", at="#stream")
        await expect(owner.at("#attached .chip")).to_have_count(3)
        await expect(owner.at("#attached img")).to_have_count(2)
        await owner.at("#attached .chip").nth(1).get_by_role("button").click()
        await expect(owner.at("#attached .chip")).to_have_count(2)
        play = await sent(owner, puppet)
        image, file = play.turn.content
        assert image.path is not None and image.path.read_bytes() == PICTURE
        assert file.path is not None and file.path.read_bytes() == b"the words"
        play.end()
        await expect(owner.at("#attached")).to_be_hidden()
        for viewer in (owner, follower):
            assert await shown_width(viewer) == 40
            await expect(viewer.at(".item.prompt .chip")).to_have_text("notes.txt, 9 bytes")
        await follower.page.reload()
        assert await shown_width(follower) == 40
        async with follower.page.expect_download() as downloading:
            await follower.at(".item.prompt .chip").click()
        download = await downloading.value
        assert download.suggested_filename == "notes.txt"
        assert Path(await download.path()).read_bytes() == b"the words"


async def test_a_large_picture_goes_in_pieces(tmp_path: Path) -> None:
    puppet = Taking()
    async with stage(tmp_path, puppet) as here:
        owner = await here.join()
        large = PICTURE + bytes(3_000_000)
        await hand_over(owner, "paste", "large.png", "image/png", large)
        play = await sent(owner, puppet)
        assert play.turn.content[0].path is not None and play.turn.content[0].path.read_bytes() == large
        play.end()


async def test_what_the_agent_does_not_take_is_said(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:  # the command agent
        owner = await here.join()
        await expect(owner.at("#attach")).to_be_hidden()
        await hand_over(owner, "paste", "p.png", "image/png", PICTURE)
        await expect(owner.at("#prompt-note")).to_have_text("p.png: this agent takes no files")
        await expect(owner.at("#attached")).to_be_hidden()


async def refused(here: Stage, owner: Viewer, name: str, data: bytes, why: str) -> None:
    await hand_over(owner, "paste", name, "image/png", data)
    await owner.prompt("look")
    await expect(owner.at("#prompt-note")).to_contain_text(why)
    await expect(owner.at("#prompt")).to_have_value("look")
    await owner.at("#attached .chip").get_by_role("button").click()
    assert here.server.host.sessions == {}


async def test_hostile_pictures_are_refused_or_harmless(tmp_path: Path) -> None:
    puppet = Taking()
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(2)</script></svg>"
    async with stage(tmp_path, puppet) as here:
        owner = await here.join()
        await refused(here, owner, "evil.png", svg, "is no PNG, JPEG, WebP or GIF")
        await refused(here, owner, "tall.png", png(1, 1, claims=(1, 1_000_000)), "too wide or too high")
        name = "\x1b[2J\u202e<img src=x onerror=alert(3)>.svg"
        await hand_over(owner, "paste", name, "image/svg+xml", svg)
        await hand_over(owner, "paste", "broken.png", "image/png", PICTURE[:60])
        (await sent(owner, puppet)).end()
        chip = owner.at(".item.prompt .chip")
        await expect(chip).to_contain_text("\\u{1b}[2J\\u{202e}")
        assert await owner.page.evaluate("document.querySelectorAll('.item.prompt img').length") == 1
        async with owner.page.expect_download() as downloading:
            await chip.click()
        await (await downloading.value).path()
        await expect(owner.at(".item.end")).to_have_count(1)


@pytest.mark.parametrize("narrow", [False, True])
async def test_a_very_tall_picture_takes_no_more_than_its_place(tmp_path: Path, narrow: bool) -> None:
    puppet = Taking()
    async with stage(tmp_path, puppet) as here:
        owner = await here.join(viewport={"width": 390 if narrow else 1280, "height": 800})
        await hand_over(owner, "paste", "tall.png", "image/png", png(1, 30_000))
        await hand_over(owner, "paste", "wide.png", "image/png", png(30_000, 1))
        (await sent(owner, puppet)).end()
        await expect(owner.at(".item.prompt .picture img")).to_have_count(2)
        for box in [await image.bounding_box() for image in await owner.at(".item.prompt .picture img").all()]:
            assert box is not None and box["height"] <= 321 and box["width"] <= 481
        assert await owner.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_pictures_of_the_agent_are_shown_where_it_says_them(tmp_path: Path) -> None:
    puppet = Puppet()
    image = {"type": "image", "mimeType": "image/png", "data": base64.b64encode(PICTURE).decode()}
    bad = {**image, "data": base64.b64encode(b"<svg onload=alert(1)/>").decode()}
    async with stage(tmp_path, puppet) as here:
        owner = await here.join()
        play = await sent(owner, puppet)

        async def says(text: str, **update: Any) -> None:
            await play.io.stdout(text, update=update)

        await says("before ", sessionUpdate="agent_message_chunk", content={"type": "text", "text": "before "})
        await says("[image]", sessionUpdate="agent_message_chunk", content=image)
        await says("[image]", sessionUpdate="agent_message_chunk", content=bad)
        call = {"toolCallId": "c", "title": "Screenshot", "kind": "other", "status": "completed"}
        content = [{"type": "content", "content": image}]
        await play.io.stderr("→ Screenshot", update={"sessionUpdate": "tool_call", **call, "content": content})
        play.end()
        assert await shown_width(owner, ".item > .carried .picture img") == 40
        await expect(owner.at(".item > .carried .chip")).to_contain_text("picture left out: it is no PNG")
        await owner.at(".item.tool summary").click()
        assert await shown_width(owner, ".item.tool .picture img") == 40


async def test_commands_and_files_complete(tmp_path: Path) -> None:
    puppet = Puppet()
    (tmp_path / "src").mkdir()
    for name in ("src/app.py", "src/app_test.py", "other.txt"):
        (tmp_path / name).write_text("x")
    async with stage(tmp_path, puppet) as here:
        owner = await here.join()
        play = await sent(owner, puppet, "first")
        commands = [{"name": "review", "description": "Look <b>closely</b>", "hint": "[file]"}, {"name": "compact"}]
        play.io.tell(commands=commands)
        play.end()
        await expect(owner.at(".item.end")).to_have_count(1)
        box = owner.at("#prompt")
        await box.press_sequentially("/rev")
        await expect(owner.at("#completion li")).to_have_text(["/review [file]Look <b>closely</b>"])
        await box.press("Tab")
        await expect(box).to_have_value("/review ")
        await expect(owner.at("#completion")).to_be_hidden()
        await box.press_sequentially("@app")
        await expect(owner.at("#completion li")).to_have_text(["src/app.py", "src/app_test.py"])
        await box.press("ArrowDown")
        await box.press("Enter")
        await expect(box).to_have_value("/review @src/app_test.py ")
        await box.press_sequentially("@nothing-of-that-name")
        await expect(owner.at("#completion")).to_be_hidden()
        await box.press("Enter")
        play = await puppet.begun()
        assert play.turn.prompt == "/review @src/app_test.py @nothing-of-that-name"
        assert [(each.kind, each.name) for each in play.turn.content] == [("link", "src/app_test.py")]
        play.end()
        await expect(owner.at(".item.prompt .chip")).to_have_text("@src/app_test.py")
        await box.press_sequentially("@app")
        await expect(owner.at("#completion li")).to_have_count(2)
        await box.press("Escape")
        await expect(owner.at("#completion")).to_be_hidden()


async def test_a_picture_outlives_a_lost_connection(tmp_path: Path) -> None:
    puppet = Taking()
    async with stage(tmp_path, puppet) as here:
        owner = await here.join()
        await hand_over(owner, "paste", "p.png", "image/png", PICTURE)
        await owner.page.evaluate("page.connection.close(); page.status({ state: 'waiting', say: 'x' })")
        await owner.page.evaluate("page.connection.open()")
        await expect(owner.at("#connection")).to_have_attribute("data-link", "live")
        await expect(owner.at("#attached .chip")).to_have_count(1)
        (await sent(owner, puppet)).end()
        assert await shown_width(owner) == 40
