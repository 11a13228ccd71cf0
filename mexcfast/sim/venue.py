"""The exchange itself, without any socket: contracts, books, accounts and the life of orders.

Validation order: protocol.md 18.1. Push sequence: 18.2. What happens is told to a Listener, which
the stream hub implements; nothing here knows who listens.
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
    HEDGE,
    IOC,
    ISOLATED,
    LIMIT,
    LONG,
    MARKET,
    MARKET_TO_LIMIT,
    ONE_WAY,
    POST_ONLY,
    SHORT,
    STATE_CANCELLED,
    ZERO,
    Account,
    Ledger,
    Order,
    Position,
    direction,
)
from mexcfast.sim.candles import Candles
from mexcfast.sim.checks import OrderRequest, Refused
from mexcfast.sim.contracts import Contract, listing
from mexcfast.sim.market import CROWD, Flow
from mexcfast.sim.matching import BUY, SELL, Book, Commit, Fill, Result

FUNDING_CYCLE_MS = 8 * 3_600_000


def next_settle_ms(now_ms: int) -> int:
    """The next multiple of the funding cycle."""
    return now_ms - now_ms % FUNDING_CYCLE_MS + FUNDING_CYCLE_MS


class PublicDeal(NamedTuple):
    """One trade as everybody sees it (7.3)."""

    id: int
    tick: int
    vol: int
    side: int
    """Taker side: 1 buy, 2 sell."""
    time_ms: int


class Market:
    """One contract with its book, flow, prices and trades."""

    def __init__(
        self, contract: Contract, book: Book, flow: Flow, start: int, now_ms: int
    ) -> None:
        self.contract = contract
        self.book = book
        self.flow = flow
        self.deals: deque[PublicDeal] = deque(maxlen=1000)
        self.candles = Candles(contract)
        self.open_tick = start
        self.last_tick = start
        self.index_tick = start
        self.fair_tick = start
        self.high_tick = start
        self.low_tick = start
        self.volume = 0
        self.turnover_ticks = 0
        self.open_interest = 546_882
        self.funding_rate = Decimal("0.000072")
        self.next_funding_ms = next_settle_ms(now_ms)
        self.changed_deals = 0
        """Grows with every trade, so that periodic pushes can tell whether something happened."""

    @property
    def symbol(self) -> str:
        """The contract's name."""
        return self.contract.symbol

    @property
    def fair_price(self) -> Decimal:
        """The mark price."""
        return self.contract.price(self.fair_tick)

    def update_prices(self) -> None:
        """Let the fair price be the mid and the index follow it; once a second is enough."""
        bid, ask = self.book.best(BUY), self.book.best(SELL)
        if bid is None or ask is None:
            return
        self.fair_tick = (bid + ask) // 2
        drift = self.fair_tick - self.index_tick
        self.index_tick += drift // 4 + self.flow.rng.randint(-1, 1)

    def record(self, deals: Iterable[PublicDeal]) -> None:
        """Take trades into the tape, the statistics and the candles."""
        for deal in deals:
            self.deals.append(deal)
            self.last_tick = deal.tick
            self.high_tick = max(self.high_tick, deal.tick)
            self.low_tick = min(self.low_tick, deal.tick)
            self.volume += deal.vol
            self.turnover_ticks += deal.vol * deal.tick
            self.changed_deals += 1
            self.candles.add(deal.time_ms, deal.tick, deal.vol)


class Listener:
    """What the exchange tells the outside. Each method is called after the fact is booked."""

    def on_commit(self, market: Market, commit: Commit) -> None:
        """The public book has a new version."""

    def on_deals(self, market: Market, deals: list[PublicDeal]) -> None:
        """One action traded."""

    def on_private(self, account: Account, channel: str, data: dict[str, Any], symbol: str) -> None:
        """A push for one account; symbol is empty for account-wide news."""


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
        self.live: dict[int, Order] = {}
        self._rng = random.Random(f"{seed}:venue")
        self._crowd_ids = 0
        self._order_id = 817_027_833_053_397_504
        self._public_deal_id = 16_435_741_160
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
            self.markets[contract.symbol] = Market(
                contract, book, flow, start, clock_ms()
            )

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
            cash=dict(balances),
            permissions=frozenset(permissions),
        )
        self.accounts[account.uid] = account
        self.keys[access_key] = account
        return account

    def market(self, symbol: str) -> Market:
        """Refused(1001) for an unknown contract."""
        market = self.markets.get(symbol)
        if market is None:
            raise Refused(1001)
        return market

    def unrealised(self, account: Account, currency: str) -> Decimal:
        """Unrealised profit at fair prices."""
        return sum(
            (
                position.unrealised(self.markets[symbol].fair_price)
                for (symbol, _), position in account.positions.items()
                if position.contract.settle == currency
            ),
            ZERO,
        )

    def total_money(self) -> Decimal:
        """Wallets, unrealised profit, house and crowd; constant while trading (for checks)."""
        total = self.ledger.house + self.ledger.crowd_cash
        for account in self.accounts.values():
            total += sum(account.cash.values(), ZERO)
            for currency in account.cash:
                total += self.unrealised(account, currency)
        for symbol, vol in self.ledger.crowd_vol.items():
            market = self.markets[symbol]
            total += market.contract.notional(market.fair_price, vol)
        return total

    # The crowd

    def step(self, market: Market) -> None:
        """One action of the order flow."""
        self._after(market, market.flow.step(), None)

    def crowd_did(self, market: Market, result: Result) -> None:
        """Tell and settle what a market source did to the book on its own."""
        self._after(market, result, None)

    def next_crowd_id(self) -> int:
        """An order id for another participant."""
        return self._next_crowd_id()

    def trade(self, symbol: str, side: int, volume: int) -> int:
        """A market order of another participant; returns the contracts traded."""
        if side not in (BUY, SELL) or volume <= 0:
            raise ValueError(f"side {side}, volume {volume}")
        market = self.market(symbol)
        result = market.book.place(self._next_crowd_id(), CROWD, side, None, volume, rest=False)
        self._after(market, result, None)
        return volume - result.remaining

    def settle_due_funding(self, market: Market) -> None:
        """Settle when the venue's clock passed the settle time."""
        now = self.clock_ms()
        if now >= market.next_funding_ms:
            self.settle_funding(market)
            market.next_funding_ms = next_settle_ms(now)

    def settle_funding(self, market: Market) -> None:
        """Longs pay rate times value, shorts receive it; the crowd is the other side (18.1)."""
        contract, now = market.contract, self.clock_ms()
        for account in self.accounts.values():
            for kind in (LONG, SHORT):
                position = account.positions.get((market.symbol, kind))
                if position is None:
                    continue
                value = contract.notional(market.fair_price, position.hold_vol)
                amount = contract.cut(value * market.funding_rate)
                received = -amount if kind == LONG else amount
                account.cash[contract.settle] = account.cash.get(contract.settle, ZERO) + received
                self.ledger.crowd_cash -= received
                position.hold_fee += received
                position.version += 1
                position.update_ms = now
                account.funding.append(
                    {
                        "id": len(account.funding) + 1,
                        "symbol": market.symbol,
                        "positionType": kind,
                        "positionId": position.id,
                        "positionValue": value,
                        "funding": received,
                        "rate": market.funding_rate,
                        "settleTime": now,
                    }
                )
                self._push_position(account, position)
                self._push_asset(account, contract.settle)

    # Orders

    def place(self, account: Account, request: OrderRequest) -> Order:
        """Check an order, match it, rest it. Refused when it is not accepted."""
        market, order, limit = self._checked(account, request, None)
        return self._enter(account, market, order, limit)

    def replace(self, account: Account, order_id: int, price: Decimal, vol: Decimal) -> Order:
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
            bbo=0,
            stp=old.stp,
        )
        market, order, limit = self._checked(account, request, old)
        self.cancel(account, old)
        return self._enter(account, market, order, limit)

    def cancel(self, account: Account, order: Order, error_code: int = 0) -> None:
        """Cancel an open order; Refused(2041) when it is final."""
        if not order.is_open:
            raise Refused(2041)
        market = self.markets[order.contract.symbol]
        result = market.book.cancel(order.id)
        self._final(account, order, error_code)
        if result.commit is not None:
            self.listener.on_commit(market, result.commit)
        self._push_order(account, order)
        self._push_asset(account, order.contract.settle)

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

    # Positions and modes

    def change_leverage(self, account: Account, position: Position, leverage: int) -> None:
        """Change the leverage of an open position; its margin follows."""
        contract = position.contract
        if not contract.min_leverage <= leverage <= contract.max_leverage:
            raise Refused(2006)
        margin = round(position.cost / leverage, 8)
        if margin - position.margin > account.available(contract.settle):
            raise Refused(2005)
        position.margin = position.original_margin = margin
        position.leverage = leverage
        position.version += 1
        position.update_ms = self.clock_ms()
        key = (contract.symbol, position.type, position.open_type)
        account.leverages[key] = leverage
        self._push_position(account, position)
        self._push_asset(account, contract.settle)

    def change_margin(self, account: Account, position: Position, amount: Decimal) -> None:
        """Move margin into (positive) or out of an isolated position (15)."""
        contract = position.contract
        if position.open_type != ISOLATED:
            raise Refused(2002)
        if amount == 0 or amount != contract.cut(amount):
            raise Refused(1004)
        if amount > account.available(contract.settle):
            raise Refused(2005)
        price = self.markets[contract.symbol].fair_price
        needed = contract.cut(position.cost / position.leverage)
        if amount < 0 and position.margin + amount + min(ZERO, position.unrealised(price)) < needed:
            raise Refused(2018)
        position.margin += amount
        position.version += 1
        position.update_ms = self.clock_ms()
        self._push_position(account, position)
        self._push_asset(account, contract.settle)

    def change_mode(self, account: Account, mode: int) -> None:
        """Hedge or one-way; refused while orders or positions exist (15)."""
        if mode not in (HEDGE, ONE_WAY):
            raise Refused(600, f"positionMode {mode}: 1 or 2")
        if mode != account.position_mode and (account.open_orders or account.positions):
            raise Refused(2019)
        account.position_mode = mode
        self.listener.on_private(account, "position.mode", {"positionMode": mode}, "")

    # Checks, in the order of 18.1

    def _checked(
        self, account: Account, request: OrderRequest, replaced: Order | None
    ) -> tuple[Market, Order, int | None]:
        market = self.market(request.symbol)
        contract = market.contract
        if contract.state != 0:
            raise Refused(6005)
        if not contract.api_allowed:
            raise Refused(1002)
        vol = self._checked_vol(contract, request)
        price, limit = self._checked_price(market, request)
        if request.position_mode not in (None, account.position_mode):
            raise Refused(2043, "positionMode differs from the account")
        if request.external_oid and request.external_oid in account.by_external:
            raise Refused(2042)
        now = self.clock_ms()
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
        order.leverage = self._checked_leverage(account, order, request.leverage)
        if order.closes:
            self._check_closable(account, order, request.position_id, replaced)
        else:
            self._check_balance(account, market, order, limit, replaced)
        count = len(account.open_orders) - (replaced is not None)
        if count >= contract.max_orders[account.position_mode - 1]:
            raise Refused(2036)
        return market, order, limit

    def _checked_vol(self, contract: Contract, request: OrderRequest) -> int:
        vol = request.vol
        if vol <= 0 or vol != int(vol):
            raise Refused(2011)
        whole = int(vol)
        if whole % contract.vol_unit or whole < contract.min_vol:
            raise Refused(2011)
        limited = request.type not in (MARKET, MARKET_TO_LIMIT)
        if whole > (contract.limit_max_vol if limited else contract.max_vol):
            raise Refused(2028)
        return whole

    def _checked_price(self, market: Market, request: OrderRequest) -> tuple[Decimal, int | None]:
        """(the price recorded in the order, the matching limit in ticks)."""
        contract = market.contract
        buy = direction(request.side) == BUY
        lowest, highest = contract.band(market.index_tick)
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
        if buy and tick > highest:
            raise Refused(2003)
        if not buy and tick < lowest:
            raise Refused(2004)
        return contract.price(tick), tick

    def _bbo_tick(self, market: Market, bbo: int, buy: bool) -> int:
        """Best or fifth price of the opposite or the same side (11.5)."""
        opposite = bbo in (1, 2)
        side = (SELL if buy else BUY) if opposite else (BUY if buy else SELL)
        ladder = market.book.ladder(side, 5 if bbo in (2, 4) else 1)
        if not ladder:
            raise Refused(2007)
        return ladder[-1][0]

    def _checked_leverage(self, account: Account, order: Order, asked: int | None) -> int:
        contract = order.contract
        if order.closes:
            position = account.positions.get((contract.symbol, order.closes_type))
            return position.leverage if position is not None else (asked or 1)
        kind = LONG if direction(order.side) == BUY else SHORT
        if asked is None:
            if order.open_type != CROSS:
                raise Refused(2006)
            asked = account.leverage(contract.symbol, kind, order.open_type)
        if not contract.min_leverage <= asked <= contract.max_leverage:
            raise Refused(2006)
        position = account.positions.get((contract.symbol, kind))
        if position is not None:
            if position.open_type != order.open_type:
                raise Refused(2027)
            if position.leverage != asked:
                raise Refused(2021)
        return asked

    def _check_closable(
        self, account: Account, order: Order, position_id: int | None, replaced: Order | None
    ) -> None:
        position = account.positions.get((order.contract.symbol, order.closes_type))
        if position is None:
            raise Refused(2009)
        if position_id and position.id != position_id:
            raise Refused(2009)
        closable = account.closable(order.contract.symbol, order.closes_type)
        if replaced is not None:
            closable += replaced.remaining
        if order.vol > closable:
            raise Refused(2008)
        order.position_id = position.id

    def _check_balance(
        self,
        account: Account,
        market: Market,
        order: Order,
        limit: int | None,
        replaced: Order | None,
    ) -> None:
        """The order as it would fill now, plus the rest at its own price, must be affordable."""
        contract = market.contract
        taken = market.book.fillable(direction(order.side), limit, order.vol)
        need = sum(
            (contract.reserve(contract.price(tick), vol, order.leverage) for tick, vol in taken),
            ZERO,
        )
        rest = order.vol - sum(vol for _, vol in taken)
        if limit is not None and rest:
            need += contract.reserve(order.price, rest, order.leverage)
        available = account.available(contract.settle)
        if replaced is not None:
            available += replaced.frozen()
        if need > available:
            raise Refused(2005)

    # After the checks

    def _enter(self, account: Account, market: Market, order: Order, limit: int | None) -> Order:
        self._order_id += self._rng.randint(1, 500)
        order.id = self._order_id
        if not order.external_oid:
            order.external_oid = "_m_" + hashlib.md5(str(order.id).encode()).hexdigest()[:29]
        if not order.closes:
            kind = LONG if direction(order.side) == BUY else SHORT
            account.leverages[market.symbol, kind, order.open_type] = order.leverage
        account.orders[order.id] = order
        account.by_external[order.external_oid] = order
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
        )
        self._after(market, result, order)
        if order.is_open and result.rests:
            if not result.fills:
                self._push_order(account, order)
                self._push_asset(account, order.contract.settle)
        elif order.is_open:
            reason = result.refused or "ioc"
            if reason == "ioc" and order.type not in (IOC, FOK):
                reason = "market"
            self._final(account, order, CANCEL_CODES[reason])
            self._push_order(account, order)
            self._push_asset(account, order.contract.settle)
        return order

    def _after(self, market: Market, result: Result, taker: Order | None) -> None:
        """Tell the public, then settle the users' parts of the fills."""
        if result.commit is not None:
            self.listener.on_commit(market, result.commit)
        if result.fills:
            now = self.clock_ms()
            deals = []
            for fill in result.fills:
                self._public_deal_id += 1
                deals.append(
                    PublicDeal(self._public_deal_id, fill.price, fill.quantity, result.side, now)
                )
            market.record(deals)
            self.listener.on_deals(market, deals)
            for fill in result.fills:
                self._settle(market, fill, taker, result.side, now)
            for account in self.accounts.values():
                if account.position_mode == ONE_WAY:
                    self._trim_reduce_only(account, market.symbol)
        for gone in result.cancelled:
            order = self.live.get(gone.order_id)
            if order is not None:
                account = self.accounts[order.uid]
                self._final(account, order, CANCEL_CODES["stp"])
                self._push_order(account, order)
                self._push_asset(account, order.contract.settle)

    def _settle(
        self,
        market: Market,
        fill: Fill,
        taker: Order | None,
        side: int,
        now: int,
    ) -> None:
        """Book one fill for the users on either side and push it (18.2)."""
        maker = self.live.get(fill.maker_id)
        if maker is None and taker is None:
            return
        price, vol = market.contract.price(fill.price), fill.quantity
        is_self = maker is not None and taker is not None and maker.uid == taker.uid
        for order, is_taker in ((maker, False), (taker, True)):
            if order is None:
                crowd_side = side if is_taker else 3 - side
                self.ledger.crowd_trade(market.contract, crowd_side, price, vol)
                continue
            account = self.accounts[order.uid]
            settled = self.ledger.settle(
                account, order, price, vol, taker=is_taker, is_self=is_self, now_ms=now
            )
            if not order.is_open:
                self.live.pop(order.id, None)
            deal = settled.deal.wire(push=True, as_int=self.ids_as_int)
            self.listener.on_private(account, "order.deal", deal, market.symbol)
            self._push_order(account, order)
            for position in settled.positions:
                self._push_position(account, position)
            self._push_asset(account, market.contract.settle)

    def _trim_reduce_only(self, account: Account, symbol: str) -> None:
        """Reduce-only orders larger than what is left of the position go (errorCode 4)."""
        for order in list(account.open_orders.values()):
            if order.contract.symbol != symbol or not order.reduce_only:
                continue
            if order.id in self.markets[symbol].book.orders:
                position = account.positions.get((symbol, order.closes_type))
                held = 0 if position is None else position.hold_vol
                if order.remaining > held:
                    self.cancel(account, order, error_code=4)

    def _final(self, account: Account, order: Order, error_code: int) -> None:
        order.state = STATE_CANCELLED
        order.error_code = error_code
        order.version += 1
        order.update_ms = self.clock_ms()
        account.open_orders.pop(order.id, None)
        self.live.pop(order.id, None)

    def _push_order(self, account: Account, order: Order) -> None:
        data = order.wire(push=True, as_int=self.ids_as_int)
        self.listener.on_private(account, "order", data, order.contract.symbol)

    def _push_position(self, account: Account, position: Position) -> None:
        data = self.position_wire(account, position, push=True)
        self.listener.on_private(account, "position", data, position.contract.symbol)

    def _push_asset(self, account: Account, currency: str) -> None:
        self.listener.on_private(account, "asset", account.asset(currency), "")

    def position_wire(self, account: Account, position: Position, *, push: bool) -> dict[str, Any]:
        """Position object with the mark price and the locked contracts of now."""
        symbol = position.contract.symbol
        frozen = account.frozen_vol(symbol, position.type) if position.hold_vol else 0
        mark = self.markets[symbol].fair_price
        return position.wire(push=push, mark=mark, frozen_vol=frozen)

    def _next_crowd_id(self) -> int:
        self._crowd_ids += 1
        return self._crowd_ids
