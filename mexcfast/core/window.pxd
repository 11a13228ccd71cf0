"""Header of core/window: one budget's slots, taken without Python."""

from libc.stdint cimport int64_t


cdef class Window:
    cdef readonly int64_t count
    cdef readonly int64_t window_ns
    cdef readonly int64_t margin_ns
    cdef int64_t _blocked_until_ns
    cdef bint _is_blocked

    # The newest grants, at most count, oldest first from _first on, round a ring. Owned here.
    cdef int64_t* _grants
    cdef Py_ssize_t _room
    cdef Py_ssize_t _first
    cdef Py_ssize_t _size

    cpdef int64_t wait_ns(self, int64_t now_ns) except? -1
    cpdef int64_t take(self, int64_t now_ns) except? -1
    cdef int64_t grant(self, Py_ssize_t number) noexcept nogil
    cdef int grow(self) except -1
    cdef int append(self, int64_t grant_ns) except -1
