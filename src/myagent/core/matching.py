"""Which names somebody means who has typed a part of one, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterable

PIECES = 8  # of a query that count


def matching(query: str, paths: Iterable[str], limit: int) -> tuple[list[str], bool]:
    """The paths that have what was typed in them, whatever its case, at most `limit`; and whether these are all.

    A path whose last name begins with it comes first, then one whose last name has it, then the others; the shorter
    and higher up before the longer and deeper. Typed pieces that are apart (`src/app`, `mod test`) must come in order.
    """
    pieces = query.casefold().split()[:PIECES]
    ranked = sorted((rank, path.count("/"), len(path), path) for path in paths if (rank := _rank(pieces, path)) >= 0)
    return [path for *_, path in ranked[:limit]], len(ranked) <= limit


def _rank(pieces: list[str], path: str) -> int:
    """Less is better; -1 is none."""
    folded = path.casefold()
    place = 0
    for piece in pieces:
        place = folded.find(piece, place)
        if place < 0:
            return -1
        place += len(piece)
    if not pieces:
        return 0
    name = folded.rpartition("/")[2]
    return 0 if name.startswith(pieces[0]) else 1 if pieces[0] in name else 2
