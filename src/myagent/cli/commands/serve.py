"""`myagent remote serve`: runs a server until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import msgspec

from myagent.access.seal import private_directories
from myagent.access.state_directory import check_name
from myagent.agents import Agent
from myagent.agents.acp.presets import UnknownPreset
from myagent.agents.choice import NoOptions
from myagent.agents.exec import UnusableTemplate
from myagent.agents.processes import adoption, confinement, kept
from myagent.agents.tools.credentials import Places
from myagent.cli.agent_choice import chosen
from myagent.cli.arguments.parsing import DEFAULT_PORT
from myagent.cli.commands.pair import lines as pairing
from myagent.cli.directory import given_directory
from myagent.cli.invitation import qr_code, reach_note, revoking
from myagent.cli.pasting import quoted
from myagent.cli.terminal.output import abandon_stdout, put, say
from myagent.cli.terminal.told import Told
from myagent.core.approvals import UnusableApproveBy
from myagent.core.away import UnusableOwnerAway
from myagent.core.display import escape
from myagent.core.messages import May
from myagent.exceptions import MyagentError
from myagent.host.notifications import Caller, Notifications, NotifyUnusable
from myagent.redaction.redactor import BadPattern, RedactingFormatter, Redactor
from myagent.relay.engine import NATS_VARIABLE, Engine, nats_urls
from myagent.relay.publisher import Publisher, publish
from myagent.relay.subjects import BadName
from myagent.server.log_rate import LogRate
from myagent.server.server import ExposedPlain, Server
from myagent.settings import Settings
from myagent.text.happenings import Happenings
from myagent.text.terminal import visible

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 -- how to reach here what listens everywhere

_USAGE = (
    UnusableApproveBy,
    UnusableOwnerAway,
    ExposedPlain,
    confinement.CannotConfine,
    BadName,
    BadPattern,
    NoOptions,
    NotifyUnusable,
    UnknownPreset,
    UnusableTemplate,
)
SPARE_PORTS = 20  # after the usual one, for further projects on this machine
REAP_SECONDS = 1.0  # between two looks for orphans that have ended
PLACES_NAMED = 6  # that hold credentials, in one line
START_PATIENCE_SECONDS = 3.0  # before it is told what a start waits for
NOTIFY_VARIABLE = "MYAGENT_REMOTE_NOTIFY"


def run(arguments: argparse.Namespace) -> int:
    workspace = given_directory(arguments)
    if bool(arguments.tls_cert) != bool(arguments.tls_key):
        arguments.usage_error("--tls-cert and --tls-key belong together")
    if arguments.permission_mode == "bypassPermissions" and not arguments.allow_bypass:
        arguments.usage_error("--permission-mode bypassPermissions needs --allow-bypass")
    if arguments.agent_user and arguments.sandbox:
        arguments.usage_error("give --agent-user or --sandbox: one of them")
    if arguments.owner_away == "notify" and not [*arguments.notify, *os.environ.get(NOTIFY_VARIABLE, "").split()]:
        arguments.usage_error(f"--owner-away notify needs --notify, or ${NOTIFY_VARIABLE}")
    if arguments.publish and arguments.name is None:
        arguments.usage_error("--publish needs --name")
    if arguments.name is not None and not nats_urls(arguments.publish):
        arguments.usage_error(f"--name is a name to publish under: give --publish, or ${NATS_VARIABLE}")
    _fill_standard_descriptors()
    raise_open_files()
    try:
        check_name(workspace.resolve())
        confinement.chosen = _walls(arguments, workspace.resolve())
        agent = chosen(arguments, workspace.resolve(), cover=lambda data: server.host.redactor.data(data))
        caller = _caller(arguments)
        server = Server(workspace, agent, _settings(arguments))
        publisher = _publisher(arguments, server)
        if caller is not None:
            server.host.notifications = Notifications(
                server.workspace.name, after=arguments.notify_after, call=caller, details=arguments.notify_details
            )
        asyncio.run(_serve(server, agent, caller, publisher, arguments))
    except MyagentError as error:
        for line in str(error).splitlines():
            say(line)
        return 2 if isinstance(error, _USAGE) else 3
    return 0


def _publisher(arguments: argparse.Namespace, server: Server) -> Publisher | None:
    """Whoever publishes to relays, if that is wanted. Raises `BadName`, `EngineUnusable`."""
    if arguments.name is None:
        return None
    return Publisher(
        server.host, server.access, Engine(nats_urls(arguments.publish), name=f"myagent {arguments.name}"),
        arguments.name, say=lambda line: say(line, error=False), wait=arguments.name_wait,
        replicas=arguments.publish_replicas,
    )  # fmt: skip


def _walls(arguments: argparse.Namespace, workspace: Path) -> confinement.Confinement:
    """Raises `CannotConfine`."""
    if arguments.agent_user:
        return confinement.OtherUser(arguments.agent_user)
    if arguments.sandbox:
        return confinement.Bubblewrap([workspace / ".myagent", *private_directories()])
    return confinement.Confinement()


def _caller(arguments: argparse.Namespace) -> Caller | None:
    """Raises `NotifyUnusable`."""
    urls = [*arguments.notify, *os.environ.get(NOTIFY_VARIABLE, "").split()]
    return Caller(urls) if urls else None


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        host=arguments.host,
        port=DEFAULT_PORT if arguments.port is None else arguments.port,
        spare_ports=SPARE_PORTS if arguments.port is None else 0,
        permission_mode=arguments.permission_mode,
        allow_bypass=arguments.allow_bypass,
        owner_grace=arguments.owner_grace,
        on_owner_leave=arguments.on_owner_leave,
        takeover=arguments.takeover,
        approve_by=arguments.approve_by,
        owner_away=arguments.owner_away,
        notify_after=arguments.notify_after,
        notify_details=arguments.notify_details,
        permission_timeout=arguments.permission_timeout,
        activity_quiet=arguments.activity_quiet,
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
        credential_places=tuple(arguments.credential_place),
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


def raise_open_files() -> None:
    """Every client is an open file; the soft limit of most systems is meant for programs that select().
    What agents run is such a program: it gets the limit that we were started with."""
    kept.file_limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _LineFormatter(RedactingFormatter):
    """A log that is read on a terminal: what others chose is in its records too."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def log_to_stderr(redactor: Redactor) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_LineFormatter(redactor, "[remote] %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(LogRate())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


async def _serve(
    server: Server, agent: Agent, caller: Caller | None, publisher: Publisher | None, arguments: argparse.Namespace
) -> None:
    log_to_stderr(server.host.redactor)
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        loop.add_signal_handler(number, told)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # `nohup` means that it is to go on
        loop.add_signal_handler(signal.SIGHUP, stop.set)  # once or twice: a terminal and its shell both tell
    if arguments.stop_with_stdin:
        try:
            stdin = sys.stdin.fileno()
            loop.add_reader(stdin, _stop_at_the_end, stdin, stop)
        except PermissionError:  # a file, or /dev/null: nobody is at its other end
            stop.set()
    adoption.begin()
    reaping = asyncio.create_task(_reap(), name="reap orphans")
    server.host.on_failure = stop.set  # whoever restarts us gets a server that can tell how the turns ended
    try:
        await _serve_until(stop, server, agent, publisher, arguments)
    finally:
        reaping.cancel()
        adoption.end_all()
    if caller is not None:
        await caller.close()
    if server.host.failure is not None:
        raise server.host.failure


def _stop_at_the_end(stdin: int, stop: asyncio.Event) -> None:
    """Whoever started us holds the other end of standard input; what comes there means nothing, that it ends does."""
    if not os.read(stdin, 4096):
        asyncio.get_running_loop().remove_reader(stdin)
        stop.set()


async def _reap() -> None:
    while True:
        await asyncio.sleep(REAP_SECONDS)
        adoption.reap()


async def _serve_until(
    stop: asyncio.Event, server: Server, agent: Agent, publisher: Publisher | None, arguments: argparse.Namespace
) -> None:
    waiting = asyncio.create_task(_say_what_it_waits_for(agent), name="serve-waiting")
    told: Told | None = None
    try:
        async with server:
            waiting.cancel()
            for line in _announcement(server, agent):
                _announce(line)
            if arguments.invite is not None:
                _invite(server, arguments.invite)
            if arguments.pair is not None:
                _pair(server, arguments.pair)
            if publisher is not None:
                publish(server, publisher)
            told = Told()
            if not arguments.quiet:
                _tell_what_happens(server, told)
            await stop.wait()
            told("stopping")
    finally:
        if told is not None:
            told.close()


def _tell_what_happens(server: Server, tell: Callable[[str], None]) -> None:
    """A line for whatever the audit takes that a human at this terminal wants to know; `tell` must not wait."""
    happenings = Happenings(server.invite_label)

    def recorded(record: bytes) -> None:
        if line := happenings.line(msgspec.json.decode(record)):
            tell(line)

    def wrong(address: str) -> None:
        if line := happenings.wrong_credential(address, monotonic()):
            tell(line)

    server.host.log.audited = recorded
    server.on_wrong_credential = wrong


async def _say_what_it_waits_for(agent: Agent) -> None:
    """While an agent starts: what is outstanding, once for each such thing that takes long."""
    said = ""
    while True:
        await asyncio.sleep(START_PATIENCE_SECONDS)
        if agent.info.waits_for not in ("", said):
            said = agent.info.waits_for
            say(f"waiting for {agent.info.name}: {said}")


def _announcement(server: Server, agent: Agent) -> list[str]:
    info = agent.info
    url = server.url
    host = server.settings.host
    if host in _ANYWHERE:
        url = f"{url.partition('://')[0]}://{_ANYWHERE[host]}:{server.port}"
    command = f"myagent remote client --url {url}"
    if Path.cwd() != server.workspace:
        command = f"cd {quoted(str(server.workspace))} && {command}"
    return [
        f"listening {server.url}",
        f"directory {escape(str(server.workspace))}",
        *_exposed(server),
        f"agent {escape(info.name)}{f' ({info.note})' if info.note else ''}",
        f"wall {escape(confinement.chosen.wall)}",
        f"auth file {escape(str(server.auth_path))}",
        f"page {server.page.address} (owner: paste the token of the auth file; others: myagent remote invite)",
        f"connect with: {command}",
    ]


def _exposed(server: Server) -> list[str]:
    """What of this user's secrets is within reach of whoever works in the directory."""
    here = server.workspace
    what = "the root of all files" if here == Path(here.anchor) else "your home directory" if here == _home() else ""
    found = Places(server.settings.credential_places).within(here)
    if not what and not found:
        return []
    listed = f"{', '.join(found[:PLACES_NAMED])}{', …' if len(found) > PLACES_NAMED else ''}"
    said = f"this is {what}; it holds credentials: {listed}" if what and found else ""
    said = said or (f"this is {what}" if what else f"this directory holds credentials: {listed}")
    return [
        f"NOTE {said}. Our own tools ask before they read such places; commands, and agents that are hosted, need not"
    ]


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:  # this user has none
        return None


def _invite(server: Server, label: str) -> None:
    """Make an invite and tell it; a server that cannot make one serves all the same."""
    try:
        made = server.invite(label=label)
    except MyagentError as error:
        say(str(error))
        return
    lines = [
        f"to watch in a browser: {made.link}",
        f"good until {made.expires_at}; to end it: {revoking(made.id, server.workspace)}",
        *reach_note(server.page),
    ]
    for line in lines:
        _announce(line)
    if drawn := qr_code(made.link, server.page, wanted=None):
        put("".join(f"{line}\n" for line in drawn), keep_colours=True)


def _pair(server: Server, may: May) -> None:
    """Make a link that pairs a device, and tell it; a server that cannot make one serves all the same."""
    try:
        made = server.pair(may)
    except MyagentError as error:
        say(str(error))
        return
    ending = revoking(made.id, server.workspace)
    put("".join(f"{line}\n" for line in pairing(may, made.link, server.page, ending, qr=None)), keep_colours=True)


def _announce(line: str) -> None:
    try:
        say(line, error=False)
    except OSError:  # `serve | head -1`: whoever read our lines has gone; others may be connected, or want to
        abandon_stdout()
        say("nobody reads standard output any more: serving goes on without it")
