"""`myagent remote invite`: makes an invite, and says how to open it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from myagent.access.registry import CreateInvite
from myagent.cli.administration import Answer, carry_out, find_workspace
from myagent.cli.invitation import qr_code, reach_note, revoking
from myagent.cli.sessions_here import named_here
from myagent.cli.terminal.output import say
from myagent.core.ownership import scope_of
from myagent.exceptions import MyagentError
from myagent.server.addresses import Page

_DOES = {
    "watch": "watches",
    "stop": "watches, and may stop a turn, in",
    "approve": "watches, and may answer permission requests, in",
    "drive": "may own, prompt and so run whatever you can, in",
}


def run(arguments: argparse.Namespace) -> int:
    session = arguments.session
    try:
        if session is not None:
            session = named_here(find_workspace(arguments), session)
    except MyagentError as error:
        say(str(error))
        return 3
    request = CreateInvite(
        lifetime=arguments.expires,
        label=arguments.label,
        session_id=session,
        uses=arguments.uses,
        scope=scope_of(arguments.scope),
    )
    return carry_out(
        arguments, request, lambda answer: _shown(answer, find_workspace(arguments), arguments.qr), _linked
    )


def _linked(answer: Answer) -> Answer:
    page = _page(answer["server"])
    return {**answer, "link": None if page is None else page.link(answer["token"])}


def _page(server: Answer | None) -> Page | None:
    return Page(**server["page"]) if server else None


def _shown(answer: Answer, workspace: Path, qr: bool | None) -> list[str]:
    page = _page(answer["server"])
    what = f"session {answer['sessionId']}" if answer["sessionId"] else "all sessions"
    uses = f", good for {answer['uses']} {'devices' if answer['uses'] > 1 else 'device'}" if answer["uses"] else ""
    does = _DOES[answer["may"]]
    lines = [f"invite {answer['id']}: {does} {what}, until {answer['expiresAt']}{uses}"]
    if page is None:
        lines += [f"token: {answer['token']}", "no server runs here now; `myagent remote serve` will take this token"]
    else:
        lines.append(f"in a browser:   {answer['link']}")
        session = f" --session {answer['sessionId']}" if answer["sessionId"] else ""
        lines.append(f"in a terminal:  myagent remote attach {shlex.quote(answer['link'])}{session}")
    lines.append(f"to end it:      {revoking(answer['id'], workspace)}")
    if page is not None:
        lines += reach_note(page)
        lines += qr_code(answer["link"], page, wanted=qr)
    return lines
