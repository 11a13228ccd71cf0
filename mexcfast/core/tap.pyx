"""The seam between readers, books and a recorder: a base class that does nothing."""

from libc.stdint cimport int64_t, uint32_t


cdef class Tap:
    """Told of everything that goes into readers and books. See Kind for what is told."""

    cdef int frame(self, uint32_t source, const char* text, Py_ssize_t size,
                   int64_t ts_recv_ns) except -1:
        return 0

    cpdef note(self, int kind, uint32_t source, object payload, int64_t ts_ns=-1):
        """One thing other than a frame. kind: a Kind; payload: bytes-like or str."""

    def next_book(self):
        """A number for a book that is recorded from now on; 1 and above."""
        self.books += 1
        return self.books
