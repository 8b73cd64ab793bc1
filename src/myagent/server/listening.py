"""Takes the address that a server listens on, and loads its certificate; says in one line why that cannot be."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Callable

from myagent.exceptions import MyagentError
from myagent.server.addresses import is_loopback
from myagent.server.tls import QUEUE
from myagent.settings import Settings

BATCH = 128  # connections accepted in one turn of the event loop; it is some turns before one of them can be let go
SEND_BUFFER = 128 * 1024  # bytes of each connection that the kernel holds; Linux doubles it for its own use


class CannotListen(MyagentError):
    """The address cannot be listened on."""

    def __init__(self, host: str, port: int, reason: str, remedy: str) -> None:
        super().__init__(host, port, reason, remedy)
        self.host, self.port, self.reason, self.remedy = host, port, reason, remedy

    def __str__(self) -> str:
        return f"cannot listen on {self.host}:{self.port}: {self.reason}; {self.remedy}"


class ExposedPlain(MyagentError):
    """Listening beyond this machine without TLS would send tokens and sessions in the clear."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"{self.host} can be reached from other machines, and without TLS everybody on the way reads the token; "
            "give --tls-cert and --tls-key, or --insecure-plain if a proxy or tunnel of yours encrypts"
        )


async def listen(settings: Settings, connect: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server:
    """Take the address; nothing is accepted until `begin`. Raises `CannotListen`."""
    try:
        server = await asyncio.get_running_loop().create_server(
            connect, settings.host, settings.port, backlog=batch(), start_serving=False
        )
    except (OSError, OverflowError) as error:
        in_use = getattr(error, "errno", None) == errno.EADDRINUSE
        reason = "the port is in use" if in_use else getattr(error, "strerror", None) or "no such address"
        remedy = "stop what listens there, or choose another --port" if in_use else "choose another --host or --port"
        raise CannotListen(settings.host, settings.port, reason, remedy) from None
    for listening in server.sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return server


def batch() -> int:
    """How many connections are accepted in one turn: few where there are few descriptors, since none can be let go
    before the turn is over; else many, since whoever waits in a kernel's queue that is full waits for seconds."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return BATCH if limit == resource.RLIM_INFINITY else max(4, min(BATCH, limit // 64))


async def begin(server: asyncio.Server) -> None:
    """Accept. asyncio takes as many in one turn as its queue is long; the kernel's queue is made longer than that."""
    await server.start_serving()
    for listening in server.sockets:
        with listening.dup() as same:
            same.listen(QUEUE)


def load_tls(settings: Settings) -> ssl.SSLContext | None:
    """The certificate's context, or `None` without one. Raises `CannotListen`, and `ExposedPlain` where a certificate
    is needed."""
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None:
        if not settings.insecure_plain and not is_loopback(settings.host):
            raise ExposedPlain(settings.host)
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        reason = f"the TLS certificate is unusable ({error.strerror or error})"
        raise CannotListen(settings.host, settings.port, reason, "check --tls-cert and --tls-key") from None
    return context
