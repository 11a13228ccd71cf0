# Typed event objects handed to Python, built only when a hook wants one; each owns a copy of its
# frame.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from mexcfast.core.frame cimport Field, Level, Message, Row

cdef class Record:
    cdef:
        Event owner          # None for an event itself
        uint32_t row         # which object of `data`

    cdef Event _event(self)

cdef class Event(Record):
    cdef:
        readonly str channel           # "" when the frame names none
        readonly str symbol            # contract, None when the frame names none
        readonly int64_t ts_recv_ns    # our wall clock at receipt, 0 when not given
        readonly bytes raw             # the frame's text, inflated
        uint8_t tag
        bint has_rows
        uint8_t data_kind
        int64_t ts_ms, begin_version, end_version
        Field* fields                  # point into raw
        Field* top
        Level* levels                  # asks, then bids
        Row* rows
        Py_ssize_t data_at, data_size
        uint32_t n_fields, n_top, n_asks, n_bids, n_rows

    cdef int _take(self, Message m, int64_t ts_recv_ns) except -1
    cdef dict _row(self, uint32_t row)

cdef Event event_from(Message m, int64_t ts_recv_ns)
