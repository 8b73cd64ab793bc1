"""`myagent remote serve`: runs a server until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import shlex
import signal
import sys
from pathlib import Path

from myagent.agents import Agent
from myagent.agents.acp.presets import UnknownPreset
from myagent.agents.choice import NoOptions
from myagent.agents.exec import UnusableTemplate
from myagent.cli.agent_choice import chosen
from myagent.cli.invitation import qr_code, reach_note, revoking
from myagent.core.display import escape
from myagent.exceptions import MyagentError
from myagent.host.notifications import Caller, Notifications, NotifyUnusable
from myagent.redaction.redactor import BadPattern, RedactingFormatter, Redactor
from myagent.server.log_rate import LogRate
from myagent.server.server import ExposedPlain, Server
from myagent.settings import Settings

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 -- how to reach here what listens everywhere

_USAGE = (ExposedPlain, BadPattern, NoOptions, NotifyUnusable, UnknownPreset, UnusableTemplate)
START_PATIENCE_SECONDS = 3.0  # before it is told what a start waits for
NOTIFY_VARIABLE = "MYAGENT_REMOTE_NOTIFY"


def run(arguments: argparse.Namespace) -> int:
    workspace = Path(arguments.cwd)
    if not workspace.is_dir():
        arguments.usage_error(f"--cwd {arguments.cwd!r} is not a directory")
    if bool(arguments.tls_cert) != bool(arguments.tls_key):
        arguments.usage_error("--tls-cert and --tls-key belong together")
    if arguments.permission_mode == "bypassPermissions" and not arguments.allow_bypass:
        arguments.usage_error("--permission-mode bypassPermissions needs --allow-bypass")
    _fill_standard_descriptors()
    _raise_open_files()
    try:
        agent = chosen(arguments, workspace.resolve(), cover=lambda data: server.host.redactor.data(data))
        caller = _caller(arguments)
        server = Server(workspace, agent, _settings(arguments))
        if caller is not None:
            server.host.notifications = Notifications(
                server.workspace.name, after=arguments.notify_after, call=caller, details=arguments.notify_details
            )
        asyncio.run(_serve(server, agent, caller, invite=arguments.invite))
    except MyagentError as error:
        print("\n".join(f"[remote] {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 2 if isinstance(error, _USAGE) else 3
    return 0


def _caller(arguments: argparse.Namespace) -> Caller | None:
    """Raises `NotifyUnusable`."""
    urls = [*arguments.notify, *os.environ.get(NOTIFY_VARIABLE, "").split()]
    return Caller(urls) if urls else None


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        host=arguments.host,
        port=arguments.port,
        permission_mode=arguments.permission_mode,
        allow_bypass=arguments.allow_bypass,
        owner_grace=arguments.owner_grace,
        on_owner_leave=arguments.on_owner_leave,
        permission_timeout=arguments.permission_timeout,
        allowed_origins=tuple(arguments.allow_origin),
        allowed_hosts=tuple(arguments.allowed_host),
        base_path=arguments.base_path,
        open_metrics=arguments.metrics_open,
        max_connections=arguments.max_connections,
        tls_cert=Path(arguments.tls_cert) if arguments.tls_cert else None,
        tls_key=Path(arguments.tls_key) if arguments.tls_key else None,
        insecure_plain=arguments.insecure_plain,
        retain_events=arguments.retain_events,
        max_log=arguments.max_log or None,
        redact=tuple(arguments.redact),
        redact_known=arguments.redact_known,
    )


def _fill_standard_descriptors() -> None:
    """Open what we were started without (`>&-`): else a socket or a file gets that number, and what anybody writes to
    "stderr" by habit."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one


def _raise_open_files() -> None:
    """Every client is an open file; the soft limit of most systems is meant for programs that select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _log_to_stderr(redactor: Redactor) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(redactor, "[remote] %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(LogRate())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


async def _serve(server: Server, agent: Agent, caller: Caller | None, *, invite: str | None) -> None:
    _log_to_stderr(server.host.redactor)
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    server.host.on_failure = stop.set  # whoever restarts us gets a server that can tell how the turns ended
    waiting = asyncio.create_task(_say_what_it_waits_for(agent), name="serve-waiting")
    async with server:
        waiting.cancel()
        for line in _announcement(server, agent):
            print(f"[remote] {line}", flush=True)
        if invite is not None:
            _invite(server, invite)
        await stop.wait()
        _say_stopping()
    if caller is not None:
        await caller.close()
    if server.host.failure is not None:
        raise server.host.failure


async def _say_what_it_waits_for(agent: Agent) -> None:
    """While an agent starts: what is outstanding, once for each such thing that takes long."""
    said = ""
    while True:
        await asyncio.sleep(START_PATIENCE_SECONDS)
        if agent.info.waits_for not in ("", said):
            said = agent.info.waits_for
            print(f"[remote] waiting for {escape(agent.info.name)}: {escape(said)}", file=sys.stderr, flush=True)


def _announcement(server: Server, agent: Agent) -> list[str]:
    info = agent.info
    url = server.url
    host = server.settings.host
    if host in _ANYWHERE:
        url = f"{url.partition('://')[0]}://{_ANYWHERE[host]}:{server.port}"
    command = f"myagent remote client --url {url}"
    if Path.cwd() != server.workspace:
        command = f"cd {shlex.quote(str(server.workspace))} && {command}"
    return [
        f"listening {server.url}",
        f"directory {escape(str(server.workspace))}",
        f"agent {info.name}{f' ({info.note})' if info.note else ''}",
        f"auth file {escape(str(server.auth_path))}",
        f"page {server.page.address} (owner: paste the token of the auth file; others: myagent remote invite)",
        f"connect with: {escape(command)}",
    ]


def _invite(server: Server, label: str) -> None:
    """Make an invite and tell it; a server that cannot make one serves all the same."""
    try:
        made = server.invite(label=label)
    except MyagentError as error:
        print(f"[remote] {error}", file=sys.stderr)
        return
    lines = [
        f"to watch in a browser: {made.link}",
        f"good until {made.expires_at}; to end it: {revoking(made.id, server.workspace)}",
        *reach_note(server.page),
    ]
    print("\n".join([f"[remote] {line}" for line in lines] + qr_code(made.link, server.page, wanted=None)), flush=True)


def _say_stopping() -> None:
    try:
        print("[remote] stopping", flush=True)
    except BrokenPipeError:  # whoever read our lines has gone; that is no reason not to stop well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
