"""A session as a file: the events with their permission requests and decisions, in one of four formats.

Pure: events and metadata go in, text comes out piece by piece, the same for the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, get_args

import msgspec

from myagent.client.asking import seq_of
from myagent.client.incoming import read
from myagent.core.messages import Gap, Metadata, SessionId
from myagent.export import asciicast, hypertext, markdown
from myagent.export.parts import parts

Format = Literal["jsonl", "md", "html", "asciicast"]
FORMATS: tuple[Format, ...] = get_args(Format)


def render(
    form: Format, metadata: Metadata, lines: Iterable[bytes], *, max_wait: float = asciicast.MAX_WAIT,
    picture: Callable[[str], bytes | None] = lambda _: None,
) -> Iterator[str]:  # fmt: skip
    """Write a session; `lines` are its events as the server stores them. `max_wait` is in seconds, and that of a
    recording; `picture` gets the bytes of a digest, for what shows some. Raises `NotMyagent`."""
    whole = with_gaps(lines, metadata.session_id)
    if form == "jsonl":
        yield from (f"{line.decode()}\n" for line in whole)
    elif form == "asciicast":
        yield from asciicast.render(metadata, map(read, whole), max_wait=max_wait)
    elif form == "html":
        yield from hypertext.render(metadata, parts(map(read, whole)), hypertext.Inlined(picture))
    else:
        yield from markdown.render(metadata, parts(map(read, whole)))


def with_gaps(lines: Iterable[bytes], session_id: str) -> Iterator[bytes]:
    """Say where events are gone for good, in the words of the protocol: nothing is skipped in silence."""
    last = 0
    for line in lines:
        seq = seq_of(line)
        if seq != last + 1:
            yield msgspec.json.encode(Gap(SessionId(session_id), last + 1, seq - 1))
        last = seq
        yield line
