"""examples/backtest.py and scanner.py: what they assume holds, and their sums are right."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import mexcfast as mx
from example_support import EXAMPLES, example, until
from mexcfast.sim import Exchange

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="an installed wheel has no examples")


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return example("backtest")


def book_at(ts_ns: int, version: int, asks: Any = ((101, 7, 1), (102, 50, 1)),
            bids: Any = ((100, 5, 1),)) -> mx.OrderBook:
    book = mx.OrderBook("BTC_USDT")
    book.load_snapshot(json.dumps({"asks": asks, "bids": bids, "version": version}).encode(), ts_ns)
    return book


def test_an_order_meets_the_book_of_its_latency_and_its_limit(program: ModuleType) -> None:
    broker = program.PaperBroker(0.5, 0.01, latency_ms=20)
    first = book_at(1_000_000_000, 1)
    broker.on_book(first)
    broker.take(first, True, 10)
    assert broker.is_busy and not broker.fills
    broker.on_book(book_at(1_019_999_999, 2))       # one nanosecond too early
    assert broker.is_busy and not broker.fills
    broker.on_book(book_at(1_020_000_000, 3))       # 7 at the limit of 101; 102 is beyond it
    assert [(fill.quantity, fill.price) for fill in broker.fills] == [(7, 101.0)]
    assert broker.position == 7 and not broker.is_busy
    assert broker.fees == pytest.approx(7 * 0.5 * 101 * 0.01)
    broker.take(book_at(1_030_000_000, 4), False, 7)
    broker.on_book(book_at(1_060_000_000, 5, bids=((100.5, 2, 1), (100, 1, 1), (99, 50, 1))))
    assert broker.position == 4                     # 2 and 1 at 100 or better
    assert broker.result == pytest.approx(
        -7 * 0.5 * 101 + 2 * 0.5 * 100.5 + 0.5 * 100 - broker.fees + 4 * 0.5 * (101 + 100.5) / 2)


def test_a_recording_gives_the_same_result_twice_and_a_torn_one_none(
        program: ModuleType, tmp_path: Path) -> None:
    tape = str(tmp_path / "tape")

    async def story() -> None:
        async with (Exchange(seed=3, updates_per_second=200) as venue,
                    mx.Client(venue.rest_url) as client):
            await program.record(client, "BTC_USDT", tape, 2)

    asyncio.run(story())
    once, again = program.play(tape), program.play(tape)
    assert once.fills == again.fills and once.result == again.result and once.fills
    assert all(fill.ts_ns >= fill.decided_ns + 20_000_000 for fill in once.fills)
    assert once.position == sum(fill.quantity for fill in once.fills) >= 0
    (file,) = Path(tape).glob("*.tape")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(SystemExit, match="holes"):
        program.play(tape)


def test_the_same_strategy_trades_and_goes_home_flat(program: ModuleType) -> None:
    async def story() -> None:
        async with (Exchange(seed=3, updates_per_second=100) as venue,
                    mx.Client(venue.rest_url, venue.access_key, venue.secret,
                              limits=program.LIMITS) as client):
            broker = await program.trade(client, "BTC_USDT", 3)
            await client.orders.refresh()
            assert venue.account.orders and not broker.refused
            assert not broker.is_busy and not broker.position
            assert not venue.account.positions and not venue.account.open_orders
            assert not client.orders.unresolved

    asyncio.run(story())


# -- scanner.py -----------------------------------------------------------------------------------


def test_rows_are_ranked_by_what_they_carry() -> None:
    scanner = example("scanner")
    row = scanner.Row
    rows = [row("A", 0.0, 0.0001, 8, 5e6), row("B", 0.0, -0.0004, 8, 5e6),
            row("C", 0.0, 0.0001, 1, 5e6), row("D", 0.5, 0.01, 8, 10.0)]
    assert rows[0].carry == pytest.approx(0.1095) and rows[2].carry == pytest.approx(0.876)
    assert [each.symbol for each in scanner.best(rows, 2, 1e6)] == ["C", "B"]
    assert [each.symbol for each in scanner.best(rows, 9, 0)] == ["D", "C", "B", "A"]


def test_rows_that_lack_something_are_left_out() -> None:
    scanner = example("scanner")
    rate = SimpleNamespace(symbol="BTC_USDT", rate="0.0002", cycle_hours=None)
    whole = SimpleNamespace(symbol="BTC_USDT", index_price=100.0, fair_price=101.0, amount24=None)
    found = scanner.read_row(whole, {"BTC_USDT": rate})
    assert (found.basis, found.cycle_hours, found.turnover) == (pytest.approx(0.01), 8, 0.0)
    assert scanner.read_row(whole, {}) is None
    for name in ("index_price", "fair_price", "symbol"):
        part = SimpleNamespace(**{**vars(whole), name: None})
        assert scanner.read_row(part, {"BTC_USDT": rate}) is None


def test_a_cost_is_not_told_of_a_book_that_is_not_sure() -> None:
    scanner = example("scanner")
    contract = SimpleNamespace(contract_size=scanner.Decimal("0.1"))
    book = book_at(1, 1)
    assert scanner.cost(book, contract, "buy", 70.35) == pytest.approx(101 / 100.5 - 1)   # all 7
    assert scanner.cost(book, contract, "sell", 1000) is None       # 5 contracts are all there is
    book.suspend()
    assert scanner.cost(book, contract, "buy", 70.35) is None


def test_the_scanner_keeps_the_books_of_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    scanner = example("scanner")

    async def story() -> None:
        async with Exchange(symbols=8) as venue, mx.Client(venue.rest_url) as client:
            found = scanner.Scanner(client, 2, 1000, 0)
            following = asyncio.create_task(found.follow())
            await until(lambda: following.done() or (found.watched and all(
                name in client.market.books and client.market.books[name].is_live
                for name in found.watched)), "the best books are live")
            assert not following.done() and 2 <= len(found.watched) <= 4
            assert set(found.rows) == set(found.contracts) and len(found.rows) > 4
            assert found.table().count(" live") == 2
            following.cancel()
            await asyncio.wait([following])
            found.watch(set())
            assert not client.market.books
            await scanner.scan(client, 1.5, count=3, money=1000, least_turnover=0, every_s=0.5)

    asyncio.run(story())
    assert capsys.readouterr().out.count("contract ") >= 2
