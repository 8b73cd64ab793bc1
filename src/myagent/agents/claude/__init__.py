"""Claude Code through `claude -p` and its own permission protocol."""
