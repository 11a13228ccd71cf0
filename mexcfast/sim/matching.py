"""A price-time book of one contract, with a version and a history of commits (protocol.md 10.1).

Prices are integer ticks, quantities integer contracts. One action (place, cancel, reduce) is one
version, whatever number of levels it changed; an action that changes no level makes no version.
Each commit keeps the levels before and after, so that an older book can be had by undoing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import NamedTuple

BUY = 1
SELL = 2

#: Level state: total quantity and number of orders.
State = tuple[int, int]
ABSENT: State = (0, 0)


class Resting:
    """One order waiting in the book. Owner 0 is the crowd."""

    __slots__ = ("order_id", "owner", "price", "remaining", "side")

    def __init__(self, order_id: int, owner: int, side: int, price: int, remaining: int) -> None:
        self.order_id = order_id
        self.owner = owner
        self.side = side
        self.price = price
        self.remaining = remaining


class Level:
    """Orders at one price, first come first; dicts keep the order of arrival."""

    __slots__ = ("orders", "quantity")

    def __init__(self) -> None:
        self.orders: dict[int, Resting] = {}
        self.quantity = 0


class Fill(NamedTuple):
    """A trade at the maker's price."""

    maker_id: int
    maker_owner: int
    price: int
    quantity: int
    maker_remaining: int


class Change(NamedTuple):
    """A level before and after one action; (0, 0) is a missing level."""

    side: int
    price: int
    before: State
    after: State


class Commit(NamedTuple):
    """One version of the book."""

    version: int
    changes: list[Change]


@dataclass(slots=True)
class Result:
    """What one action did."""

    side: int = 0
    """Side of the order placed, 0 for cancels."""
    fills: list[Fill] = field(default_factory=list)
    remaining: int = 0
    """Not filled. It rests when `rests` is true, otherwise it is gone."""
    rests: bool = False
    cancelled: list[Resting] = field(default_factory=list)
    """Makers taken away by self-trade prevention."""
    refused: str = ""
    """'post_only', 'fok', 'ioc', 'market' or 'stp' when a remainder is gone."""
    commit: Commit | None = None


class Book:
    """The resting orders of one contract."""

    def __init__(self, symbol: str, first_version: int = 0, keep: int = 5000) -> None:
        self.symbol = symbol
        self.version = first_version
        self.commits: deque[Commit] = deque(maxlen=keep)
        self.orders: dict[int, Resting] = {}
        self._levels: tuple[dict[int, Level], dict[int, Level]] = ({}, {})
        self._prices: tuple[list[int], list[int]] = ([], [])  # both ascending
        self._dirty: dict[tuple[int, int], State] = {}

    # Reading

    def prices(self, side: int) -> list[int]:
        """Ascending prices of a side; the caller must not change the list."""
        return self._prices[side - 1]

    def best(self, side: int) -> int | None:
        """Best price of a side, None when it is empty."""
        prices = self._prices[side - 1]
        if not prices:
            return None
        return prices[-1] if side == BUY else prices[0]

    def level(self, side: int, price: int) -> State:
        """Quantity and order count at a price."""
        level = self._levels[side - 1].get(price)
        return ABSENT if level is None else (level.quantity, len(level.orders))

    def level_orders(self, side: int, price: int) -> list[Resting]:
        """Orders at a price, oldest first."""
        level = self._levels[side - 1].get(price)
        return [] if level is None else list(level.orders.values())

    def ahead(self, order_id: int) -> State:
        """Quantity and orders that are served before a resting order at its own price; KeyError
        when it is not in the book."""
        order = self.orders[order_id]
        level = self.level_orders(order.side, order.price)
        before = list(takewhile(lambda one: one is not order, level))
        return sum(one.remaining for one in before), sum(map(self._counts_as, before))

    def _counts_as(self, order: Resting) -> int:
        """Orders that one resting order stands for; more than one in a reflected book."""
        return 1

    def ladder(self, side: int, limit: int | None = None) -> list[tuple[int, int, int]]:
        """(price, quantity, orders), best first."""
        prices = self._prices[side - 1]
        best_first = reversed(prices) if side == BUY else iter(prices)
        levels = self._levels[side - 1]
        return [
            (price, levels[price].quantity, len(levels[price].orders))
            for price in islice(best_first, limit)
        ]

    def since(self, version: int) -> list[Commit]:
        """Commits after a version, oldest first; shorter when the history does not reach."""
        wanted = self.version - version
        newest = list(islice(reversed(self.commits), max(wanted, 0)))
        newest.reverse()
        return newest

    def at(self, version: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """(bids, asks) at an older version, best first. ValueError outside the history."""
        oldest = self.version - len(self.commits)
        if not oldest <= version <= self.version:
            raise ValueError(
                f"{self.symbol} keeps versions {oldest} to {self.version}, asked {version}"
            )
        sides: tuple[dict[int, State], dict[int, State]] = (
            {price: (quantity, n) for price, quantity, n in self.ladder(BUY)},
            {price: (quantity, n) for price, quantity, n in self.ladder(SELL)},
        )
        for commit in reversed(self.since(version)):
            for change in commit.changes:
                if change.before == ABSENT:
                    sides[change.side - 1].pop(change.price, None)
                else:
                    sides[change.side - 1][change.price] = change.before
        bids = [(price, *sides[0][price]) for price in sorted(sides[0], reverse=True)]
        asks = [(price, *sides[1][price]) for price in sorted(sides[1])]
        return bids, asks

    def fillable(self, side: int, limit: int | None, quantity: int) -> list[tuple[int, int]]:
        """(price, quantity) that an order of this side would take, up to `quantity`."""
        taken = []
        for price, available, _ in self._opposite_levels(side, limit):
            if quantity <= 0:
                break
            part = min(available, quantity)
            taken.append((price, part))
            quantity -= part
        return taken

    def _opposite_levels(self, side: int, limit: int | None) -> Iterator[tuple[int, int, int]]:
        opposite = SELL if side == BUY else BUY
        prices = self._prices[opposite - 1]
        levels = self._levels[opposite - 1]
        for price in iter(prices) if side == BUY else reversed(prices):
            if limit is not None and (price > limit if side == BUY else price < limit):
                return
            yield price, levels[price].quantity, len(levels[price].orders)

    # Actions: each is one version at most

    def place(
        self,
        order_id: int,
        owner: int,
        side: int,
        limit: int | None,
        quantity: int,
        *,
        rest: bool = True,
        post_only: bool = False,
        all_or_nothing: bool = False,
        stp: int = 0,
        avoid: frozenset[int] = frozenset(),
    ) -> Result:
        """Match an order against the other side, then rest the remainder when asked.

        limit None takes any price. stp: protocol.md 11.6, applied to makers of the same owner and
        of the owners in `avoid`.
        """
        if quantity <= 0 or order_id in self.orders or side not in (BUY, SELL):
            raise ValueError(f"order {order_id}: quantity {quantity}, side {side}")
        result = Result(side=side, remaining=quantity)
        if post_only and limit is not None and self._crosses(side, limit):
            result.refused = "post_only"
            return result
        if all_or_nothing:
            taken = sum(part for _, part in self.fillable(side, limit, quantity))
            if taken < quantity:
                result.refused = "fok"
                return result
        self._match(result, owner, side, limit, stp, avoid)
        if result.remaining and not result.refused:
            if rest and limit is not None:
                self._rest(Resting(order_id, owner, side, limit, result.remaining))
                result.rests = True
            else:
                result.refused = "market" if limit is None else "ioc"
        result.commit = self._commit()
        return result

    def cancel(self, order_id: int) -> Result:
        """Take an order away; KeyError when it is not in the book."""
        order = self.orders[order_id]
        self._remove(order)
        return Result(remaining=order.remaining, cancelled=[order], commit=self._commit())

    def reduce(self, order_id: int, quantity: int) -> Result:
        """Lower an order's remaining quantity, keeping its place in time."""
        order = self.orders[order_id]
        if not 0 < quantity < order.remaining:
            raise ValueError(f"order {order_id}: {order.remaining} cannot be reduced to {quantity}")
        self._touch(order.side, order.price)
        self._levels[order.side - 1][order.price].quantity -= order.remaining - quantity
        order.remaining = quantity
        return Result(remaining=quantity, rests=True, commit=self._commit())

    def cancel_level(self, side: int, price: int, owner: int) -> Result:
        """Take away every order of an owner at one price, as one version."""
        result = Result()
        for order in self.level_orders(side, price):
            if order.owner == owner:
                self._remove(order)
                result.cancelled.append(order)
        result.commit = self._commit()
        return result

    # Inside one action

    def _crosses(self, side: int, limit: int) -> bool:
        best = self.best(SELL if side == BUY else BUY)
        return best is not None and (best <= limit if side == BUY else best >= limit)

    def _match(
        self,
        result: Result,
        owner: int,
        side: int,
        limit: int | None,
        stp: int,
        avoid: frozenset[int],
    ) -> None:
        opposite = SELL if side == BUY else BUY
        while result.remaining:
            price = self.best(opposite)
            if price is None:
                return
            if limit is not None and (price > limit if side == BUY else price < limit):
                return
            level = self._levels[opposite - 1][price]
            self._touch(opposite, price)
            maker = next(iter(level.orders.values()))
            if stp and owner and (maker.owner == owner or maker.owner in avoid):
                if stp in (1, 2):
                    self._remove(maker)
                    result.cancelled.append(maker)
                if stp in (1, 3):
                    result.refused = "stp"
                    return
                continue
            quantity = min(maker.remaining, result.remaining)
            maker.remaining -= quantity
            level.quantity -= quantity
            result.remaining -= quantity
            result.fills.append(
                Fill(maker.order_id, maker.owner, price, quantity, maker.remaining)
            )
            if not maker.remaining:
                self._remove(maker)

    def _rest(self, order: Resting) -> None:
        self._touch(order.side, order.price)
        levels = self._levels[order.side - 1]
        level = levels.get(order.price)
        if level is None:
            level = levels[order.price] = Level()
            insort(self._prices[order.side - 1], order.price)
        level.orders[order.order_id] = order
        level.quantity += order.remaining
        self.orders[order.order_id] = order

    def _remove(self, order: Resting) -> None:
        self._touch(order.side, order.price)
        level = self._levels[order.side - 1][order.price]
        del level.orders[order.order_id]
        del self.orders[order.order_id]
        level.quantity -= order.remaining
        if not level.orders:
            del self._levels[order.side - 1][order.price]
            prices = self._prices[order.side - 1]
            del prices[bisect_left(prices, order.price)]

    def _touch(self, side: int, price: int) -> None:
        """Remember a level as it was before this action."""
        if (side, price) not in self._dirty:
            self._dirty[side, price] = self.level(side, price)

    def _commit(self) -> Commit | None:
        changes = []
        for (side, price), before in self._dirty.items():
            after = self.level(side, price)
            if after != before:
                changes.append(Change(side, price, before, after))
        self._dirty.clear()
        if not changes:
            return None
        self.version += 1
        commit = Commit(self.version, changes)
        self.commits.append(commit)
        return commit
