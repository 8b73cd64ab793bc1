"""`myagent remote remotes`: lists the connections that are kept here by name."""

from __future__ import annotations

import argparse
import json

from myagent.cli.target import exit_code
from myagent.cli.terminal.output import data, put, say
from myagent.client import remotes
from myagent.core.display import escape
from myagent.exceptions import MyagentError


def run(arguments: argparse.Namespace) -> int:
    try:
        found = [(name, remotes.load(name)) for name in remotes.names()]
    except MyagentError as error:
        say(str(error))
        return exit_code(error)
    if arguments.json:
        data(json.dumps([_described(name, remote) for name, remote in found], indent=2) + "\n")
        return 0
    if not found:
        put("no connections are kept here; make one with: myagent remote login NAME --url URL\n")
    width = max((len(name) for name, _ in found), default=0)
    for name, remote in found:
        trust = "" if remote.ca is None else f"  trusts {escape(remote.ca)}"
        put(f"{name.ljust(width)}  {escape(remote.url)}  token in {escape(remote.place)}{trust}\n")
    return 0


def _described(name: str, remote: remotes.Remote) -> dict[str, str]:
    trust = {} if remote.ca is None else {"ca": remote.ca}
    return {"name": name, "url": remote.url, "token": remote.place, **trust}
