"""Hostile compressed frames: what inflates too far, is no deflate, or misuses its bit ends that connection alone."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from raw import Raw, frame, request
from wire import scene

pytestmark = pytest.mark.usefixtures("quiet_log")

TEXT, CONT, PING = 1, 0, 9
OFFER = "permessage-deflate; client_max_window_bits"


def packed(data: bytes, *, before: bytes = b"") -> bytes:
    stream = zlib.compressobj(9, wbits=-15, zdict=before)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


BOMB = packed(b" " * (1 << 30))  # a megabyte that is a thousand
EMPTY = frame(CONT, b"\0\0\0\xff\xff", fin=False)  # an empty block
ROWS = {
    "Z1-bomb": ([frame(TEXT, BOMB, rsv=4)], (1009,)),
    "Z2-bomb-in-fragments": (
        [
            frame(TEXT, BOMB[:1000], rsv=4, fin=False),
            *[frame(CONT, BOMB[at : at + 1000], fin=False) for at in range(1000, 9000, 1000)],
        ],
        (1009,),
    ),
    "Z3-one-byte-too-many": ([frame(TEXT, packed(b" " * ((1 << 20) + 1)), rsv=4)], (1009,)),
    "Z4-no-deflate": ([frame(TEXT, b"\xff" * 100, rsv=4)], (1002, 1007)),
    "Z5-zlib-header": ([frame(TEXT, zlib.compress(b"{}"), rsv=4)], (1002, 1007)),
    "Z6-a-ping": ([frame(PING, packed(b"x"), rsv=4)], (1002,)),
    "Z7-a-continuation": ([frame(TEXT, packed(b"{")[:1], rsv=4, fin=False), frame(CONT, b"", rsv=4)], (1002,)),
    "Z8-other-bits": ([frame(TEXT, packed(b"{}"), rsv=6)], (1002,)),
    "Z9-not-utf-8": ([frame(TEXT, packed(b'"\xff"'), rsv=4)], (1007,)),
    "Z10-empty-blocks": ([frame(TEXT, b"", rsv=4, fin=False), *[EMPTY] * 1000], (1009,)),
    "Z11-before-its-beginning": ([frame(TEXT, packed(b"secret" * 9, before=b"secret" * 9), rsv=4)], (1002, 1007)),
}


async def come(raw: Raw, here: object, offer: str = OFFER) -> str | None:
    await raw.send(request(here.server, Sec_WebSocket_Extensions=offer))  # type: ignore[attr-defined]
    answer = await raw.answer()
    assert answer.status == 101
    return answer.header("sec-websocket-extensions")


@pytest.mark.parametrize("row", ROWS)
async def test_each_ends_with_its_code_and_disturbs_nobody(tmp_path: Path, row: str) -> None:
    data, codes = ROWS[row]
    async with scene(tmp_path) as here:
        owner = await here.join()
        async with Raw(here.server) as hostile:
            assert await come(hostile, here)
            await hostile.send(b"".join(data))
            assert await hostile.close_code() in codes
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def test_the_same_in_right_measure_is_answered(tmp_path: Path) -> None:
    """The control of the rows: whole, in fragments, and of the largest size."""
    ping = json.dumps({"type": "ping", "id": "p"}).encode()
    padded = ping + b" " * ((1 << 20) - len(ping))
    async with scene(tmp_path) as here, Raw(here.server) as client:
        await come(client, here)
        body = packed(ping)
        await client.send(frame(TEXT, body, rsv=4))
        await client.send(frame(TEXT, body[:5], rsv=4, fin=False) + frame(PING, b"x") + frame(CONT, body[5:]))
        await client.send(frame(TEXT, packed(padded), rsv=4))
        pongs = 0
        while pongs < 3:
            opcode, payload = await client.read_frame()
            pongs += opcode == TEXT and json.loads(payload)["type"] == "pong"


@pytest.mark.parametrize(
    ("offer", "taken"),
    [
        ("permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits=10", True),
        ("permessage-deflate; server_max_window_bits=15", True),
        ("permessage-deflate; server_max_window_bits=10", False),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True),
        ("permessage-deflate; unknown=1", False),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", False),
        ("x-webkit-deflate-frame, permessage-bzip2", False),
        ("permessage-deflate, permessage-deflate", True),
    ],
)
async def test_what_is_offered_is_taken_where_one_frame_serves_all(tmp_path: Path, offer: str, taken: bool) -> None:
    async with scene(tmp_path) as here, Raw(here.server) as client:
        answer = await come(client, here, offer)
        assert (answer is not None) == taken
        assert answer is None or (answer.count("permessage-deflate") == 1 and "server_no_context_takeover" in answer)


async def test_what_is_no_offer_is_no_handshake(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Raw(here.server) as client:
        await client.send(request(here.server, Sec_WebSocket_Extensions="permessage-deflate; ="))
        assert (await client.answer()).status == 400
