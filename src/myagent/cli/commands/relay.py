"""`myagent remote relay`: shows what hosts publish, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from urllib.parse import urlsplit

from myagent.cli.commands.serve import log_to_stderr, raise_open_files
from myagent.cli.terminal.output import say
from myagent.exceptions import MyagentError
from myagent.redaction.redactor import Redactor
from myagent.relay.ending import end
from myagent.relay.engine import NATS_VARIABLE, nats_urls
from myagent.relay.relay import Relay
from myagent.server.server import ExposedPlain
from myagent.settings import Settings

WAIT_SECONDS = 3.0  # for the engine, before it is said that it does not answer


def run(arguments: argparse.Namespace) -> int:
    urls = nats_urls(arguments.nats)
    if not urls:
        arguments.usage_error(f"give --nats, or ${NATS_VARIABLE}")
    if bool(arguments.tls_cert) != bool(arguments.tls_key):
        arguments.usage_error("--tls-cert and --tls-key belong together")
    raise_open_files()
    log_to_stderr(Redactor(()))
    settings = Settings(
        host=arguments.host,
        port=arguments.port,
        allowed_origins=tuple(arguments.allow_origin),
        allowed_hosts=tuple(arguments.allowed_host),
        base_path=arguments.base_path,
        open_metrics=arguments.metrics_open,
        max_connections=arguments.max_connections,
        tls_cert=Path(arguments.tls_cert) if arguments.tls_cert else None,
        tls_key=Path(arguments.tls_key) if arguments.tls_key else None,
        insecure_plain=arguments.insecure_plain,
    )
    try:
        relay = Relay(urls, Path(arguments.data), settings, watch_only=arguments.watch_only)
        asyncio.run(_relay(relay, _places(urls)))
    except MyagentError as error:
        say(str(error))
        return 2 if isinstance(error, ExposedPlain) else 3
    return 0


def _places(urls: list[str]) -> str:
    """The addresses, without the passwords that they may hold."""
    return ", ".join(urlsplit(each).netloc.rpartition("@")[2] or "its address" for each in urls)


async def _relay(relay: Relay, places: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def shows(name: str) -> None:
        say(f"shows {relay.url}{relay.settings.base_path}/{name}/", error=False)

    if not await _started(relay, stop, places):
        return
    try:
        say(f"listening {relay.url}", error=False)
        for name in relay.shown:
            shows(name)
        relay.on_name = shows
        await stop.wait()
        say("stopping", error=False)
    finally:
        await relay.close()


async def _started(relay: Relay, stop: asyncio.Event, places: str) -> bool:
    """Start it, however long the engine is away; false where it is to stop before."""
    starting = asyncio.create_task(relay.start(), name="relay start")
    stopped = asyncio.create_task(stop.wait(), name="relay stop")
    try:
        await asyncio.wait({starting, stopped}, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not (starting.done() or stopped.done()):
            say(f"NATS does not answer at {places}; it is tried again until Ctrl+C")
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            return True
        return False
    finally:
        await end(starting, stopped)
