"""One prompt as one awaitable: what the agent answered, how the turn ended; a policy answers permission requests."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from myagent.client.errors import ClientError
from myagent.core.messages import (
    Ack,
    AgentStderr,
    AgentStdout,
    Error,
    Option,
    PermissionMode,
    PermissionRequest,
    PermissionResolved,
    RequestBody,
    TerminalState,
)

if TYPE_CHECKING:
    from myagent.client.client import Client

Verdict = Literal["allow", "deny"] | Option | None
Policy = Callable[[PermissionRequest], Verdict | Awaitable[Verdict]]

NOBODY = "the program that runs this turn allows nothing"


class PromptRefused(ClientError):
    """The server did not take a prompt; `code` is one of docs/protocol.md, such as `not_owner`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return f"the prompt was refused: {self.message} ({self.code})"


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How a turn ended.

    `output` is what the agent said, `errors` what it wrote beside that (tools, progress, stderr); `exit_code` is 0 for
    a turn that ended well, `stop_reason` as docs/protocol.md lists them, `message` the reason in words if there is one.
    """

    session: str
    turn: str
    output: str
    errors: str
    exit_code: int
    stop_reason: str
    message: str | None

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


async def run(
    client: Client, text: str, *, session: str | None, mode: PermissionMode | None, policy: Policy | None
) -> TurnResult:
    """Submit a prompt and iterate until its turn has ended. Raises as the iteration does, and `PromptRefused`."""
    turn = await client.prompt(text, session=session, mode=mode)
    output: list[str] = []
    errors: list[str] = []
    answered: set[str] = set()
    async for message in client:
        match message:
            case Error(id=at) if at == turn:
                raise PromptRefused(message.code, message.message)
            case Ack(id=at) if at == turn and message.session_id is not None:
                session = message.session_id
            case AgentStdout(id=at) if at == turn:
                output.append(message.chunk)
            case AgentStderr(id=at) if at == turn:
                errors.append(message.chunk)
            case PermissionRequest(id=at, request=RequestBody(rule_id=None)) if (
                at == turn and message.permission_request_id not in answered
            ):
                answered.add(message.permission_request_id)
                await _decide(client, message, policy)
            case PermissionResolved(id=at) if at == turn:
                answered.add(message.permission_request_id)
            case TerminalState(id=at) if at == turn:
                return TurnResult(
                    session=message.session_id or session or "",
                    turn=turn,
                    output="".join(output),
                    errors="".join(errors),
                    exit_code=message.exit_code,
                    stop_reason=message.stop_reason,
                    message=message.message,
                )
            case _:
                pass
    raise ClientError("the client was closed before the turn had ended")


async def _decide(client: Client, request: PermissionRequest, policy: Policy | None) -> None:
    if policy is None:
        await client.decide(request, "deny", reason=NOBODY)
        return
    found = policy(request)
    verdict = await found if inspect.isawaitable(found) else found
    match verdict:
        case None:
            pass
        case Option(option_id=option, kind=kind):
            await client.decide(request, "allow" if kind.startswith("allow") else "deny", option=option)
        case "allow" | "deny":
            await client.decide(request, verdict)
