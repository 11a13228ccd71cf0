"""Single numbers, names and records of the nautilus adapter, without a node; the docs page."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mexcfast as mx
from mexcfast.errors import ConfigError
from mexcfast.sim import Exchange

HERE = importlib.util.find_spec("nautilus_trader") is not None
DOCS = Path(__file__).parents[2] / "docs" / "adapters" / "nautilus.md"
needs_nautilus = pytest.mark.framework("nautilus_trader", "nautilus")

if HERE:
    from nautilus_trader.model.data import BarType, OrderBookDeltas
    from nautilus_trader.model.enums import BookAction, OrderSide, OrderStatus
    from nautilus_trader.model.identifiers import AccountId, InstrumentId

    from mexcfast.adapters import nautilus as adapter
    from mexcfast.adapters.nautilus import bars, books, data, names, reports, told


def read(symbols: Any = ("BTC_USDT", "BTC_USD")) -> list[Any]:
    """Contracts of the exchange in the box."""

    async def story() -> list[Any]:
        async with Exchange(seed=5, symbols=symbols) as venue, mx.Client(venue.rest_url) as client:
            return list(await client.market_api.contracts())

    return asyncio.run(story())


@needs_nautilus
def test_names_go_there_and_back() -> None:
    for symbol in ("BTC_USDT", "1000BONK_USDT", "BTC_USD"):
        name = names.instrument_id(symbol)
        assert names.symbol_of(name) == symbol and not name.is_spread()
    assert str(names.instrument_id("BTC_USDT")) == "BTC-USDT-PERP.MEXC"
    with pytest.raises(ValueError, match="allowed: names without -"):
        names.instrument_id("A-B_USDT")


@needs_nautilus
def test_contracts_become_perpetuals() -> None:
    contract = read(("BTC_USDT",))[0]
    contract = replace(contract, tick_size=Decimal("0.0000010"), lot_size=Decimal("0.10"),
                       contract_size=Decimal("100"), min_quantity=Decimal("0.5"))
    made = names.instrument(contract, 7)
    assert (str(made.price_increment), made.price_precision) == ("0.000001", 6)
    assert (str(made.size_increment), made.size_precision) == ("0.1", 1)
    assert (str(made.multiplier), str(made.min_quantity)) == ("100", "0.5")
    assert (made.maker_fee, made.taker_fee) == (contract.maker_fee_rate, contract.taker_fee_rate)
    assert made.margin_init == contract.initial_margin_rate and not made.is_inverse
    assert made.settlement_currency.code == "USDT" and made.ts_event == 7
    inverse = names.instrument(replace(contract, symbol="BTC_USD", quote_coin="USD",
                                       settle_coin="BTC"), 7)
    assert inverse.is_inverse and inverse.settlement_currency.code == "BTC"
    # 100 contracts of 100 USD each at 50 000 are 0.2 BTC
    value = inverse.notional_value(inverse.make_qty(100), inverse.make_price(50_000))
    assert value.as_decimal() == Decimal("0.2") and value.currency.code == "BTC"
    with pytest.raises(ValueError, match="decimals in this build"):
        names.instrument(replace(contract, tick_size=Decimal("1e-17")), 7)


@needs_nautilus
def test_the_provider_leaves_out_what_it_cannot_show_and_refuses_wrong_filters() -> None:
    provider = adapter.MEXCInstrumentProvider()
    contract = read(("BTC_USDT",))[0]
    taken = provider.take([
        contract, replace(contract, symbol="A-B_USDT"),
        replace(contract, symbol="X_USDT", tick_size=Decimal("1e-20")),
        replace(contract, symbol="OLD_USDT", state=mx.types.ContractState.OFFLINE),
        replace(contract, symbol="DAY_USDT", future_type=mx.types.FutureType.DAILY)])
    assert [str(each.id) for each in taken] == ["BTC-USDT-PERP.MEXC"]

    async def story() -> None:
        with pytest.raises(ConfigError, match=r"allowed: provider\.client"):
            await provider.load_all_async()
        with pytest.raises(ConfigError, match="filters has 'colour'; allowed: base, quote, settle"):
            await provider.load_all_async({"colour": "red"})
        with pytest.raises(ValueError, match="allowed: venue MEXC"):
            await provider.load_ids_async([InstrumentId.from_str("BTC-USDT-PERP.OTHER")])

    asyncio.run(story())


@needs_nautilus
def test_balances_add_up_in_the_currencys_decimals() -> None:
    found = mx.types.Balance("USDT", Decimal("1.0000000019"), Decimal("0.0000000015"),
                             Decimal("2.5"), Decimal(0), None, None, None, None, None)
    made = names.balance(found)
    assert (str(made.free), str(made.locked), str(made.total)) == (
        "1.00000000 USDT", "2.50000000 USDT", "3.50000000 USDT")
    below = names.balance(replace(found, available=Decimal("-3")))
    assert below.free.as_decimal() == -3 and below.total.as_decimal() == Decimal("-0.5")


@needs_nautilus
@pytest.mark.parametrize(("interval", "opened", "ends"), [
    ("Min1", "2024-02-29T23:59", "2024-03-01T00:00"), ("Week1", "2024-01-01", "2024-01-08"),
    ("Month1", "2024-02-01", "2024-03-01"), ("Month1", "2023-12-01", "2024-01-01"),
    ("Month1", "2024-01-01", "2024-02-01")])
def test_candles_end(interval: str, opened: str, ends: str) -> None:
    first, last = (int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
                   for text in (opened, ends))
    assert names.end_of(interval, first) == last


@needs_nautilus
def test_bars_the_venue_has() -> None:
    for text, interval in (("1-MINUTE-LAST-EXTERNAL", "Min1"), ("1-HOUR-LAST-EXTERNAL", "Min60"),
                           ("4-HOUR-MARK-EXTERNAL", "Hour4"), ("1-MONTH-LAST-EXTERNAL", "Month1"),
                           ("3-MINUTE-LAST-EXTERNAL", None), ("1-MINUTE-LAST-INTERNAL", None)):
        assert bars.interval_of(BarType.from_str(f"BTC-USDT-PERP.MEXC-{text}")) == interval


def kline(ts_s: int, close: float, interval: str = "Min1") -> mx.Event:
    return mx.parse_frame(
        f'{{"channel":"push.kline","symbol":"BTC_USDT","ts":1,"data":{{"symbol":"BTC_USDT",'
        f'"interval":"{interval}","t":{ts_s},"o":1,"h":9,"l":1,"c":{close},"a":5,"q":7}}}}')


@needs_nautilus
def test_a_candle_is_told_once_and_read_again_when_a_part_may_be_missing() -> None:
    told_: list[tuple[int, Decimal]] = []
    asked: list[tuple[int, int]] = []
    feed = bars.BarFeed("Min1", lambda each: told_.append((each.ts_open_s, each.close)),
                        lambda first, now: asked.append((first, now)))
    for event in (kline(60, 2), kline(60, 2.5), kline(120, 3), kline(60, 8), kline(180, 4, "Min5"),
                  kline(120, 3.5)):
        feed.on_event(event)
    assert told_ == [(60, Decimal("2.5"))]
    feed.on_disconnected("socket", "gone")
    feed.on_event(kline(120, 3.7))          # whole again
    feed.on_event(kline(180, 4))
    assert told_[1:] == [(120, Decimal("3.7"))] and not asked
    feed.on_disconnected("socket", "gone")
    feed.on_event(kline(360, 5))
    assert len(told_) == 2 and asked == [(180, 360)]


ORDER = mx.types.Order(
    11, "BTC_USDT", "O-1", mx.Side.OPEN_SHORT, mx.OrderType.LIMIT, mx.types.OrderState.OPEN,
    Decimal("84000.5"), Decimal(10), Decimal(0), Decimal(0), 20, mx.OpenType.ISOLATED,
    mx.types.OrderCategory.ORDINARY, 0, Decimal(0), Decimal(0), Decimal(0), Decimal(0), Decimal(0),
    "USDT", mx.types.OrderErrorCode.NORMAL, mx.types.PositionMode.HEDGE, False, None, None, 1,
    1_700_000_000_000, 1_700_000_000_500)


@needs_nautilus
def test_states_of_orders() -> None:
    State, Code = mx.types.OrderState, mx.types.OrderErrorCode
    for changes, state in (
            ({}, OrderStatus.ACCEPTED), ({"state": State.PENDING}, OrderStatus.ACCEPTED),
            ({"filled_quantity": Decimal(1)}, OrderStatus.PARTIALLY_FILLED),
            ({"state": State.FILLED}, OrderStatus.FILLED),
            ({"state": State.CANCELLED, "filled_quantity": Decimal(1)}, OrderStatus.CANCELED),
            ({"state": State.INVALID}, OrderStatus.REJECTED),
            ({"state": State.CANCELLED, "error_code": Code.POST_ONLY_CANCEL},
             OrderStatus.REJECTED),
            ({"state": State.CANCELLED, "error_code": Code.IOC_CANCEL}, OrderStatus.CANCELED)):
        assert names.status(replace(ORDER, **changes)) == state, changes


@needs_nautilus
def test_reports() -> None:
    instrument = names.instrument(read(("BTC_USDT",))[0], 7)
    hedge = reports.Reports(AccountId("MEXC-FUTURES"), True, lambda: 9)
    net = reports.Reports(AccountId("MEXC-FUTURES"), False, lambda: 9)
    found = hedge.order(ORDER, instrument, reports.own_name("O-1"), before=Decimal(3))
    assert (str(found.quantity), str(found.filled_qty)) == ("13", "3")
    assert found.order_status == OrderStatus.PARTIALLY_FILLED
    assert found.venue_position_id.value == "BTC-USDT-PERP.MEXC-SHORT"
    assert (str(found.price), found.order_side) == ("84000.5", OrderSide.SELL)
    assert not found.reduce_only and found.ts_last == 1_700_000_000_500 * 10**6
    closing = hedge.order(replace(ORDER, side=mx.Side.CLOSE_SHORT), instrument, None)
    assert closing.reduce_only and closing.order_side == OrderSide.BUY
    assert closing.venue_position_id == found.venue_position_id
    assert net.order(ORDER, instrument, None).venue_position_id is None
    for text in (None, "", "_m_abc", "CHASE_LIMIT_1"):
        assert reports.own_name(text) is None
    fill = mx.types.Fill(
        5, 11, "BTC_USDT", mx.Side.CLOSE_LONG, Decimal("84000.5"), Decimal(2), Decimal("-0.01"),
        "USDT", Decimal(0), mx.types.OrderCategory.ORDINARY, False, None, "O-1", None, 3)
    report = hedge.fill(fill, instrument, None)
    assert (str(report.commission), report.liquidity_side.name) == ("-0.01000000 USDT", "MAKER")
    assert report.venue_position_id.value.endswith("-LONG") and report.ts_event == 3 * 10**6
    assert reports.liquidity(replace(fill, is_taker=None)).name == "NO_LIQUIDITY_SIDE"


@needs_nautilus
def test_what_was_told_moves_on_to_the_heir() -> None:
    orders = told.ToldOrders()
    one = orders.add(told.Told(name="O-1"))
    first = SimpleNamespace(order_id=11, client_order_id="O-1")
    assert orders.of(first) is one and one.order_id == 11
    orders.link(12, one)
    assert orders.by_id(11) is orders.by_id(12) is orders.named("O-1") is one
    assert orders.of(first) is one                  # its late fills are told there
    assert orders.of(SimpleNamespace(order_id=99, client_order_id="O-1")) is None


@needs_nautilus
def test_a_book_with_more_decimals_than_the_instrument_keeps_them() -> None:
    instrument = names.instrument(read(("BTC_USDT",))[0], 7)
    got: list[Any] = []
    feed = books.BookFeed(instrument, got.append, lambda: 9)
    feed.wants.add("deltas")
    book = mx.OrderBook("BTC_USDT")
    book.load_snapshot('{"success":true,"code":0,"data":{"asks":[[84000.25,1.5,1]],'
                       '"bids":[[83999.5,2,1]],"version":5,"timestamp":7}}')
    feed.on_book(book)
    deltas, = got
    assert isinstance(deltas, OrderBookDeltas) and deltas.sequence == 5
    assert [str(each.order.price) for each in deltas.deltas[1:]] == ["83999.50", "84000.25"]
    assert [str(each.order.size) for each in deltas.deltas[1:]] == ["2.0", "1.5"]


@needs_nautilus
def test_levels_the_node_was_not_told_of_are_not_deleted() -> None:
    instrument = names.instrument(read(("BTC_USDT",))[0], 7)
    got: list[Any] = []
    feed = books.BookFeed(instrument, got.append, lambda: 9)
    feed.wants.add("deltas")
    book = mx.OrderBook("BTC_USDT")
    book.load_snapshot('{"success":true,"code":0,"data":{"asks":[[84001,1,1]],'
                       '"bids":[[83999,2,1]],"version":5,"timestamp":7}}')
    feed.on_book(book)

    def frames(*texts: str) -> list[Any]:
        head = '{"channel":"push.depth","symbol":"BTC_USDT","ts":8,"data":'
        return [mx.parse_frame(f"{head}{text}}}") for text in texts]

    feed.on_changes(book, frames('{"asks":[[84002,0,0]],"bids":[],"version":6}'))
    assert len(got) == 1                    # a level that never was
    feed.on_changes(book, frames(
        '{"asks":[[84001,0,0],[84003,4,1]],"bids":[[83999,5,2]],"version":7}',
        '{"asks":[[84003,0,0]],"bids":[[83998,1,1]],"version":8}'))
    rows = [(each.action, float(each.order.price), each.sequence, each.flags)
            for each in got[1].deltas]
    assert rows == [
        (BookAction.DELETE, 84001.0, 7, 0), (BookAction.UPDATE, 83999.0, 7, 0),
        (BookAction.ADD, 84003.0, 7, 0), (BookAction.DELETE, 84003.0, 8, 0),
        (BookAction.ADD, 83998.0, 8, 128)]
    assert got[1].sequence == 8


@needs_nautilus
def test_settled_funding_rates_for_lines_that_ask() -> None:
    got: list[Any] = []

    async def story() -> None:
        async with Exchange(seed=5, symbols=("BTC_USDT",)) as venue, \
                mx.Client(venue.rest_url) as client:
            history = await client.market_api.funding_history("BTC_USDT")
            owner = SimpleNamespace(
                _live=lambda: client, _clock=SimpleNamespace(timestamp_ns=lambda: 9),
                _handle_funding_rates=lambda *args: got.append(args))
            name = names.instrument_id("BTC_USDT")
            await data.MEXCDataClient._request_funding_rates(owner, SimpleNamespace(
                instrument_id=name, start=None, end=None, limit=0, id=1, params={}))
            rates = got[0][1]
            assert [each.rate for each in rates] == [each.rate for each in reversed(history)]
            assert [each.ts_event for each in rates] == sorted(
                each.ts_settle_ms * 10**6 for each in history)

    asyncio.run(story())


@needs_nautilus
def test_settings(monkeypatch: Any) -> None:
    config = adapter.MEXCExecClientConfig(api_key="mx0-key", api_secret="s3cr3t")
    for text in (repr(config), str(config), f"{config}"):
        assert "mx0-key" not in text and "s3cr3t" not in text and "<hidden>" in text
    from mexcfast.adapters.nautilus.config import endpoint

    assert endpoint(adapter.MEXCDataClientConfig()) == mx.LIVE
    there = endpoint(adapter.MEXCDataClientConfig(base_url_http="http://h:1", base_url_ws="ws://h"))
    assert (there.rest_url, there.ws_url) == ("http://h:1", "ws://h")
    assert endpoint(adapter.MEXCDataClientConfig(base_url_ws="ws://h")).rest_url == mx.LIVE.rest_url
    engine = adapter.exec_engine_config(reconciliation=False)
    assert engine.inflight_check_interval_ms == 0 and not engine.reconciliation
    assert adapter.exec_engine_config(inflight_check_interval_ms=5).inflight_check_interval_ms == 5
    for name in ("MEXC_API_KEY", "MEXC_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="MEXC_API_KEY is missing"):
        adapter.MEXCLiveExecClientFactory.create(
            None, "MEXC", adapter.MEXCExecClientConfig(), None, None, None)
    with pytest.raises(ConfigError, match=r"allowed: members of mexcfast\.RiskLimits"):
        adapter.MEXCLiveExecClientFactory.create(
            None, "MEXC", adapter.MEXCExecClientConfig(limits={"colour": 1}), None, None, None)


# -- the page -------------------------------------------------------------------------------------

def table(heading: str) -> set[str]:
    """Case ids of one section of the page."""
    text = DOCS.read_text("utf-8").split(f"### {heading}\n", 1)[1].split("\n## ", 1)[0]
    found: set[str] = set()
    for line in text.split("\n### ", 1)[0].splitlines():
        if line.startswith("| TC-"):
            first = line.split("|")[1]
            found |= set(re.findall(r"TC-[DE]\d+", first))
    return found


def test_the_page_lists_the_cases_that_are_automated() -> None:
    """Neither more nor fewer than the tests are marked with."""
    marked: set[str] = set()
    for path in Path(__file__).parent.glob("test_nautilus_*.py"):
        for call in re.findall(r"^@cases\(([^)]*)\)", path.read_text("utf-8"), re.M):
            marked |= set(re.findall(r"TC-[DE]\d+", call))
    assert table("Automated") == marked
    assert not table("Not applicable") & marked
    assert len(marked | table("Not applicable")) == 28 + 69


@needs_nautilus
def test_the_page_runs_as_printed(tmp_path: Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```", DOCS.read_text("utf-8"), re.S | re.M)
    path = tmp_path / "program.py"
    path.write_text(programs[0], "utf-8")
    done = subprocess.run([sys.executable, "-P", str(path)], capture_output=True, text=True,
                          timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "filled: BUY 10 at" in done.stdout and "ERROR" not in done.stdout, done.stdout


def test_what_is_missing_is_named() -> None:
    code = ("import sys; sys.modules['nautilus_trader'] = None\n"
            "from mexcfast.errors import MissingExtra\n"
            "try:\n    import mexcfast.adapters.nautilus\n"
            "except MissingExtra as error:\n    assert error.extra == 'nautilus'; print(error)\n")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "pip install 'mexcfast[nautilus]'" in done.stdout, done.stderr
