"""The page in a real browser: joining, watching, driving, and coming back."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from browser import PATIENCE, Stage, Viewer, expect, stage
from puppet import Puppet
from tests.faults.proxy import Proxy
from wire import scene as serving

from myagent.agents.showing import Showing
from myagent.core.messages import Diff, Option
from myagent.text.wording import diff_lines

PHONE = {"width": 360, "height": 740}


async def until_shown(viewer: Viewer, head: int) -> None:
    """Wait until the page holds the session's events up to the head."""
    await viewer.until(f"page.view.window.last >= {head} && page.view.window.attached")


async def whole(viewer: Viewer, head: int) -> None:
    """The page holds every event from 1 to the head, each once, in order."""
    await until_shown(viewer, head)
    assert await viewer.seqs() == list(range(1, head + 1))


def head_of(scene: Stage) -> int:
    [head] = scene.server.host.fanout.window.heads.values()
    return head


# --- joining ----------------------------------------------------------------------------------------------------------


async def test_a_link_joins_and_leaves_no_trace_in_the_address(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        viewer = await scene.join()
        assert viewer.page.url == f"http://127.0.0.1:{scene.server.port}/"
        await expect(viewer.at("#ownership")).to_have_text("you own")
        assert await viewer.page.evaluate("[document.cookie, localStorage.length]") == ["", 0]
        await viewer.page.reload()
        await expect(viewer.at("#ownership")).to_have_text("you own")


async def test_a_page_without_a_token_asks_for_one(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        viewer = await scene.open()
        await viewer.page.goto(scene.link().partition("#")[0])
        await expect(viewer.at("#join")).to_be_visible()
        await viewer.at("#join-token").fill("nonsense")
        await viewer.at("#join-form button").click()
        await expect(viewer.at("#join-why")).to_contain_text("neither a link")
        await viewer.at("#join-token").fill(scene.link())
        await viewer.at("#join-label").fill("Ann")
        await viewer.at("#join-form button").click()
        await expect(viewer.at("#ownership")).to_have_text("you own")
        follower = await scene.join(scene.invite()[0])
        await expect(follower.at("#ownership")).to_have_text("Ann owns")


async def test_an_unknown_token_is_said_and_not_kept(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        viewer = await scene.open()
        await viewer.page.goto(scene.link("x" * 43))
        await expect(viewer.at("#join-why")).to_contain_text("not valid")
        assert await viewer.page.evaluate("Object.keys(sessionStorage).length") == 0


async def test_the_page_connects_to_its_own_server_alone(tmp_path: Path) -> None:
    """T9: nothing in an address chooses where the token goes."""
    heard: list[str] = []
    trap = await asyncio.start_server(lambda reader, writer: heard.append("somebody"), "127.0.0.1", 0)
    port = trap.sockets[0].getsockname()[1]
    async with stage(tmp_path) as scene:
        token = scene.server.token
        for query in (f"?server=ws://127.0.0.1:{port}&next=//127.0.0.1:{port}", f"?gatewayUrl=ws://127.0.0.1:{port}/"):
            viewer = await scene.open()
            asked: list[str] = []
            viewer.page.on("request", lambda request, asked=asked: asked.append(request.url))
            await viewer.join(f"http://127.0.0.1:{scene.server.port}/{query}#{token}")
            assert asked
            assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{scene.server.port}"}
            assert not any(token in url.partition("#")[0] for url in asked)
    trap.close()
    assert heard == []


TRY = """async ([host, token]) => {
    const fetched = await fetch(`http://${host}/ticket`, {headers: {Authorization: `Bearer ${token}`}}).then(
        () => "fetched", () => "kept out");
    const socket = new WebSocket(`ws://${host}/`, ["myagent.v1", "ticket.abc"]);
    const opened = await new Promise((resolve) => {
        socket.onopen = () => resolve("opened");
        socket.onclose = () => resolve("kept out");
    });
    return [fetched, opened];
}"""


async def test_a_foreign_page_cannot_connect(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        )
        await writer.drain()
        writer.close()

    foreign = await asyncio.start_server(answer, "127.0.0.1", 0)
    elsewhere = f"http://127.0.0.1:{foreign.sockets[0].getsockname()[1]}/"
    async with stage(tmp_path) as scene:
        viewer = await scene.open()
        await viewer.page.goto(elsewhere)
        where = [f"127.0.0.1:{scene.server.port}", scene.server.token]
        assert await viewer.page.evaluate(TRY, where) == ["kept out", "kept out"]
        assert len(scene.server.host.peers) == 0
        viewer.complaints.clear()  # the browser says what it kept out
    foreign.close()


async def test_our_own_page_cannot_be_made_to_connect_elsewhere(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        viewer = await scene.join()
        await viewer.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
        refusals = [
            "document.body.innerHTML = '<img src=x onerror=alert(1)>'",
            "const s = document.createElement('script'); s.textContent = 'alert(1)'; document.body.append(s)",
            "document.body.setAttribute('onclick', 'alert(1)'); document.body.click()",
            "trustedTypes.createPolicy('default', {createHTML: (text) => text})",
        ]
        for attempt in refusals:
            await viewer.page.evaluate(f"() => {{ try {{ {attempt} }} catch {{}} }}")
        reports = set(await viewer.page.evaluate("window.__reports.splice(0)"))
        assert {"connect-src", "require-trusted-types-for", "trusted-types"} <= reports  # the watch does see them
        viewer.complaints.clear()


# --- turns and permissions --------------------------------------------------------------------------------------------


async def test_a_turn_is_run_allowed_and_denied(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("!echo hello; echo oops >&2")
        dialog = owner.at("#permission")
        await expect(dialog).to_be_visible()
        await expect(owner.at("#permission-display")).to_have_text("echo hello; echo oops >&2")
        await expect(owner.at("#permission-where")).to_contain_text(str(tmp_path))
        await expect(owner.at("#permission-left")).to_contain_text("left, then denied")
        await owner.answer("Allow")
        await expect(dialog).to_be_hidden()
        await expect(owner.at(".item.output")).to_contain_text("hello")
        await expect(owner.at(".item.stderr")).to_contain_text("oops")
        await expect(owner.at(".item.end")).to_contain_text("exit 0")
        await owner.prompt("write made.txt\nnever")
        await expect(dialog).to_be_visible()
        await owner.at("#permission-note").fill("not in this directory")
        await owner.answer("Deny")
        await expect(owner.at(".item.end.failed")).to_contain_text("not in this directory")
        assert not (tmp_path / "made.txt").exists()
        await whole(owner, head_of(scene))


async def test_two_pages_see_one_request_and_only_the_owner_can_answer(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        follower = await scene.join(scene.invite()[0], viewport=PHONE)
        await owner.prompt("write a.txt\nnew text\n")
        await expect(follower.at("#waiting")).to_contain_text("Waiting for somebody else's answer")
        await expect(follower.at("#waiting .display")).to_contain_text("+new text")
        await expect(follower.at("#connection")).to_contain_text("waiting for a human")
        assert await follower.page.title() == "(1) write a.txt"
        await expect(follower.at("#permission")).to_be_hidden()
        assert await follower.page.get_by_role("button", name="Allow").count() == 0
        await expect(follower.at("#prompt-form")).to_be_hidden()
        await owner.answer("Allow")
        await expect(follower.at("#waiting")).to_be_hidden()
        await expect(follower.at(".item.tool .answered")).to_contain_text("allowed by Chrome on Linux")
        await expect(follower.at("#announcer")).to_contain_text("ended")
        for viewer in (owner, follower):
            await whole(viewer, head_of(scene))


async def test_what_was_typed_before_the_dialog_appeared_answers_nothing(tmp_path: Path) -> None:
    """T13: keys that were on their way, and a key held down, decide nothing; a fresh press does."""
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        await owner.at("#prompt").focus()
        await owner.page.keyboard.down("Enter")
        answer = play.ask("rm -rf build")
        await expect(owner.at("#permission")).to_be_visible()
        for key in ("Enter", "y", " ", "Tab", "Enter"):
            await owner.page.keyboard.press(key)
        await owner.at("#permission-answers button.allow").click(force=True)  # a press on its way, too
        assert not answer.done()
        focused = await owner.page.evaluate("document.activeElement.id || document.activeElement.textContent")
        assert focused == "permission-focus"
        await expect(owner.at("#permission-answers button.allow")).to_be_enabled()
        await owner.at("#permission-answers button.allow").focus()
        await owner.page.keyboard.press("Enter")
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "allow"
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


async def test_without_the_guard_a_press_on_its_way_would_answer(tmp_path: Path) -> None:
    """The control of the test above."""
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.page.evaluate("page.dialog._open = () => true; page.dialog._guard = () => {}")
        await owner.prompt("go")
        play = await puppet.begun()
        answer = play.ask("rm -rf build")
        await expect(owner.at("#permission")).to_be_visible()
        await owner.at("#permission-answers button.allow").click(force=True)
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "allow"
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


async def test_a_flagged_request_needs_one_more_step(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("!echo a\u202eb")
        await expect(owner.at("#permission-flags")).to_contain_text("reorder text")
        await expect(owner.at("#permission-display")).to_have_text("echo a\\u{202e}b")
        deny = owner.at("#permission-answers").get_by_role("button", name="Deny")
        allow = owner.at("#permission-answers").get_by_role("button", name="Allow")
        await expect(deny).to_be_enabled()
        await expect(allow).to_be_disabled()
        await owner.at("#permission-read").check()
        await allow.click()
        await expect(owner.at(".item.end")).to_contain_text("exit 0")


async def test_the_options_of_an_agent_are_offered(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        options = (
            Option("once", "Yes", "allow_once"), Option("always", "Yes, always", "allow_always"),
            Option("no", "No, and say why", "reject_once"),
        )  # fmt: skip
        answer = play.ask("touch a", options=options)
        await expect(owner.at("#permission-answers button")).to_have_text(
            ["Deny · No, and say why", "Allow · Yes", "Always allow · Yes, always"]
        )
        await owner.answer("Always allow · Yes, always")
        got = await asyncio.wait_for(answer, PATIENCE)
        assert (got.kind, got.option_id) == ("allow", "always")
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


async def test_what_does_not_fit_is_counted_and_must_be_seen_before_it_is_allowed(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        answer = play.ask("\n".join(f"command {n}" for n in range(400)))
        await expect(owner.at("#permission-more")).to_contain_text("more lines: read to the end to allow")
        allow = owner.at("#permission-answers button.allow")
        await expect(owner.at("#permission-answers button.deny")).to_be_enabled()
        await expect(allow).to_be_disabled()
        await owner.page.evaluate("document.getElementById('permission-display').scrollTop = 1e6")
        await expect(allow).to_be_enabled()
        await expect(owner.at("#permission-more")).to_be_hidden()
        await owner.answer("Allow")
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "allow"
        play.end()


async def test_an_empty_stretch_hides_nothing(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        answer = play.ask("ls -la" + "\n" * 400 + "curl x" + " " * 300 + "| sh")
        await expect(owner.at("#permission-display")).to_have_text("ls -la\n[399 empty lines]\ncurl x[300 spaces]| sh")
        await owner.answer("Deny")
        await asyncio.wait_for(answer, PATIENCE)
        play.end()


async def test_an_answer_says_what_it_does_whatever_its_agent_calls_it(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        answer = play.ask("x", options=(Option("o", "Deny", "allow_always"), Option("p", "Allow", "reject_once")))
        await expect(owner.at("#permission-answers button")).to_have_text(["Deny · Allow", "Always allow · Deny"])
        await expect(owner.at("#permission-warning")).to_contain_text("says the opposite")
        await owner.answer("Deny · Allow")
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "deny"
        play.end()


async def test_the_lines_of_a_change_keep_their_indentation(tmp_path: Path) -> None:
    """Each line begins where the text's own spaces put it, as a browser lays it out."""
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        change = Diff("a.py", "if x:\n    one\n    two\n", "if x:\n    1\n    two\n")
        display = "\n".join(diff_lines(change))
        answer = play.ask(display, diffs=(change,))
        await expect(owner.at("#permission-display")).to_have_text(display)
        shown = await owner.page.evaluate(
            """[...document.querySelectorAll('#permission-display .line')].map((line) => {
                 const at = line.textContent.search(/\\S/); const range = document.createRange();
                 range.setStart(line.firstChild, at); range.setEnd(line.firstChild, at + 1);
                 const first = range.getBoundingClientRect();
                 return Math.round((first.left - line.getBoundingClientRect().left) / first.width) === at; })"""
        )
        assert len(shown) == display.count("\n") + 1
        assert all(shown)
        await owner.answer("Deny")
        await asyncio.wait_for(answer, PATIENCE)
        play.end()


async def test_a_request_put_aside_waits_and_can_be_answered(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("!true")
        await expect(owner.at("#permission-answers button.allow")).to_be_enabled()
        await owner.page.keyboard.press("Escape")
        await expect(owner.at("#permission")).to_be_hidden()
        await owner.at("#waiting").get_by_role("button", name="Answer").click()
        await owner.answer("Allow")
        await expect(owner.at(".item.end")).to_contain_text("exit 0")


async def test_the_focus_stays_in_the_dialog(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("!true")
        await expect(owner.at("#permission-answers button.allow")).to_be_enabled()
        for _ in range(12):
            await owner.page.keyboard.press("Tab")
            place = await owner.page.evaluate(
                "document.activeElement === document.body || !!document.activeElement.closest('#permission')"
            )
            assert place
        await owner.answer("Deny")
        await expect(owner.at(".item.end")).to_be_visible()


async def test_listings_keep_their_columns_and_a_stopped_call_does_not_run_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("help")
        await expect(owner.at(".item.message pre.text")).to_contain_text("command mode")
        await expect(owner.at(".item.message .prose")).to_have_count(0)
        await owner.prompt("!sleep 100")
        await owner.answer("Allow")
        await expect(owner.at(".item.tool .status")).to_have_text("running")
        await owner.at("#stop").click()
        await expect(owner.at(".item.tool .status")).to_have_text("cancelled")


async def test_a_running_commands_output_is_in_its_row_as_it_comes(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("run it")
        turn = await puppet.begun()
        showing = Showing(turn.io)

        async def told(**fields: Any) -> None:
            await showing.show({"sessionUpdate": "tool_call_update", "toolCallId": "c", **fields})

        await told(title="ls", kind="execute", status="in_progress", content=[{"type": "terminal", "terminalId": "c"}])
        await owner.at(".item.tool summary").click()
        await told(_meta={"terminal_output_delta": {"data": "a.txt\n<b>"}})
        await expect(owner.at(".item.tool pre")).to_have_text("a.txt\n<b>")
        await told(_meta={"terminal_output_delta": {"data": ".txt\n"}})
        await told(status="failed", _meta={"terminal_exit": {"exit_code": 3}})
        await expect(owner.at(".item.tool pre")).to_have_text("a.txt\n<b>.txt\n")
        await expect(owner.at(".item.tool .kind")).to_have_text("execute, exit 3")
        await showing.show({"sessionUpdate": "notice", "severity": "warning", "title": "low on credits"})
        await expect(owner.at(".item.stderr")).to_contain_text("warning: low on credits")
        turn.end()


async def test_prompts_queue_and_can_be_cancelled_and_a_turn_stopped(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("first")
        await puppet.begun()
        await expect(owner.at("#send")).to_have_text("Queue")
        for text in ("second", "third"):
            await owner.prompt(text)
            await expect(owner.at("#queue")).to_contain_text(text)
        await owner.page.get_by_role("button", name="Cancel second").click()
        await expect(owner.at("#queue li")).to_have_text([re.compile("third")])
        await owner.at("#stop").click()
        play = await puppet.begun()
        assert play.turn.prompt == "third"
        await expect(owner.at(".item.prompt .turn-state").first).to_contain_text("cancelled, exit 130")
        play.end()
        await expect(owner.at("#stop")).to_be_hidden()
        await owner.at("#prompt").focus()
        for wanted in ("third", "first"):
            await owner.page.keyboard.press("ArrowUp")
            if wanted == "first" and await owner.at("#prompt").input_value() == "second":
                await owner.page.keyboard.press("ArrowUp")
            await expect(owner.at("#prompt")).to_have_value(wanted)


# --- the network ------------------------------------------------------------------------------------------------------


async def test_a_cut_network_loses_and_doubles_nothing(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet, allowed_hosts=("127.0.0.1",)) as scene, Proxy(scene.server.port) as proxy:
        owner = await scene.join(port=proxy.port)
        follower = await scene.join(scene.invite()[0], port=proxy.port)
        await owner.prompt("go")
        play = await puppet.begun()
        for round_ in range(3):
            await play.say(f"before {round_}\n")
            proxy.reset()
            for line in range(40):
                await play.say(f"during {round_} {line}\n")
            for viewer in (owner, follower):
                await until_shown(viewer, head_of(scene))
        answer = play.ask("touch a")
        await expect(owner.at("#permission")).to_be_visible()
        before = await owner.page.evaluate("page.workspace.connectionId")
        proxy.reset()
        await owner.until(f"page.workspace.connectionId !== '{before}' && page.connection.ready")
        await expect(owner.at("#ownership")).to_have_text("you own")  # reclaimed, not handed to the other page
        await owner.answer("Allow")
        await asyncio.wait_for(answer, PATIENCE)
        play.end()
        for viewer in (owner, follower):
            await expect(viewer.at(".item.end")).to_be_visible()
            await whole(viewer, head_of(scene))
            text = await viewer.at(".items").inner_text()
            for round_ in range(3):
                assert text.count(f"before {round_}\n") == 1
                assert [text.count(f"during {round_} {line}\n") for line in range(40)] == [1] * 40
        await expect(follower.at("#ownership")).not_to_have_text("you own")


async def test_without_resuming_events_would_be_missing(tmp_path: Path) -> None:
    """The control of the test above: a page that does not resume knows that it is not complete, and is not."""
    puppet = Puppet()
    async with stage(tmp_path, puppet, allowed_hosts=("127.0.0.1",)) as scene, Proxy(scene.server.port) as proxy:
        follower = await scene.join(scene.invite()[0], port=proxy.port)
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        await play.say("before\n")
        await until_shown(follower, 2)
        await follower.page.evaluate("page.view.resumeAfter = () => null")
        port, proxy.target = proxy.target, 1
        proxy.reset()
        await expect(follower.at("#connection")).to_have_attribute("data-link", "waiting")
        await play.say("during\n")
        await owner.until("page.view.window.last === 3")
        proxy.target = port
        await expect(follower.at("#connection")).to_have_attribute("data-link", "live")
        await play.say("after\n")
        await follower.until("page.view.window.head === 4")
        assert await follower.page.evaluate("page.view.newer") == 2
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


async def test_a_prompt_whose_answer_was_lost_runs_once(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet, allowed_hosts=("127.0.0.1",)) as scene, Proxy(scene.server.port) as proxy:
        owner = await scene.join(port=proxy.port)
        proxy.black_hole()  # the prompt is sent, and nothing comes back
        await owner.prompt("go")
        proxy.reset()
        proxy.heal()
        play = await puppet.begun()
        await expect(owner.at(".item.prompt")).to_have_count(1)
        await expect(owner.at("#prompt")).to_have_value("")
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()
        assert puppet.runs == 1


async def test_a_server_that_comes_back_is_found_again(tmp_path: Path) -> None:
    async with stage(tmp_path, allowed_hosts=("127.0.0.1",)) as scene, Proxy(scene.server.port) as proxy:
        viewer = await scene.join(port=proxy.port)
        port, proxy.target = proxy.target, 1
        proxy.reset()
        await expect(viewer.at("#connection")).to_have_attribute("data-state", "waiting")
        await expect(viewer.at("#connection")).to_contain_text("reconnecting")
        proxy.target = port
        await expect(viewer.at("#connection")).to_have_attribute("data-link", "live")


# --- ownership and credentials ----------------------------------------------------------------------------------------


async def test_somebody_who_comes_late_sees_everything(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("!for i in 1 2 3; do echo line $i; done")
        await owner.answer("Allow")
        await expect(owner.at(".item.end")).to_be_visible()
        late = await scene.join(scene.invite()[0])
        await expect(late.at(".item.output")).to_contain_text("line 3")
        await whole(late, head_of(scene))


async def test_a_revoked_invite_is_told_as_such_and_ends(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        token, invite_id = scene.invite()
        viewer = await scene.join(token)
        scene.revoke(invite_id)
        await expect(viewer.at("#join-why")).to_have_text("This link was revoked; ask for a new one.")
        await expect(viewer.at("#workspace")).to_be_hidden()
        assert await viewer.page.evaluate("Object.keys(sessionStorage).filter((key) => key !== 'myagent label')") == []


async def test_an_expired_invite_is_told_as_such(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        viewer = await scene.join(scene.invite(lifetime=3600.0)[0])
        scene.later(3601.0)
        await expect(viewer.at("#join-why")).to_have_text("This link has expired; ask for a new one.")


OWN = "sessionStorage.getItem(`myagent ${location.pathname}`)"


async def test_an_invite_for_one_use_outlives_reloads_and_a_restart(tmp_path: Path) -> None:
    settings = {"allowed_hosts": ("127.0.0.1",)}
    async with stage(tmp_path, **settings) as scene, Proxy(scene.server.port) as proxy:
        made = scene.server.invite(uses=1)
        viewer = await scene.join(made.token, port=proxy.port)
        own = await viewer.page.evaluate(OWN)
        assert own.startswith("myagent_dev_")
        assert made.token not in await viewer.page.evaluate("location.href + JSON.stringify({...sessionStorage})")
        for _ in range(2):
            await viewer.page.reload()
            await expect(viewer.at("#connection")).to_have_attribute("data-link", "live")
        await scene.server.close()
        async with serving(tmp_path, **settings) as again:
            proxy.target = again.server.port
            await expect(viewer.at("#connection")).to_have_attribute("data-state", "waiting")
            await expect(viewer.at("#connection")).to_have_attribute("data-link", "live")
            await viewer.page.reload()
            await expect(viewer.at("#connection")).to_have_attribute("data-link", "live")
            assert await viewer.page.evaluate(OWN) == own
            late = await scene.open()
            await late.page.goto(scene.link(made.token, port=proxy.port))
            await expect(late.at("#join-why")).to_contain_text("This link is not valid")


async def test_a_browser_that_keeps_nothing_joins_all_the_same(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        viewer = await scene.open()
        await viewer.page.add_init_script(
            "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no'); } })"
        )
        await viewer.join(scene.link(scene.server.invite(uses=1).token))
        await expect(viewer.at("#connection")).to_have_attribute("data-link", "live")


async def test_the_slot_moves_between_two_pages(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        first, second = await scene.join(), await scene.join()
        watcher = await scene.join(scene.invite(label="guest")[0])
        await expect(second.at("#ownership")).not_to_have_text("you own")
        await first.at("#people").click()
        await expect(first.at("#people-list li")).to_have_count(2)
        await expect(first.at("#people-list button")).to_have_count(1)  # an invite can never own
        await first.at("#people-list button").click()
        await expect(second.at("#ownership")).to_have_text("you own")
        await expect(first.at("#ownership")).not_to_have_text("you own")
        await expect(first.at("#prompt-form")).to_be_hidden()
        await second.at("#release").click()
        for viewer in (first, second, watcher):
            await expect(viewer.at("#ownership")).to_have_text("nobody owns")
        await expect(watcher.at("#claim")).to_be_hidden()
        await first.at("#claim").click()
        await expect(first.at("#ownership")).to_have_text("you own")
        await first.prompt("help")
        await expect(watcher.at(".item.message")).to_contain_text("command mode")


async def test_ownership_taken_elsewhere_leaves_a_follower(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        token = await owner.page.evaluate("window.page.connection.reclaimToken")
        thief = await scene.scene.join(headers={"X-Myagent-Reclaim": token})
        assert thief.role == "owner"
        await expect(owner.at("#connection")).to_have_attribute("data-link", "live")
        await expect(owner.at("#release")).to_be_hidden()
        assert await owner.page.evaluate("window.page.workspace.role") == "follower"


# --- long sessions ----------------------------------------------------------------------------------------------------


async def test_a_hundred_thousand_events_open_at_the_end_in_bounded_memory(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.scene.join()
        await owner.send("user_message", prompt="go")
        play = await puppet.begun()
        chunk = {"sessionUpdate": "agent_message_chunk"}
        for number in range(100_000):
            await play.io.stdout(f"line {number}\n\n", update={**chunk, "messageId": f"m{number // 10}"})
        play.end()
        await asyncio.wait_for(owner.until("terminal_state"), 60)
        viewer = await scene.join(scene.invite()[0])
        await expect(viewer.at(".item.end")).to_be_visible()
        await until_shown(viewer, head_of(scene))
        assert len(await viewer.seqs()) == 1000
        await viewer.at("#stream").focus()
        for _ in range(12):  # back through more than is kept
            first = (await viewer.seqs())[0]
            await viewer.page.evaluate("page.view._stream.scrollTop = 0")
            await viewer.until(f"page.view.window.events[0].seq < {first} && page.view._frame === null")
        seqs = await viewer.seqs()
        assert len(seqs) <= 6000
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
        assert seqs[-1] < head_of(scene)  # what is far from where one reads was let go
        assert await viewer.at(".item").count() < 2000
        await viewer.at("#latest").click()
        await expect(viewer.at(".item.end")).to_be_in_viewport()
        await viewer.at("#search-text").fill("line 91234")
        await viewer.page.keyboard.press("Enter")
        await expect(viewer.at(".item.found")).to_contain_text("line 91234")
        await expect(viewer.at(".item.found")).to_be_in_viewport()


async def test_what_is_read_stays_in_its_place_when_the_rest_of_a_message_comes(tmp_path: Path) -> None:
    """A message of which the first part was not loaded is drawn anew: that must not move what somebody reads, or the
    page would go on fetching up to the beginning."""
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.scene.join()
        await owner.send("user_message", prompt="go")
        play = await puppet.begun()
        for number in range(5000):
            update = {"sessionUpdate": "agent_message_chunk", "messageId": f"m{number // 10}"}
            await play.io.stdout(f"line {number}\n\n", update=update)
        play.end()
        await owner.until("terminal_state")
        viewer = await scene.join(scene.invite()[0])
        await until_shown(viewer, head_of(scene))
        assert (await viewer.seqs())[0] == 4003  # line 4001: its message begins with line 4000
        await viewer.page.evaluate("page.view.stick = false; page.view._stream.scrollTop = 0")
        await viewer.until("page.view.window.events[0].seq < 4003 && page.view._frame === null")
        assert await viewer.page.evaluate("[page.view._stream.scrollTop > 800, page.view._fetching]") == [True, False]
        assert (await viewer.seqs())[0] == 3003
        await viewer.at("#search-text").fill("line 2005")
        await viewer.page.keyboard.press("Enter")
        found = viewer.at(".item.found")
        await expect(found).to_contain_text("line 2000")  # the whole message
        await viewer.until("!page.view._fetching && page.view._frame === null")
        await expect(found).to_be_in_viewport()
        assert (await viewer.seqs())[0] == 1003


# --- shapes -----------------------------------------------------------------------------------------------------------


async def test_nothing_is_wider_than_a_phone(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join(viewport=PHONE, has_touch=True, is_mobile=True)
        await owner.prompt("!echo " + "x" * 500)
        await expect(owner.at("#permission")).to_be_visible()
        for state in ("dialog", "stream"):
            if state == "stream":
                await owner.answer("Allow")
                await expect(owner.at(".item.end")).to_be_visible()
            wide = await owner.page.evaluate("[document.documentElement.scrollWidth, page.view._stream.scrollWidth]")
            assert max(wide) <= PHONE["width"], state
            box = await owner.at("#permission" if state == "dialog" else "#send").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE["width"]
            assert box["y"] + box["height"] <= PHONE["height"]
        await owner.at("#menu").click()
        await expect(owner.at("#session-list button")).to_be_in_viewport()


async def test_dark_and_light_follow_the_system(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        grounds = []
        for scheme in ("light", "dark"):
            viewer = await scene.join(color_scheme=scheme)
            grounds.append(await viewer.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        light, dark = (sum(map(int, re.findall(r"\d+", ground)[:3])) for ground in grounds)
        assert light > 600 > 150 > dark


async def test_a_page_works_under_a_prefix(tmp_path: Path) -> None:
    async with stage(tmp_path, base_path="/team/agent") as scene:
        owner = await scene.join(path="/team/agent/")
        await owner.prompt("help")
        await expect(owner.at(".item.message")).to_contain_text("command mode")
        bare = await scene.open()
        await bare.page.goto(f"http://127.0.0.1:{scene.server.port}/team/agent")
        assert bare.page.url.endswith("/team/agent/")
        await expect(bare.at("#join")).to_be_visible()
