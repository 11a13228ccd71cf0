"""Header of net/clock: the clocks of order entry, read without Python."""

from libc.stdint cimport int64_t


cdef class Clock:
    cdef object _wall           # functions of a test; None: the operating system's
    cdef object _monotonic
    # (arrival, lowest, highest): venue minus monotonic, in ns
    cdef object _bounds
    cdef int64_t _newest_ns     # the arrival of the newest
    cdef int64_t _lowest_ns
    cdef int64_t _highest_ns
    cdef bint _is_doubted
    cdef readonly bint is_synced

    cpdef int64_t wall_ns(self) except? -1
    cpdef int64_t monotonic_ns(self) except? -1
    cpdef int64_t wall_ms(self) except? -1
    cpdef int64_t venue_ms(self) except? -1
