"""An ACP agent built on the protocol's Python SDK: a second implementation, which judges every message of ours."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import acp
from acp.schema import (
    AgentCapabilities,
    AllowedOutcome,
    ElicitationFormSessionMode,
    ElicitationSchema,
    ElicitationStringPropertySchema,
    Implementation,
    InitializeResponse,
    NewSessionResponse,
    PermissionOption,
    PromptResponse,
    SessionMode,
    SessionModeState,
    SetSessionModeResponse,
    ToolCallUpdate,
)

MODES = [SessionMode(id="auto", name="Auto"), SessionMode(id="ask", name="Ask")]
OPTIONS = [
    PermissionOption(option_id="1", name="Always", kind="allow_always"),
    PermissionOption(option_id="2", name="Yes", kind="allow_once"),
    PermissionOption(option_id="3", name="No", kind="reject_once"),
]


class SdkAgent(acp.Agent):
    """Does what the prompt says, as `fake_agent.py` does; it starts in a mode that writes without asking."""

    def __init__(self) -> None:
        self._client: acp.Client
        self._cwd: dict[str, Path] = {}
        self._mode: dict[str, str] = {}
        self._cancelled: dict[str, asyncio.Event] = {}
        self._ids = itertools.count()

    def on_connect(self, conn: acp.Client) -> None:
        self._client = conn

    async def initialize(self, protocol_version: int, **kwargs: Any) -> InitializeResponse:
        return InitializeResponse(
            protocol_version=min(protocol_version, acp.PROTOCOL_VERSION),
            agent_capabilities=AgentCapabilities(load_session=False),
            agent_info=Implementation(name="sdk", title="SDK agent", version="1"),
        )

    async def new_session(self, cwd: str, **kwargs: Any) -> NewSessionResponse:
        session = f"sdk-{next(self._ids)}"
        self._cwd[session], self._mode[session] = Path(cwd), "auto"
        modes = SessionModeState(current_mode_id="auto", available_modes=MODES)
        return NewSessionResponse(session_id=session, modes=modes)

    async def set_session_mode(self, session_id: str, mode_id: str, **kwargs: Any) -> SetSessionModeResponse:
        self._mode[session_id] = mode_id
        return SetSessionModeResponse()

    async def prompt(self, session_id: str, prompt: list[Any], **kwargs: Any) -> PromptResponse:
        self._cancelled[session_id] = asyncio.Event()
        word, _, rest = prompt[0].text.partition(" ")
        match word:
            case "read":
                await self._say(session_id, (self._cwd[session_id] / rest).read_text())
            case "write":
                path, _, text = rest.partition(" ")
                await self._write(session_id, self._cwd[session_id] / path, text)
            case "question":
                await self._question(session_id)
            case "linger":
                return await self._linger(session_id)
            case _:
                raise acp.RequestError.internal_error({"details": "not a word that it knows"})
        return PromptResponse(stop_reason="end_turn")

    async def cancel(self, session_id: str, **kwargs: Any) -> None:
        self._cancelled[session_id].set()

    async def _say(self, session: str, text: str) -> None:
        await self._client.session_update(session, acp.update_agent_message_text(text))

    async def _question(self, session: str) -> None:
        colours = ElicitationStringPropertySchema(type="string", enum=["red", "blue"])
        form = ElicitationSchema(properties={"which": colours}, required=["which"])
        given = await self._client.create_elicitation(
            "which?", ElicitationFormSessionMode(session_id=session, mode="form", requested_schema=form)
        )
        await self._say(session, given.model_dump_json())

    async def _write(self, session: str, place: Path, text: str) -> None:
        call = f"call-{next(self._ids)}"
        content = [acp.tool_diff_content(str(place), text)]
        started = acp.start_tool_call(call, f"Write {place.name}", kind="edit", status="pending", content=content)
        await self._client.session_update(session, started)
        if self._mode[session] == "ask":
            asked = ToolCallUpdate(tool_call_id=call, title=started.title, kind="edit", content=content)
            answer = await self._client.request_permission(session_id=session, tool_call=asked, options=OPTIONS)
            allowed = isinstance(answer.outcome, AllowedOutcome) and answer.outcome.option_id != "3"
        else:
            allowed = True
        if allowed:
            place.write_text(text)
        status = "completed" if allowed else "failed"
        await self._client.session_update(session, acp.update_tool_call(call, status=status))

    async def _linger(self, session: str) -> PromptResponse:
        children = [await asyncio.create_subprocess_exec("sleep", "1000") for _ in range(2)]
        await self._say(session, " ".join(str(child.pid) for child in children) + "\n")
        await self._cancelled[session].wait()
        for child in children:
            child.kill()
            await child.wait()
        return PromptResponse(stop_reason="cancelled")


if __name__ == "__main__":
    asyncio.run(acp.run_agent(SdkAgent()))
