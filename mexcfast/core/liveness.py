"""When silence means trouble: a clock per topic and the health of a socket, as functions of time.

A topic's clock, told of its frames and of time only; pongs and other topics do not reach it:

    state     heard()   time passes the bound   excuse()            restart()
    WAKING    AWAKE     SILENT                  WAKING, longer      WAKING
    AWAKE     AWAKE     SILENT                  AWAKE, longer       AWAKE
    SILENT    AWAKE     -                       as before, longer   as before

    bound = default                                     until eight gaps have been seen
    bound = max(floor, min(ceiling, 3 x the gap that 99 % of this topic's gaps do not exceed))

Each excuse (REST or the venue's yes shows that there was nothing to say) doubles the bound up to
the ceiling; the next frame ends that, and the whole gap has been learnt. Default, floor and ceiling
belong to the channel: RHYTHMS. Gaps are kept as counts by half octaves and halved now and then, so
old habits fade.

A socket is sick, and to be drained, when one of these holds (SocketHealth.sick):
    three pongs in a row came later than allowed
    its frames come later than at best, by more than allowed, for ten seconds
    two books were shown by REST to have moved without it
    at least three topics and half of all that have a clock stay silent
All times are nanoseconds of one monotonic clock unless the name says seconds.
"""

from __future__ import annotations

from math import log2
from typing import NamedTuple

SECOND = 1_000_000_000
FEWEST_GAPS = 8
QUANTILE = 0.99
MARGIN = 3
N_BUCKETS = 64               # half octaves of milliseconds
MOST_GAPS = 256              # then all counts are halved
LATE_PONGS = 3
LATE_FOR_NS = 10 * SECOND
DEAD_TOPICS = 2
SILENT_TOPICS = 3


class Rhythm(NamedTuple):
    """Bounds of silence of a channel, seconds: before anything is known, and the limits after."""

    default: float
    floor: float
    ceiling: float


#: Channels without a row have no rhythm: definitions change when they change.
RHYTHMS: dict[str, Rhythm] = {
    "depth": Rhythm(15, 3, 60),
    "depth.full": Rhythm(15, 3, 60),
    "depth.step": Rhythm(15, 3, 60),
    "tickers": Rhythm(10, 6, 30),                # every 1 to 2 s, whatever happens
    "index.price": Rhythm(30, 6, 300),
    "fair.price": Rhythm(30, 6, 300),
    "ticker": Rhythm(60, 10, 600),               # only while trades occur
    "deal": Rhythm(120, 20, 3600),
    "kline": Rhythm(120, 20, 3600),
    "funding.rate": Rhythm(900, 120, 14400),
}


class SilenceClock:
    """One topic's clock. scale: times all bounds of the rhythm."""

    __slots__ = (
        "_ceiling_ns",
        "_counts",
        "_excuses",
        "_floor_ns",
        "_heard_ns",
        "_learnt_ns",
        "_n",
        "is_silent",
        "since_ns",
    )

    def __init__(self, rhythm: Rhythm, now_ns: int, scale: float = 1.0) -> None:
        self.since_ns = now_ns           # silence is counted from here
        self.is_silent = False
        self._heard_ns: int | None = None
        self._counts = [0] * N_BUCKETS
        self._n = 0
        self._excuses = 0
        self._floor_ns = int(rhythm.floor * scale * SECOND)
        self._ceiling_ns = int(rhythm.ceiling * scale * SECOND)
        self._learnt_ns = int(rhythm.default * scale * SECOND)

    @property
    def bound_ns(self) -> int:
        """Silence longer than this is reported."""
        return min(self._ceiling_ns, self._learnt_ns << min(self._excuses, 30))

    def heard(self, now_ns: int, *, is_rhythm: bool = True) -> bool:
        """A frame came. Returns whether that ended a reported silence.

        is_rhythm: False when the silence before it was a fault, not to be learnt from.
        """
        if self._heard_ns is not None and is_rhythm:
            self._learn(now_ns - self._heard_ns)
        ended, self.is_silent = self.is_silent, False
        self._heard_ns = self.since_ns = now_ns
        self._excuses = 0
        return ended

    def check(self, now_ns: int) -> bool:
        """True once, when the silence has passed the bound."""
        if self.is_silent or now_ns - self.since_ns <= self.bound_ns:
            return False
        self.is_silent = True
        return True

    def excuse(self, now_ns: int) -> None:
        """There was nothing to say: be more patient from now on."""
        self._excuses += 1
        self.restart(now_ns)

    def restart(self, now_ns: int) -> None:
        """Count from now again, with the same bound: something was done about the silence."""
        self.since_ns = now_ns
        self.is_silent = False

    def _learn(self, gap_ns: int) -> None:
        bucket = int(2 * log2(max(1, gap_ns // 1_000_000)))
        self._counts[min(bucket, N_BUCKETS - 1)] += 1
        self._n += 1
        if self._n < FEWEST_GAPS:
            return
        if self._n >= MOST_GAPS:
            self._counts = [count // 2 for count in self._counts]
            self._n = sum(self._counts)
        below = bucket = 0
        while below + self._counts[bucket] < QUANTILE * self._n:
            below += self._counts[bucket]
            bucket += 1
        usual_ns = int(2 ** ((bucket + 1) / 2) * 1_000_000)
        self._learnt_ns = max(self._floor_ns, min(self._ceiling_ns, MARGIN * usual_ns))


class SocketHealth:
    """What is known of one socket. late_pong_ns, lateness_ns: what is still allowed."""

    __slots__ = ("_best_ns", "_late_pong_ns", "_late_pongs", "_late_since_ns", "_lateness_ns",
                 "_over_ns")

    def __init__(self, late_pong_ns: int, lateness_ns: int) -> None:
        self._late_pong_ns = late_pong_ns
        self._lateness_ns = lateness_ns
        self._late_pongs = 0
        self._best_ns: int | None = None
        self._late_since_ns: int | None = None
        self._over_ns = 0

    def pong(self, round_trip_ns: int) -> None:
        """A pong came this long after its ping."""
        self._late_pongs = self._late_pongs + 1 if round_trip_ns > self._late_pong_ns else 0

    def frame(self, now_ns: int, behind_ns: int) -> None:
        """A frame stood this far behind the venue's stamp, by our clock; it may be negative.

        Only growth above the best seen counts, so the clocks need not agree.
        """
        if self._best_ns is None or behind_ns < self._best_ns:
            self._best_ns = behind_ns
        self._over_ns = behind_ns - self._best_ns
        if self._over_ns <= self._lateness_ns:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = now_ns

    def sick(self, now_ns: int, topics: int, silent: int, dead: int) -> str:
        """Why the socket is to be drained; "" when it is not.

        topics: those with a clock. silent: those past their bound and not excused. dead: books
        that moved without it.
        """
        if self._late_pongs >= LATE_PONGS:
            return f"{self._late_pongs} pongs in a row were late"
        if self._late_since_ns is not None and now_ns - self._late_since_ns >= LATE_FOR_NS:
            return f"frames come {self._over_ns / SECOND:.1f} s later than at best"
        if dead >= DEAD_TOPICS:
            return f"{dead} books moved without it"
        if silent >= SILENT_TOPICS and 2 * silent >= topics:
            return f"{silent} of {topics} topics are silent"
        return ""
