"""Hostile strangers and followers take neither the server's memory nor its descriptors, nor the owner's answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.floods import FLOODS, Figures, flood, target

EACH = 200  # sockets, of which each would hold about 1 MB
FILES = 500
TOGETHER = 100  # of each kind


def unbounded(name: str) -> str:
    return f"server.places.{name}=1000000000000"


# What has to be taken away for each flood to cost what it did before there were bounds.
UNBOUNDED = {
    "answered": ("server.places.LINGERING_SOCKETS=100000", "server.places.DESCRIPTORS=100.0"),
    "unfinished_request": ("server.request_head.REQUEST_BYTES=1000000000", unbounded("UNFINISHED_REQUESTS_BYTES")),
    "unfinished_message": ("settings.FOLLOWER_MESSAGE_BYTES=1000000000", unbounded("UNFINISHED_MESSAGES_BYTES")),
    "unread_page": tuple(
        map(unbounded, ("WORK", "WORK_EACH", "WAITING", "WAITING_EACH", "UNREAD_SOCKETS", "UNREAD_ANSWERS_BYTES"))
    ),
}


async def flooded(workspace: Path, kinds: list[str], each: int, *bounds: str, files: int | None = None) -> Figures:
    async with target(workspace, *bounds, files=files) as at:
        return await flood(at, kinds, each)


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_costs_little_and_the_owner_is_answered(tmp_path: Path, kind: str) -> None:
    figures = await flooded(tmp_path, [kind], EACH)
    assert figures.within, figures


async def test_all_floods_together_cost_little_and_the_owner_is_answered(tmp_path: Path) -> None:
    figures = await flooded(tmp_path, [*FLOODS], TOGETHER)
    assert figures.within, figures


async def test_of_few_descriptors_some_are_left_for_the_owner(tmp_path: Path) -> None:
    figures = await flooded(tmp_path, ["answered", "coming_and_going"], FILES, files=FILES)
    assert figures.within, figures


@pytest.mark.parametrize("kind", UNBOUNDED)
async def test_without_its_bound_a_flood_would_be_found(tmp_path: Path, kind: str) -> None:
    """Negative control."""
    files = FILES if kind == "answered" else None
    figures = await flooded(tmp_path, [kind], 2 * FILES if files else EACH, *UNBOUNDED[kind], files=files)
    assert not figures.within, figures
