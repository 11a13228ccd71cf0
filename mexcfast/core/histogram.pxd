# A histogram of durations with a bounded relative error: counts in ranges that grow with the value.
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    PRECISION_BITS = 7       # 128 cells an octave pair: values within 1/64 = 1.6 %
    HALF = 1 << (PRECISION_BITS - 1)
    TOP_BIT = 42             # values from 2**42 ns (73 minutes) on share the last cell
    CELLS = (TOP_BIT - PRECISION_BITS + 2) * HALF

cdef class Histogram:
    cdef:
        uint64_t cells[CELLS]
        readonly uint64_t count
        readonly int64_t total               # sum of what was recorded
        readonly int64_t negative            # recorded below 0, counted as 0
        int64_t least, most

    # One duration, nanoseconds. Below 0 counts as 0 and is told apart in `negative`.
    cdef void add(self, int64_t value_ns) noexcept nogil
