"""core/book: reading a book, its edges and its refusals (agreement with a model: test_depth)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mexcfast.core.depth import OrderBook
from models.frames import levels, snapshot_text

STORAGE = "auto"


@pytest.fixture(autouse=True, params=["arrays", "ladder"])
def each_storage(request, monkeypatch):
    """Everything below runs on both storages."""
    monkeypatch.setitem(globals(), "STORAGE", request.param)


def book_of(asks=(), bids=()) -> OrderBook:
    book = OrderBook("BTC_USDT", storage=STORAGE)
    book.load_snapshot(snapshot_text(1, levels(*asks), levels(*bids)))
    return book


THREE = {"asks": [(101, 1), (102, 2), (104, 4)], "bids": [(100, 1), (99, 2), (97, 4)]}


def test_an_empty_side_reads_none():
    book = book_of(asks=[(101, 1)])
    assert (book.best_bid, book.best_bid_quantity, book.mid, book.spread, book.microprice) == (
        None,) * 5
    assert (book.best_ask, book.best_ask_quantity) == (101.0, 1.0)
    assert book.average_price("sell", 1) is None
    assert book.volume_to("sell", 1) == 0.0
    assert book.bids() == book.bids(5) == []


@pytest.mark.parametrize("side, volume, expected", [
    ("buy", 1, 101.0), ("buy", "2", 101.5), ("buy", Decimal(7), (101 + 204 + 416) / 7),
    ("buy", 7.5, None), ("buy", "7.000000000000000001", None), ("buy", 8, None),
    ("buy", "0.5", 101.0), ("buy", "1.5", (101 + 51) / 1.5), ("buy", "1e-30", 101.0),
    ("buy", 2**63 - 1, None), ("buy", "1e18", None), ("buy", "1e-36", 101.0),
    ("sell", 1, 100.0), ("sell", 3, (100 + 198) / 3), ("sell", "0.001", 100.0),
    ("asks", 1, 101.0), ("bids", 1, 100.0),
])
def test_average_price(side, volume, expected):
    got = book_of(**THREE).average_price(side, volume)
    assert got == (expected if expected is None else pytest.approx(expected, rel=1e-15))


@pytest.mark.parametrize("volume", [0, -1, "0.0", -0.5])
def test_a_volume_is_above_zero(volume):
    with pytest.raises(ValueError, match="allowed: above 0"):
        book_of(**THREE).average_price("buy", volume)


@pytest.mark.parametrize("volume", [None, "x", True, float("nan"), 2**63])
def test_a_volume_is_a_number(volume):
    with pytest.raises(ValueError, match="volume"):
        book_of(**THREE).average_price("buy", volume)


@pytest.mark.parametrize("side, price, expected", [
    ("buy", 101, 1.0), ("buy", "100.999", 0.0), ("buy", 103.5, 3.0), ("buy", 10**18, 7.0),
    ("buy", "1e-30", 0.0), ("buy", -5, 0.0), ("buy", 0, 0.0),
    ("sell", 100, 1.0), ("sell", "100.0000001", 0.0), ("sell", "98.5", 3.0), ("sell", 0, 7.0),
    ("sell", 10**18, 0.0), ("sell", -(10**18), 7.0), ("sell", "1e-30", 7.0),
])
def test_volume_to(side, price, expected):
    assert book_of(**THREE).volume_to(side, price) == expected
    scaled = book_of(asks=[*THREE["asks"], ("200.0001", 1)], bids=[*THREE["bids"], ("0.0001", 1)])
    extra = (side == "buy" and price == 10**18) or (
        side == "sell" and Decimal(str(price)) <= Decimal("0.0001"))
    assert scaled.volume_to(side, price) == expected + extra


@pytest.mark.parametrize("side, price, expected", [
    ("bid", 100, 1.0), ("bids", "99.0", 2.0), ("sell", 97, 4.0), ("ask", 101, 1.0),
    ("buy", Decimal("104"), 4.0), ("ask", 100, 0.0), ("bid", 101, 0.0), ("bid", "99.5", 0.0),
    ("ask", "1e18", 0.0), ("bid", -100, 0.0), ("ask", "101.0000000000001", 0.0),
])
def test_quantity_at(side, price, expected):
    assert book_of(**THREE).quantity_at(side, price) == expected


@pytest.mark.parametrize("side", ["", "BUY", None, 1, "both"])
def test_sides(side):
    book = book_of(**THREE)
    for call in (lambda: book.average_price(side, 1), lambda: book.volume_to(side, 1),
                 lambda: book.quantity_at(side, 1)):
        with pytest.raises(ValueError, match="side is"):
            call()


def test_how_many_levels():
    book = book_of(**THREE)
    assert book.bids(2) == [(100.0, 1.0, 1), (99.0, 2.0, 1)]
    assert book.asks(0) == []
    assert len(book.asks(2**40)) == 3
    for n in (-1, -(10**12)):
        for call in (book.bids, book.asks, book.as_numpy):
            with pytest.raises(ValueError, match="0 and above"):
                call(n)
    for n in ("1", 1.5, object()):
        for call in (book.bids, book.asks, book.as_numpy):
            with pytest.raises(TypeError):
                call(n)


def test_arrays_are_copies():
    numpy = pytest.importorskip("numpy")
    book = book_of(**THREE)
    bids, asks = book.as_numpy()
    assert bids.dtype == asks.dtype == numpy.float64
    assert bids.flags.c_contiguous and bids.flags.owndata
    bids[:] = 0
    book.load_snapshot(snapshot_text(2, [], []))
    assert asks.tolist() == [[101, 1, 1], [102, 2, 1], [104, 4, 1]]
    assert book.as_numpy()[0].shape == (0, 3)


def test_the_microprice_leans_to_the_thin_side():
    book = book_of(asks=[(101, 1)], bids=[(100, 3)])
    assert book.microprice == 100.75
    assert book.mid == 100.5


def test_scales_grow_with_what_arrives():
    book = book_of(asks=[("101.25", "0.5")], bids=[("100", 1)])
    assert (book.price_scale, book.quantity_scale) == (2, 1)
    assert book.exact() == ([(10000, 10, 1)], [(10125, 5, 1)])
    assert book_of(asks=[("101.250000", 1)]).price_scale == 2, "zeros at the end are no decimals"
