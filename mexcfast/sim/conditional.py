"""The engine of plan, TP/SL and trailing orders (protocol.md 16.4 to 16.6).

Each waits for its reference price (last, fair or index). When it fires it becomes an ordinary order
of its owner, checked like any other; a refusal ends it as failed, with the code in its errorCode.
States and wire forms: waiting.py.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from mexcfast.sim import wire
from mexcfast.sim.accounts import (
    LIMIT,
    LONG,
    MARKET,
    SHORT,
    Account,
    Attached,
    Order,
    Position,
    closing_side,
    opening_side,
)
from mexcfast.sim.checks import OrderRequest, Refused, market_order
from mexcfast.sim.waiting import (
    EXECUTED,
    EXPIRED,
    FAILED,
    FAIR,
    INDEX,
    LAST,
    TRACK_EXECUTED,
    TRACK_FAILED,
    WHOLE,
    Leg,
    PlanOrder,
    StopOrder,
    TrackOrder,
    Waiting,
)

if TYPE_CHECKING:
    from mexcfast.sim.market import Market
    from mexcfast.sim.venue import Venue

#: Refusal code to the errorCode of 11.10; others become 999.
ERROR_CODES = {
    600: 1, 2005: 2, 2009: 3, 2008: 4, 2032: 5, 2033: 5, 2031: 7, 2038: 7, 2043: 9, 6005: 11,
    1002: 11, 2042: 23,
}  # fmt: skip
#: Most waiting plan orders of an account; above: 2016.
MOST_PLANS = 200
#: Waiting and finished ones kept of one account; finished ones go first.
MOST_KEPT = 20_000

One = TypeVar("One", PlanOrder, StopOrder, TrackOrder)


def error_code(refused: Refused) -> int:
    """The errorCode inside an order or push for a refusal."""
    return ERROR_CODES.get(refused.code, 999)


class Conditional:
    """All orders that wait for a price, and those that did."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._all: dict[int, dict[int, Waiting]] = {}
        """By uid, then id, oldest first."""
        self._waiting: dict[str, dict[int, Waiting]] = {}
        """By symbol, then id."""
        self._plan_id = 860_670_920_697_239_040
        self._stop_id = 569_857_825
        self._track_id = 861_000_000_000_000_000

    # Reading

    def watches(self, symbol: str) -> bool:
        """Somebody waits for a price of this contract."""
        return bool(self._waiting.get(symbol))

    def listed(self, account: Account, kind: type[One]) -> list[One]:
        """All of a kind, newest first."""
        items = reversed(self._all.get(account.uid, {}).values())
        return [one for one in items if isinstance(one, kind)]

    def of(self, account: Account) -> list[Waiting]:
        """What still waits, oldest first."""
        return [one for one in self._all.get(account.uid, {}).values() if one.is_waiting]

    def find(self, account: Account, kind: type[One], number: int, missing: int) -> One:
        """One by id; Refused(missing) when it is not there."""
        one = self._all.get(account.uid, {}).get(number)
        if not isinstance(one, kind):
            raise Refused(missing)
        return one

    def stops_of(self, account: Account, position: Position) -> list[StopOrder]:
        """Waiting TP/SL orders of a position, oldest first."""
        return [
            one
            for one in self.of(account)
            if isinstance(one, StopOrder) and one.position_id == position.id
        ]

    def price(self, market: Market, source: int) -> Decimal:
        """The last, fair or index price."""
        ticks = {LAST: market.last_tick, FAIR: market.fair_tick, INDEX: market.index_tick}
        return market.contract.price(ticks[source])

    # Placing

    def place_plan(self, account: Account, plan: PlanOrder) -> PlanOrder:
        """A trigger order whose parameters were checked; 2016 above the maximum."""
        if sum(isinstance(one, PlanOrder) for one in self.of(account)) >= MOST_PLANS:
            raise Refused(2016)
        self._plan_id += 64
        plan.id = self._plan_id
        return self._add(account, plan)

    def place_track(self, account: Account, track: TrackOrder) -> TrackOrder:
        """A trailing order whose parameters were checked."""
        self._track_id += 64
        track.id = self._track_id
        return self._add(account, track)

    def place_stop(self, account: Account, stop: StopOrder) -> StopOrder:
        """TP/SL for a position; an equal or a whole-position order is amended instead (16.5)."""
        position = next(one for one in account.positions.values() if one.id == stop.position_id)
        self.check_prices(position, stop)
        present = self.stops_of(account, position)
        for one in present:
            same = (one.profit.price, one.loss.price) == (stop.profit.price, stop.loss.price)
            if one.vol_type == stop.vol_type and (same or stop.vol_type == WHOLE):
                if stop.vol_type != WHOLE:
                    self._check_vol(position, [two for two in present if two is not one], stop)
                one.profit, one.loss, one.vol = stop.profit, stop.loss, stop.vol
                one.separate, one.price_protect = stop.separate, stop.price_protect
                self.changed(account, one)
                return one
        if stop.vol_type != WHOLE:
            self._check_vol(position, present, stop)
        self._stop_id += 1
        stop.id = self._stop_id
        return self._add(account, stop)

    @staticmethod
    def _check_vol(position: Position, present: list[StopOrder], stop: StopOrder) -> None:
        """What is covered on either side may not exceed the position; 5004."""
        partial = [one for one in present if one.vol_type != WHOLE]
        profit = stop.profit.vol + sum(one.profit.vol for one in partial)
        loss = stop.loss.vol + sum(one.loss.vol for one in partial)
        if max(profit, loss) > position.hold_vol:
            raise Refused(5004)

    def check_prices(self, position: Position, stop: StopOrder) -> None:
        """Neither leg may fire at once; 5001 without a price, 5003."""
        if not stop.profit.price and not stop.loss.price:
            raise Refused(5001)
        market = self.venue.markets[position.contract.symbol]
        for leg, beyond in ((stop.profit, position.is_long), (stop.loss, not position.is_long)):
            if not leg.price:
                continue
            now = self.price(market, leg.trend)
            wrong = leg.price <= now if beyond else leg.price >= now
            if leg.price < 0 or wrong or position.contract.tick(leg.price) is None:
                raise Refused(5003)

    def _add(self, account: Account, item: One) -> One:
        items = self._all.setdefault(account.uid, {})
        items[item.id] = item
        if len(items) > MOST_KEPT:
            del items[next(one.id for one in items.values() if not one.is_waiting)]
        symbol = item.contract.symbol
        self._waiting.setdefault(symbol, {})[item.id] = item
        self._push(account, item)
        market = self.venue.markets[symbol]
        for source in (LAST, FAIR, INDEX):  # the price may already be there
            self._look(market, item, source, self.price(market, source))
        self.venue.react()
        return item

    # Attached to orders

    def push_attached(self, account: Account, order: Order) -> None:
        """TP/SL prices of an order were set or changed (9.1)."""
        data = {
            "symbol": order.contract.symbol,
            "orderId": wire.shown_id(order.id, self.venue.ids_as_int),
            **order.attached.wire(),
        }
        self.venue.listener.on_private(account, "stop.order", data, order.contract.symbol)

    def attach(self, account: Account, order: Order, position: Position, opened: int) -> None:
        """A fill of an order with TP/SL: its contracts are covered from now on."""
        for stop in self.stops_of(account, position):
            if stop.order_id == order.id:
                stop.vol += opened
                stop.profit.vol += opened if stop.profit.price else 0
                stop.loss.vol += opened if stop.loss.price else 0
                self.changed(account, stop)
                return
        profit, loss = legs(order.attached, opened)
        self._stop_id += 1
        stop = StopOrder(
            id=self._stop_id,
            uid=account.uid,
            contract=order.contract,
            position_id=position.id,
            position_type=position.type,
            vol=opened,
            profit=profit,
            loss=loss,
            create_ms=self.venue.clock_ms(),
            order_id=order.id,
            price_protect=order.attached.price_protect,
            update_ms=self.venue.clock_ms(),
        )
        self._all.setdefault(account.uid, {})[stop.id] = stop
        self._waiting.setdefault(stop.contract.symbol, {})[stop.id] = stop
        self._push(account, stop)

    def follow(
        self, account: Account, symbol: str, kind: int, position: Position | None
    ) -> None:
        """TP/SL orders end with their position."""
        number = 0 if position is None else position.id
        for one in list(self._waiting.get(symbol, {}).values()):
            if (
                isinstance(one, StopOrder)
                and one.uid == account.uid
                and one.position_type == kind
                and one.position_id != number
            ):
                self.cancel(account, one)

    # Changing and ending

    def changed(self, account: Account, item: Waiting) -> None:
        """The owner changed it: tell, and look at the price again."""
        item.update_ms = self.venue.clock_ms()
        if isinstance(item, StopOrder):
            item.version += 1
        self._push(account, item)

    def cancel(self, account: Account, item: Waiting) -> None:
        """Stop waiting; nothing happens to one that ended."""
        if item.is_waiting:
            item.cancel(self.venue.clock_ms())
            self._forget(item)
            self._push(account, item)

    def expire(self, now_ms: int) -> None:
        """Plan orders end with their executeCycle."""
        for items in list(self._waiting.values()):
            for one in list(items.values()):
                if isinstance(one, PlanOrder) and now_ms >= one.expires_ms:
                    one.cancel(now_ms, EXPIRED)
                    self._forget(one)
                    self._push(self.venue.accounts[one.uid], one)

    def _forget(self, item: Waiting) -> None:
        self._waiting.get(item.contract.symbol, {}).pop(item.id, None)

    def _push(self, account: Account, item: Waiting) -> None:
        item.changed = False
        data = item.wire(self.venue.ids_as_int)
        self.venue.listener.on_private(account, item.channel, data, item.contract.symbol)

    # Prices

    def on_trades(self, market: Market, ticks: list[int]) -> None:
        """The last price went through these ticks."""
        for tick in ticks:
            self._see(market, LAST, market.contract.price(tick))

    def on_prices(self, market: Market) -> None:
        """The fair and the index price were set anew."""
        for source in (FAIR, INDEX):
            self._see(market, source, self.price(market, source))

    def _see(self, market: Market, source: int, price: Decimal) -> None:
        for item in list(self._waiting.get(market.symbol, {}).values()):
            if item.is_waiting:
                self._look(market, item, source, price)

    def _look(self, market: Market, item: Waiting, source: int, price: Decimal) -> None:
        if not item.is_waiting:
            return
        fires = item.see(source, price)
        if fires and not self._protected(market, item):
            self._fire(market, item)
        elif item.changed:
            item.update_ms = self.venue.clock_ms()
            self._push(self.venue.accounts[item.uid], item)

    def _protected(self, market: Market, item: Waiting) -> bool:
        """priceProtect: last and fair price too far apart, so it waits (triggerProtect)."""
        if isinstance(item, TrackOrder) or not item.price_protect:
            return False
        apart = abs(market.last_tick - market.fair_tick)
        return apart > market.fair_tick * market.contract.trigger_protect

    def _fire(self, market: Market, item: Waiting) -> None:
        account = self.venue.accounts[item.uid]
        self._forget(item)
        item.update_ms = self.venue.clock_ms()
        if isinstance(item, StopOrder):
            self._fire_stop(account, market, item)
            return
        plan = item if isinstance(item, PlanOrder) else None
        request = OrderRequest(
            symbol=market.symbol,
            side=item.side,
            type=MARKET if plan is None else plan.order_type,
            open_type=item.open_type,
            vol=Decimal(item.vol),
            price=None if plan is None or plan.order_type == MARKET else plan.price,
            leverage=item.leverage or None,
            external_oid=None,
            position_id=None,
            position_mode=None,
            reduce_only=item.reduce_only,
            attached=Attached() if plan is None else plan.attached,
        )

        def told(order: Order) -> None:
            item.order_id = order.id
            item.state = TRACK_EXECUTED if plan is None else EXECUTED
            self._push(account, item)

        try:
            self.venue.place(account, request, told)
        except Refused as refused:
            item.error_code = error_code(refused)
            item.state = TRACK_FAILED if plan is None else FAILED
            self._push(account, item)

    def _fire_stop(self, account: Account, market: Market, stop: StopOrder) -> None:
        """Close what it covers, freeing contracts that other orders lock; then reverse."""
        position = account.positions.get((market.symbol, stop.position_type))
        leg = stop.fired
        held = 0 if position is None or position.id != stop.position_id else position.hold_vol
        vol = held if stop.vol_type == WHOLE else min(held, leg.vol)
        open_type, leverage = (1, 1) if position is None else (
            position.open_type, position.leverage,
        )  # fmt: skip
        request = market_order(
            market.symbol, closing_side(stop.position_type), vol, open_type, leverage,
            stop.position_id,
        )  # fmt: skip
        if leg.order_type == 1:
            request.type, request.price = LIMIT, leg.order_price

        def told(order: Order) -> None:
            stop.state, stop.place_order_id, stop.reality_vol = EXECUTED, order.id, vol
            stop.version += 1
            self._push(account, stop)

        stop.close_tries += 1
        try:
            if not vol:
                raise Refused(2009)
            self.venue.unlock(account, market.symbol, stop.position_type, held - vol)
            self.venue.place(account, request, told)
        except Refused as refused:
            stop.error_code, stop.state = error_code(refused), FAILED
            stop.version += 1
            self._push(account, stop)
            return
        if leg.reverse == 1:
            other = SHORT if stop.position_type == LONG else LONG
            stop.reverse_tries += 1
            try:
                self.venue.place(
                    account,
                    market_order(market.symbol, opening_side(other), vol, open_type, leverage),
                )
            except Refused as refused:
                stop.reverse_error = error_code(refused)
                self.changed(account, stop)


def legs(attached: Attached, vol: int) -> tuple[Leg, Leg]:
    """(take profit, stop loss) of attached prices."""
    profit = Leg(
        attached.take_profit,
        attached.profit_trend,
        vol if attached.take_profit else 0,
        attached.take_profit_reverse,
    )
    loss = Leg(
        attached.stop_loss,
        attached.loss_trend,
        vol if attached.stop_loss else 0,
        attached.stop_loss_reverse,
    )
    return profit, loss
