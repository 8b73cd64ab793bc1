"""Counts wrong credentials by address, to slow down who guesses. A right one is never asked about here."""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable
from math import ceil
from time import monotonic

WINDOW = 60.0  # seconds
ADDRESSES = 4096  # remembered; the one that failed longest ago is forgotten first


class Failures:
    """The latest wrong credentials of each address; of IPv6, of each /64, which is what one customer has."""

    def __init__(
        self, limit: int, clock: Callable[[], float] = monotonic, told: Callable[[str], None] = lambda _: None
    ) -> None:
        self._limit = limit  # wrong credentials of one address in `WINDOW`; more are too many
        self._told = told  # gets the address of each
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def add(self, address: str) -> int | None:
        """Note a wrong credential; the seconds to wait if there have been too many."""
        self._told(address)
        key = network(address)
        now = self._clock()
        times = self._times.pop(key, None) or deque(maxlen=self._limit)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        wait = ceil(times[0] + WINDOW - now) if len(times) == self._limit else None
        times.append(now)
        self._times[key] = times
        if len(self._times) > ADDRESSES:
            del self._times[next(iter(self._times))]
        return wait


def network(address: str) -> str:
    """What one customer has: an IPv4 address, or of IPv6 its /64."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
