"""The arguments of `myagent remote relay`, and those of `serve` that publish to one."""

from __future__ import annotations

import argparse

from myagent.cli.arguments.parsing import DEFAULT_HOST, base_path, count, port

RELAY = """\
Show workspaces that are served elsewhere: everything that hosts publish to NATS (`serve --publish`), each under its
name. The page, `attach` and `client` work as with the host itself; it is the host that says which
credentials are good, and that decides whatever is sent.
"""

RELAY_EPILOG = """\
examples:
  myagent remote relay --nats nats://relay:SECRET@nats.example.org
  myagent remote client --url ws://127.0.0.1:8766/team/web/ --token …     watch what `serve --name team/web` publishes

The copies of the sessions in DIRECTORY can be deleted while no relay runs there; they are fetched again.
It needs the extra relay. The URL of NATS may stand in $MYAGENT_RELAY_NATS, since it holds a password.
exit codes: 0 stopped, 2 wrong or unsafe usage, 3 cannot serve here
"""

DEFAULT_RELAY_PORT = 8766


def add_relay(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--nats", metavar="URL", action="append", default=[], help="a server of NATS; may be repeated for a cluster")
    add("--host", default=DEFAULT_HOST, help=f"address to listen on (default {DEFAULT_HOST}: this machine only)")
    add("--port", type=port, default=DEFAULT_RELAY_PORT, help="port to listen on (default: %(default)s; 0: any)")
    add("--data", metavar="DIRECTORY", default=".myagent-relay", help="where the copies are (default: %(default)s)")
    add(
        "--watch-only", action="store_true",
        help="forward nothing to hosts: whoever comes through this relay can watch, whatever their credential may do",
    )  # fmt: skip
    add("--tls-cert", metavar="FILE", help="certificate chain, PEM: serve wss:// (with --tls-key)")
    add("--tls-key", metavar="FILE", help="private key, PEM")
    add("--insecure-plain", action="store_true", help="listen beyond this machine without TLS: tokens can be read")
    add("--allow-origin", metavar="ORIGIN", action="append", default=[], help="a web page's origin; may be repeated")
    add("--allowed-host", metavar="HOST", action="append", default=[], help="a name of this relay; may be repeated")
    add(
        "--base-path", metavar="PATH", type=base_path, default="",
        help="what a reverse proxy puts before every path, like /agents",
    )  # fmt: skip
    add("--metrics-open", action="store_true", help="give /NAME/metrics to whoever asks, not to owner tokens alone")
    add("--max-connections", metavar="N", type=count, default=1024, help="connections at a time (default 1024)")


def add_publishing(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--publish", metavar="URL", action="append", default=[],
        help="publish the sessions to this server of NATS, for `myagent remote relay`; may be repeated for a cluster; "
        "needs --name and the extra relay; as it holds a password, better in $MYAGENT_RELAY_NATS",
    )  # fmt: skip
    add("--name", metavar="NAME", help="the name to publish under, like team/web; one host at a time has it")
    add(
        "--name-wait", action="store_true",
        help="where another host has the name, take it when it is free (default: go on unpublished)",
    )  # fmt: skip
    add(
        "--publish-replicas", metavar="N", type=count, default=1,
        help="servers of a cluster that keep what is published, where the streams are not there yet (default 1)",
    )  # fmt: skip
