"""Prompts on their way: what was submitted and is not answered yet, and what comes back into the box if refused."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App

from myagent.client import Client, ClientError
from myagent.core.messages import Ack, Error
from myagent.text.wording import one_line
from myagent.tui.prompt_box import PromptBox
from myagent.tui.sessions import Sessions


class Outbox:
    """`say` tells the human something, `sent` is called when a prompt is on its way."""

    def __init__(
        self,
        app: App[int],
        client: Client,
        sessions: Sessions,
        box: PromptBox,
        *,
        say: Callable[..., None],
        sent: Callable[[], None],
    ) -> None:
        self._app = app
        self._client = client
        self._sessions = sessions
        self._box = box
        self._say = say
        self._done = sent
        self._sent: dict[str, str] = {}  # prompts that were not answered, by id

    def __len__(self) -> int:
        return len(self._sent)

    def submit(self, text: str) -> None:
        if self._client.role != "owner":
            self._say("only the owner can prompt; F4 claims the ownership if nobody has it", error=True)
            return
        self._box.load_text("")
        self._app.run_worker(self._prompt(text), group="send")

    async def _prompt(self, text: str) -> None:
        try:
            message_id = await self._client.prompt(text, session=self._sessions.shown)
        except ClientError as error:
            self._box.put(text)
            self._say(f"not sent: {one_line(str(error))}", error=True)
        else:
            self._sent[message_id] = text
            self._done()

    def acked(self, ack: Ack) -> None:
        if ack.id in self._sent:
            del self._sent[ack.id]
            if self._sessions.shown is None and ack.session_id is not None:
                self._sessions.open_new(ack.session_id)

    def refused(self, error: Error) -> None:
        prompt = self._sent.pop(error.id or "", None)
        if prompt is not None and not self._box.text:
            self._box.put(prompt)
