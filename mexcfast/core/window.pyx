"""One budget's slots: at most so many requests in any span of so long, as the venue counts.

What reaches the venue is not evenly delayed: a slow request and a quick one arrive closer together
than they left, so the window may be widened by a margin. Nothing here reads a clock; every method
takes the time, in nanoseconds of one monotonic clock. Who waits for a slot: core/schedule.
Source: protocol.md 4.
"""

cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport free as c_free
from libc.stdlib cimport realloc

from collections import deque

cdef enum:
    FIRST_ROOM = 8
LONGEST = 1 << 60           # ns, 36 years: sums of two and a time stay far from overflow


@cython.final
@cython.auto_pickle(False)
cdef class Window:
    """At most count grants in any span of window_ns + margin_ns.

    A grant at time t blocks a slot until t + window_ns + margin_ns, that moment excluded.
    """

    def __init__(self, count, window_ns, margin_ns=0):
        if not (1 <= count <= LONGEST and 1 <= window_ns <= LONGEST and 0 <= margin_ns <= LONGEST):
            raise ValueError(f"window of {count} per {window_ns} ns + {margin_ns} ns; allowed: "
                             f"count and window from 1, margin from 0, each to {LONGEST}")
        self.count = count
        self.window_ns = window_ns
        self.margin_ns = margin_ns

    def __dealloc__(self):
        c_free(self._grants)

    cpdef int64_t wait_ns(self, int64_t now_ns) except? -1:
        """Nanoseconds until the next free slot; 0 when one is free now."""
        cdef int64_t free_ns = now_ns
        if self._size == self.count:
            free_ns = max(free_ns, self.grant(0) + self.window_ns + self.margin_ns)
        if self._is_blocked:
            free_ns = max(free_ns, self._blocked_until_ns)
        return free_ns - now_ns

    def forecast_ns(self, int64_t now_ns, ahead):
        """Nanoseconds until a slot is free for one who lets this many go before; 0 for now."""
        span = self.window_ns + self.margin_ns
        opens = deque([now_ns] * (self.count - self._size)
                      + [max(now_ns, self.grant(i) + span) for i in range(self._size)])
        earliest = max(now_ns, self._blocked_until_ns) if self._is_blocked else now_ns
        for _ in range(ahead):
            opens.append(max(earliest, opens.popleft()) + span)
        return max(earliest, opens[0]) - now_ns

    def free(self, int64_t now_ns):
        """How many grants could be taken at this moment."""
        cdef int64_t span = self.window_ns + self.margin_ns, found = self.count
        cdef Py_ssize_t i
        if self._is_blocked and now_ns < self._blocked_until_ns:
            return 0
        for i in range(self._size):
            found -= now_ns < self.grant(i) + span
        return found

    cpdef int64_t take(self, int64_t now_ns) except? -1:
        """Take one slot: 0 when granted, else the nanoseconds to wait, and nothing is taken."""
        cdef int64_t wait
        if self._is_blocked or self._size == self.count:
            wait = self.wait_ns(now_ns)
            if wait > 0:
                return wait
        self.append(now_ns)
        return 0

    def restore(self, int64_t grant_ns):
        """A grant of an earlier run."""
        grants = sorted([grant_ns, *[self.grant(i) for i in range(self._size)]])
        self._first = self._size = 0
        for each in grants[-self.count:]:
            self.append(each)

    def block(self, int64_t now_ns, int64_t for_ns=0):
        """The venue said "too frequent": grant nothing for one whole window, or for_ns if more."""
        cdef int64_t until_ns = now_ns + max(self.window_ns + self.margin_ns, for_ns)
        if not self._is_blocked or until_ns > self._blocked_until_ns:
            self._blocked_until_ns = until_ns
            self._is_blocked = True

    # -- the ring --------------------------------------------------------------------------------

    cdef int64_t grant(self, Py_ssize_t number) noexcept nogil:
        """The number-th oldest of those kept."""
        number += self._first
        return self._grants[number - self._room if number >= self._room else number]

    cdef int grow(self) except -1:
        """Room for more grants; the ring starts at its beginning while it is not full."""
        cdef Py_ssize_t room = min(max(2 * self._room, FIRST_ROOM), self.count)
        cdef int64_t* grants = <int64_t*>realloc(self._grants, room * sizeof(int64_t))
        if grants == NULL:
            raise MemoryError
        self._grants, self._room = grants, room
        return 0

    cdef int append(self, int64_t grant_ns) except -1:
        if self._size == self.count:        # the oldest gives way
            self._grants[self._first] = grant_ns
            self._first = 0 if self._first + 1 == self._room else self._first + 1
            return 0
        if self._size == self._room:
            self.grow()
        self._grants[self._size] = grant_ns
        self._size += 1
        return 0
