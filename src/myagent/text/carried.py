"""What a prompt carries beside its text, as lines that are safe for a terminal."""

from __future__ import annotations

from myagent.core.content import item_words
from myagent.core.messages import Prompt, TextItem
from myagent.text.terminal import visible
from myagent.text.wording import name_line, one_line


def carried(event: Prompt) -> list[str]:
    """A line for each picture, file and path, and each text as it is."""
    return [visible(item.text) if isinstance(item, TextItem) else name_line(item_words(item)) for item in event.content]


def prompt_line(event: Prompt) -> str:
    """The prompt within one line of ours, with what it carries."""
    return " ".join((one_line(event.prompt), *(one_line(item_words(item)) for item in event.content)))
