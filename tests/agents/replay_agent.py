"""An ACP agent that plays a recorded transcript: what the real agent sent, when the host does what the recorder did.

    python replay_agent.py TRANSCRIPT COUNT

Requests of the host are matched by method. It may leave out or add a change of mode; anything else that is not in the
transcript, and every answer to a permission request whose outcome is not the recorded one, ends this agent with
status 3. The number of lines sent is written to the file COUNT at the end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

JSON = dict[str, Any]
MODE_CHANGES = ("session/set_mode", "session/set_config_option")


class Mismatch(Exception):
    """The host did something else than the recorder."""


class Replay:
    def __init__(self, transcript: Path) -> None:
        rows = [json.loads(line) for line in transcript.read_text().splitlines()]
        self.frames: list[tuple[str, JSON]] = [(row["dir"], row["msg"]) for row in rows]
        self.cursor = 0
        self.sent = 0
        self.incoming = self._read()

    def run(self) -> None:
        for message in self.incoming:
            if "method" not in message or "id" not in message:
                raise Mismatch(f"not expected here: {message}")
            self._answer(message)

    def _read(self) -> Iterator[JSON]:
        for line in sys.stdin.buffer:
            yield json.loads(line)

    def _send(self, message: JSON) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()
        self.sent += 1

    def _answer(self, request: JSON) -> None:
        """Play what followed the recorded request of that method, up to the next request of the host."""
        method = request["method"]
        at = next(
            (
                index
                for index in range(self.cursor, len(self.frames))
                if self.frames[index][0] == "c2a" and self.frames[index][1].get("method") == method
            ),
            None,
        )
        if at is None:
            if method in MODE_CHANGES:
                self._send({"jsonrpc": "2.0", "id": request["id"], "result": {}})
            elif method == "session/prompt":  # after a session/load, where the recordings end
                self._send({"jsonrpc": "2.0", "id": request["id"], "result": {"stopReason": "end_turn"}})
            else:
                raise Mismatch(f"{method} is not in the transcript")
            return
        recorded_id = self.frames[at][1]["id"]
        left_out: set[object] = set()  # ids of recorded requests that this host does not make
        for index in range(at + 1, len(self.frames)):
            direction, frame = self.frames[index]
            self.cursor = index + 1
            if direction == "a2c":
                if "method" in frame or frame["id"] not in left_out | {recorded_id}:
                    self._send(frame)
                elif frame["id"] == recorded_id:
                    self._send({**frame, "id": request["id"]})
            elif frame.get("method") in MODE_CHANGES:
                left_out.add(frame["id"])
            elif "id" in frame and "method" in frame:
                self.cursor = index
                return
            else:
                self._expect(frame)

    def _expect(self, recorded: JSON) -> None:
        """The next message of the host must be the recorded notification, or the recorded kind of answer."""
        message = next(self.incoming)
        if recorded.get("method") != message.get("method"):
            raise Mismatch(f"{message} where {recorded} was recorded")
        if "method" in recorded:
            return
        if message.get("id") != recorded["id"]:
            raise Mismatch(f"an answer to {message.get('id')}, not to {recorded['id']}")
        outcome = recorded["result"].get("outcome")
        if outcome is not None and message.get("result", {}).get("outcome") != outcome:
            raise Mismatch(f"{message} where {recorded} was recorded")


def main() -> int:
    replay = Replay(Path(sys.argv[1]))
    try:
        replay.run()
    except Mismatch as error:
        print(error, file=sys.stderr)
        return 3
    finally:
        Path(sys.argv[2]).write_text(str(replay.sent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
