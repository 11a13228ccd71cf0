"""hftbacktest's reading of an event array, slowly and obviously: a dict of levels a side."""

from __future__ import annotations

from typing import Any

DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28


class EventReplay:
    """Takes events in the order of the file as far as they are valid for one of the two clocks.

    which: EXCH or LOCAL. bids, asks: price -> quantity. trades: (ns, flag of the side, price,
    quantity).
    """

    def __init__(self, events: Any, which: int) -> None:
        self._column = "exch_ts" if which == EXCH else "local_ts"
        self._events = [(int(row["ev"]), int(row[self._column]), float(row["px"]),
                         float(row["qty"])) for row in events if int(row["ev"]) & which]
        self._at = 0
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.trades: list[tuple[int, int, float, float]] = []

    def until(self, ns: int | None = None) -> None:
        """Everything up to and with a time; None: to the end."""
        while self._at < len(self._events):
            ev, at_ns, price, quantity = self._events[self._at]
            if ns is not None and at_ns > ns:
                return
            self._at += 1
            kind, side = ev & 0xFF, ev & (BUY | SELL)
            if kind == TRADE:
                self.trades.append((at_ns, side, price, quantity))
            elif kind == CLEAR:
                assert side == 0
                self.bids.clear()
                self.asks.clear()
            elif kind in (DEPTH, SNAPSHOT):
                levels = self.bids if side == BUY else self.asks
                if quantity:
                    levels[price] = quantity
                else:
                    levels.pop(price, None)
            else:
                raise AssertionError(f"kind {kind}")

    def book(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """(price, quantity) of both sides, best first."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
