"""Prompts on their way: what was submitted and is not answered yet, and what comes back into the box if refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from textual.app import App

from myagent.client import Attachment, Client, ClientError
from myagent.core.messages import Ack, Error
from myagent.text.wording import one_line
from myagent.tui import status
from myagent.tui.prompt_box import PromptBox
from myagent.tui.sessions import Sessions


class Outbox:
    """`say` tells the human something, `sent` is called when a prompt is on its way.

    Prompts for a session that is not there yet wait for the one that opens it: two that are written on a slow line are
    one session. What is not sent in the end comes back into the box.
    """

    def __init__(
        self,
        app: App[int],
        client: Client,
        sessions: Sessions,
        box: PromptBox,
        *,
        say: Callable[..., None],
        sent: Callable[[], None],
        carries: Callable[[str], list[Attachment]],
    ) -> None:
        self._app = app
        self._client = client
        self._sessions = sessions
        self._box = box
        self._say = say
        self._done = sent
        self._carries = carries  # what a prompt names beside its text
        self._sent: dict[str, str] = {}  # prompts that were not answered, by id
        self._sending = 0  # prompts that are being sent
        self._opening = False  # a prompt that opens a session is on its way
        self._opener = ""  # its id
        self._waiting: deque[str] = deque()  # prompts for that session

    def __len__(self) -> int:
        return len(self._sent) + len(self._waiting) + self._sending

    @property
    def unsent(self) -> list[str]:
        """What the server has not accepted."""
        return [*self._sent.values(), *self._waiting]

    def submit(self, text: str) -> None:
        if self._client.role != "owner":
            self._say(status.way_to_own(self._client), error=True)
            self._box.give_back(text)
        elif self._sessions.shown is not None:
            self._start(text, self._sessions.shown)
        elif self._opening:
            self._waiting.append(text)
        else:
            self._opening = True
            self._start(text, None)

    def acked(self, ack: Ack) -> None:
        self._sent.pop(ack.id, None)
        if self._opening and ack.id == self._opener and ack.session_id is not None:
            self._opening, waiting = False, list(self._waiting)
            self._waiting.clear()
            if self._sessions.shown is None:
                self._sessions.open_new(ack.session_id)
            for text in waiting:
                self._start(text, ack.session_id)

    def refused(self, error: Error) -> None:
        prompt = self._sent.pop(error.id or "", None)
        if prompt is not None:
            self._not_sent(prompt, opener=error.id == self._opener)

    def _start(self, text: str, session: str | None) -> None:
        self._sending += 1
        self._app.run_worker(self._send(text, session), group="send")

    async def _send(self, text: str, session: str | None) -> None:
        try:
            message_id = await self._client.prompt(text, session=session, attachments=self._carries(text))
        except ClientError as error:
            self._say(f"not sent: {one_line(str(error))}", error=True)
            self._not_sent(text, opener=session is None)
        else:
            self._sent[message_id] = text
            if session is None:
                self._opener = message_id
            self._done()
        finally:
            self._sending -= 1

    def _not_sent(self, text: str, *, opener: bool) -> None:
        """Give a prompt back, and with it what waited for the session that it would have opened."""
        texts = [text]
        if opener and self._opening:
            self._opening = False
            texts += self._waiting
            self._waiting.clear()
        self._box.give_back("\n".join(texts))
