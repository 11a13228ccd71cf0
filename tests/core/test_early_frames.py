"""A frame that overtakes those of another socket waits a moment; only then it is a gap."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core.arbiter import Arbiter
from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from models.arbiter_model import EarlyModel
from models.frames import SYMBOL, Control, commits_text, depth, levels, snap, snapshot_text

MS = 1_000_000
NOW = 1_700_000_000_000_000_000


def book_at(version, hold_ns=100 * MS):
    book = OrderBook(SYMBOL)
    book.expect_snapshot()
    book.load_snapshot(snapshot_text(version, levels((11, 1)), levels((9, 1))), NOW)
    book.hold_early(hold_ns)
    return book


def step(version):
    return depth(version, version, bids=[(9, version)])


def quantity(book):
    return book.bids(1)[0][1]


def test_it_waits_until_the_hole_is_filled():
    book = book_at(5)
    assert book.apply(step(8), NOW) is Change.BUFFERED
    assert book.apply(step(7), NOW + 1) is Change.BUFFERED
    assert (book.state, book.version, book.gaps, book.missing) == (State.LIVE, 5, 0, None)
    assert book.held_ns == NOW and book.is_live and quantity(book) == 1
    assert book.apply(step(6), NOW + 2) is Change.APPLIED
    assert (book.state, book.version, book.gaps, book.pending_frames) == (State.LIVE, 8, 0, 0)
    assert book.held_ns == 0 and quantity(book) == 8
    assert book.apply(step(7), NOW + 3) is Change.STALE
    assert book.overdue(NOW + 10**12) is Change.STALE


def test_a_hole_filled_in_part_leaves_the_rest_waiting():
    book = book_at(5)
    book.apply(step(11), NOW + 7)
    book.apply(step(9), NOW + 8)
    book.apply(step(7), NOW + 9)
    assert book.apply(step(6), NOW + 10) is Change.APPLIED
    assert book.version == 7 and book.pending_frames == 2 and book.held_ns == NOW + 7
    assert book.apply(step(8), NOW + 11) is Change.APPLIED and book.version == 9
    assert book.apply(step(10), NOW + 12) is Change.APPLIED and book.version == 11
    assert book.gaps == 0


@pytest.mark.parametrize("late", [100 * MS, 10**12])
def test_after_its_time_it_is_a_gap(late):
    book = book_at(5)
    book.apply(step(7), NOW)
    assert book.overdue(NOW + 100 * MS - 1) is Change.BUFFERED and book.is_live
    assert book.overdue(NOW + late) is Change.NEED_REPAIR
    assert (book.state, book.missing, book.gaps) == (State.REPAIRING, (6, 6), 1)
    assert book.overdue(NOW + late) is Change.STALE
    assert book.apply(step(6), NOW + late) is Change.APPLIED and book.version == 7
    assert (book.state, book.repairs) == (State.LIVE, 1)


def test_the_next_early_frame_after_its_time_tells_the_gap():
    book = book_at(5)
    book.apply(step(7), NOW)
    assert book.apply(step(8), NOW + 100 * MS) is Change.NEED_REPAIR
    commits = commits_text([(6, [], levels((9, 6)))])
    assert book.load_commits(commits) is Change.APPLIED and book.version == 8


def test_a_clock_that_was_set_back_does_not_make_it_wait_for_ever():
    book = book_at(5)
    book.apply(step(7), NOW)
    assert book.overdue(NOW - 1) is Change.NEED_REPAIR


def test_only_so_many_wait():
    book = book_at(5)
    for version in range(7, 7 + 256):
        assert book.apply(step(version), NOW) is Change.BUFFERED
    assert book.apply(step(7 + 256), NOW) is Change.NEED_REPAIR
    assert book.apply(step(6), NOW) is Change.APPLIED and book.version == 7 + 256


def test_without_it_a_gap_is_a_gap_at_once():
    book = book_at(5, hold_ns=0)
    assert book.apply(step(7), NOW) is Change.NEED_REPAIR
    with pytest.raises(ValueError, match="hold_ns is -1"):
        book.hold_early(-1)


@pytest.mark.parametrize("end", ["reset", "suspend", "stop"])
def test_nothing_waits_longer_than_the_stream(end):
    book = book_at(5)
    book.apply(step(7), NOW)
    getattr(book, end)()
    assert (book.held_ns, book.pending_frames) == (0, 0)
    assert book.overdue(NOW + 10**12) is Change.STALE


def test_switched_off_while_one_waits():
    book = book_at(5)
    book.apply(step(7), NOW)
    book.hold_early(0)
    assert book.is_live and book.overdue(NOW) is Change.NEED_REPAIR


@pytest.mark.parametrize(("version", "change", "state", "at"), [
    (6, Change.APPLIED, State.LIVE, 7), (9, Change.APPLIED, State.LIVE, 9),
    (4, Change.STALE, State.LIVE, 5)])
def test_a_snapshot_meanwhile(version, change, state, at):
    book = book_at(5)
    book.apply(step(7), NOW)
    assert book.load_snapshot(snapshot_text(version, levels((11, 1)), levels((9, 1)))) is change
    assert (book.state, book.version, book.gaps) == (state, at, 0)
    assert (book.held_ns == 0) is (at != 5)


# -- two sockets -----------------------------------------------------------------------------------

class Seen(Listener):
    def __init__(self):
        self.versions, self.states = [], []

    def on_book(self, book):
        self.versions.append(book.version)

    def on_book_state(self, book, old, new):
        self.states.append((old, new))


def two_readers(paths=2, hold_ns=100 * MS):
    seen, book, arbiter, control = Seen(), OrderBook(SYMBOL), Arbiter("push.depth"), Control()
    readers = []
    for _ in range(paths):
        reader = Reader(control)
        reader.route(SYMBOL).book = book
        reader.route(SYMBOL).arbitrate("push.depth", arbiter, arbiter.join(NOW))
        readers.append(reader)
    book.expect_snapshot()
    snap(readers[0], book, 5, asks=[(11, 1)], bids=[(9, 1)])
    book.listeners = [seen]
    book.hold_early(hold_ns)
    return seen, book, control, readers


def test_the_pool_is_asked_to_look_once_and_told_when_all_have_gone_past():
    seen, book, control, (one, other) = two_readers()
    one.feed_bytes(step(7), NOW)
    one.feed_bytes(step(8), NOW + 1)
    assert control.needs == [(SYMBOL, Change.BUFFERED)] and not seen.states
    other.feed_bytes(step(7), NOW + 2)          # in order: nobody will bring the 6
    assert control.needs[1:] == [(SYMBOL, Change.NEED_REPAIR)]
    assert seen.states == [(State.LIVE, State.REPAIRING)]
    other.feed_bytes(step(6), NOW + 3)
    assert book.version == 8 and seen.versions == [8]


def test_a_new_socket_that_is_ahead_makes_no_gap():
    seen, book, control, (one, other) = two_readers()
    other.feed_bytes(step(8), NOW)
    for version in (6, 7, 8, 9):
        one.feed_bytes(step(version), NOW + version)
    other.feed_bytes(step(9), NOW + 20)
    assert seen.versions == [6, 8, 9] and not seen.states and book.gaps == 0
    assert control.needs == [(SYMBOL, Change.BUFFERED)]


@settings(max_examples=300, deadline=None)
@given(paths=st.integers(2, 3), count=st.integers(1, 25), data=st.data(),
       order=st.randoms(use_true_random=False))
def test_agrees_with_the_model(paths, count, data, order):
    """Sockets in order, each with losses of its own, merged at any speed."""
    lost = [data.draw(st.sets(st.integers(6, 5 + count), max_size=4)) for _ in range(paths)]
    _, book, control, readers = two_readers(paths, hold_ns=10)
    model = EarlyModel(paths, 5, 10)
    queues = [[v for v in range(6, 6 + count) if v not in gone] for gone in lost]
    now = NOW
    while any(queues):
        path = order.choice([n for n, queue in enumerate(queues) if queue])
        now += order.choice((0, 1, 6))
        version = queues[path].pop(0)
        readers[path].feed_bytes(step(version), now)
        model.frame(version, path, now)
        assert (book.version, book.gaps, book.state is State.LIVE) == (
            model.version, model.gaps, not model.is_broken)
        assert quantity(book) == (model.version if model.version > 5 else 1)
    assert not control.faults
    if not set.intersection(*lost) and model.gaps == 0:
        assert book.version == 5 + count, "whatever one lost another brought"


@settings(max_examples=200, deadline=None)
@given(count=st.integers(1, 30), data=st.data(), order=st.randoms(use_true_random=False))
def test_while_one_socket_is_whole_no_book_stops_being_live(count, data, order):
    lost = data.draw(st.sets(st.integers(6, 5 + count)))
    seen, book, _, readers = two_readers(hold_ns=10**12)
    queues = [list(range(6, 6 + count)), [v for v in range(6, 6 + count) if v not in lost]]
    now = NOW
    while any(queues):
        path = order.choice([n for n in (0, 1) if queues[n]])
        now += 1
        readers[path].feed_bytes(step(queues[path].pop(0)), now)
        assert book.is_live
    assert book.version == 5 + count and not seen.states and book.gaps == 0
    assert seen.versions == sorted(set(seen.versions)) and seen.versions[-1] == 5 + count
