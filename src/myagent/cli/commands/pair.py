"""`myagent remote pair`: makes a link, and a QR code of it, with which one device of yours is enrolled."""

from __future__ import annotations

import argparse

from myagent.access.invites import ENROL_SECONDS
from myagent.access.registry import CreateInvite
from myagent.cli.administration import Answer, carry_out, find_workspace
from myagent.cli.invitation import qr_code, reach_note, revoking
from myagent.core.ownership import scope_of
from myagent.server.addresses import Page

MINUTES = int(ENROL_SECONDS / 60)


def run(arguments: argparse.Namespace) -> int:
    request = CreateInvite(
        lifetime=arguments.expires, label=arguments.label, scope=scope_of(arguments.scope), pairs=True
    )

    def shown(answer: Answer) -> list[str]:
        page = _page(answer)
        if page is None:
            return [f"no server runs here, so there is nothing to open: serve first ({answer['id']} ends by itself)"]
        ending = revoking(answer["id"], find_workspace(arguments))
        return lines(answer["may"], page.pairing_link(answer["token"]), page, ending, qr=arguments.qr)

    return carry_out(arguments, request, shown, _linked)


def lines(may: str, link: str, page: Page, ending: str, *, qr: bool | None) -> list[str]:
    """What is told to whoever wants to pair a device."""
    does = "drive: own, prompt, approve" if may == "drive" else "approve, and not prompt"
    return [
        f"open this on the device within {MINUTES} minutes; the first that does may {does}:",
        link,
        f"to end it:      {ending}",
        *reach_note(page),
        *qr_code(link, page, wanted=qr),
    ]


def _page(answer: Answer) -> Page | None:
    return Page(**answer["server"]["page"]) if answer["server"] else None


def _linked(answer: Answer) -> Answer:
    page = _page(answer)
    return {**answer, "link": None if page is None else page.pairing_link(answer["token"])}
