"""Which choices let an agent act unasked: by the mode, by what an option is about, by its words however spelled."""

from __future__ import annotations

import pytest

from myagent.core.choices import OPTIONS, Choice, Described, remembered, squashed, with_choice

HOSTILE = [
    *("yolo", "YOLO", "Y0L0", "y.o.l.o"),
    *("yo lo", "у\u043el\u043e", "ｙｏｌｏ", "yo\u200blo", "y\u00ado\u2060lo",  "𝐲𝐨𝐥𝐨"),
    *("bypassPermissions", "bypass_permissions", "BYPASS-PERMISSIONS", "byp@ss", "Bypass all prompts", "bypаss"),
    *("auto-approve", "autoApprove", "Auto Approve"),
    *("AUTO_APPROVE_ALL", "automatically approve", "auto-accept edits"),
    *("dontAsk", "don't ask", "don’t ask", "do not ask again", "never-ask", "no asking", "work without asking"),
    *("acceptEdits", "Accept edits", "accept_all"),
    *("approve everything", "allow-all-tools", "always allow", "autoEdit"),
    *("skip-permissions", "dangerously-skip-permissions", "skip confirmations"),
    *("no approval", "noConfirm", "no-prompts"),
    *("full-access", "agent-full-access", "full-auto", "fullyAuto"),
    *("autopilot", "autonomous", "hands-free", "unattended"),
    *("danger-full-access", "unrestricted", "no sandbox", "disable_sandbox"),
    *("auto-run", "auto_exec", "trust all", "unsafe"),
]  # fmt: skip
ORDINARY = [
    *("gpt-5.4", "claude-opus-5", "haiku", "big", "low", "high", "xhigh", "auto", "concise", "qwen3-coder:30b"),
    *("gemini-3-pro", "on", "off", "true"),
    *("default", "fast", "german", "bypassed-by-no-one".replace("bypass", "pass")),
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_that_says_that_nobody_is_asked_is_guarded(value: str) -> None:
    """Whether the words are its id's, its label's, or its option's."""
    assert Described(("effort", "Effort"), "thought_level").guards(value)
    assert Described(("effort", "Effort")).guards("v1", value)
    assert Described(("x", value), "model").guards("v1")
    assert Described(("x", value), "model_config").guards(True)


@pytest.mark.parametrize("value", ORDINARY)
def test_an_ordinary_value_is_free(value: str) -> None:
    for category in ("model", "model_config", "thought_level", None):
        assert not Described(("effort", "Effort"), category, before="none").guards(value)


@pytest.mark.parametrize("value", [*HOSTILE, *ORDINARY, "Ask", "ask ", "plan ", "аsk", "code", ""])
def test_a_mode_is_free_only_if_it_is_known_to_ask(value: str) -> None:
    """Neither a spelling nor a label makes an unknown one known."""
    mode = Described(("mode", "Mode"), "mode", {"ask", "plan"}, before="code")
    assert mode.guards(value) and mode.guards(value, "ask")
    assert not mode.guards("ask") and not mode.guards("plan", "Yolo")


@pytest.mark.parametrize(
    "option",
    [
        *("approval_policy", "Approvals", "permission-mode", "Permissions", "sandbox", "confirm before run", "trust"),
        *("autonomy level", "edit_mode", "Session Mode", "AgentMode", "ask_before_edit", "guardrails", "аpproval"),
        *("ask", "Edits", "policy", "аuto", "tools"),  # one word alone, of whatever it is
    ],
)
def test_an_option_about_permission_stays_as_it_was(option: str) -> None:
    for described in (Described((option,), before="a"), Described(("x", option), "other", before="a")):
        assert described.guards("b") and not described.guards("a")
    switch = Described((option,), before=True)
    assert switch.guards(False) and not switch.guards(True)


def test_a_switch_that_would_ask_nobody_can_only_be_left_alone() -> None:
    assert Described(("yolo",), before=False).guards(True)
    assert not Described(("yolo",), before=False).guards(False)
    assert not Described(("web_search", "Search the web"), before=False).guards(True)


def test_words_are_compared_by_what_a_human_reads() -> None:
    assert {squashed(value) for value in HOSTILE[:10]} == {"yolo"}
    assert squashed("") == squashed("\u200b \t") == ""


def test_the_latest_choice_of_each_option_is_remembered() -> None:
    choices = remembered((), Choice("m", "small", "big"))
    assert choices == (Choice("m", "small", "big"),)
    assert remembered(choices, Choice("m", "huge", "big")) == (Choice("m", "huge", "big"),)
    assert remembered(choices, Choice("m", "big", "big")) == (Choice("m", "big", "big"),)
    for number in range(2 * OPTIONS):
        choices = remembered(choices, Choice(f"o{number}", "a", "b"))
    assert len(choices) == OPTIONS


def test_what_is_told_of_an_option_changes_with_it() -> None:
    rows = [{"id": "m", "category": "mode", "value": "ask"}, {"id": "x", "value": False}]
    state = {"options": rows, "config": [{"id": "x", "value": False}], "usage": {}}
    assert with_choice(state, Choice("m", "plan")) == {
        "options": [{**rows[0], "value": "plan"}, rows[1]], "config": state["config"], "mode": "plan",
    }  # fmt: skip
    assert with_choice(state, Choice("x", True))["config"] == [{"id": "x", "value": True}]
    assert with_choice({}, Choice("x", True)) == {}
