"""Header of net/launch: a write's straight way, from C."""

from libc.stdint cimport int64_t

from mexcfast.core.http1 cimport RequestForm
from mexcfast.core.schedule cimport Schedule
from mexcfast.net.clock cimport Clock
from mexcfast.net.lane cimport LaneConnection


cdef class Way:
    cdef object route
    cdef object lane                # the route's own place in the queue
    cdef Schedule schedule
    cdef RequestForm form
    cdef bint is_signed
    cdef bint has_ack
    cdef int64_t expiry_ms          # how long the venue takes a request after its signed time


cdef class Flight:
    cdef readonly int64_t began_ns  # monotonic; when it was asked for
    cdef readonly int64_t ts_sent_ms    # the time that was signed
    cdef readonly object symbol     # what it is about
    cdef readonly object client_order_id
    cdef readonly object order_id
    cdef readonly object answered   # future of (status, body) or NetworkError; None: not left yet
    cdef Way way
    cdef LaneConnection connection  # None once another one may have taken the request
    cdef bytes request
    cdef object place
    cdef int64_t doubt              # what the executor remembers
    cdef int64_t resyncs


cdef class Launcher:
    cdef public Clock clock
    cdef public object endpoint
    cdef public object guard
    cdef public object on_answer
    cdef public object on_write
    cdef public object _signer
    cdef public object _lanes
    cdef public dict _doubts
    cdef public int64_t _sent
    cdef public int64_t _resyncs
    cdef public bint _resync_due
    cdef dict _ways

    cdef Way way(self, str name)
    cdef Flight ready(self, str name, object body, object symbol, object client_order_id,
                      object order_id, object lane)
    cdef int undo(self, Flight flight) except -1
    cdef int depart(self, Flight flight) except -1
    cpdef int64_t _doubt(self, object lane, object ts_sent_ms) except -1
    cdef int64_t remember(self, object lane, int64_t ts_sent_ms, int64_t expiry_ms) except -1
    cpdef object landed(self, Flight flight)
