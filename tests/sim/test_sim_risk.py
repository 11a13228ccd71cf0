"""Inverse contracts, tiers, margin, liquidation, insurance, ADL and funding, by hand-made sums."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest

from mexcfast.sim.contracts import contract
from sim.offline import World
from sim.test_sim_money import check_deals, check_money, check_orders

SYMBOL = "BTC_USDT"
INVERSE = "BTC_USD"
SIZE = Decimal("0.0001")


def world(**settings: Any) -> World:
    return World(**{"symbols": (SYMBOL, INVERSE, "ETH_USDT"), "levels": 150, **settings})


def check(here: World) -> None:
    check_money(here.venue)
    check_deals(here.venue)
    check_orders(here.venue)


def cut(amount: Decimal, scale: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_DOWN)


def orders(here: World, category: int, who: Any = None) -> list[Any]:
    rows = here.get(f"order/list/history_orders?category={category}", who)["data"]
    return list(reversed(rows))


# Inverse


@pytest.mark.parametrize(("side", "sign"), [(1, 1), (3, -1)])
def test_inverse_profit_is_in_the_coin(side: int, sign: int) -> None:
    here = world()
    before = here.me.cash["BTC"]
    here.order(symbol=INVERSE, side=side, vol=10, leverage=10)
    held = here.position(INVERSE, 1 if side == 1 else 2)
    entry = here.get("position/open_positions?symbol=BTC_USD")["data"][0]["holdAvgPrice"]
    assert abs(held.cost - Decimal(1000) / entry) < Decimal("1e-9")
    assert held.margin == round(held.cost / 10, 8)
    asset = here.get("account/asset/BTC")["data"]
    assert asset["positionMargin"] == held.margin
    here.move_last(INVERSE, here.step_price(INVERSE, 60 * sign))
    here.stand(INVERSE, side if side == 1 else 2, here.step_price(INVERSE, -sign), 10)
    here.order(symbol=INVERSE, side=4 if side == 1 else 2, vol=10)
    deals = here.get("order/list/order_deals/v3?symbol=BTC_USD")["data"]
    closing = [one for one in deals if one["side"] in (2, 4)]
    value = sum(Decimal(100) * one["vol"] / one["price"] for one in closing)
    profit = sum(one["profit"] for one in closing)
    assert abs(profit - sign * (held.open_value - value)) < Decimal("1e-7") and profit > 0
    fees = sum(one["fee"] for one in deals)
    assert here.me.cash["BTC"] == before + profit - fees
    assert {one["feeCurrency"] for one in deals} == {"BTC"}
    check(here)


def test_inverse_liquidation_price() -> None:
    """Where the coin margin is down to the maintenance margin: shorts above, longs below."""
    here = world()
    here.order(symbol=INVERSE, side=1, vol=10, leverage=10)
    here.order(symbol=INVERSE, side=3, vol=10, leverage=10)
    long, short = here.position(INVERSE, 1), here.position(INVERSE, 2)
    for held, sign in ((long, -1), (short, 1)):
        price = held.liquidation_price()
        entry = held.average(held.cost, held.hold_vol)
        assert (price - entry) * sign > 0
        equity = held.margin + held.unrealised(price)
        assert abs(equity - held.maintenance) < Decimal("1e-6")


def test_inverse_contract_describes_itself() -> None:
    here = world()
    view = here.ask("GET", f"/api/v1/contract/detail?symbol={INVERSE}")["data"]
    assert (view["settleCoin"], view["quoteCoin"], view["contractSize"]) == ("BTC", "USD", 100)
    here.venue.trade(INVERSE, 1, 7)
    ticker = here.ask("GET", f"/api/v1/contract/ticker?symbol={INVERSE}")["data"]
    assert ticker["amount24"] == 700 and ticker["volume24"] == 7
    assert contract("ETH_USD").settle == "ETH"


# Tiers


def test_tiers_by_formula_and_table() -> None:
    here = world()
    views = {one["symbol"]: one for one in here.ask("GET", "/api/v1/contract/detail")["data"]}
    assert views[SYMBOL]["riskLimitMode"] == "CUSTOM" and views[SYMBOL]["riskLimitCustom"]
    eth = views["ETH_USDT"]
    assert eth["riskLimitMode"] == "INCREASE"
    for tier in contract("ETH_USDT").tiers:
        steps = tier.level - 1
        assert tier.max_vol == eth["riskBaseVol"] + steps * eth["riskIncrVol"]
        assert tier.mmr == eth["maintenanceMarginRate"] + steps * eth["riskIncrMmr"]
        assert tier.imr == eth["initialMarginRate"] + steps * eth["riskIncrImr"]
    rows = here.get(f"account/risk_limit?symbol={SYMBOL}")["data"][SYMBOL]
    assert {(one["positionType"], one["openType"]) for one in rows} == {
        (1, 1), (1, 2), (2, 1), (2, 2)
    }  # fmt: skip


# Liquidation


def test_isolated_liquidation() -> None:
    here = world()
    here.order(vol=10, leverage=100)
    held = here.position()
    entry, margin = held.average(held.cost, 10), held.margin
    assert margin == round(held.cost / 100, 8)
    wanted = entry * (1 - Decimal("0.01") + Decimal("0.001"))  # 1/leverage - mmr
    assert abs(held.liquidation_price() - wanted) <= Decimal("0.1")
    waiting = here.order(type=1, price=here.price(rank=30), vol=5, leverage=100)
    other = here.order(side=3, type=1, price=here.price(side=2, rank=30), vol=5)
    cash = here.me.cash["USDT"]
    here.mark(SYMBOL, held.liquidation_price() + Decimal("0.1"))
    assert here.position() is held
    told = here.told(lambda: here.mark(SYMBOL, held.liquidation_price()))
    assert not here.me.positions
    loss = cash - here.me.cash["USDT"]
    assert margin - Decimal("0.0002") <= loss <= margin
    (taken,) = orders(here, 2)
    (closed,) = orders(here, 3)
    assert (taken["state"], taken["vol"], taken["side"]) == (3, 10, 4)
    assert entry * Decimal("0.99") <= taken["price"] < entry * Decimal("0.991")
    assert (closed["state"], closed["dealVol"]) == (3, 10)
    states = {one["orderId"]: one for one in here.get("order/list/history_orders")["data"]}
    assert (states[waiting]["state"], states[waiting]["errorCode"]) == (4, 13)
    assert states[other]["state"] == 2
    position = here.get("position/list/history_positions")["data"][0]
    assert (position["state"], position["holdVol"]) == (3, 0)
    assert position["realised"] <= -margin + Decimal("0.0002")
    notes = [data for channel, data in told if channel == "generic.notify"]
    assert [one["param"]["notifyType"] for one in notes] == [1]
    seen = [data["state"] for channel, data in told if channel == "position"]
    assert seen == [2, 3]
    fund = here.ask("GET", f"/api/v1/contract/risk_reverse/{SYMBOL}")["data"][0]["available"]
    assert fund > 97_284_530  # the market was better than the take-over price
    history = here.ask("GET", f"/api/v1/contract/risk_reverse/history?symbol={SYMBOL}")["data"]
    assert [one["available"] for one in history["resultList"]] == [fund, 97_284_530]
    check(here)


def test_cross_positions_stand_together() -> None:
    here = world()
    here.venue.desk.transfer(here.me, "USDT", Decimal(-999_900))
    here.order(vol=300, leverage=100, openType=2)
    here.order(symbol="ETH_USDT", side=3, vol=20, leverage=100, openType=2)
    waiting = here.order(symbol="ETH_USDT", side=3, type=1, vol=1, leverage=100, openType=2,
                         price=here.price("ETH_USDT", 2, 20))  # fmt: skip
    long, short = here.position(), here.position("ETH_USDT", 2)
    wire = here.get(f"position/open_positions?symbol={SYMBOL}")["data"][0]
    price = wire["liquidatePrice"]
    assert price < long.liquidation_price()  # the whole wallet backs it, not only its margin
    here.mark(SYMBOL, price + 1)
    assert len(here.me.positions) == 2
    here.mark(SYMBOL, price - 1)
    assert not here.me.positions and here.me.cash["USDT"] < Decimal("0.001")
    assert [one["symbol"] for one in orders(here, 2)] == ["ETH_USDT", SYMBOL]
    assert here.get(f"order/get/{waiting}")["data"]["errorCode"] == 13
    assert short.state == long.state == 3
    check(here)


def test_isolated_margin_is_out_of_reach_of_cross() -> None:
    here = world()
    here.venue.desk.transfer(here.me, "USDT", Decimal(-999_900))
    here.order(symbol="ETH_USDT", vol=10, leverage=20, openType=1)
    safe = here.position("ETH_USDT")
    here.order(vol=200, leverage=100, openType=2)
    here.mark(SYMBOL, here.last() - 5000)
    assert list(here.me.positions.values()) == [safe]
    assert safe.margin <= here.me.cash["USDT"] < safe.margin + Decimal("0.001")
    check(here)


def test_automatic_margin() -> None:
    here = world()
    here.order(vol=10, leverage=100)
    held = here.position()
    here.ok("position/change_auto_add_im", {"positionId": held.id, "isEnabled": True})
    assert here.get("position/open_positions")["data"][0]["autoAddIm"] is True
    margin, price = held.margin, held.liquidation_price()
    here.mark(SYMBOL, price - 1)
    assert here.position() is held and held.margin > margin
    assert held.margin + held.unrealised(price - 1) >= margin - Decimal("0.1")
    here.venue.desk.transfer(here.me, "USDT", -here.venue.spendable(here.me, "USDT"))
    here.mark(SYMBOL, held.liquidation_price() - 1)
    assert not here.me.positions
    check(here)


def test_adl_takes_what_the_fund_cannot_pay() -> None:
    here = world()
    market = here.venue.markets[SYMBOL]
    here.order(vol=100, leverage=100)
    here.order(vol=60, side=3, leverage=50, who=here.other)
    lock = here.order(vol=60, side=2, type=1, price=82_000, who=here.other)
    market.insurance_start = Decimal(0)
    held, cash = here.position(), here.other.cash["USDT"]
    bankrupt = held.price_at(Decimal(0), held.margin)
    # the fair price falls below the take-over price, and so did everybody's bids
    for tick, vol, _ in market.book.ladder(1):
        if market.contract.price(tick) > bankrupt - 500:
            here.venue.trade(SYMBOL, 2, vol)
    here.mark(SYMBOL, bankrupt - 50)
    assert not here.me.positions
    (adl,) = orders(here, 4, here.other)
    assert (adl["vol"], adl["side"], adl["state"]) == (60, 2, 3)
    assert abs(adl["dealAvgPrice"] - bankrupt) < 40
    assert not here.other.positions and here.other.cash["USDT"] > cash
    locked = here.get(f"order/get/{lock}", here.other)["data"]
    assert (locked["state"], locked["errorCode"]) == (4, 14)
    assert here.venue.ledger.insurance.get(SYMBOL, Decimal(0)) >= 0
    check(here)


def test_a_wallet_never_goes_below_zero() -> None:
    """A market close beyond bankruptcy: the insurance fund bears what the wallet cannot."""
    here = world()
    here.order(vol=1000, leverage=100)
    here.venue.desk.transfer(here.me, "USDT", -here.venue.spendable(here.me, "USDT"))
    low = here.last() - 1200
    bids = sum(vol for _, vol, _ in here.venue.markets[SYMBOL].book.ladder(1))
    here.stand(SYMBOL, 1, low, 5000)
    here.venue.trade(SYMBOL, 2, bids)
    assert here.price() == low
    fund = here.venue.ledger.insurance.get(SYMBOL, Decimal(0))
    here.order(side=4, vol=1000)
    assert 0 <= here.me.cash["USDT"] < Decimal("0.001")
    assert here.venue.ledger.insurance[SYMBOL] < fund - 30
    check(here)


# Funding


def test_funding_records_of_both_kinds() -> None:
    here = world()
    here.order(vol=10)
    here.order(symbol=INVERSE, side=3, vol=10)
    here.venue.markets[SYMBOL].funding_rate = Decimal("0.001")
    here.venue.markets[INVERSE].funding_rate = Decimal("0.001")
    cash = dict(here.me.cash)
    until = here.venue.markets[SYMBOL].next_funding_ms - here.now
    here.pass_time(until - 1)
    assert here.me.cash == cash
    here.pass_time(1)
    rows = here.get("position/funding_records?page_num=1&page_size=20")["data"]["resultList"]
    by_symbol = {one["symbol"]: one for one in rows}
    linear, inverse = by_symbol[SYMBOL], by_symbol[INVERSE]
    fair = here.venue.markets[SYMBOL].fair_price
    assert linear["positionValue"] == fair * 10 * SIZE
    assert linear["funding"] == -cut(fair * 10 * SIZE / 1000, 4)
    assert inverse["funding"] == cut(inverse["positionValue"] / 1000, 8) > 0
    assert here.me.cash["USDT"] == cash["USDT"] + linear["funding"]
    assert here.me.cash["BTC"] == cash["BTC"] + inverse["funding"]
    position = here.get(f"position/open_positions?symbol={SYMBOL}")["data"][0]
    assert position["holdFee"] == linear["funding"]
    page = here.ask("GET", f"/api/v1/contract/funding_rate/history?symbol={SYMBOL}")["data"]
    assert [one["fundingRate"] for one in page["resultList"]] == [Decimal("0.001")]
    only = here.get("position/funding_records?position_type=2")["data"]["resultList"]
    assert [one["symbol"] for one in only] == [INVERSE]
    check(here)


# Orders that the exchange sizes or places itself


def test_market_ceiling_uses_all_there_is() -> None:
    here = world()
    here.venue.desk.transfer(here.me, "USDT", Decimal(-999_000))
    here.order(vol=1, leverage=10, marketCeiling=True)
    held = here.position()
    assert held.hold_vol > 1 and here.venue.spendable(here.me, "USDT") < here.last() * SIZE / 5
    check(here)


def test_flash_close_and_close_all() -> None:
    here = world()
    here.order(vol=10)
    lock = here.order(side=4, type=1, vol=10, price=here.price(side=2, rank=20))
    here.order(side=4, vol=1, flashClose=True)
    assert not here.me.positions
    assert here.get(f"order/get/{lock}")["data"]["state"] == 4
    here.order(vol=10)
    here.order(symbol=INVERSE, side=3, vol=5)
    assert here.ok("position/close_all") == []
    assert not here.me.positions
    here.order(vol=10)
    here.venue.markets[SYMBOL].contract.state = 4
    told = here.told(lambda: here.ok("position/close_all"))
    assert told == [("position.closeall.fail", {})]
    check(here)


def test_reverse_tells_how_it_went() -> None:
    here = world()
    here.order(vol=10, leverage=25)
    held = here.position()
    body = {"symbol": SYMBOL, "positionId": held.id, "vol": 4}
    told = dict(here.told(lambda: here.ok("position/reverse", body)))
    assert told["reverse.position"] == {
        "contractId": 10, "positionId": held.id, "state": 1, "errorCode": 0
    }  # fmt: skip
    assert here.position().hold_vol == 6 and here.position(SYMBOL, 2).hold_vol == 4
    assert here.post("position/reverse", {**body, "vol": 7})["code"] == 2008
    here.me.restriction = 6002
    told = dict(here.told(lambda: here.ok("position/reverse", {**body, "vol": 6})))
    assert told["reverse.position"]["errorCode"] == 999 and (SYMBOL, 1) not in here.me.positions
    check(here)


def test_chase_amends_or_tells() -> None:
    here = world()
    number = here.order(type=1, price=here.price(rank=5), vol=4, stopLossPrice=60_000)
    here.ok("order/chase_limit_order", {"orderId": number})
    (order,) = here.me.open_orders.values()
    assert order.price == here.price() and order.external_oid.startswith("CHASE_LIMIT")
    assert order.attached.stop_loss == 60_000
    told = here.told(lambda: here.ok("order/chase_limit_order", {"orderId": number}))
    assert told == [("order.chase", {"ec": 2041, "s": SYMBOL})]


def test_history_is_every_version() -> None:
    here = world()
    number = here.order(type=1, price=here.price(), vol=10)
    ahead = here.venue.markets[SYMBOL].book.ladder(1, 1)[0][1] - 10
    here.venue.trade(SYMBOL, 2, ahead + 4)
    here.ok("order/cancel", [number])
    states = here.venue.order_history(number)
    assert [(one.version, one.state, one.deal_vol) for one in states] == [
        (1, 2, 0), (2, 2, 4), (3, 4, 4)
    ]  # fmt: skip
    truth = here.venue.account_state(here.me)
    assert truth.cash == here.me.cash and truth.positions == [here.position()]
    assert truth.open_orders == [] and truth.waiting == []


def test_groups_keep_users_apart() -> None:
    here = world()
    group = {"configName": "g", "blacklist": [here.other.uid]}
    here.ok("market_maker/self_trade/blacklist/create", group)
    own = here.get("market_maker/self_trade/blacklist/search", here.other)["data"]
    assert own["groupName"] == "g"
    top = here.venue.markets[SYMBOL].book.best(2)
    here.venue.trade(SYMBOL, 1, here.venue.markets[SYMBOL].book.level(2, top or 0)[0])
    price = here.step_price(SYMBOL, 0)
    theirs = here.order(side=3, type=2, price=price, vol=5, who=here.other)
    mine = here.order(type=3, price=price, vol=5, stpMode=2)
    assert here.get(f"order/get/{theirs}", here.other)["data"]["errorCode"] == 8
    assert here.get(f"order/get/{mine}")["data"]["dealVol"] == 0
    here.ok("market_maker/self_trade/blacklist/delete", {"configName": "g"})
    assert here.get("market_maker/self_trade/blacklist")["data"] == []


def test_reduce_only_never_opens() -> None:
    """A netting order and a reduce-only order filled by one sweep: the second only closes."""
    here = world()
    here.ok("position/change_position_mode", {"positionMode": 2})
    here.order(vol=10)
    one, two = here.price(side=2, rank=2), here.price(side=2, rank=3)
    here.order(side=3, type=1, price=two, vol=10, reduceOnly=True)
    here.order(side=3, type=1, price=one, vol=10)
    here.venue.trade(SYMBOL, 1, 100_000)
    assert not here.me.positions
    codes = {o.price: (o.state, o.error_code) for o in here.me.orders.values() if o.side == 3}
    assert codes[one] == (3, 0) and codes[two][0] == 4
    check(here)


# Statistics


def test_statistics_follow_the_records() -> None:
    here = world()
    here.order(vol=100)
    here.move_last(SYMBOL, here.step_price(SYMBOL, 60))
    here.order(side=4, vol=100)
    deals = here.me.deals
    profit = sum((one.profit - one.fee for one in deals), Decimal(0))
    today = here.get("account/asset/analysis/today_pnl")["data"]
    assert today["todayPnl"] == profit and today["todayPnlRate"] != 0
    here.pass_time(86_400_000)
    assert here.get("account/asset/analysis/yesterday_pnl")["data"] == profit
    assert here.get("account/asset/analysis/today_pnl")["data"]["todayPnl"] == 0
    span = {"startTime": here.now - 3 * 86_400_000, "endTime": here.now}
    page = here.ok("account/asset/analysis/v3", span)
    assert page["historyDailyData"]["dailyPnlList"] == [profit, 0]
    assert page["recentPnl"] == page["totalPnl"] == profit
    assert here.ok("account/asset/analysis/calendar/daily/v3", span)["dailyPnlList"] == [profit, 0]
    assert here.ok("account/asset/analysis/recent/v3")["recentPnl360"] == profit
    assert sum(here.ok("account/asset/analysis/calendar/monthly/v3")["monthlyPnlList"]) == profit
    assert here.ok("account/asset/analysis/v3", {**span, "reverse": 2})["recentPnl"] == 0
    rank = here.get("account/profit_rate/2")["data"]
    assert rank["ranking"] == (1 if profit > 0 else 2)
    usdt = here.get("account/asset/analysis/3?currency=USDT")["data"]
    assert usdt["totalEquity"] == here.me.cash["USDT"]
    page = here.get("account/transfer_record?currency=USDT&page_num=1&page_size=5")["data"]
    assert [(one["type"], one["amount"]) for one in page["resultList"]] == [("IN", 1_000_000)]
