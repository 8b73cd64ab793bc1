"""Opens one WebSocket to a server: credentials in headers, nothing secret in the URL, failures as one clear line."""

from __future__ import annotations

import asyncio
import ssl

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as _connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Data

from myagent import __version__
from myagent.client.address import Address
from myagent.client.errors import CannotConnect, NotMyagent, Refused
from myagent.client.trust import why_untrusted
from myagent.client.way_out import proxy_for

OPEN_TIMEOUT = 10.0  # seconds from the first packet to `role`
CLOSE_TIMEOUT = 1.0  # seconds to wait for the other side's close frame
MESSAGE_BYTES = 16 << 20  # of one message from the server; the largest that ours sends holds 50 sessions' metadata
BUFFERED_FRAMES = 64  # read ahead of a consumer that is busy; beyond that the server is held back


class _Connect(_connect):
    """Follows no redirect: the reclaim token would go with it."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_socket(
    address: Address, url: str, headers: dict[str, str], tls: ssl.SSLContext | None
) -> ClientConnection:
    """Connect; websockets' own keepalive is off, because any frame counts as life and the client sees them all.

    Raises:
        Refused: the server answered with an HTTP status.
        CannotConnect: nobody there, or no trust in who is.
    """
    here = str(address)
    try:
        return await _Connect(
            url,
            additional_headers=headers,
            user_agent_header=f"myagent/{__version__}",
            compression=None if address.loopback else "deflate",
            proxy=proxy_for(address),
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=None,
            max_size=MESSAGE_BYTES,
            max_queue=BUFFERED_FRAMES,
            ssl=(tls or True) if address.secure else None,
        )
    except InvalidStatus as refused:
        raise Refused(here, refused.response.status_code, bytes(refused.response.body or b"")) from None
    except ssl.SSLCertVerificationError as error:
        reason = await asyncio.to_thread(why_untrusted, address, error)
        raise CannotConnect(here, reason, transient=False) from None
    except ssl.SSLError as error:
        raise CannotConnect(here, f"TLS failed, is it a wss:// server? ({error.reason or error})") from None
    except TimeoutError:
        raise CannotConnect(here, f"no answer within {OPEN_TIMEOUT:.0f} s") from None
    except OSError as error:
        raise CannotConnect(here, _reason(error)) from None
    except (InvalidHandshake, EOFError) as error:
        raise CannotConnect(here, f"it does not answer as a WebSocket server does ({error})") from None


async def receive(socket: ClientConnection) -> bytes:
    """The next text frame. Raises `NotMyagent` for a binary one, `ConnectionClosed` at the end."""
    data: Data = await socket.recv()
    if isinstance(data, bytes):
        raise NotMyagent("it sent a binary frame")
    return data.encode()


async def receive_within(socket: ClientConnection, seconds: float) -> bytes | None:
    """The same, or `None` if nothing came in time or the connection ended (which the next receive tells)."""
    try:
        async with asyncio.timeout(seconds):
            return await receive(socket)
    except (TimeoutError, ConnectionClosed):
        return None


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "no server is listening there"
    return (error.strerror or str(error)).lower()
