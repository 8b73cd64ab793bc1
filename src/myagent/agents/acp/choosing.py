"""What an owner chooses for a session of an ACP agent: looked up, and set at once or before the next prompt.

A guarded choice (`core/choices.py`) is set only before a prompt, and only while the server allows that. What the agent
itself changed into something guarded is set back there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from myagent.agents import Turn
from myagent.agents.acp.offers import Offer, mode_offer, offer_named
from myagent.agents.acp.process import Process
from myagent.agents.acp.rpc import RpcError
from myagent.agents.acp.session import Session
from myagent.agents.acp.sessions import Sessions
from myagent.agents.acp.supervision import Call, Supervision
from myagent.agents.choosing import NeedsBypass, NotOffered
from myagent.agents.processes.ndjson import AgentGone
from myagent.agents.rendering import JSON
from myagent.core.choices import Choice, Described, Value
from myagent.exceptions import AgentUnavailable


class Choices:
    """The choices of every session of one agent."""

    def __init__(self, rules: Supervision, sessions: Sessions, process: Process) -> None:
        self._rules, self._sessions, self._process = rules, sessions, process

    def told(self, session: Session) -> list[JSON]:
        """What can be chosen, as `agentState.options`."""
        return [offer.told(self._describe(session, offer)) for offer in _offers(session)]

    def choose(
        self, session_id: str, name: str, value: Value, choices: Sequence[Choice], *, allow_bypass: bool
    ) -> Choice:
        session = self._sessions.like(session_id)
        if session is None:
            raise NotOffered(f"the option {name}", ())
        offer = offer_named(_offers(session), name)
        value = offer.value_of(value, called=name)
        before = next((each.before for each in choices if each.option_id == offer.option_id), None)
        before = self._before(session, offer) if before is None else before
        guarded = self._describe(session, offer, before).guards(value, offer.label(value))
        if guarded and not allow_bypass:
            raise NeedsBypass(name, value)
        return Choice(offer.option_id, value, before, guarded)

    async def apply(self, session_id: str, choice: Choice) -> None:
        """Set it now, unless it is guarded, the session is not open, or a turn runs that has its own mode."""
        session, connection = self._sessions.ours(session_id), self._process.connection
        if choice.guarded or session is None or session.is_closed or connection is None or connection.ending:
            return
        offer = next((each for each in _offers(session) if each.option_id == choice.option_id), None)
        if offer is None or (offer.category == "mode" and session.turn_mode not in (None, "default")):
            return
        try:
            await self._set(session, offer, choice.value, partial(self._process.call, connection))
        except AgentGone:
            pass  # the next turn sets it
        except (NotOffered, RpcError) as error:
            raise AgentUnavailable(
                self._rules.label, f"it refused {choice.option_id}={choice.value}: {error}"
            ) from error
        if session.running is not None:
            session.running.io.tell(**session.state, options=self.told(session))

    async def before_prompt(self, session: Session, turn: Turn, call: Call) -> list[str]:
        """Have the session as its turn wants it; what of the choices does not hold. Raises `AgentUnavailable`."""
        said: list[str] = []
        session.turn_mode, session.unguarded = turn.mode, ""
        session.before |= {each.option_id: each.before for each in turn.choices if each.before is not None}
        wanted, unguarded = {}, dict[bool, str]()  # whether it is the mode → which choice
        for choice in turn.choices:
            named = f"{choice.option_id}={choice.value}"
            offer = next((each for each in _offers(session) if each.option_id == choice.option_id), None)
            if offer is None or not _has(offer, choice.value):
                said.append(f"{named}, which was chosen, is no longer offered\n")
                continue
            if self._describe(session, offer).guards(choice.value, offer.label(choice.value)):
                if not turn.allow_bypass:
                    said.append(f"{named}, which was chosen, needs a server that was started with --allow-bypass\n")
                    continue
                if offer.category != "mode" or turn.mode == "default":
                    unguarded[offer.category == "mode"] = session.unguarded = named
            wanted[offer.option_id] = choice.value
        mode = next((wanted.get(each.option_id) for each in _offers(session) if each.category == "mode"), None)
        try:
            await self._rules.supervise(session, turn.mode, call, chosen=mode if isinstance(mode, str) else None)
        except AgentUnavailable as error:
            if mode is None or turn.mode != "default":
                raise
            said.append(f"mode={mode}, which was chosen, does not hold: {error}\n")
            session.unguarded = unguarded.get(False, "")
            await self._rules.supervise(session, turn.mode, call)
        for offer in session.offers:
            described = self._describe(session, offer)
            target = wanted.get(offer.option_id)
            if target is None and described.guards(offer.current, offer.label(offer.current)):
                target = described.before
            if target is None or target == offer.current:
                continue
            try:
                await self._set(session, offer, target, call)
            except (NotOffered, RpcError) as error:
                if offer.option_id not in wanted:  # it would act unasked
                    raise AgentUnavailable(
                        self._rules.label, f"it refused {offer.option_id}={target}: {error}"
                    ) from error
                said.append(f"{offer.option_id}={target}, which was chosen, was refused: {error}\n")
        return said

    def changed_itself(self, session: Session, offers: Sequence[Offer]) -> list[str]:
        """What to tell of guarded options that the agent changed by itself; `offers` are those before."""
        earlier = {offer.option_id: offer.current for offer in offers}
        lines = []
        for offer in session.offers:
            old, new = earlier.get(offer.option_id), offer.current
            if old is None or old == new or session.setting == (offer.option_id, new):
                continue
            if self._describe(session, offer).guards(new, offer.label(new)):
                lines.append(f"the agent changed its {offer.option_id}: {old} → {new}")
        return lines

    async def _set(self, session: Session, offer: Offer, value: Value, call: Call) -> None:
        params = offer.params(value, called=offer.option_id)
        session.setting = (offer.option_id, value)
        try:
            result = await call(offer.method, {"sessionId": session.agent_id, **params})
        finally:
            session.setting = None
        if offer.category == "mode":
            session.set_mode(str(value))
        else:
            session.chose(offer, value, result)

    def _before(self, session: Session, offer: Offer) -> Value | None:
        """What an option was before anybody chose: of the mode, the one that asks."""
        if offer.category == "mode" and session.modes is not None:
            return session.modes.wanted("default", self._rules.preset) or session.modes.current
        before = session.before.get(offer.option_id, offer.current)
        return before if isinstance(before, str | bool) else None

    def _describe(self, session: Session, offer: Offer, before: Value | None = None) -> Described:
        modes = session.modes
        asks = modes.asks(self._rules.preset) if modes is not None and offer.category == "mode" else ()
        return offer.described(asks, self._before(session, offer) if before is None else before)


def _offers(session: Session) -> tuple[Offer, ...]:
    return (*(() if session.modes is None else (mode_offer(session.modes),)), *session.offers)


def _has(offer: Offer, value: Value) -> bool:
    try:
        return offer.value_of(value, called=offer.option_id) == value
    except NotOffered:
        return False
