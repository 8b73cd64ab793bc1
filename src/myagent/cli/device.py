"""Exchanges an invite's token for this user's own, so that all commands here are one device of the invite."""

from __future__ import annotations

import secrets

from myagent.access.seal import Seal
from myagent.access.tokens import read_id
from myagent.client.address import Address
from myagent.client.asking import TIMEOUT, exchange


def own_token(address: Address, token: str, *, timeout: float = TIMEOUT) -> str:
    """What to show in place of a token: of an invite's, what this user has here or gets now; any other as it is.

    Nothing is kept: a user who has a key here chooses the same nonce for the same invite each time, and so is told the
    same token. Raises as `exchange` does.
    """
    if read_id(token) is None:
        return token
    nonce = Seal.of_this_user().mark("device", token.encode()) or secrets.token_hex(32)
    own = exchange(address, token, nonce, timeout=timeout)
    return token if own is None else own
