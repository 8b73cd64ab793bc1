"""An invite lets somebody watch, never drive; it ends in time or when it is revoked; nothing of it is kept in plain."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import string
from pathlib import Path

import pytest
from asking import ask, bearer, get, invite, knock, unlike
from puppet import Puppet
from wire import Client, decide, scene

from myagent.access.asking import Declined
from myagent.access.invites import Invites, InvitesFull
from myagent.access.registry import BadRequest, CreateInvite, ListInvites, RevokeInvites, RotateToken
from myagent.access.state_directory import UnsafeState
from myagent.access.tokens import make_token, read_id

HOUR = 3600.0


class Clocks:
    """The two clocks of a store: the one that only runs, and the one that somebody may set."""

    def __init__(self) -> None:
        self.boot, self.wall = 100.0, 1_800_000_000.0

    def wait(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += seconds

    def store(self, path: Path) -> Invites:
        invites = Invites(path, clock=lambda: self.boot, wall=lambda: self.wall)
        invites.load()
        return invites


def find(invites: Invites, token: str) -> bool:
    return invites.find(token.encode(), hashlib.sha256(token.encode()).digest()) is not None


def make(invites: Invites, lifetime: float = HOUR, uses: int | None = None) -> tuple[str, str]:
    made, token = invites.create(label="", session_id=None, lifetime=lifetime, uses=uses)
    return made.id, token


# --- the token ----------------------------------------------------------------------------------------------------


def test_a_token_tells_its_id_and_every_typo_is_seen() -> None:
    token = make_token("abcdefgh", "a2" * 16)
    assert read_id(token) == "abcdefgh"
    typos = {
        token[:at] + letter + token[at + 1 :]
        for at in range(len(token))
        for letter in string.ascii_lowercase + string.digits + "_-A"
    } - {token}
    swapped = {token[:at] + token[at + 1] + token[at] + token[at + 2 :] for at in range(len(token) - 1)} - {token}
    cut = {token[:at] for at in range(len(token))} | {token[at:] for at in range(1, len(token))}
    assert {read_id(each) for each in typos | swapped | cut} == {None}


# --- the store ----------------------------------------------------------------------------------------------------


def test_only_a_digest_is_kept_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "invites.json"
    before = os.umask(0)
    try:
        _, token = make(Clocks().store(path))
    finally:
        os.umask(before)
    kept = path.read_bytes()
    assert token.split("_")[3].encode() not in kept
    assert hashlib.sha256(token.encode()).hexdigest().encode() in kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_invite_ends_with_its_time_and_survives_a_restart_until_then(tmp_path: Path) -> None:
    clocks = Clocks()
    invites = clocks.store(tmp_path / "invites.json")
    _, token = make(invites)
    clocks.wait(HOUR - 1)
    assert find(invites, token)
    assert find(clocks.store(tmp_path / "invites.json"), token)
    clocks.wait(1)
    assert not find(invites, token)
    assert not find(clocks.store(tmp_path / "invites.json"), token)


@pytest.mark.parametrize("jump", [-400 * 24 * HOUR, -24 * HOUR, 24 * HOUR])
def test_a_clock_that_is_set_extends_nothing(tmp_path: Path, jump: float) -> None:
    clocks = Clocks()
    invites = clocks.store(tmp_path / "invites.json")
    _, token = make(invites)
    clocks.wall += jump
    clocks.wait(HOUR - 1)
    assert find(invites, token), "nor shortens it, while the server runs"
    clocks.wait(1)
    assert not find(invites, token)


def test_a_clock_set_back_over_a_restart_gives_at_most_what_the_invite_was_made_for(tmp_path: Path) -> None:
    clocks = Clocks()
    _, token = make(clocks.store(tmp_path / "invites.json"))
    clocks.wall -= 400 * 24 * HOUR
    invites = clocks.store(tmp_path / "invites.json")
    clocks.wait(HOUR)
    assert not find(invites, token)


def test_what_has_expired_once_stays_so_when_the_clock_is_set_back(tmp_path: Path) -> None:
    clocks = Clocks()
    invites = clocks.store(tmp_path / "invites.json")
    _, token = make(invites)
    clocks.wait(HOUR)
    assert len(invites.expire()) == 1
    clocks.wall -= 2 * HOUR
    assert not find(clocks.store(tmp_path / "invites.json"), token)


def test_uses_are_counted_over_restarts(tmp_path: Path) -> None:
    clocks = Clocks()
    invite_id, token = make(clocks.store(tmp_path / "invites.json"), uses=2)
    for _ in range(2):
        invites = clocks.store(tmp_path / "invites.json")
        assert find(invites, token)
        assert invites.use(invite_id)
    assert not invites.use(invite_id)
    assert not find(clocks.store(tmp_path / "invites.json"), token)


def test_as_many_invites_as_may_be_fit_into_the_file_that_is_read_back(tmp_path: Path) -> None:
    clocks = Clocks()
    invites = clocks.store(tmp_path / "invites.json")
    for _ in range(100):
        invites.create(label="漢" * 64, session_id=f"remote_20260101120000_{'0' * 8}", lifetime=HOUR, uses=1_000_000)
    with pytest.raises(InvitesFull):
        make(invites)
    assert len(clocks.store(tmp_path / "invites.json").live()) == 100


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":2,"invites":[]}', b"\xff" * 100, b"[" * 60_000])
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "invites.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UnsafeState, match=r"invites\.json does not hold"):
        Invites(path).load()
    assert path.read_bytes() == content


# --- what an invite can do ----------------------------------------------------------------------------------------


async def test_an_invite_never_owns_whatever_it_sends(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server)
        watcher = await here.join(headers=shown)
        assert watcher.role == "follower", "though the slot is free"
        await watcher.refused(await watcher.send("claim"), "not_claimable")
        owner = await here.join()
        assert owner.role == "owner"
        await owner.refused(await owner.send("handover", to=watcher.welcome["connectionId"]), "not_claimable")
        reclaim = owner.welcome["reclaimToken"]
        thief = await here.join(headers={**shown, "X-Myagent-Reclaim": reclaim})
        assert thief.role == "follower"
        hello = await thief.send("hello", client={"name": "x"}, reclaimToken=reclaim)
        await thief.acked(hello)
        await thief.refused(await thief.send("user_message", prompt="help"), "not_owner")
        await owner.leave()
        assert [each["role"] for each in await watcher.settle() if each["type"] == "role"] == []
        await watcher.refused(await watcher.send("claim"), "not_claimable")


async def test_every_wrong_credential_gets_the_same_answer(tmp_path: Path) -> None:
    async with scene(tmp_path, wrong_credentials=100) as here:
        revoked_id, revoked = await invite(here.server)
        await ask(here.server, RevokeInvites(invite_ids=[revoked_id]))
        _, spent = await invite(here.server, uses=1)
        await (await here.join(headers=spent)).leave()
        brief_id, brief = await invite(here.server, lifetime=1)
        watcher = await here.join(headers=brief)
        assert await watcher.closed() == 4401
        live = (await invite(here.server))[1]["Authorization"]
        wrong = [
            bearer("x" * 43), revoked, spent, brief, bearer(make_token(brief_id, "a" * 32)),
            {"Authorization": live[:-1] + ("0" if live[-1] != "0" else "1")},
        ]  # fmt: skip
        absent = unlike(await knock(here.server, drop=("Authorization",)))
        assert absent.status == 401
        for credential in wrong:
            assert unlike(await knock(here.server, **credential)) == absent
            assert unlike(await get(here, "/sessions", credential)) == absent


async def test_an_invite_for_one_session_sees_that_session_alone(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        ids = []
        for prompt in ("one", "two"):
            await owner.send("user_message", prompt=prompt)
            play = await puppet.begun()
            ids.append(play.turn.session_id)
            if prompt == "one":
                play.end()
            else:
                question = play.ask()
                request = await owner.until("permission_request")
        shown_id, hidden_id = ids
        _, shown = await invite(here.server, session_id=shown_id)
        watcher = await here.join(headers=shown)
        assert [each["sessionId"] for each in watcher.welcome["sessions"]] == [shown_id]
        assert {each["type"] for each in await watcher.settle()} <= {"presence"}, "no question of the other session"
        await watcher.refused(await watcher.send("resume", sessionId=hidden_id, afterSeq=0), "unknown_session")
        await watcher.refused(
            await watcher.send("resume", sessionId="remote_20200101000000_00000000"), "unknown_session"
        )

        listed = await get(here, "/sessions", shown)
        assert hidden_id.encode() not in listed.body
        assert shown_id.encode() in listed.body
        assert (await get(here, f"/sessions/{shown_id}/events", shown)).status == 200
        none = unlike(await get(here, "/sessions/remote_20200101000000_00000000/events", shown))
        assert none.status == 404
        assert unlike(await get(here, f"/sessions/{hidden_id}/events", shown)) == none
        for query in (f"?session={hidden_id}", "?session=remote_20200101000000_00000000"):
            assert unlike(await knock(here.server, f"/{query}", **shown)) == none

        await decide(owner, request, "allow")
        await question
        await play.say("secret of the other session")
        play.end()
        await owner.until("terminal_state")
        await owner.send("user_message", prompt="three", sessionId=shown_id)
        (await puppet.begun()).end()
        await watcher.until("terminal_state")
        seen = [each for each in watcher.messages if "sessionId" in each]
        assert {each["sessionId"] for each in seen} == {shown_id}
        assert hidden_id not in repr(watcher.messages)
        assert "secret of the other session" not in repr(watcher.messages)


async def test_an_invite_for_a_session_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        with pytest.raises(Declined, match="no such session"):
            await invite(here.server, session_id="remote_20200101000000_00000000")


# --- how it ends --------------------------------------------------------------------------------------------------


async def test_revoking_closes_what_is_open_and_survives_a_restart(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        kept_id, kept = await invite(here.server, label="kept")
        invite_id, shown = await invite(here.server)
        watchers = [await here.join(headers=shown) for _ in range(10)]
        other = await here.join(headers=kept)
        listed = {each["id"]: each for each in (await ask(here.server, ListInvites()))["invites"]}
        assert listed[invite_id]["connections"] == 10
        assert listed[kept_id]["label"] == "kept"
        assert await ask(here.server, RevokeInvites(invite_ids=[invite_id])) == {"revoked": [invite_id], "closed": 10}
        assert [await each.closed() for each in watchers] == [4401] * 10
        assert (await knock(here.server, **shown)).status == 401
        await other.settle()
    async with scene(tmp_path) as here:
        assert (await knock(here.server, **shown)).status == 401
        assert (await knock(here.server, **kept)).status == 101
        assert (await ask(here.server, RevokeInvites()))["revoked"] == [kept_id]
        assert (await knock(here.server, **kept)).status == 401


async def test_an_expired_invite_is_closed_by_the_server_itself(tmp_path: Path) -> None:
    async with scene(tmp_path, heartbeat=3600.0) as here:
        _, shown = await invite(here.server, lifetime=1)
        watcher = await here.join(headers=shown)
        assert await watcher.closed() == 4401
        assert (await ask(here.server, ListInvites()))["invites"] == []


async def test_an_invite_is_good_for_as_many_connections_as_it_says(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server, uses=2)
        first, second = await here.join(headers=shown), await here.join(headers=shown)
        assert (await knock(here.server, **shown)).status == 401
        assert (await get(here, "/sessions", shown)).status == 401
        await first.settle()
        await second.settle()


async def test_rotating_the_owner_token_drops_whoever_used_the_old_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        old = here.server.token
        _, shown = await invite(here.server)
        owner, follower = await here.join(), await here.join("?role=follower")
        await owner.acked(await owner.send("hello", client={"name": "x"}))  # it would have a grace
        watcher = await here.join(headers=shown)
        await ask(here.server, RotateToken())
        assert (await owner.closed(), await follower.closed()) == (4401, 4401)
        assert (await knock(here.server, **bearer(old))).status == 401
        reclaim = {"X-Myagent-Reclaim": owner.welcome["reclaimToken"]}
        assert here.server.token != old
        heir = await here.join()
        assert heir.role == "owner", "the slot was free at once"
        late = await here.join(headers=reclaim)
        assert late.role == "follower", "and the old reclaim token died with the old token"
        await watcher.settle()
    async with scene(tmp_path) as here:
        assert (await knock(here.server, **bearer(old))).status == 401


async def test_followers_cannot_lock_the_owner_out(tmp_path: Path) -> None:
    async with scene(tmp_path, max_connections=6) as here:
        _, shown = await invite(here.server)
        for _ in range(2):
            await here.join(headers=shown)
        assert (await knock(here.server, **shown)).status == 503
        assert (await here.join()).role == "owner"


async def test_an_invite_cannot_lock_another_out(tmp_path: Path) -> None:
    async with scene(tmp_path, max_connections=8) as here:
        owner = await here.join()
        _, greedy = await invite(here.server)
        _, other = await invite(here.server)
        crowd = [await here.join(headers=greedy) for _ in range(3)]
        assert (await knock(here.server, **greedy)).status == 503, "nor does it push out its own"
        assert (await here.join(headers=other)).role == "follower"
        assert await crowd[2].closed() == 1013, "whoever of the most came last"
        for shown in (greedy, other):
            assert (await knock(here.server, **shown)).status == 503, "they have as many, as far as that goes"
        owners = [await here.join("?role=follower") for _ in range(5)]
        assert await crowd[1].closed() == 1013, "an owner's is never refused for a follower"
        assert {each.role for each in owners} == {"follower"} and owner.role == "owner"


async def test_what_cannot_be_stored_is_not_given_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with scene(tmp_path) as here:
        invite_id, shown = await invite(here.server)
        _, counted = await invite(here.server, uses=3)
        watcher = await here.join(headers=shown)
        monkeypatch.setattr("myagent.access.invites_file.write_private", full)
        with pytest.raises(Declined, match="no invite was made"):
            await ask(here.server, CreateInvite(lifetime=60))
        assert (await knock(here.server, **counted)).status == 503
        with pytest.raises(Declined, match="could not be stored"):
            await ask(here.server, RevokeInvites(invite_ids=[invite_id]))
        assert await watcher.closed() == 4401, "revoked all the same, while this server runs"
        assert (await knock(here.server, **shown)).status == 401


async def test_many_revocations_at_once_disturb_nobody_else(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        made = [await invite(here.server) for _ in range(8)]
        watchers: list[Client] = [await here.join(headers=shown) for _, shown in made]
        await asyncio.gather(*(ask(here.server, RevokeInvites(invite_ids=[each])) for each, _ in made))
        assert {await each.closed() for each in watchers} == {4401}
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def test_a_program_that_serves_makes_and_ends_invites_itself(tmp_path: Path) -> None:
    async with scene(tmp_path, base_path="/agent") as here:
        made = here.server.invite(label="review", uses=1)
        assert made.link == f"http://127.0.0.1:{here.server.port}/agent/#{made.token}"
        watcher = await here.join(headers={"Authorization": f"Bearer {made.token}"})
        assert watcher.role == "follower"
        [listed] = (await ask(here.server, ListInvites()))["invites"]
        assert (listed["id"], listed["label"], listed["expiresAt"]) == (made.id, "review", made.expires_at)
        here.server.revoke(made.id)
        assert await watcher.closed() == 4401
        with pytest.raises(BadRequest):
            here.server.revoke(made.id)
