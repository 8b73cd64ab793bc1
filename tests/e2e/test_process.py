"""The server as a process of its own: started, stopped in the midst of a turn, killed, started again."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

from serving import gone, process, refused
from wire import decide


async def test_it_serves_a_turn_and_stops_on_sigterm_with_everything_told(tmp_path: Path) -> None:
    async with process(tmp_path, "--allow-bypass") as (server, here):
        owner, follower = await here.join(), await here.join()
        assert (await here.turn(owner, "!echo hello"))["exitCode"] == 0
        await owner.send("user_message", prompt="!echo $$; sleep 1000", permissionMode="bypassPermissions")
        while len(owner.of("agent_stdout")) < 2:
            await owner.next()
        child = int(owner.of("agent_stdout")[1]["chunk"])
        assert await server.stop() == 0
        for client in (owner, follower):
            assert await client.closed() == 1001
            assert client.of("terminal_state")[-1]["stopReason"] == "interrupted"
        assert gone(child)


async def test_a_killed_server_comes_back_with_all_that_was_acknowledged_and_runs_nothing_again(
    tmp_path: Path,
) -> None:
    async with process(tmp_path) as (server, here):
        owner = await here.join()
        session = (await here.turn(owner, "!echo one >> made"))["sessionId"]
        await owner.send("user_message", id="m2", prompt="!echo two >> made", sessionId=session)
        request = await owner.until("permission_request", id="m2")
        await owner.acked(await owner.send("user_message", id="m3", prompt="help", sessionId=session))
        seen = dict(here.known)
        assert await server.stop(signal.SIGKILL) == -signal.SIGKILL
    async with process(tmp_path) as (server, here):
        here.known.update(seen)  # what was shown must still be there, byte for byte
        owner = await here.join()
        assert owner.welcome["sessions"][0]["state"] == "failed"
        await owner.settle()
        assert not owner.of("permission_request", "prompt")
        events = await here.events(session)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert len(events) > len(seen)
        left = [(event["id"], event["type"], event.get("outcome"), event.get("stopReason")) for event in events[-3:]]
        assert left == [
            ("m2", "permission_resolved", "cancelled", None),
            ("m2", "terminal_state", None, "interrupted"),
            ("m3", "terminal_state", None, "interrupted"),
        ]
        await owner.refused(await decide(owner, request, "allow"), "already_resolved")
        await owner.acked(
            await owner.send("user_message", id="m2", prompt="!echo two >> made", sessionId=session), duplicate=True
        )
        assert (tmp_path / "made").read_text() == "one\n"


async def test_a_second_server_on_the_directory_says_which_process_has_it(tmp_path: Path) -> None:
    async with process(tmp_path) as (server, here):
        code, said = await refused(tmp_path)
        assert code == 3 and str(server.process.pid) in said and said.count("\n") == 1
        assert (await here.join()).role == "owner"


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with process(tmp_path) as (server, _):
        code, said = await refused(tmp_path / "other", "--port", str(server.port))
        assert code == 3 and "in use" in said and said.count("\n") == 1


async def test_listening_beyond_this_machine_needs_tls_or_a_word(tmp_path: Path) -> None:
    code, said = await refused(tmp_path, "--host", "0.0.0.0")
    assert code == 2 and "--tls-cert" in said and "--insecure-plain" in said
    assert not (tmp_path / ".myagent").exists()


async def test_it_runs_without_home_terminal_or_locale_and_with_few_descriptors(tmp_path: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    bare = {"PATH": os.environ["PATH"], "LANG": "C", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    async with process(tmp_path, env=bare, stdin=None, preexec_fn=few, start_new_session=True) as (_, here):
        owner = await here.join()
        (tmp_path / "é").write_text("é\n")
        assert (await here.turn(owner, "read é"))["exitCode"] == 0
        assert (await here.turn(owner, "!cat é"))["exitCode"] == 0
        assert [message["chunk"] for message in owner.of("agent_stdout")] == ["é\n", "é\n"]
