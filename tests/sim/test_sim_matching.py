"""The book against a slow model that sorts a list for every decision."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.sim.matching import BUY, SELL, Book


class SlowBook:
    """Orders in one list; matching sorts it by price, then arrival."""

    def __init__(self) -> None:
        self.orders: list[list[int]] = []  # id, side, price, remaining, arrival
        self.arrivals = 0

    def opposite(self, side: int, limit: int | None) -> list[list[int]]:
        found = [o for o in self.orders if o[1] != side]
        if limit is not None:
            found = [o for o in found if (o[2] <= limit if side == BUY else o[2] >= limit)]
        return sorted(found, key=lambda o: (o[2] if side == BUY else -o[2], o[4]))

    def place(self, number: int, side: int, limit: int | None, quantity: int, kind: str) -> list:
        fills = []
        if kind == "post_only" and self.opposite(side, limit):
            return fills
        if kind == "fok" and sum(o[3] for o in self.opposite(side, limit)) < quantity:
            return fills
        for maker in self.opposite(side, limit):
            part = min(quantity, maker[3])
            if part:
                maker[3] -= part
                quantity -= part
                fills.append((maker[0], maker[2], part, maker[3]))
        self.orders = [o for o in self.orders if o[3]]
        if quantity and kind in ("limit", "post_only") and limit is not None:
            self.orders.append([number, side, limit, quantity, self.arrivals])
            self.arrivals += 1
        return fills

    def ladder(self, side: int) -> list[tuple[int, int, int]]:
        prices = sorted({o[2] for o in self.orders if o[1] == side}, reverse=side == BUY)
        return [
            (p, sum(o[3] for o in self.orders if o[1] == side and o[2] == p),
             sum(1 for o in self.orders if o[1] == side and o[2] == p))
            for p in prices
        ]


actions = st.one_of(
    st.tuples(
        st.just("place"),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 12),
        st.integers(1, 9),
        st.sampled_from(["limit", "limit", "post_only", "ioc", "fok", "market"]),
    ),
    st.tuples(st.just("cancel"), st.integers(0, 1000)),
    st.tuples(st.just("reduce"), st.integers(0, 1000), st.integers(1, 9)),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(actions, max_size=60))
def test_book_agrees_with_the_list(history: list) -> None:
    book, slow = Book("X_USDT", 100), SlowBook()
    states = {100: ([], [])}
    for number, action in enumerate(history, 1):
        before = (slow.ladder(BUY), slow.ladder(SELL))
        if action[0] == "place":
            _, side, price, quantity, kind = action
            limit = None if kind == "market" else price
            result = book.place(
                number, 7, side, limit, quantity,
                rest=kind in ("limit", "post_only"),
                post_only=kind == "post_only",
                all_or_nothing=kind == "fok",
            )
            fills = slow.place(number, side, limit, quantity, kind)
            assert [(f.maker_id, f.price, f.quantity, f.maker_remaining) for f in result.fills] == (
                fills
            )
            assert result.rests == (number in book.orders)
        elif slow.orders:
            order = slow.orders[action[1] % len(slow.orders)]
            if action[0] == "cancel":
                book.cancel(order[0])
                slow.orders.remove(order)
            elif action[2] < order[3]:
                book.reduce(order[0], action[2])
                order[3] = action[2]
        after = (slow.ladder(BUY), slow.ladder(SELL))
        assert (book.ladder(BUY), book.ladder(SELL)) == after
        assert book.version == max(states) + (before != after)
        states[book.version] = after
    for version, (bids, asks) in states.items():
        assert book.at(version) == (bids, asks)
    assert len(book.commits) == book.version - 100


def test_one_action_over_several_levels_is_one_version() -> None:
    book = Book("X_USDT")
    for number, price in enumerate((10, 11, 12), 1):
        book.place(number, 0, SELL, price, 5)
    result = book.place(9, 0, BUY, 12, 12)
    assert book.version == 4
    assert result.commit is not None
    assert [(c.price, c.after) for c in result.commit.changes] == [
        (10, (0, 0)), (11, (0, 0)), (12, (3, 1))
    ]  # fmt: skip


def test_time_priority_within_a_level() -> None:
    book = Book("X_USDT")
    book.place(1, 1, BUY, 10, 5)
    book.place(2, 2, BUY, 10, 5)
    book.reduce(1, 3)
    result = book.place(3, 3, SELL, 10, 4)
    assert [(f.maker_id, f.quantity) for f in result.fills] == [(1, 3), (2, 1)]


@pytest.mark.parametrize(
    ("stp", "fills", "makers", "refused"),
    [(0, 1, [], ""), (1, 0, [1], "stp"), (2, 0, [1], ""), (3, 0, [], "stp")],
)
def test_self_trade_prevention(stp: int, fills: int, makers: list, refused: str) -> None:
    book = Book("X_USDT")
    book.place(1, 5, SELL, 10, 5)
    result = book.place(2, 5, BUY, 10, 5, stp=stp)
    assert len(result.fills) == fills
    assert [gone.order_id for gone in result.cancelled] == makers
    assert result.refused == refused
    assert result.rests == (stp == 2)


def test_history_says_what_it_keeps() -> None:
    book = Book("X_USDT", 1000, keep=1000)
    for number in range(1500):
        book.place(number, 0, BUY, 1 + number % 7, 1)
    assert book.since(book.version - 3)[0].version == book.version - 2
    with pytest.raises(ValueError, match="keeps versions 1500 to 2500, asked 1499"):
        book.at(1499)
    with pytest.raises(ValueError, match="asked 2501"):
        book.at(2501)


def test_bad_actions_leave_the_book_alone() -> None:
    book = Book("X_USDT")
    book.place(1, 0, BUY, 10, 5)
    for bad in (
        lambda: book.place(1, 0, BUY, 10, 5),
        lambda: book.place(2, 0, BUY, 10, 0),
        lambda: book.reduce(1, 5),
    ):
        with pytest.raises(ValueError):
            bad()
    with pytest.raises(KeyError):
        book.cancel(99)
    assert (book.version, book.ladder(BUY)) == (1, [(10, 5, 1)])
