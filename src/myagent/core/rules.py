"""Rules instead of repeated questions: what one may be made of, and whether it allows what is asked now.

| match  | allows                                                                                         |
|--------|------------------------------------------------------------------------------------------------|
| exact  | the same tool with the same input, while the files that it names are as they were               |
| prefix | a command of plain words that begins with these words, while those programs are as they were    |
| path   | an edit of files that are all below this path, also where links lead                            |

No rule allows a request with warnings, one of which an agent offers several answers that allow, one that must be asked
in every mode, a command of more than 1 KiB, or what touches `.git` or `.myagent`. A command is of plain words when no
shell gives any character of it a meaning: so nothing that is spelled otherwise is taken for what was remembered.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from myagent.core.display import escape
from myagent.core.permissions import ToolCall, allowed_once, canonical, named_in, warnings_of
from myagent.core.refusals import BadMessage
from myagent.core.rule import Missed, Offer, Remember, Rule

COMMAND_BYTES = 1024  # a longer command is asked for each time: nobody remembers what they do not take in at a glance
SHOWN_CHARACTERS = 200

_NOT_OFFERED = {
    "exact": "it has warnings",
    "prefix": "it is no command of plain words, or one that runs whatever follows it",
    "path": "it is no edit of files in this directory",
}

Resolve = Callable[[str], str]  # where an absolute path leads, through all links

_PLAIN_WORD = re.compile(r"([A-Za-z0-9_@%+:,./=-]+)|'([ -&(-~]*)'")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")  # one form, in which later is greater
_ROUGH_WORD = re.compile(r"[^\s;&|<>()'\"`]+")
_SHELLS = {"sh", "bash", "dash", "zsh"}
# Programs that run what follows them: with one of these a prefix would say nothing.
_RUNNERS = re.compile(
    r"(ba|da|z|fi|k|c|tc|tcl)?sh|busybox|env|sudo|doas|su|xargs|nohup|nice|ionice|time|timeout|setsid|stdbuf|exec|eval|"
    r"command|builtin|source|\.|\.\.|trap|ssh|perl|ruby|node|deno|bun|php|lua|[gm]?awk|expect|find|parallel|watch|script|"
    r"[sl]trace|gdb|chroot|unshare|nsenter|flock|docker|podman|kubectl|npx|uvx|uv|pipx|(python|pypy)[0-9.]*|"
    r"taskset|setpriv|runuser|pkexec|systemd-run|fakeroot|chrt|prlimit|setarch|coproc|if|while|until|tar|bsdtar|zip|rsync"
)
# Members of a tool's input, beside the command, that change nothing of what it does.
_HARMLESS = {"command", "cmd", "description", "timeout", "timeout_ms"}
_DIRECTORY = {"cwd", "workdir", "working_directory"}
_GIT_RUNS = {"config", "rebase", "bisect", "difftool", "mergetool", "submodule", "filter-branch", "hook", "maintenance"}
_GIT_OPTIONS = (
    "--config-env", "--exec-path", "--git-dir", "--work-tree", "--upload-pack", "--receive-pack", "--exec", "--output",
    "--open-files-in-pager", "--extcmd", "--template", "--ext-diff", "--textconv",
)  # fmt: skip
_PROTECTED_TEXT = re.compile(r"\.myagent|\.git(?![a-z0-9_-])|git~\d", re.IGNORECASE)


def _as_it_is(path: str) -> str:
    return path


def offers(call: ToolCall, cwd: str, *, resolve: Resolve = _as_it_is) -> tuple[Offer, ...]:
    """How a request can be remembered, each as narrowly as it can be; nothing where no rule may be made."""
    if unruly(call, cwd, resolve) is not None:
        return ()
    found = [Offer("exact")]
    words = plain_words(call, cwd)
    if words is not None and not _runs_anything(words, call):
        found.append(Offer("prefix", words=words))
    paths = _edited(call, cwd)
    if paths:
        directories = [posixpath.dirname(path) for path in paths]
        found.append(Offer("path", path=posixpath.relpath(posixpath.commonpath(directories), cwd)))
    return tuple(offer for offer in found if offer.match != "path" or not str(offer.path).startswith(".."))


def make(
    call: ToolCall, remember: Remember, *, cwd: str, rule_id: str, session_id: str, stamp: str,
    made_by: str, credential: str, message_id: str, resolve: Resolve = _as_it_is,
) -> Rule:  # fmt: skip
    """The rule that a decision asks for; it allows the request that it was made for. `stamp` and `remember.until` are
    times in UTC, to the millisecond. Raises `BadMessage`."""

    def refuse(why: str) -> BadMessage:
        return BadMessage(f"this cannot be remembered: {why}", message_id)

    if (why := unruly(call, cwd, resolve)) is not None:
        raise refuse(why)
    offer = next((each for each in offers(call, cwd, resolve=resolve) if each.match == remember.match), None)
    if offer is None:
        raise refuse(_NOT_OFFERED[remember.match])
    if remember.until is not None and not _is_ahead(remember.until, stamp):
        raise refuse("`until` is over, or no ISO 8601 time with a zone")
    words = (remember.words or offer.words or ()) if offer.match == "prefix" else ()
    if words and (_runs_anything(words, call) or tuple(offer.words or ())[: len(words)] != tuple(words)):
        raise refuse("the request does not begin with these words")
    path = posixpath.normpath(remember.path or offer.path or "") if offer.match == "path" else ""
    shown = {"exact": call.text, "prefix": " ".join(words), "path": f"{path}/"}[offer.match].strip().partition("\n")[0]
    rule = Rule(
        rule_id=rule_id,
        match=offer.match,
        shown=escape(shown[:SHOWN_CHARACTERS]),
        session_id=session_id if remember.scope == "session" else None,
        cwd=cwd,
        tool_name=call.tool_name,
        kind=call.kind,
        asked=_asked(call),
        bound=_bound(call, tuple(words)) if offer.match != "path" else _place(cwd, path, resolve),
        words=tuple(words),
        path=path,
        until=remember.until,
        made_at=stamp,
        made_by=made_by,
        credential=credential,
    )
    if offer.match == "path" and (why := _why_not_path(rule, call, cwd, resolve)) is not None:
        raise refuse(why)
    return rule


def judge(
    call: ToolCall,
    rules: Iterable[Rule],
    *,
    cwd: str,
    session_id: str,
    now: str,
    resolve: Resolve = _as_it_is,
) -> tuple[Rule | None, tuple[Missed, ...]]:
    """The rule that allows a call, if any; else those that would have matched it and did not, and why."""
    missed = []
    general: str | None = None
    looked = False
    for rule in rules:
        if not _concerns(rule, call, cwd):
            continue
        if not looked:
            general, looked = unruly(call, cwd, resolve), True
        why = general or _why_not(rule, call, cwd, session_id, now, resolve)
        if why is None:
            return rule, ()
        missed.append(Missed(rule.rule_id, why))
    return None, tuple(missed)


def is_over(rule: Rule, now: str) -> bool:
    """Whether a rule's time is over; one that cannot be read is."""
    return rule.until is not None and not _is_ahead(rule.until, now)


def unruly(call: ToolCall, cwd: str, resolve: Resolve = _as_it_is) -> str | None:
    """Why no rule may ever allow this; `None`: one may."""
    if warnings_of(call):
        return "it has warnings"
    if call.in_every_mode:
        return "it is asked for in every mode"
    if len(allowed_once(call.options)) > 1:
        return "it is a choice between several answers"
    line = command_line(call)
    if line is not None and len(line.encode("utf-8", "replace")) > COMMAND_BYTES:
        return "it is a command of more than 1 KiB"
    paths, commands = named_in(call.input)
    texts = [*commands, *([] if line is None else [line]), *((call.text,) if call.kind == "execute" else ())]
    if any(map(_PROTECTED_TEXT.search, texts)):
        return "it names .git or .myagent"
    named = [*paths, *call.paths, *(diff.path for diff in call.diffs)]
    words = plain_words(call, cwd) or ()
    if any(_protected(path, cwd, resolve) for path in (*named, *words)):
        return "it names .git or .myagent"
    if words and posixpath.basename(words[0]) == "git" and any(map(_configures_git, words[1:])):
        return "it may change what git runs"
    return None


def command_line(call: ToolCall) -> str | None:
    """The command of a call that executes something, as its input has it; `None` without one."""
    if call.kind != "execute" or not isinstance(call.input, Mapping):
        return None
    given = call.input.get("command", call.input.get("cmd"))
    if isinstance(given, str):
        return given
    if isinstance(given, list | tuple) and given and all(isinstance(word, str) for word in given):
        if len(given) == 3 and posixpath.basename(given[0]) in _SHELLS and given[1] in ("-c", "-lc"):
            return str(given[2])
        return " ".join(word if _PLAIN_WORD.fullmatch(word) and "'" not in word else f"'{word}'" for word in given)
    return None


def plain_words(call: ToolCall, cwd: str) -> tuple[str, ...] | None:
    """The words of a command that runs one program in the session's directory, where no character means anything to
    a shell; `None` for any other."""
    line = command_line(call)
    if line is None or len(line) > COMMAND_BYTES or ("command" in call.input and "cmd" in call.input):
        return None
    for key, value in call.input.items():
        if key in _DIRECTORY and value in (cwd, "", None, "."):
            continue
        if key not in _HARMLESS:
            return None
    words = []
    for part in _split(line):
        matched = _PLAIN_WORD.fullmatch(part)
        if matched is None:
            return None
        words.append(matched[1] if matched[1] is not None else matched[2])
    if not words or not re.fullmatch(r"[A-Za-z0-9_./+][A-Za-z0-9_./+-]*", words[0]):
        return None
    return None if any(word.startswith("=") for word in words) else tuple(words)  # zsh replaces such a word


def _split(line: str) -> list[str]:
    """At spaces that are not within single quotes; nothing else separates."""
    return re.findall(r"(?:'[^']*'|[^ '])+|'", line)


def _runs_anything(words: Sequence[str], call: ToolCall) -> bool:
    """Whether the first word says nothing of what will run: also a file that the agent may have written, where no plan
    tells whether it did."""
    if not call.plan_repeats and "/" in words[0] and not words[0].startswith(("/usr/", "/bin/")):
        return True
    return _RUNNERS.fullmatch(posixpath.basename(words[0]).lower()) is not None


def _configures_git(word: str) -> bool:
    if word in _GIT_RUNS or re.match(r"-[cOxu]", word):
        return True
    name = word.partition("=")[0]  # git takes any beginning of an option that is the only one
    return (
        len(name) > 2
        and name.startswith("--")
        and any(option.startswith(name) or name.startswith(option) for option in _GIT_OPTIONS)
    )


def _protected(path: str, cwd: str, resolve: Resolve) -> bool:
    """Whether a path, as it stands or where it leads, is in a directory that no rule gives leave for."""
    places = (path, resolve(posixpath.join(cwd, path)))
    inside = places[1].removeprefix(cwd)
    names = re.split(r"[/\\=:,]", unicodedata.normalize("NFKC", f"{path}/{inside}").casefold())
    for name in names:
        stripped = name.rstrip(". ")
        if stripped in (".git", ".myagent") or re.fullmatch(r"\.?git~\d+|myagen~\d+", stripped):
            return True
    return path.startswith("-") and _PROTECTED_TEXT.search(path) is not None


def _concerns(rule: Rule, call: ToolCall, cwd: str) -> bool:
    """Whether somebody could take a rule for one that allows this call: the place to say why it does not."""
    if rule.kind != call.kind or rule.tool_name != call.tool_name:
        return False
    match rule.match:
        case "exact":
            return rule.asked == _asked(call)
        case "prefix":
            begin = _ROUGH_WORD.findall((command_line(call) or "")[: 2 * COMMAND_BYTES])[: len(rule.words)]
            return begin == [*rule.words]
        case "path":
            top = posixpath.normpath(posixpath.join(rule.cwd, rule.path))
            return any(_below(top, posixpath.normpath(posixpath.join(cwd, path))) for path in _touched(call))


def _why_not(rule: Rule, call: ToolCall, cwd: str, session_id: str, now: str, resolve: Resolve) -> str | None:
    if rule.session_id not in (None, session_id):
        return "it is for another session"
    if is_over(rule, now):
        return "its time is over"
    if rule.cwd != cwd:
        return "it is for another directory"
    match rule.match:
        case "exact":
            return None if rule.bound == _bound(call, ()) else "a file that it would run or change is another one now"
        case "prefix":
            words = plain_words(call, cwd)
            if words is None:
                return "it has more than plain words"
            if words[: len(rule.words)] != rule.words or _runs_anything(words, call):
                return "it begins otherwise"
            return None if rule.bound == _bound(call, rule.words) else "its program is another one now"
        case "path":
            return _why_not_path(rule, call, cwd, resolve)


def _why_not_path(rule: Rule, call: ToolCall, cwd: str, resolve: Resolve) -> str | None:
    paths = _edited(call, cwd)
    if not paths:
        return "it is no edit of files whose paths can be told"
    top = posixpath.normpath(posixpath.join(rule.cwd, rule.path))
    real_top = resolve(top)
    if not (_below(rule.cwd, top) or top == rule.cwd) or not (_below(resolve(rule.cwd), real_top) or top == rule.cwd):
        return "the path is outside of this directory"
    if rule.bound != _place(rule.cwd, rule.path, resolve):
        return "the path leads elsewhere now"
    if _protected(rule.path, cwd, resolve):
        return "it names .git or .myagent"
    if not all(_below(top, path) for path in paths):
        return "not all of it is below the path"
    return None if all(_below(real_top, resolve(path)) for path in paths) else "a link leads out of the path"


def _touched(call: ToolCall) -> list[str]:
    return list(dict.fromkeys([*named_in(call.input)[0], *call.paths, *(diff.path for diff in call.diffs)]))


def _edited(call: ToolCall, cwd: str) -> list[str]:
    """The absolute paths of the files of an edit; empty where it is none, or one of them is spelled oddly."""
    if call.kind != "edit" or not (call.diffs or call.paths):
        return []
    found = []
    for path in _touched(call):
        odd = ".." in path.split("/") or path.startswith("~") or "\\" in path or not path.isprintable()
        if odd or not path or path.endswith("/") or unicodedata.normalize("NFKC", path) != path:
            return []
        found.append(posixpath.normpath(posixpath.join(cwd, path)))
    return found


def _below(top: str, path: str) -> bool:
    return path.startswith(top.rstrip("/") + "/")


def _asked(call: ToolCall) -> str:
    """A digest of what is asked for: of all that is structured in it, but for what changes with each call."""
    diffs = [[diff.path, diff.old_text, diff.new_text] for diff in call.diffs]
    what = {"tool": call.tool_name, "kind": call.kind, "input": call.input, "paths": call.paths, "diffs": diffs}
    return hashlib.sha256(canonical(what)).hexdigest()


def _bound(call: ToolCall, words: tuple[str, ...]) -> str:
    """A digest of the facts of an agent's plan: of all, or of those about some words. Empty without a plan of facts."""
    if not call.plan_repeats or not isinstance(call.plan, Mapping):
        return ""
    plan: dict[str, Any] = dict(call.plan)
    if words:
        keys = {
            key for word in words for key in (f"command {word}", f"file {word}", f"file {posixpath.normpath(word)}")
        }
        plan = {key: value for key, value in plan.items() if key in keys}
    return hashlib.sha256(canonical(plan)).hexdigest()


def _place(cwd: str, path: str, resolve: Resolve) -> str:
    """A digest of where a rule's path leads."""
    real = resolve(posixpath.normpath(posixpath.join(cwd, path)))
    return hashlib.sha256(real.encode("utf-8", "surrogateescape")).hexdigest()


def _is_ahead(until: str, now: str) -> bool:
    return _STAMP.fullmatch(until) is not None and until > now
