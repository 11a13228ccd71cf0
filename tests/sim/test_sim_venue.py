"""The exchange without sockets: conservation of money, flow, contracts."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.sim.accounts import ONE_WAY
from mexcfast.sim.checks import OrderRequest, Refused
from mexcfast.sim.contracts import listing
from mexcfast.sim.matching import BUY, SELL
from mexcfast.sim.venue import Venue


def new_venue(seed: int = 7, **changes: object) -> Venue:
    values: dict = {"symbols": ("BTC_USDT", "DOGE_USDT"), "levels": 20, "history": 2000}
    values.update(changes)
    return Venue(seed=seed, clock_ms=lambda: 1_790_870_030_000, **values)


def request(symbol: str, side: int, kind: int, vol: int, price: Decimal, **more: object):
    values: dict = {
        "leverage": 20, "open_type": 1, "external_oid": None, "position_id": None,
        "position_mode": None, "reduce_only": False, "bbo": 0, "stp": 0, **more,
    }  # fmt: skip
    return OrderRequest(
        symbol=symbol, side=side, type=kind, vol=Decimal(vol), price=price, **values
    )


moves = st.lists(
    st.tuples(
        st.integers(0, 1),  # account
        st.sampled_from(["BTC_USDT", "DOGE_USDT"]),
        st.integers(0, 9),  # what
        st.integers(1, 4),  # side
        st.integers(1, 6),  # type
        st.integers(1, 400),  # vol
        st.integers(-8, 8),  # price offset in ticks
    ),
    min_size=5,
    max_size=60,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(moves, st.integers(0, 3), st.booleans())
def test_money_is_conserved(history: list, seed: int, one_way: bool) -> None:
    """Wallets + unrealised + house + crowd never change, to the last digit."""
    venue = new_venue(seed)
    users = [venue.add_account(f"k{n}", "s", {"USDT": Decimal(5000)}) for n in (1, 2)]
    if one_way:
        for user in users:
            venue.desk.change_mode(user, ONE_WAY)
    total = venue.total_money()
    assert total == 10_000
    refusals = set()
    for who, symbol, what, side, kind, vol, offset in history:
        market, user = venue.market(symbol), users[who]
        try:
            if what < 6:
                tick = (market.book.best(BUY) or 1) + offset
                leverage = 10 if symbol == "BTC_USDT" else 20
                venue.place(
                    user,
                    request(
                        symbol, side, kind, vol, market.contract.price(tick),
                        leverage=leverage, stp=offset % 4,
                    ),
                )
            elif what == 6:
                venue.cancel_all(user, symbol)
            elif what == 7:
                venue.trade(symbol, 1 + vol % 2, vol * 20)
            elif what == 8 and user.open_orders:
                order = next(iter(user.open_orders.values()))
                venue.replace(user, order.id, order.price, Decimal(vol))
            else:
                for _ in range(5):
                    venue.step(market)
                market.update_prices()
        except Refused as refused:
            refusals.add(refused.code)
        assert venue.total_money() == total
        for user in users:
            held = sum((p.margin for p in user.positions.values()), Decimal(0))
            assert user.margin("USDT") == held
            for position in user.positions.values():
                assert position.hold_vol > 0 and position.cost > 0 and position.margin >= 0
            for order in user.open_orders.values():
                resting = venue.markets[order.contract.symbol].book.orders[order.id]
                assert resting.remaining == order.remaining > 0
    known = {2003, 2004, 2005, 2006, 2007, 2008, 2009, 2021, 2027, 2028, 2040, 2041}
    assert refusals <= known


def test_flow_keeps_its_shape() -> None:
    venue = new_venue(symbols=("BTC_USDT",), levels=200)
    market = venue.market("BTC_USDT")
    version = market.book.version
    spreads = []
    for _ in range(20_000):
        venue.step(market)
        version += 1
        assert market.book.version == version
        spreads.append(market.book.best(SELL) - market.book.best(BUY))
    assert min(spreads) >= 1
    assert sum(spreads) / len(spreads) < 5
    for side in (BUY, SELL):
        assert 150 <= len(market.book.prices(side)) <= 230
    assert len(market.deals) == 1000
    assert any(len(commit.changes) > 3 for commit in market.book.commits)


def test_same_seed_same_history() -> None:
    def history(seed: int) -> list:
        venue = new_venue(seed)
        market = venue.market("DOGE_USDT")
        for _ in range(500):
            venue.step(market)
        return list(market.book.commits)

    assert history(3) == history(3)
    assert history(3) != history(4)


def test_contracts_by_number_and_name() -> None:
    many = listing(300)
    assert len(many) == 300 == len({one.id for one in many.values()})
    for one in many.values():
        view = one.describe()
        assert one.tick(one.start_price) is not None
        assert view["symbol"] == one.symbol and len(view) >= 77
    with pytest.raises(ValueError, match="btc_usdt"):
        listing(("btc_usdt",))
    with pytest.raises(ValueError, match="at least one"):
        listing(0)


def test_leverage_change_moves_margin() -> None:
    venue = new_venue()
    user = venue.add_account("k", "s", {"USDT": Decimal(1000)})
    venue.place(user, request("BTC_USDT", 1, 5, 100, Decimal(0)))
    position = user.positions["BTC_USDT", 1]
    assert position.margin == round(position.cost / 20, 8)
    venue.desk.change_leverage(user, position, 40)
    assert position.margin == round(position.cost / 40, 8)
    with pytest.raises(Refused) as caught:
        venue.desk.change_leverage(user, position, 100_000)
    assert caught.value.code == 2006


def test_a_random_walk_of_the_crowd_fills_a_user() -> None:
    """The flow itself trades with resting users' orders."""
    venue = new_venue(symbols=("BTC_USDT",), levels=30)
    user = venue.add_account("k", "s", {"USDT": Decimal(1000)})
    market = venue.market("BTC_USDT")
    best = market.contract.price(market.book.best(BUY))
    order = venue.place(user, request("BTC_USDT", 1, 2, 5, best))
    rng = random.Random(1)
    for _ in range(20_000):
        venue.step(market)
        if not order.is_open:
            break
        if rng.random() < 0.001:
            venue.trade("BTC_USDT", SELL, 200)
    assert order.state == 3 and order.deal_vol == 5
    assert order.maker_fee == market.contract.cut(
        market.contract.notional(best, 5) * market.contract.maker_fee_rate
    )


def test_margin_moves_between_wallet_and_position() -> None:
    venue = new_venue()
    user = venue.add_account("k", "s", {"USDT": Decimal(1000)})
    venue.place(user, request("BTC_USDT", 1, 5, 100, Decimal(0)))
    position = user.positions["BTC_USDT", 1]
    margin, available, liquidation = (
        position.margin, user.available("USDT"), position.liquidation_price()
    )  # fmt: skip
    venue.desk.change_margin(user, position, Decimal("5.5"))
    assert position.margin == margin + Decimal("5.5")
    assert user.available("USDT") == available - Decimal("5.5")
    assert position.liquidation_price() < liquidation
    for amount, code in (("0.00001", 1004), ("5000", 2005), ("-40", 2018)):
        with pytest.raises(Refused) as caught:
            venue.desk.change_margin(user, position, Decimal(amount))
        assert caught.value.code == code


def test_reduce_only_orders_shrink_with_the_position() -> None:
    venue = new_venue(symbols=("BTC_USDT",))
    user = venue.add_account("k", "s", {"USDT": Decimal(10_000)})
    venue.desk.change_mode(user, ONE_WAY)
    venue.place(user, request("BTC_USDT", 1, 5, 10, Decimal(0)))
    market = venue.market("BTC_USDT")
    far = market.contract.price(market.book.prices(SELL)[-1])
    order = venue.place(user, request("BTC_USDT", 3, 1, 8, far, reduce_only=True))
    venue.place(user, request("BTC_USDT", 3, 5, 5, Decimal(0)))
    assert (order.state, order.error_code) == (4, 4)
    assert order.id not in market.book.orders and not venue.live


def test_funding_moves_money_between_user_and_crowd() -> None:
    venue = new_venue()
    user = venue.add_account("k", "s", {"USDT": Decimal(1000)})
    for side in (1, 3):
        venue.place(user, request("BTC_USDT", side, 5, 100 * side, Decimal(0)))
    market = venue.market("BTC_USDT")
    total, cash = venue.total_money(), user.cash["USDT"]
    venue.settle_due_funding(market)
    assert user.cash["USDT"] == cash and not user.funding
    market.next_funding_ms = venue.clock_ms()
    venue.settle_due_funding(market)
    long, short = (user.positions["BTC_USDT", kind] for kind in (1, 2))
    assert long.hold_fee < 0 < short.hold_fee == sum(
        (one.amount for one in user.funding if one.position_type == 2), Decimal(0)
    )
    assert user.cash["USDT"] == cash + long.hold_fee + short.hold_fee
    assert venue.total_money() == total
    assert market.next_funding_ms > venue.clock_ms()
    wire = venue.position_wire(user, long, push=False)
    assert wire["realised"] == wire["closeProfitLoss"] + wire["fee"] + wire["holdFee"]
