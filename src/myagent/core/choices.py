"""What an owner chooses of what an agent offers for a session (mode, model, …), and which of that lets it act unasked.

A choice is guarded, and needs a server with `--allow-bypass`, when it

1. says the mode, and is none of those of which is known that the agent then asks, or changes nothing;
2. is of an option about permission, and is not what that option was before anybody chose;
3. says in its own words, or those of its option, that nobody is asked.

Words are compared without case, signs, spaces, and letters and digits that look like others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from myagent.core.look_alikes import skeleton

Value = str | bool

OPTIONS = 32  # that one session remembers its owner's choices of

_UNASKED = (
    *("yolo", "bypass", "autopilot", "handsfree", "godmode", "dangerous", "unsafe", "unattended", "unsupervised"),
    *("unrestricted", "fullaccess", "fullauto", "fullyauto", "autonomous", "bravemode", "turbomode", "autoyes"),
    *("autoapprov", "autoaccept", "autoallow", "autoconfirm", "autoedit", "autorun", "autoexec", "autopermi"),
    *("autoreview", "automaticallyapprov", "automaticallyaccept", "automaticallyallow", "automaticallyrun"),
    *("approveall", "acceptall", "allowall", "trustall", "approveevery", "allowevery", "acceptevery"),
    *("approveedit", "acceptedit", "allowedit", "approvechanges", "acceptchanges"),
    *("alwaysapprov", "alwaysallow", "alwaysaccept", "alwaystrust", "alwaysproceed", "alwaysrun"),
    *("dontask", "donotask", "neverask", "noask", "notask", "withoutask", "stopasking", "asknothing", "asksnothing"),
    *("skippermi", "skipapprov", "skipconfirm", "skipprompt", "nopermi", "noapprov", "noconfirm", "noprompt"),
    *("withoutapprov", "withoutpermi", "withoutconfirm", "withoutprompt", "neverprompt", "neverconfirm"),
    *("disableapprov", "disablepermi", "disableconfirm", "disablesandbox", "nosandbox", "withoutsandbox"),
)
_PERMISSION = (
    *("approv", "permission", "confirm", "consent", "sandbox", "supervis", "autonomy", "trust", "askbefore", "askfor"),
    *("allowlist", "whitelist", "guardrail", "safety", "humanintheloop", "autoedit", "yolo", "bypass", "access"),
)
_NAMES = (  # about permission when that is all that an option is called: "ask" = "never", "edits" = "auto"
    *("ask", "asks", "asking", "auto", "policy", "interactive", "prompting", "prompts", "edits", "writes", "commands"),
    *("shell", "tools", "exec", "execution"),
)
_HARMLESS = ("model", "model_config", "thought_level")  # ACP's categories of options whose name may end in "mode"
_DIGITS = str.maketrans("0134578@$|", "oieastbasi")
_SIGNS = re.compile(r"[\W_]+")


class Choice(msgspec.Struct, frozen=True):
    """An owner's choice, as it is stored. `before` is what the option was before anybody chose."""

    option_id: str
    value: Value
    before: Value | None = None
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """What an option says of itself. `asks` are the modes of which is known that the agent asks in them, or changes
    nothing; `before` is what it was before anybody chose."""

    texts: tuple[str, ...]  # its id, and what a human reads
    category: str | None = None
    asks: Collection[str] = ()
    before: Value | None = None

    @property
    def is_mode(self) -> bool:
        if self.category == "mode":
            return True
        return self.category not in _HARMLESS and any(squashed(text).endswith("mode") for text in self.texts)

    def guards(self, value: Value, label: str = "") -> bool:
        """Whether choosing this value needs `--allow-bypass`."""
        if self.category == "mode":
            return value not in self.asks
        if value == self.before:
            return False
        if self.is_mode or _says(_PERMISSION, self.texts) or any(squashed(text) in _NAMES for text in self.texts):
            return True
        if isinstance(value, bool):
            return value and _says(_UNASKED, self.texts)
        return _says(_UNASKED, (value, label, *self.texts))


def squashed(text: str) -> str:
    """A text as it is compared: no case, no signs, and what looks like a letter of ASCII is that letter."""
    plain = skeleton(skeleton(text).casefold())
    return _SIGNS.sub("", "".join(sign for sign in plain if sign.isprintable()).translate(_DIGITS))


def _says(words: Iterable[str], texts: Iterable[str]) -> bool:
    said = [squashed(text) for text in texts]
    return any(word in text for word in words for text in said)


def with_choice(state: dict[str, Any], choice: Choice) -> dict[str, Any]:
    """What is told of an agent's options, with one of them chosen."""
    told: dict[str, Any] = {}
    for key in ("options", "config"):
        rows = state.get(key)
        if isinstance(rows, list):
            told[key] = [row | {"value": choice.value} if row.get("id") == choice.option_id else row for row in rows]
    options = told.get("options", ())
    is_mode = any(row["id"] == choice.option_id and row.get("category") == "mode" for row in options)
    return told | ({"mode": choice.value} if is_mode else {})


def remembered(choices: tuple[Choice, ...], choice: Choice) -> tuple[Choice, ...]:
    """The choices with one more; the oldest give way. What an option was before anybody chose is a choice, too: the
    agent may have to be told."""
    return (*(each for each in choices if each.option_id != choice.option_id), choice)[-OPTIONS:]
