"""Nothing that others chose reaches a terminal but through `text/terminal`, and one function writes there."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest
from tests.text.test_terminal import SEQUENCES

from myagent.agents import AgentInfo
from myagent.agents.builtin.command import CommandAgent
from myagent.cli.commands import serve, sessions
from myagent.cli.terminal import output
from myagent.server import Server, Settings

PACKAGE = Path(output.__file__).parents[2]
WRITER = PACKAGE / "cli/terminal/output.py"
PIPE = PACKAGE / "agents/tools/search.py"  # its standard output is read by the server
WRITING = (".write", ".writelines", ".buffer.write")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202egpj\u200b\n[remote] listening ws://evil\r\x1bP"


def writers(text: str) -> list[str]:
    """Calls that write to a standard stream."""
    calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    streams = ("sys.stdout.", "sys.stderr.", "sys.__std")
    return [each for each in calls if each == "print" or (each.startswith(streams) and each.endswith(WRITING))]


@pytest.mark.parametrize(
    "path", sorted({*PACKAGE.rglob("*.py")} - {WRITER, PIPE}), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_other_module_writes_to_a_terminal(path: Path) -> None:
    assert not writers(path.read_text())


@pytest.mark.parametrize("text", ["print(1)", "import sys\nsys.stdout.write('x')", "sys.stderr.writelines(x)"])
def test_one_that_does_is_found(text: str) -> None:
    assert writers(text)


def harmless(written: str) -> bool:
    return all(character in "\n\t" or character.isprintable() for character in written)


@pytest.mark.parametrize("write", [output.say, output.put, lambda text: output.put(text, error=True)])
def test_what_is_written_drives_no_terminal(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    for hostile in (HOSTILE, *SEQUENCES):
        write(hostile)  # type: ignore[operator]
    told = capsys.readouterr()
    assert harmless(told.out + told.err)


def test_a_name_makes_no_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    output.say(HOSTILE)
    assert not any(line.startswith("[remote] listening") for line in capsys.readouterr().err.splitlines())


class Hostile(CommandAgent):
    """An agent that calls itself what it likes."""

    @property
    def info(self) -> AgentInfo:
        given = {each.name: HOSTILE for each in dataclasses.fields(AgentInfo) if each.type == "str"}
        return AgentInfo(**given)


async def test_what_serve_announces_drives_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory := tmp_path / "odd\x1b]0;x\x07\u202e").mkdir()
    async with Server(directory, Hostile(), Settings(port=0)) as server:
        for line in serve._announcement(server, server.host.agent):
            output.say(line, error=False)
        serve._invite(server, HOSTILE)
    told = capsys.readouterr()
    assert "owned" in told.out and harmless(told.out + told.err)


def test_a_list_of_sessions_and_an_audit_drive_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"sessionId": HOSTILE, "state": HOSTILE, "updatedAt": HOSTILE, "head": 1, "title": HOSTILE}
    output.put("\n".join(sessions._table([fields])) + "\n")
    output.put(HOSTILE, keep_colours=True)
    assert harmless(capsys.readouterr().out)
