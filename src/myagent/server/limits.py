"""How much one client may send: messages and control frames a second, and errors that it may cause."""

from __future__ import annotations

from myagent.core.messages import Limits

CONTROL_FRAMES_PER_SECOND = 20  # pings and pongs from a client; in bursts of five times as many
FOLLOWER_BURST = 20  # messages
ERROR_WINDOW = 10.0  # seconds in which `limits.errors` errors are too many
FENCE = b"fence"  # payload of the ping after which a connection that lost ownership is closed


class Bucket:
    """A token bucket: `rate` a second, up to `burst` at once."""

    __slots__ = ("_level", "_time", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._level, self._time = burst, 0.0

    def take(self, now: float) -> bool:
        self._level = min(self.burst, self._level + (now - self._time) * self.rate)
        self._time = now
        if self._level < 1:
            return False
        self._level -= 1
        return True

    @property
    def refill(self) -> float:
        """Seconds until it is full again, counted from the last `take`. One who is told to wait waits for that: for
        less, every further try would soon be refused again."""
        return round((self.burst - self._level) / self.rate, 3)


class Allowance:
    """What one connection has left of its limits."""

    __slots__ = ("_control", "_errors", "_limits", "_messages", "fence_ends")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages = Bucket(limits.follower_messages_per_second, limits.owner_messages_per_second)
        self._control = Bucket(CONTROL_FRAMES_PER_SECOND, 5 * CONTROL_FRAMES_PER_SECOND)
        self._errors: list[float] = []  # times of the last errors
        self.fence_ends: float | None = None  # when a former owner is closed although it answers no ping

    def message(self, now: float, *, owns: bool) -> bool:
        """Whether one more message may come, of a connection that owns, follows, or has lost the slot."""
        if self.fence_ends is not None:
            return self._messages.take(now)
        limits = self._limits
        self._messages.rate = limits.owner_messages_per_second if owns else limits.follower_messages_per_second
        self._messages.burst = limits.owner_messages_per_second if owns else FOLLOWER_BURST
        return self._messages.take(now)

    @property
    def retry_after(self) -> float:
        """Seconds after which as many messages as ever may come at once."""
        return self._messages.refill

    def fence(self, unnoticed: float, ends: float) -> None:
        """What an owner sent in the `unnoticed` seconds before it lost the slot may come at once, until `ends`."""
        self.fence_ends = ends
        rate = self._limits.owner_messages_per_second
        self._messages = Bucket(rate, rate * (unnoticed + 1))

    def control_frame(self, now: float) -> bool:
        """Whether one more ping or pong may come."""
        return self._control.take(now)

    def error(self, now: float) -> bool:
        """Count an error; whether that is still allowed."""
        self._errors = [time for time in self._errors if now - time < ERROR_WINDOW]
        self._errors.append(now)
        return len(self._errors) <= self._limits.errors
