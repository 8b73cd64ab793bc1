"""The model agent: a model at any OpenAI-compatible endpoint, with our own tools, each change asked for.

Nothing here needs the extra `models` until the agent starts. A conversation is the session's: it goes on over turns,
and over restarts of the server where there is a place for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from myagent.agents import Agent, AgentInfo, Outside, Turn, TurnEnd, TurnIO
from myagent.agents.builtin import conversation
from myagent.agents.builtin.compaction import Room
from myagent.agents.builtin.conversation import Files, InMemory
from myagent.agents.builtin.mcp_config import McpServer, mcp_servers
from myagent.agents.builtin.model_turn import COMPACT, ModelTurn, messages
from myagent.agents.builtin.surroundings import surroundings
from myagent.agents.rendering import JSON
from myagent.agents.tools.background import Background, OwnTurn
from myagent.agents.tools.workspace import FileFailed, Workspace, decoded
from myagent.agents.work import Work
from myagent.exceptions import AgentUnavailable, MyagentError
from myagent.extras import install

if TYPE_CHECKING:
    from myagent.agents.builtin.endpoint import Endpoint
    from myagent.agents.builtin.mcp_servers import McpServers

BASE_URL = "https://api.openai.com/v1"
CONTEXT_CHARACTERS = 400_000  # of earlier turns, as they are kept; some 100,000 tokens
KEY_VARIABLES = ("MYAGENT_MODEL_API_KEY", "OPENAI_API_KEY")
URL_VARIABLE = "OPENAI_BASE_URL"
KEY_FILE = ".env"
SECRET_CHARACTERS = 8  # a shorter key is a placeholder, which would be found everywhere

INSTRUCTIONS = """\
You are a coding agent at work in one directory, the workspace. Use your tools to look before you answer, and to do what
you are asked to. Paths are relative to the top of the workspace, and nothing outside of it can be reached with Read,
Glob, Grep, Edit or Write. Bash, Edit and Write are asked for first: a person may deny them, and may say why; then do
not try the same again, and say what is left to do. Where only a person can know or decide, Ask; never for a secret. In
plan mode you have only the tools that read, and Ask: describe what you would do. Answer briefly.

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which model, where, how much of a conversation it is told again, and which MCP servers (`mcp_config.py`)."""

    model: str | None = None
    base_url: str | None = None
    context: int = CONTEXT_CHARACTERS
    mcp: tuple[str, ...] = ()
    trust_directory: bool = False


class ModelAgent(Agent):
    """The Agent port over a model. `commands` are for clients that show what there is, as of `CommandAgent`.

    Args:
        env: Where the key and the address are looked for; our environment if not given.
        files: A place for the conversations of a workspace; without one they end with the process.
        cover: Takes what may not be stored out of JSON-able data.
    """

    commands = ((COMPACT.removeprefix("/"), "sum up the conversation so far, and go on from the summary", ""),)

    def __init__(
        self,
        choice: Choice,
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        files: Callable[[Path], Files] | None = None,
        cover: Callable[[Any], Any] = lambda data: data,
    ) -> None:
        self._choice, self._cwd, self._cover = choice, cwd, cover
        self._env = os.environ if env is None else env
        here = InMemory()
        self._files: Callable[[Path], Files] = files or (lambda _: here)
        self._work = Work()
        self._endpoint: Endpoint | None = None
        self._mcp: McpServers | None = None
        self._rooms: dict[str, Room] = {}  # by model
        self._models: dict[str, str] = {}  # of the sessions that have one of their own
        self._offered: list[str] | None = None
        self._shown: dict[str, str] = {}  # what was last said of a session's AGENTS.md
        self._outside: Outside | None = None
        self._backgrounds: dict[str, Background] = {}  # by session
        self._info = AgentInfo(name="model")

    @property
    def info(self) -> AgentInfo:
        return self._info

    async def start(self) -> None:
        model, given = self._choice.model, self._choice.base_url or self._env.get(URL_VARIABLE)
        if not model:
            raise AgentUnavailable("model", "no model is named", "name one with --model")
        base_url = given or BASE_URL
        address = urlsplit(base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise AgentUnavailable(
                "model", f"{base_url} is no address of an endpoint", "as in http://127.0.0.1:8080/v1"
            )
        if "@" in address.netloc:  # it would be shown
            raise AgentUnavailable("model", "its address holds a password", "give the key in the environment")
        endpoint, proxy_of = await asyncio.to_thread(_library)
        key = await asyncio.to_thread(find_key, self._cwd, self._env)
        if key is None and given is None:
            raise AgentUnavailable("model", "there is no key", f"set OPENAI_API_KEY, or write it into {KEY_FILE}")
        if key is not None and not all("!" <= character <= "~" for character in key):
            raise AgentUnavailable("model", "the key has characters that no key can have")
        self._endpoint = await asyncio.to_thread(endpoint, model, base_url, key, self._env)
        note = f"{model} at {address.netloc}; asks before it changes or runs anything"
        if key is not None and address.scheme == "http" and address.hostname not in ("127.0.0.1", "::1", "localhost"):
            note += "; THE KEY IS SENT UNENCRYPTED"
        if (proxy := proxy_of(base_url, self._env)) is not None:
            note += f"; through the proxy {urlsplit(proxy).netloc.rpartition('@')[2]}"
        wanted = await asyncio.to_thread(
            mcp_servers, self._choice.mcp, self._cwd, self._env, trust_directory=self._choice.trust_directory
        )
        if wanted:
            self._mcp = await asyncio.to_thread(_mcp_library, wanted, self._env)
            try:
                await self._mcp.start()
            except BaseException:
                await self.close()
                raise
            note += f"; MCP servers: {', '.join(f'{each.name} ({each.shown})' for each in wanted)}"
        known = (key or "", *(secret for server in wanted for secret in server.secrets))
        secrets = tuple(secret for secret in known if len(secret) >= SECRET_CHARACTERS)
        self._info = AgentInfo(name="model", note=note, state={"model": model}, secrets=secrets)

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        """Answer one prompt. A failure is one line on stderr, and the turn's message."""
        return await self._work.run(self._answered(turn, io), name=f"model turn {turn.turn_id}")

    async def _answered(self, turn: Turn, io: TurnIO) -> TurnEnd:
        if self._endpoint is None:
            await self.start()
        assert self._endpoint is not None
        model = self._models.get(turn.session_id, self._endpoint.model)
        trouble = await self._servers_run()
        here = await surroundings(turn.cwd, datetime.now().astimezone())
        running = ModelTurn(
            turn,
            io,
            self._endpoint.of(model),
            instructions=f"{INSTRUCTIONS}{here.text}",
            room=self._rooms.setdefault(model, Room()),
            context=self._choice.context,
            files=self._files(turn.cwd),
            cover=self._cover,
            externals={} if self._mcp is None else self._mcp.tools(),
            background=self._background_of(turn.session_id),
        )
        if trouble:
            await running.line(trouble)
        if here.agents_file != self._shown.get(turn.session_id, ""):
            self._shown[turn.session_id] = here.agents_file
            await running.line(here.agents_file or "AGENTS.md is gone")
        return await running.answer()

    # --- what runs on after a turn ---------------------------------------------------------------------------------

    def attend(self, outside: Outside) -> None:
        self._outside = outside

    def _background_of(self, session_id: str) -> Background | None:
        """The commands that run on in a session, where they can be shown between turns."""
        outside = self._outside
        if outside is None:
            return None

        def speaks(background: Background) -> None:
            outside.begin(session_id, OwnTurn(background, outside.quiet_seconds, self._work))

        return self._backgrounds.setdefault(session_id, Background(speaks))

    # --- for clients that show what there is, as those of ACP ------------------------------------------------------

    async def history(self, name: str, cwd: Path) -> list[JSON] | None:
        """A conversation that is kept, as updates that tell it again; `None` where there is none of that name."""
        turns = await asyncio.to_thread(conversation.load, self._files(cwd), name)
        if turns is None or self._endpoint is None:
            return None
        try:
            return [update for turn in turns for update in messages().told_again(turn)]
        except ValueError:
            return None

    async def forget(self, name: str, cwd: Path) -> None:
        """Keep a conversation no more, here and on disk."""
        self._models.pop(name, None)
        self._shown.pop(name, None)
        await asyncio.to_thread(conversation.forget, self._files(cwd), name)

    async def conversations(self, cwd: Path) -> list[tuple[str, str, str]]:
        """Those that are kept of a directory, the latest first: name, first prompt, time of the last turn."""
        return await asyncio.to_thread(self._conversations, self._files(cwd))

    def _conversations(self, files: Files) -> list[tuple[str, str, str]]:
        found = []
        for name, time in conversation.kept(files):
            try:
                turns = conversation.load(files, name) or []
                told = [each for turn in turns[:1] for each in messages().told_again(turn)]
            except (ValueError, MyagentError):  # of another version, or not ours to read
                continue
            updated = datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
            found.append((name, str(told[0]["content"]["text"]) if told else "", updated))
        return found

    async def models(self, session_id: str) -> tuple[str, list[str]]:
        """The model of a session, and those that the endpoint offers, that one among them."""
        assert self._endpoint is not None
        chosen = self._models.get(session_id, self._endpoint.model)
        if self._offered is None:
            self._offered = await self._endpoint.models()
        return chosen, list(dict.fromkeys((chosen, self._endpoint.model, *self._offered)))

    def choose_model(self, session_id: str, model: str) -> None:
        """The model of the turns of a session from now on."""
        self._models[session_id] = model

    async def _servers_run(self) -> str:
        """Start again what has ended of the MCP servers; why not, for a human."""
        try:
            if self._mcp is not None:
                await self._mcp.start()
        except AgentUnavailable as error:
            return error.reason
        return ""

    async def close(self) -> None:
        await self._work.close()
        for background in self._backgrounds.values():
            await background.close()
        servers, self._mcp = self._mcp, None
        if servers is not None:
            await servers.close()
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()


def find_key(workspace: Path, env: Mapping[str, str]) -> str | None:
    """The key, from the environment or from the workspace's `.env`. Blocks; needs the extra `models`."""
    from dotenv import dotenv_values

    if key := _key_in(env):
        return key
    files = Workspace(workspace)
    try:
        found = files.find(files.locate(KEY_FILE))
        text = "" if found is None else decoded(KEY_FILE, found)
    except FileFailed:  # a virtual environment of that name, or a link out of the workspace
        return None
    return _key_in(dotenv_values(stream=StringIO(text), interpolate=False))


def _key_in(values: Mapping[str, str | None]) -> str | None:
    return next((key for name in KEY_VARIABLES if (key := (values.get(name) or "").strip())), None)


def _library() -> tuple[type[Endpoint], Callable[[str, Mapping[str, str]], str | None]]:
    try:
        import dotenv  # noqa: F401 -- needed later, said now

        from myagent.agents.builtin.endpoint import Endpoint
        from myagent.agents.builtin.outbound import proxy_of
    except ImportError as error:
        remedy = f"install it with: {install('models')}"
        raise AgentUnavailable("model", f"{error.name} is not installed", remedy) from error
    return Endpoint, proxy_of


def _mcp_library(servers: Sequence[McpServer], env: Mapping[str, str]) -> McpServers:
    try:
        from myagent.agents.builtin.mcp_servers import McpServers
    except ImportError as error:
        remedy = f"install it with: {install('mcp')}"
        raise AgentUnavailable("model", f"{error.name} is not installed", remedy) from error
    return McpServers(servers, env)
