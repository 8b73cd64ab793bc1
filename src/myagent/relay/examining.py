"""Looks at the engine for `doctor --nats`: what is missing there, by name; nothing is stored, made or changed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from myagent.relay.engine import (
    LEAST_PAYLOAD,
    NATS_PORT,
    Engine,
    EngineAway,
    EngineUnusable,
    NobodyThere,
    check_installed,
)
from myagent.relay.lease import FREE, SECONDS, Held
from myagent.relay.subjects import NAMES, moved, name_of, streams

SECONDS_EACH = 5.0
LEAST_VERSION = (2, 12)  # for batches that are stored whole

Found = tuple[
    bool | None, str, str
]  # whether it is as it should be (`None`: for a human to judge), what, and how it is


async def examine(urls: list[str]) -> AsyncIterator[Found]:
    """What is found, most basic first; it ends where nothing further can be known. Raises `EngineUnusable` where the
    extra is missing."""
    check_installed()
    reached = False
    for url in urls:
        found = [each async for each in _server(url)]
        reached = reached or all(ok is not False for ok, _, _ in found)
        for each in found:
            yield each
    if not reached:
        return
    engine = Engine(urls, name="myagent doctor", once=True)
    try:
        await engine.connect()
    except EngineUnusable as error:
        yield False, "credentials", error.why
        return
    try:
        async for each in _inside(engine):
            yield each
    finally:
        await engine.close()


async def _server(url: str) -> AsyncIterator[Found]:
    """What a server says of itself to whoever connects."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    place = f"{parts.hostname}:{parts.port or NATS_PORT}"
    try:
        async with asyncio.timeout(SECONDS_EACH):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or NATS_PORT)
            try:
                line = await reader.readline()
            finally:
                writer.close()
        verb, _, told = line.partition(b" ")
        info: dict[str, Any] = msgspec.json.decode(told) if verb == b"INFO" else {}
    except TimeoutError:
        yield False, f"NATS at {place}", f"nothing answered within {SECONDS_EACH:.0f} s"
        return
    except OSError as error:
        yield False, f"NATS at {place}", f"nothing is listening there ({error.strerror or error})"
        return
    except (msgspec.DecodeError, ValueError):
        info = {}
    if not info:
        yield False, f"NATS at {place}", "what listens there is not NATS"
        return
    version = str(info.get("version", ""))
    number = tuple(int(each) for each in version.split("-")[0].split(".")[:2] if each.isdigit())
    least = ".".join(map(str, LEAST_VERSION))
    yield (
        number >= LEAST_VERSION, f"NATS at {place}",
        f"nats-server {version}" + ("" if number >= LEAST_VERSION else f": {least} or newer is needed"),
    )  # fmt: skip
    if not info.get("jetstream"):
        how = "start it with -js, or with a jetstream block in its configuration (examples/nats.conf)"
        yield False, f"JetStream at {place}", f"it is not enabled: {how}"
    else:
        yield True, f"JetStream at {place}", "enabled"
    most = int(info.get("max_payload", 0))
    yield (
        most >= LEAST_PAYLOAD, f"max_payload at {place}",
        f"{most:,} bytes" + ("" if most >= LEAST_PAYLOAD else ": set max_payload to 8MB"),
    )  # fmt: skip
    if parts.hostname not in ("127.0.0.1", "::1", "localhost") and not info.get("tls_required"):
        yield None, f"TLS at {place}", "not required: passwords and sessions travel readable"


async def _inside(engine: Engine) -> AsyncIterator[Found]:
    """What a user of it sees."""
    is_host = True
    for stream in streams(SECONDS, 1):
        try:
            found = await engine.api(f"STREAM.INFO.{stream['name']}", {})
        except NobodyThere:
            yield False, "JetStream", "it is not enabled for this user's account (`jetstream: enabled`)"
            return
        except EngineAway:
            is_host = False
            break
        if "error" in found:
            yield None, f"stream {stream['name']}", f"{found['error'].get('description')}: the first host makes it"
            continue
        for each in _stream(engine, stream, found):
            yield each
    yield None, "user", await _user(engine, is_host=is_host)
    try:
        names = await _names(engine, is_host=is_host)
    except EngineAway:
        how = "this user may read nothing of the streams ($JS.API.DIRECT.GET.>), or no host has made them yet"
        yield False, "reading", how
    else:
        yield None, "names", ", ".join(names) or "no host is publishing"
    yield (
        None, "sync_interval",
        "NATS tells nobody: what was acknowledged survives power loss only with `sync_interval: always`",
    )  # fmt: skip


def _stream(engine: Engine, wanted: dict[str, Any], found: dict[str, Any]) -> list[Found]:
    name, config, state = wanted["name"], found["config"], found["state"]
    try:
        engine.check_stream(wanted, config)
    except EngineUnusable as error:
        return [(False, f"stream {name}", error.why)]
    age, most = config.get("max_age") or 0, config.get("max_bytes") or -1
    kept = [f"{age / 1e9:,.0f} s" if age else "", f"{most:,} bytes" if most > 0 else ""]
    limits = " and ".join(each for each in kept if each) or "without limit"
    text = f"{state['messages']:,} messages, {state['bytes']:,} bytes, kept {limits}, {config['num_replicas']} replicas"
    told: list[Found] = [(True, f"stream {name}", text)]
    for replica in (found.get("cluster") or {}).get("replicas") or []:
        behind, current = replica.get("lag", 0), replica.get("current", False)
        said = "up to date" if current and not behind else f"{behind:,} messages behind"
        told.append(
            (bool(current), f"replica {replica['name']} of {name}", said if current else f"{said}, not current")
        )
    return told


async def _names(engine: Engine, *, is_host: bool) -> list[str]:
    """Who publishes now. Raises `EngineAway`."""
    if is_host:  # which needs not read them one by one
        found = await engine.api(f"STREAM.INFO.KV_{NAMES}", {"subjects_filter": f"$KV.{NAMES}.>"})
        return sorted(map(name_of, found.get("state", {}).get("subjects") or {}))
    held = await engine.fetch(f"KV_{NAMES}", f"$KV.{NAMES}.>", 0)
    return sorted(name_of(each.subject) for each in held if msgspec.json.decode(each.data, type=Held).holder != FREE)


async def _user(engine: Engine, *, is_host: bool) -> str:
    """What its permissions let it be. What is tried is stored nowhere, and heard by nobody."""
    publishes = await engine.may_publish(moved(f"doctor-{secrets.token_hex(4)}"))
    if is_host and publishes:
        return "may be a host"
    if is_host or publishes:
        return "may not be a host: it lacks a permission of examples/nats.conf" if is_host else "may publish, not read"
    return "may be a relay, and can store nothing"
