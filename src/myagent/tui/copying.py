"""What can be copied from a session, and how it gets to a clipboard: OSC 52, and within tmux its buffer too."""

from __future__ import annotations

import os
import shutil
from asyncio import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from textual.app import App

from myagent.core.messages import PermissionRequest, Prompt
from myagent.tui.story import Said, Story, Told, Tool


@dataclass(frozen=True, slots=True)
class Copy:
    name: str
    text: str


def copies(story: Story, session: str | None, shown: list[str]) -> Iterator[Copy]:
    """What there is, the likeliest first; `shown` is what can be seen of the stream."""
    said = [item for item in story.items if isinstance(item, Said) and item.stream != "stderr"]
    if said:
        yield Copy("what the agent said last", "".join(item.plain for item in said if item.turn == said[-1].turn))
    events = [item.event for item in story.items if isinstance(item, Told)]
    for request in [event for event in events if isinstance(event, PermissionRequest)][-1:]:
        yield Copy("what permission was last asked for", request.request.display)
    for tool in [item for item in story.items if isinstance(item, Tool)][-1:]:
        yield Copy("the last tool call", tool.plain)
    for prompt in [event for event in events if isinstance(event, Prompt)][-1:]:
        yield Copy("the last prompt", prompt.prompt)
    yield Copy("what can be seen", "\n".join(line.rstrip() for line in shown).strip("\n") + "\n")
    if session is not None:
        yield Copy("the session's id", session)


async def copy(app: App[int], text: str) -> str:
    """Put a text on the clipboard; says where it is now, as far as that is known: a terminal does not answer."""
    app.copy_to_clipboard(text)
    if os.environ.get("TMUX") and shutil.which("tmux"):
        # By default tmux takes no OSC 52 from programs; `-w` sends it on to the terminal that tmux runs in.
        tmux = await subprocess.create_subprocess_exec(
            "tmux", "load-buffer", "-w", "-",
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await tmux.communicate(text.encode(errors="replace"))
        if tmux.returncode == 0:
            return "copied, to the buffer of tmux too"
    return "copied, if the terminal allows it (OSC 52)"
