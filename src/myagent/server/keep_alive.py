"""When a connection of plain HTTP may ask again after its answer: a page costs one connection, not one a file."""

from __future__ import annotations

from websockets.http11 import Request, Response

KEPT_STATUS = (200,)  # whatever is refused ends the connection


def asks_to_stay(request: Request) -> bool:
    """Whether a client says that it will ask again. HTTP/1.1 would have everybody mean it; who does not say so may be
    reading to the end. A request with a body ends the connection, so that none of it can be taken for the next one."""
    headers = request.headers
    if "Content-Length" in headers or "Transfer-Encoding" in headers or "Upgrade" in headers:
        return False
    said = ",".join(headers.get_all("Connection")).lower()
    return [each.strip() for each in said.split(",")] == ["keep-alive"]


def stays(response: Response) -> bool:
    """Whether the connection may go on after this answer; it is told so."""
    if response.status_code not in KEPT_STATUS:
        return False
    del response.headers["Connection"]
    response.headers["Connection"] = "keep-alive"
    return True
