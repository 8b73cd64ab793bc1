"""`myagent remote rules`, beside a server that runs and without one."""

from __future__ import annotations

import json
from typing import Any

from myagent.access.registry import Access
from myagent.core.rule import Rule


def test_rules_are_listed_and_ended_with_and_without_a_server(serve: Any, myagent: Any) -> None:
    serving = serve()
    assert myagent("remote", "rules").stdout == "no rules\n"
    none = myagent("remote", "rules", "--revoke", "none")
    assert none.returncode == 3 and "no such rule; it may have ended before" in none.stderr
    serving.stop()
    access = Access(serving.directory / ".myagent" / "remote")
    access.load()
    for rule_id in ("r1", "r2"):
        access.rules.add(
            Rule(
                rule_id=rule_id, match="prefix", shown="git status", cwd=str(serving.directory), tool_name="Bash",
                kind="execute", asked="", bound="", words=("git", "status"), made_at="2026-01-01T00:00:00.000Z",
                made_by="ada", credential="owner",
            )
        )  # fmt: skip
    line = "r1  prefix  git status  (all sessions; made by ada at 2026-01-01T00:00:00.000Z)"
    assert myagent("remote", "rules").stdout.splitlines()[0] == line
    assert json.loads(myagent("remote", "rules", "--json").stdout)["rules"][1]["ruleId"] == "r2"
    assert myagent("remote", "rules", "--revoke", "r1").stdout.startswith("revoked r1;")
    assert json.loads(myagent("remote", "rules", "--revoke-all", "--json").stdout)["revoked"] == ["r2"]
    assert myagent("remote", "rules").stdout == "no rules\n"
    records = [json.loads(each) for each in myagent("remote", "audit", "--json").stdout.splitlines()]
    assert [each["rule"] for each in records if each["kind"] == "rule_revoked"] == ["r1", "r2"]
    assert myagent("remote", "rules", "--revoke", "r1", "--revoke-all").returncode == 2
