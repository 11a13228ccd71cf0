"""Header of net/lane: the connections of order entry, from C."""

from mexcfast.core.http1 cimport AnswerReader


cdef class IdleConnections


cdef class LaneConnection:
    cdef object _loop
    cdef object _transport
    cdef object _waiter         # Future of (status, body), None unless BUSY
    cdef object _timer          # of the earliest deadline, kept over many requests
    cdef IdleConnections _idle
    cdef object _on_closed
    cdef AnswerReader _reader
    cdef double _timeout_s
    cdef double _deadline_s
    cdef double _now_s          # loop.time() when it was last found quiet
    cdef readonly double idle_since_s   # loop.time()
    cdef readonly double keepalive_s
    cdef readonly int state
    cdef readonly Py_ssize_t requests
    cdef int _fd
    cdef bint _is_tls
    cdef bint _is_queued        # part of the request waits in the transport
    cdef object __weakref__

    cpdef bint is_quiet(self) except -1
    cpdef bint is_old(self, double now_s) except -1
    cpdef object send(self, bytes request)
    cpdef object drop(self)
    cdef object send_quiet(self, bytes request)
    cdef int _rest(self, bint is_news) except -1
    cdef int _lost(self, str why, bint at_once=*) except -1
    cdef int _fail(self, object error, bint at_once=*) except -1
    cdef int _end(self, bint at_once) except -1


cdef class IdleConnections:
    cdef list _idle
    cdef object _on_news
    cdef readonly object waiting
    cdef public bint is_closed

    cdef int rests(self, LaneConnection connection, bint is_news) except -1
    cpdef LaneConnection take(self)
