"""Seeded order flow: the crowd that trades with itself and with the users.

One step is one action on the book, hence at most one version. Everything random comes from one
random.Random per contract; the same seed gives the same history as long as users do nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from mexcfast.sim.matching import BUY, SELL, Book, Result

CROWD = 0
#: The crowd adds no further order to a level that has this many.
MOST_ORDERS = 6


class Flow:
    """The crowd of one contract: keeps about `levels` levels a side around a walking price."""

    def __init__(
        self, book: Book, start_tick: int, levels: int, seed: int, next_id: Callable[[], int]
    ) -> None:
        self.book = book
        self.levels = levels
        self.rng = random.Random(f"{seed}:{book.symbol}:flow")
        self._next_id = next_id
        self._trend = BUY
        self._start = start_tick
        self.size_mean = 5.5  # of the logarithm: about 245 contracts

    def fill_book(self) -> None:
        """Lay the first orders: dense near the top, thinner further away."""
        gap = self.rng.randint(1, 2)
        for side, sign in ((BUY, -1), (SELL, 1)):
            tick = self._start if side == BUY else self._start + gap
            for rank in range(self.levels):
                if tick <= 0:
                    break
                for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
                    self._add(side, tick)
                tick += sign * (1 if rank < 50 or self.rng.random() < 0.7 else self._gap())

    def step(self) -> Result:
        """One action of the crowd; tries again until the book changed."""
        for _ in range(20):
            result = self._act()
            if result is not None and result.commit is not None:
                return result
        return self._add(*self._far_level())

    # Actions

    def _act(self) -> Result | None:
        rng = self.rng
        book = self.book
        bid, ask = book.best(BUY), book.best(SELL)
        if bid is None or ask is None:
            return self._add(*self._far_level())
        draw = rng.random()
        if draw < 0.002:
            self._trend = BUY if rng.random() < 0.5 else SELL
        if ask - bid > 1 and draw < 0.35:
            return self._improve(bid, ask)
        if draw < 0.45:
            return self._resize()
        if draw < 0.65:
            return self._insert()
        if draw < 0.93:
            return self._withdraw()
        if draw < 0.9985:
            return self._trade(rng.randint(1, max(1, int(rng.lognormvariate(5.0, 1.2)))))
        return self._jump()

    def _improve(self, bid: int, ask: int) -> Result:
        side = self._trend if self.rng.random() < 0.6 else 3 - self._trend
        step = 1 if ask - bid <= 3 else self.rng.randint(1, (ask - bid) // 2)
        return self._add(side, bid + step if side == BUY else ask - step)

    def _resize(self) -> Result | None:
        side, price = self._near_level()
        orders = [one for one in self.book.level_orders(side, price) if one.owner == CROWD]
        if orders and (len(orders) >= MOST_ORDERS or self.rng.random() < 0.5):
            order = self.rng.choice(orders)
            if len(orders) >= MOST_ORDERS or (len(orders) > 1 and self.rng.random() < 0.4):
                return self.book.cancel(order.order_id)
            if order.remaining > 1:
                return self.book.reduce(order.order_id, self.rng.randint(1, order.remaining - 1))
        return self._add(side, price)

    def _insert(self) -> Result | None:
        side = self._side()
        prices = self.book.prices(side)
        if len(prices) >= self.levels + 5:
            return self._withdraw()
        if self.rng.random() < 0.2:
            return self._add(*self._far_level(side))
        price = self._hole(side)
        return self._add(side, price) if price > 0 else None

    def _withdraw(self) -> Result | None:
        side = self._side()
        prices = self.book.prices(side)
        if len(prices) > 2 and prices[-1] - prices[0] > 3 * self.levels + 20:
            # The price walked away from old orders: they leave, new ones come near the top.
            return self.book.cancel_level(side, prices[0 if side == BUY else -1], CROWD)
        if len(prices) <= max(2, self.levels - 5):
            return self._insert() if len(prices) < self.levels else None
        if self.rng.random() < 0.15 or len(prices) > self.levels + 20:
            return self.book.cancel_level(side, prices[0 if side == BUY else -1], CROWD)
        side, price = self._near_level(side)
        return self.book.cancel_level(side, price, CROWD)

    def _trade(self, volume: int) -> Result:
        side = self._trend if self.rng.random() < 0.55 else 3 - self._trend
        if len(self.book.prices(3 - side)) < 3:
            return self._add(*self._far_level(3 - side))  # never empty a side
        best = self.book.best(3 - side)
        return self.book.place(self._next_id(), CROWD, side, best, volume, rest=False)

    def _jump(self) -> Result | None:
        """One order eats several levels at once."""
        side = self._trend
        ladder = self.book.ladder(3 - side, self.rng.randint(3, 12))
        ladder = [level for level in ladder if abs(level[0] - ladder[0][0]) <= 40]
        if not 3 <= len(ladder) < len(self.book.prices(3 - side)) // 2:
            return None
        volume = sum(quantity for _, quantity, _ in ladder)
        return self.book.place(
            self._next_id(), CROWD, side, ladder[-1][0], volume, rest=False
        )

    # Choices

    def _side(self) -> int:
        return BUY if self.rng.random() < 0.5 else SELL

    def _gap(self) -> int:
        return 1 + int(self.rng.expovariate(1.2))

    def _near_level(self, side: int | None = None) -> tuple[int, int]:
        """A level drawn near the top most of the time."""
        side = side or self._side()
        prices = self.book.prices(side)
        if self.rng.random() < 0.9:
            rank = int(self.rng.expovariate(1 / 15))
        else:
            rank = int(self.rng.random() * len(prices))
        rank = min(rank, len(prices) - 1)
        return side, prices[-1 - rank] if side == BUY else prices[rank]

    def _hole(self, side: int) -> int:
        """A free price behind a level near the top; wide holes are filled first."""
        prices = self.book.prices(side)
        widest, found = -1, 0
        for _ in range(3):
            rank = min(int(self.rng.expovariate(1 / 15)), len(prices) - 1)
            if side == BUY:
                index = len(prices) - 1 - rank
                behind = prices[index] - prices[index - 1] if index else 2
            else:
                index = rank
                behind = prices[index + 1] - prices[index] if index + 1 < len(prices) else 2
            if behind > widest:
                widest, found = behind, index
        return prices[found] + (-1 if side == BUY else 1) * self._gap()

    def _far_level(self, side: int | None = None) -> tuple[int, int]:
        """The first free price beyond the last level of a side."""
        side = side or self._side()
        prices = self.book.prices(side)
        if prices:
            price = prices[0] - self._gap() if side == BUY else prices[-1] + self._gap()
        else:
            other = self.book.best(3 - side)
            anchor = self._start if other is None else other
            price = anchor - 1 if side == BUY else anchor + 1
        if price <= 0:  # nothing below: strengthen what is there
            return side, prices[0] if prices else 1
        return side, price

    def _add(self, side: int, price: int) -> Result:
        quantity = 1 + int(self.rng.lognormvariate(self.size_mean, 1.1))
        return self.book.place(
            self._next_id(), CROWD, side, price, quantity, post_only=True
        )
