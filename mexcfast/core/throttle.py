"""The venue's budgets as pure functions of integer time: windows, backoff, lanes.

A window grants at most `count` requests in any span of `window_ns`, the way the venue counts
(protocol.md 4). What reaches the venue is not evenly delayed: a slow request and a quick one arrive
closer together than they left, so the window may be widened by a margin. Nothing here reads a
clock; every method takes the time, in nanoseconds of one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from enum import IntEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Window:
    """At most count grants in any span of window_ns + margin_ns.

    A grant at time t blocks a slot until t + window_ns + margin_ns, that moment excluded.
    """

    __slots__ = ("_blocked_until_ns", "_grants", "count", "margin_ns", "window_ns")

    def __init__(self, count: int, window_ns: int, margin_ns: int = 0) -> None:
        if count < 1 or window_ns < 1 or margin_ns < 0:
            raise ValueError(f"window of {count} per {window_ns} ns + {margin_ns} ns; allowed: "
                             "count and window from 1, margin from 0")
        self.count = count
        self.window_ns = window_ns
        self.margin_ns = margin_ns
        self._grants: deque[int] = deque(maxlen=count)
        self._blocked_until_ns: int | None = None

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until the next free slot; 0 when one is free now."""
        free_ns = now_ns
        if len(self._grants) == self.count:
            free_ns = max(free_ns, self._grants[0] + self.window_ns + self.margin_ns)
        if self._blocked_until_ns is not None:
            free_ns = max(free_ns, self._blocked_until_ns)
        return free_ns - now_ns

    def free(self, now_ns: int) -> int:
        """How many grants could be taken at this moment."""
        if self._blocked_until_ns is not None and now_ns < self._blocked_until_ns:
            return 0
        span = self.window_ns + self.margin_ns
        return self.count - sum(1 for grant in self._grants if now_ns < grant + span)

    def take(self, now_ns: int) -> int:
        """Take one slot: 0 when granted, else the nanoseconds to wait, and nothing is taken."""
        wait = self.wait_ns(now_ns)
        if wait == 0:
            self._grants.append(now_ns)
        return wait

    def block(self, now_ns: int) -> None:
        """The venue said "too frequent": grant nothing for one whole window."""
        until_ns = now_ns + self.window_ns + self.margin_ns
        if self._blocked_until_ns is None or until_ns > self._blocked_until_ns:
            self._blocked_until_ns = until_ns


def backoff_ms(attempt: int, jitter: float = 0.0, *, base_ms: int = 1000,
               cap_ms: int = 30_000) -> int:
    """Pause before the given attempt: 0 for attempt 0, then 1, 2, 4 ... s, capped.

    jitter: a number from 0 to 1 chosen by the caller; it takes away up to half of the pause, so
    that many clients do not come back together.
    """
    if attempt < 0 or not 0.0 <= jitter <= 1.0:
        raise ValueError(f"attempt {attempt}, jitter {jitter}; allowed: from 0; 0 to 1")
    if attempt == 0:
        return 0
    pause_ms = min(cap_ms, base_ms << min(attempt - 1, 40))
    return pause_ms - int(pause_ms * jitter / 2)


class Lane(IntEnum):
    """Who goes first when a budget is short: what lowers risk before what adds to it."""

    CANCEL = 0
    REDUCE = 1
    AMEND = 2
    OPEN = 3


class Lanes(Generic[T]):
    """A queue with four lanes: the lowest lane first, in order of arrival within a lane.

    A key makes an item replaceable: pushing the same key again takes the old item out, wherever it
    waits, so an outdated open never leaves. The new item joins the end of its lane.
    """

    __slots__ = ("_keys", "_lanes", "_serial")

    def __init__(self) -> None:
        # One ordered dict per lane, by serial number: arrival order and removal in O(1).
        self._lanes: dict[Lane, dict[int, tuple[Hashable | None, T]]] = {
            lane: {} for lane in Lane}
        self._keys: dict[Hashable, tuple[Lane, int]] = {}
        self._serial = 0

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self._lanes.values())

    def push(self, lane: Lane, item: T, key: Hashable | None = None) -> T | None:
        """Queue an item; returns the item it replaced, if any."""
        replaced = self.discard(key) if key is not None else None
        self._serial += 1
        self._lanes[lane][self._serial] = (key, item)
        if key is not None:
            self._keys[key] = (lane, self._serial)
        return replaced

    def push_front(self, lane: Lane, item: T, key: Hashable | None = None) -> None:
        """Put back what pop() just gave: it waits before all others of its lane."""
        old = self._lanes[lane]
        first = next(iter(old), self._serial + 1)
        serial = first - 1
        self._lanes[lane] = {serial: (key, item), **old}
        if key is not None:
            self._keys[key] = (lane, serial)

    def discard(self, key: Hashable) -> T | None:
        """Take out the item with this key; None when it does not wait."""
        place = self._keys.pop(key, None)
        if place is None:
            return None
        lane, serial = place
        return self._lanes[lane].pop(serial)[1]

    def pop(self) -> tuple[Lane, T] | None:
        """The next item and its lane; None when nothing waits."""
        for lane, waiting in self._lanes.items():
            if waiting:
                return lane, self._take(lane)
        return None

    def pop_many(self, lane: Lane, limit: int) -> list[T]:
        """Up to limit items of one lane: cancels that leave together."""
        return [self._take(lane) for _ in range(min(limit, len(self._lanes[lane])))]

    def _take(self, lane: Lane) -> T:
        waiting = self._lanes[lane]
        serial = next(iter(waiting))
        key, item = waiting.pop(serial)
        if key is not None:
            del self._keys[key]
        return item
