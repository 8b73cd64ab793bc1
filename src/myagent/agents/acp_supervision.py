"""How each session of an ACP agent is to be set: into a mode that asks, and to what the operator chose."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from myagent.agents.acp_rpc import RpcError
from myagent.agents.acp_session import Session
from myagent.agents.offers import NotOffered, offer_named
from myagent.agents.presets import Modes, Preset, hosted_env
from myagent.agents.rendering import JSON
from myagent.core.messages import PermissionMode
from myagent.exceptions import AgentUnavailable

Call = Callable[[str, JSON], Awaitable[JSON]]  # a request to the agent that is at hand


class Supervision:
    """The wishes of the preset and the operator. `preset` changes when the agent is recognised by its own words."""

    def __init__(self, label: str, preset: Preset, options: Mapping[str, str], *, allow_unsupervised: bool) -> None:
        self.label, self.preset, self.options = label, preset, dict(options)
        self.allow_unsupervised = allow_unsupervised

    def env(self, own: Mapping[str, str]) -> dict[str, str]:
        """The agent's environment: inherited, with what its preset sets, and what we were given for it."""
        given = self._given()
        preset = {key: value for key, value in self.preset.env.items() if key not in given}
        return hosted_env(os.environ, preset | dict(own))

    def write_files(self, directory: Path) -> dict[str, str]:
        """Write the files that the preset has the agent read, and give the variables that name them."""
        given = self._given()
        paths = {key: directory / f"{key.lower()}.json" for key in self.preset.files if key not in given}
        for key, path in paths.items():
            path.write_text(self.preset.files[key])
        return {key: str(path) for key, path in paths.items()}

    def note(self, session: Session, env: Mapping[str, str]) -> str:
        """One line for the operator: whether it asks, what was chosen, and what is odd."""
        modes = session.modes
        mode = f"mode {modes.current}" if modes else "it has no modes"
        if not self.preset.asks or (modes is not None and modes.wanted("default", self.preset) is None):
            said = f"UNSUPERVISED: it may run tools without asking ({mode})"
        elif given := self._given():
            said = f"UNSUPERVISED: it may run tools without asking, as {', '.join(given)} says ({mode})"
        elif self.allow_unsupervised and self.preset.session_meta:
            said = f"UNSUPERVISED: it may run tools without asking, as its own settings say ({mode})"
        else:
            said = f"asks leave ({mode})"
        chosen = (f"{name}={value}" for name, value in self.options.items())
        return "; ".join(part for part in (said, *chosen, self.preset.caution(env)) if part)

    def opening(self, cwd: Path) -> JSON:
        """What session/new and session/load are told of every session."""
        meta = {} if self.allow_unsupervised else self.preset.session_meta
        return {"cwd": str(cwd), "mcpServers": [], **({"_meta": meta} if meta else {})}

    async def choose(self, session: Session, call: Call) -> None:
        """Set what the operator chose; raises `AgentUnavailable` with what the agent offers."""
        for name, value in self.options.items():
            try:
                offer = offer_named(session.offers, name)
                params = offer.params(value, called=name)
                chosen = params[offer.field]
                if offer.current != chosen:
                    session.chose(offer, chosen, await call(offer.method, {"sessionId": session.agent_id, **params}))
            except NotOffered as error:
                raise AgentUnavailable(self.label, str(error)) from error
            except RpcError as error:
                raise AgentUnavailable(self.label, f"it refused {name}={value}: {error}") from error

    async def supervise(self, session: Session, mode: PermissionMode, call: Call) -> None:
        """Put the session into the agent's mode for ours; raises `AgentUnavailable` when it would not ask."""
        modes = session.modes
        wanted = modes.wanted(mode, self.preset) if modes else None
        if not self.preset.asks or (modes is not None and wanted is None):
            if self.allow_unsupervised:
                return
            offers = f" (it is in mode {modes.current}, and offers {', '.join(modes.available)})" if modes else ""
            raise AgentUnavailable(
                self.label,
                f"it may run tools without asking, and no mode of it that asks is known{offers}",
                "--allow-unsupervised hosts it all the same",
            )
        if modes is None or wanted is None or wanted == modes.current:
            return
        try:
            await _set_mode(session, modes, wanted, call)
        except RpcError as error:
            if mode == "bypassPermissions":  # gemini-cli, where it does not trust the directory: the host allows
                await self.supervise(session, "default", call)
                return
            raise AgentUnavailable(self.label, f"it refused the mode {wanted}: {error}") from error

    def _given(self) -> list[str]:
        """Variables of the preset that the operator set otherwise; they count for more only when that was accepted."""
        changed = [key for key, value in self.preset.env.items() if os.environ.get(key, value) != value]
        changed += [key for key in self.preset.files if os.environ.get(key)]
        return changed if self.allow_unsupervised else []


async def _set_mode(session: Session, modes: Modes, wanted: str, call: Call) -> None:
    if modes.config_id is None:
        await call("session/set_mode", {"sessionId": session.agent_id, "modeId": wanted})
    else:
        params = {"sessionId": session.agent_id, "configId": modes.config_id, "value": wanted}
        await call("session/set_config_option", params)
    modes.current = session.state["mode"] = wanted
