"""Which socket a topic goes to: by what the sockets carry, measured, and by how many topics.

A socket that is open for more (below its topics, frames and bytes) and carries least is taken; of
equals the first. When none is, a new one is opened. Some topics exclude each other: the venue keeps
one form of deal, depth and depth.full of a contract on a connection (protocol.md 7.5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mexcfast.core.topics import Topic

ONE_FORM = ("depth", "deal", "depth.full")
HALF_LIFE_S = 10.0


class Load:
    """Frames and bytes a second, the last ten seconds counting as much as all before."""

    __slots__ = ("_at_ns", "_bytes", "_frames", "bytes_per_s", "frames_per_s")

    def __init__(self) -> None:
        self.frames_per_s = 0.0
        self.bytes_per_s = 0.0
        self._at_ns: int | None = None
        self._frames = 0
        self._bytes = 0

    def measure(self, now_ns: int, frames: int, n_bytes: int) -> None:
        """frames, n_bytes: totals so far."""
        if self._at_ns is not None and now_ns > self._at_ns:
            seconds = (now_ns - self._at_ns) / 1e9
            keep = 0.5 ** (seconds / HALF_LIFE_S)
            self.frames_per_s = (keep * self.frames_per_s
                                 + (1 - keep) * (frames - self._frames) / seconds)
            self.bytes_per_s = (keep * self.bytes_per_s
                                + (1 - keep) * (n_bytes - self._bytes) / seconds)
        self._at_ns, self._frames, self._bytes = now_ns, frames, n_bytes


class Seat(NamedTuple):
    """One socket as the choice sees it."""

    topics: int
    frames_per_s: float
    bytes_per_s: float


class Limits(NamedTuple):
    """From where on a socket takes no more."""

    topics: int
    frames_per_s: float
    bytes_per_s: float

    def use(self, seat: Seat) -> float:
        """The share of the limits that is used up by traffic."""
        return max(seat.frames_per_s / self.frames_per_s, seat.bytes_per_s / self.bytes_per_s)


def choose(seats: Sequence[Seat], limits: Limits) -> int | None:
    """The index of the socket to take; None: open a new one."""
    best: int | None = None
    least = 1.0
    for index, seat in enumerate(seats):
        used = limits.use(seat)
        if seat.topics < limits.topics and used < least:
            best, least = index, used
    return best


CALM = 0.8           # of the limits: below it a socket is not crowded any more


class Crowding:
    """Whether a socket carries more than it may, for longer than a burst lasts.

    It begins at the limits and ends below CALM of them, so that a load about the limits does not
    move topics to and fro.
    """

    __slots__ = ("since_ns",)

    def __init__(self) -> None:
        self.since_ns: int | None = None

    def look(self, now_ns: int, used: float, patience_ns: int) -> bool:
        """True once that has lasted for patience_ns; then it begins anew.

        used: share of the limits.
        """
        if used < CALM:
            self.since_ns = None
        elif used >= 1.0 and self.since_ns is None:
            self.since_ns = now_ns
        if self.since_ns is None or now_ns - self.since_ns < patience_ns:
            return False
        self.since_ns = None
        return True


def relief(topics: Sequence[Topic]) -> list[Topic]:
    """The topics that leave a crowded socket: every second one, none when it has just one."""
    return list(topics[1::2])


def excludes(topic: Topic, others: Iterable[Topic]) -> bool:
    """Whether one of the others may not share a socket with the topic."""
    return topic.channel in ONE_FORM and any(
        other.channel == topic.channel and other.symbol == topic.symbol and other != topic
        for other in others)


#: Texts of refusals that asking again cannot change (protocol.md 6).
FINAL = ("not exist", "doesn't exist", "not support", "invalid param", "api not allowed")


def is_final(refusal: str) -> bool:
    """Whether a refusal says that the topic itself is wrong."""
    text = refusal.lower()
    return any(words in text for words in FINAL)
