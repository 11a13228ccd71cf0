"""Header of core/http1: requests of the order lane as bytes, and its answers."""

from libc.stdint cimport int64_t

from mexcfast.core.sign cimport Signer

cdef enum:
    HTTP1_ABI = 2  # grows with any change to a class below; compare with mexcfast.core.http1.ABI


cdef class RequestForm:
    cdef readonly Signer signer
    cdef bytes _head            # request line and headers up to the time's digits
    cdef bytes _tail            # from behind the signature to the body's length

    cdef bytes fill(self, int64_t timestamp_ms, const char* body, Py_ssize_t size)


cdef class AnswerReader:
    cdef readonly int status        # 0 until the status line was read
    cdef readonly bint keep_alive   # the connection may be used again
    cdef readonly int64_t keep_alive_s  # what the server says it keeps an idle one; -1: nothing
    cdef readonly bytes body        # None until the answer is whole

    # One answer: its head, its body so far, what is not read yet. Owned here, grows by doubling.
    cdef char* _buffer
    cdef Py_ssize_t _room
    cdef Py_ssize_t _size       # bytes in it
    cdef Py_ssize_t _at         # the next one to read
    cdef Py_ssize_t _seen       # no line ends before this one
    cdef Py_ssize_t _start      # of the body
    cdef Py_ssize_t _end        # of the body so far; chunks are moved together here
    cdef int64_t _left          # bytes of the body, or of this chunk, to come; -1: not said
    cdef int _state
    cdef bint _chunked
    cdef bint _encoded

    cpdef reset(self)
    cdef int take(self, const char* data, Py_ssize_t size) except -1
    cdef int _read(self) noexcept nogil
    cdef int _status_line(self, const char* line, Py_ssize_t size) noexcept nogil
    cdef int _header(self, const char* line, Py_ssize_t size) noexcept nogil
    cdef int _head_ends(self) noexcept nogil
    cdef int _chunk_size(self, const char* line, Py_ssize_t size) noexcept nogil
    cdef int _reserve(self, Py_ssize_t size) except -1
