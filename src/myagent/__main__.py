"""The command `myagent`: reads the arguments, and imports only what the chosen command needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from myagent.cli.parser import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = make_parser()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["__complete"]:  # what the shells ask; no command for people
        return _complete(parser, given[1:])
    chosen = parser.parse_args(given)
    try:
        return int(chosen.run(chosen))
    except KeyboardInterrupt:
        return 130


def _complete(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    from myagent.cli.completion import candidates

    print("\n".join(candidates(parser, words)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
