"""A permission request of an agent: put to a human, and answered with one of the options that the agent gave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from myagent.agents import Answer, ToolCall, TurnIO
from myagent.agents.acp.elicitation import put
from myagent.agents.acp.rpc import INVALID_PARAMS, RpcError
from myagent.agents.acp.session import Session
from myagent.agents.acp.user_question import answered, questions_of
from myagent.agents.acp.user_question import form as form_of_questions
from myagent.agents.rendering import JSON
from myagent.agents.rendering.request import options_of
from myagent.core.messages import Option
from myagent.core.permissions import allowed_once

_NOBODY = Answer("cancelled")
_CANCELLED: JSON = {"outcome": {"outcome": "cancelled"}}


async def permission(
    session: Session | None, params: JSON, attended: Callable[[Session], Awaitable[None]] | None = None
) -> JSON:
    """The result of one `session/request_permission` of a session, or of none that is ours. `attended` waits, where no
    turn runs, for one that can show it."""
    call, options = params.get("toolCall"), options_of(params)
    if not isinstance(call, dict) or not options:
        raise RpcError(INVALID_PARAMS, "a permission request has a toolCall and options")
    if len({option.option_id for option in options}) != len(options):
        raise RpcError(INVALID_PARAMS, "two options of a permission request have one optionId")
    if (rows := questions_of(call, options)) is not None and (form := form_of_questions(rows)) is not None:
        return answered(rows, options, await put(session, form, attended))
    if session is not None and attended is not None:
        await attended(session)
    running = session.running if session is not None else None
    if running is None or running.stopping:
        return _CANCELLED  # nobody is left who could be asked
    # Made now: the call is asked about as it was sent, and goes on changing.
    asked = running.showing.asked(call, options)
    ask = asyncio.create_task(_ask(running.io, asked))
    running.asks.add(ask)
    try:
        await asyncio.wait({ask})
    except asyncio.CancelledError:  # the agent took it back, or is gone
        ask.cancel()
        await asyncio.wait({ask})
        running.showing.answered(asked, _NOBODY)
        raise
    finally:
        running.asks.discard(ask)
        if session is not None:
            session.heard.set()
    if ask.cancelled():
        running.showing.answered(asked, _NOBODY)
        return _CANCELLED
    if (error := ask.exception()) is not None:
        running.showing.answered(asked, _NOBODY)
        running.fail(error)
        return _CANCELLED
    answer = ask.result()
    chosen = chosen_option(answer, options)
    always = any(each.option_id == chosen and each.kind != "allow_once" for each in options)
    running.showing.answered(asked, answer if chosen is not None else _NOBODY, always=always)
    if session is not None and always and answer.kind == "allow":
        session.standing = True
    if answer.kind in ("deny", "expired"):  # ACP has no place for the reason
        await running.showing.line(answer.refusal)
    elif answer.kind == "allow" and chosen is None:
        await running.showing.line("not allowed: the agent offers no approval for this time only; choose an option")
    if chosen is None:
        return _CANCELLED
    return {"outcome": {"outcome": "selected", "optionId": chosen}}


def chosen_option(answer: Answer, options: tuple[Option, ...]) -> str | None:
    """The option that says what was decided, by kind (ids differ from agent to agent); `None` where there is none.

    An approval is never made wider than it was given: one without an `option_id` allows this one time. Where several
    options do that, they are a choice, and one that nobody made is none.
    """
    if answer.kind == "cancelled":
        return None
    verb = "allow" if answer.kind == "allow" else "reject"
    fitting = {option.option_id: option.kind for option in options if option.kind.startswith(f"{verb}_")}
    if answer.option_id in fitting:
        return answer.option_id
    if verb == "allow" and len(allowed_once(options)) > 1:
        return None
    kinds = ("allow_once",) if verb == "allow" else ("reject_once", "reject_always")
    return next((ident for kind in kinds for ident, its in fitting.items() if its == kind), None)


async def _ask(io: TurnIO, call: ToolCall) -> Answer:
    return await io.ask(call)
