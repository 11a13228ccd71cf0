"""The real clock, and what is known of the venue's.

One ping proves two things, whatever the network did: the venue's clock had reached its number
before the answer arrived, and had not passed it (plus the millisecond it cut off) when the request
left. So each ping bounds the offset from both sides, and several pings narrow it. Request times
are taken from the lower bound: slightly behind the venue, never ahead of it (protocol.md 3.4).

The offset counts from the monotonic clock, so a step of the local wall clock does not move it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

MS = 1_000_000
#: Crystals drift apart; a bound this old is widened by up to this much (50 parts per million).
DRIFT_NS_PER_S = 50_000


class Clock:
    """wall and monotonic are the operating system's unless a test passes its own."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns,
                 monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.wall_ns = wall_ns
        self.monotonic_ns = monotonic_ns
        # (arrival, lowest, highest): venue minus monotonic, in ns
        self._bounds: deque[tuple[int, int, int]] = deque(maxlen=8)
        self._lowest_ns = 0
        self._highest_ns = 0
        self._is_doubted = False

    def wall_ms(self) -> int:
        """The local wall clock."""
        return self.wall_ns() // MS

    @property
    def is_synced(self) -> bool:
        return bool(self._bounds)

    def learn(self, sent_ns: int, received_ns: int, venue_ms: int) -> None:
        """One ping: monotonic times of sending and receiving, and the venue's answer."""
        if received_ns < sent_ns:
            raise ValueError(f"received {sent_ns - received_ns} ns before it was sent")
        if self._is_doubted:
            self._bounds.clear()
            self._is_doubted = False
        lowest, highest = venue_ms * MS - received_ns, (venue_ms + 1) * MS - sent_ns
        self._bounds.append((received_ns, lowest, highest))
        best_lowest = max(self._aged(low, -1, at, received_ns) for at, low, _ in self._bounds)
        best_highest = min(self._aged(high, 1, at, received_ns) for at, _, high in self._bounds)
        if best_lowest > best_highest:
            # The venue's clock stepped: only the newest ping still speaks of it.
            newest = self._bounds[-1]
            self._bounds.clear()
            self._bounds.append(newest)
            best_lowest, best_highest = lowest, highest
        self._lowest_ns, self._highest_ns = best_lowest, best_highest

    @staticmethod
    def _aged(bound_ns: int, direction: int, at_ns: int, now_ns: int) -> int:
        return bound_ns + direction * (now_ns - at_ns) * DRIFT_NS_PER_S // 1_000_000_000

    def forget(self) -> None:
        """The venue said that our time is wrong: the next ping alone counts.

        Until then the old bounds serve: the local wall clock is no better guess.
        """
        self._is_doubted = True

    def venue_ms(self) -> int:
        """The time to sign with: at or just behind the venue's; before a ping the wall clock."""
        if not self._bounds:
            return self.wall_ms()
        now_ns = self.monotonic_ns()
        return (now_ns + self._aged(self._lowest_ns, -1, self._bounds[-1][0], now_ns)) // MS

    @property
    def offset_ms(self) -> float:
        """Best estimate of venue minus local wall clock; 0 before a ping."""
        if not self._bounds:
            return 0.0
        venue_ns = self.monotonic_ns() + (self._lowest_ns + self._highest_ns) // 2
        return (venue_ns - self.wall_ns()) / MS

    @property
    def error_ms(self) -> float | None:
        """The estimate is at most this far off; None before a ping. It grows with time."""
        if not self._bounds:
            return None
        aged_ns = (self.monotonic_ns() - self._bounds[-1][0]) * DRIFT_NS_PER_S // 1_000_000_000
        return ((self._highest_ns - self._lowest_ns) / 2 + aged_ns) / MS
