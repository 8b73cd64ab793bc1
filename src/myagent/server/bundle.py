"""Joins the page's modules into one script when the server starts: one request instead of one a module.

There is no build step. Lines that import and export are rewritten; indentation, comments with lines of their own and
those that end a line (behind punctuation, without quotes: surely no text of the program) are left out: each module
becomes a function that is called once, after those that it imports, and gives back what it exports. What else the
language has (`export default`, `import()`, cycles, exports that change) is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from myagent.exceptions import MyagentError

_IMPORT = re.compile(
    r'^import (?:\{ ?(?P<names>[^}]*?),? ?\}|\* as (?P<whole>\w+)) from "(?P<path>\.\.?/[^"]+)";', re.MULTILINE
)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*|\bimport\(.*|\bimport\.meta\b.*", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*)\n", re.MULTILINE)
_REMARK = re.compile(r"(?<=[;,{}(\[]) // [^'\"`\n]*$", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


class CannotJoin(MyagentError):
    """A module of the page has what cannot be joined."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, what)
        self.path, self.what = path, what

    def __str__(self) -> str:
        return f"{self.path} cannot be joined to the page's script: {self.what}"


def joined(modules: Mapping[str, str], first: str) -> str:
    """One module with `first` and all that it imports; `modules` are sources by path. Raises `CannotJoin`."""
    done: dict[str, str] = {}
    _add(first, modules, done, ())
    return "\n".join(done.values())


def _add(path: str, modules: Mapping[str, str], done: dict[str, str], before: tuple[str, ...]) -> None:
    if path in before:
        raise CannotJoin(path, f"it is imported in a circle: {' → '.join((*before, path))}")
    if path in done:
        return
    if path not in modules:
        raise CannotJoin(path, f"{before[-1] if before else 'the page'} imports it, and it is not there")
    source = modules[path]
    for found in _IMPORT.finditer(source):
        _add(_resolved(path, found["path"]), modules, done, (*before, path))
    exports = _EXPORT.findall(source)
    bare = _REMARK.sub("", _INDENT.sub("", _COMMENT.sub("", source)))
    body = _EXPORT.sub("", _IMPORT.sub(lambda found: _taken(path, found), bare))
    if other := _OTHER.search(body):
        raise CannotJoin(path, other.group())
    done[path] = f"const {_name(path)} = (() => {{\n{body.strip()}\nreturn {{ {', '.join(exports)} }};\n}})();"


def _taken(path: str, found: re.Match[str]) -> str:
    module = _name(_resolved(path, found["path"]))
    if found["whole"]:
        return f"const {found['whole']} = {module};"
    return f"const {{ {found['names'].replace(' as ', ': ')} }} = {module};"


def _resolved(path: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))


def _name(path: str) -> str:
    return "$" + re.sub(r"\W", "_", path.removesuffix(".js"))
