"""The page's script, joined from its modules: what is joined runs, and what cannot be is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from myagent.server.bundle import LATER, CannotJoin, joined

MODULES = {
    "app.js": '// The app.\nimport {\n  one,\n\n  two as second,\n} from "./views/one.js";\n'
    'import * as all from "./views/one.js";\n'
    "/** Says it. */\nexport function say() {\n  return `${one}, ${second()}, ${all.two()}`;\n}\nconsole.log(say());\n"
    'console.log("kept; // 1", `kept // 2`, "https://kept"); // "kept" where it has quotes\n',
    "views/one.js": '// One.\nimport { base } from "../state/base.js";\nexport const one = base + 1;\n'
    "export function two() {\n"
    "  return hidden(one);\n}\nfunction hidden(n) {\n  return n + 1; // dropped\n}\n",
    "state/base.js": "// The base.\nexport const base = 0;\nconst hidden = 7;\n",
    "unused.js": "throw new Error();\n",
}


LAZY = {
    "app.js": 'import { base } from "./state/base.js";\nexport const app = base;\n'
    'const late = () => import("./views/late.js");\nconst again = () => import("./views/again.js");\n'
    "late().catch(() => late()).then(async (first) =>\n"
    "console.log(first.name(), (await again()).same(), (await first.more()).other, base.count));\n",
    "views/late.js": 'import { base } from "../state/base.js";\nimport { own } from "./own.js";\nbase.count += 1;\n'
    'export const name = () => `late ${own}`;\nexport const more = () => import("./more.js");\n',
    "views/again.js": 'import { own } from "./own.js";\nexport const same = () => own;\n',
    "views/own.js": "export const own = 3;\n",
    "views/more.js": 'import { base } from "../state/base.js";\nbase.count += 1;\nexport const other = 4;\n',
    "state/base.js": "export const base = { count: 0 };\n",
}


def run(place: Path, **scripts: str) -> tuple[str, str]:
    """What the first script says, with the others beside it, and what it complains of."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    for name, script in scripts.items():
        (place / f"{name}.mjs").write_text(script)
    argv = [node, str(place / f"{next(iter(scripts))}.mjs")]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    return ran.stdout, ran.stderr


def test_joined_modules_run_in_order_each_with_its_own_names(tmp_path: Path) -> None:
    scripts = joined(MODULES, "app.js")
    script = scripts.first
    assert run(tmp_path, app=script) == ("1, 2, 2\nkept; // 1 kept // 2 https://kept\n", "")
    assert scripts.later == ""
    assert "\n\n" not in script
    assert "dropped" not in script
    assert "// One." not in script
    assert "Says it" not in script


def test_what_is_imported_on_demand_is_in_a_second_script_with_the_modules_of_the_first(tmp_path: Path) -> None:
    """Each module runs once; those that both need are the first's; one that comes later can ask for another."""
    scripts = joined(LAZY, "app.js")
    assert "own = 3" not in scripts.first
    assert "count: 0" not in scripts.later
    app = scripts.first.replace(LATER, "./second.mjs")
    assert run(tmp_path, app=app, second=scripts.later) == ("late 3 3 4 2\n", "")


def test_a_second_script_that_could_not_be_fetched_is_asked_for_again(tmp_path: Path) -> None:
    """Under another address: some browsers remember what failed."""
    scripts = joined(LAZY, "app.js")
    which = '["./gone.mjs", "./second.mjs"][$failures]'
    app = scripts.first.replace(f'"{LATER}" + again', which)
    assert "./gone.mjs" in app
    assert run(tmp_path, app=app, second=scripts.later) == ("late 3 3 4 2\n", "")
    never = app.replace("late().catch(() => late())", "late()")
    assert "gone.mjs" in run(tmp_path, app=never, second=scripts.later)[1]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("export default 1;\n", "export default"),
        ("export let changes = 1;\n", "export let"),
        ('export { one } from "./views/one.js";\n', "export {"),
        (
            'const later = await import("./views/one.js");\nimport { one } from "./views/one.js";\n',
            "at once, and later",
        ),
        ("const later = await import(`./views/one.js`);\n", "import("),
        ("const later = await import(name);\n", "import("),
        ('const later = await import("./gone.js");\n', "it is not there"),
        ('import "./views/one.js";\n', 'import "./views'),
        ('import { gone } from "./gone.js";\n', "it is not there"),
        ('import { self } from "./app.js";\n', "circle"),
    ],
)
def test_what_cannot_be_joined_is_refused(source: str, why: str) -> None:
    with pytest.raises(CannotJoin) as told:
        joined({**MODULES, "app.js": source}, "app.js")
    assert why in str(told.value)
