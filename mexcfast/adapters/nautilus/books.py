"""One contract's book as OrderBookDeltas, OrderBookDepth10 and QuoteTicks.

Nothing is told while our book is not LIVE; when it is again, all of it is told at once: CLEAR and
an ADD for each level, flagged F_SNAPSHOT, the last one F_LAST. sequence is the venue's version.
Only levels that were told are ever deleted: nautilus_trader keeps the book of what it was told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nautilus_trader.model.data import (
    NULL_ORDER,
    BookOrder,
    OrderBookDelta,
    OrderBookDeltas,
    OrderBookDepth10,
    QuoteTick,
)
from nautilus_trader.model.enums import BookAction, OrderSide, RecordFlag
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import FIXED_PRECISION, Price, Quantity

import mexcfast as mx
from mexcfast.adapters.nautilus.names import NS_PER_MS
from mexcfast.types import Depth

DEPTH10 = 10
KEPT = 20_000                       # prices and quantities kept ready made
SNAPSHOT = int(RecordFlag.F_SNAPSHOT)
LAST = int(RecordFlag.F_LAST)


class Numbers:
    """Prices and quantities of one contract, made once each.

    A number with more decimals than the instrument keeps them all.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.price_precision: int = instrument.price_precision
        self.size_precision: int = instrument.size_precision
        self._prices: dict[float, Price] = {}
        self._sizes: dict[float, Quantity] = {}

    def widen(self, price_scale: int, quantity_scale: int) -> None:
        """The book has met numbers of so many decimals."""
        if price_scale > self.price_precision:
            self.price_precision = min(price_scale, FIXED_PRECISION)
            self._prices.clear()
        if quantity_scale > self.size_precision:
            self.size_precision = min(quantity_scale, FIXED_PRECISION)
            self._sizes.clear()

    def price(self, value: float) -> Price:
        found = self._prices.get(value)
        if found is None:
            if len(self._prices) >= KEPT:
                self._prices.clear()
            found = self._prices[value] = Price(value, self.price_precision)
        return found

    def size(self, value: float) -> Quantity:
        found = self._sizes.get(value)
        if found is None:
            if len(self._sizes) >= KEPT:
                self._sizes.clear()
            found = self._sizes[value] = Quantity(value, self.size_precision)
        return found


class BookFeed(mx.BookChanges):
    """Listens to one contract's book and hands on what is wanted.

    emit: takes each object. now_ns: the node's clock. wants: any of "deltas", "depth", "quotes".
    deltas, snapshots, quotes: how many of each were handed on.
    """

    def __init__(self, instrument: Instrument, emit: Callable[[Any], None],
                 now_ns: Callable[[], int]) -> None:
        super().__init__()
        self.instrument_id = instrument.id
        self.wants: set[str] = set()
        self.numbers = Numbers(instrument)
        self.deltas = self.snapshots = self.quotes = 0
        self._emit = emit
        self._now_ns = now_ns
        self._told: dict[OrderSide, set[float]] = {OrderSide.BUY: set(), OrderSide.SELL: set()}
        self._top: tuple[Any, ...] | None = None
        self._ten: tuple[Any, ...] | None = None

    def want(self, what: str, book: mx.OrderBook | None) -> None:
        """Hand this on from now; what the book is now, at once."""
        self.wants.add(what)
        if what == "deltas":
            self.forget()
        elif what == "depth":
            self._ten = None
        else:
            self._top = None
        if book is not None and book.is_live and not book.is_crossed_now:
            self.on_book(book)

    # -- from the stream --------------------------------------------------------------------------

    def on_frame(self, frame: Any, ts_recv_ns: int) -> None:
        """Kept for on_changes, when deltas are wanted."""
        if "deltas" in self.wants:
            super().on_frame(frame, ts_recv_ns)

    def on_book_state(self, book: mx.OrderBook, old: mx.State, new: mx.State) -> None:
        """Whatever comes next is told whole."""
        super().on_book_state(book, old, new)
        self._top = self._ten = None

    def on_book(self, book: mx.OrderBook) -> None:
        """A LIVE book has moved on."""
        self.numbers.widen(book.price_scale, book.quantity_scale)
        if "deltas" in self.wants:
            super().on_book(book)
        if "depth" in self.wants:
            self._depth10(book)
        if "quotes" in self.wants:
            self._quote(book)

    def _event_ns(self, book: mx.OrderBook) -> int:
        ts_ms = book.ts_venue_ms
        return ts_ms * NS_PER_MS if ts_ms >= 0 else max(0, book.ts_recv_ns)

    # -- deltas -----------------------------------------------------------------------------------

    def on_whole(self, book: mx.OrderBook) -> None:
        """All of it."""
        sides = {OrderSide.BUY: book.bids(), OrderSide.SELL: book.asks()}
        self._told = {side: {level[0] for level in levels} for side, levels in sides.items()}
        self._emit(snapshot(self.instrument_id, self.numbers, sides, book.version,
                            self._event_ns(book), self._now_ns()))
        self.snapshots += 1

    def on_changes(self, book: mx.OrderBook, frames: list[mx.events.Depth]) -> None:
        """These frames as one batch; deletions of a frame first, so that no side reaches over."""
        name, price, size = self.instrument_id, self.numbers.price, self.numbers.size
        ts_init = self._now_ns()
        rows: list[tuple[Any, BookOrder, int, int]] = []
        for frame in frames:
            ts_ms = frame.ts_venue_ms
            ts_event = self._event_ns(book) if ts_ms is None else ts_ms * NS_PER_MS
            sides = ((OrderSide.BUY, frame.bids), (OrderSide.SELL, frame.asks))
            for gone in (True, False):
                for side, levels in sides:
                    told = self._told[side]
                    last = {level[0]: level[1] for level in levels}
                    for value, contracts in last.items():
                        if (contracts == 0) is not gone:
                            continue
                        known = value in told
                        if gone:
                            if not known:
                                continue
                            told.discard(value)
                            action = BookAction.DELETE
                        else:
                            told.add(value)
                            action = BookAction.UPDATE if known else BookAction.ADD
                        rows.append((action, BookOrder(side, price(value), size(contracts), 0),
                                     frame.end, ts_event))
        if not rows:
            return
        final = len(rows) - 1
        self._emit(OrderBookDeltas(name, [
            OrderBookDelta(name, action, order, LAST if i == final else 0, sequence, ts_event,
                           ts_init)
            for i, (action, order, sequence, ts_event) in enumerate(rows)]))
        self.deltas += 1

    # -- the top ----------------------------------------------------------------------------------

    def _depth10(self, book: mx.OrderBook) -> None:
        bids, asks = book.bids(DEPTH10), book.asks(DEPTH10)
        ten = (tuple(bids), tuple(asks))
        if ten == self._ten:
            return
        self._ten = ten
        self._emit(depth10(self.instrument_id, self.numbers, bids, asks, book.version,
                           self._event_ns(book), self._now_ns()))

    def _quote(self, book: mx.OrderBook) -> None:
        top = (book.best_bid, book.best_bid_quantity, book.best_ask, book.best_ask_quantity)
        if top == self._top or None in top:
            return
        self._top = top
        bid, bid_size, ask, ask_size = top
        assert bid is not None and bid_size is not None
        assert ask is not None and ask_size is not None
        price, size = self.numbers.price, self.numbers.size
        self._emit(QuoteTick(self.instrument_id, price(bid), price(ask), size(bid_size),
                             size(ask_size), self._event_ns(book), self._now_ns()))
        self.quotes += 1


def snapshot(instrument_id: Any, numbers: Numbers, sides: dict[OrderSide, Any], version: int,
             ts_event: int, ts_init: int) -> OrderBookDeltas:
    """CLEAR and every level; sides: (price, contracts, ...) best first."""
    rows = [(side, level[0], level[1]) for side, levels in sides.items() for level in levels]
    deltas = [OrderBookDelta(instrument_id, BookAction.CLEAR, None,
                             SNAPSHOT if rows else SNAPSHOT | LAST, version, ts_event, ts_init)]
    final = len(rows) - 1
    deltas += [OrderBookDelta(instrument_id, BookAction.ADD,
                              BookOrder(side, numbers.price(value), numbers.size(contracts), 0),
                              SNAPSHOT | LAST if i == final else SNAPSHOT, version, ts_event,
                              ts_init)
               for i, (side, value, contracts) in enumerate(rows)]
    return OrderBookDeltas(instrument_id, deltas)


def rest_snapshot(instrument: Instrument, depth: Depth, ts_init: int) -> OrderBookDeltas:
    """The book as REST has given it."""
    sides = {side: [(float(level[0]), float(level[1])) for level in levels]
             for side, levels in ((OrderSide.BUY, depth.bids), (OrderSide.SELL, depth.asks))}
    ts_event = ts_init if depth.ts_venue_ms is None else depth.ts_venue_ms * NS_PER_MS
    return snapshot(instrument.id, Numbers(instrument), sides, depth.version, ts_event, ts_init)


def depth10(instrument_id: Any, numbers: Numbers, bids: list[Any], asks: list[Any], version: int,
            ts_event: int, ts_init: int) -> OrderBookDepth10:
    """The ten best levels a side; where there are fewer, empty ones."""
    made: list[list[Any]] = []
    for side, levels in ((OrderSide.BUY, bids), (OrderSide.SELL, asks)):
        short = DEPTH10 - len(levels)
        made.append([BookOrder(side, numbers.price(value), numbers.size(contracts), 0)
                     for value, contracts, _ in levels] + [NULL_ORDER] * short)
        made.append([count for _, _, count in levels] + [0] * short)
    return OrderBookDepth10(instrument_id, made[0], made[2], made[1], made[3], SNAPSHOT, version,
                            ts_event, ts_init)
