"""An owner in a process of its own, to be frozen: sends a prompt for every line of its input, says what comes back."""

from __future__ import annotations

import asyncio
import sys

from tests.faults.serving import script
from tests.faults.wire import Gone, Wire


async def main(port: int, token: str) -> None:
    wire = await Wire.open(port, token)
    await wire.hello()
    print(wire.role, flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().strip():
        try:
            answer = await wire.answer(await wire.send("user_message", id=line, prompt=script(lines=1)))
            print(answer.get("code", answer["type"]), flush=True)
        except Gone as gone:
            print(f"gone {gone.code}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
