"""The keys of the full-screen client, and which of them work while a permission request is asked for."""

from __future__ import annotations

from textual.binding import Binding, BindingType

KEYS: list[BindingType] = [
    Binding("f1", "help", "Help", priority=True),
    Binding("f2", "sessions", "Sessions", priority=True),
    Binding("f3", "people", "Who", priority=True),
    Binding("f4", "ownership", "Own", priority=True),
    Binding("f5", "queue", "Queue", priority=True),
    Binding("f6", "raw", "Raw", show=False, priority=True),
    Binding("f7", "search", "Search", show=False, priority=True),
    Binding("f8", "copy", "Copy", show=False, priority=True),
    Binding("f9", "question", "Request", show=False, priority=True),
    Binding("ctrl+t", "times", "Times", show=False, priority=True),
    Binding("ctrl+o", "options", show=False, priority=True),
    Binding("f10", "give", "Give", show=False, priority=True),
    Binding("ctrl+p", "palette", "All", priority=True),
    Binding("ctrl+c", "stop", "Stop", priority=True),
    Binding("ctrl+q", "quit", "Leave", priority=True),
    Binding("pageup", "page(-1)", show=False, priority=True),
    Binding("pagedown", "page(1)", show=False, priority=True),
    Binding("ctrl+home", "to_start", show=False, priority=True),
    Binding("ctrl+end", "to_end", show=False, priority=True),
    Binding("ctrl+up", "prompt(-1)", show=False, priority=True),
    Binding("ctrl+down", "prompt(1)", show=False, priority=True),
]
OVER_QUESTION = ("stop", "quit", "page")  # what keys do while a permission request is asked for, too
