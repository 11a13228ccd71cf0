"""Trading adds up: random actions of several users against the books, by Decimal and integers.

The rules of the ledger are checked after every action: money by currency changes by transfers only,
contracts bought are contracts sold, and every balance follows from the user's own records.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mexcfast.sim.accounts import LONG, ONE_WAY, SHORT, Account, Attached, Position
from mexcfast.sim.checks import OrderRequest, Refused
from mexcfast.sim.matching import BUY, SELL
from mexcfast.sim.venue import Venue
from mexcfast.sim.waiting import Leg, PlanOrder, StopOrder, TrackOrder

SYMBOLS = ("BTC_USDT", "DOGE_USDT", "BTC_USD")
USERS = (0, 1, 2)
START = {"USDT": Decimal(3000), "BTC": Decimal("0.05")}
LEVERAGE = {"BTC_USDT": 100, "DOGE_USDT": 50, "BTC_USD": 100}

users = st.sampled_from(USERS)
symbols = st.sampled_from(SYMBOLS)
sides = st.integers(1, 4)
vols = st.integers(1, 300)
offsets = st.integers(-12, 12)


def expected_cash(user: Account) -> dict[str, Decimal]:
    """A wallet from nothing but its records."""
    sums: dict[str, Decimal] = {}
    for one in user.transfers:
        sums[one.currency] = sums.get(one.currency, Decimal(0)) + one.amount
    for deal in user.deals:
        sums[deal.currency] = sums.get(deal.currency, Decimal(0)) + deal.profit - deal.fee
    for paid in user.funding:
        sums[paid.currency] = sums.get(paid.currency, Decimal(0)) + paid.amount
    return sums


def check_money(venue: Venue) -> None:
    """The conservation laws of ledger.py and the records behind every balance."""
    put_in: dict[str, Decimal] = {}
    for user in venue.accounts.values():
        for one in user.transfers:
            put_in[one.currency] = put_in.get(one.currency, Decimal(0)) + one.amount
        assert {k: v for k, v in expected_cash(user).items() if v} == {
            k: v for k, v in user.cash.items() if v
        }
        for currency, cash in user.cash.items():
            assert cash >= 0
            assert user.isolated_margin(currency) <= cash
    assert {k: v for k, v in venue.money().items() if v} == {k: v for k, v in put_in.items() if v}
    for symbol in venue.markets:
        net = venue.ledger.crowd_vol.get(symbol, 0)
        for user in venue.accounts.values():
            for kind, sign in ((LONG, 1), (SHORT, -1)):
                position = user.positions.get((symbol, kind))
                if position is not None:
                    assert position.hold_vol > 0 and position.cost > 0 and position.margin >= 0
                    assert user.closable(symbol, kind) >= 0
                    net += sign * position.hold_vol
        assert net == 0


def check_deals(venue: Venue) -> None:
    """What users hold and earned, from their deals alone, by integers and the formulas of 18.1."""
    for user in venue.accounts.values():
        for symbol, market in venue.markets.items():
            contract = market.contract
            deals = [deal for deal in user.deals if deal.symbol == symbol]
            bought = sum(deal.vol for deal in deals if deal.side in (1, 2))
            sold = sum(deal.vol for deal in deals if deal.side in (3, 4))
            held = [user.positions.get((symbol, kind)) for kind in (LONG, SHORT)]
            long, short = (0 if one is None else one.hold_vol for one in held)
            assert bought - sold == long - short
            if any(deal.category != 1 for deal in deals) or venue.ledger.insurance.get(symbol):
                continue  # the insurance fund took part
            worth = Decimal(0)  # what was received less what was paid, in the settle currency
            for deal in deals:
                size = contract.contract_size * deal.vol
                value = size / deal.price if contract.inverse else size * deal.price
                buys = deal.side in (1, 2)
                worth += -value if buys != contract.inverse else value
            for one in held:
                if one is not None:
                    worth += one.cost if one.is_long != contract.inverse else -one.cost
            profit = sum((deal.profit for deal in deals), Decimal(0))
            step = Decimal(1).scaleb(-contract.amount_scale)
            assert abs(worth - profit) <= step * (len(deals) + 1)


def check_orders(venue: Venue) -> None:
    """Waiting orders are in the book, and every history ends in the order's own state."""
    waiting = 0
    for user in venue.accounts.values():
        waiting += len(user.open_orders)
        for order in user.open_orders.values():
            resting = venue.markets[order.contract.symbol].book.orders[order.id]
            assert resting.remaining == order.remaining > 0 and resting.owner == user.uid
    assert waiting == len(venue.live)
    for order in venue.orders.values():
        states = venue.order_history(order.id)
        assert [one.version for one in states] == list(range(1, order.version + 1))
        last = states[-1]
        assert (last.state, last.deal_vol, last.error_code) == (
            order.state, order.deal_vol, order.error_code
        )  # fmt: skip
        assert all(one.state == 2 for one in states[:-1])
        assert all(a.deal_vol <= b.deal_vol for a, b in pairwise(states))


class Story(RuleBasedStateMachine):
    """Three users, two linear contracts and one inverse, everything allowed at any time."""

    @initialize(seed=st.integers(0, 3), modes=st.tuples(*[st.booleans()] * len(USERS)),
                poor_fund=st.booleans())  # fmt: skip
    def begin(self, seed: int, modes: tuple[bool, ...], poor_fund: bool) -> None:
        self.now = 1_790_870_030_000
        self.venue = Venue(
            seed=seed, symbols=SYMBOLS, levels=12, history=1000, clock_ms=lambda: self.now
        )
        self.users = [self.venue.add_account(f"k{n}", "s", START) for n in USERS]
        for user, one_way in zip(self.users, modes, strict=True):
            if one_way:
                self.venue.desk.change_mode(user, ONE_WAY)
        if poor_fund:
            for market in self.venue.markets.values():
                market.insurance_start = Decimal(0)
                market.insurance_history.clear()
                market.snapshot_insurance(self.now, Decimal(0))

    def _price(self, symbol: str, offset: int) -> Decimal:
        market = self.venue.markets[symbol]
        tick = market.book.best(BUY) or market.book.best(SELL) or market.last_tick
        return market.contract.price(max(1, tick + offset))

    def _positions(self, who: int) -> list[Position]:
        return list(self.users[who].positions.values())

    @rule(who=users, symbol=symbols, side=sides, kind=st.integers(1, 6), vol=vols, offset=offsets,
          cross=st.booleans(), more=st.integers(0, 7))  # fmt: skip
    def place(
        self, who: int, symbol: str, side: int, kind: int, vol: int, offset: int, cross: bool,
        more: int,
    ) -> None:  # fmt: skip
        price = self._price(symbol, offset)
        attached = Attached()
        if more == 1:
            step = self.venue.markets[symbol].contract.price_unit * 20
            up = side == 1
            attached = Attached(price + step if up else price - step,
                                price - step if up else price + step)  # fmt: skip
        request = OrderRequest(
            symbol=symbol, side=side, type=5 if more == 2 else kind, open_type=2 if cross else 1,
            vol=Decimal(vol), price=price, leverage=LEVERAGE[symbol], external_oid=None,
            position_id=None, position_mode=None, reduce_only=more == 3, stp=more % 4,
            attached=attached, market_ceiling=more == 2 and side in (1, 3),
            flash_close=more == 4 and side in (2, 4),
        )  # fmt: skip
        self._try(self.venue.place, self.users[who], request)

    def _try(self, action: Callable[..., object], *parts: object) -> None:
        """Only refusals that such an action may earn."""
        try:
            action(*parts)
        except Refused as refused:
            assert refused.code in (
                1004, 2002, 2003, 2004, 2005, 2006, 2007, 2008, 2009, 2016, 2018, 2019, 2021, 2025,
                2027, 2028, 2031, 2032, 2033, 2036, 2038, 2040, 2041, 5001, 5003, 5004,
            ), refused.code  # fmt: skip

    @rule(who=users, vol=vols, offset=offsets, chase=st.booleans())
    def amend(self, who: int, vol: int, offset: int, chase: bool) -> None:
        for order in list(self.users[who].open_orders.values())[:1]:
            price = self._price(order.contract.symbol, offset)
            if chase:
                self.venue.chase(self.users[who], order.id)
            else:
                self._try(self.venue.replace, self.users[who], order.id, price, Decimal(vol))

    @rule(who=users, symbol=symbols)
    def cancel_all(self, who: int, symbol: str) -> None:
        self.venue.cancel_all(self.users[who], symbol)

    @rule(symbol=symbols, side=st.integers(1, 2), vol=st.integers(1, 20_000))
    def crowd(self, symbol: str, side: int, vol: int) -> None:
        self.venue.trade(symbol, side, vol)

    @rule(symbol=symbols, steps=st.integers(1, 15))
    def flow(self, symbol: str, steps: int) -> None:
        for _ in range(steps):
            self.venue.step(self.venue.markets[symbol])

    @rule(symbol=symbols, percent=st.integers(-30, 30), index=st.booleans())
    def jump(self, symbol: str, percent: int, index: bool) -> None:
        market = self.venue.markets[symbol]
        fair = market.contract.price(market.last_tick) * (1000 + percent) / 1000
        self.venue.move_prices(symbol, fair=fair, index=fair if index else None)

    @rule(symbol=symbols, hours=st.integers(0, 30))
    def time(self, symbol: str, hours: int) -> None:
        self.now += hours * 3_600_000
        market = self.venue.markets[symbol]
        market.pinned = False
        market.update_prices()
        self.venue.each_second(market)

    @rule(who=users, leverage=st.integers(1, 250), amount=st.integers(-50, 50))
    def margin(self, who: int, leverage: int, amount: int) -> None:
        for position in self._positions(who)[:1]:
            scale = Decimal(1).scaleb(-position.contract.amount_scale)
            money = Decimal(amount) if not position.contract.inverse else amount * scale
            desk, user = self.venue.desk, self.users[who]
            self._try(desk.change_leverage, user, position, leverage)
            self._try(desk.change_margin, user, position, money)
            self._try(desk.change_auto_add, user, position, leverage % 2 == 0)

    @rule(who=users, vol=vols, what=st.integers(0, 2))
    def leave(self, who: int, vol: int, what: int) -> None:
        user = self.users[who]
        if what == 0:
            self.venue.desk.close_all(user)
        for position in self._positions(who)[:1]:
            if what == 1:
                self._try(self.venue.desk.reverse, user, position, vol)

    @rule(who=users, usdt=st.integers(-500, 500), bonus=st.booleans())
    def move_money(self, who: int, usdt: int, bonus: bool) -> None:
        user = self.users[who]
        if bonus and usdt > 0:
            self.venue.desk.grant_bonus(user, "USDT", Decimal(usdt), self.now + 3_600_000)
        else:
            self._try(self.venue.desk.transfer, user, "USDT", Decimal(usdt))

    @rule(who=users, symbol=symbols, side=sides, vol=vols, offset=offsets,
          trend=st.integers(1, 3), up=st.integers(1, 2), trailing=st.booleans())  # fmt: skip
    def wait(
        self, who: int, symbol: str, side: int, vol: int, offset: int, trend: int, up: int,
        trailing: bool,
    ) -> None:  # fmt: skip
        user, contract = self.users[who], self.venue.markets[symbol].contract
        reduce_only = user.position_mode == ONE_WAY and side in (2, 4)
        price = self._price(symbol, offset * 4)
        if trailing:
            track = TrackOrder(
                id=0, uid=user.uid, contract=contract, side=side, vol=vol,
                leverage=LEVERAGE[symbol], open_type=1, trend=trend,
                active_price=price if offset > 0 else Decimal(0), back_type=1,
                back_value=Decimal("0.0005"), position_mode=user.position_mode,
                reduce_only=reduce_only, create_ms=self.now,
            )  # fmt: skip
            self._try(self.venue.conditional.place_track, user, track)
            return
        plan = PlanOrder(
            id=0, uid=user.uid, contract=contract, side=side, vol=vol, leverage=LEVERAGE[symbol],
            open_type=1, trigger_price=price, trigger_type=up, cycle_hours=24, order_type=5,
            trend=trend, price=Decimal(0), position_mode=user.position_mode,
            reduce_only=reduce_only, price_protect=0, attached=Attached(), create_ms=self.now,
        )  # fmt: skip
        self._try(self.venue.conditional.place_plan, user, plan)

    @rule(who=users, vol=vols, trend=st.integers(1, 3), distance=st.integers(1, 200),
          whole=st.booleans(), reverse=st.integers(1, 2))  # fmt: skip
    def protect(
        self, who: int, vol: int, trend: int, distance: int, whole: bool, reverse: int
    ) -> None:
        user = self.users[who]
        for position in self._positions(who)[:1]:
            contract = position.contract
            market = self.venue.markets[contract.symbol]
            step = contract.price_unit * distance * (1 if position.is_long else -1)
            now = self.venue.conditional.price(market, trend)
            part = position.hold_vol if whole else min(vol, position.hold_vol)
            stop = StopOrder(
                id=0, uid=user.uid, contract=contract, position_id=position.id,
                position_type=position.type, vol=part,
                profit=Leg(now + step, trend, part, reverse),
                loss=Leg(now - step, trend, part, reverse), create_ms=self.now,
                vol_type=2 if whole else 1,
            )  # fmt: skip
            self._try(self.venue.conditional.place_stop, user, stop)

    @invariant()
    def adds_up(self) -> None:
        if hasattr(self, "venue"):
            check_money(self.venue)
            check_orders(self.venue)
            check_deals(self.venue)


Story.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestStory = Story.TestCase


def long_story(seed: int, steps: int) -> Story:
    """The same rules drawn by weight from a seed: deeper than hypothesis goes."""
    rng = random.Random(seed)
    story = Story()
    story.begin(seed % 4, tuple(rng.random() < 0.4 for _ in USERS), rng.random() < 0.3)
    for number in range(steps):
        who, symbol = rng.choice(USERS), rng.choice(SYMBOLS)
        side, vol, offset = rng.randint(1, 4), rng.randint(1, 300), rng.randint(-12, 12)
        draw = rng.random()
        if draw < 0.45:
            kind = rng.choice((1, 1, 1, 2, 3, 4, 5, 5, 6))
            side = rng.choice((1, 1, 3, 3, 2, 4))
            story.place(
                who, symbol, side, kind, vol, offset, rng.random() < 0.3, rng.randint(0, 9)
            )
        elif draw < 0.50:
            story.amend(who, vol, offset, rng.random() < 0.4)
        elif draw < 0.52:
            story.cancel_all(who, symbol)
        elif draw < 0.58:
            story.crowd(symbol, rng.randint(1, 2), rng.randint(1, 5000))
        elif draw < 0.68:
            story.flow(symbol, rng.randint(1, 15))
        elif draw < 0.78:
            story.jump(symbol, rng.randint(-15, 15), rng.random() < 0.5)
        elif draw < 0.81:
            story.time(symbol, rng.choice((0, 0, 1, 9)))
        elif draw < 0.85:
            story.margin(who, rng.randint(20, 200), rng.randint(-50, 50))
        elif draw < 0.87:
            story.leave(who, vol, rng.randint(0, 2))
        elif draw < 0.90:
            story.move_money(who, rng.randint(-500, 500), rng.random() < 0.2)
        elif draw < 0.95:
            story.wait(
                who, symbol, side, vol, offset, rng.randint(1, 3), rng.randint(1, 2),
                rng.random() < 0.5,
            )  # fmt: skip
        else:
            story.protect(
                who, vol, rng.randint(1, 3), rng.randint(1, 60), rng.random() < 0.5,
                rng.randint(1, 2),
            )  # fmt: skip
        check_money(story.venue)
        if number % 20 == 0:
            check_orders(story.venue)
            check_deals(story.venue)
    check_orders(story.venue)
    check_deals(story.venue)
    return story


@pytest.mark.parametrize("seed", range(8))
def test_long_story(seed: int) -> None:
    story = long_story(seed, 400)
    categories = {deal.category for user in story.users for deal in user.deals}
    assert {1, 2} <= categories  # somebody was liquidated on the way
