"""A market of exact actions: what the crowd does, and when, written down.

    market = Script(
        [(0.0, place("BTC_USDT", "a", "buy", "84000", 5)),
         (0.0, place("BTC_USDT", "b", "sell", "84000.1", 5)),
         (1.5, trade("BTC_USDT", "buy", 3)),
         (2.0, cancel("BTC_USDT", "b"))])
    async with Exchange(market=market) as venue: ...

Times are seconds since the start, in rising order. In step mode (updates_per_second=0) nothing
moves by itself and each step() is the next action, whatever its time. A file holds the same as one
JSON object a line: {"t": 1.5, "do": "trade", "symbol": "BTC_USDT", "side": "buy", "vol": 3};
Script.load() reads it. The books start empty, or with filled=True as the seeded crowd lays them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from os import PathLike
from pathlib import Path
from typing import Any

from mexcfast.sim.contracts import Contract
from mexcfast.sim.flow import CROWD
from mexcfast.sim.market import Market
from mexcfast.sim.matching import BUY, SELL, Result
from mexcfast.sim.source import Source
from mexcfast.sim.venue import Venue

SIDES = {"buy": BUY, "sell": SELL, BUY: BUY, SELL: SELL}


@dataclass(frozen=True, slots=True)
class Action:
    """One thing the crowd does. `name` is the action's own name for an order."""

    do: str
    symbol: str
    name: str = ""
    side: int = 0
    price: Decimal | None = None
    vol: int = 0


def place(symbol: str, name: str, side: str | int, price: str | Decimal, vol: int) -> Action:
    """A limit order, which trades if it crosses and rests with what is left."""
    return Action("place", symbol, name, _side(side), _price(price), _vol(vol))


def cancel(symbol: str, name: str) -> Action:
    """Take the order of this name away; nothing happens when it is gone already."""
    return Action("cancel", symbol, name)


def reduce(symbol: str, name: str, vol: int) -> Action:
    """Leave this many contracts of an order, keeping its place in time."""
    return Action("reduce", symbol, name, vol=_vol(vol))


def trade(
    symbol: str, side: str | int, vol: int, price: str | Decimal | None = None
) -> Action:
    """A taker order, at market or up to a price; what is not filled is gone."""
    limit = None if price is None else _price(price)
    return Action("trade", symbol, "", _side(side), limit, _vol(vol))


class Script(Source):
    """Plays a list of (seconds, action)."""

    def __init__(
        self,
        actions: Iterable[tuple[float, Action]],
        *,
        contracts: Iterable[Contract | str] | None = None,
        filled: bool = False,
    ) -> None:
        self.actions = list(actions)
        self.filled = filled
        self.position = 0
        """Actions played."""
        before = 0.0
        for time, action in self.actions:
            if time < before:
                raise ValueError(f"time {time} after {before}: times must rise")
            before = time
            if action.do not in ("place", "cancel", "reduce", "trade"):
                raise ValueError(f"action {action.do!r}: place, cancel, reduce or trade")
        named = [action.symbol for _, action in self.actions]
        self._contracts: list[Contract | str] = list(
            dict.fromkeys(named) if contracts is None else contracts
        )
        self._ids: dict[tuple[str, str], int] = {}
        self._venue: Venue | None = None

    @classmethod
    def load(cls, path: str | PathLike[str], *, filled: bool = False) -> Script:
        """Read a file of JSON lines; ValueError names the line."""
        actions = []
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                actions.append(_read(json.loads(line, parse_float=Decimal)))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: {error!r}") from error
        return cls(actions, filled=filled)

    def contracts(self) -> list[Contract | str]:
        """Those the actions name, unless given."""
        return self._contracts

    def attach(self, venue: Venue) -> None:
        """The venue to move; ValueError for a contract it does not have."""
        for _, action in self.actions:
            if action.symbol not in venue.markets:
                raise ValueError(f"symbol {action.symbol!r} is not traded here")
        self._venue = venue

    async def run(self) -> None:
        """Each action at its time."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while self.position < len(self.actions):
            wait = self.actions[self.position][0] - (loop.time() - start)
            if wait > 0:
                await asyncio.sleep(wait)
            self._next()

    def step(self, symbol: str | None) -> bool:
        """The next action, of a contract or of any (those skipped over are played too)."""
        while self.position < len(self.actions):
            played = self._next()
            if symbol in (None, played.symbol):
                return True
        return False

    def state(self) -> Mapping[str, Any]:
        """How far it is."""
        return {"kind": "script", "played": self.position, "actions": len(self.actions)}

    def _next(self) -> Action:
        action = self.actions[self.position][1]
        self.position += 1
        venue = self._venue
        assert venue is not None
        market = venue.markets[action.symbol]
        result = self._act(venue, market, action)
        if result is not None:
            venue.crowd_did(market, result)
        return action

    def _act(self, venue: Venue, market: Market, action: Action) -> Result | None:
        book = market.book
        limit = None
        if action.price is not None:
            limit = market.contract.tick(action.price)
            if limit is None:
                raise ValueError(f"price {action.price} is between two ticks of {action.symbol}")
        if action.do == "place":
            key = (action.symbol, action.name)
            if self._ids.get(key) in book.orders:
                raise ValueError(f"order {action.name!r} is in the book already")
            self._ids[key] = order_id = venue.next_crowd_id()
            return book.place(order_id, CROWD, action.side, limit, action.vol)
        if action.do == "trade":
            order_id = venue.next_crowd_id()
            return book.place(order_id, CROWD, action.side, limit, action.vol, rest=False)
        found = self._ids.get((action.symbol, action.name), -1)
        if found not in book.orders:
            return None
        if action.do == "cancel":
            return book.cancel(found)
        if action.vol >= book.orders[found].remaining:
            return None
        return book.reduce(found, action.vol)


def _read(line: dict[str, Any]) -> tuple[float, Action]:
    do, symbol, time = line["do"], line["symbol"], float(line["t"])
    if do == "place":
        made = place(symbol, line["id"], line["side"], line["price"], line["vol"])
    elif do == "cancel":
        made = cancel(symbol, line["id"])
    elif do == "reduce":
        made = reduce(symbol, line["id"], line["vol"])
    elif do == "trade":
        made = trade(symbol, line["side"], line["vol"], line.get("price"))
    else:
        raise ValueError(f"do {do!r}: place, cancel, reduce or trade")
    return time, made


def _side(side: str | int) -> int:
    if side not in SIDES:
        raise ValueError(f"side {side!r}: buy or sell")
    return SIDES[side]


def _price(price: str | Decimal | int) -> Decimal:
    try:
        return Decimal(price)
    except InvalidOperation:
        raise ValueError(f"price {price!r} is not a number") from None


def _vol(vol: int) -> int:
    if not isinstance(vol, int) or vol <= 0:
        raise ValueError(f"vol {vol!r}: a whole number above 0")
    return vol
