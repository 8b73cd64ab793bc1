"""Agents hosted by the real server process: any command that speaks ACP (`-- COMMAND`), and `exec:` for one that does
not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from puppet import PATIENCE
from serving import COMMAND, gone, process, refused
from wire import Client, decide

from myagent.agents.acp.directory import NOT_KNOWN

FAKE = (sys.executable, "-I", str(Path(__file__).parents[1] / "agents" / "fake_agent.py"))
SAYS = f"exec:{sys.executable} -c 'import sys; print(sys.argv[1]); open(sys.argv[1], \"w\").close()' {{prompt}}"


def text(client: Client, turn_id: str, kind: str = "agent_stdout") -> str:
    return "".join(each["chunk"] for each in client.of(kind) if each["id"] == turn_id)


async def test_an_acp_agent_asks_through_the_server(tmp_path: Path) -> None:
    """It begins in a mode that approves by itself, and is put into the one that asks."""
    async with process(tmp_path, "--", *FAKE, "--modes", "yolo,default") as (server, here):
        assert f"agent fake (unverified: it may or may not ask (mode default); {NOT_KNOWN})" in server.said
        owner, follower = await here.join(), await here.join()
        end = await here.turn(owner, "say one two")
        assert (end["exitCode"], text(owner, end["id"])) == (0, "one two ")
        assert end["agentSessionId"].startswith("fake-")
        session = end["sessionId"]
        assert owner.of("session_metadata")[0]["session"]["agentState"]["mode"] == "default"

        denied = await here.turn(owner, "write made no", allow=False, sessionId=session)
        assert (denied["exitCode"], text(owner, denied["id"])) == (0, "cancel: failed")
        assert not (tmp_path / "made").exists()
        allowed = await here.turn(owner, "write made yes", sessionId=session)
        assert (allowed["exitCode"], text(owner, allowed["id"])) == (0, "yes: completed")
        assert (tmp_path / "made").read_text() == "yes"
        await follower.until("terminal_state", id=allowed["id"])
        assert text(follower, allowed["id"]) == "yes: completed"


async def test_the_owner_chooses_among_the_agents_own_options(tmp_path: Path) -> None:
    async with process(tmp_path, "--", *FAKE) as (server, here):
        assert "unverified: it may or may not ask (it has no modes)" in server.said
        owner = await here.join()
        turn = await owner.send("user_message", prompt="write made yes")
        request = await owner.until("permission_request", id=turn)
        kinds = {option["kind"]: option["optionId"] for option in request["request"]["options"]}
        await decide(owner, request, "allow", optionId=kinds["allow_always"])
        await owner.until("terminal_state", id=turn)
        assert text(owner, turn) == "forever: completed"


async def test_what_was_chosen_of_an_agents_offers_is_set_and_shown(tmp_path: Path) -> None:
    chosen = ("--agent-option", "model=small", "--agent-option", "fast=on")
    async with process(tmp_path, *chosen, "--", *FAKE, "--offer", "config") as (server, here):
        assert "unverified: it may or may not ask (it has no modes); model=small; fast=on" in server.said
        owner = await here.join()
        end = await here.turn(owner, "chosen")
        assert json.loads(text(owner, end["id"])).items() >= {"m1": "small", "effort": "low", "fast": True}.items()
        state = owner.of("session_metadata")[-1]["session"]["agentState"]
        assert {row["id"]: row["value"] for row in state["config"]} == {"m1": "small", "effort": "low", "fast": True}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("--agent-option", "model=huge", "--", *FAKE, "--offer", "config"),
            3,
            "not offer model=huge; it offers big, small",
        ),
        (("--agent-option", "speed=9", "--", *FAKE), 3, "does not offer the option speed, nor anything else"),
        (("--agent-option", "speed=9"), 2, "the command agent has no options, and so none named speed"),
        (("--agent-option", "speed=9", "--agent", SAYS), 2, "the exec agent has no options"),
        (("--agent-option", "speed"), 2, "'speed' is not KEY=VALUE"),
    ],
)
async def test_what_is_not_offered_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    exit_code, message = await refused(tmp_path, *arguments)
    assert (exit_code, said in message) == (code, True), message


async def test_claude_by_its_own_protocol_asks_through_the_server(tmp_path: Path) -> None:
    """A program that speaks as `claude -p` does; the real one is tried by `make agents`."""
    claude = (sys.executable, "-I", str(Path(__file__).parents[1] / "agents" / "fake_claude.py"))
    (tmp_path / "store").mkdir()
    options = ("--agent", "claude-p", "--", *claude, "--store", str(tmp_path / "store"))
    async with process(tmp_path, *options) as (server, here):
        assert f"agent Claude Code (unverified: it may or may not ask (mode default); {NOT_KNOWN})" in server.said
        owner, follower = await here.join(), await here.join()
        denied = await here.turn(owner, "write made no", allow=False)
        assert denied["exitCode"] == 0 and not (tmp_path / "made").exists()
        assert "denied" in text(owner, denied["id"], "agent_stderr")
        allowed = await here.turn(owner, "write made yes", sessionId=denied["sessionId"])
        assert allowed["exitCode"] == 0 and (tmp_path / "made").read_text() == "yes"
        recalled = await here.turn(owner, "recall", sessionId=denied["sessionId"])
        assert text(owner, recalled["id"]) == "write made no\nwrite made yes\n"
        turn = await owner.send("user_message", prompt="linger")
        session = (await owner.until("agent_stdout", id=turn))["sessionId"]
        await owner.send("cancel", sessionId=session)
        end = await follower.until("terminal_state", id=turn)
        assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")
        children = [int(pid) for pid in text(follower, turn).split()]
        assert len(children) == 2
        while not all(gone(child) for child in children):  # the kernel takes its moment
            await asyncio.sleep(0.01)


async def test_cancel_ends_130_and_the_agent_goes_on(tmp_path: Path) -> None:
    async with process(tmp_path, "--", *FAKE) as (_, here):
        owner = await here.join()
        turn = await owner.send("user_message", prompt="wait")
        session = (await owner.until("agent_stdout", id=turn))["sessionId"]
        await owner.send("cancel", sessionId=session)
        end = await owner.until("terminal_state", id=turn)
        assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")
        assert "Wait: stopped" in text(owner, turn, "agent_stderr")
        assert (await here.turn(owner, "say on", sessionId=session))["exitCode"] == 0


async def test_the_death_of_an_agent_ends_the_turn_with_its_status_and_the_next_prompt_starts_it_again(
    tmp_path: Path,
) -> None:
    async with process(tmp_path, "--", *FAKE) as (_, here):
        owner = await here.join()
        end = await owner.until("terminal_state", id=await owner.send("user_message", prompt="die 7"))
        assert (end["exitCode"], end["stopReason"]) == (7, "failed")
        assert end["message"] == "the agent exited with status 7; its stderr ended with: out of cheese"
        assert (await here.turn(owner, "say again", sessionId=end["sessionId"]))["exitCode"] == 0


async def test_the_conversation_goes_on_after_a_restart_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    options = ("--", *FAKE, "--store", str(tmp_path / "store"))
    async with process(tmp_path, *options) as (server, here):
        before = await here.turn(await here.join(), "say one")
        assert await server.stop() == 0
    async with process(tmp_path, *options) as (_, here):
        owner = await here.join()
        end = await here.turn(owner, "say two", sessionId=before["sessionId"])
        assert end["agentSessionId"] == before["agentSessionId"]
        assert text(owner, end["id"]) == "two "  # without the replay of what is in our log already
        history = (tmp_path / "store" / before["agentSessionId"]).read_text()
        assert history.split("\n") == ["say one", "say two", ""]


async def test_an_agent_that_approves_by_itself_is_refused_in_one_line(tmp_path: Path) -> None:
    code, said = await refused(tmp_path, "--", *FAKE, "--modes", "yolo,turbo")
    assert (code, said.count("\n")) == (3, 1)
    assert "without asking" in said and "yolo, turbo" in said and "--allow-unsupervised" in said


async def test_the_word_of_the_operator_hosts_it_all_the_same_and_says_so(tmp_path: Path) -> None:
    """Negative control: it writes, and nobody was asked."""
    options = ("--allow-unsupervised", "--", *FAKE, "--modes", "yolo,turbo")
    async with process(tmp_path, *options) as (server, here):
        assert "UNSUPERVISED: it may run tools without asking (mode yolo)" in server.said
        owner = await here.join()
        end = await here.turn(owner, "write made yes", allow=False)
        assert not owner.of("permission_request")
        assert (end["exitCode"], (tmp_path / "made").read_text()) == (0, "yes")
        assert (await here.join()).welcome["sessions"][0]["agentState"]["mode"] == "yolo"


async def test_while_an_agent_does_not_answer_it_is_said_what_is_waited_for(tmp_path: Path) -> None:
    running = await asyncio.create_subprocess_exec(
        *COMMAND, "--cwd", str(tmp_path), "--", *FAKE, "--at", "initialize=hang",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert running.stderr is not None
        said = await asyncio.wait_for(running.stderr.readline(), PATIENCE)
        assert said.decode() == f"[remote] waiting for {Path(FAKE[0]).name}: its answer to initialize\n"
    finally:
        running.kill()
        await running.wait()


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--", "false"), 3, "agent false cannot run: the agent exited with status 1 and said nothing"),
        (("--", "/no/such-agent"), 3, "/no/such-agent"),
        (("--agent", "opencode", "--", "/no/such-agent"), 3, "npm install -g opencode-ai"),
        (("--", *FAKE, "--at", "initialize=exit"), 3, "no key found"),
        (("--", *FAKE, "--version", "2"), 3, "ACP version 2"),
        (("--", *FAKE, "--auth", "key"), 3, "sign in first: set FAKE_KEY"),
        (("--agent", "nobody"), 2, "no agent named 'nobody'"),
        (("--agent", "exec:echo"), 2, "{prompt}"),
        (("--agent", "exec:/no/such {prompt}"), 3, "/no/such"),
    ],
)
async def test_what_cannot_be_hosted_is_one_clear_line(
    tmp_path: Path, options: tuple[str, ...], code: int, told: str
) -> None:
    got, said = await refused(tmp_path, *options)
    assert (got, said.count("\n")) == (code, 1), said
    assert told in said


async def test_a_hosted_agent_gets_our_environment_less_our_own_variables(tmp_path: Path) -> None:
    env = os.environ | {"MYAGENT_REMOTE_TOKEN": "secret", "SOME_API_KEY": "key"}
    async with process(tmp_path, "--", *FAKE, env=env) as (_, here):
        owner = await here.join()
        end = await here.turn(owner, "env SOME_API_KEY MYAGENT_REMOTE_TOKEN")
        assert text(owner, end["id"]) == '{"SOME_API_KEY": "key", "MYAGENT_REMOTE_TOKEN": null}'


async def test_a_plain_command_is_asked_for_as_a_whole(tmp_path: Path) -> None:
    async with process(tmp_path, "--agent", SAYS) as (server, here):
        assert "no permission prompts of its own" in server.said
        owner, follower = await here.join(), await here.join()
        denied = await here.turn(owner, "made", allow=False)
        assert denied["exitCode"] == 1 and not (tmp_path / "made").exists()
        turn = await owner.send("user_message", prompt="made", sessionId=denied["sessionId"])
        request = await owner.until("permission_request", id=turn)
        assert request["request"]["display"].rstrip().endswith("made")
        assert not (tmp_path / "made").exists()
        await decide(owner, request, "allow")
        assert (await follower.until("terminal_state", id=turn))["exitCode"] == 0
        assert text(follower, turn) == "made\n" and (tmp_path / "made").exists()


async def test_a_plain_command_that_is_cancelled_ends_130_and_is_gone(tmp_path: Path) -> None:
    async with process(tmp_path, "--agent", "exec:sh -c {prompt}") as (_, here):
        owner = await here.join()
        turn = await owner.send("user_message", prompt="echo $$; sleep 1000")
        await decide(owner, await owner.until("permission_request", id=turn), "allow")
        said = await owner.until("agent_stdout", id=turn)
        await owner.send("cancel", sessionId=said["sessionId"])
        end = await owner.until("terminal_state", id=turn)
        assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")
        assert gone(int(said["chunk"]))


async def test_what_ran_unasked_is_told_to_everybody_and_kept(tmp_path: Path) -> None:
    call = {"toolCallId": "c", "title": "Run it", "kind": "execute", "status": "completed"}
    async with process(tmp_path, "--", *FAKE) as (_, here):
        owner, follower = await here.join(), await here.join()
        await owner.acked(await owner.send("hello", client={"name": "test"}, wants=["updates"]))
        end = await here.turn(owner, f"show {json.dumps([{'sessionUpdate': 'tool_call', **call}])}")
        await follower.until("terminal_state", id=end["id"])
        for client in (owner, follower):
            assert "UNSUPERVISED: Run it: it ran and nobody was asked\n" in text(client, end["id"], "agent_stderr")
        updates = [event["update"] for event in owner.of("agent_stderr") if "update" in event]
        assert updates[-1]["sessionUpdate"] == "_myagent/unasked"
        assert {"toolCallId": "c", "title": "Run it", "kind": "execute"}.items() <= updates[-1].items()
        late = await here.join()
        assert late.welcome["sessions"][0]["agentState"]["supervision"] == "unsupervised"
    audit = subprocess.run(
        [sys.executable, "-m", "myagent", "remote", "audit", "--cwd", str(tmp_path), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = [json.loads(line) for line in audit.stdout.splitlines()]
    assert [(each["tool"], each["does"]) for each in told if each["kind"] == "unasked"] == [("Run it", "execute")]
