"""Whether an order is accepted: the checks of protocol.md 18.1, in its order.

Everything here only looks; the first check that fails is the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from mexcfast.sim.accounts import (
    CROSS,
    ISOLATED,
    LIMIT,
    LONG,
    MARKET,
    MARKET_TO_LIMIT,
    ONE_WAY,
    POST_ONLY,
    ZERO,
    Account,
    Order,
    direction,
)
from mexcfast.sim.checks import OrderRequest, Refused
from mexcfast.sim.contracts import Contract
from mexcfast.sim.matching import BUY, SELL

if TYPE_CHECKING:
    from mexcfast.sim.market import Market
    from mexcfast.sim.venue import Venue


class Ticket(NamedTuple):
    """An order that may enter."""

    market: Market
    order: Order
    limit: int | None
    """Matching limit in ticks, None for any price."""


class Admission:
    """The door of the exchange."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def check(
        self, account: Account, request: OrderRequest, replaced: Order | None = None
    ) -> Ticket:
        """The order as it would enter; Refused when it is not accepted."""
        market = self.tradable(account, request.symbol, opens=request.side in (1, 3))
        contract = market.contract
        price, limit = self._price(market, request)
        vol = 0 if request.market_ceiling else self.vol(contract, request.vol, request.type)
        self._band(market, request, limit)
        if request.position_mode not in (None, account.position_mode):
            raise Refused(2043, "positionMode differs from the account")
        if request.external_oid and request.external_oid in account.by_external:
            raise Refused(2042)
        now = self.venue.clock_ms()
        order = Order(
            id=0,
            uid=account.uid,
            contract=contract,
            side=request.side,
            type=request.type,
            open_type=request.open_type,
            price=price,
            vol=vol,
            leverage=0,
            external_oid=request.external_oid or "",
            position_mode=account.position_mode,
            reduce_only=account.position_mode == ONE_WAY
            and (request.reduce_only or request.side in (2, 4)),
            create_ms=now,
            update_ms=now,
            bbo=request.bbo,
            stp=request.stp,
        )
        order.leverage = self._leverage(account, order, request.leverage)
        if order.closes:
            self._closable(account, order, request, replaced)
            self._liquidation(account, order)
        else:
            self._attached(order, request)
            if request.market_ceiling:
                order.vol = self._ceiling(account, market, order)
            self._tier(account, order, replaced)
            need = self.cost(market, order, limit)
            spendable = self.venue.spendable(account, contract.settle)
            if need > spendable + (replaced.frozen() if replaced is not None else ZERO):
                raise Refused(2005)
        count = len(account.open_orders) - (replaced is not None)
        if count >= contract.max_orders[account.position_mode - 1]:
            raise Refused(2036)
        return Ticket(market, order, limit)

    def tradable(self, account: Account, symbol: str, *, opens: bool) -> Market:
        """The market, when this account may place there; 1001, 6005, 1002, 6001, 6002, 6026."""
        market = self.venue.market(symbol)
        if market.contract.state != 0:
            raise Refused(6005)
        if not market.contract.api_allowed:
            raise Refused(1002)
        if account.restriction == 6001 or (account.restriction and opens):
            raise Refused(account.restriction)
        if opens and self.venue.clock_ms() < account.opening_blocked_ms:
            raise Refused(6026)
        return market

    @staticmethod
    def vol(contract: Contract, asked: Decimal, kind: int) -> int:
        """Whole contracts within the limits; 2011, 2028."""
        if asked <= 0 or asked != int(asked):
            raise Refused(2011)
        whole = int(asked)
        if whole % contract.vol_unit or whole < contract.min_vol:
            raise Refused(2011)
        limited = kind not in (MARKET, MARKET_TO_LIMIT)
        if whole > (contract.limit_max_vol if limited else contract.max_vol):
            raise Refused(2028)
        return whole

    # Price

    def _price(self, market: Market, request: OrderRequest) -> tuple[Decimal, int | None]:
        """(the price recorded in the order, the matching limit in ticks); 2007, 2015."""
        contract = market.contract
        buy = direction(request.side) == BUY
        if request.type == MARKET:
            best = market.book.best(SELL if buy else BUY)
            price = request.price or contract.price(market.last_tick if best is None else best)
            return price, None
        if request.type == MARKET_TO_LIMIT:
            best = market.book.best(SELL if buy else BUY)
            if best is None:
                raise Refused(2007)
            return contract.price(best), best
        if request.bbo:
            tick = self._bbo_tick(market, request.bbo, buy)
        else:
            price = request.price if request.price is not None else ZERO
            if price <= 0:
                raise Refused(2007)
            exact = contract.tick(price)
            if exact is None:
                raise Refused(2015)
            tick = exact
        return contract.price(tick), tick

    @staticmethod
    def _bbo_tick(market: Market, bbo: int, buy: bool) -> int:
        """Best or fifth price of the opposite or the same side (11.5)."""
        opposite = bbo in (1, 2)
        side = (SELL if buy else BUY) if opposite else (BUY if buy else SELL)
        ladder = market.book.ladder(side, 5 if bbo in (2, 4) else 1)
        if not ladder:
            raise Refused(2007)
        return ladder[-1][0]

    @staticmethod
    def _band(market: Market, request: OrderRequest, limit: int | None) -> None:
        if limit is None or request.type == MARKET_TO_LIMIT:
            return
        lowest, highest = market.contract.band(market.index_tick)
        buy = direction(request.side) == BUY
        if buy and limit > highest:
            raise Refused(2003)
        if not buy and limit < lowest:
            raise Refused(2004)

    def _attached(self, order: Order, request: OrderRequest) -> None:
        """TP and SL must lie on their sides of the order's price."""
        attached = request.attached
        if not attached:
            return
        self.stop_prices(
            order.contract, order.opens_type, order.price, attached.take_profit, attached.stop_loss
        )
        order.attached = attached

    @staticmethod
    def stop_prices(
        contract: Contract, kind: int, price: Decimal, profit: Decimal, loss: Decimal
    ) -> None:
        """A long takes profit above and stops below a price, a short the other way; 5003."""
        for one in (profit, loss):
            if one and contract.tick(one) is None:
                raise Refused(5003)
        above, below = (profit, loss) if kind == LONG else (loss, profit)
        if (above and above <= price) or (below and below >= price):
            raise Refused(5003)

    # Leverage and risk

    def _leverage(self, account: Account, order: Order, asked: int | None) -> int:
        """2006, 2027, 2021. One direction has one margin mode and one leverage at a time."""
        contract = order.contract
        if order.closes:
            position = account.positions.get((contract.symbol, order.closes_type))
            return position.leverage if position is not None else (asked or 1)
        kind = order.opens_type
        if asked is None:
            if order.open_type != CROSS:
                raise Refused(2006)
            asked = account.leverage(contract.symbol, kind, order.open_type)
        if not contract.min_leverage <= asked <= contract.max_leverage:
            raise Refused(2006)
        position = account.positions.get((contract.symbol, kind))
        holders: list[tuple[int, int]] = [
            (one.open_type, one.leverage) for one in account.openers(contract.symbol, kind)
        ]
        if position is not None:
            holders.append((position.open_type, position.leverage))
        if any(open_type != order.open_type for open_type, _ in holders):
            raise Refused(2027)
        if any(leverage != asked for _, leverage in holders):
            raise Refused(2021)
        return asked

    def _tier(self, account: Account, order: Order, replaced: Order | None) -> None:
        """Position, waiting orders and this one must fit the tier of the leverage; 2038, 2031."""
        contract = order.contract
        after = order.vol + self.committed(account, contract.symbol, order.opens_type)
        after -= 0 if replaced is None else replaced.remaining
        if after > contract.tiers[-1].max_vol:
            raise Refused(2038)
        if after > contract.tier_for(order.leverage).max_vol:
            raise Refused(2031)

    @staticmethod
    def committed(account: Account, symbol: str, kind: int) -> int:
        """Contracts held and waiting to be opened in one direction."""
        position = account.positions.get((symbol, kind))
        waiting = sum(one.remaining for one in account.openers(symbol, kind))
        return waiting + (0 if position is None else position.hold_vol)

    # Closing

    @staticmethod
    def _closable(
        account: Account, order: Order, request: OrderRequest, replaced: Order | None
    ) -> None:
        """2009, 2008."""
        symbol, kind = order.contract.symbol, order.closes_type
        position = account.positions.get((symbol, kind))
        if position is None:
            raise Refused(2009)
        if request.position_id and position.id != request.position_id:
            raise Refused(2009)
        order.position_id = position.id
        order.open_type = position.open_type
        if request.flash_close:
            order.vol = position.hold_vol
            return
        closable = account.closable(symbol, kind)
        if replaced is not None:
            closable += replaced.remaining
        if order.vol > closable:
            raise Refused(2008)

    @staticmethod
    def _liquidation(account: Account, order: Order) -> None:
        """A waiting close beyond the isolated liquidation price could never trade; 2032, 2033."""
        position = account.positions[order.contract.symbol, order.closes_type]
        if position.open_type != ISOLATED or order.type not in (LIMIT, POST_ONLY):
            return
        limit = position.liquidation_price()
        if position.is_long and order.price < limit:
            raise Refused(2032)
        if not position.is_long and limit and order.price > limit:
            raise Refused(2033)

    # Balance

    @staticmethod
    def cost(market: Market, order: Order, limit: int | None) -> Decimal:
        """What the order takes as it would fill now, plus the rest at its own price."""
        contract = market.contract
        taken = market.book.fillable(direction(order.side), limit, order.vol)
        need = sum(
            (contract.reserve(contract.price(tick), vol, order.leverage) for tick, vol in taken),
            ZERO,
        )
        rest = order.vol - sum(vol for _, vol in taken)
        if limit is not None and rest:
            need += contract.reserve(order.price, rest, order.leverage)
        return need

    def _ceiling(self, account: Account, market: Market, order: Order) -> int:
        """The most contracts that the available amount, the tier and the book allow; 2005."""
        contract = market.contract
        spendable = self.venue.spendable(account, contract.settle)
        taken = self.committed(account, contract.symbol, order.opens_type)
        depth = market.book.fillable(direction(order.side), None, contract.max_vol)
        most = min(
            contract.max_vol,
            contract.tier_for(order.leverage).max_vol - taken,
            sum(vol for _, vol in depth),
        )

        def affordable(vol: int) -> bool:
            order.vol = vol
            return self.cost(market, order, None) <= spendable

        vol = _largest(most, affordable)
        vol -= vol % contract.vol_unit
        if vol < contract.min_vol:
            raise Refused(2005)
        return vol


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 0 to `most` that fits, when smaller ones fit whenever it does."""
    low, high = 0, max(0, most)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
