"""What the first look does not need comes in a second script: when it is wanted, once, also behind a prefix."""

from __future__ import annotations

import re
from pathlib import Path

from browser import Viewer, expect, stage

LATER = re.compile(r"/later\.[0-9a-f]{16}\.js(?:\?again=1)?$")
BUSY = "window.requestIdleCallback = () => {};"  # nothing is loaded because there is time


def scripts(viewer: Viewer) -> list[str]:
    """The addresses of the second script that the page asks for from now on."""
    found: list[str] = []
    viewer.page.on("request", lambda request: found.append(request.url) if LATER.search(request.url) else None)
    return found


async def test_it_is_asked_for_once_and_only_when_it_is_wanted(tmp_path: Path) -> None:
    async with stage(tmp_path, base_path="/team/agent") as scene:
        owner = await scene.open()
        await owner.page.add_init_script(BUSY)
        asked = scripts(owner)
        await owner.join(scene.link(path="/team/agent/"))
        await owner.prompt("help")
        await expect(owner.at("#stream")).to_contain_text("turn ended")
        assert asked == []
        for button, dialog in (("#rules", "#rules-dialog"), ("#keep", "#keeping"), ("#help", "#help-dialog")):
            await owner.at(button).click()
            await expect(owner.at(dialog)).to_be_visible()
            await owner.page.keyboard.press("Escape")
            await expect(owner.at(dialog)).to_be_hidden()
        assert len(asked) == 1
        assert "/team/agent/later." in asked[0]


async def test_it_comes_by_itself_when_there_is_time(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.open()
        async with owner.page.expect_request(LATER):
            await owner.join(scene.link())
        await owner.until("page.search.part !== undefined")


async def test_what_could_not_be_fetched_is_said_and_asked_for_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.open()
        await owner.page.add_init_script(BUSY)
        asked = scripts(owner)
        await owner.page.route(re.compile(r"/later\.[0-9a-f]+\.js$"), lambda route: route.abort("connectionfailed"))
        await owner.join(scene.link())
        await owner.at("#help").click()
        await expect(owner.at("#ownership-note")).to_contain_text("could not be loaded")
        await owner.at("#help").click()
        await expect(owner.at("#help-dialog")).to_be_visible()
        await expect(owner.at("#ownership-note")).to_be_hidden()
        assert [url.partition("?")[2] for url in asked] == ["", "again=1"]


async def test_colours_come_after_the_text_and_move_nothing(tmp_path: Path) -> None:
    """Code is there at once; what gives it colours may be late."""
    async with stage(tmp_path) as scene:
        viewer = await scene.open()
        await viewer.page.add_init_script(BUSY)
        await viewer.join(scene.link())
        await viewer.page.evaluate("""async () => {
            const [first] = document.querySelectorAll('script[src]');
            const { MarkdownView } = await import(new URL('views/markdown.js', first.src));
            const node = document.querySelector('#stream').appendChild(document.createElement('div'));
            node.className = 'prose';
            const view = new MarkdownView(node);
            view.update('```python\\nfor x in y: # why\\n```\\n');
            window.looks = () => [node.textContent, node.getBoundingClientRect().height];
            window.before = [...window.looks(), node.querySelectorAll('pre span').length];
        }""")
        await expect(viewer.at("#stream pre .keyword")).to_have_text(["for", "in"])
        before, after = await viewer.page.evaluate("[window.before, window.looks()]")
        assert before == [*after, 0]
