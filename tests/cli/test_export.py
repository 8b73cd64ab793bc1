"""`export` and `replay` against a real server: whole files or none, pages joined, progress told, no role taken."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace


@pytest.fixture
def shared(serve: Any, myagent: Any) -> tuple[Any, str]:
    """A server with one session of a few turns."""
    serving = serve()
    (serving.directory / "a.txt").write_text("content of a\n")
    first = myagent("remote", "client", "--url", serving.url, "--prompt", "read a.txt")
    session = first.stderr.partition("session: ")[2].split()[0]
    myagent("remote", "client", "--url", serving.url, "--session", session, "--prompt", "!echo no")
    return serving, session


@pytest.mark.parametrize("form", ["jsonl", "md", "html", "asciicast"])
def test_a_file_and_standard_output_are_the_same(shared: Any, myagent: Any, form: str) -> None:
    serving, session = shared
    path = serving.directory / "out"
    ask = ("remote", "export", session, "--format", form, "--url", serving.url)
    piped = myagent(*ask)
    assert (piped.returncode, piped.stderr) == (0, "")
    written = myagent(*ask, "-o", str(path))
    assert (written.returncode, written.stdout) == (0, "")
    assert "events of session" in written.stderr
    assert path.read_text() == piped.stdout
    assert "content of a" in piped.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_exporting_takes_no_role(shared: Any, myagent: Any, terminal: Any) -> None:
    serving, session = shared
    myagent("remote", "export", session, "--format", "md", "--url", serving.url)
    owner = terminal("remote", "client", "--url", serving.url, cwd=serving.directory)
    owner.read_until("role: owner")


def test_pages_are_joined_and_progress_is_told(
    shared: Any, myagent: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from myagent.__main__ import main
    from myagent.cli import reading
    from myagent.client import asking

    serving, session = shared
    whole = myagent("remote", "export", session, "--format", "jsonl", "--url", serving.url).stdout
    count = len(whole.splitlines())
    monkeypatch.chdir(serving.directory)
    monkeypatch.setattr(asking, "PAGE_EVENTS", 2)
    monkeypatch.setattr(reading, "TOLD_EVERY", 3)
    assert main(["remote", "export", session, "--format", "jsonl", "--url", serving.url]) == 0
    output, errors = capsys.readouterr()
    assert output == whole
    assert [json.loads(line)["seq"] for line in output.splitlines()] == list(range(1, count + 1))
    assert errors.splitlines() == [f"[remote] {n} of {count} events" for n in range(3, count + 1, 3)]


def test_a_file_is_put_in_place_whole_or_not_at_all(
    shared: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from myagent.__main__ import main
    from myagent.cli import reading
    from myagent.client.errors import CannotConnect

    def breaks_off(*_: object, **__: object) -> Any:
        yield b'{"type":"prompt","id":"t","sessionId":"s","seq":1,"prompt":"p","by":"b"}'
        raise CannotConnect("ws://127.0.0.1:1", "it is gone")

    serving, session = shared
    path = serving.directory / "out.md"
    path.write_text("an earlier export\n")
    before = set(os.listdir(serving.directory))
    monkeypatch.chdir(serving.directory)
    monkeypatch.setattr(reading, "all_events", breaks_off)
    arguments = ["remote", "export", session, "--format", "md", "--url", serving.url, "-o", str(path)]
    assert main(arguments) == 3
    assert "it is gone" in capsys.readouterr().err
    assert path.read_text() == "an earlier export\n"
    assert set(os.listdir(serving.directory)) == before


def test_failures_are_one_clear_line(shared: Any, myagent: Any) -> None:
    serving, session = shared
    unknown = myagent("remote", "export", "remote_none", "--format", "md", "--url", serving.url)
    assert unknown.returncode == 3
    assert unknown.stderr == "[remote] there is no session remote_none on that server\n"
    nowhere = myagent("remote", "export", session, "--format", "md", "--url", serving.url, "-o", "no/where")
    assert nowhere.returncode == 3
    assert nowhere.stderr == "[remote] cannot write no/where: no such file or directory\n"
    for wrong in (["../x", "--format", "md"], [session], [session, "--format", "pdf"]):
        assert myagent("remote", "export", *wrong, "--url", serving.url).returncode == 2
    assert myagent("remote", "replay", session, "--speed", "fast").returncode == 2


def test_replay_shows_the_story_in_its_order(shared: Any, myagent: Any, terminal: Any) -> None:
    serving, session = shared
    done = myagent("remote", "replay", session, "--url", serving.url, "--speed", "0")
    assert done.returncode == 0
    told = ["Prompt by", "> read a.txt", "content of a", "Turn ended: exit 0", "> !echo no", "Permission asked",
            "Permission denied", "Turn ended: exit 1"]  # fmt: skip
    places = [done.stdout.index(text) for text in told]
    assert places == sorted(places)
    screen = terminal("remote", "replay", session, "--url", serving.url, "--speed", "0.5", cwd=serving.directory)
    screen.read_until("Prompt by")
    screen.type("\x03")
    assert screen.finish() == 130


def test_export_does_not_overwrite_what_a_link_points_to(shared: Any, myagent: Any, tmp_path: Path) -> None:
    serving, session = shared
    kept = tmp_path / "kept"
    kept.write_text("kept\n")
    link = tmp_path / "link"
    link.symlink_to(kept)
    assert myagent("remote", "export", session, "--format", "md", "--url", serving.url, "-o", str(link)).returncode == 0
    assert kept.read_text() == "kept\n"
    assert not link.is_symlink()


def test_several_are_written_to_a_directory_each_to_a_file_of_its_own(shared: Any, myagent: Any) -> None:
    serving, session = shared
    myagent("remote", "client", "--url", serving.url, "--prompt", "help")
    one = myagent("remote", "export", session, "--format", "md", "--url", serving.url).stdout
    place = serving.directory / "new" / "exports"
    done = myagent("remote", "export", "--all", "--format", "md", "--url", serving.url, "-o", str(place))
    assert done.returncode == 0
    assert len(list(place.iterdir())) == 2
    assert (place / f"{session}.md").read_text() == one
    other = serving.directory / "others"
    named = myagent(
        "remote", "export", session, "@latest", session, "--format", "jsonl", "--url", serving.url, "-o", str(other)
    )
    assert named.returncode == 0
    assert sorted(each.suffix for each in other.iterdir()) == [".jsonl", ".jsonl"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "say which sessions, or --all"),
        (("@latest", "--all", "-o", "x"), "say which sessions, or --all"),
        (("--all",), "several sessions are written to a directory"),
        (("@latest", "remote_20260101120000_0a1b2c3d"), "several sessions are written to a directory"),
    ],
)
def test_which_sessions_must_be_clear_and_several_need_a_directory(myagent: Any, more: Any, why: str) -> None:
    refused = myagent("remote", "export", "--format", "md", *more)
    assert refused.returncode == 2
    assert why in refused.stderr


def test_of_several_of_which_one_is_none_nothing_is_written(shared: Any, myagent: Any) -> None:
    serving, _ = shared
    place = serving.directory / "out"
    done = myagent("remote", "export", "@latest", "none", "--format", "md", "--url", serving.url, "-o", str(place))
    assert done.returncode == 3
    assert "there is no session none" in done.stderr
    assert list(place.iterdir()) == []


def test_a_server_that_calls_a_session_by_a_path_writes_nowhere(
    shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from myagent.__main__ import main
    from myagent.cli import reading
    from myagent.client import naming

    serving, session = shared
    hostile = "../remote_20260101120000_0a1b2c3d"
    true_session = reading.session
    monkeypatch.chdir(serving.directory)
    for module in (reading, naming):
        monkeypatch.setattr(module, "list_sessions", lambda *_: [{"sessionId": hostile}])
    monkeypatch.setattr(
        reading, "session", lambda address, token, _: replace(true_session(address, token, session), session_id=hostile)
    )
    arguments = ["remote", "export", "--all", "--format", "md", "--url", serving.url, "-o", str(tmp_path / "out")]
    assert main(arguments) == 3
    assert "the id of a session is none: ../remote" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*.md")] == []
