"""What must be counted while it happens: hooked in by Metrics.start(), gone after Metrics.close().

Frames pass two compiled listeners, one before everybody else's and one after; orders, stream events
and settled doubts call a function each. Without metrics none of it is there.
"""

from __future__ import annotations

from collections.abc import Callable

from mexcfast.core.depth import OrderBook
from mexcfast.core.histogram import Histogram
from mexcfast.core.stream_events import Live, Repairing, StreamEvent
from mexcfast.metrics.sources import Sources
from mexcfast.net.latency import LatencyMeter
from mexcfast.net.resolver import Case
from mexcfast.types import Accepted, Outcome, Rejected, Unknown

MS = 1_000_000


class Taps:
    """The hooks of one client's metrics, and what they have counted."""

    def __init__(self, sources: Sources) -> None:
        self.first = LatencyMeter()         # called before all other listeners
        self.last = LatencyMeter()          # and after them
        self.first.knows_offset = self.last.knows_offset = False
        self.answers: dict[str, Histogram] = {}             # what was asked -> until its outcome
        self.outcomes: dict[tuple[str, str, str], int] = {}     # what, outcome, reason
        self.resolved = Histogram()         # doubts: from sending to proof
        self.recovered = Histogram()        # books: from not LIVE to LIVE again
        self.events: dict[str, int] = {}    # stream events by name
        self.resyncs = 0
        self._sources = sources
        self._live: dict[str, OrderBook] = {}       # books that were LIVE before
        self._renewed: set[str] = set()             # those that wait for a new snapshot
        self._undo: list[Callable[[], object]] = []

    @property
    def is_installed(self) -> bool:
        """Between install() and remove()."""
        return bool(self._undo)

    def install(self) -> None:
        """Hook in; nothing happens when that is so already."""
        if self._undo:
            return
        pool, orders = self._sources.pool, self._sources.orders
        self._live = {symbol: book for symbol, book in pool.books.items() if book.is_live}
        self._undo = [pool.observe(self.first, self.last), pool.watch(self._happened)]
        orders.on_outcome = self._answered
        orders.resolver.on_end.append(self._proven)

    def remove(self) -> None:
        """Take every hook out; the counts stay."""
        undo, self._undo = self._undo, []
        if not undo:
            return
        for each in undo:
            each()
        orders = self._sources.orders
        orders.on_outcome = None
        orders.resolver.on_end.remove(self._proven)

    def learn_offset(self) -> None:
        """Take over what is known of the venue's clock."""
        clock = self._sources.executor.clock
        if clock.is_synced:
            self.first.offset_ns = int(clock.offset_ms * MS)
            self.first.knows_offset = True

    # -- what is hooked in ------------------------------------------------------------------------

    def _happened(self, event: StreamEvent) -> None:
        name = type(event).__name__.lower()
        self.events[name] = self.events.get(name, 0) + 1
        if isinstance(event, Repairing):
            if event.by == "depth" and self._was_live(event.symbol):
                self._renewed.add(event.symbol)
        elif isinstance(event, Live):
            if self._was_live(event.symbol):
                self.recovered.record(event.after_ns)
                self.resyncs += event.symbol in self._renewed
            self._renewed.discard(event.symbol)
            self._live[event.symbol] = self._sources.pool.books[event.symbol]

    def _was_live(self, symbol: str) -> bool:
        book = self._live.get(symbol)
        return book is not None and self._sources.pool.books.get(symbol) is book

    def _answered(self, what: str, began_ns: int | None, outcome: Outcome) -> None:
        name = type(outcome).__name__.lower()
        reason = type(outcome.error).__name__ if isinstance(outcome, Rejected | Unknown) else ""
        key = what, name, reason
        self.outcomes[key] = self.outcomes.get(key, 0) + 1
        if began_ns is not None:
            answers = self.answers.get(what)
            if answers is None:
                answers = self.answers[what] = Histogram()
            answers.record(self._sources.executor.clock.monotonic_ns() - began_ns)

    def _proven(self, case: Case, outcome: Accepted | Rejected) -> None:
        sent_ms = case.unknown.ts_sent_ms
        if sent_ms is not None and case.what != "look":
            self.resolved.record((self._sources.executor.clock.venue_ms() - sent_ms) * MS)
