"""`myagent remote agents`: lists the agents that can be hosted by name, and whether they are here."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from myagent.agents.acp.presets import PRESETS, Found, find
from myagent.cli.terminal.output import put
from myagent.core.display import escape
from myagent.extras import install


def run(_: argparse.Namespace) -> int:
    with ThreadPoolExecutor() as pool:  # each is asked for its version, which takes some of them seconds
        rows = [_row(found) for found in pool.map(find, PRESETS.values())]
    models = all(map(find_spec, ("pydantic_ai", "openai", "dotenv")))
    about = "--model NAME: a model at an OpenAI-compatible endpoint" if models else f"install: {install('models')}"
    rows.insert(0, ("model", "built in" if models else "not found", about))
    rows.insert(0, ("command", "built in", "no model: a prompt is a command"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, state, detail in rows:
        put(f"{name:<{widths[0]}}  {state:<{widths[1]}}  {detail}".rstrip() + "\n")
    return 0


def _row(found: Found) -> tuple[str, str, str]:
    if found.path is None:
        return found.preset.name, "not found", f"install: {found.preset.install}" if found.preset.install else ""
    version = escape(found.version)
    return found.preset.name, "found", f"{escape(found.path)}{f' ({version})' if version else ''}"
