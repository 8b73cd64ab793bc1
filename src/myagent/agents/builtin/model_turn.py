"""One prompt answered by a model: asked again and again until it calls no tools, and what of that is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from myagent.agents import Turn, TurnEnd, TurnIO
from myagent.agents.acp.skills import with_skills
from myagent.agents.builtin import conversation
from myagent.agents.builtin.compaction import SUMMARY_CHARACTERS, Room, compacted, summed_up
from myagent.agents.builtin.conversation import Files
from myagent.agents.showing import Showing
from myagent.agents.tools.background import Background
from myagent.agents.tools.credentials import Places
from myagent.agents.tools.toolbox import External, Offer, Toolbox, Withdrawn
from myagent.exceptions import MyagentError

if TYPE_CHECKING:
    from myagent.agents.builtin.endpoint import Endpoint
    from myagent.agents.builtin.messages import Reply

REQUESTS = 100  # to the model in one turn: more is a loop
COMPACT = "/compact"  # a prompt that has the conversation summed up
SUMMING_UP = "You sum up conversations. You have no tools, and answer with the summary alone."
LEAST_CHARACTERS = 1000  # of a conversation, however little a model can read


class ModelTurn:
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
        externals: Mapping[str, External],
        background: Background | None = None,
    ) -> None:
        self._turn, self._endpoint, self._instructions, self._context = turn, endpoint, instructions, context
        self._room, self._files, self._cover = room, files, cover
        self._showing = Showing(io)
        places = Places(turn.credential_places)
        ways = (self._showing, io.ask, io.question)
        self._background = background
        self._toolbox = Toolbox(turn.cwd, turn.mode, *ways, turn.turn_id, externals, places, background)
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
            if self._background is not None:
                await self._background.attend(self._showing)
            if self._left_out:
                await self.line(self._left_out.rstrip())
            await self._remember()
            await self._tell_before()
            end = await (self._sum_all_up() if self._turn.prompt.strip() == COMPACT else self._converse())
        except Withdrawn:
            end = TurnEnd("cancelled")
        except MyagentError as error:
            await self._showing.failed(str(error))
            end = TurnEnd("failed", 1, str(error))
        finally:
            if self._background is not None:
                if self._background.running:
                    await self.line(f"still running in the background: {', '.join(self._background.running)}")
                self._background.unattend()
            await self._showing.close_calls()
            kept = await self._keep()
        return replace(end, agent_session_id=kept or self._turn.agent_session_id)

    async def _converse(self) -> TurnEnd:
        offers = self._toolbox.offers()
        for number in range(REQUESTS):
            self._message_id = f"{self._turn.turn_id}-answer-{number + 1}"
            reply = await self._ask(offers)
            self._new.append(reply.message)
            self._said = ""
            if reply.tokens:
                size = {} if self._room.tokens is None else {"size": self._room.tokens}
                self._io.tell(usage={"used": reply.tokens, **size})
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

    async def _sum_all_up(self) -> TurnEnd:
        """Put a summary in the place of all turns before; without one, nothing changes."""
        self._message_id = f"{self._turn.turn_id}-answer"
        said = "there is nothing to sum up"
        if self._earlier:
            characters = self._room.characters or self._context
            summary, _ = await summed_up(self._earlier, characters, self._sum_up)
            said = "the conversation is summed up" if summary else "the model made no summary; nothing has changed"
            self._earlier = summary or self._earlier
        await self._hear(False, f"{said}\n")
        self._new, self._said = [], ""
        return TurnEnd()

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
        if len(self._new) > 1 or (self._new and self._said):
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
