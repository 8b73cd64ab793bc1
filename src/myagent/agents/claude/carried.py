"""What a prompt carries beside its text, as content blocks of Anthropic's messages."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

from myagent.agents import Attached
from myagent.agents.rendering import JSON


async def carried_blocks(content: Sequence[Attached]) -> list[JSON]:
    """Pictures and texts in their order; paths are in the prompt's text, where `@` says that they are some."""
    blocks: list[JSON] = []
    for each in content:
        if each.kind == "text":
            blocks.append({"type": "text", "text": each.text})
        elif each.kind == "image" and each.path is not None:
            data = base64.b64encode(await asyncio.to_thread(each.path.read_bytes)).decode()
            source = {"type": "base64", "media_type": each.mime_type, "data": data}
            blocks.append({"type": "image", "source": source})
    return blocks
