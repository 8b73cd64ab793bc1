"""A question of an agent (`elicitation/create`): a form or an address, put to a human, answered as ACP says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from myagent.agents import Asked, Given, TurnIO
from myagent.agents.acp.rpc import INVALID_PARAMS, RpcError
from myagent.agents.acp.session import Session
from myagent.agents.rendering import JSON
from myagent.core.forms import BadForm
from myagent.core.questions import asked_form, asked_url

_CANCELLED: JSON = {"action": "cancel"}


async def elicited(
    session: Session | None, params: JSON, attended: Callable[[Session], Awaitable[None]] | None = None
) -> JSON:
    """The answer to a question of a session, or of none that is ours. Taken back by the agent, it is withdrawn."""
    asked = _asked(params)
    given = await put(session, asked, attended)
    if given is None:
        return _CANCELLED
    if given.action == "accept" and given.content is not None and asked.form is not None:
        return {"action": "accept", "content": dict(given.content)}
    return {"action": given.action}


async def put(
    session: Session | None, asked: Asked, attended: Callable[[Session], Awaitable[None]] | None = None
) -> Given | None:
    """Put a question of a session to whoever may answer; `None` where there is nobody, or it was taken back with its
    turn. `attended` waits, where no turn runs, for one that can show it."""
    if session is not None and attended is not None:
        await attended(session)
    running = session.running if session is not None else None
    if running is None or running.stopping:
        return None  # nobody is left who could be asked
    ask = asyncio.create_task(_ask(running.io, asked))
    running.asks.add(ask)
    try:
        await asyncio.wait({ask})
    except asyncio.CancelledError:
        ask.cancel()
        await asyncio.wait({ask})
        raise
    finally:
        running.asks.discard(ask)
        if session is not None:
            session.heard.set()
    if ask.cancelled():
        return None
    if (error := ask.exception()) is not None:
        running.fail(error)
        return None
    given = ask.result()
    if given.action == "cancel" and given.reason is not None:  # ACP has no place for it
        await running.showing.line(f"the question was not answered: {given.reason}")
    return given


def _asked(params: JSON) -> Asked:
    """What is asked. Raises `RpcError` where it is nothing that this client said it can ask."""
    message = params.get("message")
    if not isinstance(message, str):
        raise RpcError(INVALID_PARAMS, "a question has a message")
    try:
        match params.get("mode", "form"), params.get("url"):
            case "form", _:
                return asked_form(message, params.get("requestedSchema"))
            case "url", str(url):
                return asked_url(message, url)
    except BadForm as error:
        raise RpcError(INVALID_PARAMS, str(error)) from error
    raise RpcError(INVALID_PARAMS, "a question is a form, or an address with its url")


async def _ask(io: TurnIO, asked: Asked) -> Given:
    return await io.question(asked)
