"""What separates an agent's processes from this server, and what that is worth, said in one line.

Chosen once for a process, by `serve`: whatever agents start from then on starts so.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from myagent.exceptions import MyagentError

Identity = tuple[int, int, list[int]]  # user, group, further groups


class CannotConfine(MyagentError):
    """A wall that was asked for cannot stand here; nothing was started."""

    def __init__(self, option: str, why: str) -> None:
        super().__init__(option, why)
        self.option, self.why = option, why

    def __str__(self) -> str:
        return f"{self.option}: {self.why}"


class Confinement:
    """No wall at all: what every agent has unless something else was asked for."""

    wall = "same user: the agent could read the owner token from disk"
    identity: Identity | None = None

    def environment(self, env: Mapping[str, str]) -> Mapping[str, str]:
        return env

    def command(self, argv: Sequence[str], cwd: Path) -> list[str]:
        return [*argv]


class OtherUser(Confinement):
    """The agent's processes are those of another user of the system, which only root can let them be.

    Raises `CannotConfine` where that user is no other, or not one that is kept out.
    """

    def __init__(self, name: str) -> None:
        option = f"--agent-user {name}"
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            raise CannotConfine(option, "there is no such user") from None
        if os.geteuid() != 0:
            raise CannotConfine(option, "only a server that root runs can start processes as another user")
        if user.pw_uid == 0:
            raise CannotConfine(option, "that is root, whom nothing keeps out")
        groups = os.getgrouplist(name, user.pw_gid)
        if 0 in groups:
            raise CannotConfine(option, "that user is in root's group")
        self._user = user
        self.identity = (user.pw_uid, user.pw_gid, groups)
        named = [grp.getgrgid(each).gr_name for each in groups if each != user.pw_gid and _known(each)]
        also = f" or the groups {', '.join(named)}" if named else ""
        self.wall = (
            f"another user: the agent's processes run as {name}, and can read neither .myagent nor this server's "
            f"memory, unless {name} may become root (sudo{also})"
        )

    def environment(self, env: Mapping[str, str]) -> Mapping[str, str]:
        user = self._user
        known = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": user.pw_shell}
        return {**env, **{name: value for name, value in known.items() if name in env}}


class Bubblewrap(Confinement):
    """The agent's processes see neither the directories in `hidden` nor any process but their own, through bwrap(1).

    Raises `CannotConfine` where that does not work.
    """

    def __init__(self, hidden: Sequence[Path]) -> None:
        program = shutil.which("bwrap")
        if program is None:
            raise CannotConfine("--sandbox bwrap", "bwrap is not installed (apt-get install bubblewrap)")
        self._program, self._hidden = program, [*hidden, Path("/run/user", str(os.geteuid()))]
        self.wall = (
            "bubblewrap, same user: the agent's processes do not see .myagent, this server, or any other process; "
            "they do see your other files, and what listens for you in /tmp or on the network"
        )

    def command(self, argv: Sequence[str], cwd: Path) -> list[str]:
        walls = ["--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--unshare-ipc"]
        walls += ["--die-with-parent", "--cap-drop", "ALL"]
        for each in self._hidden:
            if each.is_dir():
                walls += ["--tmpfs", str(each)]
        return [self._program, *walls, "--chdir", str(cwd), "--", *argv]


def _known(gid: int) -> bool:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True


chosen = Confinement()
