"""core/book_hash against the model, and what makes two books the same."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexcfast.core.book_hash import book_hash, hash_levels
from mexcfast.core.depth import OrderBook
from models import hash_model
from models.frames import SYMBOL, depth, snapshot_text

PRICES = st.decimals("0.0001", "99999", places=4)
QUANTITIES = st.decimals("0.001", "99999", places=3)
SIDE = st.dictionaries(PRICES, QUANTITIES, max_size=30)


def book_of(bids: dict[Decimal, Decimal], asks: dict[Decimal, Decimal], *, storage: str = "auto",
            zeros: int = 0, orders: int = 1) -> OrderBook:
    def levels(side: dict[Decimal, Decimal]) -> list[tuple[Decimal, Decimal, int]]:
        tail = Decimal(1).scaleb(-4 - zeros)
        return [((p + tail) - tail, q, orders) for p, q in side.items()]

    book = OrderBook(SYMBOL, storage=storage)
    book.load_snapshot(snapshot_text(5, levels(asks), levels(bids)))
    return book


@given(SIDE, SIDE)
def test_it_is_what_the_model_says(bids, asks):
    book = book_of(bids, asks)
    assert book_hash(book) == hash_model.book_hash(bids.items(), asks.items())
    assert 0 <= book_hash(book) < 1 << 64


@given(SIDE, SIDE)
def test_scale_order_storage_and_order_counts_do_not_matter(bids, asks):
    expected = book_hash(book_of(bids, asks))
    backwards = [dict(reversed(side.items())) for side in (bids, asks)]
    for storage in ("auto", "ladder", "arrays"):
        other = book_of(*backwards, storage=storage, zeros=3, orders=7)
        assert book_hash(other) == expected
    # a frame widened the scales and the level is gone again
    asks = {price + 100_000: quantity for price, quantity in asks.items()}   # not crossed
    book = book_of(bids, asks)
    expected = book_hash(book)
    book.apply(depth(6, 6, bids=[("0.0000001", "0.0000001")]))
    assert book_hash(book) != expected
    book.apply(depth(7, 7, bids=[("0.0000001", 0)]))
    assert (book.price_scale, book.quantity_scale) == (7, 7)
    assert book_hash(book) == expected


@given(SIDE.filter(bool), SIDE, st.data())
def test_one_changed_level_changes_it(bids, asks, data):
    expected = book_hash(book_of(bids, asks))
    price = data.draw(st.sampled_from(sorted(bids)))
    for other in (bids | {price: bids[price] + 1},
                  {p: q for p, q in bids.items() if p != price},
                  {p + Decimal("0.00001") if p == price else p: q for p, q in bids.items()}):
        assert book_hash(book_of(other, asks)) != expected
    if bids != asks:
        assert book_hash(book_of(asks, bids)) != expected
    swapped = {p: q for p, q in bids.items() if p != price}
    assert book_hash(book_of(swapped, asks | {price: bids[price]})) != expected


def test_known_values_stay_as_they_are():
    """Other processes and other versions compare them."""
    assert hash_levels([], [], 0, 0) == 0
    book = book_of({Decimal("84000.10"): Decimal(5)}, {Decimal(84001): Decimal("0.5")})
    assert book_hash(book) == 0x10bb00dfb71d2f83
    assert hash_levels([(1 << 62, (1 << 63) - 1, 1)], [], 18, 0) == hash_model.book_hash(
        [(Decimal(1 << 62).scaleb(-18), Decimal((1 << 63) - 1))], [])


@pytest.mark.parametrize("bids", [None, [(1,)], [("a", 1, 1)], [(1 << 64, 1, 1)], [5]])
def test_what_is_no_level_is_refused(bids):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        hash_levels(bids, [], 0, 0)
