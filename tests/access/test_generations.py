"""A credential is good or not when its effect happens: what was let in under an old owner token does nothing under a
new one, however close the two are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import bearer, get, knock
from puppet import Puppet
from raw import Answer
from wire import Scene, scene

from myagent.access.credentials import OWNER, Authenticator, Credential
from myagent.access.registry import RotateToken
from myagent.access.tickets import Tickets
from myagent.server.admission import Admission, Call
from myagent.server.connection import Connection


def forgetful(self: Authenticator, credential: Credential) -> bool:
    """The fault: an owner's credential is good for ever."""
    return credential.credential_id == OWNER or self._invites.is_live(credential.credential_id)


def rotate(here: Scene) -> None:
    here.server._access.answer(RotateToken())


def rotate_behind(here: Scene, patch: pytest.MonkeyPatch) -> None:
    """Change the owner token right behind the judgement of the next request, before anything else is done with it."""
    judge: Callable[..., Call] = Admission.judge

    def and_then(self: Admission, *arguments: object, **more: object) -> Call:
        call = judge(self, *arguments, **more)
        patch.setattr(Admission, "judge", judge)
        asyncio.get_running_loop().call_soon(rotate, here)
        return call

    patch.setattr(Admission, "judge", and_then)


async def enter(here: Scene, ticket: str) -> Answer:
    origin = f"http://127.0.0.1:{here.server.port}"
    protocols = f"myagent.v1, ticket.{ticket}"
    return await knock(here.server, drop=("Authorization",), Origin=origin, Sec_WebSocket_Protocol=protocols)


async def test_a_ticket_asked_for_with_the_old_token_is_not_one_of_the_new_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path) as here:
        old = bearer(here.server.token)
        rotate_behind(here, monkeypatch)
        assert (await get(here, "/ticket", old)).status == 401
        assert bearer(here.server.token) != old, "it was changed between the two"
        assert not here.server._tickets._waiting


async def test_without_generations_it_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: who had the old token owns under the new one."""
    monkeypatch.setattr(Authenticator, "still_good", forgetful)
    async with scene(tmp_path) as here:
        old = bearer(here.server.token)
        rotate_behind(here, monkeypatch)
        answer = await get(here, "/ticket", old)
        assert answer.status == 200
        assert (await enter(here, json.loads(answer.body)["ticket"])).status == 101


@pytest.mark.parametrize("good", [False, True], ids=["generations", "control"])
async def test_a_ticket_that_was_not_forgotten_dies_with_its_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    monkeypatch.setattr(Tickets, "forget", lambda self, credential_id: None)
    if good:
        monkeypatch.setattr(Authenticator, "still_good", forgetful)
    async with scene(tmp_path) as here:
        ticket = json.loads((await get(here, "/ticket", bearer(here.server.token))).body)["ticket"]
        rotate(here)
        assert (await enter(here, ticket)).status == (101 if good else 401)


@pytest.mark.parametrize("good", [False, True], ids=["generations", "control"])
async def test_a_prompt_that_waits_while_the_token_is_changed_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    if good:
        monkeypatch.setattr(Connection, "still_good", lambda self: True)
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        old = await here.join()
        store = here.server.host.store
        async with store.lock:  # as another step that is being stored
            await old.send("user_message", prompt="after the end")
            await old.settle()
            rotate(here)
        assert await old.closed() == 4401
        if good:  # it runs, for nobody who may be here
            (await agent.begun()).end()
            return
        new = await here.join()
        await new.acked(await new.send("user_message", prompt="mine"))
        (await agent.begun()).end()
        assert (await new.until("prompt"))["prompt"] == "mine"
        assert len(here.server.host.sessions) == 1
