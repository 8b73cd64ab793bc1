"""Sharing a session as people do it: on real terminals, with a real server."""

from __future__ import annotations

from typing import Any

QUESTION = "Allow? [y/N]"


def client(terminal: Any, serving: Any, *options: str, **variables: str) -> Any:
    return terminal("remote", "client", "--url", serving.url, *options, cwd=serving.directory, **variables)


def test_allow(serve: Any, terminal: Any) -> None:
    serving = serve()
    screen = client(terminal, serving, "--prompt", "!echo from the agent; echo beside it >&2; exit 0")
    shown = screen.read_until(QUESTION)
    assert "[remote] role: owner" in shown
    assert "echo from the agent; echo beside it >&2; exit 0" in shown
    assert str(serving.directory) in shown
    assert shown.endswith(QUESTION)
    screen.type("y\n")
    assert screen.finish() == 0
    assert "\nfrom the agent\n" in screen.text
    assert "\nbeside it\n" in screen.text
    assert screen.text.endswith("[remote] turn ended: exit 0 (end_turn)")


def test_deny(serve: Any, terminal: Any) -> None:
    serving = serve()
    for answer in ("n\n", "\n", "allowed\n", "\x04"):
        screen = client(terminal, serving, "--prompt", "!touch made")
        screen.read_until(QUESTION)
        screen.type(answer)
        assert screen.finish() == 1
    assert not (serving.directory / "made").exists()


def test_a_write_shows_its_diff_in_colour(serve: Any, terminal: Any) -> None:
    serving = serve()
    (serving.directory / "a.txt").write_text("one\ntwo\n")
    screen = client(terminal, serving, "--prompt", "write a.txt\none\nthree\n")
    shown = screen.read_until(QUESTION)
    assert "  -two" in shown
    assert "  +three" in shown
    assert b"\x1b[31m-two" in screen.raw
    assert b"\x1b[32m+three" in screen.raw
    screen.type("y\n")
    assert screen.finish() == 0
    assert (serving.directory / "a.txt").read_text().startswith("one\nthree")
    plain = client(terminal, serving, "--prompt", "write a.txt\nfour\n", NO_COLOR="1")
    plain.read_until(QUESTION)
    assert b"\x1b[3" not in plain.raw
    plain.type("n\n")
    assert plain.finish() == 1


def test_what_hides_is_shown_and_needs_more_than_a_key(serve: Any, terminal: Any) -> None:
    serving = serve()
    screen = client(terminal, serving, "--prompt", "!touch made # \u202e\u200b")
    shown = screen.read_until(QUESTION)
    assert r"touch made # \u{202e}\u{200b}" in shown
    assert "reorder" in shown
    assert "cannot be seen" in shown
    assert "\u202e".encode() not in screen.raw
    screen.type("y\n")
    screen.read_until(lambda text: text.count(QUESTION) == 2)
    assert not (serving.directory / "made").exists()
    screen.type("allow\n")
    assert screen.finish() == 0
    assert (serving.directory / "made").exists()


def test_keys_typed_before_the_question_are_no_answer(serve: Any, terminal: Any) -> None:
    serving = serve()
    screen = client(terminal, serving, "--prompt", "!touch made")
    screen.type("y\ny\nallow\n")
    screen.read_until(QUESTION)
    screen.type("n\n")
    assert screen.finish() == 1
    assert not (serving.directory / "made").exists()


def test_the_agent_cannot_drive_the_terminal(serve: Any, terminal: Any) -> None:
    serving = serve()
    command = r"!printf '\033]0;owned\007\033[2J\033[31mred\033[0m\302\2332J\r'"
    screen = client(terminal, serving, "--prompt", command)
    screen.read_until(QUESTION)
    screen.type("allow\n" if "warning" in screen.text else "y\n")
    assert screen.finish() == 0
    assert screen.screen.title == ""
    assert r"\u{1b}]0;owned\u{7}\u{1b}[2Jred\u{9b}2J" in screen.text
    assert b"\x1b[31mred" in screen.raw
    raw = client(terminal, serving, "--raw", "--prompt", command)
    raw.read_until(QUESTION)
    raw.type("allow\n" if "warning" in raw.text else "y\n")
    assert raw.finish() == 0
    assert raw.screen.title == "owned"  # the negative control: it is the filter that keeps this out


def test_a_watcher_sees_everything_is_never_asked_and_leaves_with_ctrl_c(serve: Any, terminal: Any) -> None:
    serving = serve()
    owner = client(terminal, serving)
    owner.read_until("role: owner")
    watcher = client(terminal, serving)
    watcher.read_until("role: follower")
    owner.type("\x03")
    assert owner.finish() == 0
    driver = client(terminal, serving, "--prompt", "!echo seen by all")
    driver.read_until(QUESTION)
    assert "waiting for the owner to answer" in watcher.read_until("permission asked: ")
    watcher.type("y\n")
    driver.type("y\n")
    assert driver.finish() == 0
    shown = watcher.read_until("turn ended: exit 0")
    assert "\nseen by all\n" in shown
    assert QUESTION not in shown
    assert "prompt by" in shown
    watcher.type("\x03")
    assert watcher.finish() == 0
    assert "Traceback" not in watcher.text


def test_a_follower_cannot_prompt(serve: Any, terminal: Any) -> None:
    serving = serve()
    owner = client(terminal, serving)
    owner.read_until("role: owner")
    follower = client(terminal, serving, "--prompt", "read a.txt")
    assert follower.finish() == 3
    assert "read-only follower" in follower.text
    assert "prompt by" not in owner.text


def test_an_owner_who_watches_is_asked_for_a_request_that_is_still_open(serve: Any, terminal: Any) -> None:
    serving = serve()
    first = client(terminal, serving, "--prompt", "!echo picked up")
    first.read_until(QUESTION)
    first.process.terminate()
    first.finish()
    second = client(terminal, serving)
    second.read_until(QUESTION)
    second.type("y\n")
    shown = second.read_until("turn ended: exit 0")
    assert "\npicked up\n" in shown


def test_a_question_that_expires_is_withdrawn(serve: Any, terminal: Any) -> None:
    serving = serve("--permission-timeout", "1")
    screen = client(terminal, serving, "--prompt", "!touch made")
    screen.read_until(QUESTION)
    assert screen.finish() == 1
    assert "the question is withdrawn: it is expired unanswered" in screen.text


def test_ctrl_c_cancels_the_turn_first(serve: Any, terminal: Any) -> None:
    serving = serve()
    screen = client(terminal, serving, "--prompt", "!echo begun; sleep 60")
    screen.read_until(QUESTION)
    screen.type("y\n")
    screen.read_until("\nbegun")
    screen.type("\x03")
    assert screen.finish() == 130
    assert "cancelling the turn" in screen.text
    assert "turn ended: exit 130" in screen.text
    asked = client(terminal, serving, "--prompt", "!touch made")
    asked.read_until(QUESTION)
    asked.type("\x03")
    assert asked.finish() == 130
    assert "the question is withdrawn" in asked.text
    assert not (serving.directory / "made").exists()


def test_a_watcher_survives_a_restart_of_the_server(serve: Any, terminal: Any) -> None:
    serving = serve()
    watcher = client(terminal, serving)
    watcher.read_until("role: owner")
    serving.stop()
    watcher.read_until("reconnecting, attempt 1: the server stopped")
    serve("--port", serving.url.rpartition(":")[2])
    watcher.read_until("connected again")
    watcher.type("\x03")
    assert watcher.finish() == 0
