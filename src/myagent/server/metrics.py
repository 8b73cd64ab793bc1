"""What a server counts of itself: the event log, measured as it is used, and the numbers for Prometheus.

Everything that happens goes through the log, so counting there counts it once and asks nothing of the other rooms.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from myagent.eventlog import EventLog, LogRefused, Opened, PromptKey, Stored, Unit
from myagent.server.loop_time import LoopTime
from myagent.server.workspace import Workspace

if TYPE_CHECKING:
    from prometheus_client.core import Metric


METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
WAIT_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)

_TYPE = re.compile(rb'\{"type":"([a-z_]{1,32})"')  # an event's type is its first member


class Histogram:
    """How many observations were at most so large."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus has them."""
        total, rows = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows


class _Question(msgspec.Struct, rename="camel"):
    """What is read of the events around a permission request, and of a turn's end."""

    permission_request_id: str = ""
    outcome: str = ""
    stop_reason: str = ""


class MeasuredLog:
    """An event log that counts what is stored in another one, and how long that takes."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.events: Counter[str] = Counter()  # by type
        self.bytes = 0
        self.turns: Counter[str] = Counter()  # that ended, by stop reason
        self.decided: Counter[str] = Counter()  # permission requests that were closed, by outcome
        self.refused = 0  # units that could not be stored
        self.commit_seconds = Histogram(COMMIT_SECONDS)
        self.permission_seconds = Histogram(WAIT_SECONDS)
        self.loop = LoopTime()
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}  # of others: name → its text, its value
        self._asked: dict[str, float] = {}  # open permission requests → since when
        self._decoder = msgspec.json.Decoder(_Question)

    def write(self, unit: Unit) -> None:
        if not unit.events and unit.on_refuse is None:  # a record of the audit
            self._log.write(unit)
            return
        given = time.monotonic()

        def committed(stored: list[Stored]) -> None:
            now = time.monotonic()
            self.commit_seconds.observe(now - given)
            for event in stored:
                self._count(event, now)
            unit.on_commit(stored)

        def refused(error: LogRefused) -> None:
            self.refused += 1
            assert unit.on_refuse is not None
            unit.on_refuse(error)

        self._log.write(replace(unit, on_commit=committed, on_refuse=None if unit.on_refuse is None else refused))

    async def exposition(self, host: Workspace) -> bytes:
        """Everything in Prometheus' text format."""
        await asyncio.to_thread(importlib.import_module, "prometheus_client")  # takes a while, the first time
        from prometheus_client import generate_latest
        from prometheus_client.registry import CollectorRegistry

        registry = CollectorRegistry()
        registry.register(_Collected(self._metrics(host)))
        return generate_latest(registry)

    def _count(self, event: Stored, now: float) -> None:
        matched = _TYPE.match(event.body)
        kind = matched[1].decode() if matched else "other"
        self.events[kind] += 1
        self.bytes += len(event.body) + len(event.update or b"")
        match kind:
            case "terminal_state":
                self.turns[self._decoder.decode(event.body).stop_reason] += 1
            case "permission_request":
                self._asked[self._decoder.decode(event.body).permission_request_id] = now
            case "permission_resolved":
                question = self._decoder.decode(event.body)
                self.decided[question.outcome] += 1
                asked = self._asked.pop(question.permission_request_id, None)
                if asked is not None:  # else by an earlier server
                    self.permission_seconds.observe(now - asked)

    def _metrics(self, host: Workspace) -> list[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        def counter(name: str, text: str, label: str, counts: Counter[str]) -> Metric:
            family = CounterMetricFamily(f"myagent_{name}", text, labels=[label])
            for key, value in sorted(counts.items()):
                family.add_metric([key], value)
            return family

        def histogram(name: str, text: str, of: Histogram) -> Metric:
            return HistogramMetricFamily(f"myagent_{name}", text, buckets=of.buckets(), sum_value=of.sum)

        peers = list(host.peers.values())
        roles = Counter({"owner": 0, "follower": 0})
        roles.update(host.ownership.role(peer.connection_id) for peer in peers)
        connections = GaugeMetricFamily("myagent_connections", "Open WebSockets.", labels=["role"])
        for role, count in roles.items():
            connections.add_metric([role], count)
        running = sum(session.state == "running" for session in host.sessions.values())
        queued = sum(len(session.queue) for session in host.sessions.values())
        waiting = sum(len(session.open) for session in host.sessions.values())
        lags = [peer.cursor.behind for peer in peers]
        return [
            connections,
            GaugeMetricFamily("myagent_sessions", "Sessions that there are.", len(host.sessions)),
            GaugeMetricFamily("myagent_turns_running", "Turns that run now.", running),
            GaugeMetricFamily("myagent_turns_queued", "Prompts that wait for a turn.", queued),
            GaugeMetricFamily("myagent_permissions_waiting", "Permission requests without an answer.", waiting),
            GaugeMetricFamily(
                "myagent_lag_events",
                "Events that the connection furthest behind has to be given.",
                max(lags, default=0),
            ),
            GaugeMetricFamily(
                "myagent_connections_behind", "Connections that have not been given every event.", sum(map(bool, lags))
            ),
            counter("events", "Events stored.", "type", self.events),
            CounterMetricFamily("myagent_event_bytes", "Bytes of events stored, with their updates.", self.bytes),
            CounterMetricFamily("myagent_refused_writes", "Writes that the event log refused.", self.refused),
            GaugeMetricFamily(
                "myagent_loop_longest_turn_seconds",
                "The longest turn of the event loop since the start.",
                self.loop.longest,
            ),
            counter("turns", "Turns that ended.", "stop_reason", self.turns),
            counter("permissions", "Permission requests that were closed.", "outcome", self.decided),
            histogram("commit_seconds", "From giving an event to the log until it is durable.", self.commit_seconds),
            *(GaugeMetricFamily(f"myagent_{name}", text, read()) for name, (text, read) in self.gauges.items()),
            histogram("permission_wait_seconds", "From a request to its answer.", self.permission_seconds),
        ]

    # --- what is passed on as it is -------------------------------------------------------------------------------

    @property
    def refusing(self) -> LogRefused | None:
        return self._log.refusing

    async def open(self) -> Opened:
        return await self._log.open()

    async def room(self) -> None:
        await self._log.room()

    async def flush(self) -> None:
        await self._log.flush()

    async def read(self, after_pos: int, *, max_bytes: int) -> list[Stored]:
        return await self._log.read(after_pos, max_bytes=max_bytes)

    async def read_session(
        self, session_id: str, after_seq: int, *, until_seq: int | None = None, max_bytes: int
    ) -> list[Stored]:
        return await self._log.read_session(session_id, after_seq, until_seq=until_seq, max_bytes=max_bytes)

    async def read_back(self, session_id: str, before_seq: int, *, limit: int, max_bytes: int) -> list[Stored]:
        return await self._log.read_back(session_id, before_seq, limit=limit, max_bytes=max_bytes)

    async def find_prompt(self, client_id: str, session_id: str) -> PromptKey | None:
        return await self._log.find_prompt(client_id, session_id)

    async def find_opening(self, client_id: str, digest: bytes) -> PromptKey | None:
        return await self._log.find_opening(client_id, digest)

    async def read_audit(self, after: int, *, max_bytes: int) -> list[tuple[int, bytes]]:
        return await self._log.read_audit(after, max_bytes=max_bytes)

    async def reserve_epochs(self, count: int) -> int:
        return await self._log.reserve_epochs(count)

    async def retain(self, keep: int) -> None:
        await self._log.retain(keep)

    async def close(self) -> None:
        await self._log.close()


class _Collected:
    """Metrics that were read already, in the form that a registry takes."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
