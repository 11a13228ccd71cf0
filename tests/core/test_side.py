"""core/side: a book's storages against the dict-and-sort model, wherever prices go."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core.depth import Change, OrderBook
from mexcfast.errors import BookError
from models.book_model import BookModel, Frame, Level
from models.frames import SYMBOL, frame_text, levels, snapshot_text

STORAGES = ["auto", "arrays", "ladder"]
WINDOW = 4096      # core/side.WINDOW: what the walks below have to leave


class Pair:
    """A book and its model, fed the same; exact content is compared after each step."""

    def __init__(self, storage: str) -> None:
        self.book, self.model = OrderBook(SYMBOL, storage=storage), BookModel()

    def snapshot(self, version: int, asks: list[Level], bids: list[Level]) -> None:
        self.book.load_snapshot(snapshot_text(version, asks, bids))
        self.model.load_snapshot(version, asks, bids)
        self.agree()

    def apply(self, asks: list[Level], bids: list[Level]) -> None:
        version = self.model.version + 1
        frame = Frame(version, version, asks, bids, True)
        assert self.book.apply(frame_text(frame)).name == self.model.apply(frame)
        self.agree()
        if self.model.state != "LIVE":          # crossed twice
            self.snapshot(version, self.model.levels("asks"), self.model.levels("bids"))

    def agree(self) -> None:
        book, model = self.book, self.model
        sides = model.levels("bids"), model.levels("asks")
        for ours, theirs in zip(book.exact(), sides, strict=True):
            assert [(Decimal(price).scaleb(-book.price_scale),
                     Decimal(quantity).scaleb(-book.quantity_scale), orders)
                    for price, quantity, orders in ours] == theirs
        assert book.depth == tuple(map(len, sides))
        tops = [(float(side[0][0]), float(side[0][1])) if side else (None, None) for side in sides]
        assert [(book.best_bid, book.best_bid_quantity),
                (book.best_ask, book.best_ask_quantity)] == tops
        assert book.is_crossed_now is model.was_crossed
        for name, side in zip(("bid", "ask"), sides, strict=True):
            for price, quantity, _ in (*side[:2], *side[-2:]):
                assert book.quantity_at(name, price) == float(quantity)
        assert [book.bids(2), book.asks(2)] == [
            [(float(p), float(q), n) for p, q, n in side[:2]] for side in sides]


@st.composite
def walks(draw):
    """A contract's tick, the sides at the start, and frames around a mid that wanders and jumps."""
    tick = draw(st.sampled_from([Decimal(1), Decimal("0.1"), Decimal("0.5"), Decimal("0.00025"),
                                 Decimal(100), Decimal("1e-9"), Decimal(3) ** 20]))
    rng = random.Random(draw(st.integers(0, 2**32)))
    mid = draw(st.sampled_from([2, 3000, 50_000, 10**6]))
    reach = draw(st.sampled_from([5, 90, 600, 3 * WINDOW]))
    count = draw(st.sampled_from([0, 1, 40, 90, 300]))
    is_crossing = draw(st.booleans())

    def level(side: int, kind: str) -> Level:
        distance = 1 + (rng.randrange(40) if kind == "near" else rng.randrange(reach)
                        if kind == "far" else rng.randrange(10 * WINDOW))
        if is_crossing and rng.random() < 0.02:
            distance = -distance
        price = tick * max(1, mid + distance if side else mid - distance)
        if kind == "off":
            price += tick / rng.choice((2, 4, 5))
        quantity = 0 if rng.random() < 0.35 else rng.choice((1, rng.randrange(1, 10**6), 2**40))
        return (price, Decimal(quantity), rng.randrange(-1, 9))

    def some(side: int, n: int) -> list[Level]:
        kinds = rng.choices(("near", "far", "wild", "off"), (60, 30, 5, 3 if mid > 5 else 0), k=n)
        return list({row[0]: row for row in (level(side, kind) for kind in kinds)}.values())

    def full(side: int, n: int) -> list[Level]:
        return [(price, max(quantity, Decimal(1)), orders)
                for price, quantity, orders in some(side, n)]

    steps: list[tuple[list[Level], list[Level]]] = [(full(1, count), full(0, count))]
    for _ in range(draw(st.integers(1, 60))):
        jump = rng.random()
        if jump < 0.3:
            mid = max(2, mid + rng.randrange(-60, 61))
        elif jump < 0.4:
            mid = max(2, mid + rng.randrange(-WINDOW, WINDOW))
        elif jump < 0.43:
            mid = max(2, mid + rng.randrange(-20 * WINDOW, 20 * WINDOW))
        steps.append((some(1, rng.randrange(12)), some(0, rng.randrange(12))))
    return steps


@pytest.mark.parametrize("storage", STORAGES)
@settings(max_examples=60, deadline=None)
@given(steps=walks())
def test_walks(storage, steps):
    pair = Pair(storage)
    pair.snapshot(100, *steps[0])
    for asks, bids in steps[1:]:
        pair.apply(asks, bids)


def ladder_sides(mid=100_000, count=1500, step=1) -> tuple[list[Level], list[Level]]:
    return (levels(*[(mid + step * (n + 1), n + 1) for n in range(count)]),
            levels(*[(mid - step * n, n + 1) for n in range(count)]))


def test_auto_takes_a_ladder_where_most_levels_are_within_its_window():
    def kept(asks, bids):
        pair = Pair("auto")
        pair.snapshot(1, asks, bids)
        return pair.book.storage

    assert OrderBook(SYMBOL).storage == ("arrays", "arrays")
    assert kept(*ladder_sides()) == ("ladder", "ladder")
    assert kept(*ladder_sides(step=50)) == ("ladder", "ladder"), "the step is found"
    assert kept(*ladder_sides(count=20)) == ("arrays", "arrays"), "too few to gain anything"
    asks, bids = ladder_sides()
    assert kept([*asks, *levels(("100001.00000001", 1))], bids) == ("ladder", "arrays")
    assert kept(asks, levels(*[(n * n + 1, 1) for n in range(300)])) == ("arrays", "ladder")
    assert kept([], bids) == ("ladder", "arrays")


@pytest.mark.parametrize("storage, asked", [("arrays", ("arrays", "arrays")),
                                            ("ladder", ("ladder", "ladder"))])
def test_the_storage_can_be_asked_for(storage, asked):
    for count in (20, 1500):
        pair = Pair(storage)
        pair.snapshot(1, *ladder_sides(count=count))
        assert pair.book.storage == asked
    pair = Pair(storage)
    pair.snapshot(1, [], [])
    assert pair.book.storage == ("arrays", "arrays"), "nothing to be a ladder of"
    pair.apply(*ladder_sides(count=5))
    assert pair.book.storage == asked


@pytest.mark.parametrize("storage", ["", "Ladder", "tree"])
def test_other_storages_are_refused(storage):
    with pytest.raises(BookError, match=r"storage is .*allowed: auto, arrays, ladder"):
        OrderBook(SYMBOL, storage=storage)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("storage", STORAGES)
def test_the_window_follows_the_price(storage, direction):
    """500 frames, 60,000 ticks: levels far behind are kept and come back when the price does."""
    pair = Pair(storage)
    mid = 100_000
    pair.snapshot(1, *ladder_sides(mid, 100))
    for n in range(500):
        step = direction * 120
        if direction > 0:
            asks = [(mid + 1 + k, 0) for k in range(120)] + [(mid + step + 100, 7)]
            bids = [(mid + k, 5) for k in range(1, 121, 30)]
        else:
            asks = [(mid - k, 5) for k in range(1, 120, 30)]
            bids = [(mid - k, 0) for k in range(120)] + [(mid + step - 100, 7)]
        pair.apply(levels(*asks), levels(*bids))
        mid += step
        if n % 100 == 99:
            direction = -direction
    if storage == "ladder":
        assert pair.book.storage == ("ladder", "ladder")


@pytest.mark.parametrize("storage", STORAGES)
def test_more_decimals_arrive(storage):
    pair = Pair(storage)
    pair.snapshot(1, *ladder_sides(1000, 300))
    for decimals in range(1, 15):
        price = Decimal(1001) + Decimal(1).scaleb(-decimals)
        pair.apply([(price, Decimal(3).scaleb(-decimals), 1)], levels((1000 - decimals, 9)))
    for _ in range(50):
        pair.apply(levels((1001, 5)), levels((999, 4)))


@pytest.mark.parametrize("storage", STORAGES)
def test_a_side_dies_and_comes_back_elsewhere(storage):
    pair = Pair(storage)
    asks, bids = ladder_sides()
    pair.snapshot(1, asks, bids)
    pair.apply([(p, Decimal(0), 0) for p, _, _ in asks], [(p, Decimal(0), 0) for p, _, _ in bids])
    assert pair.book.depth == (0, 0) and pair.book.best_bid is None
    for n in range(100):
        pair.apply(*ladder_sides(10**9 + 7 * n, 3, 2))
    pair.apply(*ladder_sides(10**9 + 700, 200))


@pytest.mark.parametrize("storage", STORAGES)
def test_extreme_keys_share_a_book(storage):
    top = 2**63 - 1
    pair = Pair(storage)
    pair.snapshot(1, levels((top, top), (top - 1, 1), (2**62, 3)), levels((1, 1), (2, top)))
    pair.apply(levels(*[(top - n, n + 1) for n in range(200)]),
               levels(*[(n, n) for n in range(1, 200)]))
    pair.apply(levels((5000, 1)), levels((4999, 1)))
    pair.apply(levels((top, 0), (5000, 0)), levels((4999, 0), (1, 0)))
    for n in range(40):
        pair.apply(levels((top - 300 - 5 * n, 1)), levels((2**62 - 1 - n, n % 3)))


def test_a_best_level_that_jumps_to_and_fro():
    pair = Pair("ladder")
    pair.snapshot(1, *ladder_sides(10**6, 200))
    for n in range(300):
        pair.apply(levels((10**7 if n % 2 else 10**7 + 5, 1)),
                   levels((3 * 10**5, n % 3), (10**6, n % 2)))


def test_a_replaced_snapshot_leaves_nothing_of_the_old_one():
    pair = Pair("ladder")
    for version, mid in ((1, 10_000), (50, 10_500), (51, 10**8), (60, 10_000)):
        pair.snapshot(version, *ladder_sides(mid, 200))
    assert pair.book.load_snapshot(snapshot_text(70, [], [])) is Change.APPLIED
    assert pair.book.depth == (0, 0)
    pair.book.reset()
    assert pair.book.exact() == ([], [])
