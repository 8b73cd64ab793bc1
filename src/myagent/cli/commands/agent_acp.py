"""`myagent agent --acp`: the agent on stdin and stdout, for any client of the Agent Client Protocol."""

from __future__ import annotations

from myagent.agents import Agent
from myagent.agents.acp.agent import AcpSide
from myagent.cli import stdio
from myagent.redaction.redactor import Redactor


async def serve(agent: Agent, redactor: Redactor) -> int:
    """Start the agent and serve the client until it closes its side.

    Raises `NoPipes`, `AgentUnavailable`, `LineTooLong`.
    """
    stdio.check()
    try:
        await agent.start()
        for secret in agent.info.secrets:
            redactor.register(secret)
        async with stdio.pipes() as (reader, write):
            await AcpSide(agent, reader, write).run()
    finally:
        await agent.close()
    return 0
