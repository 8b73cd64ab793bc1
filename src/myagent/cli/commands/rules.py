"""`myagent remote rules`: lists the rules of the workspace here, or ends some."""

from __future__ import annotations

import argparse

import msgspec

from myagent.access.registry import AskRules, EndRules
from myagent.cli.administration import Answer, carry_out
from myagent.core.rule import Rule
from myagent.text.rules import rule_line


def run(arguments: argparse.Namespace) -> int:
    if arguments.revoke and arguments.revoke_all:
        arguments.usage_error("give --revoke ID or --revoke-all, not both")
    if arguments.revoke or arguments.revoke_all:
        return carry_out(arguments, EndRules(rule_ids=None if arguments.revoke_all else arguments.revoke), _ended)
    return carry_out(arguments, AskRules(), _listed)


def _ended(answer: Answer) -> list[str]:
    if not answer["revoked"]:
        return ["there was no rule to revoke"]
    return [f"revoked {' '.join(answer['revoked'])}; what they allowed is asked for again"]


def _listed(answer: Answer) -> list[str]:
    if not answer["rules"]:
        return ["no rules"]
    return [rule_line(msgspec.convert(rule, Rule)) for rule in answer["rules"]]
