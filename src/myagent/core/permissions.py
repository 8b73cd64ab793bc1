"""Permission requests: what is asked, the digest of what will run, and who may answer how.

Deny is the answer to everything unexpected: no decision, too large a request, a turn that ends, a server that stops.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from myagent.core.display import escape, flags
from myagent.core.messages import Diff, Option, Outcome, PermissionDecision, PermissionMode, RequestBody
from myagent.core.refusals import BadMessage, DigestMismatch, OptionRequired
from myagent.core.rule import Missed, Offer

EXPIRED = "nobody decided in time"  # the reason of a request that expired
REQUEST_BYTES = 1 << 20  # a larger request is denied: nobody reads a megabyte before deciding


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What an agent asks permission for.

    `text` is the whole of what a human must read before deciding, raw; the core makes `display` and `flags` of it.
    `input` is the tool's input as JSON-able data. `plan` is JSON-able data on which the digest also depends and which
    is not shown: the resolved executable, the hashes of files that will be run or changed. `flags` are warnings that
    the adapter has, beside those that the core finds in the text: `contradicts`, `truncated`, `unspecified`,
    `credentials`.
    """

    tool_name: str
    input: Any
    text: str
    title: str = ""
    kind: str = "other"
    reason: str | None = None
    diffs: tuple[Diff, ...] = ()
    options: tuple[Option, ...] = ()
    plan: Any = None
    flags: tuple[str, ...] = ()
    in_every_mode: bool = False  # no permission mode allows it, and none denies a look
    call_id: str | None = None  # under which the agent's updates tell of the same call
    paths: tuple[str, ...] = ()  # that an agent says it touches, beside those in the input and of the diffs
    plan_repeats: bool = True  # the plan holds facts of what runs: the same call has the same one while those hold


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a permission request. Only `kind == "allow"` lets anything run."""

    kind: Literal["allow", "deny", "cancelled", "expired"]
    reason: str | None = None
    option_id: str | None = None

    @property
    def refusal(self) -> str:
        """Why nothing runs, in one sentence; of an answer that is no allow."""
        if self.kind == "expired":
            return self.reason or EXPIRED
        return f"denied: {self.reason}" if self.reason else "denied"


TOO_LARGE = Answer("deny", "the request is too large to be shown to anybody, so nobody can allow it")


def canonical(value: Any) -> bytes:
    """JSON that is the same bytes for the same data: sorted keys, no spaces, UTF-8."""
    return msgspec.json.encode(value, order="deterministic")


def digest_of(call: ToolCall, cwd: str) -> str:
    """SHA-256, in hex, over what will run: tool, input, directory, and the plan where the agent has one."""
    what: dict[str, Any] = {"cwd": cwd, "input": call.input, "tool": call.tool_name}
    if call.plan is not None:
        what["plan"] = call.plan
    return hashlib.sha256(canonical(what)).hexdigest()


def warnings_of(call: ToolCall) -> tuple[str, ...]:
    """Everything that is odd about a call: what the core finds in it, and what its adapter has said."""
    names = [option.name for option in call.options]
    text = "\n".join(filter(None, (call.text, call.title, call.tool_name, call.reason, *names)))
    paths, commands = named_in(call.input)
    found = flags(text, (*(diff.path for diff in call.diffs), *paths), commands)
    misnamed = ("misnamed_option",) if any(map(is_misnamed, call.options)) else ()
    losing = ("deletes_state",) if call.kind == "execute" and deletes_state(call.text) else ()
    return (*found, *call.flags, *misnamed, *losing)


def request_body(
    call: ToolCall,
    *,
    cwd: str,
    expires_at: str,
    asked_at: str | None = None,
    remembers: tuple[Offer, ...] = (),
    missed: tuple[Missed, ...] = (),
    rule_id: str | None = None,
    people: int = 1,
) -> RequestBody | None:
    """What is sent for a call; `None` if it is too large to be asked. `remembers`: how it can be remembered, `missed`:
    the rules that would have matched it and did not; `rule_id`: the one that did; `people`: how many must allow it."""
    if len(call.text) > REQUEST_BYTES:
        return None
    body = RequestBody(
        tool_name=escape(call.tool_name),
        input=call.input,
        reason=escape(call.reason) if call.reason is not None else None,
        title=escape(call.title),
        kind=call.kind,
        display=escape(call.text),
        flags=warnings_of(call),
        diffs=call.diffs,
        options=tuple(
            Option(option.option_id, escape(option.name), option.kind)
            for option in call.options
            if people == 1 or option.kind != "allow_always"  # the agent would not ask the others again
        ),
        digest=digest_of(call, cwd),
        asked_at=asked_at,
        expires_at=expires_at,
        tool_call_id=call.call_id,
        remembers=remembers,
        missed=missed,
        rule_id=rule_id,
        people=people,
    )
    return body if len(msgspec.json.encode(body)) <= REQUEST_BYTES else None


# Members of a tool's input that say what is touched or run; what is written into files is under other names.
_NAMING = re.compile(r"path|file|dir|cwd|url|uri|host|command|cmd\Z", re.IGNORECASE)
_RUN = re.compile(r"command|cmd\Z", re.IGNORECASE)
_QUOTED = re.compile(r"""'[^']*+'|"[^"]*+\"""")


def named_in(given: Any) -> tuple[list[str], list[str]]:
    """The paths and hosts of a tool's input, and its commands: of those, what is not quoted."""
    names: list[str] = []
    commands: list[str] = []
    for key, value in given.items() if isinstance(given, Mapping) else ():
        if isinstance(key, str) and _NAMING.search(key):
            texts = [text for text in (value if isinstance(value, list | tuple) else (value,)) if isinstance(text, str)]
            if _RUN.search(key):
                commands.append(_QUOTED.sub("''", " ".join(texts)))
            else:
                names += texts
    return names, commands


_REFUSING = re.compile(
    r"((don'?t|do not|never)(?! ask)|no|not|deny|reject|refuse|cancel|decline|abort|block|stop)\b", re.IGNORECASE
)
_ALLOWING = re.compile(r"(yes|allow|always allow|approve|accept|ok|okay|confirm|permit|proceed|run)\b", re.IGNORECASE)


_DELETING = {"rm", "rmdir", "mv", "unlink", "shred", "find", "rsync"}
_COMMANDS = re.compile(r"[\n;|&]+")
_WORDS = re.compile(r"[\s\"'`()$]+")


def deletes_state(text: str) -> bool:
    """Whether a command takes the state directory away: `git clean` of what is ignored, or with the second force that
    also takes repositories inside of this one; or what deletes or moves it by name. Linear in the text."""
    for command in _COMMANDS.split(text):
        words = _WORDS.split(command)
        names = {word.rpartition("/")[2] for word in words}
        if "clean" in words and "git" in names:
            options = [word for word in words[words.index("clean") :] if word.startswith("-")]
            short = "".join(word for word in options if not word.startswith("--"))
            if "x" in short.lower() or short.count("f") + options.count("--force") > 1:
                return True
        if names & _DELETING and ".myagent" in command:
            return True
    return False


def is_misnamed(option: Option) -> bool:
    """Whether an option's name says the opposite of what choosing it does."""
    name = option.name.strip()
    if option.kind.startswith("allow"):
        return _REFUSING.match(name) is not None
    return option.kind.startswith("reject") and _ALLOWING.match(name) is not None


def by_mode(mode: PermissionMode, call: ToolCall) -> Answer | None:
    """The answer that a permission mode gives to a call; `None`: somebody must be asked."""
    looks = call.kind in ("read", "search")
    return None if call.in_every_mode and (looks or mode != "plan") else policy(mode)


def policy(mode: PermissionMode) -> Answer | None:
    """The answer that a permission mode gives to what changes something; `None`: somebody must be asked."""
    match mode:
        case "plan":
            return Answer("deny", "plan mode: only tools that change nothing may run")
        case "bypassPermissions":
            return Answer("allow", "bypassPermissions")
        case "default":
            return None


class Allow(msgspec.Struct, frozen=True):
    """One person's allow, while others are awaited; `by` is what others see of them."""

    credential: str
    by: str
    device: str | None = None  # of the devices that came by this credential
    option_id: str | None = None


class OpenRequest(msgspec.Struct, frozen=True):
    """A request that waits for its decision, with what a decision must match."""

    permission_request_id: str
    turn_id: str
    digest: str
    options: tuple[Option, ...]
    people: int = 1  # that must allow it
    allows: tuple[Allow, ...] = ()  # that there are, while others are awaited

    def answer(self, decision: PermissionDecision) -> Answer:
        """Take a decision, or refuse it and leave the request open."""
        body = decision.decision
        if body.digest is not None and body.digest != self.digest:
            raise DigestMismatch
        if body.remember is not None and (body.kind != "allow" or self.people > 1):
            why = "only an allow can be remembered" if body.kind != "allow" else "several people are asked each time"
            raise BadMessage(why, decision.id)
        if body.option_id is not None:
            option = next((each for each in self.options if each.option_id == body.option_id), None)
            if option is None:
                raise BadMessage("the request offers no such option", decision.id)
            if not option.kind.startswith(_OPTION_PREFIX[body.kind]):
                raise BadMessage("the option says the opposite of the decision's kind", decision.id)
            if body.remember is not None and option.kind != "allow_once":
                raise BadMessage("the agent would remember that itself", decision.id)
        elif body.kind == "allow" and len(names := allowed_once(self.options)) > 1:
            raise OptionRequired(names)
        return Answer(body.kind, body.reason, body.option_id)


def allowed_once(options: tuple[Option, ...]) -> tuple[str, ...]:
    """The ids of the options that allow this one time: several are a choice that somebody has to make."""
    return tuple(option.option_id for option in options if option.kind == "allow_once")


_OPTION_PREFIX = {"allow": "allow", "deny": "reject"}


class Resolution(msgspec.Struct, frozen=True):
    """A request that is no longer open: enough to tell a repeated decision from a contradicting one."""

    permission_request_id: str
    outcome: Outcome
    option_id: str | None = None

    def repeats(self, decision: PermissionDecision) -> bool:
        return decision.decision.kind == self.outcome and decision.decision.option_id == self.option_id
