"""Header of core/schedule: a slot for whoever may go at once, without Python."""

from libc.stdint cimport int64_t

from mexcfast.core.window cimport Window


cdef class Ticket:
    cdef readonly object lane
    cdef readonly object item
    cdef readonly object key
    cdef readonly object since_ns       # when it entered
    cdef readonly object expires_ns     # from this moment on it is too old; None: never
    cdef readonly bint is_waiting


cdef class Schedule:
    cdef readonly Window window
    # Dicts are ordered sets here: arrival order, removal in O(1).
    cdef dict _lanes                    # Lane -> {Ticket: None}
    cdef dict _keys                     # key -> Ticket
    cdef dict _closed_ns                # Lane -> until when
    cdef Py_ssize_t _count              # of those who wait

    cdef int64_t closed(self, object lane, int64_t now_ns) except? -1
    cpdef int64_t wait_ns(self, int64_t now_ns, object lane=*) except? -1
    cpdef int64_t take(self, int64_t now_ns, object lane) except? -1
    cpdef bint leave(self, Ticket ticket) except -1
