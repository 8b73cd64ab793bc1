"""The ACP host keeps the contract of an agent, over our fake agent and over one built on the protocol's own SDK."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from pathlib import Path

import psutil
import pytest
from tests.agents import contract
from tests.agents.contract import CHECKS, Check, Subject, populate

from myagent.agents.acp import host
from myagent.agents.acp.host import AcpAgent
from myagent.agents.acp.own_turn import OwnTurn
from myagent.agents.rendering import JSON

HERE = Path(__file__).parent


def subject(name: str, script: str, **more: str) -> Subject:
    return Subject(
        name=name,
        make=lambda root: AcpAgent([sys.executable, str(HERE / script)], cwd=root),
        says="read greeting.txt",
        changes="write changed something",
        lingers="linger",
        runs=None,
        fails="refuse",
        asks="question",
        **more,
    )


SDK_CHECKS: list[Check] = [  # each start of the SDK takes a second and a half
    contract.asks_before_it_changes_anything,
    contract.does_nothing_without_an_allow,
    contract.puts_its_question_and_hears_the_answer,
    contract.takes_its_question_back_when_cancelled,
    contract.leaves_no_process_when_cancelled,
    contract.works_for_several_sessions_at_once,
]
FAKE, SDK = subject("fake", "fake_agent.py", speaks_later="later"), subject("sdk", "sdk_agent.py")


def holds(subject: Subject, check: Check, root: Path) -> None:
    populate(root)
    descriptors = set(os.listdir("/proc/self/fd"))
    asyncio.run(check(subject, root))
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert psutil.Process().children() == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_with_the_fake_agent(check: Check, tmp_path: Path) -> None:
    holds(FAKE, check, tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("acp") is None, reason="needs: pip install agent-client-protocol")
@pytest.mark.parametrize("check", SDK_CHECKS, ids=lambda check: check.__name__)
def test_contract_with_an_agent_of_the_sdk(check: Check, tmp_path: Path) -> None:
    """The SDK validates every message that it gets, so it is also a judge of what we send."""
    holds(SDK, check, tmp_path)


@pytest.mark.parametrize("forgets", ["to ask", "to close"])
def test_the_contract_notices_a_host_that_forgets(
    forgets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control, of what an agent does between turns."""

    async def nothing(*_: object) -> None:
        pass

    async def allowed(*_: object) -> JSON:
        return {"outcome": {"outcome": "selected", "optionId": "yes"}}

    check = contract.goes_on_in_turns_of_its_own
    if forgets == "to ask":
        monkeypatch.setattr(host, "permission", allowed)
    else:
        monkeypatch.setattr(OwnTurn, "_stop", nothing)
        check = contract.does_nothing_of_its_own_without_an_allow
    populate(tmp_path)
    with pytest.raises(AssertionError):
        asyncio.run(check(FAKE, tmp_path))
