"""The venue's budgets as pure functions of integer time: windows, backoff, lanes, penalties.

A window grants at most `count` requests in any span of `window_ns`, the way the venue counts
(protocol.md 4). What reaches the venue is not evenly delayed: a slow request and a quick one arrive
closer together than they left, so the window may be widened by a margin. Nothing here reads a
clock; every method takes the time, in nanoseconds of one monotonic clock unless it says ms. Who
waits for a slot, and in which order they leave: core/schedule.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum


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

    def forecast_ns(self, now_ns: int, ahead: int) -> int:
        """Nanoseconds until a slot is free for one who lets this many go before; 0 for now."""
        span = self.window_ns + self.margin_ns
        opens = deque([now_ns] * (self.count - len(self._grants))
                      + [max(now_ns, grant + span) for grant in self._grants])
        earliest = now_ns if self._blocked_until_ns is None else max(now_ns, self._blocked_until_ns)
        for _ in range(ahead):
            opens.append(max(earliest, opens.popleft()) + span)
        return max(earliest, opens[0]) - now_ns

    def free(self, now_ns: int) -> int:
        """How many grants could be taken at this moment."""
        if self._blocked_until_ns is not None and now_ns < self._blocked_until_ns:
            return 0
        span = self.window_ns + self.margin_ns
        return self.count - sum(1 for grant in self._grants if now_ns < grant + span)

    def take(self, now_ns: int) -> int:
        """Take one slot: 0 when granted, else the nanoseconds to wait, and nothing is taken."""
        if self._blocked_until_ns is None and len(self._grants) < self.count:
            self._grants.append(now_ns)
            return 0
        wait = self.wait_ns(now_ns)
        if wait == 0:
            self._grants.append(now_ns)
        return wait

    def restore(self, grant_ns: int) -> None:
        """A grant of an earlier run."""
        grants = sorted((*self._grants, grant_ns))
        self._grants = deque(grants[-self.count:], maxlen=self.count)

    def block(self, now_ns: int, for_ns: int = 0) -> None:
        """The venue said "too frequent": grant nothing for one whole window, or for_ns if more."""
        until_ns = now_ns + max(self.window_ns + self.margin_ns, for_ns)
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


class Penalties:
    """What the venue has closed for us and until when, in wall-clock ms: it outlives a restart.

    what: any name, such as "rate order_place" or "edge POST". A repeat soon after the end of the
    last pause doubles it: who comes back too early was not patient enough.
    """

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed: dict[str, tuple[int, int]] = {}    # what -> (until_ms, pause_ms)

    def note(self, what: str, now_ms: int, base_ms: int, cap_ms: int) -> int:
        """The venue closed it now: returns until when to leave it alone, ms."""
        until_ms, pause_ms = self._closed.get(what, (0, 0))
        if now_ms < until_ms and pause_ms:
            return until_ms         # an answer to what left before the pause began
        repeats = pause_ms > 0 and now_ms <= until_ms + 4 * pause_ms
        pause_ms = min(cap_ms, 2 * pause_ms) if repeats else min(cap_ms, base_ms)
        self._closed[what] = (now_ms + pause_ms, pause_ms)
        return now_ms + pause_ms

    def restore(self, what: str, until_ms: int, now_ms: int) -> None:
        """A pause of an earlier run, as far as it is not over."""
        if until_ms > now_ms:
            self._closed[what] = (until_ms, until_ms - now_ms)

    def open_ms(self, now_ms: int) -> dict[str, int]:
        """What is closed now -> until when."""
        return {what: until for what, (until, _) in self._closed.items() if until > now_ms}
