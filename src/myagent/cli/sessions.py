"""`myagent remote sessions`: lists a server's sessions over plain HTTP, so that no role is taken."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import sys
from typing import Any

from myagent.cli import target
from myagent.client.address import Address, parse
from myagent.client.errors import BadToken, BadUrl, CannotConnect, NotMyagent, Refused
from myagent.core.display import escape
from myagent.exceptions import MyagentError

TIMEOUT = 10.0  # seconds
ANSWER_BYTES = 64 << 20


def run(arguments: argparse.Namespace) -> int:
    try:
        address = parse(target.url(arguments))
        address.check_plain(allowed=arguments.insecure_plain)
        sessions = fetch(address, target.token(arguments))
    except MyagentError as error:
        print(f"[remote] {error}", file=sys.stderr)
        return 2 if isinstance(error, BadUrl) else 3
    if arguments.json:
        print(json.dumps(sessions, indent=2))
    else:
        print("\n".join(_table(sessions)))
    return 0


def fetch(address: Address, token: str) -> list[dict[str, Any]]:
    """Ask `GET /sessions`. Raises `Refused`, `CannotConnect`, `NotMyagent`."""
    if not token or any(not "!" <= character <= "~" for character in token):
        raise BadToken
    if address.secure:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            address.host, address.port, timeout=TIMEOUT, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/sessions", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise Refused(str(address), answer.status)
        sessions = json.loads(answer.read(ANSWER_BYTES))["sessions"]
        if not all(isinstance(session.get("sessionId"), str) for session in sessions):
            raise NotMyagent("its list of sessions has one without an id")
    except ConnectionRefusedError:
        raise CannotConnect(str(address), "no server is listening there") from None
    except ssl.SSLCertVerificationError as error:
        raise CannotConnect(str(address), f"its TLS certificate is not trusted: {error.verify_message}") from None
    except TimeoutError:
        raise CannotConnect(str(address), f"no answer within {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise CannotConnect(str(address), (error.strerror or str(error)).lower()) from None
    except http.client.HTTPException:
        raise CannotConnect(str(address), "it does not answer as a web server does") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotMyagent("its list of sessions is not JSON of the expected form") from None
    finally:
        connection.close()
    return list(sessions)


def _table(sessions: list[dict[str, Any]]) -> list[str]:
    if not sessions:
        return ["no sessions yet"]
    rows = [("SESSION", "STATE", "UPDATED", "EVENTS", "TITLE")]
    rows += [
        tuple(_cell(session.get(name)) for name in ("sessionId", "state", "updatedAt", "head", "title"))  # type: ignore[misc]
        for session in sessions
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]


def _cell(value: object) -> str:
    return "" if value is None else escape(str(value)).replace("\n", " ")
