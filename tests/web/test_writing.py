"""Writing in a real browser: the box, its drafts, the address, and servers and browsers that do not play along."""

from __future__ import annotations

import asyncio
from pathlib import Path

from browser import PATIENCE, Viewer, expect, stage
from puppet import Puppet
from tests.faults.proxy import Proxy

FORTY = "\n".join(f"pasted line {n}" for n in range(40))
NO_STORAGE = """for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, name, {get() { throw new DOMException("denied", "SecurityError"); }});
}"""


async def turn(viewer: Viewer, puppet: Puppet, prompt: str, ends: int) -> None:
    await viewer.prompt(prompt)
    (await puppet.begun()).end()
    await expect(viewer.at(".item.end")).to_have_count(ends)


async def test_the_box_grows_with_wrapped_text_up_to_a_third_and_then_scrolls(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        for width, height in ((390, 844), (1440, 900)):
            owner = await scene.join(viewport={"width": width, "height": height})
            if await owner.at("#claim").is_visible():
                await owner.at("#claim").click()
            box = owner.at("#prompt")
            measure = "[document.getElementById('prompt').clientHeight, document.getElementById('prompt').scrollHeight]"
            await box.fill("one line")
            single = (await owner.page.evaluate(measure))[0]
            await box.fill("no newline, only words " * (width // 50))
            shown, needed = await owner.page.evaluate(measure)
            assert single * 2 < shown == needed
            await box.fill(FORTY)
            shown, needed = await owner.page.evaluate(measure)
            assert height / 4 < shown <= height / 3 < needed
            await expect(owner.at("#prompt-size")).to_have_text("40 lines")
            assert await box.evaluate("(box) => getComputedStyle(box).overflowY") == "scroll"
            await box.fill("")
            assert (await owner.page.evaluate(measure))[0] == single
            if width < 760:
                await owner.at("#more").click()
            await owner.at("#release").click()


async def test_drafts_stay_with_their_session_and_survive_a_reload(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await turn(owner, puppet, "first", 1)
        first = await owner.page.evaluate("page.session")
        assert owner.page.url.endswith(f"/?session={first}")
        assert scene.server.token not in owner.page.url
        await owner.at("#prompt").fill("draft of the first")
        await owner.at("#new-session").click()
        await expect(owner.at("#prompt")).to_have_value("")
        await owner.at("#prompt").fill("draft of a new one")
        await owner.at(f"[data-session='{first}']").click()
        await expect(owner.at("#prompt")).to_have_value("draft of the first")
        await owner.at("#new-session").click()
        await expect(owner.at("#prompt")).to_have_value("draft of a new one")
        await turn(owner, puppet, "second", 1)
        second = await owner.page.evaluate("page.session")
        assert second != first
        await expect(owner.at("#prompt")).to_have_value("")
        await owner.page.go_back()  # to the empty page of the new session…
        await owner.page.go_back()  # …and to the first
        await owner.until(f"page.session === '{first}'")
        await expect(owner.at("#prompt")).to_have_value("draft of the first")
        await expect(owner.at(".item.prompt")).to_contain_text("first")
        await owner.page.reload()
        await expect(owner.at(".item.prompt")).to_contain_text("first")  # not the latest: the one that was shown
        await expect(owner.at("#prompt")).to_have_value("draft of the first")
        await owner.page.go_forward()
        await owner.page.go_forward()
        await owner.until(f"page.session === '{second}'")
        await expect(owner.at("#prompt")).to_have_value("")


async def test_an_address_names_a_session_for_whoever_may_look(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await turn(owner, puppet, "first", 1)
        first = await owner.page.evaluate("page.session")
        await owner.at("#new-session").click()
        await turn(owner, puppet, "second", 1)
        token = scene.invite()[0]
        guest = await scene.join(token, path=f"/?session={first}")
        await expect(guest.at(".item.prompt")).to_contain_text("first")
        lost = await scene.join(token, path="/?session=gone")
        await expect(lost.at(".item.prompt")).to_contain_text("second")


async def test_keys_of_an_input_method_do_not_send(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        press = """(fields) => { document.getElementById("prompt").dispatchEvent(new KeyboardEvent("keydown",
            {key: "Enter", code: "Enter", bubbles: true, cancelable: true, ...fields}));
            return page.sending.waiting?.prompt; }"""
        await owner.at("#prompt").fill("にほんご")
        for fields in ({"keyCode": 229}, {"isComposing": True, "keyCode": 13}):
            assert await owner.page.evaluate(press, fields) is None
        assert await owner.page.evaluate(press, {"keyCode": 13}) == "にほんご"  # the control
        await expect(owner.at(".item.end")).to_be_visible()


async def test_what_cannot_be_sent_is_said_in_the_box_and_kept(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        for count, said in ((300_000, "293 KiB"), (1_100_000, "1.0 MiB"), (5_000_000, "4.8 MiB")):
            await owner.page.evaluate(f"document.getElementById('prompt').value = 'x'.repeat({count})")
            await owner.at("#send").click()
            await expect(owner.at("#prompt-note")).to_contain_text(f"This prompt is {said}; at most 256 KiB")
            assert len(await owner.at("#prompt").input_value()) == count
        await owner.page.evaluate("document.getElementById('prompt').value = 'half \\ud83d of one'")
        await owner.at("#send").click()
        play = await puppet.begun()
        assert play.turn.prompt == "half \ufffd of one"
        await expect(owner.at("#prompt")).to_have_value("")
        await expect(owner.at("#connection")).to_have_attribute("data-link", "live")
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


async def test_a_prompt_that_is_not_answered_can_be_sent_again_and_runs_once(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.open()
        await owner.page.clock.install()
        await owner.join(scene.link())
        await owner.page.evaluate(
            "() => { const receive = page.answers.receive; let lost = 0;"
            " page.answers.receive = function (it) { if (it.type !== 'ack' || lost++) receive.call(this, it); }; }"
        )
        await owner.prompt("go")
        play = await puppet.begun()
        play.end()
        await expect(owner.at("#prompt")).to_have_value("")  # its turn is there: it has arrived
        await owner.page.evaluate(
            """() => { const send = page.connection.send; let lost = 0;
            page.connection.send = function (message) {
                return message.type === "user_message" && !lost++ ? true : send.call(this, message); }; }"""
        )
        await owner.prompt("on")
        await expect(owner.at("#prompt-note")).to_have_text("sending")
        for _ in range(3):
            await owner.page.clock.run_for(10_100)
            await owner.until("Date.now() - page.connection._heard < 5000")  # the server lives: its pongs come
        await expect(owner.at("#prompt-note")).to_contain_text("no answer within 30 s")
        asked = await owner.page.evaluate("page.sending.unsure.id")
        await owner.at("#send").click()
        await owner.page.clock.run_for(1_000)
        play = await puppet.begun()
        assert (play.turn.prompt, play.turn.turn_id) == ("on", asked)  # the same, had the first one arrived after all
        play.end()
        assert puppet.runs == 2


async def test_a_request_that_is_never_answered_is_given_up(tmp_path: Path) -> None:
    async with stage(tmp_path, allowed_hosts=("127.0.0.1",)) as scene, Proxy(scene.server.port) as proxy:
        viewer = await scene.open()
        await viewer.page.clock.install()
        await viewer.join(scene.link(port=proxy.port))
        proxy.black_hole()  # new connections are taken, and nothing comes back
        proxy.cut()
        asked = asyncio.ensure_future(viewer.page.wait_for_event("request"))
        await viewer.page.clock.run_for(2_000)
        assert (await asyncio.wait_for(asked, PATIENCE)).url.endswith("/ticket")
        await viewer.page.clock.run_for(11_000)
        await expect(viewer.at("#connection")).to_contain_text("cannot be reached")
        proxy.heal()
        await viewer.page.clock.run_for(31_000)
        await expect(viewer.at("#connection")).to_have_attribute("data-link", "live")


async def test_a_browser_that_keeps_nothing_joins_and_drives(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.open()
        await owner.page.add_init_script(NO_STORAGE)
        await owner.join(scene.link())
        await turn(owner, puppet, "first", 1)
        await owner.at("#prompt").fill("a draft")
        await owner.at("#new-session").click()
        await owner.at("#session-list button").click()
        await expect(owner.at("#prompt")).to_have_value("a draft")


async def test_the_focus_comes_back_after_the_dialog(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        for before, after in ((None, "prompt"), ("prompt", "prompt"), ("search-text", "search-text")):
            if before is None:
                await owner.page.evaluate("document.activeElement.blur()")
            else:
                await owner.at(f"#{before}").focus()
            answer = play.ask("touch a")
            await expect(owner.at("#permission-answers button.allow")).to_be_enabled()
            await owner.page.keyboard.press("Escape")
            await expect(owner.at("#permission")).to_be_hidden()
            assert await owner.page.evaluate("document.activeElement.id") == after
            await owner.at("#waiting").get_by_role("button", name="Answer").click()
            await owner.answer("Deny")
            await asyncio.wait_for(answer, PATIENCE)
            await expect(owner.at("#permission")).to_be_hidden()
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()
