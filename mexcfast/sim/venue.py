"""The exchange itself, without any socket: contracts, books, accounts and the life of orders.

Checks: admission.py. Booking: ledger.py. Push sequence: protocol.md 18.2. What happens is told to
a Listener, which the stream hub implements; nothing here knows who listens.
"""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from mexcfast.sim.accounts import (
    CANCEL_CODES,
    CROSS,
    FOK,
    INSUFFICIENT_BALANCE,
    IOC,
    LIMIT,
    LONG,
    MARKET_TO_LIMIT,
    POSITION_NOT_ENOUGH,
    POST_ONLY,
    SHORT,
    STATE_CANCELLED,
    ZERO,
    Account,
    Order,
    OrderState,
    Position,
    direction,
)
from mexcfast.sim.admission import Admission, Ticket
from mexcfast.sim.checks import OrderRequest, Refused
from mexcfast.sim.conditional import Conditional
from mexcfast.sim.contracts import Contract, listing
from mexcfast.sim.events import EventDesk
from mexcfast.sim.flow import CROWD, Flow
from mexcfast.sim.ledger import Ledger
from mexcfast.sim.liquidation import Liquidation
from mexcfast.sim.market import Market, PublicDeal
from mexcfast.sim.matching import BUY, SELL, Book, Commit, Fill, Result
from mexcfast.sim.positions import PositionDesk
from mexcfast.sim.waiting import Waiting

#: Orders kept for queries and for the truth.
MOST_ORDERS = 200_000


class Listener:
    """What the exchange tells the outside. Each method is called after the fact is booked."""

    def on_commit(self, market: Market, commit: Commit) -> None:
        """The public book has a new version."""

    def on_deals(self, market: Market, deals: list[PublicDeal]) -> None:
        """One action traded."""

    def hears(self, account: Account) -> bool:
        """Whether anybody listens to an account; if not, its pushes are not even made."""
        return True

    def on_private(self, account: Account, channel: str, data: dict[str, Any], symbol: str) -> None:
        """A push for one account; symbol is empty for account-wide news, data for none."""


class AccountState(NamedTuple):
    """The true state of an account, to compare a client with."""

    cash: dict[str, Decimal]
    frozen: dict[str, Decimal]
    margin: dict[str, Decimal]
    equity: dict[str, Decimal]
    positions: list[Position]
    open_orders: list[Order]
    waiting: list[Waiting]
    """Plan, TP/SL and trailing orders that have not fired."""


class Venue:
    """The exchange. Synchronous; time comes from `clock_ms`."""

    def __init__(
        self,
        *,
        seed: int,
        symbols: int | Iterable[str | Contract],
        levels: int,
        history: int,
        clock_ms: Callable[[], int],
        book_type: type[Book] = Book,
        filled: bool = True,
    ) -> None:
        if not 2 <= levels <= 1400:
            raise ValueError(f"levels {levels}: 2 to 1400 (the venue keeps 1500 a side)")
        self.seed = seed
        self.clock_ms = clock_ms
        self.listener = Listener()
        self.ids_as_int = False
        self.ledger = Ledger()
        self.accounts: dict[int, Account] = {}
        self.keys: dict[str, Account] = {}
        self.most_orders = MOST_ORDERS
        self.live: dict[int, Order] = {}
        self.orders: dict[int, Order] = {}
        """The newest orders, at most MOST_ORDERS; final ones go first."""
        self.admission = Admission(self)
        self.conditional = Conditional(self)
        self.desk = PositionDesk(self)
        self.liquidation = Liquidation(self)
        self.events = EventDesk(self)
        self._rng = random.Random(f"{seed}:venue")
        self._crowd_ids = 0
        self._order_id = 817_027_833_053_397_504
        self._public_deal_id = 16_435_741_160
        self._ticks: deque[tuple[Market, list[int]]] = deque()
        self._touched: dict[tuple[int, str], None] = {}
        """Accounts and symbols to be looked at when the action is over."""
        self._overfilled: list[Order] = []
        self._reacting = False
        self.markets: dict[str, Market] = {}
        for contract in listing(symbols, seed).values():
            start = contract.tick(contract.start_price)
            if start is None:
                raise ValueError(f"{contract.symbol}: start price is between two ticks")
            first = 26_000_000_000 + self._rng.randrange(1_000_000_000)
            book = book_type(contract.symbol, first, keep=max(history, 1000))
            flow = Flow(book, start, levels, seed, self._next_crowd_id)
            if filled:
                flow.fill_book()
            market = Market(contract, book, flow, start, clock_ms())
            market.snapshot_insurance(clock_ms(), ZERO)
            self.markets[contract.symbol] = market

    # Accounts

    def add_account(
        self,
        access_key: str,
        secret: str,
        balances: dict[str, Decimal],
        permissions: str = "AOT",
    ) -> Account:
        """Open an account; ValueError when the key is taken."""
        if access_key in self.keys:
            raise ValueError("this access key has an account")
        account = Account(
            uid=45_359_845 + len(self.accounts),
            access_key=access_key,
            secret=secret,
            permissions=frozenset(permissions),
        )
        for currency, amount in balances.items():
            self.ledger.transfer(account, currency, Decimal(amount), self.clock_ms())
        self.accounts[account.uid] = account
        self.keys[access_key] = account
        return account

    def market(self, symbol: str) -> Market:
        """Refused(1001) for an unknown contract."""
        market = self.markets.get(symbol)
        if market is None:
            raise Refused(1001)
        return market

    def unrealised(self, account: Account, currency: str, *, cross: bool = False) -> Decimal:
        """Unrealised profit at fair prices, of all or only of cross positions."""
        return sum(
            (
                position.unrealised(self.markets[position.contract.symbol].fair_price)
                for position in account.held(currency)
                if not cross or position.open_type == CROSS
            ),
            ZERO,
        )

    def spendable(self, account: Account, currency: str) -> Decimal:
        """Available for opening: losses of cross positions count, their profits do not."""
        return account.available(currency) + min(
            ZERO, self.unrealised(account, currency, cross=True)
        )

    # The truth, for tests and programs

    def money(self) -> dict[str, Decimal]:
        """All money by currency: only transfers change it (ledger.py)."""
        contracts = (market.contract for market in self.markets.values())
        return self.ledger.totals(self.accounts.values(), contracts)

    def total_money(self) -> Decimal:
        """The sum over the currencies; constant while trading (for checks)."""
        return sum(self.money().values(), ZERO)

    def order_history(self, order_id: int | str) -> list[OrderState]:
        """Every version of an order, oldest first; KeyError for an unknown id."""
        return list(self.orders[int(order_id)].history)

    def account_state(self, account: Account) -> AccountState:
        """What the exchange knows of an account now."""
        return AccountState(
            cash=dict(account.cash),
            frozen={name: account.frozen(name) for name in account.cash},
            margin={name: account.margin(name) for name in account.cash},
            equity={
                name: cash + self.unrealised(account, name) for name, cash in account.cash.items()
            },
            positions=list(account.positions.values()),
            open_orders=list(account.open_orders.values()),
            waiting=self.conditional.of(account),
        )

    # The crowd

    def step(self, market: Market) -> None:
        """One action of the order flow."""
        self._after(market, market.flow.step(), None)
        self.react()

    def crowd_did(self, market: Market, result: Result) -> None:
        """Tell and settle what a market source did to the book on its own."""
        self._after(market, result, None)
        self.react()

    def next_crowd_id(self) -> int:
        """An order id for another participant."""
        return self._next_crowd_id()

    def trade(self, symbol: str, side: int, volume: int) -> int:
        """A market order of another participant; returns the contracts traded."""
        if side not in (BUY, SELL) or volume <= 0:
            raise ValueError(f"side {side}, volume {volume}")
        result = self.crowd_order(self.market(symbol), side, volume)
        self.react()
        return volume - result.remaining

    def crowd_order(self, market: Market, side: int, volume: int) -> Result:
        """A market order of the crowd; who calls this reacts afterwards."""
        result = market.book.place(self._next_crowd_id(), CROWD, side, None, volume, rest=False)
        self._after(market, result, None)
        return result

    # Time and prices

    def each_second(self, market: Market) -> None:
        """What the clock brings: new prices, expiry, funding."""
        now = self.clock_ms()
        market.record_prices(now)
        self.conditional.expire(now)
        self.desk.expire_bonus(now)
        self.events.close_due(market, now)
        self.prices_moved(market)
        self.settle_due_funding(market)

    def move_prices(
        self, symbol: str, *, fair: Decimal | None = None, index: Decimal | None = None
    ) -> None:
        """Pin the fair and index price from now on, rounded to the tick; triggers follow."""
        market = self.market(symbol)
        unit = market.contract.price_unit
        if fair is not None:
            market.fair_tick = max(1, int(fair / unit))
        if index is not None:
            market.index_tick = max(1, int(index / unit))
        market.pinned = True
        self.prices_moved(market)

    def prices_moved(self, market: Market) -> None:
        """Fair or index price changed: triggers, then liquidation."""
        self.conditional.on_prices(market)
        self.liquidation.check(market)
        self.react()

    def settle_due_funding(self, market: Market) -> None:
        """Settle when the venue's clock passed the settle time."""
        now = self.clock_ms()
        if now >= market.next_funding_ms:
            self.settle_funding(market)
            market.set_funding_cycle(market.cycle_ms, now)

    def settle_funding(self, market: Market) -> None:
        """Everybody who holds a position pays or receives (18.1)."""
        now = self.clock_ms()
        market.funding_history.append((now, market.funding_rate))
        for account in self.accounts.values():
            for kind in (LONG, SHORT):
                position = account.positions.get((market.symbol, kind))
                if position is not None:
                    self.ledger.pay_funding(
                        account, position, market.fair_price, market.funding_rate, now
                    )
                    self.push_position(account, position)
                    self.push_asset(account, market.contract.settle)
                    self._touched[account.uid, market.symbol] = None
        self.react()

    # Orders

    def place(
        self,
        account: Account,
        request: OrderRequest,
        told: Callable[[Order], None] = lambda order: None,
    ) -> Order:
        """Check an order, match it, rest it. Refused when it is not accepted.

        told: called with the accepted order before anything happens to it.
        """
        ticket = self.admission.check(account, request)
        if request.flash_close:
            self.unlock(account, ticket.order.contract.symbol, ticket.order.closes_type, 0)
        order = self._enter(account, ticket, told=told)
        self.react()
        return order

    def replace(
        self, account: Account, order_id: int, price: Decimal, vol: Decimal, prefix: str = "_m_"
    ) -> Order:
        """change_limit_order: the old order goes, a new one with a new id comes (16.2)."""
        old = account.orders.get(order_id)
        if old is None:
            raise Refused(2040)
        if not old.is_open:
            raise Refused(2041)
        request = OrderRequest(
            symbol=old.contract.symbol,
            side=old.side,
            type=old.type,
            open_type=old.open_type,
            vol=vol,
            price=price,
            leverage=old.leverage,
            external_oid=None,
            position_id=None,
            position_mode=None,
            reduce_only=old.reduce_only,
            stp=old.stp,
            attached=old.attached,
        )
        ticket = self.admission.check(account, request, old)
        self.cancel(account, old)
        order = self._enter(account, ticket, prefix)
        self.react()
        return order

    def chase(self, account: Account, order_id: int) -> None:
        """Move an order to the best price of its side; a failure is told by order.chase (9)."""
        order = account.orders.get(order_id)
        if order is None:
            raise Refused(2040)
        try:
            if not order.is_open:
                raise Refused(2041)
            best = self.markets[order.contract.symbol].book.best(direction(order.side))
            if best is None or order.type not in (LIMIT, POST_ONLY):
                raise Refused(2007)
            price = order.contract.price(best)
            if price != order.price:
                self.replace(account, order.id, price, Decimal(order.remaining), "CHASE_LIMIT_")
        except Refused as refused:
            data = {"ec": refused.code, "s": order.contract.symbol}
            self.listener.on_private(account, "order.chase", data, order.contract.symbol)

    def cancel(self, account: Account, order: Order, error_code: int = 0) -> None:
        """Cancel an open order; Refused(2041) when it is final."""
        if not order.is_open:
            raise Refused(2041)
        market = self.markets[order.contract.symbol]
        result = market.book.cancel(order.id)
        self._final(account, order, error_code)
        if result.commit is not None:
            self.listener.on_commit(market, result.commit)
        self.push_order(account, order)
        self.push_asset(account, order.contract.settle)

    def cancel_all(self, account: Account, symbol: str | None) -> int:
        """Cancel every open order, of one contract or of all."""
        chosen = [
            order
            for order in account.open_orders.values()
            if symbol is None or order.contract.symbol == symbol
        ]
        for order in chosen:
            self.cancel(account, order)
        return len(chosen)

    def unlock(
        self,
        account: Account,
        symbol: str,
        kind: int,
        most: int,
        error_code: int = POSITION_NOT_ENOUGH,
    ) -> None:
        """Cancel waiting closing orders, newest first, until they lock at most `most`."""
        for order in reversed(account.closers(symbol, kind)):
            if account.frozen_vol(symbol, kind) <= most:
                return
            self.cancel(account, order, error_code)

    # Inside an action

    def new_order_id(self) -> int:
        """Ids grow by a seeded step."""
        self._order_id += self._rng.randint(1, 500)
        return self._order_id

    def enroll(self, account: Account, order: Order, prefix: str = "_m_") -> None:
        """Give an order its ids and remember it."""
        order.id = self.new_order_id()
        if not order.external_oid:
            digest = hashlib.md5(str(order.id).encode()).hexdigest()
            order.external_oid = (prefix + digest)[:32]
        account.orders[order.id] = order
        account.by_external[order.external_oid] = order
        self.orders[order.id] = order
        if len(self.orders) > self.most_orders:
            self._forget_one()

    def _forget_one(self) -> None:
        """The oldest final order goes, so that a long run stays within its memory."""
        old = next((one for one in self.orders.values() if not one.is_open), None)
        if old is None:
            return
        account = self.accounts[old.uid]
        del self.orders[old.id]
        account.orders.pop(old.id, None)
        if account.by_external.get(old.external_oid) is old:
            del account.by_external[old.external_oid]

    def _enter(
        self,
        account: Account,
        ticket: Ticket,
        prefix: str = "_m_",
        told: Callable[[Order], None] = lambda order: None,
    ) -> Order:
        market, order, limit = ticket
        self.enroll(account, order, prefix)
        told(order)
        order.advance(self.clock_ms())
        if not order.closes:
            key = (market.symbol, order.opens_type, order.open_type)
            account.leverages[key] = order.leverage
        account.open_orders[order.id] = order
        self.live[order.id] = order
        result = market.book.place(
            order.id,
            account.uid,
            direction(order.side),
            limit,
            order.vol,
            rest=order.type in (LIMIT, POST_ONLY, MARKET_TO_LIMIT),
            post_only=order.type == POST_ONLY,
            all_or_nothing=order.type == FOK,
            stp=order.stp,
            avoid=self._avoided(account) if order.stp else frozenset(),
        )
        self._after(market, result, order)
        if order.is_open and result.rests:
            if not result.fills:
                self.push_order(account, order)
                self.push_asset(account, order.contract.settle)
            if order.attached:
                self.conditional.push_attached(account, order)
        elif order.is_open:
            reason = result.refused or "ioc"
            if reason == "ioc" and order.type not in (IOC, FOK):
                reason = "market"
            self._final(account, order, CANCEL_CODES[reason])
            self.push_order(account, order)
            self.push_asset(account, order.contract.settle)
        return order

    @staticmethod
    def _avoided(account: Account) -> frozenset[int]:
        """Users that self-trade prevention treats like oneself (16.7)."""
        names = (uid for group in account.groups.values() for uid in group["blackList"])
        return frozenset(int(uid) for uid in names)

    def _after(self, market: Market, result: Result, taker: Order | None) -> None:
        """Tell the public, then settle the users' parts of the fills."""
        if result.commit is not None:
            self.listener.on_commit(market, result.commit)
        if result.fills:
            now = self.clock_ms()
            deals = []
            for fill in result.fills:
                self._public_deal_id += 1
                both = taker is not None and fill.maker_owner == taker.uid
                deals.append(
                    PublicDeal(
                        self._public_deal_id, fill.price, fill.quantity, result.side, now, both
                    )
                )
            market.record(deals)
            self.listener.on_deals(market, deals)
            for fill in result.fills:
                self._settle(market, fill, taker, result.side, now)
            if self.conditional.watches(market.symbol):
                ticks = list(dict.fromkeys(fill.price for fill in result.fills))
                self._ticks.append((market, ticks))
        for gone in result.cancelled:
            order = self.live.get(gone.order_id)
            if order is not None:
                account = self.accounts[order.uid]
                self._final(account, order, CANCEL_CODES["stp"])
                self.push_order(account, order)
                self.push_asset(account, order.contract.settle)

    def _settle(
        self, market: Market, fill: Fill, taker: Order | None, side: int, now: int
    ) -> None:
        """Book one fill for the users on either side and push it (18.2)."""
        maker = self.live.get(fill.maker_id)
        if maker is None and taker is None:
            return
        contract = market.contract
        price, vol = contract.price(fill.price), fill.quantity
        value = contract.notional(price, vol)
        for order, other, is_taker in ((maker, taker, False), (taker, maker, True)):
            its_side = side if is_taker else 3 - side
            if order is None:
                self.ledger.crowd_trade(contract, its_side, value, vol)
                continue
            account = self.accounts[order.uid]
            mine, my_value = vol, value
            if order.closes:
                position = account.positions.get((market.symbol, order.closes_type))
                mine = min(vol, 0 if position is None else position.hold_vol)
                if mine < vol:  # others shrank the position: the crowd takes the rest
                    my_value = contract.notional(price, mine)
                    self.ledger.crowd_trade(contract, its_side, value - my_value, vol - mine)
                    self._overfilled.append(order)
                if not mine:
                    continue
            settled = self.ledger.settle(
                account,
                order,
                price,
                my_value,
                mine,
                taker=is_taker,
                is_self=other is not None and other.uid == order.uid,
                opponent_id=0 if other is None else other.id,
                now_ms=now,
            )
            if not order.is_open:
                self.live.pop(order.id, None)
            if settled.opened and order.attached:
                self.conditional.attach(account, order, settled.positions[-1], settled.opened)
            self._touched[account.uid, market.symbol] = None
            deal = settled.deal.wire(push=True, as_int=self.ids_as_int)
            self.listener.on_private(account, "order.deal", deal, market.symbol)
            self.push_order(account, order)
            for position in settled.positions:
                self.push_position(account, position)
            self.push_asset(account, contract.settle)

    # After an action

    def react(self) -> None:
        """Let the consequences of an action happen: trims, cancels for lack of money, triggers.

        What this causes is queued and handled in turn, so that nothing happens inside an action.
        """
        if self._reacting or not (self._touched or self._ticks or self._overfilled):
            return
        self._reacting = True
        try:
            while self._touched or self._ticks or self._overfilled:
                while self._overfilled:
                    self._give_up(self._overfilled.pop())
                while self._touched:
                    uid, symbol = next(iter(self._touched))
                    del self._touched[uid, symbol]
                    self._tidy(self.accounts[uid], self.markets[symbol])
                if self._ticks:
                    self.conditional.on_trades(*self._ticks.popleft())
        finally:
            self._reacting = False

    def touch(self, account: Account, symbol: str) -> None:
        """Look at an account's orders, stops and money when the action is over."""
        self._touched[account.uid, symbol] = None

    def _give_up(self, order: Order) -> None:
        """A closing order that traded more than there was to close ends here."""
        if not order.is_open:
            return
        account, market = self.accounts[order.uid], self.markets[order.contract.symbol]
        if order.id in market.book.orders:
            self.cancel(account, order, POSITION_NOT_ENOUGH)
        else:
            self._final(account, order, POSITION_NOT_ENOUGH)
            self.push_order(account, order)
            self.push_asset(account, order.contract.settle)

    def _tidy(self, account: Account, market: Market) -> None:
        """Closing orders fit their position, stops have one, opening orders are covered."""
        symbol, currency = market.symbol, market.contract.settle
        for kind in (LONG, SHORT):
            position = account.positions.get((symbol, kind))
            self.unlock(account, symbol, kind, 0 if position is None else position.hold_vol)
            self.conditional.follow(account, symbol, kind, position)
            if position is not None:
                self.liquidation.tell_tier(account, position)
        if account.available(currency) < 0:
            for order in reversed(list(account.open_orders.values())):
                if order.contract.settle == currency and not order.closes:
                    self.cancel(account, order, INSUFFICIENT_BALANCE)
                    if account.available(currency) >= 0:
                        break

    def _final(self, account: Account, order: Order, error_code: int) -> None:
        order.state = STATE_CANCELLED
        order.error_code = error_code
        order.advance(self.clock_ms())
        account.open_orders.pop(order.id, None)
        self.live.pop(order.id, None)

    # Pushes

    def push_order(self, account: Account, order: Order) -> None:
        """push.personal.order."""
        if not self.listener.hears(account):
            return
        data = order.wire(push=True, as_int=self.ids_as_int)
        self.listener.on_private(account, "order", data, order.contract.symbol)

    def push_position(self, account: Account, position: Position) -> None:
        """push.personal.position."""
        if not self.listener.hears(account):
            return
        data = self.position_wire(account, position, push=True)
        self.listener.on_private(account, "position", data, position.contract.symbol)

    def push_asset(self, account: Account, currency: str) -> None:
        """push.personal.asset."""
        if not self.listener.hears(account):
            return
        self.listener.on_private(account, "asset", account.asset(currency), "")

    def position_wire(self, account: Account, position: Position, *, push: bool) -> dict[str, Any]:
        """Position object with the mark price and the locked contracts of now."""
        symbol = position.contract.symbol
        frozen = account.frozen_vol(symbol, position.type) if position.hold_vol else 0
        mark = self.markets[symbol].fair_price
        backing = self.liquidation.backing(account, position)
        return position.wire(push=push, mark=mark, frozen_vol=frozen, backing=backing)

    def _next_crowd_id(self) -> int:
        self._crowd_ids += 1
        return self._crowd_ids
