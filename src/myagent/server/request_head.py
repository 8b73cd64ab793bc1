"""Finds the end of a request in the bytes that come, so that what is behind it can be told from it."""

from __future__ import annotations

REQUEST_BYTES = 64 * 1024  # of a whole request; as many as h11 takes
HEADER_BYTES = 256  # that a header takes beside its characters, once it was read
REQUEST_END = b"\r\n\r\n"


class RequestHead:
    """The request of one connection while it comes."""

    __slots__ = ("_tail", "lines", "size", "whole")

    def __init__(self) -> None:
        self._tail = b""  # its last bytes
        self.whole = False  # its end has come
        self.size = 0  # bytes of it that have come
        self.lines = 0

    @property
    def is_too_long(self) -> bool:
        return self.size > REQUEST_BYTES

    @property
    def weight(self) -> int:
        """Bytes that it takes in memory."""
        return self.size + HEADER_BYTES * self.lines

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """What is still of the request, and what is behind its end."""
        if self.whole:
            return b"", data
        seen = self._tail + data
        end = seen.find(REQUEST_END)
        self.size += len(data)
        self.lines += data.count(b"\n")
        if end < 0:
            self._tail = seen[1 - len(REQUEST_END) :]
            return data, b""
        length = end + len(REQUEST_END) - len(self._tail)
        self.whole, self._tail = True, b""
        return data[:length], data[length:]
