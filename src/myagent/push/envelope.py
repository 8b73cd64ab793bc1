"""How a call is sealed for one browser (RFC 8291), and signed as this server's (VAPID, RFC 8292)."""

from __future__ import annotations

import base64
import binascii
import time
from typing import Any

from myagent.access.push_book import Subscription
from myagent.exceptions import MyagentError
from myagent.extras import install
from myagent.push.endpoint import Endpoint

PADDED_TO = 512  # bytes: how long a call is tells nothing of what it says
BODY_BYTES = 3000  # of a call; RFC 8030 has every push service take 4096 bytes sealed
TOKEN_SECONDS = 12 * 3600  # for which a VAPID token is good; RFC 8292 allows 24 hours
CONTACT = "mailto:operator@myagent.invalid"  # RFC 8292 wants one; nobody reads it


class NoPush(MyagentError):
    def __str__(self) -> str:
        return f"calling devices needs the packages http-ece and py-vapid: {install('push')}"


class BadKeys(MyagentError):
    def __str__(self) -> str:
        return "these are no keys of a push subscription"


def new_key() -> str:
    """A private key of P-256: its 32 bytes, base64url. Raises `NoPush`."""
    vapid = _libraries()[1].Vapid02()
    vapid.generate_keys()
    return encoded(vapid.private_key.private_numbers().private_value.to_bytes(32, "big"))


def public_key(key: str) -> str:
    """As a browser needs it to subscribe. Raises `NoPush`."""
    return encoded(_point(_libraries()[1].Vapid02.from_raw(key.encode()).public_key))


def check_keys(p256dh: str, auth: str) -> None:
    """Raises `BadKeys` for what no browser would give, and `NoPush`."""
    point, secret = decoded(p256dh), decoded(auth)
    if len(point) != 65 or len(secret) != 16:
        raise BadKeys
    try:
        _libraries()[1].Vapid02.from_raw_public(p256dh.encode())
    except ValueError:  # it is not on the curve
        raise BadKeys from None


def sealed(call: bytes, subscription: Subscription) -> bytes:
    """The body of a request to the push service: only the browser can read it."""
    if len(call) > BODY_BYTES:
        raise ValueError("too long a call")
    ece, vapid = _libraries()
    once = vapid.Vapid02()
    once.generate_keys()
    padded = call.ljust(-(-len(call) // PADDED_TO) * PADDED_TO)  # JSON takes blanks at its end
    body: bytes = ece.encrypt(
        padded, private_key=once.private_key, dh=decoded(subscription.p256dh), auth_secret=decoded(subscription.auth),
        version="aes128gcm",
    )  # fmt: skip
    return body


def signed(key: str, endpoint: Endpoint) -> str:
    """The `Authorization` header."""
    claims = {"aud": endpoint.origin, "sub": CONTACT, "exp": int(time.time()) + TOKEN_SECONDS}
    header: str = _libraries()[1].Vapid02.from_raw(key.encode()).sign(claims)["Authorization"]
    return header


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Raises `BadKeys`."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadKeys from None


def _point(key: Any) -> bytes:
    numbers = key.public_numbers()
    point: bytes = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    return point


def _libraries() -> tuple[Any, Any]:
    """`http_ece` and `py_vapid`. Raises `NoPush`."""
    try:
        import http_ece  # type: ignore[import-untyped]
        import py_vapid  # type: ignore[import-untyped]
    except ImportError:
        raise NoPush from None
    return http_ece, py_vapid
