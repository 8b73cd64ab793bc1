"""Prompts and their turns: acknowledged, queued, cancelled, ended, and never run twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from puppet import Puppet
from wire import Client, Scene, scene

from myagent.agents import Turn, TurnEnd, TurnIO
from myagent.agents.builtin.command import CommandAgent
from myagent.exceptions import MyagentError


class Unhappy(MyagentError):
    def __str__(self) -> str:
        return "the model is not there; start it"


async def opened(here: Scene, owner: Client, prompt: str = "go", **fields: object) -> str:
    """Open a session with a prompt; its id."""
    return str((await owner.acked(await owner.send("user_message", prompt=prompt, **fields)))["sessionId"])


# --- order ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet_log")
async def test_the_ack_comes_before_anything_of_the_turn_and_metadata_follows_ack_and_end(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        session = (await here.turn(owner, "help"))["sessionId"]
        await here.turn(owner, "help", sessionId=session)
        await owner.settle()
        await follower.settle()
        telling = {"ack", "session_metadata", "prompt", "terminal_state"}
        one_turn = ["session_metadata", "prompt", "terminal_state", "session_metadata"]
        assert [message["type"] for message in follower.of(*telling)] == 2 * one_turn
        assert [message["type"] for message in owner.of(*telling)] == 2 * ["ack", *one_turn]
        heads = [message["session"]["head"] for message in owner.of("session_metadata")]
        assert heads == sorted(heads) and heads[-1] == owner.of("terminal_state")[-1]["seq"]


@pytest.mark.usefixtures("quiet_log")
async def test_one_turn_of_a_session_runs_at_a_time_and_sessions_do_not_wait_for_each_other(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await opened(here, owner, "one")
        await opened(here, owner, "two", sessionId=session)
        await opened(here, owner, "elsewhere")
        plays = [await agent.begun(), await agent.begun()]
        assert [play.turn.prompt for play in plays] == ["one", "elsewhere"]
        plays[0].end()
        assert (await agent.begun()).turn.prompt == "two"


@pytest.mark.usefixtures("quiet_log")
async def test_sixteen_prompts_wait_and_the_next_is_refused(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await opened(here, owner, "0")
        for number in range(1, 17):
            await opened(here, owner, str(number), sessionId=session)
        refused = await owner.send("user_message", prompt="17", sessionId=session)
        await owner.refused(refused, "queue_full")
        queue = [message["session"]["queue"] for message in owner.of("session_metadata")][-1]
        assert [waiting["prompt"] for waiting in queue] == [str(number) for number in range(1, 17)]
        (await agent.begun()).end()
        await owner.until("terminal_state")
        await owner.acked(await owner.send("user_message", id=refused, prompt="17", sessionId=session))
        for number in range(1, 18):
            play = await agent.begun()
            assert play.turn.prompt == str(number)
            play.end()


# --- cancel ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet_log")
async def test_cancel_stops_the_running_turn_and_what_it_had_started(tmp_path: Path) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        owner, follower = await here.join(), await here.join()
        bypass = {"permissionMode": "bypassPermissions"}
        session = await opened(here, owner, "!echo $$; sleep 1000", **bypass)
        process = int((await follower.until("agent_stdout"))["chunk"])
        await owner.acked(await owner.send("cancel", sessionId=session))
        end = await follower.until("terminal_state")
        assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")
        assert not Path(f"/proc/{process}").exists()


@pytest.mark.usefixtures("quiet_log")
async def test_cancel_by_id_takes_a_waiting_prompt_out_of_the_queue(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await opened(here, owner, "one", id="m1")
        await opened(here, owner, "two", id="m2", sessionId=session)
        await opened(here, owner, "three", id="m3", sessionId=session)
        await owner.acked(await owner.send("cancel", sessionId=session, turnId="m2"))
        end = await owner.until("terminal_state", id="m2")
        assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")
        assert [waiting["id"] for waiting in (await owner.until("session_metadata"))["session"]["queue"]] == ["m3"]
        (await agent.begun()).end()
        assert (await agent.begun()).turn.turn_id == "m3"


@pytest.mark.usefixtures("quiet_log")
async def test_cancel_of_a_turn_that_is_over_cancels_no_other(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await opened(here, owner, "one", id="m1")
        (await agent.begun()).end()
        await owner.until("terminal_state", id="m1")
        await opened(here, owner, "two", id="m2", sessionId=session)
        play = await agent.begun()
        for turn in ("m1", "never"):
            await owner.acked(await owner.send("cancel", sessionId=session, turnId=turn), duplicate=True)
        await owner.settle()
        assert not play.cancelled.is_set()
        await owner.acked(await owner.send("cancel", sessionId=session, turnId="m2"))
        await owner.until("terminal_state", id="m2", exitCode=130)
        await owner.acked(await owner.send("cancel", sessionId=session), duplicate=True)


@pytest.mark.usefixtures("quiet_log")
async def test_cancel_closes_what_the_turn_was_asking(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        session = await opened(here, owner, "!touch made")
        await owner.until("permission_request")
        await owner.acked(await owner.send("cancel", sessionId=session))
        assert (await owner.until("permission_resolved"))["outcome"] == "cancelled"
        assert (await owner.until("terminal_state"))["exitCode"] == 130
        assert not (tmp_path / "made").exists()


async def test_followers_cannot_cancel(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner, follower = await here.join(), await here.join()
        session = await opened(here, owner)
        await follower.refused(await follower.send("cancel", sessionId=session), "not_owner")
        assert not (await agent.begun()).cancelled.is_set()


# --- ids ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet_log")
async def test_a_repeated_id_runs_nothing_also_after_a_restart(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await opened(here, owner, "one", id="m1")
        (await agent.begun()).end()
        await owner.until("terminal_state")
        await opened(here, owner, "two", id="m2", sessionId=session)
        await owner.acked(await owner.send("user_message", id="m2", prompt="two", sessionId=session), duplicate=True)
        assert (await owner.next())["session"]["sessionId"] == session
        (await agent.begun()).end()
        await owner.until("terminal_state")
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        for message in ({"id": "m1", "prompt": "one"}, {"id": "m2", "prompt": "two", "sessionId": session}):
            ack = await owner.acked(await owner.send("user_message", **message), duplicate=True)
            assert ack["sessionId"] == session
            assert (await owner.next())["session"]["sessionId"] == session
        await owner.settle()
        assert not owner.of("prompt") and agent.runs == 2


@pytest.mark.usefixtures("quiet_log")
async def test_an_id_means_one_prompt_in_its_session(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await opened(here, owner, "one", id="m1")
        await owner.refused(await owner.send("user_message", id="m1", prompt="two", sessionId=session), "conflict")
        another = await opened(here, owner, "two", id="m1")
        assert another != session
        third = await opened(here, owner, "three", id="m3")
        await opened(here, owner, "one", id="m1", sessionId=third)


@pytest.mark.usefixtures("quiet_log")
async def test_a_resend_before_the_ack_is_answered_twice_and_runs_once(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        for _ in range(5):
            await owner.send("user_message", id="m1", prompt="once")
        acks = [await owner.until("ack", id="m1") for _ in range(5)]
        assert [ack["duplicate"] for ack in acks] == [False, True, True, True, True]
        assert len({ack["sessionId"] for ack in acks}) == 1
        await agent.begun()
        await owner.settle()
        assert agent.runs == 1


# --- how turns end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "how", "code"),
    [
        ("end_turn", {}, 0),
        ("cancelled", {}, 130),
        ("refusal", {}, 1),
        ("max_tokens", {}, 1),
        ("end_turn", {"exit_code": 7}, 7),
        ("failed", {"message": "no model"}, 1),
    ],
)
@pytest.mark.usefixtures("quiet_log")
async def test_exit_codes(tmp_path: Path, reason: str, how: dict[str, object], code: int) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        await opened(here, owner)
        (await agent.begun()).end(reason, **how)
        end = await owner.until("terminal_state")
        assert (end["exitCode"], end["stopReason"], end.get("message")) == (code, reason, how.get("message"))
        session = (await owner.until("session_metadata"))["session"]
        assert (session["state"], session["lastExitCode"]) == ("failed" if code else "completed", code)


@pytest.mark.usefixtures("quiet_log")
async def test_a_commands_exit_code_is_the_turns(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        assert (await here.turn(owner, "!exit 7"))["exitCode"] == 7
        assert (await here.turn(owner, "!exit 0"))["exitCode"] == 0


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unhappy(), "the model is not there; start it"),
        (ValueError("/home/ada/secret"), "internal error; the server's log has it"),
    ],
)
async def test_a_turn_that_could_not_run_is_told_with_an_error_just_before_its_end(
    tmp_path: Path, error: Exception, told: str
) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner, follower = await here.join(), await here.join()
        await opened(here, owner, id="m1")
        (await agent.begun()).fail(error)
        for client in (owner, follower):
            failure = await client.until("error", id="m1")
            end = await client.next()
            assert failure["message"] == end["message"] == told
            assert (end["type"], end["exitCode"], end["stopReason"]) == ("terminal_state", 1, "failed")
        await opened(here, owner)
        (await agent.begun()).end()
        await owner.until("terminal_state", exitCode=0)


@pytest.mark.usefixtures("quiet_log")
async def test_a_turn_that_is_over_says_and_asks_nothing_more(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await opened(here, owner)
        play = await agent.begun()
        play.end()
        await owner.until("terminal_state")
        await play.say("too late")
        assert (await asyncio.wait_for(play.ask(), 5)).kind == "cancelled"
        await owner.settle()
        assert [event["type"] for event in await here.events(session)] == ["prompt", "terminal_state"]


@pytest.mark.usefixtures("quiet_log")
async def test_the_session_remembers_what_the_agent_calls_it(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await opened(here, owner)
        (await agent.begun()).end(agent_session_id="theirs-1")
        assert (await owner.until("terminal_state"))["agentSessionId"] == "theirs-1"
        assert (await owner.until("session_metadata"))["session"]["agentSessionId"] == "theirs-1"
        await opened(here, owner, sessionId=session)
        assert (await agent.begun()).turn.agent_session_id == "theirs-1"


# --- agents that do not keep to their port --------------------------------------------------------------------------

UNFIT = {
    "nothing": None,
    "a number": 0,
    "a text as exit code": TurnEnd(exit_code="3"),  # type: ignore[arg-type]
    "a huge exit code": TurnEnd(exit_code=2**70),
    "a number as stop reason": TurnEnd(stop_reason=5),  # type: ignore[arg-type]
    "bytes as message": TurnEnd(message=b"why"),  # type: ignore[arg-type]
    "half a character as session": TurnEnd(agent_session_id="\ud800"),
}


class Unfit(CommandAgent):
    """Answers `unfit` with what is no end of a turn, or by raising it."""

    def __init__(self, end: object) -> None:
        super().__init__()
        self.end = end

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        if turn.prompt != "unfit":
            return await super().run(turn, io)
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end  # type: ignore[return-value]


@pytest.mark.parametrize("end", UNFIT.values(), ids=UNFIT.keys())
async def test_what_is_no_end_of_a_turn_ends_it_as_failed_and_the_session_goes_on(tmp_path: Path, end: object) -> None:
    await fails(tmp_path, end)


@pytest.mark.parametrize("error", [RuntimeError("secret"), TimeoutError(), StopAsyncIteration(), AssertionError()])
async def test_an_agent_that_raises_ends_its_turn_as_failed_and_the_session_goes_on(
    tmp_path: Path, error: Exception
) -> None:
    await fails(tmp_path, error)


async def fails(workspace: Path, end: object) -> None:
    async with scene(workspace, Unfit(end)) as here:
        owner = await here.join()
        message_id = await owner.send("user_message", prompt="unfit")
        told = await owner.until("error", id=message_id)
        assert (told["code"], "secret" in told["message"]) == ("internal", False)
        ended = await owner.until("terminal_state", id=message_id)
        assert (ended["exitCode"], ended["stopReason"]) == (1, "failed")
        assert (await here.turn(owner, "help", sessionId=ended["sessionId"]))["exitCode"] == 0
    async with scene(workspace) as here:  # what was stored can be read
        assert [each["state"] for each in (await here.join()).welcome["sessions"]] == ["completed"]


async def test_an_agent_that_cancels_itself_ends_its_turn_as_cancelled(tmp_path: Path) -> None:
    async with scene(tmp_path, Unfit(asyncio.CancelledError())) as here:
        ended = await here.turn(await here.join(), "unfit")
        assert (ended["exitCode"], ended["stopReason"]) == (130, "cancelled")


async def test_half_a_character_in_a_message_is_told_as_a_question_mark(tmp_path: Path) -> None:
    async with scene(tmp_path, Unfit(TurnEnd(exit_code=3, message="so \ud800"))) as here:
        ended = await here.turn(await here.join(), "unfit")
        assert (ended["exitCode"], ended["message"]) == (3, "so ?")
