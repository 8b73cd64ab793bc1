"""What ACP updates read like: text for people, trimmed state for latecomers, and the tool call to ask leave for.

Pure: no await, no clock. Agents are other people's programs, so every shape here is taken as it comes: a field that is
absent, of another type or of a newer version of the protocol is passed over, never an error.
"""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]
