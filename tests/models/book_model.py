"""A slow, obvious book: two dicts, sorted when asked, and protocol.md 10.2 written once more."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

Level = tuple[Decimal, Decimal, int]     # price, quantity, orders (-1: not said)
INIT, SYNCING, LIVE, REPAIRING, STOPPED = "INIT", "SYNCING", "LIVE", "REPAIRING", "STOPPED"


@dataclass
class Frame:
    """One push.depth: versions begin..end; has_range when begin came on the wire."""

    begin: int
    end: int
    asks: list[Level]
    bids: list[Level]
    has_range: bool = False


@dataclass
class BookModel:
    """What core/depth.OrderBook has to be."""

    strict: bool = True
    state: str = INIT
    version: int = -1
    bids: dict[Decimal, tuple[Decimal, int]] = field(default_factory=dict)
    asks: dict[Decimal, tuple[Decimal, int]] = field(default_factory=dict)
    waiting: list[Frame] = field(default_factory=list)
    has_seen_range: bool = False
    was_crossed: bool = False

    # -- the algorithm ----------------------------------------------------------------------------

    def put(self, asks: list[Level], bids: list[Level]) -> None:
        for side, levels in ((self.asks, asks), (self.bids, bids)):
            for price, quantity, orders in levels:
                if quantity == 0:
                    side.pop(price, None)
                else:
                    side[price] = (quantity, orders)

    def may_skip(self) -> bool:
        return not self.strict and not self.has_seen_range

    def follows(self, frame: Frame, version: int) -> bool:
        return frame.begin <= version + 1 or self.may_skip()

    def apply(self, frame: Frame) -> str:
        if self.state == STOPPED:
            return "STALE"
        self.has_seen_range = self.has_seen_range or frame.has_range
        if self.state == INIT:
            self.state = SYNCING
            self.waiting.append(frame)
            return "NEED_SNAPSHOT"
        if self.state == SYNCING:
            self.waiting.append(frame)
            return "BUFFERED"
        if frame.end <= self.version:
            return "STALE"
        if self.follows(frame, self.version):
            self.put(frame.asks, frame.bids)
            self.version = frame.end
            return self.after_change() if self.state == LIVE else self.drain(from_repair=True)
        self.waiting.append(frame)
        if self.state == REPAIRING:
            return "BUFFERED"
        self.state = REPAIRING
        return "NEED_REPAIR"

    def drain(self, from_repair: bool) -> str:
        taken = 0
        for frame in self.in_order():
            if frame.end > self.version:
                if not self.follows(frame, self.version):
                    break
                self.put(frame.asks, frame.bids)
                self.version = frame.end
            taken += 1
        self.waiting = self.in_order()[taken:]
        if self.waiting:
            self.state = REPAIRING
            return "NEED_REPAIR" if taken or not from_repair else "BUFFERED"
        self.state = LIVE
        return self.after_change()

    def after_change(self) -> str:
        if not self.is_crossed():
            self.was_crossed = False
        elif not self.was_crossed:
            self.was_crossed = True
        else:
            self.waiting = []
            self.state = SYNCING
            return "NEED_SNAPSHOT"
        return "APPLIED"

    def in_order(self) -> list[Frame]:
        return sorted(self.waiting, key=lambda frame: (frame.end, frame.begin))

    def reaches_waiting(self, version: int) -> bool:
        later = [frame for frame in self.in_order() if frame.end > version]
        return not later or self.follows(later[0], version)

    def load_snapshot(self, version: int, asks: list[Level], bids: list[Level]) -> str:
        if self.state == STOPPED or (self.state == LIVE and version <= self.version):
            return "STALE"
        if version < self.version or not self.reaches_waiting(version):
            return "NEED_SNAPSHOT"
        self.asks, self.bids = {}, {}
        self.put(asks, bids)
        self.version = version
        self.was_crossed = False
        return self.drain(from_repair=False)

    def load_commits(self, commits: list[tuple[int, list[Level], list[Level]]]) -> str:
        if self.state != REPAIRING:
            return "STALE"
        wanted = sorted((c for c in commits if c[0] > self.version), key=lambda c: c[0])
        versions = sorted({c[0] for c in wanted})
        whole = versions == list(range(self.version + 1, self.version + 1 + len(versions)))
        if not versions or not whole or not self.reaches_waiting(versions[-1]):
            self.state = SYNCING
            return "NEED_SNAPSHOT"
        for version, asks, bids in wanted:
            self.put(asks, bids)
            self.version = version
        return self.drain(from_repair=True)

    def reset(self) -> None:
        self.__init__(strict=self.strict)  # type: ignore[misc]

    def suspend(self) -> None:
        self.waiting = []
        if self.state != STOPPED:
            self.state = SYNCING

    def stop(self) -> None:
        self.waiting = []
        self.state = STOPPED

    # -- reading ----------------------------------------------------------------------------------

    def levels(self, side: str) -> list[Level]:
        """Best first."""
        levels = self.bids if side == "bids" else self.asks
        return [(price, *levels[price]) for price in sorted(levels, reverse=side == "bids")]

    def is_crossed(self) -> bool:
        return bool(self.bids and self.asks and max(self.bids) >= min(self.asks))

    def missing(self) -> tuple[int, int] | None:
        if self.state != REPAIRING or not self.waiting:
            return None
        return self.version + 1, self.in_order()[0].begin - 1

    def average_price(self, side: str, volume: Decimal) -> float | None:
        left, cost = Fraction(volume), Fraction(0)
        for price, quantity, _ in self.levels("asks" if side == "buy" else "bids"):
            take = min(left, Fraction(quantity))
            cost += take * Fraction(price)
            left -= take
        return float(cost / Fraction(volume)) if left == 0 else None

    def volume_to(self, side: str, limit: Decimal) -> float:
        if side == "buy":
            return float(sum((Fraction(q) for p, (q, _) in self.asks.items() if p <= limit),
                             Fraction(0)))
        return float(sum((Fraction(q) for p, (q, _) in self.bids.items() if p >= limit),
                         Fraction(0)))
