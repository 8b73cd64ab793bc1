"""Which agent the command line means, where its conversations are kept, and what must not be in them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from myagent.access.state_directory import PrivateFiles
from myagent.agents import Agent
from myagent.agents.acp.resting import IDLE_SECONDS
from myagent.agents.builtin.model import CONTEXT_CHARACTERS, Choice, ModelAgent
from myagent.agents.choice import NoOptions, choose
from myagent.cli.directory_trust import operator_of

DIRECTORY = "agent"  # below `.myagent`
FILE_BYTES = 64 << 20  # of a conversation; also of one that was kept with a larger --context than now


def chosen(arguments: argparse.Namespace, cwd: Path, *, cover: Callable[[Any], Any] | None) -> Agent:
    """The agent; `cover` takes secrets out of what is kept, and without it nothing is kept. Nothing is started here.

    Ends the program with a usage error where the arguments contradict each other. Raises as `choose`.
    """
    command = getattr(arguments, "agent_command", [])
    options = dict(getattr(arguments, "agent_option", []))
    given = (arguments.model, arguments.base_url, arguments.context) != (None, None, None) or bool(arguments.mcp)
    if arguments.agent == "model" or (arguments.agent is None and not command and arguments.model is not None):
        named = [name for name in ("asking_mode", "plan_mode", "auth_method") if getattr(arguments, name) is not None]
        if options or named:
            raise NoOptions("model", (*options, *(f"--{name.replace('_', '-')}" for name in named)))
        if command:
            arguments.usage_error("the model agent is built in: it takes no -- COMMAND")
        context = CONTEXT_CHARACTERS if arguments.context is None else arguments.context
        choice = Choice(
            model=arguments.model,
            base_url=arguments.base_url,
            context=context,
            mcp=tuple(arguments.mcp),
            trust_directory=arguments.trust_directory,
        )
        if cover is None:
            return ModelAgent(choice, cwd=cwd)
        files = partial(PrivateFiles, directory=DIRECTORY, file_bytes=max(FILE_BYTES, 4 * context))
        return ModelAgent(choice, cwd=cwd, files=files, cover=cover)
    if given:
        arguments.usage_error("--model, --base-url, --context and --mcp belong to --agent model")
    allow_unsupervised = getattr(arguments, "allow_unsupervised", False)
    return choose(
        arguments.agent,
        command,
        cwd=cwd,
        allow_unsupervised=allow_unsupervised,
        on_unasked=getattr(arguments, "on_unasked", None),
        operator=operator_of(arguments, command, cwd),
        options=options,
        idle_seconds=getattr(arguments, "agent_idle", IDLE_SECONDS),
    )
