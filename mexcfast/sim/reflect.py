"""A book that follows another market's, with the users' own orders in between.

How a user's resting order is filled. The mirrored market never sees it, so its place in the queue
is estimated:

- When it joins a level, everything shown there is ahead of it. What joins later is behind it.
- A trade at its price takes from the front of the queue first: the crowd ahead, then the order,
  then what is behind. A trade at a worse price has taken the order before it got there.
- A level that shrinks without a trade was cancelled. When the number of orders fell too, every
  order was as likely to go, hence the loss is shared pro rata to the orders ahead and behind; when
  it did not, somebody made an order smaller, and the loss is shared pro rata to the quantities.
- When the depth frame comes before the trade it contains, the loss counts as a cancel, and the
  trade then takes that much less from the front: an order is never filled by the same contracts
  twice, at the price of being filled late.
- A level of the other side that reaches the order's price fills it with what is shown there, each
  time it is shown.

What a user's taker order took is missing from the book until the mirrored market speaks of that
level again, or for RESTORE_MS at most. Every applied frame is one version of this book's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from mexcfast.sim.flow import CROWD
from mexcfast.sim.market import Market
from mexcfast.sim.matching import ABSENT, BUY, SELL, Book, Fill, Resting, Result, State
from mexcfast.sim.venue import Venue

RESTORE_MS = 2000


class ReflectedBook(Book):
    """A price-time book in which one resting order of the crowd stands for many."""

    def __init__(self, symbol: str, first_version: int = 0, keep: int = 5000) -> None:
        super().__init__(symbol, first_version, keep)
        self.own: dict[int, Resting] = {}
        """Resting orders of users."""
        self.dents: dict[tuple[int, int], tuple[int, int, int]] = {}
        """What users took: level to (contracts, orders there before, when; 0 not yet known)."""
        self._stands_for: dict[int, int] = {}

    # Counting the orders that one of the crowd's stands for

    def level(self, side: int, price: int) -> State:
        """Quantity and order count at a price."""
        level = self._levels[side - 1].get(price)
        if level is None:
            return ABSENT
        stands_for = self._stands_for
        return level.quantity, sum(stands_for.get(one, 1) for one in level.orders)

    def _counts_as(self, order: Resting) -> int:
        return self._stands_for.get(order.order_id, 1)

    def ladder(self, side: int, limit: int | None = None) -> list[tuple[int, int, int]]:
        """(price, quantity, orders), best first."""
        return [
            (price, quantity, self.level(side, price)[1])
            for price, quantity, _ in super().ladder(side, limit)
        ]

    def _rest(self, order: Resting) -> None:
        super()._rest(order)
        if order.owner != CROWD:
            self.own[order.order_id] = order

    def _remove(self, order: Resting) -> None:
        super()._remove(order)
        self.own.pop(order.order_id, None)
        self._stands_for.pop(order.order_id, None)

    def place(
        self,
        order_id: int,
        owner: int,
        side: int,
        limit: int | None,
        quantity: int,
        **rules: Any,
    ) -> Result:
        """As Book.place; remembers what it took from the crowd."""
        shown = self.level(3 - side, self.best(3 - side) or 0)
        result = super().place(order_id, owner, side, limit, quantity, **rules)
        for number, fill in enumerate(result.fills):
            if fill.maker_owner == CROWD:
                self._dent(3 - side, fill.price, fill.quantity, shown[1] if not number else 1)
        return result

    def _dent(self, side: int, price: int, quantity: int, orders: int) -> None:
        before, known, when = self.dents.get((side, price), (0, orders, 0))
        self.dents[side, price] = (before + quantity, known, when)

    # Following

    def commit(self) -> Result:
        """End of one movement: one version, if anything changed."""
        return Result(commit=self._commit())

    def crowd_at(self, side: int, price: int) -> int:
        """Contracts at a price that are not the users'."""
        return sum(one.remaining for one in self.level_orders(side, price) if one.owner == CROWD)

    def own_at(self, side: int, price: int) -> bool:
        """Whether a user waits at this price."""
        return any(one.side == side and one.price == price for one in self.own.values())

    def show(self, side: int, price: int, quantity: int, orders: int, new_id: int) -> int:
        """Make the crowd's part of a level this large; returns how much it lost or (-) gained."""
        if not quantity and (price not in self._levels[side - 1]):
            return 0
        self._touch(side, price)
        level = self._levels[side - 1].get(price)
        parts = [] if level is None else [o for o in level.orders.values() if o.owner == CROWD]
        have = sum(part.remaining for part in parts)
        counts = [self._stands_for.get(part.order_id, 1) for part in parts]
        if quantity > have:
            last = None if level is None else next(reversed(level.orders.values()))
            if last is None or last.owner != CROWD:
                last = Resting(new_id, CROWD, side, price, 0)
                self._rest(last)
                parts.append(last)
                counts.append(0)
            last.remaining += quantity - have
            self._levels[side - 1][price].quantity += quantity - have
            counts[-1] = max(1, counts[-1] + max(0, orders - sum(counts)))
        elif quantity < have and level is not None:
            fewer = sum(counts) - orders
            weights = counts if fewer > 0 else [part.remaining for part in parts]
            lost = shares(have - quantity, weights, [part.remaining for part in parts])
            gone = shares(max(0, fewer), counts, counts)
            for index, part in enumerate(parts):
                self._take(part, lost[index])
                counts[index] -= gone[index]
        for part, count in zip(parts, counts, strict=True):
            if part.order_id in self.orders:
                self._stands_for[part.order_id] = max(1, count)
        if len(parts) == 1 and parts[0].order_id in self.orders:
            self._stands_for[parts[0].order_id] = max(1, orders)
        return have - quantity

    def take_front(self, side: int, price: int, quantity: int) -> list[Fill]:
        """A trade took this much from the front of a level; the users' fills."""
        fills: list[Fill] = []
        if price not in self._levels[side - 1]:
            return fills
        self._touch(side, price)
        for order in self.level_orders(side, price):
            if quantity <= 0:
                break
            part = min(order.remaining, quantity)
            quantity -= part
            if order.owner == CROWD:
                self._take(order, part)
            else:
                fills.append(self.fill(order, part))
        return fills

    def fill(self, order: Resting, quantity: int) -> Fill:
        """A user's order trades outside the matching."""
        self._touch(order.side, order.price)
        self._take(order, quantity)
        return Fill(order.order_id, order.owner, order.price, quantity, order.remaining)

    def _take(self, order: Resting, quantity: int) -> None:
        if quantity:
            order.remaining -= quantity
            self._levels[order.side - 1][order.price].quantity -= quantity
            if not order.remaining:
                self._remove(order)


def shares(amount: int, weights: Sequence[int], caps: Sequence[int]) -> list[int]:
    """Share a whole amount pro rata to the weights, none above its cap; largest remainders first.

    What the caps leave over goes to whoever has room, in order.
    """
    total = sum(weights)
    amount = min(amount, sum(caps))
    if amount <= 0:
        return [0] * len(weights)
    exact = [divmod(amount * weight, total) if total else (0, 0) for weight in weights]
    given = [min(whole, cap) for (whole, _), cap in zip(exact, caps, strict=True)]
    order = sorted(range(len(weights)), key=lambda index: -exact[index][1])
    for index in order:  # one each to the largest remainders
        if sum(given) < amount and given[index] < caps[index]:
            given[index] += 1
    for index in order:
        given[index] += min(caps[index] - given[index], amount - sum(given))
    return given


class Reflection:
    """One contract's book here, kept like the book of the market it mirrors."""

    def __init__(self, venue: Venue, market: Market) -> None:
        self.venue = venue
        self.market = market
        self.version = 0
        """Version of the mirrored book; 0 while there is none."""
        self.gaps = 0
        if not isinstance(market.book, ReflectedBook):
            raise TypeError("a reflected market needs a ReflectedBook")
        self.book = market.book
        self._per_unit = float(1 / market.contract.price_unit)
        self._early: dict[tuple[int, int], int] = {}
        self._priced = False

    def tick(self, price: float | str | Decimal) -> int:
        """The nearest tick; a double holds every price of a real book exactly enough for that."""
        return round(float(price) * self._per_unit)

    # Book

    def load(self, data: Mapping[str, Any]) -> None:
        """A whole book: {"bids": [[price, quantity, orders], …], "asks": …, "version": …}."""
        wanted = {
            side: {self.tick(level[0]): level for level in data[name]}
            for side, name in ((BUY, "bids"), (SELL, "asks"))
        }
        moves = []
        for side, levels in wanted.items():
            gone = [price for price in self.book.prices(side) if price not in levels]
            moves += [(side, price, 0, 0) for price in gone]
        for side, levels in wanted.items():
            moves += [(side, tick, *_state(level)) for tick, level in levels.items()]
        self.version = int(data.get("version") or self.version + 1)
        self._move(moves)

    def depth(self, data: Mapping[str, Any]) -> bool:
        """One increment; False when versions are missing and a new book is needed (10.2)."""
        end = int(data.get("version") or data.get("end") or self.version + 1)
        begin = int(data.get("begin") or end)
        if end <= self.version:
            return True
        if begin > self.version + 1:
            self.gaps += 1
            return False
        self.version = end
        self.apply(data)
        return True

    def apply(self, data: Mapping[str, Any]) -> None:
        """The changes of an increment, whatever its version."""
        moves = [
            (side, self.tick(level[0]), *_state(level))
            for side, name in ((BUY, "bids"), (SELL, "asks"))
            for level in data.get(name) or ()
        ]
        moves.sort(key=lambda move: move[2] > 0)  # what went away first: nothing crosses for long
        self._move(moves)

    def _move(self, moves: Iterable[tuple[int, int, int, int]]) -> None:
        book = self.book
        fills: list[tuple[int, Fill]] = []
        self._early.clear()
        now = self.venue.clock_ms()
        for side, price, quantity, orders in moves:
            book.dents.pop((side, price), None)
            fills += self._show(side, price, quantity, orders, now)
        for key, (took, orders, since) in list(book.dents.items()):
            if not since:
                book.dents[key] = (took, orders, now)
            elif now - since >= RESTORE_MS:
                del book.dents[key]
                fills += self._show(*key, book.crowd_at(*key) + took, orders, now)
        self._tell(fills)

    def _show(
        self, side: int, price: int, quantity: int, orders: int, now: int
    ) -> list[tuple[int, Fill]]:
        """Show a level; first let it fill the users that it crosses."""
        fills = []
        left = quantity
        if self.book.own and quantity:
            for order in self._crossed(side, price):
                part = min(order.remaining, left)
                if part:
                    fills.append((side, self.book.fill(order, part)))
                    left -= part
            if left < quantity:
                self.book.dents[side, price] = (quantity - left, orders, now)
        lost = self.book.show(side, price, left, orders, self.venue.next_crowd_id())
        if lost > 0 and self.book.own and self.book.own_at(side, price):
            self._early[side, price] = self._early.get((side, price), 0) + lost
        return fills

    def _crossed(self, side: int, price: int) -> list[Resting]:
        """Users' orders of the other side that an order of `side` at this price would hit."""
        chosen = [
            one
            for one in self.book.own.values()
            if one.side != side and (one.price <= price if side == BUY else one.price >= price)
        ]
        return sorted(chosen, key=lambda one: one.price if side == BUY else -one.price)

    # Trades and prices

    def deals(self, data: Any) -> None:
        """One push.deal: an object or a list of objects (7.3)."""
        for one in data if isinstance(data, list) else [data]:
            self.trade(self.tick(one["p"]), whole(one["v"]), int(one["T"]))

    def trade(self, price: int, volume: int, taker: int) -> None:
        """A trade of the mirrored market; the users' orders that it reaches are filled."""
        if taker not in (BUY, SELL) or volume <= 0:
            return
        book, maker = self.book, 3 - taker
        fills: list[Fill] = []
        left = volume
        if book.own:
            for order in self._crossed(taker, price):
                if order.price != price and left:
                    part = min(order.remaining, left)
                    fills.append(book.fill(order, part))
                    left -= part
            if left and book.own_at(maker, price):
                early = min(left, self._early.get((maker, price), 0))
                self._early[maker, price] = self._early.get((maker, price), 0) - early
                fills += book.take_front(maker, price, left - early)
        crowd = volume - sum(fill.quantity for fill in fills)
        if crowd:
            fills.append(Fill(0, CROWD, price, crowd, 0))
        result = book.commit()
        result.side, result.fills = taker, fills
        self.venue.crowd_did(self.market, result)

    def prices(self, *, index: Any = None, fair: Any = None) -> None:
        """Index and fair price, where given; until they are, both are the middle of the book."""
        self._priced = self._priced or bool(index or fair)
        if index:
            self.market.index_tick = self.tick(index)
        if fair:
            self.market.fair_tick = self.tick(fair)

    def _tell(self, fills: list[tuple[int, Fill]]) -> None:
        result = self.book.commit()
        if not self._priced:
            self._guess_prices()
        if not fills:
            self.venue.crowd_did(self.market, result)
            return
        for number, (side, fill) in enumerate(fills):  # one taker side a result
            part = result if not number else Result()
            part.side, part.fills = side, [fill]
            self.venue.crowd_did(self.market, part)


    def _guess_prices(self) -> None:
        market, bid, ask = self.market, self.book.best(BUY), self.book.best(SELL)
        if bid is not None and ask is not None:
            market.index_tick = market.fair_tick = (bid + ask) // 2
            if not market.changed_deals:
                market.open_tick = market.last_tick = market.fair_tick
                market.high_tick = market.low_tick = market.fair_tick


def whole(value: Any) -> int:
    """Contracts, however they were written: 5, 5.0 or "5"."""
    return value if type(value) is int else int(Decimal(str(value)))


def _state(level: Sequence[Any]) -> State:
    """(quantity, orders) of a level of two or three elements."""
    quantity = whole(level[1])
    if quantity <= 0:
        return ABSENT
    return quantity, max(1, int(level[2])) if len(level) > 2 else 1
