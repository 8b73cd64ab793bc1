"""Calling somebody who does not look: notifications while the page is hidden, and the number in its title always."""

from __future__ import annotations

import asyncio
from pathlib import Path

from browser import PATIENCE, Stage, Viewer, expect, stage
from puppet import Puppet

# The browser's own notifications are made, and written down. A headless browser has no other window to put in front of
# a page, so that it says itself whether it is hidden.
RECORD = """
window.__notes = [];
window.__asked = 0;
const Real = window.Notification;
window.Notification = class extends Real {
  constructor(title, options) {
    super(title, options);
    const note = {title, body: options.body, state: "made"};
    window.__notes.push(note);
    this.addEventListener("show", () => (note.state = note.state === "made" ? "shown" : note.state));
    this.addEventListener("close", () => (note.state = "closed"));
  }
  static requestPermission() {
    window.__asked += 1;
    window.__gesture = navigator.userActivation.isActive;
    return Real.requestPermission();
  }
};
"""
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def watcher(scene: Stage, token: str | None = None, *, may: bool = True) -> Viewer:
    viewer = await scene.open(permissions=["notifications"] if may else [])
    await viewer.page.add_init_script(RECORD)
    await viewer.join(scene.link(token))
    return viewer


async def hide(viewer: Viewer, hidden: bool = True) -> None:
    await viewer.page.evaluate(HIDE, hidden)


async def notes(viewer: Viewer) -> list[dict[str, str]]:
    found: list[dict[str, str]] = await viewer.page.evaluate("window.__notes")
    return found


async def test_a_request_notifies_whoever_does_not_look_until_it_is_answered(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner, looking = await watcher(scene), await watcher(scene, scene.invite()[0])
        await owner.prompt("go")
        play = await puppet.begun()
        await hide(owner)
        answer = play.ask("touch a", title="Make a file")
        await owner.until("window.__notes.length === 1 && window.__notes[0].state === 'shown'")
        assert await notes(owner) == [{"title": "Permission asked", "body": "Make a file", "state": "shown"}]
        for viewer in (owner, looking):
            await expect(viewer.page).to_have_title("(1) go")
        await expect(looking.at("#waiting .request")).to_be_visible()
        assert await notes(looking) == []
        await owner.answer("Allow")
        await asyncio.wait_for(answer, PATIENCE)
        await owner.until("window.__notes[0].state === 'closed'")
        for viewer in (owner, looking):
            await expect(viewer.page).to_have_title("go")
        assert (len(await notes(owner)), await notes(looking)) == (1, [])
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


async def test_a_page_that_is_looked_at_needs_no_notification(tmp_path: Path) -> None:
    """The control of the test above, and its way back: looking closes what was shown, and seen requests stay quiet."""
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await watcher(scene)
        await owner.prompt("go")
        play = await puppet.begun()
        first = play.ask("touch a", title="First")
        await expect(owner.at("#permission")).to_be_visible()
        await expect(owner.page).to_have_title("(1) go")
        await hide(owner)  # it was seen: leaving the page is no news
        second = play.ask("touch b", title="Second")
        await owner.until("window.__notes.length > 0 && window.__notes[0].state === 'shown'")
        assert [note["body"] for note in await notes(owner)] == ["Second"]
        await hide(owner, False)
        await owner.until("window.__notes[0].state === 'closed'")
        await owner.page.evaluate("page.connection._closed({retry: true, say: 'a test'}); page.connection.hurry()")
        await owner.until("page.connection.ready && page.workspace.waiting.size === 2")
        await owner.page.evaluate("page.draw()")
        assert len(await notes(owner)) == 1
        for answer in (first, second):
            await owner.answer("Deny")
            await asyncio.wait_for(answer, PATIENCE)
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


async def test_a_request_that_was_answered_while_the_network_was_away_is_taken_back(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner, follower = await scene.join(), await watcher(scene, scene.invite()[0])
        await owner.prompt("go")
        play = await puppet.begun()
        await hide(follower)
        answer = play.ask("touch a", title="Make a file")
        await follower.until("window.__notes.length === 1 && window.__notes[0].state === 'shown'")
        await follower.page.evaluate("page.connection._closed({retry: true, later: true, say: 'a test'})")
        await owner.answer("Allow")
        await asyncio.wait_for(answer, PATIENCE)
        [note] = await notes(follower)
        assert note == {"title": "The owner is asked for permission", "body": "Make a file", "state": "shown"}
        await follower.page.evaluate("page.connection.hurry()")
        await follower.until("window.__notes[0].state === 'closed'")
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()


async def test_the_browser_is_asked_on_a_press_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        viewer = await watcher(scene, may=False)
        await viewer.page.evaluate(
            "void Object.defineProperty(Notification, 'permission', {get: () => window.__asked ? 'denied' : 'default'})"
        )
        await viewer.page.evaluate("page.draw()")
        await viewer.prompt("!true")
        await hide(viewer)
        await expect(viewer.at("#permission")).to_be_visible()
        assert await viewer.page.evaluate("[window.__asked, window.__notes.length]") == [0, 0]
        await hide(viewer, False)
        await viewer.answer("Deny")
        await viewer.at("#notify").click()
        await viewer.until("window.__asked === 1")
        assert await viewer.page.evaluate("window.__gesture")
        await expect(viewer.at("#notify")).to_be_hidden()
        await expect(viewer.at(".item.end")).to_be_visible()
