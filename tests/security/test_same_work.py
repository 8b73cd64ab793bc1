"""Whatever is wrong with a credential, the same is computed: how long an answer takes tells nothing about a secret."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path

import pytest

from myagent.access import credentials, invites
from myagent.access.credentials import Authenticator
from myagent.access.invites import Invites
from myagent.access.tokens import make_token

TOKEN = "o" * 43


class Store:
    """An owner token and one live invite; `expired` and `revoked` were live."""

    def __init__(self, directory: Path) -> None:
        self.now = 0.0
        self.invites = Invites(directory / "invites.json", clock=lambda: self.now)
        self.expired = self._make(lifetime=1.0)
        self.revoked_id, self.revoked = self._make_with_id(lifetime=100.0)
        self.live = self._make(lifetime=100.0)
        self.now = 2.0
        self.invites.revoke([self.revoked_id])
        self.authenticator = Authenticator(TOKEN, self.invites)

    def _make(self, *, lifetime: float) -> str:
        return self._make_with_id(lifetime=lifetime)[1]

    def _make_with_id(self, *, lifetime: float) -> tuple[str, str]:
        made, token = self.invites.create(label="", session_id=None, lifetime=lifetime, uses=None)
        return made.id, token


def other_secret(token: str) -> str:
    """The invite's id and a right checksum, around a secret that is another in its first and its last character."""
    _, _, invite_id, secret, _ = token.split("_")
    flipped = ["b" if letter == "a" else "a" for letter in (secret[0], secret[-1])]
    return make_token(invite_id, flipped[0] + secret[1:-1] + flipped[1])


WRONG: dict[str, Callable[[Store], list[bytes]]] = {
    "nothing": lambda store: [],
    "two": lambda store: [b"Bearer " + TOKEN.encode()] * 2,
    "no bearer": lambda store: [b"Basic abc"],
    "first letter": lambda store: [b"Bearer x" + b"o" * 42],
    "last letter": lambda store: [b"Bearer " + b"o" * 42 + b"x"],
    "every letter": lambda store: [b"Bearer " + b"x" * 43],
    "bytes": lambda store: [b"Bearer \xff\xfe"],
    "invite that never was": lambda store: [b"Bearer " + make_token("nobodyxx", "a2" * 16).encode()],
    "checksum": lambda store: [b"Bearer " + store.live[:-8].encode() + b"00000000"],
    "secret": lambda store: [b"Bearer " + other_secret(store.live).encode()],
    "expired": lambda store: [b"Bearer " + store.expired.encode()],
    "revoked": lambda store: [b"Bearer " + store.revoked.encode()],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_every_wrong_credential_is_digested_once_and_compared_twice_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    store = Store(tmp_path)
    compared: list[tuple[int, int]] = []

    class Counted:
        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            compared.append((len(one), len(other)))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(credentials, "hmac", Counted)
    monkeypatch.setattr(invites, "hmac", Counted)
    assert store.authenticator.check(WRONG[wrong](store)) is None
    assert compared == [(32, 32), (32, 32)]  # digests: neither length nor place of a difference shows
    right = store.authenticator.check([b"Bearer " + store.live.encode()])
    assert right is not None and right.scope == "follower"
    assert store.authenticator.check([b"Bearer " + TOKEN.encode()]) == credentials.Credential(
        credentials.OWNER, "owner"
    )
