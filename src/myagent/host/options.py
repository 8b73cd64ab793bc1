"""What owners choose of what the agent offers: stored and told first, then set, by the agent's adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from myagent.agents import Agent
from myagent.agents.choosing import Choosing, NeedsBypass, NotOffered
from myagent.core.audit import entry
from myagent.core.choices import Choice, with_choice
from myagent.core.codec import encode
from myagent.core.display import escape
from myagent.core.messages import Ack, OptionSet, SessionId, SetOption, UserMessage
from myagent.core.refusals import AgentRefused, NotAllowed, OptionNotOffered, UnknownSession
from myagent.core.session import Session, Step
from myagent.core.session_choices import chosen, taken_back
from myagent.exceptions import AgentUnavailable
from myagent.host.peer import Peer, name_of
from myagent.host.session_store import METADATA, SessionStore, now


class Options:
    """The choices of one workspace's sessions. `allow_bypass`: such by which the agent may act unasked, too."""

    def __init__(self, agent: Agent, store: SessionStore, *, allow_bypass: bool) -> None:
        self._agent, self._store, self._allow_bypass = agent, store, allow_bypass
        self._setting: dict[SessionId, asyncio.Lock] = {}  # the agent is told of one choice after another

    async def set(self, peer: Peer, message: SetOption, actor: Mapping[str, Any]) -> None:
        """Store a choice once, and have the agent told; the store's lock is held. Raises `Refused`."""
        session = self._store.sessions.get(message.session_id)
        if session is None:  # it was deleted meanwhile
            raise UnknownSession
        choice = self._looked_up(session, message.name, message.value)
        step = chosen(session, choice, message_id=message.id, by=name_of(peer), now=self._store.stamp())
        ack = encode(Ack(id=message.id, session_id=message.session_id, duplicate=step is None))
        if step is None:
            peer.send(ack)
            if message.id not in session.option_ids:  # the agent may have changed it by itself
                self._store.spawn(self._apply(peer, message, choice), f"option {choice.option_id}")
            return

        def stored(_: object) -> None:
            peer.send(ack)
            self._keep(message.session_id, choice)

        fields = {"session": message.session_id, "option": choice.option_id, "value": choice.value}
        record = entry("option", now(), {**actor, **fields, "guarded": choice.guarded or None})
        await self._store.commit(step, (*step.events, METADATA), on_stored=stored, audit=(record,))
        self._store.spawn(self._apply(peer, message, choice), f"option {choice.option_id}")

    def chosen_for(self, session: Session, message: UserMessage, *, by: str) -> Step:
        """The session with what its prompt wants chosen; its turn has the agent set it. Raises `Refused`."""
        step = Step(session)
        for name, value in (message.options or {}).items():
            choice = self._looked_up(step.session, name, value)
            after = chosen(step.session, choice, message_id=f"{message.id} {name}", by=by, now=self._store.stamp())
            if after is not None:
                step = Step(after.session, (*step.events, *after.events))
        return step

    def keep(self, step: Step) -> None:
        """Have it told what is chosen, once that is stored."""
        for event in step.events:
            if isinstance(event, OptionSet):
                self._keep(event.session_id, Choice(event.option_id, event.value))

    def _looked_up(self, session: Session, name: str, value: str | bool) -> Choice:
        if not isinstance(self._agent, Choosing):
            raise OptionNotOffered(())
        try:
            return self._agent.choose(session.session_id, name, value, session.choices, allow_bypass=self._allow_bypass)
        except NotOffered as error:
            raise OptionNotOffered(error.shown) from error
        except NeedsBypass as error:
            raise NotAllowed(
                "this choice may let the agent act unasked, and needs a server that was started with --allow-bypass"
            ) from error

    async def _apply(self, peer: Peer, message: SetOption, choice: Choice) -> None:
        """Have the agent set it; one that it refuses is taken back, and its owner told why."""
        assert isinstance(self._agent, Choosing)
        async with self._setting.setdefault(message.session_id, asyncio.Lock()):
            try:
                await self._agent.apply(message.session_id, choice)
            except AgentUnavailable as error:
                reason = escape(str(error))
                async with self._store.lock:
                    session = self._store.sessions.get(message.session_id)  # it may have been deleted since
                    stamp = self._store.stamp()
                    step = (
                        None
                        if session is None
                        else taken_back(session, choice, message_id=message.id, reason=reason, now=stamp)
                    )
                    if step is not None:
                        await self._take_back(step, choice)
                peer.refuse(message.id, AgentRefused(reason))

    async def _take_back(self, step: Step, choice: Choice) -> None:
        assert choice.before is not None
        before = Choice(choice.option_id, choice.before)
        await self._store.commit(
            step,
            (*step.events, METADATA),
            on_stored=lambda _: self._keep(step.session.session_id, before),
            fact=True,
        )

    def _keep(self, session_id: SessionId, choice: Choice) -> None:
        self._store.keep_state(session_id, with_choice(self._store.sessions[session_id].agent_state, choice))
