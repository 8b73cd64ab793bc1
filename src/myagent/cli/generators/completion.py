"""Completes words of the command line for bash, zsh and fish, from the parsers themselves; session ids from the server.

The shell's part is a few lines that run `myagent __complete WORDS…`; the last word is the one being completed.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from myagent.cli.arguments.parsing import Parser
from myagent.cli.terminal.output import put
from myagent.exceptions import MyagentError

NOTE_CHARACTERS = 60
TIMEOUT = 1.5  # seconds that a server gets to tell its sessions

# Each prints what completes the word at the cursor as `word<TAB>what it is`; where there is nothing, a file may belong.
SCRIPTS = {
    "bash": """\
_myagent() {
    local word
    COMPREPLY=()
    while IFS=$'\\t' read -r word _; do
        [[ $word ]] && COMPREPLY+=("${word#--*=}")
    done < <("$1" __complete --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
}
complete -o default -F _myagent myagent
""",
    "zsh": """\
#compdef myagent
_myagent() {
    local -a found names shown
    found=("${(@f)$("${words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -z "${found[1]}" ]]; then
        _files
        return
    fi
    names=("${(@)found%%$'\\t'*}")
    shown=("${(@)found/$'\\t'/  -- }")
    compadd -l -d shown -a names
}
if [[ "${funcstack[1]}" = _myagent ]]; then
    _myagent "$@"
else
    compdef _myagent myagent
fi
""",
    "fish": """\
function __myagent_complete
    set -l words (commandline -opc)
    set -l found ($words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c myagent -f -a '(__myagent_complete)'
""",
}


class Candidate(NamedTuple):
    """What a word may become; `note` says what it is, in printable text."""

    word: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.word}\t{self.note}" if self.note else self.word


def run(arguments: argparse.Namespace) -> int:
    put(SCRIPTS[arguments.shell])
    return 0


def split(line: str) -> list[str]:
    """The words of a line as far as it is written; the last one is being completed."""
    try:
        words = shlex.split(line)
    except ValueError:  # within a quotation
        words = line.split()
    return [*words[1:], ""] if line[-1:].isspace() else words[1:]


def candidates(parser: Parser, words: Sequence[str]) -> list[Candidate]:
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
                parser = action.choices[word].filled()
                positionals = _positionals(parser)
    name, equals, _ = current.partition("=")
    if option is None and equals and name in parser._option_string_actions:
        values = _values(parser._option_string_actions[name], before)
        found_words = [Candidate(f"{name}={value.word}", value.note) for value in values]
    elif option is None and current.startswith("-"):
        actions = parser._option_string_actions.items()
        found_words = [Candidate(name, _note(action)) for name, action in actions if name.startswith("--")]
    else:
        action_now = option or (positionals[0] if positionals else None)
        found_words = [] if action_now is None else _values(action_now, before)
    return sorted(each for each in found_words if each.word.startswith(current))


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    # argparse has no public way to look at a parser; these names have been the same since Python 3.2.
    return [action for action in parser._actions if not action.option_strings]


def _note(action: argparse.Action) -> str:
    text = " ".join((action.help or "").split())
    return text if len(text) <= NOTE_CHARACTERS else f"{text[: NOTE_CHARACTERS - 1]}…"


def _values(action: argparse.Action, before: Sequence[str]) -> list[Candidate]:
    if isinstance(action, argparse._SubParsersAction):
        return [Candidate(each.dest, _note(each)) for each in action._choices_actions]
    if action.choices is not None:
        return [Candidate(str(choice)) for choice in action.choices]
    if action.dest == "remote" or (action.dest == "name" and "logout" in before):
        from myagent.client import remotes

        return list(map(Candidate, remotes.names()))
    if action.dest in ("session", "sessions"):
        with contextlib.suppress(MyagentError, SystemExit):
            return _sessions(before)
    return []


def _sessions(before: Sequence[str]) -> list[Candidate]:
    from myagent.cli import target
    from myagent.client.asking import list_sessions
    from myagent.text.wording import one_line

    given = {name: _given(before, f"--{name}") for name in ("remote", "url", "host", "port", "token", "ca")}
    arguments = argparse.Namespace(**given, usage_error=_stop, insecure_plain="--insecure-plain" in before)
    address = target.address(arguments)
    found = list_sessions(address, target.token(arguments, address), timeout=TIMEOUT)
    return [
        Candidate(str(each["sessionId"]), one_line(f"{each.get('state') or ''}: {each.get('title') or ''}"))
        for each in found
        if str(each["sessionId"]).replace("_", "").isalnum()
    ]


def _given(words: Sequence[str], option: str) -> str | None:
    return next((value for name, value in pairwise(words) if name == option), None)


def _stop(message: str) -> None:
    raise SystemExit(message)
