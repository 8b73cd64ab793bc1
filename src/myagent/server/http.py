"""The answers to plain HTTP requests: the page, sessions, pages of events, tickets, metrics, and refusals."""

from __future__ import annotations

import logging
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from websockets.datastructures import Headers
from websockets.http11 import Response

from myagent.access.credentials import Credential
from myagent.access.invites import Spent
from myagent.access.registry import Access
from myagent.access.tickets import SECONDS as TICKET_SECONDS
from myagent.access.tickets import Tickets, TicketsFull
from myagent.core.codec import encode
from myagent.core.content import FILE_TYPE
from myagent.core.pictures import picture_of
from myagent.eventlog import with_update
from myagent.eventlog.blobs import Blobs
from myagent.host.peer import clean_label
from myagent.host.searching import HITS, NoSearch, Searching
from myagent.server.admission import (
    NO_CREDENTIAL,
    NOT_STORED,
    POST_ONLY,
    READING_ROUTES,
    Call,
    Rejected,
    known_session,
    number,
)
from myagent.server.metrics import METRICS_TYPE, MeasuredLog
from myagent.server.static import PageFile, page_files
from myagent.server.workspace import Workspace
from myagent.settings import Settings

PAGE_BYTES = 1 << 20  # of events in one answer
PAGE_EVENTS = 10_000
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
BLOB_POLICY = f"{DATA_POLICY}; sandbox"

_log = logging.getLogger(__name__)


class Answering(Protocol):
    """Whoever makes the answer to a call. `Answers` is one."""

    def costs(self, call: Call) -> bool: ...

    async def answer(self, call: Call) -> Response: ...


class Answers:
    """Answers calls that admission has let through."""

    def __init__(
        self,
        host: Workspace,
        settings: Settings,
        *,
        access: Access,
        tickets: Tickets,
        measures: MeasuredLog,
        search: Searching | None = None,
        blobs: Blobs | None = None,
    ) -> None:
        self._host = host
        self._settings = settings
        self._access = access
        self._tickets = tickets
        self._measures = measures
        self._search = search
        self._blobs = blobs

    def costs(self, call: Call) -> bool:
        """Whether an answer takes time or memory to make; the others are small, or held in memory already."""
        return call.route in ("events", "blob", "metrics") or "search" in call.parameters

    async def answer(self, call: Call) -> Response:
        """The response, whatever happens."""
        try:
            response = await self._response(call)
            if call.credential is not None and not self._access.authenticator.still_good(call.credential):
                raise Rejected(401, NO_CREDENTIAL)
            if call.route in READING_ROUTES:
                self._count(call)
        except Rejected as rejected:
            response = rejection(rejected)
        except Exception:
            _log.exception("GET %s failed", call.route)
            response = rejection(Rejected(500, "internal error"))
        return response

    async def _response(self, call: Call) -> Response:
        match call.route:
            case "healthz":
                return _response(200, b"ok\n", "text/plain; charset=utf-8")
            case "sessions":
                assert call.credential is not None
                if "search" in call.parameters:
                    return await self._found(call, call.credential)
                sessions = self._host.store.listed(only=call.credential.session_id)
                listed = self._host.redactor.encoded(encode({"sessions": sessions}))
                return _response(200, listed, "application/json")
            case "events":
                return await self._events(call)
            case "blob":
                return await self._blob(call)
            case "ticket":
                return self._ticket(call)
            case "device":
                return self._device(call)
            case "metrics":
                found = call.credential
                if found is not None and (found.scope != "owner" or found.session_id is not None):
                    raise Rejected(403, "owner only")
                return _response(200, await self._measures.exposition(self._host), METRICS_TYPE)
            case _:
                return self._page(call)

    def _page(self, call: Call) -> Response:
        """A file of the page, which has relative addresses in it and so must be at a path that ends in a slash."""
        if call.path == self._settings.base_path:
            return _response(308, b"", "text/plain; charset=utf-8", Location=f"{call.path}/")
        return page_answer(page_files()[call.path], takes_gzip=call.takes_gzip)

    def _ticket(self, call: Call) -> Response:
        assert call.credential is not None
        if not self._access.authenticator.still_good(call.credential):
            raise Rejected(401, NO_CREDENTIAL)
        try:
            ticket = self._tickets.issue(call.credential)
        except TicketsFull as error:
            raise Rejected(503, str(error)) from None
        return _response(200, encode({"ticket": ticket, "expiresIn": int(TICKET_SECONDS)}), "application/json")

    def _device(self, call: Call) -> Response:
        """A device's own token, for an invite's."""
        assert call.credential is not None
        if not self._access.authenticator.still_good(call.credential):
            raise Rejected(401, NO_CREDENTIAL)
        try:
            told = self._access.exchange(call.credential, call.nonce, clean_label(call.device_name))
        except Spent:
            raise Rejected(401, NO_CREDENTIAL) from None
        except OSError:
            raise Rejected(503, NOT_STORED) from None
        return _response(200, encode(told), "application/json")

    def _count(self, call: Call) -> None:
        """Take what was read into account, before it is sent."""
        assert call.credential is not None
        try:
            self._access.reads(call.credential, call.network)
        except Spent:
            raise Rejected(401, NO_CREDENTIAL) from None
        except OSError:
            raise Rejected(503, NOT_STORED) from None
        if call.credential.scope != "owner":
            self._host.visits.read(call.credential.credential_id, call.credential.device_id, call.session_id)

    async def _found(self, call: Call, credential: Credential) -> Response:
        """The sessions in which words were said, and where; for whoever may drive here, and sees all of them."""
        if credential.scope != "owner" or credential.session_id is not None:
            raise Rejected(403, "owner only")
        limit = number(call.parameters, "limit")
        if self._search is None:
            raise Rejected(404, "this is a relay, which has no search: ask the host itself")
        try:
            found = await self._search.find(call.parameters["search"], HITS if limit is None else limit)
        except NoSearch as error:
            raise Rejected(404, str(error)) from None
        told = list(dict.fromkeys(hit.session_id for hit in found.hits))
        sessions = [each for each in self._host.store.listed() if each.session_id in told]
        sessions.sort(key=lambda each: told.index(each.session_id))
        body = encode({"sessions": sessions, "hits": found.hits, "complete": found.complete})
        return _response(200, self._host.redactor.encoded(body), "application/json")

    async def _blob(self, call: Call) -> Response:
        """A picture or file of a session. A browser that opens it shows a picture, runs nothing, and saves the rest."""
        assert call.credential is not None
        session_id = known_session(self._host.sessions, call.session_id, call.credential)
        digest = call.path.rpartition("/")[2]
        if digest == "blobs":
            held = {} if self._blobs is None else self._blobs.listed(str(session_id))
            rows = [{"digest": each, "size": size} for each, size in held.items()]
            return _response(200, encode({"blobs": rows}), "application/json")
        try:
            data = None if self._blobs is None else await self._blobs.read(str(session_id), digest)
        except OSError:
            data = None
        if data is None:
            raise Rejected(404, "no such picture or file")
        picture = picture_of(data)
        shown = "inline" if picture is not None else f'attachment; filename="{digest[:16]}"'
        content_type = FILE_TYPE if picture is None else picture.mime_type
        return _response(200, data, content_type, policy=BLOB_POLICY, Content_Disposition=shown)

    async def _events(self, call: Call) -> Response:
        """A page of events, one a line: after a `seq` from there on, before one the last of those. With
        `wants=updates`, with their structured updates."""
        assert call.credential is not None
        session_id = known_session(self._host.sessions, call.session_id, call.credential)
        assert session_id is not None
        head = self._host.fanout.window.heads.get(session_id, 0)
        limit = number(call.parameters, "limit")
        limit = PAGE_EVENTS if limit is None else min(limit, PAGE_EVENTS)
        before, after = number(call.parameters, "before"), number(call.parameters, "after")
        if before is not None and after is not None:
            raise Rejected(400, "give `after` or `before`, not both")
        log = self._host.log
        if before is not None:
            rows = await log.read_back(session_id, min(before, head + 1), limit=limit, max_bytes=PAGE_BYTES)
        else:
            first = after or 0
            until = min(head, first + limit)
            rows = []
            if first < until:
                rows = await log.read_session(session_id, first, until_seq=until, max_bytes=PAGE_BYTES)
        updates = call.parameters.get("wants") == "updates"
        lines = (with_update(row.body, row.update) if updates else row.body for row in rows)
        return _response(200, b"".join(line + b"\n" for line in lines), "application/x-ndjson")


def page_answer(file: PageFile, *, takes_gzip: bool) -> Response:
    """A file of a page."""
    own = {"Cross_Origin_Opener_Policy": "same-origin", "Vary": "Accept-Encoding"}
    if takes_gzip:
        own["Content_Encoding"] = "gzip"
    body = file.gzipped if takes_gzip else file.body
    return _response(200, body, file.content_type, policy=file.policy or DATA_POLICY, cache=file.cache, **own)


def rejection(rejected: Rejected) -> Response:
    """A refusal with the headers that belong to its status."""
    body = f"{rejected}\n".encode()
    extra = {}
    if rejected.status == 401:
        extra["WWW_Authenticate"] = 'Bearer realm="myagent-remote"'
    if rejected.status == 405:
        extra["Allow"] = "POST" if rejected.why == POST_ONLY else "GET"
    if rejected.status == 426:
        extra["Sec_WebSocket_Version"] = "13"
        extra["Upgrade"] = "websocket"
    if rejected.status in (429, 503):
        extra["Retry_After"] = str(rejected.retry_after)
    return _response(rejected.status, body, "text/plain; charset=utf-8", **extra)


def plain(status: int, text: str) -> Response:
    """One line of text."""
    return _response(status, f"{text}\n".encode(), "text/plain; charset=utf-8")


def _response(
    status: int, body: bytes, content_type: str, *, policy: str = DATA_POLICY, cache: str = "no-store", **extra: str
) -> Response:
    headers = Headers(
        [
            ("Date", formatdate(usegmt=True)),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", content_type),
            ("Cache-Control", cache),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Content-Security-Policy", policy),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            *((name.replace("_", "-"), value) for name, value in extra.items()),
        ]
    )
    return Response(status, HTTPStatus(status).phrase, headers, body)
