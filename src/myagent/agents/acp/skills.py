"""The skills that a prompt names: an agent that offers one as a command is given it so; what is not used is said."""

from __future__ import annotations

from collections.abc import Collection

from myagent.agents import Turn


def with_skills(turn: Turn, offered: Collection[str] = ()) -> tuple[str, str]:
    """The prompt as the agent is to get it, and a line about what was left out, or nothing.

    A skill is offered as a command, `/NAME`, and a prompt begins with at most one of those.
    """
    used = next((name for name in turn.skill_names if name in offered), None)
    left = [name for name in turn.skill_names if name != used]
    prompt = turn.prompt if used is None else f"/{used} {turn.prompt}"
    if not left:
        return prompt, ""
    why = "this agent does not offer them" if used is None else f"a prompt takes one, and {used} is it"
    return prompt, f"skills not used: {', '.join(left)} ({why})\n"
