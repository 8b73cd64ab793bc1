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

from myagent.agents.acp.host import AcpAgent

HERE = Path(__file__).parent


def subject(name: str, script: str) -> Subject:
    return Subject(
        name=name,
        make=lambda root: AcpAgent([sys.executable, str(HERE / script)], cwd=root),
        says="read greeting.txt",
        changes="write changed something",
        lingers="linger",
        runs=None,
        fails="refuse",
    )


SDK_CHECKS: list[Check] = [  # each start of the SDK takes a second and a half
    contract.asks_before_it_changes_anything,
    contract.does_nothing_without_an_allow,
    contract.leaves_no_process_when_cancelled,
    contract.works_for_several_sessions_at_once,
]
FAKE, SDK = subject("fake", "fake_agent.py"), subject("sdk", "sdk_agent.py")


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
