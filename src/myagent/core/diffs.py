"""What changes between two texts, line by line, at a cost that is bounded whatever the texts are.

Lines that occur once on both sides are found first, and hold fast what is around them (n log n). Between two of those
Myers' algorithm looks for the shortest change, as long as its steps last; what is left then is told as replaced. So a
diff is always right, and is the shortest one where that is cheap.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

STEPS = 200_000  # of one diff, in all: a tenth of a second
STEPS_PER_LINE = 16  # so that many small diffs cost no more than a large one
SMALL = STEPS_PER_LINE  # lines of both sides, of which the shortest change is always found within the steps
SCANS = 16  # times that each line may be looked at while anchors are sought
DIFF_CONTEXT = 3  # lines

_Change = tuple[int, int, int, int]  # lines `a` to `b` of the old text become lines `c` to `d` of the new one


def unified_diff(path: str, before: str | None, after: str) -> str:
    """A unified diff of two texts, `None` being a file that does not exist. Where nothing changes, or an empty file is
    made, it says so: what shows nothing would be allowed unseen."""
    if before == after:
        return whole_text(path, after)
    changes = hunks(before or "", after)
    header = [f"--- {'/dev/null' if before is None else path}", f"+++ {path}{'' if changes else ' (an empty file)'}"]
    return "".join(f"{line}\n" for line in (*header, *changes))


def whole_text(path: str, text: str) -> str:
    """A file that is written as it is: its text, every line marked as unchanged."""
    lines = "".join(f" {part}\n" for line in _lines(text) for part in _ended(line))
    return f"--- {path}\n+++ {path} (nothing changes)\n{lines}"


def hunks(before: str, after: str) -> list[str]:
    """The lines of a unified diff that follow its header, without their newlines; none if the texts are the same.

    Lines end at a newline and nowhere else.
    """
    old, new = _lines(before), _lines(after)
    diff: list[str] = []
    for group in _groups(changes(old, new)):
        first, last = group[0], group[-1]
        start, end = max(0, first[0] - DIFF_CONTEXT), min(len(old), last[1] + DIFF_CONTEXT)
        shift = first[2] - first[0]
        lengths = end - start, end - start + sum((d - c) - (b - a) for a, b, c, d in group)
        diff.append(f"@@ -{_range(start, lengths[0])} +{_range(start + shift, lengths[1])} @@")
        at = start
        for a, b, c, d in group:
            for sign, lines in ((" ", old[at:a]), ("-", old[a:b]), ("+", new[c:d])):
                diff += [part for line in lines for part in _ended(sign + line)]
            at = b
        diff += [part for line in old[at:end] for part in _ended(" " + line)]
    return diff


def changes(old: list[str], new: list[str]) -> list[_Change]:
    """What to replace, in order; no two of them touch."""
    ids: dict[str, int] = {}
    before = [ids.setdefault(line, len(ids)) for line in old]
    after = [ids.setdefault(line, len(ids)) for line in new]
    lines = SCANS * (len(old) + len(new))  # that may still be looked through for anchors
    found: list[_Change] = []
    gaps: list[_Change] = []
    waiting = [(0, len(before), 0, len(after))]
    while waiting:
        a, b, c, d = waiting.pop()
        while a < b and c < d and before[a] == after[c]:
            a, c = a + 1, c + 1
        while a < b and c < d and before[b - 1] == after[d - 1]:
            b, d = b - 1, d - 1
        if a == b or c == d:
            found += [(a, b, c, d)] if (a, c) != (b, d) else []
            continue
        size = b - a + d - c
        lines -= size
        if lines >= 0 and size > SMALL and (anchors := _anchors(before, after, (a, b, c, d))):
            ends = [(a, c), *anchors, (b, d)]
            waiting += [(i, k, j, n) for (i, j), (k, n) in pairwise(ends)]
        else:
            gaps.append((a, b, c, d))
    left = min(STEPS, STEPS_PER_LINE * (len(old) + len(new)))
    for gap in sorted(gaps, key=lambda each: each[1] - each[0] + each[3] - each[2]):
        shortest, left = _shortest(before, after, gap, left)
        found += shortest
    return _joined(sorted(found))


def _anchors(before: list[int], after: list[int], box: _Change) -> list[tuple[int, int]]:
    """Places of lines that occur once on both sides, as many as stand in the same order on both."""
    a, b, c, d = box
    once: dict[int, int] = {}
    for at in range(a, b):
        once[before[at]] = -1 if before[at] in once else at
    seen: dict[int, int] = {}
    for at in range(c, d):
        seen[after[at]] = -1 if after[at] in seen else at
    pairs = [(at, seen[line]) for line, at in once.items() if at >= 0 and seen.get(line, -1) >= 0]
    # The longest rising run of the second places: patience sorting.
    tops: list[int] = []
    piles: list[int] = []  # the pair on top of each pile
    below: list[int] = []
    for number, (_, place) in enumerate(pairs):
        pile = bisect_left(tops, place)
        below.append(piles[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [place]
        piles[pile : pile + 1] = [number]
    run: list[tuple[int, int]] = []
    at = piles[-1] if piles else -1
    while at >= 0:
        run.append(pairs[at])
        at = below[at]
    return run[::-1]


def _shortest(before: list[int], after: list[int], box: _Change, left: int) -> tuple[list[_Change], int]:
    """The shortest change of a part (Myers 1986), or all of it replaced; and how many steps are left then."""
    a, b, c, d = box
    width, height = b - a, d - c
    reached = {1: 0}  # diagonal → how far along the old lines a path has come
    trace: list[dict[int, int]] = []
    for depth in range(width + height + 1):
        trace.append(dict(reached))
        for diagonal in range(-depth, depth + 1, 2):
            down = _goes_down(reached, diagonal, depth)
            x = start = reached[diagonal + 1] if down else reached[diagonal - 1] + 1
            while x < width and x - diagonal < height and before[a + x] == after[c + x - diagonal]:
                x += 1
            reached[diagonal] = x
            left -= 1 + x - start
            if x >= width and x - diagonal >= height:
                return _path(trace, box), left
        if left < 0:
            break
    return [box], left


def _path(trace: list[dict[int, int]], box: _Change) -> list[_Change]:
    a, b, c, d = box
    x, y = b - a, d - c
    found: list[_Change] = []
    for depth in range(len(trace) - 1, 0, -1):
        diagonal = x - y
        down = _goes_down(trace[depth], diagonal, depth)
        x = trace[depth][diagonal + 1 if down else diagonal - 1]
        y = x - (diagonal + 1 if down else diagonal - 1)
        found.append((a + x, a + x, c + y, c + y + 1) if down else (a + x, a + x + 1, c + y, c + y))
    return found


def _goes_down(reached: dict[int, int], diagonal: int, depth: int) -> bool:
    """Whether the best way onto a diagonal is by a new line, not by leaving an old one out."""
    return diagonal == -depth or (diagonal != depth and reached[diagonal - 1] < reached[diagonal + 1])


def _joined(found: list[_Change]) -> list[_Change]:
    joined: list[_Change] = []
    for a, b, c, d in found:
        if joined and (joined[-1][1], joined[-1][3]) == (a, c):
            a, _, c, _ = joined.pop()
        joined.append((a, b, c, d))
    return joined


def _groups(found: list[_Change]) -> Iterator[list[_Change]]:
    """Changes whose context meets."""
    group: list[_Change] = []
    for change in found:
        if group and change[0] - group[-1][1] > 2 * DIFF_CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _range(start: int, length: int) -> str:
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _ended(line: str) -> tuple[str, ...]:
    return (line[:-1],) if line.endswith("\n") else (line, "\\ No newline at end of file")


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)
