"""The model agent: a model at any OpenAI-compatible endpoint, with our own tools, each change asked for.

Nothing here needs the extra `models` until the agent starts. A conversation is the session's: it goes on over turns,
and over restarts of the server where there is a place for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from myagent.agents import Agent, AgentInfo, Turn, TurnEnd, TurnIO
from myagent.agents.acp.skills import with_skills
from myagent.agents.builtin import conversation
from myagent.agents.builtin.compaction import SUMMARY_CHARACTERS, Room, compacted
from myagent.agents.builtin.conversation import Files, InMemory
from myagent.agents.builtin.surroundings import surroundings
from myagent.agents.rendering import JSON
from myagent.agents.showing import Showing
from myagent.agents.tools.toolbox import Offer, Toolbox, Withdrawn
from myagent.agents.tools.workspace import FileFailed, Workspace, decoded
from myagent.agents.work import Work
from myagent.exceptions import AgentUnavailable, MyagentError

if TYPE_CHECKING:
    from myagent.agents.builtin.endpoint import Endpoint
    from myagent.agents.builtin.messages import Reply

BASE_URL = "https://api.openai.com/v1"
CONTEXT_CHARACTERS = 400_000  # of earlier turns, as they are kept; some 100,000 tokens
REQUESTS = 100  # to the model in one turn: more is a loop
KEY_VARIABLES = ("MYAGENT_MODEL_API_KEY", "OPENAI_API_KEY")
URL_VARIABLE = "OPENAI_BASE_URL"
KEY_FILE = ".env"
SECRET_CHARACTERS = 8  # a shorter key is a placeholder, which would be found everywhere

INSTRUCTIONS = """\
You are a coding agent at work in one directory, the workspace. Use your tools to look before you answer, and to do what
you are asked to. Paths are relative to the top of the workspace, and nothing outside of it can be reached with Read,
Glob, Grep, Edit or Write. Bash, Edit and Write are asked for first: a person may deny them, and may say why; then do
not try the same again, and say what is left to do. In plan mode you have only the tools that read: describe what you
would do. Answer briefly.

"""
SUMMING_UP = "You sum up conversations. You have no tools, and answer with the summary alone."
LEAST_CHARACTERS = 1000  # of a conversation, however little a model can read


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which model, where, and how much of a conversation it is told again."""

    model: str | None = None
    base_url: str | None = None
    context: int = CONTEXT_CHARACTERS


class ModelAgent(Agent):
    """The Agent port over a model.

    Args:
        env: Where the key and the address are looked for; our environment if not given.
        files: A place for the conversations of a workspace; without one they end with the process.
        cover: Takes what may not be stored out of JSON-able data.
    """

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
        self._room = Room()
        self._shown: dict[str, str] = {}  # what was last said of a session's AGENTS.md
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
        secrets = () if key is None or len(key) < SECRET_CHARACTERS else (key,)
        self._info = AgentInfo(name="model", note=note, state={"model": model}, secrets=secrets)

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        """Answer one prompt. A failure is one line on stderr, and the turn's message."""
        return await self._work.run(self._answered(turn, io), name=f"model turn {turn.turn_id}")

    async def _answered(self, turn: Turn, io: TurnIO) -> TurnEnd:
        if self._endpoint is None:
            await self.start()
        assert self._endpoint is not None
        here = await surroundings(turn.cwd, datetime.now().astimezone())
        running = _Turn(
            turn,
            io,
            self._endpoint,
            instructions=f"{INSTRUCTIONS}{here.text}",
            room=self._room,
            context=self._choice.context,
            files=self._files(turn.cwd),
            cover=self._cover,
        )
        if here.agents_file != self._shown.get(turn.session_id, ""):
            self._shown[turn.session_id] = here.agents_file
            await running.line(here.agents_file or "AGENTS.md is gone")
        return await running.answer()

    async def history(self, name: str, cwd: Path) -> list[JSON] | None:
        """A conversation that is kept, as updates that tell it again; `None` where there is none of that name."""
        turns = await asyncio.to_thread(conversation.load, self._files(cwd), name)
        if turns is None or self._endpoint is None:
            return None
        try:
            return [update for turn in turns for update in messages().told_again(turn)]
        except ValueError:
            return None

    async def close(self) -> None:
        await self._work.close()
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()


class _Turn:
    """One prompt being answered. `_new` are its messages, the prompt first; `_before` are those of the turns before."""

    def __init__(
        self,
        turn: Turn,
        io: TurnIO,
        endpoint: Endpoint,
        *,
        instructions: str,
        room: Room,
        context: int,
        files: Files,
        cover: Callable[[Any], Any],
    ) -> None:
        self._turn, self._endpoint, self._instructions, self._context = turn, endpoint, instructions, context
        self._room, self._files, self._cover = room, files, cover
        self._showing = Showing(io)
        self._toolbox = Toolbox(turn.cwd, turn.mode, self._showing, io.ask, turn.turn_id)
        self._io = io
        self._name = turn.session_id  # of the conversation
        self._earlier: list[bytes] = []
        self._before: list[Any] = []
        prompt, self._left_out = with_skills(turn)
        self._new: list[Any] = [messages().prompt(prompt)]
        self._said, self._thought = "", False  # of the answer that is coming
        self._message_id = ""
        self.line = self._showing.line

    async def answer(self) -> TurnEnd:
        """Carry the turn out; what of it can be remembered is, however it ends."""
        kept = None
        try:
            if self._left_out:
                await self.line(self._left_out.rstrip())
            await self._remember()
            end = await self._converse()
        except Withdrawn:
            end = TurnEnd("cancelled")
        except MyagentError as error:
            await self.line(str(error))
            end = TurnEnd("failed", 1, str(error))
        finally:
            await self._showing.close_calls()
            kept = await self._keep()
        return replace(end, agent_session_id=kept or self._turn.agent_session_id)

    async def _converse(self) -> TurnEnd:
        await self._tell_before()
        offers = self._toolbox.offers()
        for number in range(REQUESTS):
            self._message_id = f"{self._turn.turn_id}-answer-{number + 1}"
            reply = await self._ask(offers)
            self._new.append(reply.message)
            self._said = ""
            if reply.tokens:
                self._io.tell(usage={"used": reply.tokens})
            if reply.stop_reason != "end_turn":
                sentence = _stopped(reply)
                await self.line(sentence)
                return TurnEnd(reply.stop_reason, message=sentence)
            if not reply.calls:
                if not reply.has_words:
                    await self.line(
                        "the model thought, and said nothing" if self._thought else "the model said nothing"
                    )
                return TurnEnd()
            self._new.append(messages().results(reply.calls, await self._toolbox.run(reply.calls)))
        sentence = f"stopped after {REQUESTS} requests to the model in one turn"
        await self.line(sentence)
        return TurnEnd("max_turn_requests", message=sentence)

    async def _ask(self, offers: list[Offer]) -> Reply:
        """The model's next answer; once more where it could not read all of the conversation."""
        from myagent.agents.builtin.endpoint import ConversationTooLong

        if self._room.characters is not None and self._size(offers) > self._room.characters:
            await self._compact(f"the conversation has grown longer than {self._endpoint.model} can read", offers)
        try:
            return await self._request(offers)
        except ConversationTooLong as error:
            self._room.learn(error.overflow, self._size(offers))
            if self._said or not await self._compact(str(error), offers):
                raise
            return await self._request(offers)

    async def _request(self, offers: list[Offer]) -> Reply:
        self._thought = False
        told = [*self._before, *self._new]
        return await self._endpoint.ask(told, offers, self._instructions, hear=self._hear, say=self.line)

    def _size(self, offers: list[Offer]) -> int:
        return self._endpoint.size([*self._before, *self._new], offers, self._instructions)

    async def _compact(self, why: str, offers: list[Offer]) -> bool:
        """Make the conversation fit into what the model can read, and say so; false where that cannot be."""
        assert self._room.characters is not None
        besides = self._endpoint.size([], offers, self._instructions)
        characters = max(LEAST_CHARACTERS, self._room.characters - besides)
        shorter = await compacted(self._earlier, self._new, characters, self._sum_up)
        if shorter is None:
            return False
        self._earlier, self._new = shorter.earlier, shorter.new
        self._before = [message for turn in self._earlier for message in messages().load(turn)]
        await self.line(f"{why}: {shorter.done}")
        return True

    async def _sum_up(self, prompt: str) -> str:
        """What the model makes of a text; empty where it makes nothing."""
        from myagent.agents.builtin.endpoint import EndpointFailed

        said: list[str] = []

        async def hear(is_thought: bool, text: str) -> None:
            if not is_thought and sum(map(len, said)) < SUMMARY_CHARACTERS:
                said.append(text)

        try:
            await self._endpoint.ask([messages().prompt(prompt)], [], SUMMING_UP, hear=hear, say=self.line)
        except EndpointFailed:
            return ""
        return "".join(said)

    async def _hear(self, is_thought: bool, text: str) -> None:
        kind = "agent_thought_chunk" if is_thought else "agent_message_chunk"
        self._thought = self._thought or is_thought
        if not is_thought:
            self._said += text
        content = {"type": "text", "text": text}
        await self._showing.show({"sessionUpdate": kind, "messageId": self._message_id, "content": content})

    # --- what it remembers -------------------------------------------------------------------------------------

    async def _remember(self) -> None:
        """Find the earlier turns of this conversation."""
        earlier = self._turn.agent_session_id
        name = earlier or self._turn.session_id
        turns = await asyncio.to_thread(conversation.load, self._files, name)
        if turns is not None:
            self._name, self._earlier = name, turns
        elif earlier is not None:
            await self.line("the earlier conversation is not kept here; this prompt begins a new one")

    async def _tell_before(self) -> None:
        """Take the messages of the earlier turns, without the oldest ones where they are too many."""
        turns = conversation.within(self._earlier, self._context)
        if dropped := len(self._earlier) - len(turns):
            what = "oldest turn is" if dropped == 1 else f"{dropped} oldest turns are"
            await self.line(f"the conversation has grown too long: its {what} forgotten (see --context)")
        try:
            self._before = [message for turn in turns for message in messages().load(turn)]
        except ValueError:
            await self.line("the earlier conversation cannot be read; this prompt begins a new one")
            turns = []
        self._earlier = turns

    async def _keep(self) -> str | None:
        """Keep the conversation; its name, or `None` where there is none to go on with."""
        turns = self._earlier
        if len(self._new) > 1 or self._said:
            turn = messages().dump(messages().closed(self._new, self._said))
            if len(turn) <= self._context:
                turns = [*turns, turn]
            else:
                await self.line("this turn is too long to be remembered (see --context)")
        if not turns:
            return None
        try:
            saving = asyncio.to_thread(conversation.save, self._files, self._name, turns, self._cover)
            return self._name if await asyncio.shield(saving) else None
        except (OSError, MyagentError) as error:
            await self.line(f"the conversation could not be kept: {error}")
            return None


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


def _stopped(reply: Reply) -> str:
    match reply.stop_reason:
        case "refusal" if reply.has_words:
            return "the model refused"
        case "refusal":
            return "the answer was withheld: a content filter"
        case reason:
            return f"the model's answer was cut off: {reason}"


def messages() -> ModuleType:
    """What knows a model's messages; it needs the extra `models`."""
    from myagent.agents.builtin import messages

    return messages


def _library() -> tuple[type[Endpoint], Callable[[str, Mapping[str, str]], str | None]]:
    try:
        import dotenv  # noqa: F401 -- needed later, said now

        from myagent.agents.builtin.endpoint import Endpoint
        from myagent.agents.builtin.outbound import proxy_of
    except ImportError as error:
        remedy = "install it with: pip install 'myagent[models]'"
        raise AgentUnavailable("model", f"{error.name} is not installed", remedy) from error
    return Endpoint, proxy_of
