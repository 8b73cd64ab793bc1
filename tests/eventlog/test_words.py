"""The index of words: finds what was said, is made again when anything is wrong with it, and leaves no byte behind."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from myagent.eventlog.words import NoIndex, Text, WordIndex

SAID = [
    Text("a", 1, 5, "please read the release notes"),
    Text("b", 3, None, "Les nôtres: déjà vu, and release 2"),
    Text("b", 7, 9, 'a "quoted" NEAR( thing OR release*'),
]


def filled(path: Path) -> WordIndex:
    index = WordIndex(path)
    assert index.open(["a", "b"]) == 0
    index.add(SAID, 12)
    return index


def seqs(index: WordIndex, words: str) -> set[tuple[str, int]]:
    return {(each.session_id, each.seq) for each in index.find(words, 10)}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("release", {("a", 1), ("b", 3), ("b", 7)}), ("RELEASE notes", {("a", 1)}), ("deja", {("b", 3)}),
        ("rel", {("a", 1), ("b", 3), ("b", 7)}), ("nowhere", set()), ("", set()), ("  ", set()), ('"', set()),
        ('"quoted', {("b", 7)}), ("NEAR(", {("b", 7)}), ("release* OR", {("b", 7)}), ("text:release", set()),
        ("notes -release", {("a", 1)}), ("\0", set()),
    ],
)  # fmt: skip
def test_words_are_found_and_no_sign_in_them_means_anything(
    tmp_path: Path, words: str, found: set[tuple[str, int]]
) -> None:
    index = filled(tmp_path / "words.db")
    assert seqs(index, words) == found
    index.close()


def test_it_goes_on_where_it_was_and_only_its_user_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    old = os.umask(0)
    try:
        filled(path).close()
    finally:
        os.umask(old)
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
    index = WordIndex(path)
    assert index.open(["a", "b", "c"]) == 12
    assert seqs(index, "notes") == {("a", 1)}
    index.close()


@pytest.mark.parametrize("fault", ["a session is gone", "damaged", "another version", "half made", "no database"])
def test_whatever_is_wrong_it_is_made_again(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "words.db"
    filled(path).close()
    match fault:
        case "damaged":
            path.write_bytes(path.read_bytes()[:5000])
        case "another version":
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA user_version = 9")
        case "half made":
            path.unlink()
            sqlite3.connect(path).executescript("CREATE TABLE place (pos)").connection.close()
        case "no database":
            path.write_bytes(b"x" * 5000)
    index = WordIndex(path)
    assert index.open(["a"] if fault == "a session is gone" else ["a", "b"]) == 0
    assert seqs(index, "release") == set()
    index.close()


def test_what_is_discarded_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    index = filled(path)
    another = path.with_name("another name for it")
    another.hardlink_to(path)
    assert b"notes" in another.read_bytes()
    index.discard()
    assert not path.exists()
    assert not another.read_bytes().strip(b"\0")


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"")
    (tmp_path / "words.db").symlink_to(tmp_path / "theirs")
    with pytest.raises(NoIndex, match="symbolic links"):
        WordIndex(tmp_path / "words.db").open([])
    assert (tmp_path / "theirs").read_bytes() == b""
