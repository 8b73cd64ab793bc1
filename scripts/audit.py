"""Ask an advisory service whether anything that is installed here has a known hole: `make audit`.

`pip-audit` asks, from an environment of its own. Exits with 1 when a hole is known, with 0 when none is, and with 0 and
a line that says so when nobody could be asked: that an advisory service is down says nothing about this program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

SECONDS = 120.0  # for the whole of it; each question has ten
ENVIRONMENT = Path(__file__).parents[1] / ".cache" / "audit"


def main() -> int:
    try:
        report = ask(Path(sysconfig.get_path("purelib")))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"nothing was audited: {type(error).__name__}: {str(error).splitlines()[0]}")
        return 0
    lines, holes = tell(report)
    print("\n".join(lines))
    return 1 if holes else 0


def ask(installed: Path) -> dict[str, Any]:
    """What `pip-audit` says of the packages in a directory."""
    python = ENVIRONMENT / "bin" / "python"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": SECONDS}
    if subprocess.run([python, "-c", "import pip_audit"], check=False, **quiet).returncode if python.exists() else True:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "pip-audit"], check=True, **quiet)
    options = ["--path", str(installed), "--skip-editable", "--timeout", "10", "--format", "json"]
    done = subprocess.run(
        [python, "-m", "pip_audit", *options, "--progress-spinner", "off"],
        capture_output=True, text=True, check=False, timeout=SECONDS, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def tell(report: dict[str, Any]) -> tuple[list[str], int]:
    """Lines for a human, and how many holes are known."""
    packages = report["dependencies"]
    known = [each for each in packages if "vulns" in each]
    holes = [(each, hole) for each in known for hole in each["vulns"]]
    lines = [
        f"{each['name']} {each['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version'}"
        for each, hole in holes
    ]
    if not known:
        return [f"nothing was audited: none of {len(packages)} packages is known to the advisory service here"], 0
    return [*lines, f"{len(holes)} known holes in {len(known)} packages; {len(packages) - len(known)} not known"], len(
        holes
    )


if __name__ == "__main__":
    sys.exit(main())
