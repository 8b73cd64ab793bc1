"""The page's script, joined from its modules: what is joined runs, and what cannot be is refused."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from myagent.server.bundle import CannotJoin, joined

MODULES = {
    "app.js": '// The app.\nimport {\n  one,\n  two as second,\n} from "./views/one.js";\n'
    'import * as all from "./views/one.js";\n'
    "/** Says it. */\nexport function say() {\n  return `${one}, ${second()}, ${all.two()}`;\n}\nconsole.log(say());\n"
    'console.log("kept; // 1", `kept // 2`, "https://kept"); // "kept" where it has quotes\n',
    "views/one.js": '// One.\nimport { base } from "../state/base.js";\nexport const one = base + 1;\n'
    "export function two() {\n"
    "  return hidden(one);\n}\nfunction hidden(n) {\n  return n + 1; // dropped\n}\n",
    "state/base.js": "// The base.\nexport const base = 0;\nconst hidden = 7;\n",
    "unused.js": "throw new Error();\n",
}


def test_joined_modules_run_in_order_each_with_its_own_names() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = joined(MODULES, "app.js")
    ran = subprocess.run([node, "--input-type=module"], input=script, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("1, 2, 2\nkept; // 1 kept // 2 https://kept\n", "")
    assert "dropped" not in script
    assert "// One." not in script
    assert "Says it" not in script


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("export default 1;\n", "export default"),
        ("export let changes = 1;\n", "export let"),
        ('export { one } from "./views/one.js";\n', "export {"),
        ('const later = await import("./views/one.js");\n', "import("),
        ('import "./views/one.js";\n', 'import "./views'),
        ('import { gone } from "./gone.js";\n', "it is not there"),
        ('import { self } from "./app.js";\n', "circle"),
    ],
)
def test_what_cannot_be_joined_is_refused(source: str, why: str) -> None:
    with pytest.raises(CannotJoin) as told:
        joined({**MODULES, "app.js": source}, "app.js")
    assert why in str(told.value)
