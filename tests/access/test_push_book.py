"""Who is called: kept in a private file that was made here, and no longer than the credential."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from myagent.access import push_book
from myagent.access.push_book import LIMIT, LIMIT_EACH, PushBook, Subscription, TooMany
from myagent.access.seal import Foreign, Seal
from myagent.access.state_directory import UnsafeState

SEAL = Seal(b"k" * 32)


def book(path: Path, seal: Seal = SEAL) -> PushBook:
    made = PushBook(path / "push.json", seal=seal)
    made.load()
    return made


def sub(device: str, credential: str = "inv", endpoint: str = "https://push.example.org/x") -> Subscription:
    return Subscription(credential, device, endpoint, "p", "a")


def test_it_outlives_a_restart_in_a_file_of_this_user_alone(tmp_path: Path) -> None:
    first = book(tmp_path)
    key = first.key(lambda: "made")
    first.add(sub("a"))
    again = book(tmp_path)
    assert (again.all(), again.key(lambda: "another"), key) == ([sub("a")], "made", "made")
    assert stat.S_IMODE((tmp_path / "push.json").stat().st_mode) == 0o600


def test_nothing_is_stored_before_somebody_asks(tmp_path: Path) -> None:
    assert book(tmp_path).all() == []
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_called_at_one_place(tmp_path: Path) -> None:
    kept = book(tmp_path)
    kept.add(sub("a"))
    kept.add(sub("a", endpoint="https://push.example.org/y"))
    assert [each.endpoint for each in kept.all()] == ["https://push.example.org/y"]


def test_there_are_only_so_many_and_one_credential_cannot_take_them_all(tmp_path: Path) -> None:
    kept = book(tmp_path)
    for number in range(LIMIT_EACH):
        kept.add(sub(f"a{number}"))
    with pytest.raises(TooMany):
        kept.add(sub("one more"))
    kept.add(sub("a0", endpoint="https://push.example.org/moved"))  # it is there already
    for number in range(LIMIT - LIMIT_EACH):
        kept.add(sub(f"b{number}", credential=f"c{number}"))
    with pytest.raises(TooMany):
        kept.add(sub("last", credential="d"))


@pytest.mark.parametrize(("ended", "left"), [("a", ["b", "c"]), ("inv", ["c"]), ("nobody", ["a", "b", "c"])])
def test_it_ends_with_the_device_and_with_the_credential(tmp_path: Path, ended: str, left: list[str]) -> None:
    kept = book(tmp_path)
    for device, credential in (("a", "inv"), ("b", "inv"), ("c", "other")):
        kept.add(sub(device, credential))
    kept.drop(ended)
    assert [each.device for each in kept.all()] == left
    assert [each.device for each in book(tmp_path).all()] == left


def test_what_could_not_be_stored_ends_all_the_same_and_is_stored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = book(tmp_path)
    kept.add(sub("a"))
    real = push_book.write_private

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(push_book, "write_private", full)
    with pytest.raises(OSError, match="No space"):
        kept.drop("a")
    assert kept.all() == []
    with pytest.raises(OSError, match="No space"):
        kept.add(sub("b"))
    assert kept.all() == []
    monkeypatch.setattr(push_book, "write_private", real)
    kept.store_again()
    assert book(tmp_path).all() == []


def test_a_file_that_was_not_made_here_calls_nobody(tmp_path: Path) -> None:
    book(tmp_path, Seal(b"x" * 32)).add(sub("a"))
    with pytest.raises(Foreign):
        book(tmp_path)
    assert PushBook(tmp_path / "push.json", seal=SEAL).adopt(tmp_path / "push.json")
    assert book(tmp_path).all() == [sub("a")]


@pytest.mark.parametrize("content", [b"{}", b"[", b'{"version":2,"key":"","subscriptions":[]}', b"\xff"])
def test_a_file_that_cannot_be_read_is_said_and_left(tmp_path: Path, content: bytes) -> None:
    path: Any = tmp_path / "push.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UnsafeState):
        book(tmp_path)
    assert path.read_bytes() == content
