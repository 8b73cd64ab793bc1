"""What docs/editors.md tells editors to start can be started, and the registry's entry is in the registry's form."""

from __future__ import annotations

import json
import re
from pathlib import Path

from myagent import __version__
from myagent.cli.parser import make_parser

ROOT = Path(__file__).parents[2]


def test_the_json_of_the_configurations_names_commands_that_we_have() -> None:
    blocks = re.findall(r"^```json\n(.*?)^```", (ROOT / "docs/editors.md").read_text(), re.MULTILINE | re.DOTALL)
    servers = [server for block in blocks for server in json.loads(block)["agent_servers"].values()]
    assert len(servers) == 2
    for server in servers:
        assert Path(server["command"]).name == "myagent"
        assert make_parser().parse_args(server["args"]).run == "commands.acp:run"


def test_the_entry_for_the_registry() -> None:
    entry = json.loads((ROOT / "examples/acp-registry.json").read_text())
    assert re.fullmatch(r"[a-z][a-z0-9-]*", entry["id"])
    assert {"name", "description", "distribution"} <= entry.keys()
    assert entry["version"] == __version__
    started = entry["distribution"]["uvx"]
    assert started["package"] == f"myagent=={__version__}"
    assert make_parser().parse_args(started["args"]).serve
