"""Permission requests: asked of whoever owns, answered once, by the right connection, for exactly what was shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from puppet import Puppet
from wire import Client, Message, Scene, decide, scene

pytestmark = pytest.mark.usefixtures("quiet_log")


async def asked(here: Scene, owner: Client, prompt: str = "!touch made", **fields: object) -> Message:
    """Begin a turn that asks; its request."""
    message_id = await owner.send("user_message", prompt=prompt, **fields)
    return await owner.until("permission_request", id=message_id)


async def test_allow_runs_it_and_everybody_sees_who_allowed_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join("?label=Ada"), await here.join()
        request = await asked(here, owner)
        assert request["request"]["toolName"] == "Bash" and request["request"]["display"]
        await owner.acked(await decide(owner, request, "allow"))
        resolved = await follower.until("permission_resolved")
        assert (resolved["permissionRequestId"], resolved["outcome"]) == (request["permissionRequestId"], "allow")
        assert resolved["by"] == "Ada"
        assert (await follower.until("terminal_state"))["exitCode"] == 0
        assert (tmp_path / "made").exists()


async def test_deny_runs_nothing_and_the_turn_ends_with_1(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        await owner.acked(await decide(owner, await asked(here, owner), "deny", reason="not now"))
        assert (await owner.until("permission_resolved"))["reason"] == "not now"
        assert (await owner.until("terminal_state"))["exitCode"] == 1
        assert not (tmp_path / "made").exists()


async def test_a_decision_counts_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(here, owner, "!echo once >> made")
        await owner.acked(await decide(owner, request, "allow"))
        await owner.acked(await decide(owner, request, "allow"), duplicate=True)
        await owner.refused(await decide(owner, request, "deny"), "already_resolved")
        await owner.settle()
        assert (await here.turn(owner, "read made", sessionId=request["sessionId"]))["exitCode"] == 0
        assert (tmp_path / "made").read_text() == "once\n"
        await owner.acked(await decide(owner, request, "allow"), duplicate=True)


async def test_a_decision_for_something_else_is_refused_and_the_request_stays_open(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(here, owner)
        await owner.refused(await decide(owner, request, "allow", digest="0" * 64), "digest_mismatch")
        assert not (tmp_path / "made").exists()
        await owner.acked(await decide(owner, request, "allow"))


async def test_a_file_that_changed_after_it_was_shown_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("one\n")
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(here, owner, "edit note\n<<<<<<<\none\n=======\ntwo\n>>>>>>>\n")
        assert request["request"]["diffs"] == [{"path": "note", "oldText": "one\n", "newText": "two\n"}]
        (tmp_path / "note").write_text("one\nmine\n")
        await owner.acked(await decide(owner, request, "allow"))
        assert (await owner.until("terminal_state"))["exitCode"] == 1
        assert (tmp_path / "note").read_text() == "one\nmine\n"


async def test_what_is_displayed_hides_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(here, owner, "!echo a\u202eb\u200bc \x1b[2J \u0430pple")
        shown = request["request"]["display"]
        assert "\\u{202e}" in shown and "\\u{200b}" in shown and "\\u{1b}" in shown
        assert all(character.isprintable() or character == "\n" for character in shown)
        assert set(request["request"]["flags"]) >= {"bidi", "invisible", "escapes", "mixed_script"}
        await owner.acked(await decide(owner, request, "deny"))


async def test_an_open_request_is_sent_to_new_connections_marked_pending(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(here, owner)
        late = await here.join()
        copy = await late.next()
        assert copy == {**request, "pending": True}
        await owner.acked(await decide(owner, request, "allow"))
        assert (await late.until("permission_resolved"))["outcome"] == "allow"
        await owner.until("terminal_state")
        later = await here.join()
        await later.settle()
        assert not later.of("permission_request")


async def test_a_request_says_since_when_and_until_when_it_waits_whoever_asks(tmp_path: Path) -> None:
    async with scene(tmp_path, permission_timeout=90.0) as here:
        owner = await here.join()
        before = datetime.now(UTC)
        request = (await asked(here, owner))["request"]
        asked_at, expires_at = (datetime.fromisoformat(request[name]) for name in ("askedAt", "expiresAt"))
        assert before - timedelta(milliseconds=1) <= asked_at <= datetime.now(UTC)  # it is told in milliseconds
        assert expires_at - asked_at == timedelta(seconds=90)
        late = await here.join()
        assert (await late.until("permission_request", pending=True))["request"] == request


async def test_an_open_request_outlives_its_owner_and_is_decided_by_the_next(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(here, owner)
        await owner.leave()
        heir = await here.join()
        assert (heir.role, await heir.next()) == ("owner", {**request, "pending": True})
        await heir.acked(await decide(heir, request, "allow"))
        assert (await heir.until("terminal_state"))["exitCode"] == 0


@pytest.mark.parametrize("how", ["claim", "handover"])
async def test_an_open_request_is_sent_again_to_a_follower_that_becomes_owner(tmp_path: Path, how: str) -> None:
    async with scene(tmp_path) as here:
        owner, heir = await here.join(), await here.join()
        request = await asked(here, owner)
        await heir.until("permission_request")
        if how == "claim":
            await owner.leave()
            await heir.until("owner_changed", owner=None)
            await heir.acked(await heir.send("claim"))
        else:
            await owner.send("handover", to=heir.connection_id)
        assert (await heir.until("role"))["role"] == "owner"
        assert (await heir.until("permission_request"))["pending"] is True
        await heir.acked(await decide(heir, request, "allow"))
        assert (await heir.until("terminal_state"))["exitCode"] == 0


async def test_a_decision_counts_only_from_a_connection_to_which_the_request_was_sent(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        other = (await here.turn(owner, "help"))["sessionId"]
        request = await asked(here, owner)
        watcher = await here.join("?role=follower")
        await owner.leave()
        elsewhere = await here.join(f"?session={other}")
        assert elsewhere.role == "owner"
        await elsewhere.refused(await decide(elsewhere, request, "allow"), "unknown_request")
        await elsewhere.settle()
        assert not elsewhere.of("permission_request")
        assert not (tmp_path / "made").exists()
        await elsewhere.leave()
        heir = await here.join()
        await heir.acked(await decide(heir, request, "allow"))
        assert (await watcher.until("terminal_state"))["exitCode"] == 0


async def test_a_former_owners_decision_is_stale(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(here, owner)
        await owner.acked(await owner.send("release"))
        await owner.refused(await decide(owner, request, "allow"), "stale_owner")
        assert not (tmp_path / "made").exists()


async def test_an_unanswered_request_expires_into_a_deny(tmp_path: Path) -> None:
    async with scene(tmp_path, permission_timeout=0.05) as here:
        owner = await here.join()
        request = await asked(here, owner)
        resolved = await owner.until("permission_resolved")
        assert (resolved["outcome"], resolved["permissionRequestId"]) == ("expired", request["permissionRequestId"])
        assert (await owner.until("terminal_state"))["exitCode"] == 1
        await owner.refused(await decide(owner, request, "allow"), "already_resolved")
        assert not (tmp_path / "made").exists()


async def test_owner_leaves_continue_lets_the_turn_and_its_question_wait(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner, watcher = await here.join(), await here.join()
        await owner.send("user_message", prompt="go")
        play = await agent.begun()
        answer = play.ask()
        await owner.until("permission_request")
        await owner.leave()
        await watcher.until("owner_changed", owner=None)
        await play.say("still here\n")
        await watcher.until("agent_stdout", chunk="still here\n")
        assert not answer.done() and not watcher.of("permission_resolved")
        play.end()
        assert (await watcher.until("permission_resolved"))["outcome"] == "cancelled"
        assert (await watcher.until("terminal_state"))["exitCode"] == 0


async def test_owner_leaves_deny_denies_what_is_open_and_what_is_asked_later(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent, on_owner_leave="deny") as here:
        owner, watcher = await here.join(), await here.join()
        await owner.send("user_message", prompt="go")
        play = await agent.begun()
        answer = play.ask()
        await owner.until("permission_request")
        await owner.leave()
        resolved = await watcher.until("permission_resolved")
        assert (resolved["outcome"], resolved["reason"]) == ("deny", "the owner has left")
        assert (await answer).kind == "deny"
        assert (await play.ask("another")).kind == "deny"
        await here.join()
        third = play.ask("third")
        await watcher.until("permission_request")
        assert not third.done()
        play.end()
        assert (await watcher.until("terminal_state"))["exitCode"] == 0


async def test_owner_leaves_interrupt_cancels_what_runs_and_waits_after_the_grace(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent, on_owner_leave="interrupt", owner_grace=0.1) as here:
        watcher = await here.join("?role=follower")
        owner = await here.join()
        await owner.acked(await owner.send("hello", client={"name": "test"}))
        session = (await owner.acked(await owner.send("user_message", id="m1", prompt="one")))["sessionId"]
        await owner.acked(await owner.send("user_message", id="m2", prompt="two", sessionId=session))
        play = await agent.begun()
        owner.drop()
        await watcher.until("owner_changed", why="grace_over")
        ends = [await watcher.until("terminal_state") for _ in range(2)]
        assert {end["id"]: (end["exitCode"], end["stopReason"]) for end in ends} == {
            "m1": (130, "cancelled"),
            "m2": (130, "cancelled"),
        }
        assert play.cancelled.is_set() and agent.runs == 1


async def test_bypass_is_refused_unless_the_server_allows_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        message = {"prompt": "!touch made", "permissionMode": "bypassPermissions"}
        await owner.refused(await owner.send("user_message", **message), "not_allowed")
        assert not (tmp_path / "made").exists()
    async with scene(tmp_path, allow_bypass=True) as here:
        owner = await here.join()
        message_id = await owner.send("user_message", **message)
        assert (await owner.until("terminal_state", id=message_id))["exitCode"] == 0
        assert not owner.of("permission_request") and (tmp_path / "made").exists()


async def test_plan_mode_reads_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("text\n")
    async with scene(tmp_path) as here:
        owner = await here.join()
        assert (await here.turn(owner, "read note", permissionMode="plan"))["exitCode"] == 0
        for prompt in ("!touch made", "write made\nx", "edit note\n<<<<<<<\ntext\n=======\nx\n>>>>>>>"):
            assert (await here.turn(owner, prompt, permissionMode="plan"))["exitCode"] == 1
        assert not owner.of("permission_request")
        assert (tmp_path / "note").read_text() == "text\n" and not (tmp_path / "made").exists()


async def test_the_servers_mode_holds_where_the_prompt_names_none(tmp_path: Path) -> None:
    async with scene(tmp_path, permission_mode="plan") as here:
        owner = await here.join()
        assert (await here.turn(owner, "!touch made"))["exitCode"] == 1
        request = await asked(here, owner, permissionMode="default")
        await owner.acked(await decide(owner, request, "allow"))
        await owner.until("terminal_state", id=request["id"])
        assert (tmp_path / "made").exists()


async def test_a_request_larger_than_a_mebibyte_is_denied_unasked(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="go")
        play = await agent.begun()
        answer = await play.ask("x" * (1 << 20))
        assert answer.kind == "deny" and "large" in (answer.reason or "")
        play.end()
        await owner.until("terminal_state")
        assert not owner.of("permission_request")


async def test_request_ids_are_never_used_twice(tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        async with scene(tmp_path) as here:
            owner = await here.join()
            for _ in range(3):
                request = await asked(here, owner)
                ids.add(request["permissionRequestId"])
                await owner.acked(await decide(owner, request, "deny"))
    assert len(ids) == 6
