"""A server of its own process, to be flooded: `python -m tests.faults.flooded WORKSPACE [NAME=VALUE…]`.

Prints one JSON object: port, token, an invite's token, and a session with about 2 MiB of events. `NAME=VALUE` puts
another number in place of a bound, as `server.places.WORK=1000`: that is how a bound is taken away. It ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from pathlib import Path

from tests.faults.serving import InProcess, script
from tests.faults.wire import Wire

from myagent.server import Settings


async def main(workspace: Path) -> None:
    async with InProcess(workspace, Settings(max_connections=1024)) as serving:
        owner = await Wire.open(serving.port, serving.token)
        await owner.send("user_message", prompt=script(lines=2048, size=1000))
        while (message := await owner.receive())["type"] != "terminal_state":
            pass
        owner.abort()
        invite = serving.server.invite()
        told = {"port": serving.port, "token": serving.token, "invite": invite.token, "session": message["sessionId"]}
        print(json.dumps(told), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    for each in sys.argv[2:]:
        name, value = each.split("=")
        module = importlib.import_module(f"myagent.{name.rpartition('.')[0]}")
        assert hasattr(module, name.rpartition(".")[2]), name
        setattr(module, name.rpartition(".")[2], float(value) if "." in value else int(value))
    asyncio.run(main(Path(sys.argv[1])))
