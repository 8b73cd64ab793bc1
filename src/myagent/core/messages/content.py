"""What a prompt may carry beside its text: more text, pictures, files, and paths in the workspace."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]  # SHA-256, in hex
Name = Annotated[str, Meta(max_length=512)]


class _Item(Struct, frozen=True, rename="camel", tag_field="type", omit_defaults=True):
    """One piece. What a client says is its first fields; the others are the server's, found in the bytes."""


class TextItem(_Item, frozen=True, tag="text"):
    text: str


class ImageItem(_Item, frozen=True, tag="image"):
    digest: Digest
    name: Name = ""
    mime_type: str = ""
    size: int = 0  # bytes
    width: int = 0
    height: int = 0


class FileItem(_Item, frozen=True, tag="file"):
    digest: Digest
    name: Name
    mime_type: str = ""
    size: int = 0


class LinkItem(_Item, frozen=True, tag="link"):
    """A file or directory of the workspace, by its path there."""

    path: Annotated[str, Meta(min_length=1, max_length=1024)]


Item = TextItem | ImageItem | FileItem | LinkItem
Content = Annotated[tuple[Item, ...], Meta(max_length=16)]
