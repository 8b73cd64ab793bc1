"""A prompt sent again and again under the same id, over connections that are cut at random bytes: it runs once."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.proxy import Proxy, Way
from tests.faults.serving import LOCAL, InProcess, ScriptedAgent, script, stored
from tests.faults.wire import Gone, Wire

from myagent.server import Settings

REACHED = ("before send", "before ack")  # what a client may have come to when it is cut
OFTEN = 6  # cuts
OPENING = 700  # bytes in which the handshake, either way, and the beginning of `welcome` lie
ASKING: dict[Way, int] = {"up": 160, "down": 900}  # of a prompt; of its ack and what follows


@dataclass
class Resent:
    prompts: int = 0
    sends: int = 0
    cuts: Counter[str] = field(default_factory=Counter)  # by what the client had come to
    restarts: int = 0
    interrupted: int = 0
    wrong: list[str] = field(default_factory=list)  # prompts that ran another number of times than once


async def resend(directory: Path, prompts: int, seed: int, *, agent: ScriptedAgent | None = None) -> Resent:
    """Have every prompt run over a network that cuts, and some more until each kind of cut has happened often; some of
    them in a session, some open one."""
    chance, tally = random.Random(seed), Resent()
    settings = Settings(allowed_hosts=LOCAL, owner_grace=0, close_timeout=0.2)
    server = await InProcess(directory, settings, agent).start()
    session: str | None = None
    async with Proxy(server.port) as proxy:
        while tally.prompts < prompts or min(tally.cuts[each] for each in REACHED) < OFTEN:
            id = f"p{tally.prompts}"
            tally.prompts += 1
            given = session if chance.random() < 0.5 else None
            while True:
                ended = await _try(proxy, server.token, id, given, tally, chance)
                proxy.heal()
                if ended is not None:
                    session = ended
                    break
                if chance.random() < 0.02:
                    tally.restarts += 1
                    await server.stop()
                    await server.start()
                    proxy.target = server.port
        await server.stop()
    log = [json.loads(event.body) for events in (await stored(directory)).values() for event in events]
    interrupted = {event["id"] for event in log if event.get("stopReason") == "interrupted"}
    for id, count in ((f"p{number}", server.agent.ran[f"p{number}"]) for number in range(tally.prompts)):
        if count == 0 and id in interrupted:
            tally.interrupted += 1  # accepted as the server stopped: told, and not run by itself later
        elif count != 1:
            tally.wrong.append(f"{id} ran {count} times")
    return tally


async def _try(
    proxy: Proxy, token: str, id: str, session: str | None, tally: Resent, chance: random.Random
) -> str | None:
    """One connection: send the prompt, wait for its ack; the session, or `None` if it was cut before."""
    way: Way = chance.choice(("up", "down"))
    fate = chance.choice(("cut in opening", "cut in asking", "cut in asking", "leave", "none"))
    if fate == "cut in opening":
        proxy.cut_after(way, chance.randrange(1, OPENING))
    reached = "before send"
    try:
        wire = await Wire.open(proxy.port, token)
    except Gone:
        tally.cuts[reached] += 1
        return None
    try:
        proxy.heal()
        if fate == "cut in asking":
            proxy.cut_after(way, proxy.live[-1].passed[way] + chance.randrange(1, ASKING[way]))
        tally.sends += 1
        fields = {"sessionId": session} if session is not None else {}
        await wire.send("user_message", id=id, prompt=script(lines=1), **fields)
        reached = "before ack"
        if fate == "leave":  # as soon as it is sent: before it is read, or before it is stored
            raise Gone
        answer = await wire.answer(id)
        # "error": the server has not yet found that the connection before this one is gone.
        return str(answer["sessionId"]) if answer["type"] == "ack" else None
    except Gone:
        tally.cuts[reached] += 1
        return None
    finally:
        wire.abort()
        await asyncio.sleep(0)
