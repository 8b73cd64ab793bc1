"""A question of an agent (`elicitation/create`): a form or an address, put to a human, answered as ACP says."""

from __future__ import annotations

import asyncio

from myagent.agents import Asked, Given, TurnIO
from myagent.agents.acp.rpc import INVALID_PARAMS, RpcError
from myagent.agents.acp.session import Session
from myagent.agents.rendering import JSON
from myagent.core.forms import BadForm
from myagent.core.questions import asked_form, asked_url

_CANCELLED: JSON = {"action": "cancel"}


async def elicited(session: Session | None, params: JSON) -> JSON:
    """The answer to a question of a session, or of none that is ours. Taken back by the agent, it is withdrawn."""
    asked = _asked(params)
    running = session.running if session is not None else None
    if running is None or running.stopping:
        return _CANCELLED  # nobody is left who could be asked
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
    if ask.cancelled():
        return _CANCELLED
    if (error := ask.exception()) is not None:
        running.fail(error)
        return _CANCELLED
    given = ask.result()
    if given.action == "accept" and given.content is not None and asked.form is not None:
        return {"action": "accept", "content": dict(given.content)}
    if given.action == "cancel" and given.reason is not None:  # ACP has no place for it
        await running.showing.line(f"the question was not answered: {given.reason}")
    return {"action": given.action}


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
