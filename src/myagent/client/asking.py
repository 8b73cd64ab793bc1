"""Asks a server over plain HTTP: its sessions, and pages of a session's events. Nothing here takes a role."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from myagent.access.tokens import read_id
from myagent.client.address import Address
from myagent.client.errors import BadToken, CannotConnect, NotMyagent, Refused
from myagent.client.trust import why_untrusted
from myagent.client.way_out import reach
from myagent.core.messages import Metadata

TIMEOUT = 10.0  # seconds
ANSWER_BYTES = 64 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
PAGE_EVENTS = 2000  # to ask for at a time; the server gives fewer where they are large


def get(address: Address, token: str, path: str, *, timeout: float = TIMEOUT, **headers: str) -> bytes:
    """The body of an answer; in names of headers an underscore is a dash. Blocks.

    Raises `BadToken`, `Refused`, `CannotConnect`.
    """
    if not token or any(not "!" <= character <= "~" for character in token):
        raise BadToken
    shown = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    try:
        connection.sock = reach(address, timeout)
        if address.secure:
            trust = address.tls or ssl.create_default_context()
            connection.sock = trust.wrap_socket(connection.sock, server_hostname=address.host)
        connection.request("GET", address.path + path, headers=shown)
        with connection.getresponse() as answer:
            body = answer.read(ANSWER_BYTES)
        if answer.status != 200:
            raise Refused(str(address), answer.status, body)
        return body
    except ConnectionRefusedError:
        raise CannotConnect(str(address), "no server is listening there") from None
    except ssl.SSLCertVerificationError as error:
        raise CannotConnect(str(address), why_untrusted(address, error)) from None
    except TimeoutError:
        raise CannotConnect(str(address), f"no answer within {timeout:.0f} s") from None
    except OSError as error:
        raise CannotConnect(str(address), (error.strerror or str(error)).lower()) from None
    except http.client.HTTPException:
        raise CannotConnect(str(address), "it does not answer as a web server does") from None
    finally:
        connection.close()


def exchange(address: Address, token: str, nonce: str, *, timeout: float = TIMEOUT) -> str | None:
    """A device's own token, for an invite's; the same `nonce`, 22 to 128 characters that nobody can guess, gives the
    same. `None` where the invite's stays: the server keeps no more devices, or is an older one. Raises as `get`, and
    `NotMyagent`."""
    try:
        told = json.loads(get(address, token, "/device", timeout=timeout, X_Myagent_Device=nonce))["token"]
    except Refused as refused:
        if refused.status == 404:
            return None
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotMyagent("its answer to an invite is not JSON of the expected form") from None
    if told is not None and not (isinstance(told, str) and read_id(told, "dev")):
        raise NotMyagent("its answer to an invite has no token of a device")
    return told


def list_sessions(address: Address, token: str, *, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
    """`GET /sessions`, as the server tells it. Raises as `get`, and `NotMyagent`."""
    try:
        sessions = json.loads(get(address, token, "/sessions", timeout=timeout))["sessions"]
        if not all(isinstance(session.get("sessionId"), str) for session in sessions):
            raise NotMyagent("its list of sessions has one without an id")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotMyagent("its list of sessions is not JSON of the expected form") from None
    return list(sessions)


def search(address: Address, token: str, words: str, *, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Where words were said, as the server tells it: `sessions`, `hits`, `complete`. Raises as `list_sessions`;
    `Refused` with 403 to whoever may not, with 404 where there is no search."""
    try:
        found = json.loads(get(address, token, f"/sessions?search={quote(words)}", timeout=timeout))
        if not (isinstance(found["hits"], list) and all(isinstance(hit["sessionId"], str) for hit in found["hits"])):
            raise NotMyagent("what it found is not of the expected form")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotMyagent("it does not search: an older server") from None
    return dict(found)


def session(address: Address, token: str, session_id: str) -> Metadata:
    """One session's metadata. Raises as `list_sessions`; `Refused` with 404 if there is no such session."""
    for raw in list_sessions(address, token):
        if raw["sessionId"] == session_id:
            try:
                return msgspec.convert(raw, Metadata)
            except msgspec.ValidationError:
                raise NotMyagent("a session is not of the expected form") from None
    raise Refused(str(address), 404)


def page(
    address: Address,
    token: str,
    session_id: str,
    *,
    after: int | None = None,
    before: int | None = None,
    limit: int = PAGE_EVENTS,
    updates: bool = False,
) -> list[bytes]:
    """Events as the server stores them, rising: the first after a `seq`, or the last before one; with their structured
    updates if asked."""
    place = f"after={after or 0}" if before is None else f"before={before}"
    wants = "&wants=updates" if updates else ""
    return get(address, token, f"/sessions/{session_id}/events?{place}&limit={limit}{wants}").splitlines()


def blobs(address: Address, token: str, session_id: str) -> list[str]:
    """The digests of the pictures and files of a session; none of an older server. Raises as `list_sessions`."""
    try:
        told = json.loads(get(address, token, f"/sessions/{quote(session_id)}/blobs"))
        return [digest for row in told["blobs"] if _DIGEST.fullmatch(digest := row["digest"])]
    except Refused as refused:
        if refused.status == 404:
            return []
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotMyagent("its list of pictures and files is not JSON of the expected form") from None


def blob(address: Address, token: str, session_id: str, digest: str) -> bytes | None:
    """A picture or file of a session; `None` where it is not, or not what its digest says. Raises as `get`."""
    try:
        data = get(address, token, f"/sessions/{quote(session_id)}/blobs/{quote(digest)}")
    except Refused as refused:
        if refused.status == 404:
            return None
        raise
    return data if hashlib.sha256(data).hexdigest() == digest else None


def all_events(address: Address, token: str, metadata: Metadata, *, updates: bool = False) -> Iterator[bytes]:
    """Every event up to the head that `metadata` tells, page by page."""
    after = 0
    while after < metadata.head:
        limit = min(PAGE_EVENTS, metadata.head - after)
        lines = page(address, token, metadata.session_id, after=after, limit=limit, updates=updates)
        if not lines:
            return
        yield from lines
        after = seq_of(lines[-1])


def seq_of(line: bytes) -> int:
    """Raises `NotMyagent`."""
    try:
        return msgspec.json.decode(line, type=_Numbered).seq
    except (msgspec.DecodeError, RecursionError):
        raise NotMyagent("an event has no number") from None


class _Numbered(msgspec.Struct):
    seq: int
