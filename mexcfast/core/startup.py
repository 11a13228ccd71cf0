"""How far a set of books is on its way to LIVE, and how long the rest will take.

Three budgets bound it: handshakes under way at once, messages a second on each socket, and the
venue's window for snapshots. They run beside each other; snapshots are asked for as soon as their
socket is open, in the user's order, so with more than a few dozen books the snapshots decide.
"""

from __future__ import annotations

from typing import NamedTuple


class Startup(NamedTuple):
    """Books by where they stand. seconds_left: an estimate to all LIVE, 0.0 when they are."""

    total: int
    live: int
    waiting: int            # for a snapshot or commits, under way or queued
    unopened: int           # their socket is not open
    stopped: int            # refused, no longer wanted
    seconds_left: float

    @property
    def is_done(self) -> bool:
        """Every book that can be is LIVE."""
        return self.live + self.stopped == self.total


def snapshots_s(wanted: int, free: int, count: int, window_s: float, answer_s: float) -> float:
    """Seconds until the last of `wanted` snapshots is there.

    free: slots free now, of `count` in any span of window_s. answer_s: what one request takes.
    """
    if count < 1 or window_s <= 0:
        raise ValueError(f"budget of {count} per {window_s} s; allowed: above 0")
    if wanted <= 0:
        return 0.0
    free = max(0, min(free, count))
    windows = -(-(wanted - free) // count) if wanted > free else 0
    return windows * window_s + answer_s


def opening_s(sockets: int, at_once: int, handshake_s: float, topics: int,
              messages_per_second: int) -> float:
    """Seconds until the topics of the last of `sockets` unopened ones have been asked for.

    topics: on the fullest of them.
    """
    if sockets <= 0:
        return 0.0
    rounds = -(-sockets // at_once)
    return rounds * handshake_s + max(0, topics - messages_per_second) / messages_per_second


def seconds_left(snapshots: float, opening: float) -> float:
    """The budgets run beside each other, the slower one decides."""
    return max(snapshots, opening)
