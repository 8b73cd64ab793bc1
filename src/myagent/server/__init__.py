"""The listener: admission, HTTP, WebSocket connections, and the socket by which the commands control it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from myagent.server.server import ExposedPlain as ExposedPlain
    from myagent.server.server import Server as Server
    from myagent.settings import Settings as Settings

__all__ = ["ExposedPlain", "Server", "Settings"]


def __getattr__(name: str) -> Any:
    """What this package is for, loaded when it is asked for: the commands use single modules of it, and start fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from myagent.server import server

    return getattr(server, name)
