"""Hostile frames on real sockets: connection N of a seed sends the same bytes for ever, to a server that is the real
program, while a follower beside them watches. What must hold is in `Storm`."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.serving import Program
from tests.faults.wire import EVENTS, Gone, Wire
from tests.fuzz.mutator import Mutator
from tests.fuzz.targets import JSON_WORDS, MESSAGES

FRAMES = 20  # of one connection, where nothing ends it before: more errors than that do
LOOK = 200  # connections between two looks at the follower, who may ask five times a second, and at the memory
PATIENCE = 60.0  # seconds for an answer, on a machine that does much else
CLOSED_WITH = {1000, 1002, 1003, 1007, 1008, 1009, 4409}  # 1011 is a bug of ours
ANSWERED = {101, 400, 401, 403, 404, 414, 426, 431}
TYPES = {
    "ready", "role", "welcome", "ack", "pong", "error", "session_metadata", "connections", "owner_changed", "presence",
    "control_requested",
    "replayed", "gap", *EVENTS,
}  # fmt: skip
TEXT, CONTINUED, CLOSE, PING, PONG = 1, 0, 8, 9, 10


@dataclass
class Storm:
    """What came of it. `wrong` names every connection that got what it must not get, and what else failed."""

    connections: int = 0
    frames: int = 0
    codes: Counter[str] = field(default_factory=Counter)  # of errors, and of closes
    memory: list[int] = field(default_factory=list)  # the server's resident bytes, at each look
    watched: int = 0  # events that the follower saw
    wrong: list[str] = field(default_factory=list)

    @property
    def grown(self) -> int:
        """Bytes between the end of the first fifth, when all code and every buffer have been used once, and the end."""
        settled = self.memory[len(self.memory) // 5 :]
        return max(0, settled[-1] - settled[0]) if settled else 0


class Follower:
    """Watches beside the storm: every event of every session in its order, and every ping answered."""

    def __init__(self, wire: Wire, storm: Storm) -> None:
        self._wire, self._storm = wire, storm
        self._pongs: asyncio.Queue[str] = asyncio.Queue()
        self._last: dict[str, int] = {}

    async def watch(self) -> None:
        while True:
            message = await self._wire.receive()
            self._wire.messages.clear()
            if message["type"] == "pong":
                self._pongs.put_nowait(message["id"])
            elif message["type"] in EVENTS:
                session, seq = message["sessionId"], message["seq"]
                if seq != self._last.get(session, 0) + 1:
                    self._storm.wrong.append(f"the follower got event {seq} of {session} after {self._last[session]}")
                self._last[session] = seq
                self._storm.watched += 1
            elif message["type"] == "error":
                self._storm.wrong.append(f"the follower got {message}")

    async def is_served(self) -> None:
        sent = await self._wire.send("ping")
        assert await asyncio.wait_for(self._pongs.get(), PATIENCE) == sent


async def storm(
    directory: Path, seed: int, frames: int, *, first: int = 0, module: tuple[str, ...] = ("myagent",)
) -> Storm:
    """Send that many frames, from connection `first` on."""
    result = Storm()
    program = await Program(directory, "--permission-timeout", "1", "--owner-grace", "0", module=module).start()
    mutator = Mutator(seed, MESSAGES, JSON_WORDS)
    owner = await Wire.open(program.port, program.token)  # so that the one that watches is never the owner
    follower = Follower(await Wire.open(program.port, program.token, "?role=follower"), result)
    await owner.close()
    watching = asyncio.create_task(follower.watch())
    try:
        while result.frames < frames and len(result.wrong) < 5:
            number = first + result.connections
            await _attack(program, mutator, number, result)
            if watching.done():
                raise watching.exception() or Gone
            if result.connections % LOOK == 0:
                await follower.is_served()
                result.memory.append(_resident(program.process.pid))
        await follower.is_served()
        last = await Wire.open(program.port, program.token)
        end = await last.until("terminal_state", id=await last.send("user_message", prompt="help"))
        if (last.role, end["exitCode"]) != ("owner", 0):
            result.wrong.append(f"after it, a turn ended as {end}")
    except (Gone, TimeoutError, AssertionError) as error:
        result.wrong.append(
            f"at connection {first + result.connections} of seed {seed}, others are not served: {error!r}"
        )
    finally:
        watching.cancel()
        result.wrong += await _said(program)
    return result


async def _said(program: Program) -> list[str]:
    """What the server printed that it should not have: it knows of no error."""
    program.process.terminate()
    output, _ = await asyncio.wait_for(program.process.communicate(), PATIENCE)
    lines = output.decode().splitlines()
    return [line for line in lines if "Traceback" in line or " ERROR " in line or "Error" in line][:5]


async def _attack(program: Program, mutator: Mutator, number: int, result: Storm) -> None:
    chance = random.Random(f"{mutator.seed}:{number}")
    frames = [_frame(mutator, chance) for _ in range(FRAMES)]
    query = "?role=follower" if chance.random() < 0.8 else ""
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    request = (
        f"GET /{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {program.token}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    result.connections += 1
    result.frames += len(frames)
    reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
    said = b""
    try:
        writer.write(request)
        said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        writer.write(b"".join(frames))
        writer.write_eof()
        while data := await asyncio.wait_for(reader.read(1 << 16), PATIENCE):
            said += data
    except (ConnectionError, asyncio.IncompleteReadError):  # reset: closed with bytes that nobody read any more
        pass
    finally:
        writer.close()
    wrong = _judge(said, result.codes)
    if wrong:
        result.wrong.append(f"connection {number} of seed {mutator.seed}: {wrong}")


def _frame(mutator: Mutator, chance: random.Random) -> bytes:
    """One frame of a client; few break the protocol by themselves."""
    kind = chance.random()
    if kind < 0.9:
        payload = mutator.draw(chance)
        if chance.random() < 0.98:  # what is no UTF-8 ends the connection, and the frames behind it reach nobody
            payload = payload.decode("utf-8", "replace").encode()
        if chance.random() < 0.1:
            cut = chance.randint(0, len(payload))
            return _encoded(chance, TEXT, payload[:cut], fin=False) + _encoded(chance, CONTINUED, payload[cut:])
        return _encoded(chance, TEXT, payload)
    if kind < 0.98:
        return _encoded(chance, chance.choice((PING, PONG)), chance.randbytes(chance.randint(0, 125)))
    if kind < 0.99:
        return _encoded(chance, chance.choice((CONTINUED, 2, CLOSE, 3, 11)), chance.randbytes(chance.randint(0, 200)))
    broken = bytearray(_encoded(chance, TEXT, mutator.draw(chance)))
    broken[chance.randrange(min(14, len(broken)))] ^= 1 << chance.randrange(8)
    return bytes(broken)


def _encoded(chance: random.Random, opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    mask, size = chance.randbytes(4), len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        length = bytes([0x80 | 127]) + struct.pack("!Q", size)
    whole = int.from_bytes((mask * (size // 4 + 1))[:size], "big") ^ int.from_bytes(payload, "big")
    return bytes([fin << 7 | opcode]) + length + mask + whole.to_bytes(size, "big")


def _judge(said: bytes, codes: Counter[str]) -> str:
    """What is wrong with all that a server said on one connection, or nothing; counts what it refused."""
    head, _, rest = said.partition(b"\r\n\r\n")
    status = head[9:12]
    if not (status.isdigit() and int(status) in ANSWERED):
        return f"answered {head[:100]!r}"
    while status == b"101" and len(rest) >= 2:
        opcode, size, start = rest[0] & 15, rest[1], 2
        if size in (126, 127):
            start = 4 if size == 126 else 10
            size = int.from_bytes(rest[2:start], "big")
        payload, whole = rest[start : start + size], len(rest) >= start + size
        if not whole:
            break
        rest = rest[start + size :]
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1000
            codes[str(code)] += 1
            if code not in CLOSED_WITH:
                return f"closed with {code} {payload[2:]!r}"
        elif opcode == TEXT:
            message = json.loads(payload)
            if message["type"] not in TYPES:
                return f"sent {message}"
            if message["type"] == "error":
                codes[message["code"]] += 1
                if message["code"] == "internal":
                    return "answered `internal`"
        elif opcode not in (PING, PONG):
            return f"sent a frame of opcode {opcode}"
    return ""


def _resident(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4096
