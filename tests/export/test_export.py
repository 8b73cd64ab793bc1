"""A recorded session in every format: the same bytes each time, harmless, and what each format asks for."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from myagent.client.incoming import read
from myagent.core.messages import AgentStdout, Metadata, Prompt, SessionId
from myagent.export import FORMATS, Format, hypertext, render
from myagent.export.asciicast import steps
from myagent.export.parts import Output, parts

HERE = Path(__file__).parent
LINES = (HERE / "recorded.jsonl").read_bytes().splitlines()
METADATA = msgspec.json.decode((HERE / "recorded.json").read_bytes(), type=Metadata)
SESSION = SessionId(METADATA.session_id)


def exported(form: Format, lines: list[bytes] = LINES) -> str:
    return "".join(render(form, METADATA, lines))


def event(kind: Any, seq: int, **fields: Any) -> bytes:
    return msgspec.json.encode(kind(id="t", session_id=SESSION, seq=seq, **fields))


HOSTILE = "</pre><script>x</script>\x1b]0;t\x07\x1b[31m\u202e\n````\n# heading\n<img src=//e.invalid onerror=x>"
HOSTILE_LINES = [
    event(Prompt, 1, prompt=HOSTILE, by=HOSTILE),
    event(AgentStdout, 2, chunk=HOSTILE),
    msgspec.json.encode(
        {
            "type": "permission_request", "id": "t", "sessionId": SESSION, "seq": 3, "permissionRequestId": "p",
            "request": {
                "toolName": HOSTILE, "input": {}, "reason": HOSTILE, "title": HOSTILE, "display": HOSTILE,
                "flags": [HOSTILE], "digest": "", "askedAt": HOSTILE, "expiresAt": "",
                "diffs": [{"path": HOSTILE, "oldText": HOSTILE, "newText": "x"}],
            },
        }
    ),
    msgspec.json.encode(
        {
            "type": "permission_resolved", "id": "t", "sessionId": SESSION, "seq": 4, "permissionRequestId": "p",
            "outcome": "deny", "by": HOSTILE, "reason": HOSTILE,
        }
    ),
    msgspec.json.encode(
        {
            "type": "terminal_state", "id": "t", "sessionId": SESSION, "seq": 5, "exitCode": 1, "stopReason": "x",
            "message": HOSTILE,
        }
    ),
]  # fmt: skip
HOSTILE_METADATA = msgspec.structs.replace(METADATA, title=HOSTILE, cwd=HOSTILE, agent=HOSTILE, created_at=HOSTILE)


def hostile(form: Format) -> str:
    return "".join(render(form, HOSTILE_METADATA, HOSTILE_LINES))


@pytest.mark.parametrize(
    ("form", "name"),
    [("jsonl", "session.jsonl"), ("md", "session.md"), ("html", "session.html"), ("asciicast", "session.cast")],
)
def test_a_recorded_session_is_the_same_bytes(form: Format, name: str, request: pytest.FixtureRequest) -> None:
    """After a wanted change, write the golden files anew with `python tests/export/test_export.py`, and read them."""
    assert exported(form).encode() == (HERE / "golden" / name).read_bytes()


def test_jsonl_is_what_the_server_stores() -> None:
    assert exported("jsonl").encode().splitlines() == LINES


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_gone_is_said(form: Format) -> None:
    assert json.loads(exported("jsonl", LINES[4:]).splitlines()[0]) == {
        "type": "gap", "sessionId": SESSION, "from": 1, "to": 4,
    }  # fmt: skip
    if form != "jsonl":
        assert "Events 1 to 4 are gone" in exported(form, LINES[4:]).replace("\\", "")


AT = 1_790_000_000_000  # 2026-09-21T14:13:20Z


def timed(*milliseconds: int) -> list[bytes]:
    """A prompt, then output at each of these times after it."""
    said = (event(AgentStdout, seq, chunk=f"{seq}\n", at=AT + at) for seq, at in enumerate(milliseconds, 2))
    return [event(Prompt, 1, prompt="p", by="b", at=AT), *said]


def pauses(lines: list[bytes], **options: float) -> list[float]:
    return [pause for pause, _ in steps(map(read, lines), **options)]  # type: ignore[arg-type]


def test_a_recording_has_the_pauses_that_there_were_up_to_the_longest_wanted() -> None:
    lines = timed(40, 1540, 61_540, 61_000)
    assert pauses(lines)[1:] == [0.04, 1.5, 3.0, 0.0]  # the last one: its clock was set back
    assert pauses(lines, max_wait=100)[1:] == [0.04, 1.5, 60.0, 0.0]
    header, *rest = exported("asciicast", lines).splitlines()
    assert "waits of at most 3 s" in json.loads(header)["title"]
    assert [json.loads(line)[0] for line in rest] == [1.5, 1.54, 3.04, 6.04, 6.04]


def test_what_has_no_times_is_paced_evenly_and_said_to_be() -> None:
    assert "paced evenly" in json.loads(exported("asciicast").splitlines()[0])["title"]
    assert pauses([event(AgentStdout, n, chunk="x\n") for n in (1, 2)]) == [0.25, 0.25]
    mixed = [event(AgentStdout, 1, chunk="x\n"), event(AgentStdout, 2, chunk="x\n", at=AT)]
    assert pauses(mixed) == [0.25, 0.25]


@pytest.mark.parametrize("form", ["md", "html"])
def test_times_are_told_in_utc(form: Format) -> None:
    assert "Prompt by b · 2026-09-21T14:13:20.000Z" in exported(form, timed())
    assert "·" not in exported(form)


class Page(HTMLParser):
    """Collects the tags of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


ALLOWED_TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "table", "tr", "th", "td", "pre", "p",
    "section", "ins", "del",
}  # fmt: skip
ALLOWED_ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class"}


@pytest.mark.parametrize("make", [exported, hostile])
def test_the_page_is_text_without_script_or_outside_reference(make: Any) -> None:
    text = make("html")
    page = Page(text)
    assert page.open == []
    assert {tag for tag, _ in page.tags} <= ALLOWED_TAGS
    assert {name for _, attributes in page.tags for name in attributes} <= ALLOWED_ATTRIBUTES
    policies = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert policies == [hypertext.POLICY]
    assert "default-src 'none'" in hypertext.POLICY
    assert text.index("http-equiv") < text.index("<style>")
    assert "url(" not in hypertext.STYLE
    assert "@import" not in hypertext.STYLE
    assert all(character == "\n" or character == "\t" or character.isprintable() for character in text)


def test_the_check_of_the_page_would_find_what_is_not_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypertext, "escape", lambda text: text)
    text = "".join(render("html", METADATA, [event(Prompt, 1, prompt="<script></script>", by="a")]))
    assert not {tag for tag, _ in Page(text).tags} <= ALLOWED_TAGS


def test_the_page_shows_the_story() -> None:
    text = Page(exported("html")).text
    for shown in ("Prompt by anna", "<script>alert(1)</script>", "Permission asked", "Permission denied by anna",
                  "not <today>", "Turn ended: exit 3", r"\u{202e}", "+three <b>", "Warning: "):  # fmt: skip
        assert shown in text


@pytest.mark.parametrize("make", [exported, hostile])
def test_nothing_leaves_its_code_block_in_markdown(make: Any) -> None:
    fence = None
    outside = []
    for line in make("md").split("\n"):
        found = re.match(r"(`{3,})(\w*)$", line)
        if fence is None and found:
            fence = found[1]
        elif fence is not None and line == fence:
            fence = None
        elif fence is None:
            outside.append(line)
    assert fence is None
    allowed = re.compile(r"$|# |\| |\|---|## Prompt by |### Permission asked|- (tool|because|asked at|warning): |\*")
    assert all(allowed.match(line) for line in outside)
    assert not any("<" in line.replace("\\<", "") for line in outside)


@pytest.mark.parametrize("make", [exported, hostile])
def test_the_recording_is_an_asciicast_of_version_2(make: Any) -> None:
    header, *frames = map(json.loads, make("asciicast").splitlines())
    assert header["version"] == 2
    assert isinstance(header["width"], int)
    assert isinstance(header["height"], int)
    assert header["title"].endswith("(paced evenly: the log has no times of it)")
    assert all(len(frame) == 3 and frame[1] == "o" and isinstance(frame[2], str) for frame in frames)
    times = [frame[0] for frame in frames]
    assert times == sorted(times)
    assert times[0] > 0
    shown = "".join(frame[2] for frame in frames)
    assert "\n" not in shown.replace("\r\n", "")
    assert re.sub("\x1b\\[[0-9;]*m|\r\n|\t", "", shown).isprintable()


def test_asciinema_itself_reads_the_recording(tmp_path: Path) -> None:
    asciicast = pytest.importorskip("asciinema.asciicast", reason="asciinema is not installed")
    path = tmp_path / "session.cast"
    path.write_text(exported("asciicast"))
    with asciicast.open_from_url(str(path)) as recording:
        frames = list(recording.events("o"))
    assert len(frames) == len(exported("asciicast").splitlines()) - 1 > 20


def test_colours_that_are_split_over_chunks_reach_the_recording_and_nothing_else() -> None:
    lines = [
        event(AgentStdout, 1, chunk="a\x1b[3"),
        event(AgentStdout, 2, chunk="1mb\x1b["),
        event(Prompt, 3, prompt="p", by="x"),
    ]
    shown = "".join(text for _, text in steps(map(read, lines)))
    assert "a\x1b[31mb" in shown
    assert [part for part in parts(map(read, lines)) if isinstance(part, Output)] == [Output("ab\\u{1b}[", False)]


if __name__ == "__main__":
    for form, name in (("jsonl", "jsonl"), ("md", "md"), ("html", "html"), ("asciicast", "cast")):
        (HERE / "golden" / f"session.{name}").write_text(exported(form))  # type: ignore[arg-type]
