"""docs/protocol.md has all of the wire that the code has, and nothing that it has not."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from myagent.__main__ import main
from myagent.agents.acp.presets import PRESETS
from myagent.core import messages, rule
from myagent.core.refusals import CODES
from myagent.server import admission, upgrade
from myagent.settings import LIMITS, Settings

ROOT = Path(__file__).parent.parent
LISTENER = ROOT / "src" / "myagent" / "server"
PROTOCOL = ROOT / "docs" / "protocol.md"
KINDS = {
    kind.__struct_config__.tag: kind
    for union in (messages.ClientMessage, messages.ServerMessage, messages.SessionEvent)
    for kind in get_args(union)
}
OBJECTS = {
    "decision": messages.DecisionBody,
    "client": messages.ClientInfo,
    "server": messages.ServerInfo,
    "owner": messages.OwnerInfo,
    "connection": messages.ConnectionInfo,
    "session": messages.Metadata,
    "queue": messages.QueuedPrompt,
    "request": messages.RequestBody,
    "diff": messages.Diff,
    "option": messages.Option,
    "limits": messages.Limits,
    "remember": rule.Remember,
    "offer": rule.Offer,
    "missed": rule.Missed,
    "rule": rule.Rule,
    "file": messages.ChangedFile,
}
# Which of the routes in the code are which in the docs; a new route must be named here and there.
ROUTES = {
    "stream": "`/` as an upgrade",
    "page": "`/` and the page's files",
    "healthz": "`/healthz`",
    "metrics": "`/metrics`",
    "sessions": "`/sessions`",
    "events": "`/sessions/<sessionId>/events`",
    "blob": "`/sessions/<sessionId>/blobs/<digest>`",
    "ticket": "`/ticket`",
    "device": "`/device`",
    "acp": "`/acp` as an upgrade",
    "answer": "`/answer`, `POST`",
}
SENT_BY_THE_LIBRARY = {1000, 1002, 1007, 1009}  # `websockets` closes with these by itself


@cache
def sections() -> dict[str, str]:
    """The text under each heading, up to the next one."""
    parts = re.split(r"^#+ (.+)\n", PROTOCOL.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> list[list[str]]:
    """The cells of a section's tables, without their heads."""
    lines = [line for line in sections()[section].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {at for at, line in enumerate(lines) if set(line) <= set("|-: ")}
    return [row for at, row in enumerate(cells) if at not in rules and at + 1 not in rules]


def first(section: str) -> list[str]:
    return [row[0].strip("`") for row in rows(section)]


def documented() -> dict[str, list[str]]:
    """Every heading that is a message's or an object's, and the fields in its table."""
    heads = [head for head in sections() if head.startswith(("`", "The object `"))]
    return {head: first(head) for head in heads}


@pytest.mark.parametrize("tag", KINDS)
def test_every_message_has_its_section_with_all_its_fields(tag: str) -> None:
    assert documented()[f"`{tag}`"] == [*KINDS[tag].__struct_encode_fields__]


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_has_its_section_with_all_its_fields(name: str) -> None:
    assert documented()[f"The object `{name}`"] == [*OBJECTS[name].__struct_encode_fields__]


def test_nothing_is_documented_that_is_not_there() -> None:
    objects = {f"The object `{name}`" for name in [*OBJECTS, "content"]}
    assert set(documented()) == {f"`{tag}`" for tag in KINDS} | objects


def test_each_kind_of_content_has_its_row() -> None:
    told = {row[0].strip("`"): re.findall(r"`(\w+)`(?!:)|`(\w+)`", row[1]) for row in rows("The object `content`")}
    fields = {kind: [first or second for first, second in names] for kind, names in told.items()}
    known = {kind.__struct_config__.tag: kind for kind in get_args(messages.Item)}
    assert fields.keys() == known.keys()
    for kind, names in fields.items():
        assert [name for name in names if name != "promptBytes"] == [*known[kind].__struct_encode_fields__]


def test_every_struct_of_the_wire_is_a_message_an_object_or_a_base_of_them() -> None:
    known = {*KINDS.values(), *OBJECTS.values(), *get_args(messages.Item)}
    structs = [each for each in vars(messages).values() if inspect.isclass(each) and issubclass(each, msgspec.Struct)]
    bases = {base for kind in known for base in kind.__mro__[1:]}
    assert not [each.__name__ for each in structs if each not in known | bases]


def test_v1_and_added_are_told_apart() -> None:
    for tag in KINDS:
        assert re.match(r"\s*\*\*(v1|added)\*\*", sections()[f"`{tag}`"]), tag


def test_error_codes() -> None:
    assert sorted(first("Error codes")) == sorted(CODES)


def test_close_codes() -> None:
    source = "".join(path.read_text() for path in LISTENER.glob("*.py"))
    sent = {int(code) for code in re.findall(r"\bclose\(\s*(\d{4})\b", source)}
    assert {int(code) for code in first("Close codes")} == sent | SENT_BY_THE_LIBRARY


def test_routes() -> None:
    assert set(get_args(admission.Route)) == set(ROUTES)
    assert sorted(row[0] for row in rows("Routes")) == sorted(ROUTES.values())


def test_statuses() -> None:
    source = "".join(path.read_text() for path in LISTENER.glob("*.py"))
    sent = {int(status) for status in re.findall(r"\b(?:Rejected|_response)\(\s*(\d{3})\b", source)}
    text = sections()["Checks, in this order"] + sections()["Routes"]
    assert {status for status in sent if str(status) not in text} == set()


def test_query_parameters_of_the_websocket() -> None:
    named = {row[0].strip("`").partition("=")[0] for row in rows("Query of the WebSocket")}
    assert named == set(re.findall(r'parameters(?:\.get\(|, )"(\w+)"', inspect.getsource(upgrade.Upgrades.accept)))


def test_limits_and_their_defaults() -> None:
    told = {row[0].strip("`"): int(row[1]) for row in rows("The object `limits`")}
    names = dict(zip(messages.Limits.__struct_fields__, messages.Limits.__struct_encode_fields__, strict=True))
    assert told == {wire: getattr(LIMITS, name) for name, wire in names.items()}


def settings_rows() -> list[list[str]]:
    return [row for row in rows("Settings") if "." not in row[0]]


def test_settings_and_their_defaults() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in settings_rows()}
    fields = {field.name: repr(field.default) for field in dataclasses.fields(Settings)}
    assert told == fields | {"limits": ""}


def test_numbers_that_cannot_be_set() -> None:
    constants = {row[0].strip("`"): row[1] for row in rows("Settings") if "." in row[0]}
    assert constants
    for name, told in constants.items():
        module, _, constant = name.rpartition(".")
        value: Any = getattr(importlib.import_module(f"myagent.{module}"), constant)
        assert told == repr(value), name


# Of the process, of the choice of an agent (docs/agents.md), and of being called (docs/terminal.md): not of the server.
NOT_SETTINGS = {
    "--quiet",
    "--stop-with-stdin",
    "--cwd",
    "--invite",
    "--pair",
    "--agent",
    "--model",
    "--base-url",
    "--context",
    "--mcp",
    "--trust-directory",
    "--agent-option",
    "--agent-idle",
    "--allow-unsupervised",
    "--on-unasked",
    "--agent-user",
    "--sandbox",
    "--asking-mode",
    "--plan-mode",
    "--auth-method",
    "--notify",
    "--publish",
    "--name",
    "--name-wait",
    "--publish-replicas",
}


def test_options_are_those_of_the_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit):
        main(["remote", "serve", "--help"])
    usage = capsys.readouterr().out.partition("\n\n")[0]
    options = set(re.findall(r"--[a-z-]+", usage)) - NOT_SETTINGS
    assert {option for row in settings_rows() for option in re.findall(r"--[a-z-]+", row[2])} == options


def test_links_within_the_documents_lead_somewhere() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            assert other.exists(), f"{page.name}: {target}"
            if anchor and other.suffix == ".md":
                heads = re.findall(r"^#+ (.+)$", other.read_text(), flags=re.MULTILINE)
                anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
                assert anchor in anchors, f"{page.name}: {target}"


def test_the_program_in_the_readme_runs_and_ends(tmp_path: Path) -> None:
    program = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "README.md").write_text("what it reads")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "".join(re.findall(r"^AgentStdout\(.*?chunk='(.*?)'", done.stdout, re.MULTILINE)) == "what it reads"
    assert done.stdout.splitlines()[-1].startswith("TerminalState(")


def test_the_table_of_agents_is_that_of_the_presets_and_of_the_steps() -> None:
    """`make agents` writes it; here its form is held against the presets, and that every failed step is explained."""
    page = (ROOT / "docs" / "agents.md").read_text()
    made = page.partition("<!-- steps: made by `make agents` -->")[2].partition("<!-- steps: end -->")[0]
    head, _, *rows = [line.strip("| ").split(" | ") for line in made.splitlines() if line.startswith("|")]
    steps = re.search(r"^STEPS = \((.*?)^\)", (ROOT / "tests/e2e/test_agent_steps.py").read_text(), re.M | re.S)
    assert steps is not None
    assert head[1:] == re.findall(r'"([^"]+)"', steps[1])
    assert [row[0].strip("`") for row in rows] == sorted(PRESETS)
    for name, *marks in rows:
        assert len(marks) == len(head) - 1 and set(marks) <= {"✓", "✗", "–"}
        told = made.count(f"- {name}, ")
        assert told == marks.count("✗")
        assert (f"- {name} was not run: " in made) == (marks[0] == "–")
