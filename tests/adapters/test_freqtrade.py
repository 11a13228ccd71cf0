"""freqtrade's own bot on MEXC futures, against the exchange in the box.

    pip install 'mexcfast[freqtrade]' && python -m pytest tests/adapters/test_freqtrade.py

freqtrade 2026.9 brings 770 MB, so the ordinary run goes without it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.freqtrade_support import (
    MARKET,
    PAIR,
    Venue,
    configuration,
    running,
    written,
)
from mexcfast.errors import ConfigError

HERE = importlib.util.find_spec("freqtrade") is not None
DOCS = Path(__file__).parents[2] / "docs" / "adapters" / "freqtrade.md"
SECONDS = 240                # for a bot to start and act on a loaded machine

if HERE:
    import ccxt
    import freqtrade.exchange as rooms
    from freqtrade.configuration import Configuration
    from freqtrade.enums import CandleType, RunMode
    from freqtrade.exceptions import (
        ConfigurationError,
        InvalidOrderException,
        OperationalException,
        RetryableOrderError,
        TemporaryError,
    )
    from freqtrade.freqtradebot import FreqtradeBot
    from freqtrade.persistence import Trade
    from freqtrade.resolvers import ExchangeResolver

    from mexcfast.adapters import freqtrade as adapter
    from mexcfast.adapters.freqtrade import exchange as room
    from mexcfast.adapters.freqtrade import rules

pytestmark = [
    pytest.mark.framework("freqtrade"),
    pytest.mark.filterwarnings("default"),       # of freqtrade, pandas and what they bring
]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    adapter.register()
    yield
    room.uninstall()


@pytest.fixture
def venue() -> Iterator[Venue]:
    with running() as one:
        yield one


def settings(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What freqtrade makes of a configuration file."""
    mode = RunMode.DRY_RUN if config["dry_run"] else RunMode.LIVE
    path = written(folder, config)
    return dict(Configuration({"config": [str(path)]}, mode).get_config())


@contextmanager
def bot(venue: Venue, folder: Path, **changes: Any) -> Iterator[Any]:
    """A started bot; process() is one round."""
    one = FreqtradeBot(settings(configuration(venue, folder, **changes), folder))
    try:
        one.startup()
        yield one
    finally:
        one.cleanup()


@contextmanager
def exchange(venue: Venue, folder: Path, *, dry: bool = False, **changes: Any) -> Iterator[Any]:
    """The exchange object a bot would have."""
    config = settings(configuration(venue, folder, dry_run=dry, **changes), folder)
    one = ExchangeResolver.load_exchange(config, load_leverage_tiers=True)
    try:
        yield one
    finally:
        one.close()


def trade() -> Any:
    (found,) = Trade.get_trades().all()
    return found


def rounds(one: Any, true: Any, most: int = 12) -> None:
    """Let the bot work until something is so."""
    for _ in range(most):
        one.process()
        if true():
            return
    raise AssertionError(f"not so after {most} rounds: {Trade.get_trades().all()}")


def stops(found: Any) -> list[tuple[str, float]]:
    return [(one.status, one.stop_price) for one in found.orders if one.ft_order_side == "stoploss"]


def order(**changes: Any) -> dict[str, Any]:
    return {"pair": PAIR, "ordertype": "market", "side": "buy", "amount": 0.01, "rate": 84_055.1,
            "leverage": 5.0, **changes}


# -- whole lives ----------------------------------------------------------------------------------

@pytest.mark.parametrize("side", ["long", "short"])
def test_a_dry_run_opens_manages_and_closes(venue: Venue, tmp_path: Path, side: str) -> None:
    with bot(venue, tmp_path, side=side) as one:
        rounds(one, lambda: Trade.get_trades().all() and stops(trade()))
        found = trade()
        assert found.leverage == 5 and found.is_short is (side == "short")
        assert found.amount == pytest.approx(0.0594)          # 594 contracts of 0.0001
        first = stops(found)[0][1]
        assert found.liquidation_price < first if side == "long" else (
            found.liquidation_price > first)
        (tmp_path / "stop").write_text("-0.05")
        one.strategy.order_types["stoploss_on_exchange_interval"] = 0
        rounds(one, lambda: len(stops(trade())) == 2)
        (before, far), (after, near) = stops(trade())
        assert (before, after) == ("canceled", "open")
        assert far < near if side == "long" else far > near
        (tmp_path / "leave").touch()
        rounds(one, lambda: not trade().is_open)
        assert trade().exit_reason == "told to" and trade().close_profit_abs < 0
    for path in ("order/create", "planorder/place", "position/change_leverage"):
        assert venue.sent(path) == [], "a dry run sends nothing"


@pytest.mark.parametrize("side", ["long", "short"])
def test_a_live_run_opens_manages_and_closes(venue: Venue, tmp_path: Path, side: str) -> None:
    opens, closes = (1, 4) if side == "long" else (3, 2)
    with bot(venue, tmp_path, side=side, dry_run=False) as one:
        rounds(one, lambda: Trade.get_trades().all() and stops(trade()))
        found, (position,) = trade(), venue.position()
        assert (position["positionType"], position["openType"]) == (1 if side == "long" else 2, 1)
        assert position["leverage"] == 5 and position["holdVol"] == 594
        assert found.amount == pytest.approx(0.0594)
        assert found.open_rate == pytest.approx(position["holdAvgPrice"])
        room_left = abs(found.open_rate - position["liquidatePrice"])
        assert abs(found.open_rate - found.liquidation_price) == pytest.approx(
            room_left * 0.95, rel=1e-4)                       # freqtrade's own buffer of 5 %
        (tmp_path / "stop").write_text("-0.05")
        one.strategy.order_types["stoploss_on_exchange_interval"] = 0
        rounds(one, lambda: len(stops(trade())) == 2)
        (waiting,) = venue.waiting()
        assert waiting["triggerPrice"] == stops(trade())[1][1] and waiting["side"] == closes
        assert waiting["triggerType"] == (2 if side == "long" else 1)
        (tmp_path / "leave").touch()
        rounds(one, lambda: not trade().is_open)
        rounds(one, lambda: not venue.waiting())
        found = trade()
        assert venue.position() == [] and found.exit_reason == "told to"
        assert [one["side"] for one in venue.sent("order/create")] == [opens, closes]
        assert [one["type"] for one in venue.sent("order/create")] == [5, 5]
        # freqtrade's profit is what the account has less
        money = one.exchange.get_balances()["USDT"]["total"]
        assert found.close_profit_abs == pytest.approx(money - 100_000, abs=0.02)


def test_a_limit_entry_that_fills_in_two_parts(venue: Venue, tmp_path: Path) -> None:
    with bot(venue, tmp_path, entry="limit", dry_run=False) as one:
        one.process()
        rounds(one, lambda: trade().orders[0].filled)
        first = trade().orders[0]
        assert 0 < first.filled < 0.0594 and first.status == "open"
        venue.trade("sell", 10_000)                           # comes down to the bot's own order
        rounds(one, lambda: stops(trade()))
        assert trade().amount == pytest.approx(0.0594)
        assert first.average == pytest.approx(first.price)


def test_a_stop_on_the_exchange_ends_the_trade(venue: Venue, tmp_path: Path) -> None:
    # 0.06 % of the price, 50 USDT: within the book
    with bot(venue, tmp_path, dry_run=False, stoploss=-0.003) as one:
        rounds(one, lambda: Trade.get_trades().all() and stops(trade()))
        stop = stops(trade())[0][1]
        venue.sell_down_to(stop)
        rounds(one, lambda: not trade().is_open)
        found = trade()
        assert found.exit_reason == "stoploss_on_exchange"
        assert found.close_rate <= stop and venue.position() == []
        assert len(venue.sent("order/create")) == 1           # the entry; the stop needed no bot


# -- lost answers ---------------------------------------------------------------------------------

@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits without their length."""
    monkeypatch.setattr(rules, "REQUEST_LIFE_S", 0.3)
    monkeypatch.setattr(rules, "GIVE_UP_S", 0.6)
    monkeypatch.setattr(rules, "PAUSE_S", 0.05)


LOST = ["lose_answer", "garble_answer", "truncate_answer"]


@pytest.mark.parametrize("fault", LOST)
def test_an_order_whose_answer_is_lost_is_found(venue: Venue, tmp_path: Path, hasty: None,
                                                fault: str) -> None:
    with exchange(venue, tmp_path) as one:
        venue.do(lambda: getattr(venue.exchange.faults, fault)("order/create"))
        found = one.create_order(**order())
        (sent,) = venue.sent("order/create")
        assert found["clientOrderId"] == sent["externalOid"] and found["side"] == "buy"
        assert found["amount"] == pytest.approx(0.01)         # coins
        assert one.fetch_order(found["id"], PAIR)["status"] == "closed"


@pytest.mark.parametrize("kind", ["market", "limit"])
@pytest.mark.parametrize("fault", LOST)
def test_a_stop_whose_answer_is_lost_is_found(venue: Venue, tmp_path: Path, hasty: None,
                                              fault: str, kind: str) -> None:
    with exchange(venue, tmp_path) as one:
        one.create_order(**order())
        venue.do(lambda: getattr(venue.exchange.faults, fault)("planorder/place"))
        found = one.create_stoploss(PAIR, 0.01, 80_000.04, {"stoploss": kind}, "sell", 5.0)
        (waiting,) = venue.waiting()
        assert found["id"] == str(waiting["id"]) and found["status"] == "open"
        assert len(venue.sent("planorder/place")) == 1
        assert waiting["triggerPrice"] == 80_000.1            # up: never later than asked for
        assert waiting["orderType"] == (5 if kind == "market" else 1)
        again = one.fetch_stoploss_order(found["id"], PAIR)
        assert (again["status"], again["stopPrice"], again["amount"]) == (
            "open", 80_000.1, pytest.approx(0.01))


def test_an_order_that_never_arrived_may_be_tried_again(venue: Venue, tmp_path: Path,
                                                        hasty: None) -> None:
    """After the request's life only, and never by itself."""
    with exchange(venue, tmp_path) as one:
        venue.do(lambda: venue.exchange.faults.http_status("order/create", 503))
        with pytest.raises(TemporaryError, match="Could not place buy order"):
            one.create_order(**order())
        assert venue.position() == [] and len(venue.sent("order/create")) == 1
        assert len(venue.asked("order/external")) >= 2


def test_nothing_is_assumed_while_the_venue_cannot_be_asked(venue: Venue, tmp_path: Path,
                                                            hasty: None) -> None:
    """The bot stops: placing once more might double the order."""
    with exchange(venue, tmp_path) as one:
        def blind() -> None:
            venue.exchange.faults.lose_answer("order/create")
            venue.exchange.faults.http_status("*", 503, count=1000)

        venue.do(blind)
        with pytest.raises(OperationalException, match=r"is not known.*may double it"):
            one.create_order(**order())
        venue.do(venue.exchange.faults.clear)


def test_whatever_breaks_after_sending_is_a_doubt(
        venue: Venue, tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with exchange(venue, tmp_path) as one:
        place = one._api.create_order

        def broken(*args: Any) -> None:
            place(*args)
            raise KeyError("data")

        monkeypatch.setattr(one._api, "create_order", broken)
        found = one.create_order(**order())
        (sent,) = venue.sent("order/create")
        assert found["clientOrderId"] == sent["externalOid"]


def test_a_refusal_is_believed(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        venue.do(lambda: venue.exchange.faults.refuse("order/create", 2005))
        with pytest.raises(InvalidOrderException, match="Insufficient"):
            one.create_order(**order())
        venue.do(lambda: venue.exchange.faults.throttle("order/create"))
        with pytest.raises(TemporaryError):
            one.create_order(**order())
        assert venue.asked("order/external") == []


# -- one call at a time ---------------------------------------------------------------------------

def test_an_unknown_order(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        for answer in ("empty", "1001"):
            venue.do(lambda answer=answer: venue.exchange.change_variations(unknown_order=answer))
            with pytest.raises(RetryableOrderError, match="not found"):
                one.fetch_order("817027833053390000", PAIR, count=0)
        with pytest.raises(RetryableOrderError, match="not found"):
            one.fetch_stoploss_order("1", PAIR, count=0)


def test_a_cancelled_stop(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        one.create_order(**order())
        stop = one.create_stoploss(PAIR, 0.01, 80_000, {"stoploss": "market"}, "sell", 5.0)
        cancelled = one.cancel_stoploss_order_with_result(stop["id"], PAIR, 0.01)
        assert (cancelled["status"], cancelled["filled"]) == ("canceled", 0.0)
        with pytest.raises(InvalidOrderException, match="Could not cancel"):
            one.cancel_stoploss_order(stop["id"], PAIR)
        assert venue.waiting() == []


@pytest.mark.parametrize(("state", "says"), [(1, "open"), (2, "canceled"), (3, "open"),
                                             (4, "canceled"), (5, "canceled")])
def test_the_states_of_stops(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             state: int, says: str) -> None:
    """freqtrade places a new stop for `canceled` only, so one that ran out must be called so."""
    with exchange(venue, tmp_path) as one:
        row = {"id": "9", "symbol": MARKET, "side": 4, "vol": 100, "triggerPrice": 80_000,
               "triggerType": 2, "orderType": 5, "orderId": 0, "state": state}
        monkeypatch.setattr(one._api, "contractPrivateGetPlanorderListOrders",
                            lambda params: {"success": True, "code": 0, "data": [row]})
        found = one.fetch_stoploss_order("9", PAIR)
        assert (found["id"], found["status"], found["filled"]) == ("9", says, 0.0)
        assert (found["stopPrice"], found["amount"]) == (80_000, pytest.approx(0.01))


def test_the_kinds_and_prices_of_stops(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        for name, number in (("last", 1), ("mark", 2), ("index", 3)):
            one.create_stoploss(PAIR, 0.01, 90_000,
                                {"stoploss": "limit", "stoploss_price_type": name}, "buy", 5.0)
            sent = venue.sent("planorder/place")[-1]
            assert (sent["trend"], sent["side"], sent["triggerType"]) == (number, 2, 1)
            assert (sent["orderType"], sent["price"]) == (1, 90_900)    # 1 % beyond, to be filled
            assert (sent["openType"], sent["leverage"], sent["executeCycle"]) == (1, 5, 2)


@pytest.mark.parametrize(("force", "number"), [("GTC", 1), ("PO", 2), ("IOC", 3), ("FOK", 4)])
def test_times_in_force(venue: Venue, tmp_path: Path, force: str, number: int) -> None:
    with exchange(venue, tmp_path) as one:
        one.create_order(**order(ordertype="limit", rate=84_000, time_in_force=force))
        (sent,) = venue.sent("order/create")
        assert (sent["type"], sent["price"], sent["vol"]) == (number, 84_000, 100)
        assert (sent["openType"], sent["leverage"], sent["side"]) == (1, 5, 1)
        assert len(sent["externalOid"]) == 32


@pytest.mark.parametrize("dry", [True, False])
def test_leverage_is_a_whole_number(venue: Venue, tmp_path: Path, dry: bool) -> None:
    with exchange(venue, tmp_path, dry=dry) as one:
        with pytest.raises(InvalidOrderException, match=r"leverage 2\.5: MEXC takes whole numbers"):
            one.create_order(**order(leverage=2.5))
        assert venue.sent("order/create") == []


def test_closing_orders_say_so(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        one.create_order(**order())
        one.create_order(**order(side="sell", reduceOnly=True))
        with pytest.raises(InvalidOrderException):            # nothing is left: 2009, no short
            one.create_order(**order(side="sell", reduceOnly=True))
        assert [sent["side"] for sent in venue.sent("order/create")] == [1, 4, 4]
        assert venue.position() == []


def test_orders_can_be_found_again(venue: Venue, tmp_path: Path) -> None:
    """What freqtrade does when its database knows less than the exchange: open ones too."""
    with exchange(venue, tmp_path) as one:
        since = datetime.now(UTC) - timedelta(minutes=5)
        filled = one.create_order(**order())
        resting = one.create_order(**order(ordertype="limit", rate=84_000))
        gone = one.create_order(**order(ordertype="limit", rate=83_000))
        one.cancel_order(gone["id"], PAIR)
        found = {row["id"]: row for row in one.fetch_orders(PAIR, since)}
        assert [found[each["id"]]["status"] for each in (filled, resting, gone)] == [
            "closed", "open", "canceled"]
        assert [row["amount"] for row in found.values()] == [pytest.approx(0.01)] * 3
        (fill,) = one.get_trades_for_order(filled["id"], PAIR, since)
        assert (fill["side"], fill["amount"]) == ("buy", pytest.approx(0.01))


def test_the_balance_counts_what_positions_hold(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        before = one.get_balances()["USDT"]
        placed = one.create_order(**order())
        after, paid = one.get_balances()["USDT"], one.fetch_order(placed["id"], PAIR)["fee"]
        assert before["total"] == 100_000 and after["used"] == pytest.approx(168.11, abs=0.1)
        assert after["total"] == pytest.approx(100_000 - paid["cost"])
        assert "info" not in after and "info" not in one.get_balances()


def test_funding_is_of_the_trade(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        opened = datetime.now(UTC)
        one.create_order(**order())
        market = venue.exchange.venue.market(MARKET)
        for _ in range(3):
            venue.do(lambda: venue.exchange.venue.settle_funding(market))
        paid = one.get_funding_fees(PAIR, 0.01, False, opened - timedelta(seconds=1))
        (position,) = venue.position()
        assert paid < 0 and paid == pytest.approx(position["holdFee"])
        assert one.get_funding_fees(PAIR, 0.01, True, opened) == 0          # no short was held
        assert one.get_funding_fees(PAIR, 0.01, False, opened + timedelta(hours=1)) == 0
        # a trade of a hundred days is asked for in two spans
        assert one.get_funding_fees(PAIR, 0.01, False, opened - timedelta(days=100)) == paid
        starts = {asked["start_time"] for asked in venue.asked("position/funding_records")}
        assert len(starts) >= 4


def test_liquidation_in_a_dry_run_is_close_to_the_venues(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        one.create_order(**order())
        (position,) = venue.position()
        rate = position["holdAvgPrice"]
        guess = one.dry_run_liquidation_price(PAIR, rate, False, 0.01, rate * 0.01 / 5, 5.0,
                                              rate * 0.01 / 5, [])
        fee = rate * 0.0004
        assert position["liquidatePrice"] <= guess <= position["liquidatePrice"] + fee + 0.1


def test_the_tier_is_the_positions(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path) as one:
        low, high = one._leverage_tiers[PAIR][0], one._leverage_tiers[PAIR][1]
        contract = venue.exchange.venue.market(MARKET).contract
        price = one.fetch_ticker(PAIR)["last"]
        assert low["maxNotional"] == pytest.approx(contract.tiers[0].max_vol * 0.0001 * price)
        assert one.get_max_leverage(PAIR, 0) == contract.tiers[0].max_leverage
        assert high["maintenanceMarginRate"] > low["maintenanceMarginRate"]
        amount = low["maxNotional"] * 1.01 / 84_000           # stake 5 times smaller: still low's
        near, far = (one.dry_run_liquidation_price(PAIR, 84_000, False, size, size * 84_000 / 5,
                                                   5.0, size * 84_000 / 5, [])
                     for size in (amount, 0.01))
        assert near - far == pytest.approx(
            84_000 * (high["maintenanceMarginRate"] - low["maintenanceMarginRate"]))


def test_books_and_candles_are_in_coins(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path, dry=True) as one:
        raw, book = one._api.fetch_l2_order_book(PAIR, 5), one.fetch_l2_order_book(PAIR, 5)
        assert [(price, amount / 10_000) for price, amount, *_ in raw["bids"]] == [
            (price, pytest.approx(amount)) for price, amount in book["bids"]]
        key = (PAIR, "1m", CandleType.FUTURES)
        frame = one.refresh_latest_ohlcv([key])[key]
        assert len(frame) >= 29 and set(frame["volume"]) == {0.0001}     # 1 contract a minute
        asked = venue.asked(f"kline/{MARKET}")[-1]
        assert "end" not in asked
        assert 0 <= time.time() - 60_000 - int(asked["start"]) < SECONDS


def test_history_asks_for_both_ends(venue: Venue, tmp_path: Path) -> None:
    with exchange(venue, tmp_path, dry=True) as one:
        start = datetime.now(UTC) - timedelta(minutes=10)
        since = int(start.timestamp()) * 1000
        for kind in (CandleType.FUTURES, CandleType.MARK):
            frame = one.get_historic_ohlcv(PAIR, "1m", since_ms=since, candle_type=kind)
            asked = venue.asked(f"/{MARKET}")[-1]
            assert int(asked["start"]) * 1000 == since
            assert int(asked["end"]) - int(asked["start"]) == 1000 * 60
            assert kind != CandleType.FUTURES or len(frame) >= 9


def test_funding_rates_page_after_page(venue: Venue, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    hour = 3_600_000
    rates = [{"timestamp": n * 8 * hour + 1, "fundingRate": n / 1e6} for n in range(1, 251)]

    async def page(pair: str, limit: int, params: dict[str, Any]) -> list[dict[str, Any]]:
        assert limit == 100
        last = len(rates) - (params["page_num"] - 1) * 100
        return rates[max(0, last - 100):last]

    with exchange(venue, tmp_path, dry=True) as one:
        monkeypatch.setattr(one._api_async, "fetch_funding_rate_history", page)
        work = one._fetch_funding_rate_history
        whole = one.loop.run_until_complete(work(PAIR, "1h", 10_000, 0))
        assert [at for at, _ in whole] == [n * 8 * hour for n in range(1, 251)]
        some = one.loop.run_until_complete(work(PAIR, "1h", 10_000, 200 * 8 * hour))
        assert [rate for _, rate in some] == [n / 1e6 for n in range(200, 251)]
        few = one.loop.run_until_complete(work(PAIR, "1h", 24, 200 * 8 * hour))
        assert [rate for _, rate in few] == [200 / 1e6, 201 / 1e6, 202 / 1e6]
        assert len(one.loop.run_until_complete(work(PAIR, "1h", 24))) == 100


def test_funding_in_a_dry_run(venue: Venue, tmp_path: Path) -> None:
    """Candles of the fair price and rates of the venue, joined on the full hour."""
    with exchange(venue, tmp_path, dry=True) as one:
        assert one.get_funding_fees(PAIR, 0.01, False, datetime.now(UTC)) == 0.0
        assert venue.asked(f"kline/fair_price/{MARKET}") and venue.asked("funding_rate/history")


# -- what is refused ------------------------------------------------------------------------------

def test_cross_margin_is_refused(venue: Venue, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"margin_mode 'cross'.*allowed: 'isolated'"), \
            exchange(venue, tmp_path, margin_mode="cross"):
        pass


def test_keys_are_needed(venue: Venue, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"exchange\.secret missing"), \
            exchange(venue, tmp_path, exchange={"secret": ""}):
        pass
    with exchange(venue, tmp_path, dry=True, exchange={"key": "", "secret": ""}):
        pass                                                  # not for a dry run


def test_one_way_accounts_are_refused(venue: Venue, tmp_path: Path) -> None:
    venue.one_way()
    with pytest.raises(ConfigurationError, match="one-way position mode; needed: hedge mode"), \
            exchange(venue, tmp_path):
        pass


def test_candles_stay_with_rest(venue: Venue, tmp_path: Path, caplog: Any) -> None:
    with exchange(venue, tmp_path, exchange={"_ft_has_params": {"ws_enabled": True}}) as one:
        assert one._exchange_ws is None and "ws_enabled is not supported" in caplog.text


def test_spot_is_left_alone(venue: Venue, tmp_path: Path) -> None:
    config = settings(configuration(venue, tmp_path), tmp_path) | {
        "trading_mode": "spot", "margin_mode": ""}
    one = rooms.Mexc(config, validate=False)
    try:
        assert one._ft_has["stoploss_on_exchange"] is False
        assert one._get_params("buy", "limit", 1.0, False) == {}
        assert one._api.options["mexcfast"]["swap_only"] is False
    finally:
        one.close()


def test_a_changed_freqtrade_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert room.differences() == ()
    table = {"freqtrade.exchange.exchange:Exchange": {"_lev_prep": "pair leverage"},
             "ccxt.mexc:mexc": {"contractPrivateGetNothing": ""}}
    monkeypatch.setattr(room, "TABLE", table)
    with pytest.raises(ConfigError, match=r"_lev_prep\(pair, leverage.*no ccxt\.mexc\.contract"):
        adapter.register()


def test_a_class_of_freqtrades_own_is_replaced_aloud(monkeypatch: pytest.MonkeyPatch,
                                                     caplog: Any) -> None:
    monkeypatch.setattr(rooms, "Mexc", rooms.Bybit)
    room.install()
    assert rooms.Mexc is room.Mexc and "of its own" in caplog.text
    assert ccxt.mexc.__module__ == "mexcfast.adapters.ccxt.sync"


# -- through the launcher -------------------------------------------------------------------------

def launch(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mexcfast.adapters.freqtrade", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env=os.environ | {"COLUMNS": "500"})


def until(process: subprocess.Popen[str], wanted: str) -> str:
    """What it says, up to a line with this in it."""
    assert process.stdout is not None
    said, late = "", threading.Timer(SECONDS, process.kill)
    late.start()
    try:
        for line in process.stdout:
            said += line
            if wanted in line:
                return said
    finally:
        late.cancel()
    raise AssertionError(f"{wanted!r} never came:\n{said}")


def test_the_launcher_starts_trades_and_stops(venue: Venue, tmp_path: Path) -> None:
    config = written(tmp_path, configuration(venue, tmp_path, dry_run=False))
    process = launch("trade", "--config", str(config), folder=tmp_path)
    try:
        said = until(process, "stoploss market order added")
        assert "Using resolved exchange class 'Mexc'" in said
        assert venue.exchange.secret not in said
        process.send_signal(signal.SIGINT)
        until(process, "SIGINT received")
        process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert len(venue.position()) == 1 and len(venue.waiting()) == 1


def test_the_launcher_refuses_a_wrong_configuration(venue: Venue, tmp_path: Path) -> None:
    config = written(tmp_path, configuration(venue, tmp_path, margin_mode="cross"))
    process = launch("trade", "--config", str(config), folder=tmp_path)
    said, _ = process.communicate(timeout=SECONDS)
    assert "RUNNING" not in said                        # freqtrade itself ends with 0
    assert "margin_mode 'cross' with trading_mode 'futures' on MEXC; allowed: 'isolated'" in (
        " ".join(said.split()))


def test_the_documents_configuration(venue: Venue, tmp_path: Path) -> None:
    """docs/adapters/freqtrade.md as printed, but for the port and the folder."""
    text = DOCS.read_text("utf-8")
    config = json.loads(re.findall(r"^```json\n(.*?)^```", text, re.S | re.M)[0])
    (strategy,) = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    (tmp_path / "first.py").write_text(strategy)
    written(tmp_path, json.loads(json.dumps(config).replace(
        "http://127.0.0.1:8777", venue.exchange.rest_url)))
    command = re.search(r"^python -m mexcfast\.adapters\.freqtrade (trade .*)$", text, re.M)
    assert command is not None
    process = launch(*command.group(1).split(), folder=tmp_path)
    try:
        said = until(process, "has been fulfilled")
        assert "MARKET_BUY" in said
    finally:
        process.kill()
        process.communicate()
