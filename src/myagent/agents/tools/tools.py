"""The tools of our own agents: read, glob, grep; and write, edit, bash, which are proposed, allowed, then launched.

A proposal holds the tool call to ask permission for, with its plan. Launching makes the plan again, and runs only what
is still the same: asking takes a human's time, in which anything may write to the workspace.

    proposal = await tools.edit("notes.txt", "old", "new")
    answer = await io.ask(proposal.call)
    if answer.kind == "allow":
        await proposal.launch()
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from myagent.agents import ToolCall
from myagent.agents.processes.process import Sink, child_environment, run
from myagent.agents.tools import search
from myagent.agents.tools.credentials import ASKED, Places, covered
from myagent.agents.tools.plan import Plan, PlanChanged, command_plan, content_digest, dependence, differences, words
from myagent.agents.tools.workspace import (
    FILE_BYTES,
    Contents,
    FileFailed,
    PathRefused,
    Place,
    ToolFailed,
    Workspace,
    decoded,
)
from myagent.core.diffs import unified_diff
from myagent.core.messages import Diff

GREP_SECONDS = 10.0
SHELL = "/bin/sh"
RUNS_ON = "In the background: it runs on after this turn, until it ends or is stopped."
TITLE_CHARACTERS = 80

# Isolated (-I), so that no module in the workspace is imported; our own path comes after the standard library.
_GREP = """\
import os, sys
sys.path += sys.argv[1].split(os.pathsep)
from myagent.agents.tools.search import main
sys.exit(main(sys.argv[2:]))
"""


class SearchFailed(ToolFailed):
    """A search that was given up."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class EditFailed(FileFailed):
    """An edit that does not say exactly what to replace."""


class FileProposal:
    """A file's new content, not yet written."""

    def __init__(self, workspace: Workspace, call: ToolCall, place: Place, data: bytes) -> None:
        self.call = call
        self._workspace, self._place, self._data = workspace, place, data

    @property
    def path(self) -> str:
        """What is written, as it is shown."""
        return self._place.shown

    async def launch(self) -> None:
        """Write it. Raises `PlanChanged` or another `ToolFailed`, and then nothing was written.

        Cancelled, it still ends as it would have, before the cancellation is told: nothing is written later.
        """
        writing = asyncio.create_task(asyncio.to_thread(self._write))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    def _write(self) -> None:
        place = self._workspace.locate(self._place.given)
        found = self._workspace.find(place)
        if changed := differences(self.call.plan, _file_plan(self._workspace, place, found)):
            raise PlanChanged(changed)
        self._workspace.replace(place, self._data, found)


class CommandProposal:
    """A command line, not yet run."""

    def __init__(self, workspace: Workspace, call: ToolCall, argv: tuple[str, ...]) -> None:
        self.call = call
        self._workspace, self._argv = workspace, argv

    async def launch(self, stdout: Sink, stderr: Sink) -> int:
        """Run it in the workspace, its output going to the sinks; returns its exit code, 128+n for signal n.

        When it ends, so does everything that it left running. Raises `PlanChanged`, `NotStarted`: nothing was run.
        """
        env = child_environment()
        now = await asyncio.to_thread(command_plan, self._argv, cwd=self._workspace.root, env=env)
        if changed := differences(self.call.plan, now):
            raise PlanChanged(changed)
        return await run(self._argv, cwd=self._workspace.root, env=env, stdout=stdout, stderr=stderr)


class Tools:
    """The tools of one workspace. Whatever they cannot do raises a `MyagentError` with one clear sentence."""

    def __init__(self, root: Path, places: Places | None = None) -> None:
        self._workspace = Workspace(root)
        self._places = Places() if places is None else places

    async def leave_to_look(self, tool: str, given: dict[str, str], path: str) -> ToolCall | None:
        """What to ask before a tool looks at a path, or at what a glob pattern names; `None`: nothing. With leave,
        `read`, `glob` and `grep` are called with `allowed`."""
        try:
            place = await asyncio.to_thread(self._workspace.locate, search.fixed_part(path) if tool == "glob" else path)
        except PathRefused:  # the tool says so itself
            return None
        if not self._hold(place):
            return None
        return ToolCall(
            tool_name=tool.capitalize(),
            input=given,
            text=f"{place.shown}\n{ASKED}",
            title=_title(f"{tool.capitalize()} {place.shown}"),
            kind="read" if tool == "read" else "search",
            flags=("credentials",),
            in_every_mode=True,
        )

    async def read(self, path: str, *, allowed: bool = False) -> str:
        """The text of a UTF-8 file of at most `FILE_BYTES` bytes; of one that holds credentials, its values covered."""
        return await asyncio.to_thread(self._read, path, allowed)

    async def glob(self, pattern: str, *, allowed: bool = False) -> str:
        """The paths that match, sorted, one a line; see `search.glob`."""
        places = None if allowed else self._places
        return "".join(f"{line}\n" for line in await asyncio.to_thread(search.glob, self._workspace, pattern, places))

    async def grep(self, pattern: str, path: str = ".", *, allowed: bool = False) -> str:
        """The lines that match a Python regular expression; see `search.grep`, and there why it is another process.

        Raises:
            SearchFailed: the pattern or the path is wrong, or it took more than `GREP_SECONDS`.
        """
        found: list[str] = []
        problems: list[str] = []
        modules = os.pathsep.join(filter(None, sys.path))
        argv = [sys.executable, "-I", "-X", "utf8", "-c", _GREP, modules, str(self._workspace.root), pattern, path]
        argv += ["allowed" if allowed else "", *self._places.changes]
        try:
            async with asyncio.timeout(GREP_SECONDS):
                code = await run(
                    argv,
                    cwd=self._workspace.root,
                    env=child_environment(),
                    stdout=_appending(found),
                    stderr=_appending(problems),
                )
        except TimeoutError:
            raise SearchFailed(f"the search took more than {GREP_SECONDS:g} seconds and was stopped") from None
        if code != 0:
            raise SearchFailed("".join(problems).strip().rpartition("\n")[2] or f"the search ended with code {code}")
        return "".join(found)

    async def write(self, path: str, content: str) -> FileProposal:
        """Propose to make a text file, or to replace a whole one."""
        return await asyncio.to_thread(self._write, path, content)

    async def edit(self, path: str, old: str, new: str) -> FileProposal:
        """Propose to replace the one place in a text file where `old` occurs.

        Raises:
            EditFailed: it occurs nowhere, or more than once, or nothing would change.
        """
        return await asyncio.to_thread(self._edit, path, old, new)

    async def bash(self, line: str, *, in_background: bool = False) -> CommandProposal:
        """Propose to run a command line with `/bin/sh`, in the root of the workspace. `in_background`: it is to run on
        after its turn, and whoever allows it is told so."""
        root, argv = self._workspace.root, (SHELL, "-c", line)
        plan = await asyncio.to_thread(command_plan, argv, cwd=root, env=child_environment())
        named = await asyncio.to_thread(self._names_credentials, line)
        call = ToolCall(
            tool_name="Bash",
            input={"command": line} | ({"run_in_background": True} if in_background else {}),
            text="\n\n".join(filter(None, (line, RUNS_ON if in_background else "", dependence(line, plan)))),
            title=_title(line),
            kind="execute",
            plan=plan,
            flags=("credentials",) if named else (),
            in_every_mode=named,
        )
        return CommandProposal(self._workspace, call, argv)

    def _hold(self, place: Place) -> bool:
        return self._places.hold((*self._workspace.root.parts[1:], *place.parts))

    def _names_credentials(self, line: str) -> bool:
        named = [word for word in words(line) if "\0" not in word]
        paths = (os.path.realpath(self._workspace.root / os.path.expanduser(word)) for word in named)
        return any(self._places.hold(path.split("/")[1:]) for path in paths)

    def _read(self, path: str, allowed: bool) -> str:
        if not self._hold(self._workspace.locate(path)):
            return decoded(path, self._workspace.read(path))
        if not allowed:
            raise PathRefused(path, "holds credentials, and leave was not asked")
        return covered(decoded(path, self._workspace.read(path)))

    def _write(self, path: str, content: str) -> FileProposal:
        place = self._workspace.locate(path)
        found = self._workspace.find(place)
        before = None if found is None else decoded(path, found)
        return self._proposal("Write", {"path": path, "content": content}, place, found, before, content)

    def _edit(self, path: str, old: str, new: str) -> FileProposal:
        place = self._workspace.locate(path)
        found = self._workspace.read(path)
        before = decoded(path, found)
        given = {"path": path, "old": old, "new": new}
        if old not in before and "\r\n" in before:  # whoever types or generates text writes plain newlines
            old, new = (re.sub(r"\r?\n", "\r\n", text) for text in (old, new))
        at = before.find(old)
        if not old:
            raise EditFailed(path, "the text to replace is empty")
        if at < 0:
            raise EditFailed(path, "the text to replace does not occur in it")
        if before.find(old, at + 1) >= 0:
            raise EditFailed(path, "the text to replace occurs more than once; give more of what is around it")
        if old == new:
            raise EditFailed(path, "the new text is the old one")
        after = before[:at] + new + before[at + len(old) :]
        return self._proposal("Edit", given, place, found, before, after)

    def _proposal(
        self, tool: str, given: dict[str, str], place: Place, found: Contents | None, before: str | None, after: str
    ) -> FileProposal:
        if len(data := after.encode()) > FILE_BYTES:
            raise FileFailed(place.given, "would become too large")
        secret = self._hold(place)
        changes = unified_diff(place.shown, before, after)
        if secret:  # what is new was said here; what was there before was not
            changes = "".join(
                line if line.startswith(("+", "@@", "---")) else line[:1] + covered(line[1:])
                for line in changes.splitlines(keepends=True)
            )
        call = ToolCall(
            tool_name=tool,
            input=given,
            text=f"{place.shown}\n{changes}{ASKED if secret else ''}",
            title=_title(f"{'Create' if found is None else tool} {place.shown}"),
            kind="edit",
            diffs=() if secret else (Diff(place.shown, before, after),),
            plan=_file_plan(self._workspace, place, found),
            flags=("credentials",) if secret else (),
            in_every_mode=secret,
        )
        return FileProposal(self._workspace, call, place, data)


def _file_plan(workspace: Workspace, place: Place, found: Contents | None) -> Plan:
    path = str(workspace.root.joinpath(*place.parts))
    return {f"file {place.shown}": [path, None if found is None else content_digest(found.data)]}


def _title(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= TITLE_CHARACTERS else f"{line[: TITLE_CHARACTERS - 1]}…"


def _appending(pieces: list[str]) -> Sink:
    async def sink(text: str) -> None:
        pieces.append(text)

    return sink
