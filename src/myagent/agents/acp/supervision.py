"""How each session of an ACP agent is to be set: into a mode that asks, and to what the operator chose."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal

from myagent.agents.acp.directory import StartsPrograms, programs, untold
from myagent.agents.acp.modes import Modes
from myagent.agents.acp.offers import offer_named
from myagent.agents.acp.operator import NOTHING_SAID, Operator
from myagent.agents.acp.presets import NOBODY, Preset, hosted_env
from myagent.agents.acp.rpc import RpcError
from myagent.agents.acp.session import Session
from myagent.agents.choosing import NotOffered
from myagent.agents.rendering import JSON
from myagent.agents.tripwire import OnUnasked
from myagent.core.messages import PermissionMode
from myagent.exceptions import AgentUnavailable

Verdict = Literal["verified", "unverified", "operator", "unsupervised"]
Call = Callable[[str, JSON], Awaitable[JSON]]  # a request to the agent that is at hand


class PlanUnverified(AgentUnavailable):
    """A plan turn of an agent of which nobody has seen that it then changes nothing."""

    def __init__(self, agent: str) -> None:
        super().__init__(
            agent,
            "whether it changes nothing in plan mode was not verified, so no plan turn is run",
            "prompt in the default mode, or host it with --allow-unsupervised",
        )


class Supervision:
    """The wishes of the preset and the operator. `known` changes when the agent is recognised by its own words."""

    def __init__(
        self,
        label: str,
        preset: Preset,
        options: Mapping[str, str],
        *,
        allow_unsupervised: bool,
        on_unasked: OnUnasked | None = None,
        operator: Operator = NOTHING_SAID,
    ) -> None:
        self.label, self.known, self.options, self.operator = label, preset, dict(options), operator
        self.allow_unsupervised = allow_unsupervised
        self.version = ""  # what the agent says that it is
        self._on_unasked = on_unasked

    @property
    def preset(self) -> Preset:
        """What is known of the agent, or said by the operator."""
        return self.operator.over(self.known)

    def check_directory(self, cwd: Path, own: Mapping[str, str]) -> None:
        """Look for what the directory's settings would start; raises `StartsPrograms` where nobody accepted that."""
        if self.operator.trusts_directory:
            return
        found = programs(self.known, cwd, self.env(own))
        if not set(found) <= self.operator.accepted:
            raise StartsPrograms(self.label, found)

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
            path.write_text(self.preset.files[key].replace(NOBODY, secrets.token_hex(8)))
        return {key: str(path) for key, path in paths.items()}

    def why_unsupervised(self, session: Session) -> str | None:
        """Why a session's tools may run with nobody asked; `None` where the agent is to ask."""
        modes = session.modes
        if not self.preset.asks or (modes is not None and modes.wanted("default", self.preset) is None):
            return ""
        if given := self._given():
            return f", as {', '.join(given)} says"
        if self.allow_unsupervised and self.preset.session_meta:
            return ", as its own settings say"
        if session.unguarded:
            return f", as its owner chose {session.unguarded}"
        return ", as it did before" if session.unasked else None

    def verdict(self, session: Session) -> Verdict:
        """What we know of whether a session's agent asks before it changes or runs anything."""
        if self.why_unsupervised(session) is not None:
            return "unsupervised"
        if self.operator.says():
            return "operator"
        return "verified" if self.preset.is_verified(self.version) else "unverified"

    def stops(self) -> bool:
        """Whether a turn ends with a tool call that nobody was asked about."""
        return (self._on_unasked or ("stop" if self.preset.is_verified(self.version) else "tell")) == "stop"

    def note(self, session: Session, env: Mapping[str, str]) -> str:
        """One line for the operator: whether it asks, what was chosen, and what is odd."""
        modes = session.modes
        mode = f"mode {modes.current}" if modes else "it has no modes"
        match self.verdict(session):
            case "unsupervised":
                said = f"UNSUPERVISED: it may run tools without asking{self.why_unsupervised(session)} ({mode})"
            case "operator":
                said = f"not verified: {self.operator.says()}, as the operator says ({mode})"
            case "verified":
                what = "asks to leave its sandbox" if self.preset.sandboxed else "asks"
                said = f"{what} ({mode}), as verified with this version"
            case _:
                said = f"unverified: it may or may not ask ({mode})"
        chosen = (f"{name}={value}" for name, value in self.options.items())
        return "; ".join(
            part for part in (said, *chosen, self.preset.caution(env), untold(self.known, self.version)) if part
        )

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

    async def supervise(self, session: Session, mode: PermissionMode, call: Call, *, chosen: str | None = None) -> None:
        """Put the session into the agent's mode for ours; raises `AgentUnavailable` when it would not ask. `chosen` is
        the one that its owner chose, and may, instead of the one that is meant by `default`."""
        modes = session.modes
        self._check_modes(modes)
        if chosen is not None and modes is not None and mode == "default":
            if chosen != modes.current:
                try:
                    await _set_mode(session, modes, chosen, call)
                except RpcError as error:
                    raise AgentUnavailable(self.label, f"it refused the mode {chosen}: {error}") from error
            return
        wanted = modes.wanted(mode, self.preset) if modes else None
        if mode == "plan" and not self.allow_unsupervised and not self._may_plan(session):
            raise PlanUnverified(self.label)
        if not self.preset.asks or (modes is not None and wanted is None):
            if self.allow_unsupervised:
                planned = modes.planning() if modes is not None and mode == "plan" else None
                if modes is not None and planned is not None:
                    await _set_mode(session, modes, planned, call)
                return
            offers = f" (it is in mode {modes.current}, and offers {', '.join(modes.available)})" if modes else ""
            raise AgentUnavailable(
                self.label,
                self.preset.why or f"it may run tools without asking, and no mode of it that asks is known{offers}",
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

    def _may_plan(self, session: Session) -> bool:
        """Whether it was seen, or the operator says, that it changes nothing in plan mode."""
        verdict = self.verdict(session)
        return verdict == "verified" or (verdict == "operator" and self.operator.plan_mode is not None)

    def _check_modes(self, modes: Modes | None) -> None:
        """See that the modes exist that the operator names."""
        offered = modes.available if modes is not None else ()
        for mode in (self.operator.asking_mode, self.operator.plan_mode):
            if mode is not None and mode not in offered:
                raise AgentUnavailable(
                    self.label, f"it offers no mode {mode}; it offers {', '.join(offered) or 'none'}"
                )

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
    session.set_mode(wanted)
