"""Joins the page's modules into two scripts when the server starts: what the first look needs, and what comes later.

There is no build step. Lines that import and export are rewritten; indentation, comments with lines of their own and
those that end a line (behind punctuation, without quotes: surely no text of the program) are left out: each module
becomes a function that is called once, after those that it imports, and gives back what it exports. What is only
reached by `import("./a/literal.js")` comes in the second script, which the first loads when one of them is first asked
for; it is given the modules of the first that it uses. What else the language has (`export default`, cycles, exports
that change) is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from myagent.exceptions import MyagentError

LATER = "./later.js"  # what the first script calls the second

_IMPORT = re.compile(
    r'^import (?:\{ ?(?P<names>[^}]*?),? ?\}|\* as (?P<whole>\w+)) from "(?P<path>\.\.?/[^"]+)";', re.MULTILINE
)
_LATER = re.compile(r'\bimport\("(?P<path>\.\.?/[^"]+)"\)')
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*|\bimport\(.*|\bimport\.meta\b.*", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*)\n", re.MULTILINE)
_REMARK = re.compile(r"(?<=[;,{}(\[]) // [^'\"`\n]*$", re.MULTILINE)
_INDENT = re.compile(r"^[ \t\n]+", re.MULTILINE)

# What could not be fetched is asked for under another address: some browsers remember a failure for as long as the page
# is open.
_LOADER = """\
let $loaded = null;
let $failures = 0;
const $later = (path) => {
const again = $failures > 0 ? `?again=${$failures}` : "";
$loaded ??= import("%s" + again).then(({ modules }) => modules({ %s }), (error) => {
$loaded = null;
$failures += 1;
throw error;
});
return $loaded.then((all) => all[path]);
};"""


class CannotJoin(MyagentError):
    """A module of the page has what cannot be joined."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, what)
        self.path, self.what = path, what

    def __str__(self) -> str:
        return f"{self.path} cannot be joined to the page's script: {self.what}"


@dataclass(frozen=True, slots=True)
class Scripts:
    """`first` is loaded with the page; `later`, which it calls `LATER`, when it is wanted; empty if there is none."""

    first: str
    later: str


def joined(modules: Mapping[str, str], first: str) -> Scripts:
    """`first` and all that it imports; `modules` are sources by path. Raises `CannotJoin`."""
    now = _Joined(modules, {})
    now.add(first, ())
    later = _Joined(modules, now.done)
    wanted = list(now.wanted)
    for path in wanted:
        if path in now.done:
            raise CannotJoin(path, "it is imported at once, and later")
        later.add(path, ())
        wanted += [each for each in later.wanted if each not in wanted]
    if not wanted:
        return Scripts("\n".join(now.done.values()), "")
    shared = ", ".join(sorted(_name(path) for path in later.shared))
    given = ",\n".join(f'"{path}": {_name(path)}' for path in wanted)
    second = "\n".join((
        f"export function modules({{ {shared} }}) {{", "const $later = async (path) => $all[path];",
        *later.done.values(), f"const $all = {{\n{given}\n}};\nreturn $all;\n}}",
    ))  # fmt: skip
    return Scripts("\n".join([_LOADER % (LATER, shared), *now.done.values()]), second)


class _Joined:
    """The modules of one script. `elsewhere`: those of the script that was loaded before."""

    def __init__(self, modules: Mapping[str, str], elsewhere: Mapping[str, str]) -> None:
        self.done: dict[str, str] = {}
        self.wanted: list[str] = []  # what they import later
        self.shared: set[str] = set()  # what they import of the script before
        self._modules = modules
        self._elsewhere = elsewhere

    def add(self, path: str, before: tuple[str, ...]) -> None:
        if path in before:
            raise CannotJoin(path, f"it is imported in a circle: {' → '.join((*before, path))}")
        if path in self._elsewhere:
            self.shared.add(path)
            return
        if path in self.done:
            return
        if path not in self._modules:
            raise CannotJoin(path, f"{before[-1] if before else 'the page'} imports it, and it is not there")
        source = self._modules[path]
        for found in _IMPORT.finditer(source):
            self.add(_resolved(path, found["path"]), (*before, path))
        exports = _EXPORT.findall(source)
        bare = _REMARK.sub("", _INDENT.sub("", _COMMENT.sub("", source)))
        body = _EXPORT.sub("", _IMPORT.sub(lambda found: _taken(path, found), bare))
        body = _LATER.sub(lambda found: self._put_off(_resolved(path, found["path"])), body)
        if other := _OTHER.search(body):
            raise CannotJoin(path, other.group())
        self.done[path] = f"const {_name(path)} = (() => {{\n{body.strip()}\nreturn {{ {', '.join(exports)} }};\n}})();"

    def _put_off(self, path: str) -> str:
        if path not in self.wanted:
            self.wanted.append(path)
        return f'$later("{path}")'


def _taken(path: str, found: re.Match[str]) -> str:
    module = _name(_resolved(path, found["path"]))
    if found["whole"]:
        return f"const {found['whole']} = {module};"
    return f"const {{ {found['names'].replace(' as ', ': ')} }} = {module};"


def _resolved(path: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))


def _name(path: str) -> str:
    return "$" + re.sub(r"\W", "_", path.removesuffix(".js"))
