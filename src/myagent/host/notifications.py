"""Calls a human who is not looking: a permission request waits, a long turn has ended unowned, the owner is lost.

What is said names the workspace's directory and the session; what was prompted or is to run only if that was asked for.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from myagent.core.display import escape
from myagent.core.messages import (
    Activity,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    Question,
    QuestionResolved,
    SessionEvent,
    TerminalState,
)
from myagent.exceptions import MyagentError
from myagent.extras import install

LONG_TURN = 60.0  # seconds; a shorter one is awaited by whoever prompted it
DETAIL_CHARACTERS = 200
CLOSE_SECONDS = 5.0  # for calls on their way, when the server stops

_log = logging.getLogger(__name__)


class NotifyUnusable(MyagentError):
    """The address itself is not repeated: it holds secrets more often than not."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"--notify cannot be used: {self.reason}"


class Notifications:
    """What is worth a call. `call` takes a title and a text, at once; times are the event loop's."""

    def __init__(
        self, workspace: str, *, after: float, call: Callable[[str, str], None], details: bool = False
    ) -> None:
        self._workspace = escape(workspace)
        self._after = after  # seconds that a permission request may wait
        self._call = call
        self._details = details
        self._owned = False
        self._waiting: dict[str, asyncio.TimerHandle] = {}  # by permission request
        self._began: dict[tuple[str, str], float] = {}  # running turns
        self._own: set[tuple[str, str]] = set()  # running turns of the agent's own
        self._closed = False

    def event(self, event: SessionEvent) -> None:
        """Take what was stored."""
        loop = asyncio.get_running_loop()
        match event:
            case Prompt():
                self._began[event.session_id, event.id] = loop.time()
            case Activity():
                self._own.add((event.session_id, event.id))
            case PermissionRequest():
                timer = loop.call_later(self._after, self._waits, event)
                self._waiting[event.permission_request_id] = timer
            case Question():
                self._waiting[event.question_id] = loop.call_later(self._after, self._asks, event)
            case PermissionResolved() | QuestionResolved():
                resolved = event.question_id if isinstance(event, QuestionResolved) else event.permission_request_id
                timer_or_none = self._waiting.pop(resolved, None)
                if timer_or_none is not None:
                    timer_or_none.cancel()
            case TerminalState() if (event.session_id, event.id) in self._own:
                self._own.discard((event.session_id, event.id))
                if not self._owned:
                    said = f"It went on by itself after its turn, exit code {event.exit_code}."
                    self._say("a turn has ended unowned", said, event.session_id)
            case TerminalState():
                began = self._began.pop((event.session_id, event.id), None)
                if began is not None and loop.time() - began > LONG_TURN and not self._owned:
                    took = f"{int(loop.time() - began) // 60} min"
                    self._say("a turn has ended", f"It took {took}, exit code {event.exit_code}.", event.session_id)
            case _:
                pass

    def unasked(self, session_id: str, what: str) -> None:
        """Take that a tool call ran without anybody having been asked; `what` is one escaped sentence."""
        text = what[:DETAIL_CHARACTERS] if self._details else "A tool call ran and nobody was asked."
        self._say("an agent acts unasked", text, session_id)

    def state_gone(self) -> None:
        """Take that nothing can be stored any more."""
        self._say("the state directory was deleted", "Nothing more is stored: export what you need, start again.", None)

    def owner(self, *, owned: bool, lost: bool) -> None:
        """Take how the slot moved; `lost`: its owner dropped out, and is no longer waited for."""
        self._owned = owned
        if lost:
            self._say("the owner is lost", "Nobody answers permission requests until somebody connects.", None)

    def close(self) -> None:
        self._closed = True
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _waits(self, event: PermissionRequest) -> None:
        self._waiting.pop(event.permission_request_id, None)
        text = f"Nobody has answered for {self._after:.0f} s."
        if self._details:
            title = (event.request.title or event.request.tool_name).replace("\n", " ")  # `core` has escaped it
            text += f" It asks: {title[:DETAIL_CHARACTERS]}"
        self._say("a permission request waits", text, event.session_id)

    def _asks(self, event: Question) -> None:
        self._waiting.pop(event.question_id, None)
        text = f"Nobody has answered for {self._after:.0f} s."
        if self._details:
            text += f" It asks: {event.message.replace(chr(10), ' ')[:DETAIL_CHARACTERS]}"
        self._say("a question waits", text, event.session_id)

    def _say(self, title: str, text: str, session_id: str | None) -> None:
        if not self._closed:
            where = f"{self._workspace}, session {session_id}" if session_id else self._workspace
            self._call(f"myagent: {title}", f"{text} ({where})")


class Caller:
    """Sends calls through the `apprise` library, in a thread. Raises `NotifyUnusable`."""

    def __init__(self, urls: Sequence[str]) -> None:
        try:
            with warnings.catch_warnings():  # of what the library imports, which is none of ours
                warnings.simplefilter("ignore", DeprecationWarning)
                import apprise

                self._sink: Any = apprise.Apprise()
                unknown = [number for number, url in enumerate(urls, 1) if not self._sink.add(url)]
        except ImportError:
            raise NotifyUnusable(f"it needs the package apprise: {install('notify')}") from None
        logging.getLogger("apprise").disabled = True  # it tells addresses, which hold secrets
        if unknown:
            raise NotifyUnusable(f"address {unknown[0]} is none that apprise knows (ntfy://…, mailto://…, slack://…)")
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, title: str, text: str) -> None:
        task = asyncio.get_running_loop().create_task(self._send(title, text), name="notify")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let calls on their way get out."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)

    async def _send(self, title: str, text: str) -> None:
        try:
            sent = await asyncio.to_thread(self._sink.notify, body=text, title=title)
        except Exception as error:  # whatever a plug-in of the library does, the session goes on
            _log.warning("a notification failed: %s", type(error).__name__)
            return
        if not sent:
            _log.warning("a notification was not taken by every --notify address")
