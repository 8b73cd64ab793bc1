"""`myagent remote token rotate`: replaces the owner token, and closes who has the old one."""

from __future__ import annotations

import argparse

from myagent.access.registry import RotateToken
from myagent.cli.administration import Answer, carry_out
from myagent.core.display import escape


def rotate(arguments: argparse.Namespace) -> int:
    return carry_out(arguments, RotateToken(), _shown)


def _shown(answer: Answer) -> list[str]:
    return [
        f"a new owner token is in {escape(answer['authFile'])}; connections closed: {answer['closed']}",
        "whoever has the old one is out; invites are as they were",
    ]
