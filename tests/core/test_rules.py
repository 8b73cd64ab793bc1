"""A rule allows what was remembered, and no spelling makes it allow more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.core.hostile_spellings import GIT_STATUS, HARMLESS, HOSTILE

from myagent.core import rules
from myagent.core.messages import Diff, Option
from myagent.core.permissions import ToolCall
from myagent.core.refusals import BadMessage
from myagent.core.rule import Remember, Rule

NOW = "2026-01-01T00:00:00.000Z"
CWD = "/home/ada/project"


def bash(line: str, **more: Any) -> ToolCall:
    return ToolCall("Bash", {"command": line}, line, kind="execute", **more)


def edit(path: str, **more: Any) -> ToolCall:
    return ToolCall("Edit", {"path": path}, path, kind="edit", diffs=(Diff(path, "a", "b"),), **more)


def made(call: ToolCall, match: str, links: Mapping[str, str] | None = None, **more: Any) -> Rule:
    remember = Remember(scope=more.pop("scope", "workspace"), match=match, **more)  # type: ignore[arg-type]
    return rules.make(
        call,
        remember,
        cwd=CWD,
        rule_id="r1",
        session_id="s1",
        stamp=NOW,
        made_by="ada",
        credential="owner",
        message_id="m",
        resolve=leading(links or {}),
    )


def leading(links: Mapping[str, str]) -> rules.Resolve:
    def resolve(path: str) -> str:
        for link, target in links.items():
            if path == link or path.startswith(f"{link}/"):
                return target + path[len(link) :]
        return path

    return resolve


def allows(rule: Rule, call: ToolCall, *, session: str = "s1", links: Mapping[str, str] | None = None) -> bool:
    found, _ = rules.judge(call, [rule], cwd=CWD, session_id=session, now=NOW, resolve=leading(links or {}))
    return found is not None


def why(rule: Rule, call: ToolCall, **more: Any) -> list[str]:
    _, missed = rules.judge(call, [rule], cwd=CWD, session_id=more.pop("session", "s1"), now=NOW, **more)
    return [each.why for each in missed]


def test_there_are_200_hostile_spellings() -> None:
    assert len(set(HOSTILE)) >= 200


@pytest.mark.parametrize("line", HARMLESS)
def test_a_prefix_allows_the_same_words_and_more_after_them(line: str) -> None:
    assert allows(made(bash("git status"), "prefix"), bash(line))


@pytest.mark.parametrize("line", HOSTILE, ids=ascii)
def test_no_spelling_widens_a_prefix(line: str) -> None:
    rule = made(bash("git status"), "prefix")
    assert rule.words == GIT_STATUS
    assert not allows(rule, bash(line))
    assert not allows(rule, ToolCall("Bash", {"command": ["bash", "-lc", line]}, line, kind="execute"))
    assert not allows(rule, ToolCall("Bash", {"command": [line]}, line, kind="execute"))


@pytest.mark.parametrize("line", [each for each in HOSTILE if each != "git status"], ids=ascii)
def test_no_spelling_is_taken_for_the_exact_command(line: str) -> None:
    assert not allows(made(bash("git status"), "exact"), bash(line))


def test_what_splits_at_spaces_alone_would_be_widened_by_these_spellings() -> None:
    """The control: to compare words as they stand lets most of them through."""
    assert sum(tuple(line.split()[:2]) == GIT_STATUS for line in HOSTILE) > 100


@pytest.mark.parametrize("key", ["run_in_background", "env", "shell", "stdin", "cmd", "cwd"])
def test_input_that_a_prefix_says_nothing_of_is_asked_for(key: str) -> None:
    rule = made(bash("git status"), "prefix")
    call = ToolCall("Bash", {"command": "git status", key: "/elsewhere"}, "git status", kind="execute")
    assert not allows(rule, call)


def test_harmless_input_beside_a_command_is_none_of_a_prefix_rules_business() -> None:
    given = {"command": "git status", "description": "Look", "timeout": 5, "cwd": CWD}
    assert allows(made(bash("git status"), "prefix"), ToolCall("Bash", given, "git status", kind="execute"))


@pytest.mark.parametrize(
    "line", ["bash x.sh", "python -m pytest", "python3.11 x.py", "sudo ls", "env ls", "find . -name x"]
)
def test_a_prefix_of_a_program_that_runs_anything_cannot_be_made(line: str) -> None:
    with pytest.raises(BadMessage, match="cannot be remembered"):
        made(bash(line), "prefix")
    assert [each.match for each in rules.offers(bash(line), CWD)] == ["exact"]


def test_a_prefix_is_of_the_requests_own_words() -> None:
    assert made(bash("make test -k x"), "prefix", words=("make", "test")).words == ("make", "test")
    for words in (("make", "tes"), ("rm",), ("make", "test", "-k", "x", "y"), ("",)):
        with pytest.raises(BadMessage, match="does not begin"):
            made(bash("make test -k x"), "prefix", words=words)


@pytest.mark.parametrize("match", ["exact", "prefix"])
def test_what_has_warnings_is_neither_remembered_nor_allowed(match: str) -> None:
    rule = made(bash("git status"), match)
    for call in (bash("git status", flags=("credentials",)), bash("git status", in_every_mode=True)):
        assert not allows(rule, call)
        assert rules.offers(call, CWD) == ()
        with pytest.raises(BadMessage, match="cannot be remembered"):
            made(call, match)
    assert why(rule, bash("git status", flags=("credentials",))) == ["it has warnings"]


def test_a_choice_between_answers_is_nobodys_but_a_humans() -> None:
    options = tuple(Option(name, name, "allow_once") for name in ("one", "two"))
    assert not allows(made(bash("git status"), "exact"), bash("git status", options=options))


@pytest.mark.parametrize(
    "line",
    ["cat .git/hooks/pre-commit", "cp x .git/config", "cat .MyAgent/remote/auth.json", "git config a b", "x" * 1025],
)
def test_what_no_rule_gives_leave_for_cannot_be_remembered(line: str) -> None:
    with pytest.raises(BadMessage, match="cannot be remembered"):
        made(bash(line), "exact")


def test_a_program_that_is_another_one_now_is_asked_for() -> None:
    plan = {"command make": ["/usr/bin/make", 1], "file Makefile": "x", "argv": ["make", "test"]}
    rule = made(bash("make test", plan=plan), "prefix", words=("make",))
    assert allows(rule, bash("make all", plan={**plan, "argv": ["make", "all"], "file all": "y"}))
    changed = bash("make all", plan={**plan, "command make": ["/tmp/make", 2]})
    assert not allows(rule, changed)
    assert why(rule, changed) == ["its program is another one now"]


def test_an_exact_command_is_asked_for_when_a_file_that_it_runs_has_changed() -> None:
    rule = made(bash("./build.sh", plan={"file build.sh": "old"}), "exact")
    assert allows(rule, bash("./build.sh", plan={"file build.sh": "old"}))
    assert not allows(rule, bash("./build.sh", plan={"file build.sh": "new"}))


def test_a_hosted_agents_call_is_compared_by_what_is_structured_in_it() -> None:
    def call(number: int, line: str) -> ToolCall:
        return bash(line, plan={"call": {"toolCallId": number}}, plan_repeats=False)

    assert allows(made(call(1, "git status"), "exact"), call(2, "git status"))
    assert not allows(made(call(1, "git status"), "exact"), call(2, "git status -s"))
    assert [each.match for each in rules.offers(call(1, "./build.sh"), CWD)] == ["exact"]


def test_an_edit_below_a_path_is_allowed() -> None:
    rule = made(edit("src/a.py"), "path")
    assert (rule.path, rule.shown) == ("src", "src/")
    assert allows(rule, edit("src/b.py"))
    assert allows(rule, edit("src/deep/c.py"))
    assert allows(rule, edit(f"{CWD}/src/d.py"))
    assert made(edit("src/deep/a.py"), "path", path="src").path == "src"


@pytest.mark.parametrize(
    "path",
    [
        "a.py",
        "srcs/a.py",
        "src",
        "src/",
        "src/../a.py",
        "src/x/../../a.py",
        "/etc/passwd",
        "~/src/a",
        "../src/a.py",
        "SRC/a.py",
        "src\\..\\a.py",
        "src/.git/config",
        "src/.GIT/hooks/x",
        "src/.git./x",
        "src/.myagent/x",
        "src/.MYAGENT/x",
        "src/git~1/x",
        "src/a\n.py",
        "src/\u202ea",
        "src/.g\u200bit/x",
        "ｓrc/a.py",
        "src/.ｇit/hooks/x",
        "",
    ],
    ids=ascii,
)
def test_no_spelling_widens_a_path(path: str) -> None:
    assert not allows(made(edit("src/a.py"), "path"), edit(path))


def test_a_link_does_not_lead_out_of_a_path() -> None:
    rule = made(edit("src/a.py"), "path")
    assert not allows(rule, edit("src/link/x"), links={f"{CWD}/src/link": f"{CWD}/.git/hooks"})
    assert not allows(rule, edit("src/link/x"), links={f"{CWD}/src/link": "/etc"})
    assert not allows(rule, edit("src/a.py"), links={f"{CWD}/src": f"{CWD}/other"})
    assert allows(rule, edit("src/link/x"), links={f"{CWD}/src/link": f"{CWD}/src/real"})
    assert not allows(made(bash("make"), "prefix"), bash("make x/y"), links={f"{CWD}/x": f"{CWD}/.git"})


def test_control_a_rule_that_follows_no_link_would_lead_out_of_its_path() -> None:
    rule = made(edit("src/a.py"), "path")
    for target in (f"{CWD}/.git/hooks", "/etc", f"{CWD}/other"):
        links = {f"{CWD}/src/link": target}
        assert not allows(rule, edit("src/link/x"), links=links)
        unfollowed, _ = rules.judge(edit("src/link/x"), [rule], cwd=CWD, session_id="s1", now=NOW)
        assert unfollowed is not None


def test_all_that_a_call_touches_must_be_below_the_path() -> None:
    rule = made(edit("src/a.py"), "path")
    assert not allows(rule, edit("src/a.py", paths=("Makefile",)))
    two = ToolCall(
        "Edit", {"path": "src/a.py", "file_path": "Makefile"}, "", kind="edit", diffs=(Diff("src/a.py", "", "x"),)
    )
    assert not allows(rule, two)
    for kind in ("delete", "move", "other", "execute"):
        assert not allows(
            rule, ToolCall("Edit", {"path": "src/a.py"}, "", kind=kind, diffs=(Diff("src/a.py", "", "x"),))
        )


def test_a_path_outside_of_the_directory_cannot_be_remembered() -> None:
    for path in ("..", "/", "../other", "src/../..", ".git", "/home/ada"):
        with pytest.raises(BadMessage, match="cannot be remembered"):
            made(edit("src/a.py"), "path", path=path)
    with pytest.raises(BadMessage, match="cannot be remembered"):
        made(edit("/etc/passwd"), "path")


def test_a_rule_of_a_session_counts_in_it_alone() -> None:
    rule = made(bash("git status"), "exact", scope="session")
    assert allows(rule, bash("git status"))
    assert not allows(rule, bash("git status"), session="s2")
    assert why(rule, bash("git status"), session="s2") == ["it is for another session"]


def test_a_rule_ends_when_its_time_is_over() -> None:
    rule = made(bash("git status"), "exact", until="2026-01-01T01:00:00.000Z")
    assert allows(rule, bash("git status"))
    for later in ("2026-01-01T01:00:00.000Z", "2027-01-01T00:00:00.000Z"):
        assert rules.judge(bash("git status"), [rule], cwd=CWD, session_id="s1", now=later)[0] is None
        assert rules.is_over(rule, later)
    for until in (NOW, "2025-12-31T00:00:00.000Z", "2026-02-01T00:00:00", "soon", "9"):
        with pytest.raises(BadMessage, match="until"):
            made(bash("git status"), "exact", until=until)


def test_a_rule_that_would_have_matched_is_named_with_the_reason() -> None:
    rule = made(bash("git status"), "prefix")
    assert why(rule, bash("git status; rm x")) == ["it has more than plain words"]
    assert why(rule, bash("git status .git/hooks")) == ["it names .git or .myagent"]
    assert why(rule, bash("ls")) == []


def test_another_directory_is_another_matter() -> None:
    rule = made(bash("git status"), "exact")
    assert rules.judge(bash("git status"), [rule], cwd="/tmp", session_id="s1", now=NOW)[0] is None


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("git rebase main", "git rebase -x 'touch made' main"),
        ("git clone here there", "git clone -u 'touch made' here there"),
        ("git bisect start", "git bisect run touch made"),
        ("git difftool main", "git difftool -x 'touch made' main"),
        ("git submodule update", "git submodule foreach touch made"),
        ("taskset 1", "taskset 1 sh -c 'touch made'"),
        ("tar cf out.tar a", "tar cf out.tar '--checkpoint-action=exec=touch made' a"),
    ],
)
def test_what_runs_what_follows_it_is_no_prefix(before: str, line: str) -> None:
    offered = [each for each in rules.offers(bash(before), CWD, resolve=str) if each.match == "prefix"]
    assert offered == [] or not allows(made(bash(before), "prefix", words=offered[0].words), bash(line))
