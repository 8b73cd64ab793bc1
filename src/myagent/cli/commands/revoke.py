"""`myagent remote revoke`: ends invites, and closes who came in by them."""

from __future__ import annotations

import argparse

from myagent.access.registry import RevokeInvites
from myagent.cli.administration import Answer, carry_out


def run(arguments: argparse.Namespace) -> int:
    if bool(arguments.id) == arguments.all:
        arguments.usage_error("give the ids of invites (see `myagent remote invites`), or --all")
    return carry_out(arguments, RevokeInvites(invite_ids=None if arguments.all else arguments.id), _shown)


def _shown(answer: Answer) -> list[str]:
    if not answer["revoked"]:
        return ["there was no invite to revoke"]
    return [f"revoked {' '.join(answer['revoked'])}; connections closed: {answer['closed']}"]
