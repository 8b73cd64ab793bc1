"""What is known of other people's agents: how to start each, how it signs in, and in which mode it asks.

A preset is used by name (`--agent gemini`), or chosen by what an agent says of itself at `initialize`. Nothing here
installs anything: what is missing is said, with the command that would install it.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from myagent import __version__
from myagent.exceptions import MyagentError

VERSION_BYTES = 64 << 10  # of what it says
VERSION_SECONDS = 30.0  # for `COMMAND --version`; gemini-cli took five on two busy cores

# The tools of Claude Code that change something, or reach out: named in rules, they ask whatever its settings allow.
CLAUDE_ASKS = ("Bash", "Edit", "MultiEdit", "NotebookEdit", "WebFetch", "WebSearch", "Write")

# Stands in `files` for a name that nobody could have guessed: another one for each start.
NOBODY = "{nobody}"

# What has qwen-code ask, and start no hooks, MCP servers or commands that discover tools: neither the directory's nor
# the user's own.
_QWEN = {
    "permissions": {"ask": ["Edit", "Bash", "WebFetch"]},
    "disableAllHooks": True,
    "mcp": {"allowed": [NOBODY]},
    "tools": {"discoveryCommand": "", "callCommand": ""},
}

_COPILOT_MODES = "https://agentclientprotocol.com/protocol/session-modes#"

# opencode allows everything that its configuration does not mention; this asks for everything but reading.
_OPENCODE_READS = ("read", "glob", "grep", "list", "lsp", "todoread", "todowrite", "task", "skill", "question")
_OPENCODE_ASKS = ("edit", "bash", "webfetch", "websearch", "codesearch", "external_directory", "doom_loop")


def _opencode_permission() -> str:
    rules = {"*": "ask", **dict.fromkeys(_OPENCODE_READS, "allow"), **dict.fromkeys(_OPENCODE_ASKS, "ask")}
    return "{" + ",".join(f'"{tool}":"{rule}"' for tool, rule in rules.items()) + "}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One agent.

    `asking`, `plan` and `bypass` are ids of its modes; `None`: none is known. A `plan` mode stands here only if it was
    seen to change nothing: in the asking mode the host's own denial holds, in a plan mode only the agent's word.
    `names` are the values of `agentInfo.name` by which it is recognised, in lower case.
    `files` are the texts of files that variables name, `session_meta` goes with each session as `_meta`: like `env`, to
    make it ask.
    `auth` pairs an environment variable with the method to authenticate with when that variable is set.
    `asks` is false for an agent that runs tools without asking in every mode.
    `gateway` is the variable with a model's address at which it takes itself to be signed in, also without a key.
    `verified` is the first and the last version with which all this was tried; another one may do otherwise.
    `sandboxed`: it runs commands unasked in a sandbox that lets them change nothing, and asks to leave that.
    `directory_known`: with these versions we know what the settings of the directory that it works in can start:
    nothing, or what `directory.programs` finds.
    `why` says why it is not taken to ask. `note` is said when it cannot be used: what people run into.
    """

    name: str
    argv: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    install: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    session_meta: Mapping[str, Any] = field(default_factory=dict)
    auth: tuple[tuple[str, str], ...] = ()
    login: str = ""
    asking: str | None = None
    plan: str | None = None
    bypass: str | None = None
    asks: bool = True
    gateway: str = ""
    verified: tuple[str, str] | None = None
    sandboxed: bool = False
    directory_known: bool = False
    why: str = ""
    note: str = ""

    def is_verified(self, version: str) -> bool:
        """Whether the agent's version lies in the range that was tried."""
        if self.verified is None:
            return False
        first, last = map(_release, self.verified)
        return first <= _release(version) <= last

    def auth_method(self, env: Mapping[str, str], offered: list[str]) -> str | None:
        """How to authenticate with what the environment has, if the agent offers that."""
        return next((method for variable, method in self.auth if env.get(variable) and method in offered), None)

    def caution(self, env: Mapping[str, str]) -> str:
        """What the operator should know of the environment, or nothing."""
        if not env.get(self.gateway) or any(env.get(variable) for variable, _ in self.auth):
            return ""
        return f"no {self.auth[0][0]}: it asks the model at {self.gateway} without a key"


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, to be compared; none for what is no version."""
    match = re.match(r"v?(\d+(?:\.\d+)+)(?![\w.-])", version.strip())
    return tuple(map(int, match[1].split("."))) if match else ()


UNKNOWN = Preset(name="agent")
CLAUDE_P = "claude-p"  # the one that speaks a protocol of its own, and not ACP

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="opencode",
            argv=("opencode", "acp"),
            names=("opencode",),
            verified=("1.18.33", "1.18.34"),
            directory_known=True,
            install="npm install -g opencode-ai",
            env={
                "OPENCODE_PERMISSION": _opencode_permission(),
                "OPENCODE_DISABLE_PROJECT_CONFIG": "1",  # its agents could have permissions of their own
                "OPENCODE_DISABLE_AUTOUPDATE": "1",
            },
            login="opencode auth login",
            asking="build",
            plan="plan",
        ),
        Preset(
            name="gemini",
            argv=("gemini", "--acp"),
            names=("gemini-cli",),
            verified=("0.61.0", "0.61.0"),
            directory_known=True,  # it does not trust it
            install="npm install -g @google/gemini-cli",
            env={"GEMINI_CLI_NO_RELAUNCH": "1"},
            auth=(("GEMINI_API_KEY", "gemini-api-key"), ("GOOGLE_GENAI_USE_VERTEXAI", "vertex-ai")),
            login="set GEMINI_API_KEY, or run `gemini` once and sign in",
            asking="default",
            plan="plan",
            bypass="yolo",
            gateway="GOOGLE_GEMINI_BASE_URL",
        ),
        Preset(
            name="qwen",
            argv=("qwen", "--acp"),
            names=("qwen-code",),
            verified=("0.24.4", "0.24.4"),  # 0.15.10 starts the MCP servers of the directory all the same
            directory_known=True,
            install="npm install -g @qwen-code/qwen-code (Node 22 or newer)",
            files={"QWEN_CODE_SYSTEM_SETTINGS_PATH": json.dumps(_QWEN)},
            auth=(("OPENAI_API_KEY", "openai"),),
            login="set OPENAI_API_KEY (and OPENAI_BASE_URL, OPENAI_MODEL)",
            asking="default",
            plan="plan",
            bypass="yolo",
        ),
        Preset(
            name="claude",
            argv=("claude-agent-acp",),
            names=("@agentclientprotocol/claude-agent-acp", "@zed-industries/claude-code-acp", "claude-agent-acp"),
            verified=("0.49.0", "0.101.0"),
            directory_known=True,
            install="npm install -g @agentclientprotocol/claude-agent-acp",
            login="set ANTHROPIC_API_KEY, or run `claude /login`",
            asking="default",
            plan=None,  # 0.49 wrote in its plan mode without asking, as root with IS_SANDBOX=1
            bypass="bypassPermissions",
            session_meta={
                "claudeCode": {
                    "options": {"settingSources": ["user"], "settings": {"permissions": {"ask": list(CLAUDE_ASKS)}}}
                }
            },
            note="as root it starts only with IS_SANDBOX=1",
        ),
        Preset(
            name=CLAUDE_P,
            argv=("claude",),
            verified=("2.1.197", "2.1.332"),
            directory_known=True,
            install="npm install -g @anthropic-ai/claude-code",
            login="set ANTHROPIC_API_KEY, or run `claude` once and sign in",
            asking="default",
        ),
        Preset(
            name="codex",
            argv=("codex-acp",),
            names=("@agentclientprotocol/codex-acp",),
            verified=("2.6.0", "2.6.0"),
            directory_known=True,
            sandboxed=True,
            install="npm install -g @agentclientprotocol/codex-acp",
            env={"NO_BROWSER": "1", "INITIAL_AGENT_MODE": "read-only"},
            auth=(("OPENAI_API_KEY", "api-key"), ("CODEX_API_KEY", "api-key")),
            login="set OPENAI_API_KEY, or run `codex login`",
            asking="read-only",
            bypass="agent-full-access",
        ),
        Preset(
            name="codex-zed",
            argv=("codex-acp",),
            names=("codex-acp",),
            verified=("0.16.0", "0.16.0"),
            directory_known=True,
            sandboxed=True,
            install="npm install -g @zed-industries/codex-acp",
            env={"NO_BROWSER": "1"},
            auth=(("OPENAI_API_KEY", "openai-api-key"), ("CODEX_API_KEY", "codex-api-key")),
            login="set OPENAI_API_KEY, or run `codex login`",
            asking="read-only",
            bypass="full-access",
        ),
        Preset(
            name="copilot",
            argv=("copilot", "--acp"),
            names=("copilot",),
            verified=("1.0.102", "1.0.102"),
            directory_known=True,
            install="npm install -g @github/copilot",
            env={"COPILOT_ALLOW_ALL": "", "COPILOT_AUTO_UPDATE": "false"},  # the first: it would ask in no mode
            login="run `copilot login` once",
            asking=f"{_COPILOT_MODES}agent",
            plan=f"{_COPILOT_MODES}plan",
            bypass=f"{_COPILOT_MODES}autopilot",
        ),
        Preset(
            name="vibe",
            argv=("vibe-acp",),
            names=("@mistralai/mistral-vibe",),
            verified=("3.0.2", "3.0.2"),
            directory_known=True,  # it does not trust it
            install="pip install mistral-vibe (Python 3.12 or newer)",
            login="set MISTRAL_API_KEY, or run `vibe-acp --setup` once",
            asking="ask",
            bypass="auto-approve",
        ),
        Preset(
            name="kimi",
            argv=("kimi", "acp"),
            names=("kimi code cli",),
            verified=("2.1.0", "2.1.0"),
            directory_known=True,
            install="npm install -g @moonshot-ai/kimi-code (Node 22.19 or newer)",
            env={"KIMI_CODE_NO_AUTO_UPDATE": "1"},
            login="run `kimi login` once",
            asking="default",
            plan=None,  # 2.1.0 wrote in its plan mode without asking
            bypass="yolo",
        ),
        Preset(
            name="hermes",
            argv=("hermes-acp",),
            names=("hermes-agent",),
            install="pip install hermes-agent",
            asks=False,
            why="its terminal and its Python run without asking, in every mode",
        ),
        Preset(
            name="goose",
            argv=("goose", "acp"),
            names=("goose",),
            install="see its documentation; it is on neither npm nor PyPI",
            env={"GOOSE_MODE": "approve"},
            login="goose configure",
            asking="approve",
            bypass="auto",
        ),
        Preset(
            name="gptme",
            argv=("gptme-acp",),
            names=("gptme",),
            install="pip install gptme-acp",
            asks=False,
            why="it runs tools without asking, in every mode",
        ),
    )
}


OWN = Preset(
    name="myagent", names=("myagent",), asking="default", plan="plan", verified=(__version__, __version__)
)  # `myagent agent --acp`


class UnknownPreset(MyagentError):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        known = ", ".join(sorted(PRESETS))
        known = f"command, model, {known}"
        return f"there is no agent named {self.name!r}; known are {known}, `exec:COMMAND {{prompt}}`, and `-- COMMAND`"


def preset(name: str) -> Preset:
    """The preset of that name, or `UnknownPreset`."""
    try:
        return PRESETS[name]
    except KeyError:
        raise UnknownPreset(name) from None


def recognised(agent_name: str) -> Preset:
    """The preset of an agent that gives that name at `initialize`; `UNKNOWN` where there is none."""
    wanted = agent_name.casefold()
    return next((preset for preset in (*PRESETS.values(), OWN) if wanted in preset.names), UNKNOWN)


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a preset's command is on this machine; `version` is what `--version` said, if it said anything."""

    preset: Preset
    path: str | None
    version: str = ""


def find(preset: Preset, env: Mapping[str, str] | None = None) -> Found:
    """Look for a preset's command; runs it once, with `--version`. Blocks for as long as that takes."""
    env = os.environ if env is None else env
    path = shutil.which(preset.argv[0], path=env.get("PATH"))
    if path is None:
        return Found(preset, None)
    return Found(preset, path, version_of(path, hosted_env(env, preset.env)))


def version_of(program: str, env: Mapping[str, str]) -> str:
    """The last line that a program says when asked for its version, or nothing. Blocks for as long as that takes."""
    try:
        said = _said([program, "--version"], env).strip()
    except OSError:
        return ""
    return said.splitlines()[-1] if said else ""


def _said(argv: list[str], env: Mapping[str, str]) -> str:
    """What a program says on stdout, if it ends in time. Into a file, so that nobody who holds it can hold us up."""
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.DEVNULL, start_new_session=True
        )
        with child:
            try:
                ended = _ends_within(child.pid, VERSION_SECONDS)
            finally:  # while it is not reaped, its group's number is nobody else's
                os.killpg(child.pid, signal.SIGKILL)
        said.seek(0)
        return said.read(VERSION_BYTES).decode(errors="replace") if ended else ""


def _ends_within(pid: int, seconds: float) -> bool:
    ends = os.pidfd_open(pid)
    try:
        exits = select.poll()
        exits.register(ends, select.POLLIN)
        return bool(exits.poll(seconds * 1000))
    finally:
        os.close(ends)


def hosted_env(env: Mapping[str, str], extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a hosted agent inherits: everything of ours (it needs its keys) but our own variables, and its preset's."""
    return {key: value for key, value in env.items() if not key.startswith("MYAGENT_")} | dict(extra or {})
