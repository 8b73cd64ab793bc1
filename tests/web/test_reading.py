"""Reading a session in a real browser: output as a terminal shows it, staying at the end, finding every place."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from browser import PATIENCE, Viewer, expect, stage
from puppet import Puppet

from myagent.core.messages import Diff
from myagent.text.wording import diff_lines

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


async def at_the_end(viewer: Viewer) -> bool:
    """Whether the newest line is in sight, once everything that was to be drawn is."""
    await viewer.until("page.view._frame === null")
    await viewer.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    followed: bool = await viewer.page.evaluate("page.view.stick && page.view._follow.fromEnd < 2")
    return followed


async def test_a_progress_bar_is_one_line_while_it_runs_and_afterwards(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.page.evaluate(
            "page.ask({type: 'user_message', prompt: 'safe\\rrm -rf'}, () => {}, () => {}) && null"
        )
        play = await puppet.begun()
        await play.io.stdout(f"{FAMILY} begin\r\n")
        text = owner.at(".item.output .text")
        for percent in (10, 50, 100):
            await play.io.stdout(f"\rprogress {percent}%\x1b[")
            await play.io.stdout("0m")
            await expect(text).to_have_text(f"{FAMILY} begin\nprogress {percent}%", use_inner_text=True)
            await play.io.stderr(f"warning {percent}\n")
        await play.io.stdout("\nab\bc\n")
        lines = [f"{FAMILY} begin\nprogress 100%", "ac"]
        await expect(text).to_have_text(lines, use_inner_text=True)
        await owner.at("#raw").click()
        await expect(text.first).to_contain_text("\\u{d}progress 10%\\u{1b}[0m\\u{d}progress 50%")
        await owner.at("#raw").click()
        await expect(text).to_have_text(lines, use_inner_text=True)
        await expect(owner.at(".item.prompt .text")).to_have_text("safe\\u{d}rm -rf")  # a prompt obeys nothing
        play.end()
        late = await scene.join(scene.invite()[0])
        await expect(late.at(".item.output .text")).to_have_text(lines, use_inner_text=True)


async def test_long_output_is_cut_between_lines_only_and_all_of_it_is_found(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("!seq 1 12000 | sed 's/$/ the quick brown fox jumps over the lazy dog/'")
        await owner.answer("Allow")
        await expect(owner.at(".item.end")).to_be_visible()
        text = await owner.page.evaluate(
            "[...document.querySelectorAll('.item.output .text')].map((node) => node.textContent).join('')"
        )
        assert text == "".join(f"{n} the quick brown fox jumps over the lazy dog\n" for n in range(1, 12001))
        pieces = await owner.page.evaluate(
            "[...document.querySelectorAll('.item.output .text')].map((node) => node.textContent.slice(-1))"
        )
        assert len(pieces) > 5
        assert set(pieces) == {"\n"}
        await owner.at("#search-text").fill("7714 THE quick")
        await owner.page.keyboard.press("Enter")
        await expect(owner.at("#search-result")).to_have_text("1 of 1")
        assert await in_sight(owner) == "7714 the quick"


async def in_sight(viewer: Viewer) -> str:
    """The place that is marked as the one looked at, if it is on the screen."""
    seen: str = await viewer.page.evaluate(
        """() => { const [range] = CSS.highlights.get("current"); const place = range.getBoundingClientRect();
        const stream = document.getElementById("stream").getBoundingClientRect();
        const shown = place.top >= stream.top && place.bottom <= stream.bottom && place.height > 0;
        return shown ? range.toString() : ""; }"""
    )
    return seen


async def test_a_search_goes_to_every_place_and_says_which(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        lines = [
            f"line {n}{' needle' * (2 if n == 900 else 1)}" if n % 300 == 0 else f"line {n}" for n in range(1, 1201)
        ]
        await play.io.stdout("\n".join(lines) + "\n")  # one item, far higher than the screen
        call = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "look", "status": "completed"}
        content = [
            {"type": "content", "content": {"type": "text", "text": "deep\n" * 200 + "NEEDLE\n" + "deep\n" * 200}}
        ]
        await play.io.stderr("", update={**call, "content": content})
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()
        await owner.at("#search-text").fill("needle")
        await expect(owner.at("#search-result")).to_have_text("6 found")
        assert await owner.page.evaluate("CSS.highlights.get('found').size") == 6
        for number in (6, 5, 4, 3, 2, 1):
            await owner.page.keyboard.press("Enter")
            await expect(owner.at("#search-result")).to_have_text(f"{number} of 6")
            assert (await in_sight(owner)).lower() == "needle"
        await owner.page.keyboard.press("Enter")
        await expect(owner.at("#search-result")).to_have_text("no earlier one")
        for number in (2, 3):
            await owner.at("#search-later").click()
            await expect(owner.at("#search-result")).to_have_text(f"{number} of 6")
            assert await in_sight(owner) == "needle"


# --- Markdown ---------------------------------------------------------------------------------------------------------

SAID = """# Plan

First **bold** with `code`, [a guide](https://docs.example.org/a) and [mine](javascript:alert(1)).

- one
- [x] done

| a | b |
|---|--:|
| 1 | 2 |

```py
def f():
    return "<b>"
```

[later]

[later]: https://example.org/later
"""


async def test_markdown_is_drawn_as_it_arrives_and_what_is_done_stays(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        said = {"sessionUpdate": "agent_message_chunk", "messageId": "m"}
        prose = owner.at(".item.message .prose")
        begin = SAID.index("- one")
        await play.io.stdout(SAID[:begin], update=said)
        await expect(prose.locator("p")).to_contain_text("First bold")
        await owner.page.evaluate("window.first = document.querySelector('.prose p')")
        code = SAID.index("def f")
        for at in range(begin, code, 3):
            await play.io.stdout(SAID[at : min(at + 3, code)], update=said)
        await expect(prose.locator(".code .code-head")).to_contain_text("py")
        await owner.page.evaluate("window.code = document.querySelector('.prose .code pre')")
        for at in range(code, len(SAID), 3):
            await play.io.stdout(SAID[at : at + 3], update=said)
        await expect(prose.get_by_role("link", name="later")).to_have_attribute("href", "https://example.org/later")
        assert await owner.page.evaluate("first.isConnected && code.isConnected")
        await expect(prose.locator(".heading")).to_have_text("Plan")
        await expect(prose.locator("strong")).to_have_text("bold")
        await expect(prose.locator("li")).to_have_text(["one", "☑done"])
        await expect(prose.locator("th, td")).to_have_text(["a", "b", "1", "2"])
        assert await prose.locator(".code pre").text_content() == 'def f():\n    return "<b>"'
        await expect(prose.locator("p").first).to_have_text(
            "First bold with code, a guide (docs.example.org) and mine (javascript:alert(1))."
        )
        assert await prose.locator("a").count() == 2
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


# --- following --------------------------------------------------------------------------------------------------------


async def test_only_a_persons_own_scrolling_stops_following(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        watcher = await scene.join(scene.invite()[0], viewport={"width": 900, "height": 700})
        await owner.prompt("go")
        play = await puppet.begun()
        await play.say("".join(f"line {n}\n" for n in range(300)))
        await expect(watcher.at(".item.output")).to_contain_text("line 299")
        assert await at_the_end(watcher)
        change = Diff("a.py", "".join(f"{n}\n" for n in range(80)), "".join(f"{n}!\n" for n in range(80)))
        answer = play.ask("\n".join(diff_lines(change)), diffs=(change,))  # the band takes a part of the height
        await expect(watcher.at("#waiting")).to_be_visible()
        assert await at_the_end(watcher)
        for size in ((900, 400), (390, 700), (1200, 900), (900, 300), (900, 700)):
            await watcher.page.set_viewport_size({"width": size[0], "height": size[1]})
            assert await at_the_end(watcher), size
        await expect(owner.at("#permission-answers button.deny")).to_be_enabled()
        await owner.answer("Deny")
        await asyncio.wait_for(answer, PATIENCE)
        await expect(watcher.at("#waiting")).to_be_hidden()
        assert await at_the_end(watcher)
        await owner.at("#prompt").fill("\n" * 30)  # the owner's box grows and shrinks
        assert await at_the_end(owner)
        await owner.at("#prompt").fill("")
        assert await at_the_end(owner)
        await play.say("more\n")
        await expect(watcher.at(".item.output").last).to_contain_text("more")
        assert await at_the_end(watcher)
        await watcher.at("#stream").hover()
        await watcher.page.mouse.wheel(0, -600)
        await watcher.until("!page.view.stick")
        await play.say("even more\n")
        await watcher.until("page.view.newer === 0 && page.view._frame === null")
        assert not await at_the_end(watcher)
        await watcher.at("#latest").click()
        assert await at_the_end(watcher)
        await watcher.at("#stream").focus()
        await watcher.page.keyboard.press("PageUp")
        await watcher.until("!page.view.stick")
        play.end()


async def test_a_page_that_takes_resizing_for_scrolling_stops(tmp_path: Path) -> None:
    """The control of the test above."""
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join(viewport={"width": 900, "height": 700})
        await owner.page.evaluate(
            "() => { const follow = page.view._follow; follow.keep = () => {};"
            " follow.scrolled = () => { follow.stick = follow.fromEnd < 40; }; }"
        )
        await owner.prompt("go")
        play = await puppet.begun()
        await play.say("".join(f"line {n}\n" for n in range(300)))
        await expect(owner.at(".item.output")).to_contain_text("line 299")
        await owner.page.set_viewport_size({"width": 900, "height": 300})
        assert not await at_the_end(owner)
        play.end()
        await expect(owner.at(".item.end")).to_be_attached()


async def test_a_time_tells_all_of_it_to_who_points_at_it(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        scene.server.host.log._clock = lambda: 1_790_000_000_000  # 2026-09-21T14:13:20Z
        owner = await scene.join()
        await owner.prompt("go")
        (await puppet.begun()).end()
        for place in (".item.prompt time", ".item.end time"):
            time = owner.at(place)
            await expect(time).to_have_attribute("datetime", "2026-09-21T14:13:20.000Z")
            await expect(time).to_have_attribute("title", re.compile("2026"))
