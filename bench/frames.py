"""A deterministic depth stream to measure on: made here, the same for everybody.

A random walk of a BTC-like contract, tick 0.1, whole lots, about 1,000 levels a side. Frames merge
1 to 3 versions and carry 1 to 20 levels, 8.5 on average, about 285 bytes, in the venue's key order
without spaces (protocol.md 7.4). Most changes are near the top, as on a real book.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SYMBOL = "BTC_USDT"
FIRST_VERSION = 4_895_965_271
FIRST_MS = 1_790_870_000_000
MID = 1_042_314               # ticks of 0.1
MAX_LEVELS = 20


@dataclass
class Stream:
    """What a measurement needs: the snapshot to start from, frames, and the books they lead to."""

    snapshot: bytes
    frames: list[bytes]
    bids: dict[int, int] = field(default_factory=dict)     # ticks -> contracts, at the end
    asks: dict[int, int] = field(default_factory=dict)
    version: int = 0

    @property
    def bytes_per_frame(self) -> float:
        return sum(map(len, self.frames)) / len(self.frames)


def price_text(ticks: int) -> str:
    """1042314 -> 104231.4, 1042310 -> 104231, as the venue prints."""
    whole, tenth = divmod(ticks, 10)
    return f"{whole}.{tenth}" if tenth else str(whole)


class _Market:
    """The book behind the stream, by side (0 bids, 1 asks), and the changes of one frame."""

    def __init__(self, levels: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.levels = levels
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.mid = MID
        for distance in range(levels + levels // 10):
            gap = distance if distance < 60 else 60 + int((distance - 60) * 1.6)
            self.sides[0][self.mid - gap] = self.quantity()
            self.sides[1][self.mid + 1 + gap] = self.quantity()

    def quantity(self) -> int:
        return 1 + min(59_999, int(self.random.lognormvariate(6.0, 1.6)))

    def set(self, side: int, ticks: int, quantity: int, changes: list[dict[int, int]]) -> None:
        if quantity:
            self.sides[side][ticks] = quantity
        else:
            self.sides[side].pop(ticks, None)
        changes[side][ticks] = quantity

    def walk(self, changes: list[dict[int, int]]) -> None:
        """The mid moves by 1 to 3 ticks: one side is eaten, the other fills in behind."""
        step = self.random.choice((1, 1, 2, 3))
        up = self.random.random() < 0.5
        for _ in range(step):
            if up:
                self.mid += 1
                self.set(1, self.mid, 0, changes)
                self.set(0, self.mid, self.quantity(), changes)
            else:
                self.set(0, self.mid, 0, changes)
                self.set(1, self.mid, self.quantity(), changes)
                self.mid -= 1

    def touch(self, changes: list[dict[int, int]]) -> None:
        """One level is changed, added or removed."""
        side = self.random.randrange(2)
        near = self.random.random() < 0.86
        distance = int(self.random.expovariate(1 / 14)) if near else self.random.randrange(
            int(self.levels * 1.6))
        ticks = self.mid - distance if side == 0 else self.mid + 1 + distance
        there = ticks in self.sides[side]
        crowded = len(self.sides[side]) > self.levels
        if distance and there and self.random.random() < (0.5 if crowded else 0.25):
            self.set(side, ticks, 0, changes)
        elif there or not crowded or near:
            self.set(side, ticks, self.quantity(), changes)

    def frame_changes(self) -> list[dict[int, int]]:
        changes: list[dict[int, int]] = [{}, {}]
        if self.random.random() < 0.25:
            self.walk(changes)
        wanted = min(MAX_LEVELS, 1 + int(self.random.expovariate(1 / 8.5)))
        for _ in range(3 * MAX_LEVELS):
            if len(changes[0]) + len(changes[1]) >= wanted:
                break
            self.touch(changes)
        return changes


def _side_text(side: dict[int, int], orders: random.Random, best_first: bool) -> str:
    rows = (f"[{price_text(ticks)},{quantity},{orders.randint(1, 9) if quantity else 0}]"
            for ticks, quantity in sorted(side.items(), reverse=best_first))
    return "[" + ",".join(rows) + "]"


def make_stream(count: int = 25_000, levels: int = 1_000, seed: int = 7) -> Stream:
    """count frames over a book of about `levels` a side; the same arguments give the same bytes."""
    market = _Market(levels, seed)
    numbers = random.Random(seed + 1)
    version, ts_ms = FIRST_VERSION, FIRST_MS
    asks = _side_text(market.sides[1], numbers, False)
    bids = _side_text(market.sides[0], numbers, True)
    snapshot = (f'{{"success":true,"code":0,"data":{{"asks":{asks},"bids":{bids},'
                f'"version":{version},"timestamp":{ts_ms}}}}}').encode()
    stream = Stream(snapshot, [])
    for _ in range(count):
        changes = market.frame_changes()
        begin = version + 1
        version = begin + numbers.choice((0, 0, 0, 1, 2))
        ts_ms += numbers.randrange(1, 40)
        stream.frames.append(
            (f'{{"channel":"push.depth","data":{{"asks":{_side_text(changes[1], numbers, False)},'
             f'"bids":{_side_text(changes[0], numbers, True)},"end":{version},"begin":{begin},'
             f'"version":{version}}},"symbol":"{SYMBOL}","ts":{ts_ms}}}').encode())
    stream.bids, stream.asks = market.sides
    stream.version = version
    return stream


if __name__ == "__main__":
    made = make_stream()
    print(f"{len(made.frames):,} frames, {made.bytes_per_frame:.0f} bytes each, "
          f"{len(made.bids)} bids and {len(made.asks)} asks at the end")
