"""The content of a `session/prompt` as the text of one prompt of ours."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote, urlsplit

from myagent.core.pictures import picture_of
from myagent.editors.rpc import INVALID_PARAMS, JSON, RpcError

ONLY_PICTURES = "[picture]"  # the text of a prompt that has none, which no prompt may be without
NOT_TAKEN = {
    "image": "images cannot be sent to this session, which takes text, files and links",
    "audio": "audio cannot be sent to this session, which takes text, files and links",
}


def pictures_of(blocks: Any, takes: Collection[str]) -> list[bytes]:
    """The pictures of a prompt, where the agent there takes them. Raises `RpcError`."""
    found: list[bytes] = []
    for block in blocks if isinstance(blocks, list) and "image" in takes else []:
        match block:
            case {"type": "image", "data": str(data)}:
                try:
                    found.append(base64.b64decode(data, validate=True))
                except ValueError:
                    raise RpcError(INVALID_PARAMS, "the data of an image is not base64") from None
                if picture_of(found[-1]) is None:
                    raise RpcError(INVALID_PARAMS, "an image is no PNG, JPEG, WebP or GIF")
    return found


def text_of(blocks: Any, cwd: str, takes: Collection[str] = ()) -> str:
    """Text and links in their places, then the files that were attached. `cwd` is the editor's directory: a file
    below it is named as it is in the directory that is shared. `takes`: pictures are left for `pictures_of`. Raises
    `RpcError`."""
    if not isinstance(blocks, list) or not blocks:
        raise RpcError(INVALID_PARAMS, "`prompt` is a list of content blocks")
    said: list[str] = []
    attached: list[str] = []
    pictured = False
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                said.append(text)
            case {"type": "resource_link", "uri": str(uri)}:
                said.append(_link(block.get("name"), uri, cwd))
            case {"type": "resource", "resource": {"uri": str(uri), "text": str(text)}}:
                said.append(_link(None, uri, cwd))
                attached.append(f'<context ref="{_place(uri, cwd)}">\n{text}\n</context>')
            case {"type": "resource", "resource": {"blob": _}}:
                raise RpcError(INVALID_PARAMS, "a file that is no text cannot be sent to this session")
            case {"type": "image", "data": str()} if "image" in takes:
                pictured = True
            case {"type": str(kind)} if kind in NOT_TAKEN:
                raise RpcError(INVALID_PARAMS, NOT_TAKEN[kind])
            case _:
                raise RpcError(INVALID_PARAMS, "a content block is not what the protocol says")
    whole = "\n\n".join(["".join(said), *attached])
    if not whole.strip() and pictured:
        return ONLY_PICTURES
    if not whole.strip():
        raise RpcError(INVALID_PARAMS, "the prompt is blank")
    return whole


def commanded(blocks: Any) -> str:
    """The text of a prompt that is a line of text alone; empty for any other."""
    match blocks:
        case [{"type": "text", "text": str(text)}] if "\n" not in text.strip():
            return text.strip()
    return ""


def _link(name: Any, uri: str, cwd: str) -> str:
    place = _place(uri, cwd)
    shown = name if isinstance(name, str) and name else posixpath.basename(place) or place
    return f"[@{shown}]({place})"


def _place(uri: str, cwd: str) -> str:
    """Where it is, for the agent: relative to the directory if it is a file below that of the editor."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    if parts.scheme != "file" or not cwd:
        return uri
    path = posixpath.normpath(unquote(parts.path))
    root = posixpath.normpath(cwd).rstrip("/")
    if path != root and not path.startswith(f"{root}/"):
        return uri
    return (path[len(root) + 1 :] or ".") + (f"#{parts.fragment}" if parts.fragment else "")


def directory(params: JSON) -> str:
    """The `cwd` of a request. Raises `RpcError`."""
    cwd = params.get("cwd")
    if not isinstance(cwd, str) or not cwd.startswith("/") or "\0" in cwd:
        raise RpcError(INVALID_PARAMS, "`cwd` is the absolute path of a directory")
    return posixpath.normpath(cwd)
