"""Whom to trust with `wss://`: certificates of a file; and what a certificate that is not trusted says of itself."""

from __future__ import annotations

import hashlib
import ssl
from typing import Any

from myagent.client.address import Address
from myagent.client.errors import BadCa, CannotConnect
from myagent.client.way_out import reach
from myagent.core.display import escape

LOOK_TIMEOUT = 5.0  # seconds, to look at a certificate again after it was refused
NAME_CHARACTERS = 80  # of what a certificate says of itself

# OpenSSL's numbers of what another authority would not mend: expired, not yet valid, another name, another address.
_NOT_FOR_WANT_OF_TRUST = (9, 10, 62, 64)


def trusting(path: str) -> ssl.SSLContext:
    """Trust what a PEM file holds and nothing else: authorities, or a server's very certificate. Raises `BadCa`."""
    try:
        context = ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise BadCa(path, "it holds no certificate in PEM form") from None
    except OSError as error:
        raise BadCa(path, (error.strerror or str(error)).lower()) from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a certificate that is no authority's may be meant itself
    return context


def why_untrusted(address: Address, error: ssl.SSLCertVerificationError) -> str:
    """The reason for a human. Blocks: it looks at the certificate again, sending nothing."""
    advice = (
        "" if error.verify_code in _NOT_FOR_WANT_OF_TRUST else "; if it is the right one, give it, or its authority's, "
        "as a file with --ca"
    )  # fmt: skip
    seen = _look(address)
    return f"its TLS certificate is not trusted: {error.verify_message}{f' ({seen})' if seen else ''}{advice}"


def _look(address: Address) -> str:
    try:
        certificate = _shown(address, _anybody())
    except (OSError, CannotConnect):
        return ""
    facts = [f"SHA-256 {hashlib.sha256(certificate[0]).hexdigest()}"]
    trusting_it = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting_it.check_hostname = False
    trusting_it.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        trusting_it.load_verify_locations(cadata=certificate[0])
        said = _shown(address, trusting_it)[1]  # only what is trusted is taken apart
    except OSError:
        said = {}
    names = [value for _, value in said.get("subjectAltName", ())] or _common_names(said.get("subject", ()))
    if names:
        facts.insert(0, f"for {_short(', '.join(names))}")
    if issuer := _common_names(said.get("issuer", ())):
        facts.insert(1, f"issued by {_short(issuer[0])}")
    return ", ".join(facts)


def _shown(address: Address, context: ssl.SSLContext) -> tuple[bytes, dict[str, Any]]:
    with (
        reach(address, LOOK_TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=address.host) as secure,
    ):
        return secure.getpeercert(binary_form=True) or b"", dict(secure.getpeercert() or {})


def _anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _common_names(parts: Any) -> list[str]:
    return [value for part in parts for name, value in part if name in ("commonName", "organizationName")][-1:]


def _short(text: str) -> str:
    shown = escape(text).replace("\n", " ")
    return shown if len(shown) <= NAME_CHARACTERS else f"{shown[:NAME_CHARACTERS]}…"
