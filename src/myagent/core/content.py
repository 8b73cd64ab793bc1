"""What a prompt carries beside its text, by rule: what an agent takes, what is shown of it, what makes it the same."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from myagent.core.display import escape, shortened
from myagent.core.messages.content import FileItem, ImageItem, Item, LinkItem, TextItem
from myagent.core.pictures import Picture, picture_of
from myagent.core.refusals import BadMessage, NotTaken

NAME_CHARACTERS = 120  # of a file's name, as it is shown
FILE_TYPE = "application/octet-stream"  # of what is no picture and no text


def checked(content: Iterable[Item], takes: Collection[str], message_id: str | None = None) -> tuple[Item, ...]:
    """The content with names that can be shown. Raises `NotTaken` where the agent takes no such thing (`takes`: image,
    file), `BadMessage` for a path that leads elsewhere."""
    return tuple(_checked(item, takes, message_id) for item in content)


def _checked(item: Item, takes: Collection[str], message_id: str | None) -> Item:
    match item:
        case ImageItem() | FileItem():
            kind = "image" if isinstance(item, ImageItem) else "file"
            if kind not in takes:
                raise NotTaken(kind)
            return replace(item, name=shown_name(item.name), mime_type="", size=0)
        case LinkItem(path=path) if not is_inside(path):
            raise BadMessage("a path of `content` does not lead into the directory", message_id)
        case _:
            return item


def shown_name(name: str) -> str:
    """A file's name without what stands before it, every sign of it visible."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return shortened(escape(last.replace("\n", " ")), NAME_CHARACTERS)


def is_inside(path: str) -> bool:
    """Whether a path, as it is written, stays below where it begins, names nothing of ours or git's, and has nothing in
    it that is not seen."""
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts[:-1]) or parts[-1] in (".", ".."):
        return False
    if "\n" in path or escape(path) != path:
        return False
    return not {".git", ".myagent"}.intersection(part.casefold() for part in parts)


def found(item: ImageItem | FileItem, data: bytes) -> ImageItem | FileItem:
    """The item with what its bytes say of it. Raises `BadMessage` for a picture that is none, or cannot be shown."""
    if isinstance(item, FileItem):
        return replace(item, mime_type=type_of(data), size=len(data))
    picture = picture_of(data)
    if picture is None:
        raise BadMessage("a picture of `content` is no PNG, JPEG, WebP or GIF")
    if not picture.is_showable:
        raise BadMessage("a picture of `content` is too wide or too high to be shown")
    return replace(
        item, mime_type=picture.mime_type, size=len(data), width=picture.width, height=picture.height
    )  # fmt: skip


def type_of(data: bytes) -> str:
    """A picture's type, `text/plain` for UTF-8 without control characters, else `FILE_TYPE`."""
    picture = picture_of(data)
    if picture is not None:
        return picture.mime_type
    return FILE_TYPE if text_of(data) is None else "text/plain"


def text_of(data: bytes) -> str | None:
    """The bytes as text, if they are some."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def content_digest(prompt: bytes, content: Iterable[Item]) -> bytes:
    """What makes two prompts with content the same: SHA-256 of the prompt's own digest and of each item as sent."""
    whole = hashlib.sha256(prompt)
    for item in content:
        match item:
            case TextItem(text=text):
                parts = ["text", text]
            case LinkItem(path=path):
                parts = ["link", path]
            case ImageItem() | FileItem():
                parts = ["image" if isinstance(item, ImageItem) else "file", item.digest, item.name]
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            whole.update(len(data).to_bytes(8) + data)
    return whole.digest()


# --- pictures that an agent sends ---------------------------------------------------------------------------------


def sent_pictures(value: Any) -> Iterator[bytes]:
    """The pictures in a structured update, wherever they are in it, as far as they are base64."""
    for image in _images(value):
        data = _decoded(image)
        if data is not None:
            yield data


def has_pictures(value: Any) -> bool:
    return next(_images(value), None) is not None


def bare(value: Any) -> Any:
    """The same data without the bytes of its pictures."""
    if isinstance(value, list):
        return [bare(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {"type": "image"} if is_image(value) else {key: bare(each) for key, each in value.items()}


def without_pictures(value: Any, told: dict[str, Any]) -> Any:
    """The update with what is `told` of each picture in its place: by the SHA-256 of its bytes, its item, or why it
    was not kept."""
    if isinstance(value, list):
        return [without_pictures(each, told) for each in value]
    if not isinstance(value, dict):
        return value
    if not is_image(value):
        return {key: without_pictures(each, told) for key, each in value.items()}
    data = _decoded(value)
    if data is None:
        return {"type": "image", "omitted": "it is no picture that can be read"}
    return told[hashlib.sha256(data).hexdigest()]


def why_unshown(data: bytes) -> str | None:
    """Why bytes that an agent says are a picture are not kept, if so."""
    picture: Picture | None = picture_of(data)
    if picture is None:
        return "it is no PNG, JPEG, WebP or GIF"
    return None if picture.is_showable else "it is too wide or too high to be shown"


def _images(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for each in value:
            yield from _images(each)
    elif isinstance(value, dict):
        if is_image(value):
            yield value
        else:
            for each in value.values():
                yield from _images(each)


def is_image(value: Any) -> bool:
    """A content block of ACP and MCP, or of Anthropic's messages (claude's raw results)."""
    match value:
        case {"type": "image", "data": str()} | {"type": "image", "source": {"type": "base64", "data": str()}}:
            return True
    return False


def _decoded(image: dict[str, Any]) -> bytes | None:
    text = image["data"] if "data" in image else image["source"]["data"]
    try:
        return base64.b64decode(text, validate=True) or None
    except ValueError:
        return None


def kept_pictures(update: Any) -> list[ImageItem]:
    """The pictures that an update names by their digests, each once."""
    if isinstance(update, list):
        return [*dict.fromkeys(picture for each in update for picture in kept_pictures(each))]
    if not isinstance(update, dict):
        return []
    item = _kept_picture(update)
    return [item] if item is not None else kept_pictures([*update.values()])


def _kept_picture(value: dict[str, Any]) -> ImageItem | None:
    match value:
        case {"type": "image", "digest": str(digest)} if "data" not in value:
            facts = {key: value[key] for key in ("size", "width", "height") if type(value.get(key)) is int}
            return ImageItem(digest, "", str(value.get("mimeType", "")), **facts)
    return None


# --- in words -----------------------------------------------------------------------------------------------------


def item_words(item: Item) -> str:
    """What a prompt carries, in a line, for those who see text."""
    match item:
        case TextItem(text=text):
            return text
        case LinkItem(path=path):
            return f"[{path}]"
        case ImageItem():
            facts = (item.name, item.mime_type, f"{item.width}×{item.height}" if item.width else "", _bytes(item.size))
            return f"[image: {', '.join(filter(None, facts))}]"
        case FileItem():
            return f"[file: {', '.join(filter(None, (item.name, item.mime_type, _bytes(item.size))))}]"


def worded(value: Any) -> Any:
    """A structured update whose pictures, which are kept elsewhere, are text that names them."""
    if isinstance(value, list):
        return [worded(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"type": "image", "omitted": why}:
            return {"type": "text", "text": f"[image left out: {why}]"}
    if (item := _kept_picture(value)) is not None:
        return {"type": "text", "text": item_words(item)}
    return {key: worded(each) for key, each in value.items()}


def _bytes(size: int) -> str:
    return f"{size:,} bytes" if size else ""
