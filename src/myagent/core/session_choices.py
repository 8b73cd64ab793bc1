"""How an owner's choice becomes a part of a session: once for each message, and told as an event."""

from __future__ import annotations

from msgspec.structs import replace

from myagent.core.choices import Choice, remembered, with_choice
from myagent.core.messages import OptionSet
from myagent.core.session import Session, Step

OPTION_IDS = 32  # of `set_option` messages that a session remembers


def chosen(session: Session, choice: Choice, *, message_id: str, by: str, now: str) -> Step | None:
    """Take an owner's choice; `None` where that message was taken before, or it is so already."""
    if message_id in session.option_ids or current(session, choice) == choice.value:
        return None
    return _step(session, choice, message_id=message_id, by=by, now=now)


def taken_back(session: Session, choice: Choice, *, message_id: str, reason: str, now: str) -> Step | None:
    """The agent refused it: the option is again what it was before; `None` where another choice was made meanwhile."""
    if choice not in session.choices or choice.before is None or choice.value == choice.before:
        return None
    before = Choice(choice.option_id, choice.before, choice.before)
    return _step(session, before, message_id=message_id, by="server", now=now, reason=reason)


def current(session: Session, choice: Choice) -> str | bool | None:
    """What the option is, as far as owners chose."""
    values = (each.value for each in session.choices if each.option_id == choice.option_id)
    return next(values, choice.before)


def _step(session: Session, choice: Choice, *, message_id: str, by: str, now: str, reason: str | None = None) -> Step:
    event = OptionSet(
        id=message_id,
        session_id=session.session_id,
        option_id=choice.option_id,
        value=choice.value,
        before=current(session, choice),
        by=by,
        reason=reason,
        guarded=choice.guarded,
    )
    state = session.agent_state | with_choice(session.agent_state, choice)
    session = replace(
        session,
        updated_at=now,
        choices=remembered(session.choices, choice),
        option_ids=(*session.option_ids, message_id)[-OPTION_IDS:],
        agent_state=state,
    )
    return Step(session, (event,))
