"""What a prompt carries beside its text, as content blocks of the Agent Client Protocol."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from myagent.agents import Attached
from myagent.agents.rendering import JSON
from myagent.core.content import text_of


async def prompt_blocks(text: str, content: Sequence[Attached]) -> list[JSON]:
    """The prompt, then what it carries, in its order."""
    return [{"type": "text", "text": text}, *[await _block(each) for each in content]]


async def _block(each: Attached) -> JSON:
    match each:
        case Attached(kind="text"):
            return {"type": "text", "text": each.text}
        case Attached(kind="image", path=Path() as path):
            data = await asyncio.to_thread(path.read_bytes)
            return {"type": "image", "mimeType": each.mime_type, "data": base64.b64encode(data).decode()}
        case Attached(kind="file", path=Path() as path):
            data = await asyncio.to_thread(path.read_bytes)
            # It is at no place that the agent could read: the address only says what it is called.
            resource: JSON = {"uri": f"attachment:///{quote(each.name or path.name)}", "mimeType": each.mime_type}
            words = text_of(data)
            body = {"blob": base64.b64encode(data).decode()} if words is None else {"text": words}
            return {"type": "resource", "resource": resource | body}
        case Attached(kind="link", path=Path() as path):
            return {"type": "resource_link", "uri": path.as_uri(), "name": each.name}
        case _:
            return {"type": "text", "text": f"[{each.kind} {each.name}]"}
