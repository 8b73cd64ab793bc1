"""What can go wrong between a client and its server, each as one clear line."""

from __future__ import annotations

import re

from myagent.exceptions import MyagentError

# Close codes after which trying again makes sense (docs/protocol.md section 7); 1006 is "no close frame at all".
RETRY = frozenset({1001, 1006, 1008, 1011, 1012, 1013, 4408, 4409})
RETRY_LATER = frozenset({1008, 1013})

_MEANINGS = {
    1000: "the server ended the connection",
    1001: "the server stopped",
    1002: "the server saw a broken frame",
    1003: "the server saw a binary frame",
    1006: "the connection was lost",
    1007: "a message was not UTF-8",
    1008: "the server refuses more from here for now: too many messages or errors",
    1009: "a message was too big",
    1011: "the server failed on this connection",
    1012: "the server restarts",
    1013: "the server is overloaded",
    4401: "the credential expired or was revoked",
    4408: "this client read too slowly",
    4409: "another connection took the ownership over",
}

_REFUSALS = {
    401: "the token is wrong, expired or revoked",
    403: "the server does not accept this host name or origin",
    404: "there is no such session, or no myagent server at this address",
    503: "the server takes no more connections for now",
}

_BY_RELAY = re.compile(rb"this is a relay[ -~]{1,200}\n")


class ClientError(MyagentError):
    """Base of what a client raises; `transient`: it may be gone when tried again."""

    transient = False


class PromptTooLarge(ClientError):
    """Not sent: the server would end the connection. Both in bytes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size, self.limit = size, limit

    def __str__(self) -> str:
        return f"the prompt has {self.size} bytes, and the server takes {self.limit} at most"


class NotCarried(ClientError):
    """A prompt was not sent, since what it was to carry is nothing that the server or its agent takes."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why

    def __str__(self) -> str:
        return f"{self.name} was not sent, nor the prompt: {self.why}"


class BadUrl(ClientError):
    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def __str__(self) -> str:
        wanted = "ws://127.0.0.1:8765, or an invite's link"
        return f"{self.url!r} is no server address: {self.reason}; it looks like {wanted}"


class PlainToken(ClientError):
    """A token would have travelled readable over a network."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"will not send the token unencrypted to {self.host}: use wss://, an SSH tunnel, "
            "or --insecure-plain if everybody on the way may read it"
        )


class BadToken(ClientError):
    """Not a token at all; it is not repeated."""

    def __str__(self) -> str:
        return "that is no token: a token is printable ASCII without spaces"


class BadCa(ClientError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"cannot trust the certificates in {self.path}: {self.reason}"


class CannotConnect(ClientError):
    def __init__(self, url: str, reason: str, *, transient: bool = True) -> None:
        super().__init__(url, reason)
        self.url, self.reason, self.transient = url, reason, transient

    def __str__(self) -> str:
        return f"cannot connect to {self.url}: {self.reason}"


class Refused(ClientError):
    """The server answered the upgrade request with an HTTP status, and `body`. `by_relay`: in a relay's own words, why
    it has not what a server would have; empty if it is none."""

    def __init__(self, url: str, status: int, body: bytes = b"") -> None:
        super().__init__(url, status)
        self.url, self.status = url, status
        self.by_relay = body.decode(errors="replace").strip() if _BY_RELAY.fullmatch(body) else ""
        self.transient = status in (429, 500, 502, 503, 504)

    def __str__(self) -> str:
        why = self.by_relay or _REFUSALS.get(self.status, "unexpected answer")
        return f"{self.url} refused the connection: {why} ({self.status})"


class Disconnected(ClientError):
    """The connection ended; `code` is the close code, 1006 where there was no close frame."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason
        self.transient = code in RETRY

    def __str__(self) -> str:
        meaning = _MEANINGS.get(self.code, "the server ended the connection")
        return f"{meaning} ({self.code}{', ' + self.reason if self.reason else ''})"


class NotConnected(ClientError):
    def __str__(self) -> str:
        return "there is no connection to the server right now"


class NotMyagent(ClientError):
    """The server speaks something else than this protocol."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"the server does not speak the remote protocol, version 1: {self.what}"


class MissingEvents(ClientError):
    """Events of a session were skipped without a `gap`: a bug in the server, never to be papered over."""

    def __init__(self, session_id: str, after: int, got: int) -> None:
        super().__init__(session_id, after, got)
        self.session_id, self.after, self.got = session_id, after, got

    def __str__(self) -> str:
        return f"events of session {self.session_id} are missing: {self.got} came after {self.after}"


class LogShrunk(ClientError):
    """The server's log ends before what this client has already seen of it."""

    def __init__(self, session_id: str, seen: int, head: int) -> None:
        super().__init__(session_id, seen, head)
        self.session_id, self.seen, self.head = session_id, seen, head

    def __str__(self) -> str:
        return f"session {self.session_id} now ends at event {self.head}, but event {self.seen} was seen here"
