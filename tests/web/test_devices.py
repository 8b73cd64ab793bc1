"""Devices in a real browser: one is paired and comes back, another takes over, a third approves, others may less."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, PATIENCE, QUIET, Stage, Viewer, expect, stage
from playwright.async_api import async_playwright
from puppet import Puppet

from myagent.access.invites import ENROL_SECONDS


async def test_a_paired_device_comes_back_when_its_browser_was_closed(tmp_path: Path) -> None:
    profile, here = tmp_path / "profile", tmp_path / "here"
    here.mkdir()
    async with stage(here) as scene, async_playwright() as playwright:
        link = scene.server.pair("drive").link
        open_profile = playwright.chromium.launch_persistent_context

        async def browser() -> Any:
            context = await open_profile(profile, executable_path=CHROMIUM, headless=True, args=QUIET)
            context.set_default_timeout(PATIENCE * 1000)
            return context

        context = await browser()
        page = context.pages[0]
        await page.goto(link)
        assert "#" not in page.url
        assert [each for invite in invites(scene) for each in invite["devices"]] == []  # nobody has said yes
        assert await page.evaluate("localStorage.length") == 0
        await page.locator("#pair-name").fill("Anna's phone")
        await page.locator("#pair-form button").click()
        await expect(page.locator("#ownership")).to_have_text("you own")
        await context.close()

        context = await browser()
        page = context.pages[0]
        await page.goto(scene.link().partition("#")[0])
        await expect(page.locator("#ownership")).to_have_text("you own")
        [invite] = invites(scene)
        [device] = invite["devices"]
        assert (device["label"], invite["may"], invite["used"]) == ("Anna's phone", "drive", 1)
        [peer] = scene.server.host.peers.values()
        assert peer.label == "Anna's phone"

        scene.server.revoke(device["id"])
        await expect(page.locator("#join-why")).to_contain_text("revoked")
        await page.reload()
        await expect(page.locator("#join")).to_be_visible()
        kept = await page.evaluate("Object.values(localStorage).join(' ')")
        assert "myagent_" not in kept
        await context.close()


async def test_an_invite_that_pairs_nothing_is_forgotten_with_the_tab(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        guest = await scene.join(scene.invite()[0])
        await expect(guest.at("#connection")).to_have_text("live")
        assert await guest.page.evaluate("localStorage.length") == 0


async def test_a_pairing_link_is_good_once_and_for_five_minutes(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        link = scene.server.pair("approve").link
        first, second, late = await scene.open(), await scene.open(), await scene.open()
        await pair(first, link, "first")
        await expect(first.at("#connection")).to_have_text("live")
        await pair(second, link, "second")
        await expect(second.at("#join-why")).to_contain_text("not valid")
        link = scene.server.pair("approve").link
        scene.later(ENROL_SECONDS + 1)
        await pair(late, link, "late")
        await expect(late.at("#join-why")).to_contain_text("not valid")


async def test_one_takes_over_and_another_approves(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        desk = await scene.join()
        await expect(desk.at("#ownership")).to_have_text("you own")
        phone = await scene.join()  # the same credential
        tablet = await scene.open()
        await pair(tablet, scene.server.pair("approve").link, "tablet")
        await expect(tablet.at("#connection")).to_have_text("live")
        await desk.prompt("go")
        play = await puppet.begun()
        answer = play.ask("make")
        await expect(desk.at("#permission")).to_be_visible()
        await expect(tablet.at("#permission")).to_be_visible()
        await expect(phone.at("#permission")).to_be_hidden()

        await phone.at("#claim").click()
        await expect(phone.at("#permission")).to_be_visible()
        await expect(desk.at("#permission")).to_be_hidden()
        await expect(desk.at("#ownership-note")).to_contain_text("taken over by")
        assert not answer.done()

        await tablet.answer("Allow")
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "allow"
        for viewer in (desk, phone, tablet):
            await expect(viewer.at("#permission")).to_be_hidden()
            await expect(viewer.at(".item.question .status")).to_contain_text("allowed by tablet")
        await expect(tablet.at("#prompt-form")).to_be_hidden()
        await expect(tablet.at("#claim")).to_be_hidden()
        await tablet.at("#stop-turn").click()
        await expect(phone.at("#announcer")).to_contain_text("The turn ended")


async def test_another_credential_asks_and_the_owner_hands_over(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        desk = await scene.join()
        await expect(desk.at("#ownership")).to_have_text("you own")
        berta = await scene.join(scene.server.invite(may="drive", label="Berta").token)
        await berta.at("#claim").click()
        await expect(desk.at("#control-text")).to_contain_text("Berta")
        await expect(berta.at("#ownership-note")).to_contain_text("was asked")
        await expect(desk.at("#ownership")).to_have_text("you own")
        await desk.at("#control-give").click()
        await expect(berta.at("#ownership")).to_have_text("you own")
        await expect(desk.at("#control")).to_be_hidden()


@pytest.mark.parametrize("may", ["watch", "stop", "approve"])
async def test_a_page_offers_what_its_credential_may(tmp_path: Path, may: Any) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        desk = await scene.join()
        guest = await scene.join(scene.server.invite(may=may).token)
        await desk.prompt("go")
        play = await puppet.begun()
        answer = play.ask("make")
        await expect(guest.at("#connection")).to_contain_text("waiting for a human")
        offered = {
            "dialog": await guest.at("#permission").is_visible(),
            "stop": await guest.at("#stop-turn").is_visible(),
            "prompt": await guest.at("#prompt-form").is_visible(),
            "claim": await guest.at("#claim").is_visible(),
        }
        expected = {"dialog": may == "approve", "stop": may != "watch", "prompt": False, "claim": False}
        assert offered == expected
        await desk.answer("Deny")
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "deny"
        play.end()


def invites(scene: Stage) -> list[dict[str, Any]]:
    access = scene.server._access
    return [access._describe(invite) for invite in access.invites.live()]


async def pair(viewer: Viewer, link: str, name: str) -> None:
    await viewer.page.goto(link)
    await viewer.at("#pair-name").fill(name)
    await viewer.at("#pair-form button").click()
