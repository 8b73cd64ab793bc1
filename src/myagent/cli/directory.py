"""The directory of `--cwd`."""

from __future__ import annotations

import argparse
import os
import stat
from pathlib import Path

from myagent.exceptions import FileUnusable


def given_directory(arguments: argparse.Namespace) -> Path:
    """`--cwd`, resolved; what is no directory is wrong usage. Raises `FileUnusable` for one that cannot be used."""
    try:
        is_directory = stat.S_ISDIR(os.stat(arguments.cwd).st_mode)
        found = Path(arguments.cwd).resolve()
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.isabs(arguments.cwd):
            os.getcwd()  # where that was deleted, nothing relative exists: told by whoever runs us
        is_directory, found = False, Path()
    except (OSError, ValueError) as error:
        failed = error if isinstance(error, OSError) else OSError(str(error))
        raise FileUnusable(arguments.cwd, "use the directory", failed) from None
    if not is_directory:
        arguments.usage_error(f"--cwd {arguments.cwd!r} is not a directory")
    return found
