"""Write the table of docs/agents.md from what `make agents` saw: each agent through the whole product, step by step.

The results are those that `tests/e2e/test_agent_steps.py` leaves in `steps` beside the agents.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "agents.md"
BEGIN, END = "<!-- steps: made by `make agents` -->", "<!-- steps: end -->"
AGENTS = Path(os.environ.get("MYAGENT_TEST_AGENTS", ROOT / ".cache" / "agents"))
NOT_RUN = {
    "goose": "could not be installed: it is on neither npm nor PyPI",
    "gptme": "asks in no mode: refused",
    "hermes": "asks in no mode: refused",
}
SHORT = {"yes": "✓"}


def table(results: Mapping[str, Mapping[str, Any]], names: list[str]) -> str:
    """One row an agent, one column a step; below it what was seen where a step did not hold, and what was not run."""
    steps = next(iter(results.values()))["steps"]
    lines = [f"| `--agent` | {' | '.join(steps)} |", f"|---|{'---|' * len(steps)}"]
    notes = []
    for name in names:
        if name not in results:
            lines.append(f"| `{name}` |{' – |' * len(steps)}")
            notes.append(f"- `{name}` was not run: {NOT_RUN.get(name, 'it is not installed here')}.")
            continue
        told = results[name]["steps"]
        notes += [f"- `{name}`, {step}: {what}." for step, what in told.items() if what != "yes"]
        lines.append(f"| `{name}` | {' | '.join(SHORT.get(what, '✗') for what in told.values())} |")
    return "\n".join([*lines, "", *notes])


def main() -> int:
    from myagent.agents.acp.presets import PRESETS

    results = {path.stem: json.loads(path.read_text()) for path in sorted((AGENTS / "steps").glob("*.json"))}
    if not results:
        print("no results: run `make agents` first", file=sys.stderr)
        return 1
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(results, sorted(PRESETS))}\n\n{END}{after}")
    subprocess.run(["git", "diff", "--stat", str(PAGE)], cwd=ROOT, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
