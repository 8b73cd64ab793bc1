"""What is sealed for a browser is opened by the RFC's own steps, and signed so that another library believes it."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.push.fake import Browser, b64, unb64

from myagent.access.push_book import Subscription
from myagent.push import envelope
from myagent.push.endpoint import read_endpoint


def subscription(browser: Browser) -> Subscription:
    return Subscription("invite", "device", "https://push.example.org/x", b64(browser.point), b64(browser.auth))


def test_the_browser_of_these_tests_opens_the_rfcs_own_example() -> None:
    """RFC 8291, appendix A."""
    private = int.from_bytes(unb64("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), "big")
    browser = Browser(private, unb64("BTBZMqHH6r4Tts7J_aSIgg"))
    body = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert browser.opened(unb64(body)) == b"When I grow up, I want to be a watermelon"


def test_only_the_browser_opens_what_was_sealed_for_it() -> None:
    browser, other = Browser(), Browser()
    body = envelope.sealed(b'{"title":"x"}', subscription(browser))
    assert json.loads(browser.opened(body)) == {"title": "x"}
    with pytest.raises(InvalidTag):
        other.opened(body)
    changed = body[:-1] + bytes([body[-1] ^ 1])
    with pytest.raises(InvalidTag):
        browser.opened(changed)


def test_how_long_a_call_is_tells_nothing() -> None:
    browser = Browser()
    sizes = {len(envelope.sealed(b"x" * length, subscription(browser))) for length in (1, 100, 300, 512)}
    assert len(sizes) == 1
    assert len(envelope.sealed(b"x" * envelope.BODY_BYTES, subscription(browser))) <= 4096


def test_the_key_signs_for_the_origin_of_the_service_alone() -> None:
    key = envelope.new_key()
    header = envelope.signed(key, read_endpoint("https://push.example.org:8443/a/b?c"))
    scheme, _, rest = header.partition(" ")
    given = dict(part.split("=", 1) for part in rest.split(","))
    assert scheme == "vapid"
    assert given["k"] == envelope.public_key(key)
    head, claims, signature = given["t"].split(".")
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(given["k"]))
    raw = unb64(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    point.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    assert json.loads(unb64(head))["alg"] == "ES256"
    assert json.loads(unb64(claims))["aud"] == "https://push.example.org:8443"


OFF_THE_CURVE = b"\x04" + b"\x01" * 64


@pytest.mark.parametrize(
    ("point", "secret"),
    [
        (lambda right: OFF_THE_CURVE, lambda right: right),
        (lambda right: right[:-1], lambda right: right),
        (lambda right: b"", lambda right: right),
        (lambda right: right, lambda right: right[:-1]),
        (lambda right: right, lambda right: right + b"x"),
    ],
)
def test_what_no_browser_gives_is_refused(point: Callable[[bytes], bytes], secret: Callable[[bytes], bytes]) -> None:
    browser = Browser()
    envelope.check_keys(b64(browser.point), b64(browser.auth))
    with pytest.raises(envelope.BadKeys):
        envelope.check_keys(b64(point(browser.point)), b64(secret(browser.auth)))


@pytest.mark.parametrize("text", ["*", "a", base64.b64encode(b"\xff\xff\xff").decode(), "é", "A" * 88 + "==="])
def test_keys_are_base64url_and_nothing_else(text: str) -> None:
    with pytest.raises(envelope.BadKeys):
        envelope.check_keys(text, b64(b"x" * 16))


def test_without_the_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "http_ece", None)
    with pytest.raises(envelope.NoPush, match=r"http-ece and py-vapid: .*\[push\]"):
        envelope.new_key()
