"""A second book beside a LIVE one, made from a newer REST answer and the same frames.

Both take the same frames, so they reach the same version at the same frame: no moment has to be
hit, and nothing is compared at different versions. When they then differ in a level, one of the two
is wrong, and the older one has more to have gone wrong in.

    shadow: kept frames ... REST answer at v, frames after v        \\
                                                                     > equal version: compare
    book:   ... older snapshot or repair, all frames since          /
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.events import DepthFull, Event
from mexcfast.core.frame import Message
from mexcfast.core.listener import Listener
from mexcfast.errors import FrameError

ALL = 1 << 30
MEMORY = 256            # versions whose top levels are remembered while depth.full is compared

Level = tuple[Decimal, Decimal]


class Verdict(Enum):
    """What a comparison came to."""

    EQUAL = "equal"
    DIFFERENT = "different"          # at the same version
    BEHIND = "behind"                # REST was at a version that the stream did not bring in time
    UNSURE = "unsure"                # the book was not LIVE, or REST was too old


@dataclass(frozen=True, slots=True)
class Finding:
    """Verdict on one book. version: compared at, -1 when it was not; what: in words."""

    symbol: str
    verdict: Verdict
    version: int
    what: str = ""


def differences(ours: OrderBook, theirs: OrderBook) -> list[tuple[str, Decimal, Decimal, Decimal]]:
    """(side, price, our quantity, their quantity) of every level that is not the same.

    Prices and quantities as exact decimals, 0 where there is no level; order counts do not matter.
    """
    found = []
    for side, mine, other in zip(("bid", "ask"), _sides(ours), _sides(theirs), strict=True):
        if mine != other:
            for price in sorted(mine.keys() | other.keys()):
                one, two = mine.get(price, Decimal(0)), other.get(price, Decimal(0))
                if one != two:
                    found.append((side, price, one, two))
    return found


def _sides(book: OrderBook) -> list[dict[Decimal, Decimal]]:
    return [{Decimal(price).scaleb(-book.price_scale):
             Decimal(quantity).scaleb(-book.quantity_scale) for price, quantity, _ in side}
            for side in book.exact()]


def in_words(found: list[tuple[str, Decimal, Decimal, Decimal]]) -> str:
    """The first of the differences, and how many there are."""
    side, price, ours, theirs = found[0]
    count = "1 level differs" if len(found) == 1 else f"{len(found)} levels differ"
    return f"{count}, first {side} {price:f}: {ours:f} here, {theirs:f} there"


class Shadow(Listener):
    """Compares one book with REST. Subscribe it to the book's depth topic, then load() answers.

    on_frame comes before the book has the frame, on_book after it: then both have the same.
    """

    def __init__(self, book: OrderBook) -> None:
        self.finding: Finding | None = None
        self._main = book
        self._book = OrderBook(book.symbol, strict=book.strict, storage="arrays")
        self._book.expect_snapshot()

    @property
    def is_waiting(self) -> bool:
        """The answer is newer than the book, or the other way round, by frames to come."""
        return self.finding is None and self._book.state is State.LIVE

    def on_frame(self, frame: Message, ts_recv_ns: int) -> None:
        try:
            self._book.apply(frame.tail(ALL), ts_recv_ns)
        except FrameError as fault:
            self._unsure(str(fault))

    def on_book(self, book: OrderBook) -> None:
        self._compare()

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        if new is not State.LIVE:
            self._unsure(f"the book became {State(new).name}")

    def load(self, body: bytes, ts_ns: int) -> bool:
        """Take a depth answer; False when it is older than the frames kept: ask again.

        Raises FrameError when it cannot be read.
        """
        if self._book.load_snapshot(body, ts_ns) is Change.NEED_SNAPSHOT:
            return False
        self._compare()
        return True

    def give_up(self) -> Finding:
        """Time is up."""
        if self.finding is None:
            behind = self._book.version - self._main.version
            if self.is_waiting and behind > 0 and self._main.state is State.LIVE:
                self.finding = Finding(self._main.symbol, Verdict.BEHIND, -1,
                                       f"REST is {behind} versions ahead and nothing came")
            else:
                self._unsure("no version was reached by both")
        assert self.finding is not None
        return self.finding

    def _unsure(self, what: str) -> None:
        if self.finding is None:
            self.finding = Finding(self._main.symbol, Verdict.UNSURE, -1, what)

    def _compare(self) -> None:
        main, other = self._main, self._book
        if (self.finding is not None or other.state is not State.LIVE
                or main.state is not State.LIVE or main.version != other.version):
            return
        found = differences(main, other)
        verdict = Verdict.DIFFERENT if found else Verdict.EQUAL
        self.finding = Finding(main.symbol, verdict, main.version, in_words(found) if found else "")


class TopCheck(Listener):
    """Compares the top of one book with push.depth.full frames of the same version.

    Subscribe it to both topics. A version that the book jumps over cannot be compared: the next
    frame is waited for.
    """

    def __init__(self, book: OrderBook) -> None:
        self.finding: Finding | None = None
        self.missed = 0
        self._main = book
        self._tops: dict[int, tuple[list[tuple[float, float]], ...]] = {}
        self._ahead: tuple[int, tuple[list[tuple[float, float]], ...]] | None = None

    def on_book(self, book: OrderBook) -> None:
        if book is not self._main:
            return
        self._tops[book.version] = _tops(book.bids(20), book.asks(20))
        if len(self._tops) > MEMORY:
            del self._tops[next(iter(self._tops))]
        if self._ahead is not None and book.version >= self._ahead[0]:
            version, theirs = self._ahead
            self._ahead = None
            self._compare(version, theirs)

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        if new is not State.LIVE:
            self._tops.clear()
            self._ahead = None

    def on_event(self, event: Event) -> None:
        if not isinstance(event, DepthFull) or event.symbol != self._main.symbol:
            return
        theirs = _tops(event.bids, event.asks)
        if event.end > self._main.version:
            self._ahead = event.end, theirs
        else:
            self._compare(event.end, theirs)

    def _compare(self, version: int, theirs: tuple[list[tuple[float, float]], ...]) -> None:
        ours = self._tops.get(version)
        if self.finding is not None:
            return
        if ours is None:
            self.missed += 1
            return
        cut = tuple(side[:len(other)] for side, other in zip(ours, theirs, strict=True))
        if cut == theirs:
            self.finding = Finding(self._main.symbol, Verdict.EQUAL, version)
        else:
            self.finding = Finding(self._main.symbol, Verdict.DIFFERENT, version,
                                   "the top levels differ from push.depth.full")


def _tops(bids: list[tuple[float, float, int]], asks: list[tuple[float, float, int]]
          ) -> tuple[list[tuple[float, float]], ...]:
    return ([(price, quantity) for price, quantity, _ in bids],
            [(price, quantity) for price, quantity, _ in asks])
