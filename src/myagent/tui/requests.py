"""The permission requests that are ours to answer: asked one by one, withdrawn when they are open or ours no more."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App

from myagent.client import Client, ClientError, Message
from myagent.core.messages import Error, PermissionRequest, PermissionResolved, Rules
from myagent.text.wording import OUTCOMES, name_line, one_line
from myagent.tui import lists
from myagent.tui.question import Decision, Question


class Requests:
    """`shown` gives the session that is shown, `say` tells the human; `quiet` and `alone` are what `Question` takes."""

    def __init__(
        self,
        app: App[int],
        client: Client,
        *,
        shown: Callable[[], str | None],
        say: Callable[..., None],
        quiet: float,
        alone: float,
    ) -> None:
        self._app = app
        self._client = client
        self._shown = shown
        self._say = say
        self._quiet = quiet
        self._alone = alone
        self._answered: dict[str, str] = {}  # permission request → id of our decision
        self._aside: set[str] = set()  # permission requests that the human wants to look at later
        self._rung: set[str] = set()  # permission requests that the bell rang for

    @property
    def question(self) -> Question | None:
        """The one that is on the screen."""
        return next((each for each in self._app.screen_stack if isinstance(each, Question)), None)

    def ours(self) -> list[PermissionRequest]:
        """What is open for us to answer: nothing from a past that may have been decided since."""
        if not self._client.may_answer or self._client.state.name == "reconnecting":
            return []
        behind = self._client.behind
        return [
            request
            for request in self._client.requests.values()
            if request.permission_request_id not in self._answered
            and (request.pending or request.session_id not in behind)
        ]

    def consider(self, message: Message | None = None) -> None:
        """Withdraw a question that is no longer ours or open; ask the next one that is."""
        question = self.question
        if question is not None:
            request_id = question.request.permission_request_id
            if not self._client.may_answer:
                self._withdraw("this client is not the owner any more")
            elif request_id not in self._client.requests:
                told = (
                    f"it is {OUTCOMES[message.outcome]} by {name_line(message.by)}"
                    if isinstance(message, PermissionResolved)
                    else "its turn ended"
                )
                self._withdraw(told)
            else:
                return
        for request in self.ours():
            if request.permission_request_id not in self._aside:
                self._ask(request)
                return

    def come_back(self) -> None:
        """Ask what was put aside; say why there is nothing to ask."""
        if self.ours():
            self._aside.clear()
            self.consider()
        elif self._client.requests:
            self._say("the owner answers this one")
        else:
            self._say("no permission request is open")

    def show_rules(self, message: Rules) -> None:
        """List the rules that answer instead of us; the one that is chosen ends."""

        def chosen(rule_id: str | None) -> None:
            if rule_id is not None:
                self._app.run_worker(self._end_rule(rule_id), group="decide")

        if len(self._app.screen_stack) == 1:
            self._app.push_screen(lists.rules(message.rules), chosen)

    async def _end_rule(self, rule_id: str) -> None:
        try:
            await self._client.revoke_rule(rule_id)
        except ClientError as error:
            self._say(f"not sent: {one_line(str(error))}", error=True)

    def connection_lost(self) -> None:
        """An answer may be lost with the connection; the same one again does no harm."""
        self._answered.clear()
        self._withdraw("the connection is lost")

    def refused(self, error: Error) -> None:
        for request_id, decision_id in list(self._answered.items()):
            if error.id == decision_id:
                del self._answered[request_id]  # it is open still, or the server tells how it ended
                self._aside.add(request_id)

    def _ask(self, request: PermissionRequest) -> None:
        metadata = self._client.sessions.get(request.session_id)
        where = metadata.cwd if metadata else ""
        if request.session_id != self._shown():
            where += f" (session {request.session_id})"
        if request.permission_request_id not in self._rung:
            self._rung.add(request.permission_request_id)
            self._app.bell()

        def decided(decision: object) -> None:
            if decision == "aside":
                self._aside.add(request.permission_request_id)
                self._say("F9 comes back to the permission request")
            elif isinstance(decision, Decision):
                self._app.run_worker(self._decide(request, decision), group="decide")

        owns = self._client.role == "owner"
        self._app.push_screen(Question(request, where=where, quiet=self._quiet, alone=self._alone, owns=owns), decided)

    async def _decide(self, request: PermissionRequest, decision: Decision) -> None:
        try:
            sent = await self._client.decide(
                request, decision.kind, reason=decision.reason, option=decision.option, remember=decision.remember
            )
        except ClientError as error:
            self._say(f"the answer was not sent: {one_line(str(error))}", error=True)
        else:
            self._answered[request.permission_request_id] = sent
            self.consider()

    def _withdraw(self, why: str) -> None:
        question = self.question
        if question is not None:
            question.dismiss(None)
            self._say(f"the question is withdrawn: {why}")
