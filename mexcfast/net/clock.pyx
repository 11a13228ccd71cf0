"""The real clock, and what is known of the venue's.

One ping proves two things, whatever the network did: the venue's clock had reached its number
before the answer arrived, and had not passed it (plus the millisecond it cut off) when the request
left. So each ping bounds the offset from both sides, and several pings narrow it. Request times
are taken from the lower bound: slightly behind the venue, never ahead of it (protocol.md 3.4).

The offset counts from the monotonic clock, so a step of the local wall clock does not move it.
"""

cimport cython
from libc.stdint cimport int64_t

import time
from collections import deque

from mexcfast.errors import BadAnswer

cdef extern from *:
    """
    #ifdef __linux__
    #include <time.h>
    #define mexcfast_has_clocks 1
    static int64_t mexcfast_now(clockid_t which) {
        struct timespec now;
        clock_gettime(which, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    #define mexcfast_wall() mexcfast_now(CLOCK_REALTIME)
    #define mexcfast_monotonic() mexcfast_now(CLOCK_MONOTONIC)
    #else
    /* Which clock Python takes there is Python's affair: it is asked. */
    #define mexcfast_has_clocks 0
    #define mexcfast_wall() ((int64_t)0)
    #define mexcfast_monotonic() ((int64_t)0)
    #endif
    """
    const bint has_clocks "mexcfast_has_clocks"
    int64_t c_wall "mexcfast_wall"() nogil
    int64_t c_monotonic "mexcfast_monotonic"() nogil

MS = 1_000_000
#: Crystals drift apart; a bound is widened by one part in this many of its age (50 per million).
DRIFT_PARTS = 20_000
LATEST_MS = 4_102_444_800_000       # the year 2100; no nanosecond count overflows before it
cdef enum:
    MS_ = 1_000_000
    DRIFT_PARTS_ = 20_000


@cython.final
@cython.auto_pickle(False)
cdef class Clock:
    """wall_ns and monotonic_ns: the operating system's clocks unless a test passes functions."""

    def __init__(self, wall_ns=None, monotonic_ns=None):
        self._wall = wall_ns if wall_ns is not None or has_clocks else time.time_ns
        self._monotonic = (monotonic_ns if monotonic_ns is not None or has_clocks
                           else time.monotonic_ns)
        self._bounds = deque(maxlen=8)

    cpdef int64_t wall_ns(self) except? -1:
        """The local wall clock, as time.time_ns."""
        return c_wall() if self._wall is None else self._wall()

    cpdef int64_t monotonic_ns(self) except? -1:
        """As time.monotonic_ns."""
        return c_monotonic() if self._monotonic is None else self._monotonic()

    cpdef int64_t wall_ms(self) except? -1:
        """The local wall clock."""
        return self.wall_ns() // MS_

    def learn(self, int64_t sent_ns, int64_t received_ns, venue_ms):
        """One ping: monotonic times of sending and receiving, and the venue's answer.

        Raises ValueError for an answer before its question, BadAnswer for a time that is none.
        """
        if received_ns < sent_ns:
            raise ValueError(f"received {sent_ns - received_ns} ns before it was sent")
        if not 0 <= venue_ms <= LATEST_MS:
            raise BadAnswer(f"the venue's time is {venue_ms}; allowed: 0 to {LATEST_MS}")
        if self._is_doubted:
            self._bounds.clear()
            self._is_doubted = False
        lowest, highest = venue_ms * MS_ - received_ns, (venue_ms + 1) * MS_ - sent_ns
        self._bounds.append((received_ns, lowest, highest))
        best_lowest = max([low - drift_ns(received_ns - at) for at, low, _ in self._bounds])
        best_highest = min([high + drift_ns(received_ns - at) for at, _, high in self._bounds])
        if best_lowest > best_highest:
            # The venue's clock stepped: only the newest ping still speaks of it.
            self._bounds.clear()
            self._bounds.append((received_ns, lowest, highest))
            best_lowest, best_highest = lowest, highest
        self._lowest_ns, self._highest_ns = best_lowest, best_highest
        self._newest_ns = received_ns
        self.is_synced = True

    def forget(self):
        """The venue said that our time is wrong: the next ping alone counts.

        Until then the old bounds serve: the local wall clock is no better guess.
        """
        self._is_doubted = True

    cpdef int64_t venue_ms(self) except? -1:
        """The time to sign with: at or just behind the venue's; before a ping the wall clock."""
        if not self.is_synced:
            return self.wall_ms()
        cdef int64_t now_ns = self.monotonic_ns()
        return (now_ns + self._lowest_ns - drift_ns(now_ns - self._newest_ns)) // MS_

    @property
    def offset_ms(self):
        """Best estimate of venue minus local wall clock; 0 before a ping."""
        if not self.is_synced:
            return 0.0
        venue_ns = self.monotonic_ns() + (self._lowest_ns + self._highest_ns) // 2
        return (venue_ns - self.wall_ns()) / MS

    @property
    def error_ms(self):
        """The estimate is at most this far off; None before a ping. It grows with time."""
        if not self.is_synced:
            return None
        aged_ns = drift_ns(self.monotonic_ns() - self._newest_ns)
        return ((self._highest_ns - self._lowest_ns) / 2 + aged_ns) / MS


cdef inline int64_t drift_ns(int64_t age_ns) noexcept:
    """How far two clocks may have drifted apart since; rounded up, to the safe side."""
    return -(-age_ns // DRIFT_PARTS_)
