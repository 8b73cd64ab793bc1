"""An invite is exchanged for a device's own credential, once for each, which outlives what the invite's uses do not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from asking import ask, bearer, get, invite, knock, of, trail
from raw import Raw, request
from wire import Scene, decide, scene

from myagent.access import invites as invites_module
from myagent.access import readers as readers_module
from myagent.access.invites import Invites, Spent
from myagent.access.invites_file import FILE_BYTES
from myagent.access.readers import VISIT_SECONDS, VISITS_EACH, Readers
from myagent.access.registry import ListInvites, RevokeInvites
from myagent.access.tokens import make_token, read_id
from myagent.server.http import Answers

HOUR = 3600.0
NONCES = [f"{number:032x}" for number in range(10)]


async def exchange(here: Scene, shown: dict[str, str], nonce: str | None = NONCES[0]) -> tuple[int, Any]:
    """`GET /device`: the status, and what was told."""
    own = {} if nonce is None else {"X_Myagent_Device": nonce}
    answer = await get(here, "/device", {**shown, **own})
    return answer.status, json.loads(answer.body) if answer.status == 200 else None


async def device(here: Scene, shown: dict[str, str], nonce: str = NONCES[0]) -> tuple[str, dict[str, str]]:
    """Its id, and the headers that show it."""
    status, told = await exchange(here, shown, nonce)
    assert status == 200
    return told["deviceId"], bearer(told["token"])


async def listed(here: Scene) -> list[dict[str, Any]]:
    return list((await ask(here.server, ListInvites()))["invites"])


async def flush(here: Scene) -> None:
    """Have what is joined recorded now."""
    here.server.host.visits.flush()
    await get(here, "/healthz", {})  # a turn of the server's loop


# --- on a server --------------------------------------------------------------------------------------------------


async def test_one_use_is_one_device_through_reconnects_and_restarts(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        invite_id, shown = await invite(here.server, uses=1)
        device_id, own = await device(here, shown)
        for _ in range(3):
            watcher = await here.join(headers=own)
            assert watcher.role == "follower"
            assert (await get(here, "/sessions", own)).status == 200
            assert (await get(here, "/ticket", own)).status == 200
            await watcher.leave()
        assert (await knock(here.server, **shown)).status == 401
        assert (await get(here, "/sessions", shown)).status == 401
        assert (await exchange(here, shown, NONCES[1]))[0] == 401, "another device"
        [told] = await listed(here)
        assert (told["id"], told["used"], [each["id"] for each in told["devices"]]) == (invite_id, 1, [device_id])
    async with scene(tmp_path) as here:
        assert (await here.join(headers=own)).role == "follower"
        assert (await knock(here.server, **shown)).status == 401


async def test_control_a_server_that_forgets_the_nonce_takes_a_use_for_each_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Invites, "_made_with", lambda self, invite, nonce: None)
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, uses=1)
        assert (await exchange(here, shown))[0] == 200
        assert (await exchange(here, shown))[0] == 401


async def test_an_answer_that_was_lost_is_asked_for_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, uses=1)
        first = await exchange(here, shown)
        assert await exchange(here, shown) == first
    async with scene(tmp_path) as here:
        assert await exchange(here, shown) == first
        [told] = await listed(here)
        assert (told["used"], len(told["devices"])) == (1, 1)


async def test_a_device_gives_what_its_invite_gives_and_ends_with_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        ids = []
        for prompt in ("help", "help"):
            await owner.send("user_message", prompt=prompt)
            ids.append((await owner.until("terminal_state"))["sessionId"])
        invite_id, shown = await invite(here.server, session_id=ids[0])
        _, own = await device(here, shown)
        await owner.leave()
        watcher = await here.join(headers=own)
        assert watcher.role == "follower", "though the slot is free"
        assert [each["sessionId"] for each in watcher.welcome["sessions"]] == [ids[0]]
        await watcher.refused(await watcher.send("claim"), "not_claimable")
        assert (await get(here, f"/sessions/{ids[0]}/events", own)).status == 200
        assert (await get(here, f"/sessions/{ids[1]}/events", own)).status == 404
        assert await exchange(here, own) == (200, {"token": None})
        answer = await ask(here.server, RevokeInvites(invite_ids=[invite_id]))
        assert answer == {"revoked": [invite_id], "closed": 1}
        assert await watcher.closed() == 4401
        for path in ("/sessions", "/ticket", "/device"):
            assert (await get(here, path, {**own, "X_Myagent_Device": NONCES[0]})).status == 401


async def test_a_device_expires_with_its_invite(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, lifetime=1)
        _, own = await device(here, shown)
        assert await (await here.join(headers=own)).closed() == 4401
        assert (await knock(here.server, **own)).status == 401


async def test_a_device_is_revoked_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, uses=2)
        (lost_id, lost), (kept_id, kept) = [await device(here, shown, nonce) for nonce in NONCES[:2]]
        gone, stays = await here.join(headers=lost), await here.join(headers=kept)
        ticket = json.loads((await get(here, "/ticket", lost)).body)["ticket"]
        answer = await ask(here.server, RevokeInvites(invite_ids=[lost_id]))
        assert answer == {"revoked": [lost_id], "closed": 1}
        assert await gone.closed() == 4401
        assert not here.server._tickets._waiting
        assert (await knock(here.server, **lost)).status == 401
        origin = f"http://127.0.0.1:{here.server.port}"
        protocols = f"myagent.v1, ticket.{ticket}"
        entered = await knock(here.server, drop=("Authorization",), Origin=origin, Sec_WebSocket_Protocol=protocols)
        assert entered.status == 401
        await stays.settle()
        assert (await exchange(here, shown, NONCES[0]))[0] == 401, "its use is not given back"
        [told] = await listed(here)
        assert [each["id"] for each in told["devices"]] == [kept_id]
        [revoked] = of(await trail(here), "revoked")
        assert (revoked["device"], "credential" in revoked) == (lost_id, False)
    async with scene(tmp_path) as here:
        assert (await knock(here.server, **lost)).status == 401
        assert (await knock(here.server, **kept)).status == 101


async def test_the_owner_and_a_wrong_credential_get_no_device(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        assert await exchange(here, bearer(here.server.token)) == (200, {"token": None})
        assert (await exchange(here, bearer(make_token("a" * 8, "a" * 32))))[0] == 401
        _, shown = await invite(here.server, uses=1)
        for nonce in (None, "short", "x" * 129, "sp ace" * 6):
            assert (await exchange(here, shown, nonce))[0] == 400
        [told] = await listed(here)
        assert (told["used"], told["devices"]) == (0, [])


async def test_no_more_devices_than_may_be_kept_and_the_invite_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invites_module, "DEVICES_EACH", 2)
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server)
        for nonce in NONCES[:2]:
            await device(here, shown, nonce)
        status, told = await exchange(here, shown, NONCES[2])
        assert (status, told["token"], told["deviceId"]) == (200, None, None)
        assert (await knock(here.server, **shown)).status == 101
        assert (await device(here, shown, NONCES[1]))[0] == (await listed(here))[0]["devices"][1]["id"]


async def test_what_cannot_be_stored_is_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, uses=1)
        with monkeypatch.context() as patched:
            patched.setattr("myagent.access.invites_file.write_private", full)
            assert (await exchange(here, shown))[0] == 503
        await device(here, shown)


async def test_a_devices_token_is_covered_like_any_other_of_ours(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server)
        _, own = await device(here, shown)
        token = own["Authorization"].split()[1]
        owner = await here.join()
        await owner.send("user_message", prompt=f"!echo {token}")
        await decide(owner, await owner.until("permission_request"), "allow")
        await owner.until("terminal_state")
        assert token not in repr(owner.messages)


# --- reading over HTTP --------------------------------------------------------------------------------------------


async def test_reading_is_a_use_is_seen_and_is_recorded_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="help")
        session_id = (await owner.until("terminal_state"))["sessionId"]
        invite_id, shown = await invite(here.server, uses=1)
        for _ in range(5):
            assert (await get(here, f"/sessions/{session_id}/events", shown)).status == 200
        [told] = await listed(here)
        assert (told["used"], told["reading"]) == (1, 1)
        assert told["lastSeen"] is not None
        await flush(here)
        [record] = of(await trail(here), "reads")
        assert (record["credential"], record["sessionId"], record["reads"]) == (invite_id, session_id, 5)

        other_id, other = await invite(here.server)
        device_id, own = await device(here, other)
        for _ in range(3):
            await get(here, "/sessions", own)
        told = next(each for each in await listed(here) if each["id"] == other_id)
        assert (told["used"], told["reading"], told["devices"][0]["reading"]) == (1, 1, 1)
        await flush(here)
        record = of(await trail(here), "reads")[-1]
        assert (record["credential"], record["device"], record["reads"]) == (other_id, device_id, 3)


async def test_control_reading_that_is_not_counted_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "_count", lambda self, call: None)
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, uses=1)
        assert (await get(here, "/sessions", shown)).status == 200
        [told] = await listed(here)
        assert (told["used"], told["lastSeen"], told["reading"]) == (0, None, 0)
        await flush(here)
        assert of(await trail(here), "reads") == []


async def test_the_owners_reading_is_nobodys_use(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await get(here, "/sessions", bearer(here.server.token))
        await flush(here)
        assert of(await trail(here), "reads") == []


async def test_many_sessions_and_readers_make_few_records(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for number in range(100):
            here.server.host.visits.read("an invite", "a device", f"session {number}")
        await flush(here)
        records = of(await trail(here), "reads")
        assert len(records) == 16
        assert sum(each["reads"] for each in records) == 100


async def test_a_visit_over_http_and_one_connection_are_one_use(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, uses=1)
        assert (await get(here, "/sessions", shown)).status == 200
        watcher = await here.join(headers=shown)
        assert (await get(here, "/sessions", shown)).status == 200, "the visit goes on"
        assert (await knock(here.server, **shown)).status == 401, "of one connection"
        await watcher.settle()
        assert (await exchange(here, shown))[0] == 401


async def test_a_spent_invite_does_not_read_after_its_visit_nor_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, uses=1)
        assert (await get(here, "/sessions", shown)).status == 200
        with monkeypatch.context() as patched:
            patched.setattr("myagent.server.admission.network", lambda address: "192.0.2.1")
            assert (await get(here, "/sessions", shown)).status == 401
        assert (await get(here, "/sessions", shown)).status == 200
        clock = here.server._access.readers._clock
        here.server._access.readers._clock = lambda: clock() + VISIT_SECONDS
        assert (await get(here, "/sessions", shown)).status == 401


def test_visits_are_bounded_and_forgotten() -> None:
    readers = Readers(lambda: 0.0)
    for number in range(VISITS_EACH + 1):
        readers.came("one", f"{number}")
    assert (readers.count("one"), readers.is_here("one", "0"), readers.is_here("one", "1")) == (
        VISITS_EACH,
        False,
        True,
    )
    readers.forget("one")
    assert readers.count("one") == 0
    assert readers_module.VISIT_SECONDS == VISIT_SECONDS


# --- the store ----------------------------------------------------------------------------------------------------


def store(path: Path) -> Invites:
    invites = Invites(path)
    invites.load()
    return invites


def test_of_a_device_only_a_digest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "invites.json"
    invites = store(path)
    made, _ = invites.create(label="", session_id=None, lifetime=HOUR, uses=1)
    token = invites.exchange(made.id, NONCES[0])
    assert token is not None
    kept = path.read_bytes()
    assert token.split("_")[3].encode() not in kept
    assert NONCES[0].encode() not in kept
    assert hashlib.sha256(token.encode()).hexdigest().encode() in kept
    with pytest.raises(Spent):
        invites.exchange(made.id, NONCES[1])


def test_a_devices_token_is_no_invites(tmp_path: Path) -> None:
    invites = store(tmp_path / "invites.json")
    made, shown = invites.create(label="", session_id=None, lifetime=HOUR, uses=None)
    token = invites.exchange(made.id, NONCES[0])
    assert token is not None
    assert (read_id(token), read_id(shown, "dev")) == (None, None)
    found = invites.find(token.encode(), hashlib.sha256(token.encode()).digest())
    assert found is not None
    assert (found.invite.id, found.device_id) == (made.id, read_id(token, "dev"))
    for other in (make_token(read_id(token, "dev") or "", "a" * 32, "dev"), make_token(made.id, "a" * 32, "dev")):
        assert invites.find(other.encode(), hashlib.sha256(other.encode()).digest()) is None


def test_a_file_from_before_there_were_devices_loads(tmp_path: Path) -> None:
    path = tmp_path / "invites.json"
    invites = store(path)
    made, token = invites.create(label="old", session_id=None, lifetime=HOUR, uses=1)
    assert b"devices" not in path.read_bytes(), "as it was written then"
    again = store(path)
    assert again.find(token.encode(), hashlib.sha256(token.encode()).digest()) is not None
    assert again.exchange(made.id, NONCES[0]) is not None


def test_as_many_devices_as_may_be_fit_into_the_file_that_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "invites.json"
    invites = store(path)
    ids = [
        invites.create(label="漢" * 64, session_id=f"remote_20260101120000_{'0' * 8}", lifetime=HOUR, uses=1_000_000)[
            0
        ].id
        for _ in range(100)
    ]
    with monkeypatch.context() as patched:
        patched.setattr("myagent.access.invites_file.write_private", lambda path, data: None)
        made = [invites.exchange(ids[number % 7], f"{number:032x}") for number in range(1000)]
    assert None not in made
    assert invites.exchange(ids[50], "f" * 32) is None, "in all"
    invites._save(invites._invites)
    assert path.stat().st_size < FILE_BYTES
    assert len(store(path).device_ids()) == 1000


async def test_an_exchange_has_no_other_method(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server)
        async with Raw(here.server) as raw:
            await raw.send(request(here.server, target="/device", **shown).replace(b"GET", b"POST", 1))
            answer = await raw.answer()
        assert answer.status != 200
        assert (await listed(here))[0]["devices"] == []
