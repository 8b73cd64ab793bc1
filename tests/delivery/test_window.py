"""The shared run of frames: encoded once a view, a bounded window, and where in it a position is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from myagent.delivery import window as run_module
from myagent.delivery.window import ENTRY_BYTES, SLICE_BYTES, Entry, View, Window, frame
from myagent.eventlog import Stored, with_update

SESSIONS = ["r", "s"]
LARGE = 1 << 30


def stored(pos: int, session_id: str, seq: int, size: int = 10, update: bytes | None = None) -> Stored:
    return Stored(pos, session_id, seq, b'{"chunk":"%b","seq":%d}' % (b"x" * size, seq), update)


# --- frames -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20])
def test_a_frame_is_what_websockets_makes(size: int) -> None:
    payload = b"x" * size
    assert frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_an_event_is_encoded_once_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def counting(payload: bytes) -> bytes:
        made.append(payload)
        return frame(payload)

    monkeypatch.setattr(run_module, "frame", counting)
    window = Window({}, 0)
    plain, both = stored(1, "s", 1), stored(2, "s", 2, update=b"{}")
    for event in (plain, both):
        window.event(event)
    for view in ("plain", "updates"):
        for session_id in (None, "s", "r"):
            window.slice(view, session_id, 0)
    assert made == [plain.body, both.body, with_update(both.body, both.update)]


# --- against a model ----------------------------------------------------------------------------------------------


class Model:
    """All entries that ever were, in a list."""

    def __init__(self, window_type: type[Window] = Window, window_bytes: int = LARGE) -> None:
        heads = {"old": 3}
        self.window = window_type(dict(heads), 3, window_bytes=window_bytes)
        self.entries: list[Entry] = []
        self.heads, self.pos = heads, 3
        self.largest = 0

    def event(self, session_id: str, size: int, update: bytes | None = None) -> None:
        self.pos += 1
        self.heads[session_id] = self.heads.get(session_id, 0) + 1
        event = stored(self.pos, session_id, self.heads[session_id], size, update)
        other = with_update(event.body, update)
        self.window.event(event)
        self._add(Entry(self.pos, session_id, event.seq, frame(event.body), frame(other)))

    def state(self, kind: str | None, session_id: str | None, size: int) -> None:
        payload = b"%d %b" % (len(self.entries), b"y" * size)
        self.window.state(payload, kind=kind, session_id=session_id)
        self._add(Entry(self.pos, session_id, 0, frame(payload), frame(payload)))

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.largest = max(self.largest, len(entry.plain) + len(entry.updates) + ENTRY_BYTES)

    def check(self) -> None:
        window, entries = self.window, self.entries
        assert (window.next, window.pos, window.heads) == (len(entries), self.pos, self.heads)
        assert window.entries(window.first, window.next) == entries[window.first :]
        kept = sum(len(entry.plain) + len(entry.updates) + ENTRY_BYTES for entry in entries[window.first :])
        assert kept <= 2 * window.window_bytes + self.largest  # a frame of both views was counted twice here
        for index in range(window.first, window.next + 1):
            before = entries[:index]
            assert window.pos_before(index) == (before[-1].pos if before else 3)
            heads = {"old": 3} | {entry.session_id: entry.seq for entry in before if entry.seq and entry.session_id}
            assert {name: head for name, head in window.heads_at(index, None).items() if head} == heads
            for session_id in (*SESSIONS, "old", "never"):
                assert window.heads_at(index, session_id) == {session_id: heads.get(session_id, 0)}
        dropped = {"old": 3} | {e.session_id: e.seq for e in entries[: window.first] if e.seq and e.session_id}
        assert window.dropped == dropped
        assert window.base == window.pos_before(window.first)
        for pos in range(self.pos + 1):
            after = sum(entry.pos <= pos for entry in entries)
            assert window.index_after(pos) == (None if pos < window.base else max(after, window.first))

    def check_slices(self, view: View, session_id: str | None, start: int, skip: dict[str, int]) -> None:
        """From any index, slices together are what is wanted of the rest, each within its bound and none to spare."""
        window, index, joined = self.window, start, b""
        sizes: list[int] = []
        while index < window.next:
            data, end = (
                window.slice_without(view, session_id, index, skip) if skip else window.slice(view, session_id, index)
            )
            assert end > index
            sizes.append(len(data))
            index, joined = end, joined + data
        wanted = [
            entry.plain if view == "plain" else entry.updates
            for entry in self.entries[start:]
            if (session_id is None or entry.session_id in (None, session_id))
            and not (entry.seq and entry.session_id and entry.seq <= skip.get(entry.session_id, 0))
        ]
        assert joined == b"".join(wanted)
        assert all(size <= max(SLICE_BYTES, *map(len, wanted)) for size in sizes if size)
        assert all(one + other > SLICE_BYTES for one, other in pairwise(sizes) if other)


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("event"),
            st.sampled_from(SESSIONS),
            st.sampled_from([0, 100, 130, 20_000, 66_000]),
            st.sampled_from([None, b"{}", b"u" * 5_000]),
        ),
        st.tuples(
            st.just("state"),
            st.sampled_from([None, "owner", "session s"]),
            st.sampled_from([None, *SESSIONS]),
            st.sampled_from([0, 300]),
        ),
    ),
    max_size=40,
)
windows = st.sampled_from([0, 500, 3_000, 70_000, LARGE])


def play(made: list[tuple[str, ...]], window_bytes: int, window_type: type[Window] = Window) -> Model:
    model = Model(window_type, window_bytes)
    for name, *facts in made:
        getattr(model, name)(*facts)
        model.check()
    return model


@given(steps, windows)
def test_the_window_is_the_end_of_all_that_was_published(made: list[tuple[str, ...]], window_bytes: int) -> None:
    play(made, window_bytes)


@given(
    steps,
    windows,
    st.sampled_from(["plain", "updates"]),
    st.sampled_from([None, *SESSIONS]),
    st.dictionaries(st.sampled_from(SESSIONS), st.integers(0, 9)),
    st.floats(0, 1),
)
def test_slices_from_anywhere_are_the_rest(
    made: list[tuple[str, ...]],
    window_bytes: int,
    view: View,
    session_id: str | None,
    skip: dict[str, int],
    start: float,
) -> None:
    model = play(made, window_bytes)
    window = model.window
    model.check_slices(view, session_id, window.first + int(start * (window.next - window.first)), skip)


def test_a_slice_is_cut_once_for_all_who_need_it() -> None:
    window = Window({}, 0)
    for seq in range(1, 50):
        window.event(stored(seq, "s", seq, 5_000))
    first, end = window.slice("plain", None, 0)
    assert window.slice("plain", None, 0)[0] is first
    window.event(stored(50, "s", 50))
    assert window.slice("plain", None, 0) == (first, end)


def test_the_latest_of_each_kind_of_state_is_known_also_when_it_left_the_window() -> None:
    model = Model(window_bytes=0)
    for kind in ("owner", "presence", "owner", None):
        model.state(kind, None, 0)
    assert {kind: at for kind, (at, _) in model.window.latest.items()} == {"owner": 2, "presence": 1}


# --- negative controls --------------------------------------------------------------------------------------------


class OffByOne(Window):
    def index_after(self, pos: int) -> int | None:
        index = super().index_after(pos)
        return index and index + 1


class ForgetsTheBase(Window):
    def _trim(self) -> None:
        base = self.base
        super()._trim()
        self.base = base


class NeverTrims(Window):
    def _trim(self) -> None:
        pass


class CountsHeadsTwice(Window):
    def heads_at(self, index: int, session_id: str | None) -> dict[str, int]:
        return dict(self.heads) if session_id is None else {session_id: self.heads.get(session_id, 0)}


@pytest.mark.parametrize("broken", [OffByOne, ForgetsTheBase, NeverTrims, CountsHeadsTwice])
def test_a_broken_window_is_found(broken: type[Window]) -> None:
    made: list[tuple[str, ...]] = [("event", "s", 100, None), ("state", "owner", None, 0)] * 40  # type: ignore[list-item]
    play(made, 3_000)
    with pytest.raises(AssertionError):
        play(made, 3_000, broken)
