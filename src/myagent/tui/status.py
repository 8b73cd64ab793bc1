"""The status line: role, owner, followers, agent and its mode, and how things stand."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.text import Text

from myagent.client import Client, State
from myagent.core.messages import Metadata, PermissionRequest
from myagent.text.times import milliseconds, relative
from myagent.text.wording import name_line, one_line, request_name, seconds_since, state_word

NAME_CHARACTERS = 28  # of a request, or of a reason, so that the rest of the line has room

_COLOURS = {"live": "green", "replaying": "cyan", "waiting_for_human": "yellow", "reconnecting": "red"}


@dataclass(slots=True)
class Since:
    """Since when each open permission request waits, and the connection is lost."""

    asked: dict[str, float] = field(default_factory=dict)
    lost: float | None = None

    def look(self, client: Client) -> None:
        now, clock = time.monotonic(), datetime.now(UTC)
        self.asked = {
            key: self.asked.get(key, now - seconds_since(event.request.asked_at, clock))
            for key, event in client.requests.items()
        }
        if client.state.name != "reconnecting":
            self.lost = None
        elif self.lost is None:
            self.lost = now


def line(client: Client, metadata: Metadata | None, followers: int, since: Since, place: str, width: int) -> Text:
    """One line that fits; `place` is where in the session one looks, or empty."""
    standing, colour = _standing(client, since)
    parts = []
    if client.role != "owner":
        parts.append(f"owner: {owner_name(client)}")
    parts.append(f"{followers} follower{'' if followers == 1 else 's'}")
    if metadata is not None:
        if (metadata.agent_state or {}).get("supervision") == "unsupervised":
            parts.append("UNSUPERVISED")
        parts += [
            f"{one_line(metadata.agent)} ({one_line(metadata.mode)})",
            state_word(metadata.state, metadata.last_exit_code),
        ]
        parts.append(one_line(metadata.title))
    text = Text.assemble(((client.role or "?").upper(), "bold"), "  ", (standing, f"bold {colour}"), "  ")
    if place:
        text.append(place, "bold reverse").append("  ")
    text.append("  ".join(parts))
    text.truncate(width, overflow="ellipsis")
    return text


def _standing(client: Client, since: Since) -> tuple[str, str]:
    state: State = client.state
    colour = _COLOURS.get(state.name, "default")
    if state.name == "reconnecting":
        why = one_line(state.why.rpartition(": ")[2])
        return f"reconnecting for {_ago(since.lost)} ({_short(why)})", colour
    if client.behind:
        seen = client.seen
        count = sum(
            max(0, client.sessions[each].head - seen.get(each, 0)) for each in client.behind & set(client.sessions)
        )
        return f"behind by {count}", "cyan"
    if client.requests:
        key, request = next(iter(client.requests.items()))
        who = "you, F9" if client.may_answer else "the owner"
        if names := client.allowed.get(key):
            who = f"one more person, F9 (allowed by {', '.join(name_line(each) for each in names)})"
        return f"waiting for {who} {_ago(since.asked.get(key))}: {_short(request_name(request))}", "yellow"
    return ("live", "green") if state.name in ("live", "owner_elsewhere") else (str(state), colour)


def place(event: int | None, last: int, time: int | None = None) -> str:
    """Where one looks, if that is not the end, and when that was (in milliseconds since 1970)."""
    ago = "" if time is None else f" ({relative(time, milliseconds())})"
    return "" if event is None else f"at event {event} of {last}{ago}, Ctrl+End goes on"


def hits(found: tuple[int, int] | None, *, whole: bool) -> str:
    """Which hit of a search one looks at; `whole`: all of the session is here, so that all were counted."""
    if found is None or not found[1]:
        return ""
    number, total = found
    return f"{number} of {total}{'' if whole else ' here'}" if number else f"{total} found{'' if whole else ' here'}"


def way_to_own(client: Client) -> str:
    """What somebody can do who wants to prompt, and is not the owner."""
    if client.welcome is not None and client.welcome.scope == "follower":
        may = client.welcome.may or "watch"
        return f"this link can {may}, and never prompt"
    if client.owner is None:
        return "only the owner can prompt: F4 claims the ownership"
    return "only the owner can prompt: F4 takes the ownership over, or asks for it"


def hints(client: Client) -> tuple[str, str]:
    """What is said in an empty box for prompts, and where there is nothing to show."""
    if client.role == "owner":
        return "write a prompt; F1 helps", "Nothing has been said here. Write a prompt below."
    watches = client.welcome is not None and client.welcome.scope == "follower"
    free = "your link can do no more" if watches else "F4 claims the ownership, then you can prompt"
    whose = "the owner prompts" if client.owner else free
    return f"you watch: {whose}; F1 helps", "Nothing has been said here so far."


def queue_line(waiting: list[str], unanswered: int, width: int) -> Text:
    parts = [f"{len(waiting)} in the queue: {waiting[0]}"] if waiting else []
    if unanswered:
        parts.append(f"{unanswered} on the way to the server")
    text = Text("   ".join(parts))
    text.truncate(width, overflow="ellipsis")
    return text


def title(client: Client, session: str | None, request: PermissionRequest | None) -> str:
    """Of the terminal's window; printable."""
    if request is not None and client.may_answer:
        return f"[permission needed] {request_name(request)}"
    return f"myagent: {one_line(session or 'new session')}"


def _short(text: str) -> str:
    return text if len(text) <= NAME_CHARACTERS else f"{text[: NAME_CHARACTERS - 1]}…"


def _ago(moment: float | None) -> str:
    seconds = 0 if moment is None else int(time.monotonic() - moment)
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"


def owner_name(client: Client) -> str:
    """Who owns, as far as it was told."""
    owner = client.owner
    return name_line(owner.label or owner.connection_id) if owner else "nobody"
