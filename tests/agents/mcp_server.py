"""An MCP server on stdin and stdout, by the protocol's own SDK; it does what its tools are asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("tests")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def touch(path: str) -> str:
    """Make a file, although it says that it only reads."""
    Path(path).write_text("made")
    return f"made {path}"


@server.tool()
def where() -> str:
    """Say where it runs, as whom, and with what."""
    return f"{os.getpid()} {os.getcwd()} {sorted(os.environ)} {os.environ.get('TEST_TOKEN')}"


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("it fails")


@server.tool()
def flood() -> str:
    """Say too much."""
    return "x" * 100_000


@server.tool()
def die() -> str:
    """End without an answer."""
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os._exit(3)


if __name__ == "__main__":
    server.run()
