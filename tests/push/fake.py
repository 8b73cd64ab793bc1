"""A push service on loopback, and a browser that subscribed there: it opens what it is sent by RFC 8291 alone.

Nothing here is of the libraries that seal: the service speaks plain HTTP over TLS, the browser has the RFC's steps.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from myagent.push.door import Door

PATIENCE = 30.0


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Browser:
    """Has the keys of one subscription."""

    def __init__(self, private: int | None = None, auth: bytes | None = None) -> None:
        curve = ec.SECP256R1()
        self._key = ec.generate_private_key(curve) if private is None else ec.derive_private_key(private, curve)
        self.auth = auth or os.urandom(16)

    @property
    def point(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def subscription(self, endpoint: str) -> dict[str, str]:
        return {"endpoint": endpoint, "p256dh": b64(self.point), "auth": b64(self.auth)}

    def opened(self, body: bytes) -> bytes:
        """RFC 8291, section 3.4, and RFC 8188, section 2: one record."""
        salt, size, length = body[:16], struct.unpack("!L", body[16:20])[0], body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert len(record) <= size
        shared = self._key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        first = _hmac(_hmac(self.auth, shared), b"WebPush: info\0" + self.point + sender + b"\1")
        second = _hmac(salt, first)
        key = _hmac(second, b"Content-Encoding: aes128gcm\0\1")[:16]
        nonce = _hmac(second, b"Content-Encoding: nonce\0\1")[:12]
        padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert padded.endswith(b"\2")
        return padded[:-1]


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


@dataclass
class Received:
    """One request that the service got."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass
class Service:
    """Answers every POST with `status`, and keeps what came; a redirect leads to `location`."""

    port: int
    authority: trustme.CA
    status: int = 201
    location: str = ""
    came: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)
    connections: int = 0
    raw: bytes | None = None  # said in place of an answer
    hanging: int = 0  # calls to `/push/hangs…`, which are never answered

    def endpoint(self, name: str) -> str:
        return f"https://localhost:{self.port}/push/{name}"

    def door(self, **judged: Any) -> Door:
        """A way out that trusts this service, and may go to this machine unless told otherwise."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return Door(**{"may_reach": lambda address: True, "context": context, **judged})

    async def next(self) -> Received:
        return await asyncio.wait_for(self.came.get(), PATIENCE)

    async def call(self, browser: Browser) -> dict[str, Any]:
        """The next call, as a browser opens it."""
        call: dict[str, Any] = json.loads(browser.opened((await self.next()).body))
        return call


@asynccontextmanager
async def push_service() -> AsyncIterator[Service]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    service = Service(0, authority)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        service.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            if first.split()[1].startswith("/push/hangs"):
                service.hanging += 1
                await reader.read()  # until the caller goes
                return
            service.came.put_nowait(Received(first.split()[1], headers, body))
            where = f"Location: {service.location}\r\n" if service.location else ""
            answer = f"HTTP/1.1 {service.status} Whatever\r\n{where}Content-Length: 0\r\n\r\n"
            writer.write(answer.encode() if service.raw is None else service.raw)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=context, family=2)  # AF_INET: one port
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
