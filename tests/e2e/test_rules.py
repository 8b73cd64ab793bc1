"""Rules instead of repeated questions: made with an answer, told, listed, ended; and what they never do."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from asking import ask, invite, of, trail
from puppet import Puppet
from wire import Client, Message, decide, scene

from myagent.access.asking import Declined
from myagent.access.registry import AskRules, EndRules, RevokeInvites, RotateToken
from myagent.access.rule_book import RuleBook
from myagent.core import ownership, rules
from myagent.core.messages import Diff, ListRules, Option, RevokeRule
from myagent.exceptions import MyagentError

pytestmark = pytest.mark.usefixtures("quiet_log")

PREFIX = {"scope": "workspace", "match": "prefix", "words": ["touch"]}


async def asked(owner: Client, prompt: str, **fields: object) -> Message:
    message_id = await owner.send("user_message", prompt=prompt, **fields)
    return await owner.until("permission_request", id=message_id)


async def remembered(owner: Client, prompt: str, remember: dict[str, object]) -> Message:
    """Allow what a prompt asks, and have it remembered; the request."""
    request = await asked(owner, prompt)
    await owner.acked(await decide(owner, request, "allow", remember=remember))
    await owner.until("terminal_state", id=request["id"])
    return request


async def listed(owner: Client) -> list[Message]:
    message_id = await owner.send("list_rules")
    return list((await owner.until("rules", id=message_id))["rules"])


async def test_what_was_remembered_is_not_waited_for_again_and_everybody_sees_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join("?label=Ada"), await here.join()
        first = await remembered(owner, "!touch one", PREFIX)
        assert first["request"]["remembers"] == [
            {"match": "exact"}, {"match": "prefix", "words": ["touch", "one"]},
        ]  # fmt: skip
        [rule] = await listed(owner)
        assert (rule["shown"], rule["words"], rule["madeBy"], rule["credential"]) == (
            "touch",
            ["touch"],
            "Ada",
            "owner",
        )
        assert (await here.turn(owner, "!touch two"))["exitCode"] == 0
        assert (tmp_path / "two").exists()
        await follower.settle()
        request = follower.of("permission_request")[-1]
        resolved = follower.of("permission_resolved")[-1]
        assert resolved["permissionRequestId"] == request["permissionRequestId"]
        assert (resolved["outcome"], resolved["ruleId"]) == ("allow", rule["ruleId"])
        assert resolved["by"] == f"rule {rule['ruleId']}"
        records = of(await trail(here), "rule", "rule_used")
        assert [each["kind"] for each in records] == ["rule", "rule_used"]
        assert {each["rule"] for each in records} == {rule["ruleId"]}
        assert records[1]["request"] == request["permissionRequestId"]


async def test_what_is_spelled_otherwise_is_asked_for_and_the_rule_named(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        await remembered(owner, "!touch one", PREFIX)
        [rule] = await listed(owner)
        request = await asked(owner, "!touch two; touch three")
        missed = [{"ruleId": rule["ruleId"], "why": "it has more than plain words"}]
        assert request["request"]["missed"] == missed
        await owner.acked(await decide(owner, request, "deny"))
        assert not (tmp_path / "two").exists()


async def test_a_rule_that_splits_at_spaces_alone_would_let_it_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    monkeypatch.setattr(rules, "plain_words", lambda call, cwd: tuple(call.input["command"].split()))
    async with scene(tmp_path) as here:
        owner = await here.join()
        await remembered(owner, "!touch one", PREFIX)
        await here.turn(owner, "!touch two; touch three")
        assert (tmp_path / "three").exists()


async def test_a_revoked_rule_allows_nothing_more_and_is_gone_after_a_restart_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        await remembered(owner, "!touch one", PREFIX)
        [rule] = await listed(owner)
        await owner.acked(await owner.send("revoke_rule", ruleId=rule["ruleId"]))
        await owner.acked(await owner.send("revoke_rule", ruleId=rule["ruleId"]), duplicate=True)
        assert await listed(owner) == []
        await owner.acked(await decide(owner, await asked(owner, "!touch two"), "deny"))
        assert of(await trail(here), "rule_revoked")[0]["rule"] == rule["ruleId"]
    async with scene(tmp_path) as here:
        assert await listed(await here.join()) == []


async def test_a_rule_outlives_a_restart_and_one_that_was_not_made_here_does_not_count(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await remembered(await here.join(), "!touch one", PREFIX)
    path = tmp_path / ".myagent" / "remote" / "rules.json"
    assert path.stat().st_mode & 0o777 == 0o600
    async with scene(tmp_path) as here:
        assert (await here.turn(await here.join(), "!touch two"))["exitCode"] == 0
    planted = json.loads(path.read_text())
    planted["rules"][0]["words"] = ["rm"]
    path.write_text(json.dumps(planted))
    async with scene(tmp_path) as here:
        owner = await here.join()
        assert await listed(owner) == []
        await owner.acked(await decide(owner, await asked(owner, "!rm two"), "deny"))
    assert path.with_name("rules.json.not-ours").exists()


async def test_the_operator_lists_and_ends_rules_on_the_machine(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        await remembered(owner, "!touch one", PREFIX)
        [rule] = (await ask(here.server, AskRules()))["rules"]
        with pytest.raises(Declined, match="no such rule"):
            await ask(here.server, EndRules(rule_ids=["none"]))
        assert (await ask(here.server, EndRules()))["revoked"] == [rule["ruleId"]]
        await owner.acked(await decide(owner, await asked(owner, "!touch two"), "deny"))


async def test_what_a_stolen_token_has_remembered_ends_with_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await remembered(await here.join(), "!touch one", PREFIX)
        await ask(here.server, RotateToken())
        assert (await ask(here.server, AskRules()))["rules"] == []


@pytest.mark.parametrize("ending", ["rotated", "revoked"])
async def test_a_full_disk_while_a_credentials_rules_end_is_said_and_made_good(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules count no more at once; the file says so as soon as it can, whatever the operator does then."""
    true_save = RuleBook._save

    def full(self: RuleBook, rules: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with scene(tmp_path) as here:
        invite_id, shown = await invite(here.server, scope="owner")
        await remembered(await here.join(headers=shown if ending == "revoked" else {}), "!touch one", PREFIX)
        file = tmp_path / ".myagent" / "remote" / "rules.json"
        monkeypatch.setattr(RuleBook, "_save", full)
        what = RotateToken() if ending == "rotated" else RevokeInvites(invite_ids=[invite_id])
        with pytest.raises(MyagentError, match=r"its rules until the server stops.*No space left"):
            await ask(here.server, what)
        assert (await ask(here.server, AskRules()))["rules"] == []
        assert json.loads(file.read_text())["rules"]  # what a restart now would find
        monkeypatch.setattr(RuleBook, "_save", true_save)
        here.server._look_for_expired()
        assert json.loads(file.read_text())["rules"] == []


async def test_control_without_another_try_the_file_would_keep_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RuleBook, "store_again", lambda self: None)
    with pytest.raises(AssertionError):
        await test_a_full_disk_while_a_credentials_rules_end_is_said_and_made_good(tmp_path, "rotated", monkeypatch)


async def test_control_a_revoked_rule_that_stays_in_memory_would_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test that a revoked rule allows nothing more."""
    monkeypatch.setattr(RuleBook, "revoke", lambda self, ids: [rule for rule in self.live() if rule.rule_id in ids])
    async with scene(tmp_path) as here:
        owner = await here.join()
        await remembered(owner, "!touch one", PREFIX)
        [rule] = await listed(owner)
        await owner.acked(await owner.send("revoke_rule", ruleId=rule["ruleId"]))
        assert (await here.turn(owner, "!touch two"))["exitCode"] == 0
        assert not owner.of("permission_request")[-1]["request"].get("remembers")


async def test_control_messages_that_are_open_to_all_would_let_a_follower_end_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test that a follower neither sees nor ends rules."""
    monkeypatch.setattr(ownership, "OPEN_TO_ALL", (*ownership.OPEN_TO_ALL, ListRules, RevokeRule))
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await remembered(owner, "!touch one", PREFIX)
        [rule] = await listed(follower)
        await follower.acked(await follower.send("revoke_rule", ruleId=rule["ruleId"]))
        assert await listed(owner) == []


async def test_a_follower_neither_sees_nor_ends_rules(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await remembered(owner, "!touch one", PREFIX)
        [rule] = await listed(owner)
        await follower.refused(await follower.send("list_rules"), "not_owner")
        await follower.refused(await follower.send("revoke_rule", ruleId=rule["ruleId"]), "not_owner")
        assert await listed(owner) == [rule]


@pytest.mark.parametrize(
    "remember",
    [
        {"scope": "workspace", "match": "prefix", "words": ["rm"]},
        {"scope": "workspace", "match": "path", "path": "."},
        {"scope": "workspace", "match": "prefix", "words": []},
        {"scope": "everywhere", "match": "exact"},
        {"scope": "session", "match": "exact", "until": "2001-01-01T00:00:00Z"},
        {"scope": "session", "match": "exact", "until": "9999-12-31T23:59:59-23:00"},
        {"scope": "session", "match": "exact", "until": "2101-01-01T00:00:00"},
    ],
    ids=str,
)
async def test_what_cannot_be_remembered_is_refused_and_the_request_stays_open(
    tmp_path: Path, remember: dict[str, object]
) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(owner, "!touch one")
        await owner.refused(await decide(owner, request, "allow", remember=remember), "bad_message")
        assert await listed(owner) == [] and not (tmp_path / "one").exists()
        await owner.refused(await decide(owner, request, "deny", remember=PREFIX), "bad_message")
        await owner.acked(await decide(owner, request, "deny"))


async def test_a_request_with_warnings_is_asked_whatever_the_rule(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(owner, "!touch a\u202eb")
        assert request["request"]["flags"] and "remembers" not in request["request"]
        remember = {"scope": "workspace", "match": "exact"}
        await owner.refused(await decide(owner, request, "allow", remember=remember), "bad_message")
        await owner.acked(await decide(owner, request, "deny"))


async def test_a_rule_that_could_not_be_stored_is_none_and_its_request_stays_open(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await asked(owner, "!touch one")
        (tmp_path / ".myagent" / "remote" / "rules.json").mkdir()
        await owner.refused(await decide(owner, request, "allow", remember=PREFIX), "disk_full")
        assert await listed(owner) == [] and not (tmp_path / "one").exists()
        await owner.acked(await decide(owner, request, "allow"))


async def test_a_rule_has_its_end_in_any_zone(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        await remembered(owner, "!touch one", {**PREFIX, "until": "2101-01-01T01:00:00+01:00"})
        assert (await listed(owner))[0]["until"] == "2101-01-01T00:00:00.000Z"
        assert (await here.turn(owner, "!touch two"))["exitCode"] == 0


async def test_a_session_rule_counts_in_its_session_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        request = await remembered(owner, "!touch one", {**PREFIX, "scope": "session"})
        assert (await here.turn(owner, "!touch two", sessionId=request["sessionId"]))["exitCode"] == 0
        other = await asked(owner, "!touch three")
        assert other["request"]["missed"][0]["why"] == "it is for another session"
        await owner.acked(await decide(owner, other, "deny"))


async def test_edits_below_a_path_are_not_asked_for_and_others_are(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    async with scene(tmp_path) as here:
        owner = await here.join()
        await remembered(owner, "write src/a\none\n", {"scope": "workspace", "match": "path", "path": "src"})
        assert (await here.turn(owner, "write src/b\ntwo\n"))["exitCode"] == 0
        await owner.acked(await decide(owner, await asked(owner, "write c\nx\n"), "deny"))
        assert (tmp_path / "src" / "b").exists() and not (tmp_path / "c").exists()


async def test_a_hosted_agents_link_is_followed_before_a_rule_is_believed(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "link").symlink_to("..")
    agent = Puppet()
    options = (Option("yes", "Allow", "allow_once"), Option("no", "Deny", "reject_once"))

    def edit(path: str) -> dict[str, object]:
        diffs = (Diff(path, None, "x"),)
        return {"tool_name": "Edit", "input": {"path": path}, "kind": "edit", "diffs": diffs, "options": options}

    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="go")
        play = await agent.begun()
        first = play.ask("src/a", **edit("src/a"))
        request = await owner.until("permission_request")
        remember = {"scope": "workspace", "match": "path"}
        await owner.acked(await decide(owner, request, "allow", optionId="yes", remember=remember))
        assert (await first).kind == "allow"
        assert (await play.ask("src/b", **edit("src/b"))).kind == "allow"
        by_rule = await owner.until("permission_request")
        led_out = play.ask("src/link/Makefile", **edit("src/link/Makefile"))
        asked_again = await owner.until("permission_request")
        assert asked_again["permissionRequestId"] != by_rule["permissionRequestId"]
        assert asked_again["request"]["missed"][0]["why"] == "a link leads out of the path"
        await owner.acked(await decide(owner, asked_again, "deny"))
        assert (await led_out).kind == "deny"
        play.end()


async def test_what_the_agent_would_remember_itself_is_no_rule(tmp_path: Path) -> None:
    agent = Puppet()
    options = (Option("ever", "Always", "allow_always"), Option("once", "Once", "allow_once"))
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="go")
        play = await agent.begun()
        answer = play.ask("ls", kind="execute", options=options)
        request = await owner.until("permission_request")
        remember = {"scope": "workspace", "match": "exact"}
        await owner.refused(await decide(owner, request, "allow", optionId="ever", remember=remember), "bad_message")
        await owner.acked(await decide(owner, request, "allow", optionId="once", remember=remember))
        assert (await answer).option_id == "once"
        play.end()
