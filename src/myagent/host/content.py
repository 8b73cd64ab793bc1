"""What prompts carry beside their text, and pictures that agents send: checked, kept with the session, handed on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from myagent.agents import Agent, Attached
from myagent.core.content import checked, found, has_pictures, sent_pictures, why_unshown, without_pictures
from myagent.core.messages import (
    ConnectionId,
    FileItem,
    ImageItem,
    Item,
    LinkItem,
    ListFiles,
    SessionId,
    TextItem,
    Upload,
    UserMessage,
)
from myagent.core.pictures import picture_of
from myagent.core.refusals import BadMessage, NotTaken, TooLarge, UnknownBlob
from myagent.eventlog import LogFailed
from myagent.eventlog.blobs import Blobs, BlobsFull
from myagent.host.files import Files
from myagent.host.peer import Peer
from myagent.host.session_store import SessionStore
from myagent.host.uploads import Uploads, unstorable
from myagent.redaction.redactor import Redactor
from myagent.settings import Settings


class Content:
    """Of the sessions of one workspace."""

    def __init__(
        self,
        blobs: Blobs | None,
        agent: Agent,
        store: SessionStore,
        workspace: Path,
        redactor: Redactor,
        settings: Settings,
    ) -> None:
        self._agent, self._store, self._workspace, self._redactor = agent, store, workspace, redactor
        self._item_bytes = settings.limits.item_bytes
        self._blobs = blobs
        self._files = Files(workspace, redactor)
        self._uploads = None if blobs is None else Uploads(blobs, store, item_bytes=self._item_bytes)
        if blobs is not None:
            blobs.open(store.sessions)
            store.erases.append(self.forget_gone)

    async def close(self) -> None:
        if self._blobs is not None:
            await self._blobs.close()

    def left(self, connection_id: ConnectionId) -> None:
        """A connection is gone."""
        if self._uploads is not None:
            self._uploads.left(connection_id)

    @property
    def takes(self) -> tuple[str, ...]:
        """What a prompt may carry beside text and paths."""
        return self._agent.info.takes if self._blobs is not None else ()

    def receive(self, peer: Peer, message: Upload | ListFiles) -> None:
        """Raises `Refused`."""
        if isinstance(message, ListFiles):
            self._store.spawn(self._files.receive(peer, message), "list files")
            return
        if self._uploads is None or not self.takes:
            raise NotTaken("file")
        self._uploads.receive(peer, message)

    def _covered(self, item: Item, message_id: str) -> Item:
        match item:
            case TextItem():
                return replace(item, text=self._redactor.text(item.text))
            case ImageItem() | FileItem():
                return replace(item, name=self._redactor.text(item.name))
            case LinkItem() if self._redactor.text(item.path) != item.path:
                raise BadMessage("a path of `content` holds a secret", message_id)
            case LinkItem() if not self._is_here(item.path):
                raise BadMessage("a path of `content` names nothing in the directory", message_id)
            case _:
                return item

    def _is_here(self, path: str) -> bool:
        """Whether there is such a file or directory, also where links lead."""
        real = os.path.realpath(self._workspace / path)
        root = os.path.realpath(self._workspace)
        return os.path.exists(real) and (real == root or real.startswith(root.rstrip("/") + "/"))

    @asynccontextmanager
    async def carried(self, peer: Peer, session_id: SessionId, message: UserMessage) -> AsyncIterator[tuple[Item, ...]]:
        """The content of a prompt as it is stored, while that is being done: what it names is kept in its session, and
        let go again where the prompt is refused. Raises `Refused`."""
        kept: list[str] = []
        try:
            yield tuple([await self._item(peer, session_id, item, kept) for item in self._checked(message)])
        except BaseException:
            if self._blobs is not None:
                await self._blobs.discard(session_id, kept)
            raise
        if self._blobs is not None:
            self._blobs.used(peer.credential_id, kept)

    def _checked(self, message: UserMessage) -> list[Item]:
        return [self._covered(item, message.id) for item in checked(message.content, self.takes, message.id)]

    async def _item(self, peer: Peer, session_id: SessionId, item: Item, kept: list[str]) -> Item:
        if self._blobs is None or not isinstance(item, ImageItem | FileItem):
            return item
        try:
            data = await self._blobs.find(peer.credential_id, session_id, item.digest)
            if data is None:
                raise UnknownBlob
            item = found(item, data)
            kept.append(await self._blobs.keep(session_id, data))
        except BlobsFull as error:
            raise TooLarge("what the session holds", error.limit) from None
        except OSError as error:
            raise unstorable(error) from None
        return item

    def attached(self, session_id: SessionId, content: tuple[Item, ...]) -> tuple[Attached, ...]:
        """What a turn gives to its agent."""
        return tuple(self._attached(session_id, item) for item in content)

    def _attached(self, session_id: SessionId, item: Item) -> Attached:
        match item:
            case TextItem(text=text):
                return Attached("text", text=text)
            case LinkItem(path=path):
                return Attached("link", name=path, path=self._workspace / path)
            case ImageItem() | FileItem():
                kind: Literal["image", "file"] = "image" if isinstance(item, ImageItem) else "file"
                where = self._blobs.path(session_id, item.digest) if self._blobs is not None else None
                return Attached(kind, name=item.name, mime_type=item.mime_type, path=where, size=item.size)

    async def without_pictures(self, session_id: SessionId, update: dict[str, Any]) -> dict[str, Any]:
        """A structured update with its pictures kept beside the log, and named in it by their digests."""
        if self._blobs is None or not has_pictures(update):
            return update
        told: dict[str, Any] = {}
        for data in sent_pictures(update):
            digest = hashlib.sha256(data).hexdigest()
            if digest not in told:
                told[digest] = await self._kept(session_id, digest, data)
        return dict(without_pictures(update, told))

    async def _kept(self, session_id: SessionId, digest: str, data: bytes) -> dict[str, Any]:
        why = why_unshown(data)
        if why is None and len(data) > self._item_bytes:
            why = f"it is larger than {self._item_bytes} bytes"
        if why is None:
            try:
                assert self._blobs is not None
                await self._blobs.keep(session_id, data)
            except BlobsFull as error:
                why = str(error)
            except OSError as error:
                why = str(unstorable(error))
        if why is not None:
            return {"type": "image", "size": len(data), "omitted": why}
        picture = picture_of(data)
        assert picture is not None
        facts = {"size": len(data), "width": picture.width, "height": picture.height}
        return {"type": "image", "mimeType": picture.mime_type, "digest": digest, **facts}

    async def forget_gone(self) -> None:
        """Remove what belongs to sessions that were deleted. Raises `LogRefused`."""
        assert self._blobs is not None
        for session_id in self._blobs.sessions():
            if session_id not in self._store.sessions:
                try:
                    await self._blobs.forget(session_id)
                except OSError as error:
                    raise LogFailed(str(error.strerror)) from None
