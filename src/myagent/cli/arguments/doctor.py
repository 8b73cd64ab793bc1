"""The arguments of `myagent remote doctor`."""

from __future__ import annotations

import argparse

from myagent.cli.arguments.parsing import add_address

DOCTOR = """\
Say who can reach a server, with which role and over what, and try the known attacks on it: no token, a token in the
query, a page of another site, a rebound name, plain ws:// beyond this machine, files that others can read.

One line each: safe, OPEN, or a note. In the directory that is served, the running server is examined; else that of
--url. It takes no role of the server and changes nothing there; the wrong tokens that it shows are counted as such.

With --nats it looks at the engine for relays: whether it can be reached, JetStream, version, sizes, permissions, what
its streams keep, replicas and how far they are behind, and who publishes. One line each: good, WRONG, or a note.
"""

DOCTOR_EPILOG = """\
examples:
  myagent remote doctor
  myagent remote doctor --url wss://agent.example.org
  myagent remote doctor --nats nats://host:SECRET@nats.example.org

exit codes: 0 nothing is open or wrong, 1 something is, 2 wrong usage, 3 cannot connect
"""


def add_doctor(parser: argparse.ArgumentParser) -> None:
    add_address(parser)
    parser.add_argument(
        "--nats", metavar="URL", action="append", default=[],
        help="look at this server of NATS instead, as `serve --publish` and `relay` need it; may be repeated",
    )  # fmt: skip
