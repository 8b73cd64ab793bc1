"""Plain commands: the prompt is one argument, the whole command is asked for, and what it writes streams."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from tests.agents.contract import turn
from tests.agents.recorder import ALLOW, DENY, Recorder

from myagent.agents import Answer, TurnEnd
from myagent.agents.exec import ExecAgent, UnusableTemplate
from myagent.exceptions import AgentUnavailable

ECHO = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"


def run(template: str, prompt: str, cwd: Path, io: Recorder) -> TurnEnd:
    async def main() -> TurnEnd:
        agent = ExecAgent(template, cwd=cwd)
        await agent.start()
        try:
            return await agent.run(turn(cwd, prompt), io)
        finally:
            await agent.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    "prompt", ["two words", "$(touch pwned); `touch pwned`", "'; touch pwned #", "a\nb", "{prompt}", "-x", 'quo"te']
)
def test_the_prompt_is_one_argument_and_no_shell_sees_it(tmp_path: Path, prompt: str) -> None:
    io = Recorder(ALLOW)
    end = run(f"{ECHO} --say={{prompt}} {{prompt}} '$HOME'", prompt, tmp_path, io)
    assert end == TurnEnd(exit_code=0)
    assert json.loads(io.out) == [f"--say={prompt}", prompt, "$HOME"]
    assert not (tmp_path / "pwned").exists()


def test_the_whole_command_is_asked_for_and_labelled(tmp_path: Path) -> None:
    io = Recorder(DENY)
    end = run(f"{ECHO} {{prompt}}", "it's me", tmp_path, io)
    (call,) = io.asked
    assert call.text.endswith("""'it'"'"'s me'""")
    assert "no permission prompts of its own" in str(call.reason)
    assert call.input["argv"][-1] == "it's me"
    assert [option.kind for option in call.options] == ["allow_once", "reject_once"]
    assert (end.exit_code, end.message, io.out) == (1, "denied: not today", "")


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (Answer("expired"), TurnEnd(exit_code=1, message="nobody decided in time")),
        (Answer("cancelled"), TurnEnd("cancelled")),
    ],
)
def test_without_an_allow_nothing_runs(tmp_path: Path, answer: Answer, end: TurnEnd) -> None:
    assert run("touch {prompt}", "made", tmp_path, Recorder(answer)) == end
    assert not (tmp_path / "made").exists()


def test_its_exit_code_is_the_turns(tmp_path: Path) -> None:
    io = Recorder(ALLOW)
    end = run("sh -c {prompt}", "echo out; echo err >&2; exit 7", tmp_path, io)
    assert (io.out, io.err, end.exit_code, end.message) == ("out\n", "err\n", 7, "sh exited with status 7")


def test_a_program_that_changed_while_asking_does_not_run(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\necho good\n")
    program.chmod(0o755)

    async def swap() -> None:
        program.write_text("#!/bin/sh\necho evil\n")

    io = Recorder(ALLOW, swap)
    end = run("./tool {prompt}", "x", tmp_path, io)
    assert (end.exit_code, io.out) == (1, "")
    assert "changed after leave was asked" in io.err


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [("", "INT"), ("INT", "TERM"), ("INT TERM", None)],
)
def test_cancelled_it_is_interrupted_first_then_told_to_end_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignored: str, expected: str | None
) -> None:
    if expected is None:
        monkeypatch.setattr("myagent.agents.processes.process.GRACE_SECONDS", 0.2)
    traps = "".join(f"trap : {name}; " for name in ignored.split())
    if expected is not None:
        traps += f"trap 'echo {expected} >ended; exit' {expected}; "
    io = Recorder(ALLOW)

    async def main() -> None:
        agent = ExecAgent("sh -c {prompt}", cwd=tmp_path)
        running = asyncio.create_task(
            agent.run(turn(tmp_path, f"{traps}echo $$; while :; do sleep 1000 & wait; done"), io)
        )
        await io.until(lambda: io.out.endswith("\n"))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(int(io.out), 0)
    ended = tmp_path / "ended"
    assert (ended.read_text().strip() if ended.exists() else None) == expected


def test_our_variables_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYAGENT_TOKEN", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    io = Recorder(ALLOW)
    run("sh -c {prompt}", "echo $OPENAI_API_KEY$MYAGENT_TOKEN", tmp_path, io)
    assert io.out == "theirs\n"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "it names no program"),
        ("aider --message", "it has no place for the prompt"),
        ("{prompt}", "it names no program"),
        ("aider 'unclosed {prompt}", "no closing quotation"),
    ],
)
def test_a_template_that_cannot_work_is_refused(tmp_path: Path, template: str, reason: str) -> None:
    with pytest.raises(UnusableTemplate, match=reason):
        ExecAgent(template, cwd=tmp_path)


def test_a_missing_program_is_found_out_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AgentUnavailable, match="there is no program no-such-program"):
        run("no-such-program {prompt}", "x", tmp_path, Recorder(ALLOW))
