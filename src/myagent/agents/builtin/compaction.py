"""A conversation that outgrew its model made shorter: its oldest turns summed up, or forgotten, and long results cut.

How much a model can read is learned from what its endpoint says when it was too much. Sizes are in characters of the
messages as they are kept, since only the endpoint can count tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myagent.agents.builtin.conversation import within
from myagent.agents.builtin.overflow import Overflow

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

TOKEN_CHARACTERS = 3.0  # of English in JSON some 4, of other languages and code fewer
ROOM = 0.8  # of what a model can read: the answer has to fit as well
RESULT_CHARACTERS = (4000, 800)  # of a tool's result that is cut; first the one, and where that is not enough the other
SUMMARY_CHARACTERS = 4000
SUMMARY_PROMPT = """\
Below is the oldest part of a conversation between a person and you, a coding agent; it will be forgotten. Write down,
in at most 300 words and as plain text, what you must still know of it to go on: what was asked for and wished, what
was found out, decided and done (with the names of files and commands), and what is left to do. Do not answer it.

"""


class Room:
    """How many characters a request may have, and how many tokens its model reads, as far as it was learned; `None`:
    nothing was."""

    def __init__(self) -> None:
        self.characters: int | None = None
        self.tokens: int | None = None

    def learn(self, overflow: Overflow, asked: int) -> None:
        """Take that a request of `asked` characters was too long."""
        if overflow.limit is None:
            characters = asked / 2
        elif overflow.had is None:
            characters = overflow.limit * TOKEN_CHARACTERS * ROOM
        else:
            characters = asked * overflow.limit / overflow.had * ROOM
        self.tokens = overflow.limit or self.tokens
        self.characters = int(min(characters, asked * ROOM, self.characters or asked))


@dataclass(frozen=True, slots=True)
class Compacted:
    """A conversation after it was made shorter, and what was done, for a human."""

    earlier: list[bytes]
    new: list[Any]
    done: str


async def compacted(
    earlier: Sequence[bytes],
    new: Sequence[ModelMessage],
    characters: int,
    sum_up: Callable[[str], Awaitable[str]],
) -> Compacted | None:
    """Make a conversation fit into so many characters; `None` where nothing is left to be left out.

    Args:
        earlier: The turns before, oldest first, as they are kept.
        new: The messages of this turn.
        sum_up: Has the model answer a prompt, in at most `SUMMARY_CHARACTERS`; may fail with an empty text.
    """
    from myagent.agents.builtin import messages

    turns, now, cut = list(earlier), list(new), 0
    for bound in RESULT_CHARACTERS:
        if sum(map(len, turns)) + len(messages.dump(now)) <= characters:
            break
        shorter = [messages.with_short_results(messages.load(turn), bound) for turn in turns]
        turns = [messages.dump(each) for each, _ in shorter]
        # What came last is what the model is about to use: it is cut at last.
        before, last = (now[:-1], now[-1:]) if bound == RESULT_CHARACTERS[0] else (now, [])
        now, count = messages.with_short_results(before, bound)
        now += last
        cut = max(cut, count + sum(each for _, each in shorter))
    room = characters - len(messages.dump(now))
    kept = turns
    if sum(map(len, turns)) > room:
        kept = within(turns, max(0, room - SUMMARY_CHARACTERS))
    dropped = turns[: len(turns) - len(kept)]
    done = []
    if dropped:
        summary, what = await summed_up(dropped, characters, sum_up)
        kept = [*summary, *kept]
        done.append(what)
    if cut:
        done.append(f"{cut} long tool {'result is' if cut == 1 else 'results are'} shortened")
    return Compacted(kept, now, " and ".join(done)) if done else None


async def summed_up(
    turns: Sequence[bytes], characters: int, sum_up: Callable[[str], Awaitable[str]]
) -> tuple[list[bytes], str]:
    """One turn that stands for all of these, or none where the model makes nothing of them; and what was done, for a
    human. `characters` of them are told to the model at most."""
    from myagent.agents.builtin import messages

    text = messages.as_text([message for turn in turns for message in messages.load(turn)])
    text = messages.shortened(text, max(SUMMARY_CHARACTERS, characters - 2 * SUMMARY_CHARACTERS))
    summary = (await sum_up(f"{SUMMARY_PROMPT}{text}")).strip()[:SUMMARY_CHARACTERS]
    what = "its oldest turn is" if len(turns) == 1 else f"its {len(turns)} oldest turns are"
    kept = [messages.dump(messages.summary(summary))] if summary else []
    return kept, f"{what} {'summed up' if summary else 'forgotten'}"
