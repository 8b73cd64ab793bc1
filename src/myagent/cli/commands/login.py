"""`myagent remote login`: keeps a connection, and its token, under a name."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from dataclasses import replace

from myagent.cli.target import exit_code
from myagent.cli.terminal.output import say
from myagent.client import remotes as kept
from myagent.client.address import parse_link
from myagent.client.asking import list_sessions
from myagent.client.errors import BadToken
from myagent.client.trust import trusting
from myagent.exceptions import MyagentError

TOKEN_BYTES = 4096  # of standard input that are looked at


def run(arguments: argparse.Namespace) -> int:
    try:
        address, in_link = parse_link(arguments.url)
        ca = _ca(arguments, secure=address.secure)
        if ca is not None:
            address = replace(address, tls=trusting(ca))
        kept.check_name(arguments.name)
        token = _read_token(arguments) if in_link is None else in_link
        if not arguments.no_check:
            address.check_plain(allowed=arguments.insecure_plain)
            list_sessions(address, token)
        saved = kept.save(arguments.name, str(address), token, ca=ca)
    except MyagentError as error:
        say(str(error))
        return 2 if isinstance(error, BadToken) else exit_code(error)
    if saved.fallback:
        say(f"the system's keyring did not take the token: {saved.fallback}")
    trust = "" if ca is None else f"; the certificates to trust are those of {ca}"
    place = f"the file {saved.path}" if saved.remote.token is not None else f"the system's {saved.remote.place}"
    say(f"{arguments.name} is {address}; its token is in {place}{trust}")
    return 0


def _ca(arguments: argparse.Namespace, *, secure: bool) -> str | None:
    """The file of --ca as it is found from anywhere."""
    if arguments.ca is None:
        return None
    if not secure:
        arguments.usage_error("--ca is for wss://: over ws:// no certificate is shown")
    return os.path.abspath(str(arguments.ca))


def _read_token(arguments: argparse.Namespace) -> str:
    """Raises `BadToken`."""
    if arguments.token_stdin:
        token = sys.stdin.read(TOKEN_BYTES).strip()
    elif sys.stdin is not None and sys.stdin.isatty():
        token = getpass.getpass("Token (it is not shown): ").strip()
    else:
        arguments.usage_error("there is no terminal to ask for the token on; give it with --token-stdin")
    if not token or any(not "!" <= character <= "~" for character in token):
        raise BadToken
    return str(token)
