"""Which session is meant: a whole id, a part that no other has, the latest; anything else says what there is."""

from __future__ import annotations

import pytest

from myagent.client.naming import LATEST, LISTED, Ambiguous, NoSuchSession, resolve

LISTED_FIRST = [
    {"sessionId": "remote_20260301090000_77f0aaaa", "title": "put away", "archived": True},
    {"sessionId": "remote_20260201090000_0a1bcccc", "title": "newer"},
    {"sessionId": "remote_20260101120000_0a1b2c3d", "title": "older"},
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("remote_20260101120000_0a1b2c3d", 2), ("0a1b2", 2), ("0a1bc", 1), ("7", 0), ("remote_202602", 1),
        ("remote_20260101120000_0", 2), (LATEST, 1),
    ],
)  # fmt: skip
def test_a_part_that_no_other_has_is_enough(wanted: str, index: int) -> None:
    assert resolve(wanted, LISTED_FIRST) == LISTED_FIRST[index]["sessionId"]


@pytest.mark.parametrize("wanted", ["0a1b", "remote_", "remote_2026"])
def test_what_could_be_several_lists_them(wanted: str) -> None:
    with pytest.raises(Ambiguous) as caught:
        resolve(wanted, LISTED_FIRST)
    told = str(caught.value)
    assert "remote_20260101120000_0a1b2c3d  older" in told
    assert "remote_20260201090000_0a1bcccc  newer" in told


def test_of_many_some_are_listed_and_the_rest_counted() -> None:
    many = [{"sessionId": f"remote_1_{number:08}", "title": "\x1b[2J"} for number in range(20)]
    with pytest.raises(Ambiguous) as caught:
        resolve("0000", many)
    assert f"and {20 - LISTED} more" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_whole_id_is_meant_although_another_begins_with_it() -> None:
    assert resolve("a_1", [{"sessionId": "a_12"}, {"sessionId": "a_1"}]) == "a_1"


@pytest.mark.parametrize("wanted", ["", "ffff", "20260101", "a1b2"])
def test_what_names_none_is_said(wanted: str) -> None:
    with pytest.raises(NoSuchSession):
        resolve(wanted, LISTED_FIRST)


def test_there_is_no_latest_of_none() -> None:
    with pytest.raises(NoSuchSession, match="no session on that server yet"):
        resolve(LATEST, [])
