"""The real agents that tests may use, where they are installed, and what points each at the scripted model.

They are looked for in the directory that MYAGENT_TEST_AGENTS names (default: `.cache/agents` in the repository), where
this installs them:

    npm install @google/gemini-cli@0.61.0 opencode-linux-x64@1.18.34

`make agents` installs more of them there, and lets the tests use those too (MYAGENT_TEST_EVERY_AGENT): qwen-code, the
two codex-acp, claude-agent-acp, claude, copilot, kimi and mistral-vibe, some of which bring a proprietary program. The
`node` that npm installed there, if any, runs them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVERY_AGENT = "MYAGENT_TEST_EVERY_AGENT"
AGENTS = Path(os.environ.get("MYAGENT_TEST_AGENTS", ROOT / ".cache" / "agents"))


@dataclass(frozen=True)
class Real:
    """An agent as it is installed here. `setup` takes a private home and the model's URL, and makes the environment.

    One that is `extra` is used only where every agent is to be.
    """

    name: str
    command: tuple[str, ...]
    setup: Callable[[Path, str], dict[str, str]]
    extra: bool = False
    under: str = "node_modules"

    @property
    def path(self) -> Path:
        return AGENTS / self.under / self.command[0]

    def env(self, home: Path, url: str) -> dict[str, str]:
        """What it needs on top of an inherited environment, so that it sees no home but this, and no model but ours."""
        nowhere = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"), "")
        path = os.pathsep.join((str(self.path.parent), str(AGENTS / "node_modules" / ".bin"), os.environ["PATH"]))
        return {"HOME": str(home), "PATH": path, **nowhere, **self.setup(home, url)}

    def need(self) -> None:
        """Skip the test when it is not installed, or not wanted."""
        if self.extra and not os.environ.get(EVERY_AGENT):
            pytest.skip(f"{self.name} is for `make agents`, which sets {EVERY_AGENT}")
        if not self.path.exists():
            pytest.skip(f"{self.name} is not installed in {AGENTS}")


def _gemini(home: Path, url: str) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "x"}


def _qwen(home: Path, url: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "x", "OPENAI_MODEL": "stub"}


def _opencode(home: Path, url: str) -> dict[str, str]:
    """Nothing is said of permissions, so that asking is the preset's doing: opencode by itself would not ask."""
    model = {"name": "Stub", "tool_call": True, "limit": {"context": 128000, "output": 8192}}
    options = {"baseURL": f"{url}/v1", "apiKey": "x"}
    stub = {"npm": "@ai-sdk/openai-compatible", "name": "Stub", "options": options, "models": {"stub": model}}
    config = {"share": "disabled", "model": "stub/stub", "small_model": "stub/stub", "provider": {"stub": stub}}
    (home / "opencode.json").write_text(json.dumps(config))
    return {"OPENCODE_CONFIG": str(home / "opencode.json"), "OPENCODE_DISABLE_MODELS_FETCH": "1"}


def _claude(home: Path, url: str) -> dict[str, str]:
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1"}
    return quiet | {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk-ant-stub"}


def _codex(home: Path, url: str) -> dict[str, str]:
    provider = (
        f'[model_providers.stub]\nname = "Stub"\nbase_url = "{url}/v1"\nwire_api = "responses"\nenv_key = "STUB_KEY"\n'
    )
    (home / "codex").mkdir(exist_ok=True)
    (home / "codex" / "config.toml").write_text(f'model = "gpt-5.5"\nmodel_provider = "stub"\n{provider}')
    return {"CODEX_HOME": str(home / "codex"), "STUB_KEY": "x"}


def _copilot(home: Path, url: str) -> dict[str, str]:
    own = {"COPILOT_PROVIDER_BASE_URL": f"{url}/v1", "COPILOT_PROVIDER_API_KEY": "x", "COPILOT_MODEL": "stub"}
    own["XDG_CACHE_HOME"] = str(home / ".cache")
    return own | {"COPILOT_HOME": str(home / ".copilot"), "COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false"}


def _kimi(home: Path, url: str) -> dict[str, str]:
    own = {"KIMI_MODEL_NAME": "stub", "KIMI_MODEL_API_KEY": "x", "KIMI_MODEL_PROVIDER_TYPE": "openai"}
    return own | {"KIMI_MODEL_BASE_URL": f"{url}/v1", "KIMI_CODE_NO_AUTO_UPDATE": "1"}


def _vibe(home: Path, url: str) -> dict[str, str]:
    (home / ".vibe").mkdir(exist_ok=True)
    provider = f'[[providers]]\nname = "stub"\napi_base = "{url}/v1"\napi_key_env_var = "STUB_KEY"\n'
    model = '[[models]]\nname = "stub"\nprovider = "stub"\nalias = "stub"\n'
    (home / ".vibe" / "config.toml").write_text(
        f'active_model = "stub"\nenable_telemetry = false\nenable_update_checks = false\n{provider}{model}'
    )
    return {"VIBE_HOME": str(home / ".vibe"), "STUB_KEY": "x", "MISTRAL_API_KEY": "x"}


GEMINI = Real("gemini", (".bin/gemini", "--acp"), _gemini)
QWEN = Real("qwen", (".bin/qwen", "--acp"), _qwen, extra=True)
OPENCODE = Real("opencode", ("opencode-linux-x64/bin/opencode", "acp"), _opencode)
CLAUDE = Real("claude", (".bin/claude-agent-acp",), _claude, extra=True)
CLAUDE_P = Real("claude-p", (".bin/claude",), _claude, extra=True)
CODEX = Real("codex", (".bin/codex-acp",), _codex, extra=True)
COPILOT = Real("copilot", (".bin/copilot", "--acp"), _copilot, extra=True)
KIMI = Real("kimi", (".bin/kimi", "acp"), _kimi, extra=True)
VIBE = Real("vibe", ("vibe-acp",), _vibe, extra=True, under="vibe/bin")
ZED_CODEX = Real("codex-zed", (".bin/codex-acp",), _codex, extra=True, under="zed/node_modules")
EVERY = (GEMINI, OPENCODE, QWEN, CLAUDE, CLAUDE_P, CODEX, ZED_CODEX, COPILOT, KIMI, VIBE)


def a_minute_later(home: Path) -> None:
    """Let the clock move on for gemini-cli 0.61: it names the file of a session after the minute in which the session
    was made or loaded, and so overwrites a session that is loaded in the minute in which it was made."""
    for file in home.glob(".gemini/tmp/*/chats/session-*"):
        earlier = (file.with_name(re.sub(r"T\d\d-\d\d", f"T24-{minute:02}", file.name)) for minute in range(60))
        if "T24-" not in file.name:
            file.rename(next(path for path in earlier if not path.exists()))
