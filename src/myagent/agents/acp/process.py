"""The process of an ACP agent: started when it is needed, got to know (`initialize`), signed in."""

from __future__ import annotations

import asyncio
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from myagent import __version__
from myagent.agents import AgentInfo
from myagent.agents.acp.presets import UNKNOWN, recognised
from myagent.agents.acp.rpc import AUTH_REQUIRED, Connection, Notified, Requested, RpcError
from myagent.agents.acp.supervision import Supervision
from myagent.agents.processes.ndjson import AgentGone
from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import trimmed
from myagent.exceptions import AgentUnavailable

ACP_VERSION = 1
# We lend neither files nor terminals. What an agent tells only to those who can show it, we can.
CAPABILITIES: JSON = {
    "session": {"notices": {}, "compaction": {}, "configOptions": {"boolean": {}}},
    "elicitation": {"form": {}, "url": {}},
    "auth": {"terminal": True},  # whoever starts the server is told what to run in one
}
START_SECONDS = 60.0  # for an answer to anything but a prompt; opencode takes 3 on two busy cores


class Process:
    """One agent's process, and the next one when that died.

    Args:
        env: Variables for the agent on top of the inherited ones.
        is_busy: Whether a turn runs: then an agent that does not answer something else is left alone.
        started: Called before each start, when nothing is left of what the one before knew.
    """

    def __init__(
        self,
        argv: Sequence[str],
        rules: Supervision,
        *,
        cwd: Path,
        env: Mapping[str, str],
        start_seconds: float,
        tally: Counter[str],
        is_busy: Callable[[], bool],
        started: Callable[[], None],
        on_notification: Notified,
        on_request: Requested,
    ) -> None:
        self._argv, self._rules, self._cwd, self.own_env = tuple(argv), rules, cwd, dict(env)
        self._start_seconds, self._tally = start_seconds, tally
        self._is_busy, self._started = is_busy, started
        self._on_notification, self._on_request = on_notification, on_request
        self.connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._files: TemporaryDirectory[str] | None = None
        self._login = ""  # how to sign in, for a human
        self.info = AgentInfo(name=rules.label)
        self.methods: set[str] = set()  # what it offers for sessions, beside those that every agent has

    async def connected(self) -> Connection:
        """The running agent; starts it when there is none."""
        async with self._connecting:
            if self.connection is not None and self.connection.ending:
                await self.close()
            if self.connection is None:
                self._started()
                connection = await self._open()
                try:
                    if await self._initialize(connection):
                        await connection.close()
                        connection = await self._open()
                        await self._initialize(connection)
                except BaseException:
                    await connection.close()
                    raise
                self.connection = connection
            return self.connection

    async def call(self, connection: Connection, method: str, params: JSON) -> JSON:
        """A request with a time limit, for everything but prompts."""
        self.info = replace(self.info, waits_for=f"its answer to {method}")
        try:
            async with asyncio.timeout(self._start_seconds):
                result = await connection.request(method, params)
        except TimeoutError:
            if not self._is_busy():
                connection.kill(f"it did not answer {method}")  # the next prompt starts another one
            raise AgentUnavailable(
                self._rules.label, f"it did not answer {method} within {self._start_seconds:g} seconds"
            ) from None
        finally:
            self.info = replace(self.info, waits_for="")
        return result if isinstance(result, dict) else {}

    async def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.close()
        files, self._files = self._files, None
        if files is not None:
            files.cleanup()

    def env(self) -> dict[str, str]:
        """What the agent's environment is made of, without the files that its preset names."""
        return self._rules.env(self.own_env)

    def unavailable(self, error: AgentGone | RpcError) -> AgentUnavailable:
        """Why it cannot be had, and what to do about that."""
        remedy = self._rules.preset.note
        if isinstance(error, RpcError) and error.code == AUTH_REQUIRED:
            remedy = f"sign in first: {self._login}" if self._login else "sign in first"
        return AgentUnavailable(self._rules.label, str(error).rstrip("."), remedy)

    async def _open(self) -> Connection:
        self._rules.check_directory(self._cwd, self.own_env)
        try:
            return await Connection.open(
                self._argv,
                cwd=self._cwd,
                env=self._env_with_files(),
                on_notification=self._on_notification,
                on_request=self._on_request,
                tally=self._tally,
            )
        except OSError as error:
            remedy = f"install it with: {self._rules.preset.install}" if self._rules.preset.install else ""
            raise AgentUnavailable(self._rules.label, f"{self._argv[0]}: {error.strerror or error}", remedy) from error

    def _env_with_files(self) -> dict[str, str]:
        """The environment of a process that is about to start, and the files that it names, written anew: qwen-code
        changes its own."""
        if not self._rules.preset.files:
            return self.env()
        if self._files is None:
            self._files = TemporaryDirectory(prefix="myagent-")
        return self._rules.env(self._rules.write_files(Path(self._files.name)) | self.own_env)

    async def _initialize(self, connection: Connection) -> bool:
        """Get to know the agent and sign in; true when it must be started again, with what its preset sets."""
        before = self.env()
        result = await self.call(
            connection,
            "initialize",
            {
                "protocolVersion": ACP_VERSION,
                "clientCapabilities": CAPABILITIES,
                "clientInfo": {"name": "myagent", "title": "myagent", "version": __version__},
            },
        )
        version = result.get("protocolVersion")
        if version != ACP_VERSION:
            raise AgentUnavailable(
                self._rules.label, f"it speaks ACP version {version}, and this is version {ACP_VERSION}"
            )
        said = result.get("agentInfo")
        said = said if isinstance(said, dict) else {}
        told, known = recognised(str(said.get("name"))), self._rules.known
        if told.name not in (UNKNOWN.name, known.name) and (known is UNKNOWN or told.argv[:1] == known.argv[:1]):
            self._rules.known = told
            if self.env() != before or self._rules.preset.files:
                return True
        self.methods = _offered(result.get("agentCapabilities"))
        name = str(said.get("title") or said.get("name") or self._rules.label)
        self.info = AgentInfo(
            name=trimmed(name, 100),
            version=trimmed(str(said.get("version", "")), 100),
            takes=_taken(result.get("agentCapabilities")),
        )
        self._rules.version = self.info.version
        methods = result.get("authMethods")
        methods = [row for row in methods if isinstance(row, dict)] if isinstance(methods, list) else []
        self._login = self._rules.preset.login or "; or ".join(self._how_to_sign_in(row) for row in methods)
        wanted = self._rules.operator.auth_method
        for row in methods:
            if row.get("type") == "terminal" and wanted is not None and row.get("id") == wanted:
                raise AgentUnavailable(self._rules.label, "it signs in in a terminal", self._how_to_sign_in(row))
        ids = [str(row.get("id")) for row in methods if row.get("type") != "terminal"]
        method = self._rules.operator.method(self._rules.label, ids) or self._rules.preset.auth_method(before, ids)
        if method is not None:
            await self.call(connection, "authenticate", {"methodId": method})
        return False

    def _how_to_sign_in(self, method: JSON) -> str:
        """What a human does for one of the agent's methods: of one for a terminal, the command to run there."""
        if method.get("type") != "terminal":
            return str(method.get("description") or method.get("name") or method.get("id"))
        args, env = method.get("args"), method.get("env")
        words = [*self._argv, *(str(each) for each in (args if isinstance(args, list) else []))]
        given = env.items() if isinstance(env, dict) else ()
        return f"run `{' '.join([*(_assignment(str(k), str(v)) for k, v in given), shlex.join(words)])}` in a terminal"


def _assignment(name: str, value: str) -> str:
    return f"{name}={shlex.quote(value)}"


def _taken(capabilities: Any) -> tuple[str, ...]:
    """What it takes in a prompt beside text and links."""
    of_prompts = capabilities.get("promptCapabilities") if isinstance(capabilities, dict) else None
    rows = of_prompts if isinstance(of_prompts, dict) else {}
    words = (("image", "image"), ("file", "embeddedContext"))
    return tuple(ours for ours, theirs in words if rows.get(theirs) is True)


def _offered(capabilities: Any) -> set[str]:
    """The methods that its capabilities promise."""
    if not isinstance(capabilities, dict):
        return set()
    found = {"session/load"} if capabilities.get("loadSession") is True else set()
    of_sessions = capabilities.get("sessionCapabilities")
    rows = of_sessions if isinstance(of_sessions, dict) else {}
    return found | {f"session/{name}" for name in ("close", "delete", "resume") if isinstance(rows.get(name), dict)}
