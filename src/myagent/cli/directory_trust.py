"""What the operator says of an agent on the command line, and the one question before a directory starts programs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from myagent.agents.acp.directory import Program, programs
from myagent.agents.acp.operator import Operator
from myagent.agents.acp.presets import PRESETS, UNKNOWN, Preset, hosted_env


def operator_of(arguments: argparse.Namespace, command: Sequence[str], cwd: Path) -> Operator:
    """What he says. On a terminal he is asked about the programs that this directory's settings would start, if we know
    of any; what he declines, the agent is refused for."""
    trusts = bool(getattr(arguments, "trust_directory", False))
    found = () if trusts else programs(_preset(arguments.agent, command), cwd, hosted_env(os.environ))
    return Operator(
        asking_mode=arguments.asking_mode,
        plan_mode=arguments.plan_mode,
        auth_method=arguments.auth_method,
        trusts_directory=trusts,
        accepted=frozenset(found if found and _on_a_terminal() and _accepts(found) else ()),
    )


def _preset(name: str | None, command: Sequence[str]) -> Preset:
    """The preset by its name, else by the command's. One that shows itself later is refused, not asked about."""
    if name is not None:
        return PRESETS.get(name, UNKNOWN)
    program = Path(command[0]).name if command else ""
    return next((preset for preset in PRESETS.values() if preset.argv[:1] == (program,)), UNKNOWN)


def _on_a_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _accepts(found: Sequence[Program]) -> bool:
    print("This directory's settings have the agent start these programs, and it would ask nobody:", file=sys.stderr)
    for program in found:
        print(f"  {program}", file=sys.stderr)
    print("Start them? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
