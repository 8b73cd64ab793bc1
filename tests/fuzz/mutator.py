"""Hostile bytes from a seed: input N of a seed is the same bytes for ever, so that what it breaks is played again.

Everything is drawn from `random.Random(f"{seed}:{number}")`, and from nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

LARGEST = 1 << 16  # bytes of an input


class Mutator:
    """Makes inputs out of good ones, with words that matter to who reads them."""

    def __init__(self, seed: int, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
        self.seed = seed
        self._corpus = corpus
        self._words = words

    def input(self, number: int) -> bytes:
        return self.draw(random.Random(f"{self.seed}:{number}"))

    def draw(self, chance: random.Random) -> bytes:
        """A good input, changed in up to six places."""
        data = bytearray(chance.choice(self._corpus))
        for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
            chance.choice(_CHANGES)(self, chance, data)
        return bytes(data[:LARGEST])

    def _flip(self, chance: random.Random, data: bytearray) -> None:
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)

    def _replace(self, chance: random.Random, data: bytearray) -> None:
        if data:
            data[chance.randrange(len(data))] = chance.choice(b'\0\t\n\r "%,:;?[\\]{}\x7f\x80\xc0\xe2\xed\xff')

    def _insert(self, chance: random.Random, data: bytearray) -> None:
        at = chance.randint(0, len(data))
        data[at:at] = chance.randbytes(chance.randint(1, 8))

    def _say(self, chance: random.Random, data: bytearray) -> None:
        at = chance.randint(0, len(data))
        data[at:at] = chance.choice(self._words)

    def _cut(self, chance: random.Random, data: bytearray) -> None:
        at = chance.randint(0, len(data))
        del data[at : at + chance.randint(1, 32)]

    def _repeat(self, chance: random.Random, data: bytearray) -> None:
        at = chance.randint(0, len(data))
        piece = data[at : at + chance.randint(1, 16)]
        data[at:at] = piece * chance.choice((1, 2, 10, 200, 2000))

    def _splice(self, chance: random.Random, data: bytearray) -> None:
        other = chance.choice(self._corpus)
        data[chance.randint(0, len(data)) :] = other[chance.randint(0, len(other)) :]


_CHANGES: tuple[Callable[[Mutator, random.Random, bytearray], None], ...] = (
    Mutator._flip, Mutator._replace, Mutator._insert, Mutator._say, Mutator._cut, Mutator._repeat, Mutator._splice,
)  # fmt: skip
