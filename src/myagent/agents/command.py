"""The command agent, where programs import it from."""

from myagent.agents.builtin.command import CommandAgent

__all__ = ["CommandAgent"]
