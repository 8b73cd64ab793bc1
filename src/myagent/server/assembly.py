"""Puts a text message together from the fragments in which it comes."""

from __future__ import annotations

from websockets.frames import Frame

from myagent.exceptions import MyagentError

FRAGMENT_BYTES = 64  # that a fragment takes beside its payload


class Breach(MyagentError):
    """The other side broke a rule of the contract: the connection is closed with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason

    def __str__(self) -> str:
        return self.reason


class Assembly:
    """The message of one connection whose end has not come."""

    __slots__ = ("_most", "_parts", "size")

    def __init__(self, most: int) -> None:
        self._most = most  # fragments of one message
        self._parts: list[bytes] = []
        self.size = 0  # bytes that it takes

    def add(self, frame: Frame) -> bytes | None:
        """The whole message with its last fragment. Raises `Breach`."""
        if len(self._parts) >= self._most:
            raise Breach(1009, "too many fragments")
        self._parts.append(bytes(frame.data))
        self.size += len(frame.data) + FRAGMENT_BYTES
        if not frame.fin:
            return None
        data, self._parts, self.size = b"".join(self._parts), [], 0
        try:
            data.decode()
        except UnicodeDecodeError:
            raise Breach(1007, "not UTF-8") from None
        return data
