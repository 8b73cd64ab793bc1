"""Every setting of a server, with its default and unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from myagent.core.messages import Limits, PermissionMode, Scope
from myagent.core.session import QUEUE_LIMIT

OnOwnerLeave = Literal["continue", "deny", "interrupt"]
Takeover = Literal["own", "any"]

# Precedents: `websockets` takes messages up to 1 MiB; 64 KiB is its and asyncio's default for a write buffer.
LIMITS = Limits(
    message_bytes=1 << 20,
    prompt_bytes=256 << 10,
    chunk_frame_bytes=64 << 10,
    fragments=64,
    owner_messages_per_second=50,
    follower_messages_per_second=5,
    errors=20,  # in 10 s
    queue=QUEUE_LIMIT,
    item_bytes=8 << 20,  # more than any model takes of a picture (5 MB)
    content_bytes=64 << 20,
)


FOLLOWER_MESSAGE_BYTES = 4 << 10  # the largest that a follower's credential may send: all that it may say is short
APPROVER_MESSAGE_BYTES = 64 << 10  # and one that may answer: with a reason of 4,096 characters


def limits_of(limits: Limits, scope: Scope) -> Limits:
    """The limits of a connection with a credential of this scope."""
    if scope == "owner":
        return limits
    most = APPROVER_MESSAGE_BYTES if scope == "approve" else FOLLOWER_MESSAGE_BYTES
    return replace(limits, message_bytes=min(limits.message_bytes, most))


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves; times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    spare_ports: int = 0  # so many after `port` will do where that is in use
    permission_mode: PermissionMode = "default"
    allow_bypass: bool = False  # let clients ask for `bypassPermissions`
    owner_grace: float = 10.0  # the slot is kept this long for an owner whose connection dropped
    on_owner_leave: OnOwnerLeave = "continue"  # what a running turn does when its owner goes
    takeover: Takeover = "own"  # from whom the slot may be taken over: the same credential, or any
    approve_by: str = "1"  # how many people must allow a request: `2`, or of some kinds alone `2:execute,delete`
    owner_away: str = "wait"  # while nobody who may answer is connected: or `deny:SECONDS`, or `notify`
    notify_after: float = 60.0  # a device is called when what waits was not answered for so long
    notify_details: bool = False  # say in a call what is asked
    permission_timeout: float = 600.0  # an unanswered request is then denied
    activity_quiet: float = 10.0  # an agent that works unprompted and says nothing for so long has stopped
    allowed_origins: tuple[str, ...] = ()  # of web pages, beside the server's own
    allowed_hosts: tuple[str, ...] = ()  # `Host` headers, beside the address that is listened on and localhost
    max_connections: int = 1024
    wrong_credentials: int = 10  # from one address in a minute; more are answered with 429, a right one never
    redact: tuple[str, ...] = ()  # regular expressions: what matches is not stored
    credential_places: tuple[str, ...] = ()  # patterns of paths, beside the known ones; `!` before one takes it off
    redact_known: bool = True  # nor are keys whose form their makers publish
    base_path: str = ""  # "/agent": what a reverse proxy puts before every path, also when it leaves it there
    open_metrics: bool = False  # give /metrics to whoever asks, not to owner credentials alone
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure_plain: bool = False  # listen beyond loopback without TLS
    retain_events: int | None = None  # per session; None: all
    max_log: int | None = 8 << 30  # bytes of the event log, after which nothing new is taken; None: as the disk has
    heartbeat: float = 5.0  # between pings; an owner that is silent for twice as long is gone
    stall_timeout: float = 15.0  # a reader that takes nothing for so long is dropped
    close_timeout: float = 1.0  # for the other side to answer a close frame
    handshake_timeout: float = 5.0
    limits: Limits = LIMITS
