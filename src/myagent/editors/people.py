"""Who else is here: what this connection may do, and the lines that show and move ownership."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from myagent.core.messages import (
    Claim,
    Command,
    ConnectionInfo,
    ControlRequested,
    Handover,
    Limits,
    May,
    OwnerChanged,
    OwnerInfo,
    Release,
    Role,
    RoleMessage,
    TwoScopes,
    Welcome,
    Who,
)
from myagent.editors.rpc import INVALID_PARAMS, INVALID_REQUEST, JSON, RpcError

CHUNK_BYTES = 65536  # of an event's frame, with a server that does not tell


class Here:
    """This connection among the others, as last told."""

    def __init__(self) -> None:
        self.role: Role | None = None
        self.scope: TwoScopes = "owner"
        self.connection_id = ""
        self.labels: set[str] = set()  # that this connection went by; a prompt under one of them may be its own
        self.owner: OwnerInfo | None = None
        self.followers = 0
        self.limits: Limits | None = None
        self.takes: tuple[str, ...] = ()  # what the agent takes in a prompt beside text
        self._may: May | None = None
        self._epoch = 0

    def greeted(self, welcome: Welcome) -> None:
        self.scope, self.connection_id = welcome.scope, welcome.connection_id
        self.owner, self.followers, self.limits = welcome.owner, welcome.followers, welcome.limits
        self.takes = welcome.takes
        self._epoch, self._may = welcome.owner_epoch, welcome.may
        self.labels.add(welcome.connection_id)

    def moved(self, message: RoleMessage | OwnerChanged) -> None:
        if isinstance(message, RoleMessage):
            self.role = message.role
        elif message.owner_epoch >= self._epoch:  # what is told to the new owner alone may overtake what all are told
            self._epoch, self.owner = message.owner_epoch, message.owner

    @property
    def may_answer(self) -> bool:
        """Whether permission requests are put to this connection."""
        return self.role == "owner" or self._may == "approve"

    @property
    def may_stop(self) -> bool:
        """Whether it may cancel a turn that is not its own."""
        return self.role == "owner" or self._may in ("stop", "approve")

    @property
    def chunk_bytes(self) -> int:
        return CHUNK_BYTES if self.limits is None else self.limits.chunk_frame_bytes

    def is_other(self, name: str) -> bool:
        return name not in self.labels

    # --- refusals in words ------------------------------------------------------------------------------------------

    def check_owner(self, what: str) -> None:
        """Raises `RpcError` for a follower, in words that an editor shows."""
        if self.role != "owner":
            raise RpcError(INVALID_REQUEST, self.read_only(what), "not_owner")

    def read_only(self, what: str) -> str:
        if self.scope != "owner":
            return f"read-only follower: this credential can {self._may or 'watch'} and no more, it cannot {what}"
        if self.owner is None:
            return f"read-only follower: nobody owns this session now; /claim takes the slot, then you can {what}"
        return f"read-only follower: the slot is taken by {self._name(self.owner)}; /claim asks for it"

    def check_size(self, prompt: str) -> None:
        """Raises `RpcError`."""
        size = len(prompt.encode())
        if self.limits is not None and size > self.limits.prompt_bytes:
            raise RpcError(
                INVALID_PARAMS,
                f"the prompt has {size} bytes, and the server takes {self.limits.prompt_bytes} at most",
                "too_large",
            )

    def check_pictures(self, pictures: Sequence[bytes]) -> None:
        """Raises `RpcError`."""
        if self.limits is None:
            return
        if any(len(each) > self.limits.item_bytes for each in pictures):
            raise RpcError(INVALID_PARAMS, f"an image is larger than {self.limits.item_bytes} bytes", "too_large")
        if sum(map(len, pictures)) > self.limits.item_bytes * 2:
            raise RpcError(INVALID_PARAMS, "the images of one prompt are too large together", "too_large")

    # --- the commands -----------------------------------------------------------------------------------------------

    def command(self, name: str, rest: str, new_id: Callable[[], str]) -> Command | None:
        """What a line of ours asks of the server; `None` where the answer is known here. Raises `RpcError`."""
        match name:
            case "claim":
                return Claim(id=new_id(), force=rest == "force")
            case "release" if self.role == "owner":
                return Release(id=new_id())
            case "handover" if self.role == "owner":
                return Who(id=new_id())
            case "who" if self.role == "owner":
                return Who(id=new_id())
            case "who":
                return None
            case _:
                raise RpcError(INVALID_REQUEST, f"only the owner can do that: {self.told()}", "not_owner")

    def handover(self, rest: str, connections: Iterable[ConnectionInfo], new_id: str) -> Handover:
        """To whoever is meant by a label or the beginning of a connection's id. Raises `RpcError`."""
        others = [each for each in connections if each.connection_id != self.connection_id]
        found = [each for each in others if rest and (rest in (each.label, each.connection_id))]
        found = found or [each for each in others if rest and each.connection_id.startswith(rest)]
        if len(found) == 1:
            return Handover(id=new_id, to=found[0].connection_id)
        why = "whom to? say /handover and a name" if not rest else "nobody here" if not found else "several here"
        raise RpcError(INVALID_PARAMS, f"{why}{f' go by {rest!r}' if rest else ''}:\n{self.listed(others)}")

    def did(self, name: str) -> None:
        """A line of ours was carried out: what it means for the role is told only after its ack."""
        if name != "ask":
            self.role = "owner" if name == "claim" else "follower"

    def told(self) -> str:
        """Who owns, from what every connection is told."""
        owner = "nobody owns this session" if self.owner is None else f"{self._name(self.owner)} owns this session"
        you = "you own this session" if self.role == "owner" else owner
        return f"{you}; {self.followers} follow{'' if self.followers != 1 else 's'}"

    def listed(self, connections: Iterable[ConnectionInfo]) -> str:
        rows = []
        for each in connections:
            you = " (you)" if each.connection_id == self.connection_id else ""
            label = f"{each.label} " if each.label else ""
            rows.append(f"- {each.role}: {label}{each.connection_id}{you}, since {each.since}")
        return "\n".join(rows)

    def facts(self) -> JSON:
        """For `_meta`."""
        owner = None if self.owner is None else {"connectionId": self.owner.connection_id, "label": self.owner.label}
        return {"role": self.role, "owner": owner, "ownerEpoch": self._epoch, "connectionId": self.connection_id}

    def heard(self, message: Any) -> str:
        """What a message says to the human at the editor, empty for most."""
        match message:
            case ControlRequested(connection_id=who, label=label):
                return f"[{label or who} asks for control: /handover {label or who} gives it]\n"
        return ""

    def _name(self, owner: OwnerInfo) -> str:
        return owner.label or owner.connection_id


def done(name: str, *, is_so_already: bool) -> str:
    """What became of a line of ours."""
    match name:
        case "claim":
            return "you own this session already" if is_so_already else "you own this session now"
        case "ask":
            return "the owner was asked for it" if not is_so_already else "you own this session already"
        case "release":
            return "the slot is free; you are watching"
        case _:
            return "the slot is theirs; you are watching"
