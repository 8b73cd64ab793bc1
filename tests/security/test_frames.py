"""Hostile frames: what breaks RFC 6455 or a limit ends that connection with its code, and no other; table W."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from puppet import Puppet
from raw import Raw, frame, request
from wire import scene

pytestmark = pytest.mark.usefixtures("quiet_log")

TEXT, CONT, BINARY, CLOSE, PING, PONG = 1, 0, 2, 8, 9, 10
DROPPED = 1006  # without a close frame


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


ROWS: dict[str, tuple[Iterable[bytes], tuple[int, ...]]] = {
    "W1-unmasked": ([frame(TEXT, b"{}", masked=False)], (1002,)),
    "W2-rsv1": ([frame(TEXT, b"{}", rsv=4)], (1002,)),
    "W2-rsv2": ([frame(TEXT, b"{}", rsv=2)], (1002,)),
    "W2-rsv3-on-ping": ([frame(PING, b"", rsv=1)], (1002,)),
    **{f"W3-opcode-{opcode:x}": ([frame(opcode)], (1002,)) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "W4-binary": ([frame(BINARY, b"\0\1")], (1003,)),
    "W4-binary-empty": ([frame(BINARY)], (1003,)),
    "W5-overlong": ([frame(TEXT, b'"\xc0\xaf"')], (1007,)),
    "W5-surrogate": ([frame(TEXT, b'"\xed\xa0\x80"')], (1007,)),
    "W5-beyond": ([frame(TEXT, b'"\xf4\x90\x80\x80"')], (1007,)),
    "W5-cut": ([frame(TEXT, b'"\xf0\x9f\x98')], (1007,)),
    "W5-in-fragments": ([frame(TEXT, b"\xff", fin=False), frame(CONT, b"")], (1007,)),
    "W7-2^63": ([frame(TEXT, length=1 << 63)], (1002, 1009)),
    "W7-2^62": ([frame(TEXT, length=1 << 62)], (1002, 1009)),
    "W7-2^31": ([frame(TEXT, length=1 << 31)], (1009,)),
    "W7-1-GiB": ([frame(TEXT, length=1 << 30)], (1009,)),
    "W8-one-too-many": ([frame(TEXT, b" " * ((1 << 20) + 1))], (1009,)),
    "W8-in-fragments": (
        [frame(TEXT, b" " * (1 << 19), fin=False), frame(CONT, b" " * (1 << 19), fin=False), frame(CONT, b"  ")],
        (1009,),
    ),
    "W9-65-fragments": ([frame(TEXT, b" ", fin=False), *[frame(CONT, b" ", fin=False)] * 64], (1009,)),
    "W9-empty-fragments": ([frame(TEXT, b"", fin=False), *[frame(CONT, b"", fin=False)] * 1000], (1009,)),
    "W10-no-start": ([frame(CONT, b"{}")], (1002,)),
    "W10-text-in-text": ([frame(TEXT, b"{", fin=False), frame(TEXT, b"}")], (1002,)),
    "W11-fragmented-ping": ([frame(PING, b"", fin=False)], (1002,)),
    "W11-long-ping": ([frame(PING, b"x" * 126)], (1002,)),
    "W11-long-close": ([frame(CLOSE, b"\x03\xe8" + b"x" * 124)], (1002,)),
    "W12-pings": ([frame(PING)] * 1000, (1008,)),
    "W12-pongs": ([frame(PONG)] * 1000, (1008,)),
    "W14-one-byte": ([frame(CLOSE, b"\x03")], (1002,)),
    **{f"W14-code-{code}": ([close(code)], (1002,)) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)},
    "W14-bad-reason": ([close(1000, b"\xff")], (1002, 1007)),
    "W15-after-close": ([close(1000), frame(TEXT, b"{"), frame(BINARY), b"\xff" * 100], (1000,)),
    "W15-after-our-close": ([frame(BINARY), frame(TEXT, b"{"), frame(BINARY)], (1003,)),
    "W18-deflated": ([frame(TEXT, b"\xaaV*)\x06\x00" * 10, rsv=4)], (1002,)),
}


@pytest.mark.parametrize("row", ROWS)
async def test_each_breach_ends_with_its_code_and_disturbs_nobody(tmp_path: Path, row: str) -> None:
    data, codes = ROWS[row]
    async with scene(tmp_path) as here:
        owner = await here.join()
        async with Raw(here.server) as hostile:
            await hostile.upgrade()
            await hostile.send(b"".join(data))
            assert await hostile.close_code() in codes
        assert (await here.turn(owner, "help"))["exitCode"] == 0
        assert not owner.of("error")


@pytest.mark.parametrize("row", ["W1-unmasked", "W4-binary", "W9-65-fragments", "W12-pings"])
async def test_an_owner_that_breaks_the_protocol_frees_the_slot(tmp_path: Path, row: str) -> None:
    async with scene(tmp_path) as here, Raw(here.server) as hostile:
        await hostile.upgrade()
        await hostile.send(b"".join(ROWS[row][0]))
        await hostile.close_code()
        assert (await here.join()).role == "owner"


async def test_what_is_unusual_but_right_is_taken(tmp_path: Path) -> None:
    """W6, W11, W13: fragments that cut a character, 64 of them, control frames between them, pongs nobody asked for."""
    text = json.dumps({"type": "ping", "id": "é😀"}, ensure_ascii=False).encode()
    cuts = [text[at : at + 1] for at in range(len(text))]
    many = [frame(TEXT, text, fin=False), *[frame(CONT, b" ", fin=False)] * 62, frame(CONT, b" ")]
    async with scene(tmp_path) as here, Raw(here.server) as client:
        await client.upgrade()
        await client.send(frame(PONG, b"unasked") + frame(TEXT, cuts[0], fin=False))
        for cut in cuts[1:-1]:
            await client.send(frame(CONT, cut, fin=False) + frame(PING, b"between"))
        await client.send(frame(CONT, cuts[-1]) + b"".join(many) + frame(TEXT, b" " * (1 << 20)))
        answers = []
        while len(answers) < 3:
            opcode, payload = await client.read_frame()
            if opcode == TEXT and (message := json.loads(payload))["type"] in ("pong", "error"):
                answers.append(message.get("id") or message["code"])
        assert answers == ["é😀", "é😀", "bad_json"]


@pytest.mark.parametrize("how", ["reset", "fin"])
async def test_a_connection_that_ends_without_a_close_frame_frees_the_slot_at_once(tmp_path: Path, how: str) -> None:
    async with scene(tmp_path) as here, Raw(here.server) as owner:
        await owner.upgrade()
        watcher = await here.join()
        assert watcher.role == "follower"
        if how == "reset":
            owner.reset()
        else:
            owner.send_eof()
        assert (await watcher.until("owner_changed", owner=None))["why"] == "lost"
        assert (await here.join()).role == "owner"


async def test_whoever_never_reads_costs_the_others_nothing_and_is_let_go(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent, heartbeat=2, stall_timeout=0.3) as here, Raw(here.server) as stuck:
        await stuck.send(request(here.server))
        assert (await stuck.answer()).status == 101
        follower = await here.join()
        assert follower.role == "follower"
        await stuck.send(frame(TEXT, b'{"type":"user_message","id":"m1","prompt":"go"}'))
        play = await agent.begun()
        for _ in range(64):  # 16 MiB: more than all buffers on the way
            await play.say("x" * (256 << 10))
        play.end()
        await follower.until("owner_changed", owner=None)
        if not follower.of("terminal_state"):
            await follower.until("terminal_state")
        assert await stuck.close_code() in (4408, DROPPED)
