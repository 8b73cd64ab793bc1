"""Choosing what the agent offers at the line-by-line client, and with a prompt on the command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

FAKE = Path(__file__).parents[1] / "agents" / "fake_agent.py"
AGENT = ("--", sys.executable, "-I", str(FAKE), "--modes", "ask,auto", "--offer", "config")


def test_commands_tell_and_choose(serve: Any, terminal: Any) -> None:
    serving = serve(*AGENT)
    anna = terminal("remote", "attach", "--plain", "--url", serving.url, "--label", "anna", cwd=serving.directory)
    anna.read_until("role: owner")
    anna.type("say hello\n")
    anna.read_until("turn ended: exit 0")
    anna.type("/options\n")
    shown = anna.read_until("fast=false (fast)")
    assert "mode=ask (Mode)" in shown and "auto: may act unasked" in shown and "m1=big (m1)" in shown
    anna.type("/model small\n")
    anna.read_until("m1=small chosen by anna")
    anna.type("/option fast on\n")
    anna.read_until("fast=true chosen by anna")
    anna.type("/mode auto\n")
    anna.read_until("needs a server that was started with --allow-bypass")
    anna.type("/model huge\n")
    anna.read_until("the agent does not offer that; it offers big, small")
    anna.type("chosen\n")
    anna.read_until('"m1": "small", "effort": "low", "fast": true')
    anna.type("/quit\n")
    assert anna.finish() == 0


def test_options_of_a_prompt(serve: Any, myagent: Any) -> None:
    """They open the session with it; what cannot be chosen refuses the prompt, and nothing runs."""
    serving = serve(*AGENT)

    def prompt(*options: str) -> Any:
        return myagent("remote", "client", "--url", serving.url, "--prompt", *options, cwd=serving.directory)

    done = prompt("chosen", "--option", "model=small", "--option", "fast=true")
    assert done.returncode == 0, done.stderr
    assert '"m1": "small"' in done.stdout and '"fast": true' in done.stdout
    session = re.search(r"remote_\w+", done.stderr)
    assert session is not None
    again = prompt("chosen", "--session", session[0], "--option", "model=big")
    assert '"m1": "big"' in again.stdout and '"fast": true' in again.stdout
    for option, said in (("mode=auto", "--allow-bypass"), ("model=huge", "it offers big, small"), ("x=y", "it offers")):
        refused = prompt("say never", "--option", option)
        assert refused.returncode == 3 and said in refused.stderr, refused.stderr
        assert "never" not in refused.stdout
    assert myagent("remote", "client", "--url", serving.url, "--option", "a=b").returncode == 2


def test_a_server_with_bypass_lets_the_agent_act_unasked(serve: Any, myagent: Any) -> None:
    serving = serve("--allow-bypass", *AGENT)
    done = myagent(
        "remote", "client", "--url", serving.url, "--prompt", "mode", "--option", "mode=auto", cwd=serving.directory
    )
    assert done.returncode == 0 and done.stdout.strip() == "auto", done.stderr
