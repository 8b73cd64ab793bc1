"""Completes words of the command line for bash, zsh and fish, from the parsers themselves; session ids from the server.

The shell's part is a few lines that run `myagent __complete WORDS…`; the last word is the one being completed.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

from myagent.exceptions import MyagentError

TIMEOUT = 1.5  # seconds that a server gets to tell its sessions

SCRIPTS = {
    "bash": """\
_myagent() {
    local IFS=$'\\n'
    COMPREPLY=($(myagent __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _myagent myagent
""",
    "zsh": """\
#compdef myagent
_myagent() {
    local -a found
    found=(${(f)"$(myagent __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#found} )); then compadd -a found; else _files; fi
}
compdef _myagent myagent
""",
    "fish": """\
complete -c myagent -a '(myagent __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
""",
}


def candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """What the last of the words may become; nothing where a file name or free text belongs."""
    *before, current = words or [""]
    option: argparse.Action | None = None  # whose value comes next
    positionals = _positionals(parser)
    for word in before:
        if option is not None:
            option = None
        elif word in parser._option_string_actions:
            found = parser._option_string_actions[word]
            option = found if found.nargs is None else None
        elif not word.startswith("-") and positionals:
            action = positionals.pop(0)
            if isinstance(action, argparse._SubParsersAction):
                if word not in action.choices:
                    return []
                parser = action.choices[word]
                positionals = _positionals(parser)
    if option is None and current.startswith("-"):
        found_words: Iterable[str] = (name for name in parser._option_string_actions if name.startswith("--"))
    else:
        action_now = option or (positionals[0] if positionals else None)
        found_words = [] if action_now is None else _values(action_now, before)
    return sorted(word for word in found_words if word.startswith(current))


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    # argparse has no public way to look at a parser; these names have been the same since Python 3.2.
    return [action for action in parser._actions if not action.option_strings]


def _values(action: argparse.Action, before: Sequence[str]) -> list[str]:
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    if action.dest == "remote" or (action.dest == "name" and "logout" in before):
        from myagent import remotes

        return remotes.names()
    if action.dest == "session":
        with contextlib.suppress(MyagentError, SystemExit):
            return _sessions(before)
    return []


def _sessions(before: Sequence[str]) -> list[str]:
    from myagent.cli import target
    from myagent.client.address import parse
    from myagent.client.asking import list_sessions

    given = {name: _given(before, f"--{name}") for name in ("remote", "url", "host", "port", "token")}
    arguments = argparse.Namespace(**given, usage_error=_stop)
    address = parse(target.url(arguments))
    address.check_plain(allowed="--insecure-plain" in before)
    found = list_sessions(address, target.token(arguments), timeout=TIMEOUT)
    return [str(each["sessionId"]) for each in found if str(each["sessionId"]).replace("_", "").isalnum()]


def _given(words: Sequence[str], option: str) -> str | None:
    return next((value for name, value in pairwise(words) if name == option), None)


def _stop(message: str) -> None:
    raise SystemExit(message)
