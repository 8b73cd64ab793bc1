"""What an owner chooses of what the agent offers: stored once, told to all, set by the agent, taken back if refused."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.agents.test_acp import FAKE
from tests.host.test_host import Client, come

from myagent.agents.acp.host import AcpAgent
from myagent.core.messages import Delete, Resume, SessionId, SetOption, UserMessage
from myagent.core.refusals import NotOwner, UnknownSession
from myagent.eventlog.sqlite import SqliteLog
from myagent.host.host import Host
from myagent.settings import Settings

ARGUMENTS = ("--modes", "auto,ask,acceptEdits", "--offer", "config")


class Served:
    """A workspace with a fake agent, an owner, and a session."""

    def __init__(self, host: Host, owner: Client, session: str) -> None:
        self.host, self.owner, self.session = host, owner, SessionId(session)
        self._ids = iter(uuid.uuid4, None)

    async def turn(self, prompt: str) -> str:
        """What the agent says to a prompt."""
        name = str(next(self._ids))
        self.host.receive(self.owner, UserMessage(id=name, prompt=prompt, session_id=self.session))
        async with asyncio.timeout(30):
            while not (ends := [each for each in self.owner.of("terminal_state") if each["id"] == name]):
                await self.owner.news()
        assert ends[0]["exitCode"] == 0
        return "".join(each["chunk"] for each in self.owner.of("agent_stdout") if each["id"] == name)

    async def choose(self, name: str, value: str | bool, *, id: str = "", by: Client | None = None) -> dict[str, Any]:
        """The answer to a choice: `ack` or `error`."""
        client = by or self.owner
        message = SetOption(id=id or str(next(self._ids)), session_id=self.session, name=name, value=value)
        before = len(client.received)
        self.host.receive(client, message)
        async with asyncio.timeout(30):
            while True:
                for each in client.received[before:]:
                    if each["type"] in ("ack", "error") and each["id"] == message.id:
                        return each
                await client.news()

    def value(self, option: str, client: Client | None = None) -> Any:
        """As the newest metadata tells it."""
        told = (client or self.owner).of("session_metadata")[-1]["session"]["agentState"]["options"]
        return next(row["value"] for row in told if row["id"] == option)


def serving(
    tmp_path: Path, test: Callable[[Served], Awaitable[None]], *arguments: str, bypass: bool = False, session: str = ""
) -> str:
    """Serve, with a session that has had a turn; its id."""

    async def main() -> str:
        agent = AcpAgent(
            [sys.executable, "-I", str(FAKE), *(arguments or ARGUMENTS), "--store", str(tmp_path)], cwd=tmp_path
        )
        host = Host(tmp_path, agent, SqliteLog(tmp_path / "log.db"), Settings(allow_bypass=bypass))
        await host.start()
        owner = come(host, "owner")
        ident = session
        try:
            if not session:
                host.receive(owner, UserMessage(id="first", prompt="say hello"))
                ident = (await owner.until("terminal_state"))[0]["sessionId"]
            await test(Served(host, owner, ident))
        finally:
            await host.stop()
            await host.close()
        return ident

    return asyncio.run(main())


def test_a_choice_is_acknowledged_told_to_all_and_set(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        follower = come(served.host, "follower")
        assert await served.choose("model", "small", id="mine") == {
            "type": "ack", "id": "mine", "sessionId": served.session, "duplicate": False,
        }  # fmt: skip
        for client in (served.owner, follower):
            told = await client.until("option_set")
            assert [(each["optionId"], each["value"], each["before"], each["by"]) for each in told] == [
                ("m1", "small", "big", "owner")
            ]
            assert told[0]["id"] == "mine" and told[0]["seq"] > 0
            await client.until("session_metadata")
            assert served.value("m1", client) == "small"
        assert '"m1": "small"' in await served.turn("chosen")
        late = come(served.host, "late")  # is told all of it again
        served.host.receive(late, Resume(id="r", session_id=served.session, after_seq=0))
        assert (await late.until("option_set"))[0]["value"] == "small"

    serving(tmp_path, test)


def test_a_choice_counts_once(tmp_path: Path) -> None:
    """Sent again after others it changes nothing, and what is so already is no event."""

    async def test(served: Served) -> None:
        await served.choose("m1", "small", id="a")
        await served.choose("m1", "big", id="b")
        assert (await served.choose("m1", "small", id="a"))["duplicate"]
        assert (await served.choose("m1", "big", id="c"))["duplicate"]
        assert [each["value"] for each in served.owner.of("option_set")] == ["small", "big"]
        assert served.value("m1") == "big"

    serving(tmp_path, test)


def test_only_the_owner_chooses_and_only_what_is_offered(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        follower = come(served.host, "follower")
        with pytest.raises(NotOwner):
            await served.choose("m1", "small", by=follower)
        with pytest.raises(UnknownSession):
            served.host.receive(
                served.owner, SetOption(id="x", session_id=SessionId("nowhere"), name="m1", value="small")
            )
        for name, value in (("m1", "huge"), ("m2", "big"), ("fast", "perhaps"), ("m1", True)):
            assert (await served.choose(name, value))["code"] == "not_offered"
        assert not served.owner.of("option_set")

    serving(tmp_path, test)


def test_what_the_agent_refuses_is_set_back_and_said(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        assert (await served.choose("effort", "high", id="e"))["type"] == "ack"
        assert (await served.owner.until("error"))[0] == {"type": "error", "id": "e", "code": "agent_refused"}
        told = await served.owner.until("option_set", 2)
        assert [(each["value"], each["by"]) for each in told] == [("high", "owner"), ("low", "server")]
        assert told[1]["reason"].endswith("it refused effort=high: not for this account")
        assert served.value("effort") == "low"
        assert (await served.turn("say on")).strip() == "on"

    serving(tmp_path, test)


def test_a_guarded_choice_needs_a_server_that_allows_it_also_after_a_restart(tmp_path: Path) -> None:
    async def refused(served: Served) -> None:
        for mode in ("acceptEdits", "auto"):
            assert (await served.choose("mode", mode))["code"] == "not_allowed"
        assert await served.turn("mode") == "ask"
        assert not served.owner.of("option_set")

    async def allowed(served: Served) -> None:
        assert (await served.choose("mode", "acceptEdits"))["type"] == "ack"
        assert (await served.owner.until("option_set"))[0]["guarded"] is True
        assert await served.turn("mode") == "acceptEdits"

    async def kept(served: Served) -> None:
        assert await served.turn("mode") == "acceptEdits"

    async def gone(served: Served) -> None:
        assert await served.turn("mode") == "ask"
        assert "needs a server that was started with --allow-bypass" in served.owner.of("agent_stderr")[-1]["chunk"]
        assert (await served.choose("mode", "ask"))["type"] == "ack"

    session = serving(tmp_path, refused)
    serving(tmp_path, allowed, bypass=True, session=session)
    serving(tmp_path, kept, bypass=True, session=session)
    serving(tmp_path, gone, session=session)


def test_an_ordinary_choice_holds_after_a_restart(tmp_path: Path) -> None:
    async def before(served: Served) -> None:
        assert (await served.choose("model", "small"))["type"] == "ack"

    async def after(served: Served) -> None:
        told = served.owner.of("welcome")[0]["sessions"][0]["agentState"]["options"]
        assert next(row["value"] for row in told if row["id"] == "m1") == "small"
        assert '"m1": "small"' in await served.turn("chosen")

    session = serving(tmp_path, before)
    serving(tmp_path, after, session=session)


def test_a_choice_that_comes_behind_the_deletion_of_its_session_is_answered(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        served.host.receive(served.owner, Delete(id="d", session_id=served.session))
        refused = await served.choose("m1", "small", id="late")
        assert (refused["type"], refused["code"]) == ("error", "unknown_session")
        await served.owner.until("session_deleted")

    serving(tmp_path, test)


def test_an_agent_that_offers_nothing_is_no_error(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        assert (await served.choose("model", "small"))["code"] == "not_offered"

    serving(tmp_path, test, "--modes", "")
