"""What a prompt carries beside its text, on the way to the server: in pieces, before the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from myagent.client.errors import ClientError, NotCarried
from myagent.core.messages import FileItem, ImageItem, Item, Limits, LinkItem, Upload
from myagent.core.pictures import picture_of

PIECE_BYTES = 512 << 10  # at most, of what is sent at a time; as base64 a third more
_AROUND = 1024  # bytes of a message beside its data


class Unreadable(ClientError):
    """A file that is to be carried cannot be read, or is no picture."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"{self.path} cannot be sent: {self.why}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture or a file with its bytes; or, a `link`, the path of something in the directory that is shared."""

    kind: Literal["image", "file", "link"]
    name: str
    data: bytes = b""

    @classmethod
    def read(cls, path: str, kind: Literal["image", "file"]) -> Attachment:
        """Raises `Unreadable`."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from None
        if not data:
            raise Unreadable(path, "it is empty")
        if kind == "image" and picture_of(data) is None:
            raise Unreadable(path, "it is no PNG, JPEG, WebP or GIF (--file sends anything)")
        return cls(kind, Path(path).name.encode("utf-8", "backslashreplace").decode(), data)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def item(self) -> Item:
        match self.kind:
            case "image":
                return ImageItem(self.digest, self.name)
            case "file":
                return FileItem(self.digest, self.name)
            case "link":
                return LinkItem(self.name)


def check(attachments: Sequence[Attachment], takes: Sequence[str], limits: Limits | None) -> None:
    """Raises `NotCarried` for what the server would refuse, as far as it has told."""
    for each in attachments:
        if each.kind != "link" and each.kind not in takes:
            raise NotCarried(each.name, f"the agent there takes no {each.kind}s")
        if limits is not None and len(each.data) > limits.item_bytes:
            raise NotCarried(each.name, f"it has {len(each.data)} bytes, and the server takes {limits.item_bytes}")


def pieces(data: bytes, limits: Limits | None, *, new_id: Iterator[str]) -> Iterator[Upload]:
    """The messages in which something is sent."""
    room = PIECE_BYTES if limits is None else min(PIECE_BYTES, (limits.message_bytes - _AROUND) // 4 * 3)
    digest = hashlib.sha256(data).hexdigest()
    for offset in range(0, len(data), room):
        part = data[offset : offset + room]
        yield Upload(id=next(new_id), digest=digest, size=len(data), offset=offset, data=part)
