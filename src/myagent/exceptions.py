"""What can go wrong, as classes: each takes facts, and `__str__` makes the sentence."""

from __future__ import annotations

import errno
import os


class MyagentError(Exception):
    """Base of everything that this package raises on purpose; `str()` is one clear line for a human."""


class AgentUnavailable(MyagentError):
    """An agent cannot run here: what is missing, and how to get it."""

    def __init__(self, agent: str, reason: str, remedy: str = "") -> None:
        super().__init__(agent, reason, remedy)
        self.agent, self.reason, self.remedy = agent, reason, remedy

    def __str__(self) -> str:
        return f"agent {self.agent} cannot run: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")


class FileUnusable(MyagentError):
    """The system refused something with a file or directory of ours."""

    def __init__(self, path: object, doing: str, error: OSError) -> None:
        super().__init__(path, doing, error)
        self.path, self.doing, self.error = path, doing, error

    def __str__(self) -> str:
        shown = os.fsencode(str(self.path)).decode("utf-8", "backslashreplace").replace("\n", "\\n")
        why = self.error.strerror or type(self.error).__name__
        return f"cannot {self.doing} {shown}: {why}; {_REMEDIES.get(self.error.errno or 0, _REMEDY)}"


_REMEDY = "see that its disk works and that this user may use it"
_REMEDIES = {
    errno.EACCES: "see who may read and write there (ls -ld), or use another one",
    errno.EPERM: "its disk or its kind does not allow that: use another one",
    errno.EROFS: "its disk is read-only: use another one",
    errno.ENOSPC: "make space on its disk",
    errno.EDQUOT: "make space: this user's share of the disk is full",
    errno.ENOENT: "see that it exists",
    errno.ENOTDIR: "something on the way there is not a directory: move it away",
    errno.EISDIR: "it is a directory: name a file",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ELOOP: "its links lead in a circle: mend them",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
}
