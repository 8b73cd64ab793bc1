"""The agent's questions that are ours to answer: asked one by one, withdrawn when they are open or ours no more."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App

from myagent.client import Client, ClientError
from myagent.core.messages import Error, Question
from myagent.text.wording import one_line
from myagent.tui.form import Filled, FormDialog


class Questions:
    """`say` tells the human; `quiet` is what `FormDialog` takes."""

    def __init__(self, app: App[int], client: Client, *, say: Callable[..., None], quiet: float) -> None:
        self._app, self._client, self._say, self._quiet = app, client, say, quiet
        self._answered: dict[str, str] = {}  # question → id of our answer
        self._aside: set[str] = set()  # questions that the human wants to look at later
        self._rung: set[str] = set()

    @property
    def dialog(self) -> FormDialog | None:
        """The one that is on the screen."""
        return next((each for each in self._app.screen_stack if isinstance(each, FormDialog)), None)

    def ours(self) -> list[Question]:
        """What is open for us to answer."""
        if not self._client.may_answer or self._client.state.name == "reconnecting":
            return []
        return [
            question
            for question in self._client.questions.values()
            if question.question_id not in self._answered
            and (question.pending or question.session_id not in self._client.behind)
        ]

    def consider(self) -> None:
        """Withdraw a question that is no longer ours or open; ask the next one, where no other dialog is."""
        if (dialog := self.dialog) is not None:
            if dialog.question not in self.ours():
                self._withdraw("it is no longer open, or not ours")
            return
        for question in self.ours():
            if question.question_id not in self._aside and len(self._app.screen_stack) == 1:
                self._ask(question)
                return

    def come_back(self) -> bool:
        """Ask what was put aside; whether there was anything."""
        self._aside.clear()
        self.consider()
        return bool(self.ours())

    def connection_lost(self) -> None:
        """An answer may be lost with the connection; the same one again does no harm."""
        self._answered.clear()
        self._withdraw("the connection is lost")

    def refused(self, error: Error) -> None:
        for question_id, answer_id in list(self._answered.items()):
            if error.id == answer_id:
                del self._answered[question_id]
                self._aside.add(question_id)

    def _ask(self, question: Question) -> None:
        if question.question_id not in self._rung:
            self._rung.add(question.question_id)
            self._app.bell()

        def filled(given: object) -> None:
            if given == "aside":
                self._aside.add(question.question_id)
                self._say("F9 comes back to the question")
            elif isinstance(given, tuple):
                self._app.run_worker(self._answer(question, given), group="answer")

        self._app.push_screen(FormDialog(question, quiet=self._quiet), filled)

    async def _answer(self, question: Question, given: Filled) -> None:
        try:
            self._answered[question.question_id] = await self._client.answer(question, *given)
        except ClientError as error:
            self._say(f"the answer was not sent: {one_line(str(error))}", error=True)

    def _withdraw(self, why: str) -> None:
        if (dialog := self.dialog) is not None:
            dialog.dismiss(None)
            self._say(f"the question is withdrawn: {why}")
