"""What holds requests back besides a budget's window: pauses, lanes, penalties.

Pure functions of integer time; nothing here reads a clock. The window: core/window. Who waits for a
slot of it, and in which order they leave: core/schedule.
"""

from __future__ import annotations

from enum import IntEnum


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
