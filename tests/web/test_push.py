"""Calls to a device, in real Chromium: the button, the worker, what it shows and what it sends back.

A browser here reaches no push service, so that only its `subscribe` is played; what comes is given to the worker by the
browser's own test interface (`ServiceWorker.deliverPushMessage`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from browser import CHROMIUM, PATIENCE, QUIET, Stage, expect, stage
from playwright.async_api import BrowserContext, Page, async_playwright
from puppet import Puppet
from tests.push.fake import Browser, push_service

SUBSCRIBES = """(given) => {
  let made = null;
  PushManager.prototype.subscribe = async function (options) {
    window.__options = { visible: options.userVisibleOnly, key: Array.from(options.applicationServerKey) };
    made = { toJSON: () => given, unsubscribe: async () => { made = null; return true; } };
    return made;
  };
  PushManager.prototype.getSubscription = async () => made;
}"""


COUNT = """() => {
  const real = ServiceWorkerRegistration.prototype.showNotification;
  self.__waiting = [];
  self.__shown = 0;
  ServiceWorkerRegistration.prototype.showNotification = async function (...given) {
    await real.apply(this, given);
    self.__shown += 1;
    self.__waiting.splice(0).forEach((tell) => tell());
  };
}"""
NEXT = """async () => {
  if (self.__shown === 0) await new Promise((tell) => self.__waiting.push(tell));
  self.__shown -= 1;
  return (await self.registration.getNotifications()).map(({ title, body, tag, data, silent, actions }) => ({
    title, body, tag, data, silent, actions: actions.map(({ action }) => action) }));
}"""
PRESS = """async (action) => {
  const [notification] = await self.registration.getNotifications();
  self.dispatchEvent(new NotificationEvent("notificationclick", { notification, action }));
}"""


class Device:
    """A browser with a profile of its own, paired."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context, self.page = context, page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)

    async def arm(self) -> None:
        """Have the worker there, and count what it has shown. Nobody may look for notifications before they are: the
        browser forgets one that it finds in its books and not on the screen."""
        await self.page.evaluate("new Promise((done) => window.page.push.use((part) => done(part.register())))")
        [self.worker] = self.context.service_workers
        await self.worker.evaluate(COUNT)
        session = self.protocol = await self.context.new_cdp_session(self.page)
        registered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def seen(told: Any) -> None:
            for each in told["registrations"]:
                if not registered.done():
                    registered.set_result(each["registrationId"])

        session.on("ServiceWorker.workerRegistrationUpdated", seen)
        await session.send("ServiceWorker.enable")
        self.registration = await asyncio.wait_for(registered, PATIENCE)

    async def deliver(self, data: str) -> dict[str, Any]:
        """Give the worker a push; the one notification that there is then."""
        origin = await self.page.evaluate("location.origin")
        what = {"origin": origin, "registrationId": self.registration, "data": data}
        await self.protocol.send("ServiceWorker.deliverPushMessage", what)
        return await self.shown()

    async def shown(self) -> dict[str, Any]:
        """The one notification that there is, once one more was shown."""
        [found] = await asyncio.wait_for(self.worker.evaluate(NEXT), PATIENCE)
        return dict(found)

    async def press(self, action: str) -> None:
        """Play a press within the worker: the debug protocol has no way to press a notification's button."""
        await self.worker.evaluate(PRESS, action)


@asynccontextmanager
async def device(scene: Stage, profile: Path, link: str) -> AsyncIterator[Device]:
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=QUIET, permissions=["notifications"]
        )
        context.set_default_timeout(PATIENCE * 1000)
        page = context.pages[0]
        made = Device(context, page)
        await page.goto(link)
        await page.locator("#pair-name").fill("phone")
        await page.locator("#pair-form button").click()
        await expect(page.locator("#connection")).to_have_text("live")
        yield made
        assert made.complaints == []
        await context.close()


async def test_a_paired_device_is_called_and_answers_from_its_notification(tmp_path: Path) -> None:
    puppet, browser = Puppet(), Browser()
    here = tmp_path / "here"
    here.mkdir()
    async with push_service() as service, stage(here, puppet, notify_after=0.0, notify_details=True) as scene:
        screen = scene.server.lock_screen
        screen.door, screen.anywhere = service.door(), True
        async with device(scene, tmp_path / "profile", scene.server.pair("approve").link) as phone:
            keys = browser.subscription(service.endpoint("phone"))
            given = {"endpoint": keys["endpoint"], "keys": {"p256dh": keys["p256dh"], "auth": keys["auth"]}}
            await phone.page.evaluate(SUBSCRIBES, given)
            button = phone.page.locator("#push")
            await expect(button).to_have_text("Notify this device")
            await button.click()
            await expect(button).to_have_text("Notifications on")
            options = await phone.page.evaluate("window.__options")
            assert (options["visible"], len(options["key"]), options["key"][0]) == (True, 65, 4)
            desk = await scene.join()
            await desk.prompt("go")
            play = await puppet.begun()
            answer = play.ask("make test")
            call = await service.call(browser)

            await phone.arm()
            note = await phone.deliver(json.dumps(call))
            assert (note["title"], note["tag"]) == ("Permission asked", call["tag"])
            assert note["body"].startswith("bash: make test")
            assert note["actions"][:2] == ["deny", "allow"]
            await phone.press("allow")
            assert (await asyncio.wait_for(answer, PATIENCE)).kind == "allow"
            await expect(desk.at(".item.question .status")).to_contain_text("allowed by phone")

            second = play.ask("make again")
            note = await phone.deliver(json.dumps(await service.call(browser)))
            assert note["actions"][:2] == ["deny", "allow"]
            await desk.answer("Deny")
            assert (await asyncio.wait_for(second, PATIENCE)).kind == "deny"
            note = await phone.deliver(json.dumps(await service.call(browser)))
            assert (note["title"], note["actions"], note["data"]["answers"]) == ("No longer asked: deny", [], {})
            assert note["silent"] is True

            await button.click()
            await expect(button).to_have_text("Notify this device")
            assert scene.server.access.push.all() == []
            play.end()


async def test_a_push_that_makes_no_sense_is_told_and_can_only_be_opened(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    async with stage(here) as scene, device(scene, tmp_path / "profile", scene.server.pair("drive").link) as phone:
        await phone.arm()
        for data in ("", "not JSON", "[]", "null", '{"title":1}', '{"answers":{"allow":"x"}}'):
            note = await phone.deliver(data)
            assert (note["title"], note["data"]["answers"]) == ("myagent calls", {})
            assert set(note["actions"]) <= {"open"}


async def test_what_did_not_count_is_said(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    async with stage(here) as scene, device(scene, tmp_path / "profile", scene.server.pair("approve").link) as phone:
        await phone.arm()
        ticket = "myagent_tkt_" + "x" * 43
        await phone.deliver(json.dumps({"title": "t", "body": "b", "tag": "g", "answers": {"deny": ticket}}))
        await phone.press("deny")
        assert (await phone.shown())["title"] == "Not answered"
        phone.complaints = [each for each in phone.complaints if "401" not in each]  # the browser tells of it too


async def test_the_page_can_be_installed_and_its_worker_keeps_nothing(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    async with stage(here) as scene, device(scene, tmp_path / "profile", scene.server.pair("approve").link) as phone:
        await phone.arm()
        session = await phone.context.new_cdp_session(phone.page)
        told = await session.send("Page.getAppManifest")
        assert (told["errors"], json.loads(told["data"])["display"]) == ([], "standalone")
        errors = await session.send("Page.getInstallabilityErrors")
        assert errors["installabilityErrors"] == []
        await phone.page.reload()
        await expect(phone.page.locator("#connection")).to_have_text("live")
        kept = await phone.page.evaluate("(async () => [await caches.keys(), await indexedDB.databases()])()")
        assert kept == [[], []]


async def test_no_other_script_can_be_a_worker(tmp_path: Path) -> None:
    """The negative control of the policy: what it names is ours, whatever it is asked for, and there is no second."""
    async with stage(tmp_path) as scene:
        viewer = await scene.join()
        tried = """async () => {
          const said = [];
          for (const attempt of [
            () => navigator.serviceWorker.register("app.js"),
            async () => trustedTypes.createPolicy("worker", { createScriptURL: (url) => url }),
            async () => trustedTypes.createPolicy("another", { createScriptURL: (url) => url }),
            async () => new Worker("worker.js"),
          ]) await attempt().then(() => said.push("went"), (error) => said.push(error.name));
          return said;
        }"""
        assert await viewer.page.evaluate(tried) == ["TypeError"] * 4
        scene.viewers.remove(viewer)  # the browser complains of each of these


async def test_who_may_not_be_called_is_not_offered_it_nor_is_the_owner_token(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        for may, offered in (("watch", False), ("stop", False), ("approve", True)):
            guest = await scene.join(scene.server.invite(may=may).token)  # type: ignore[arg-type]
            await expect(guest.at("#connection")).to_have_text("live")
            await guest.until("window.page.search.part !== undefined")  # what comes later is there
            await expect(guest.at("#push")).to_be_visible(visible=offered)
        desk = await scene.join()
        await desk.until("window.page.push.part !== undefined")
        await expect(desk.at("#ownership")).to_have_text("you own")
        await expect(desk.at("#push")).to_be_hidden()  # only an enrolled device is called


async def test_a_browser_that_was_told_not_to_notify_says_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        link = scene.link(scene.server.invite(may="approve", uses=2).token)
        viewer = await scene.open()
        await viewer.page.add_init_script(
            "Object.defineProperty(Notification, 'permission', {get: () => 'denied', configurable: true})"
        )
        await viewer.join(link)
        await expect(viewer.at("#push")).to_have_text("Notifications blocked")
        await expect(viewer.at("#push")).to_be_disabled()
        plain = await scene.open()
        await plain.page.add_init_script("delete window.PushManager")
        await plain.join(link)
        await expect(plain.at("#push")).to_have_text("No notifications here")
        await expect(plain.at("#push")).to_be_disabled()
