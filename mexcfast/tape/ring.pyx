"""The recorder's memory: frames are copied in by the event loop's thread, taken out by another.

A ring of bytes allocated once. One thread writes and moves `head`, one reads and moves `tail`;
neither waits for the other. What does not fit is counted, and said in the ring itself as soon as
there is room again.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from mexcfast.core.tap cimport LOSS, MARK, Tap

cdef extern from *:
    """
    #define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    """
    uint64_t load_acquire(const uint64_t* p) noexcept nogil
    void store_release(uint64_t* p, uint64_t value) noexcept nogil

cdef enum:
    HEAD = 16             # bytes before each record's payload
    LOSS_ROOM = 128       # bytes kept free for a loss record
    RESERVE = 8           # frames leave 1/8 of the ring to everything else

#: bytes before each record's payload: u32 payload size, u8 kind, u24 source, i64 wall clock in ns
RECORD_HEAD = HEAD


cdef inline int64_t wall_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef class Ring(Tap):
    """capacity: bytes, rounded up to a power of two from 64 KiB to 4 GiB; ValueError otherwise."""

    cdef:
        char* block
        uint64_t capacity_, head, tail
        readonly uint64_t records        # written, losses included
        readonly uint64_t bytes_in       # of frames and everything else, without record heads
        readonly uint64_t lost           # records that did not fit
        readonly uint64_t lost_bytes
        readonly uint64_t peak           # most bytes that ever waited
        uint64_t gap, gap_bytes          # lost since the last loss record
        int64_t gap_first_ns, gap_last_ns

    def __cinit__(self, capacity=16 << 20):
        if not 1 << 16 <= capacity <= 1 << 32:
            raise ValueError(f"capacity is {capacity!r}; allowed: {1 << 16} to {1 << 32} bytes")
        self.capacity_ = 1 << (<uint64_t>capacity - 1).bit_length()
        self.block = <char*>malloc(self.capacity_)
        if self.block == NULL:
            raise MemoryError(f"no memory for {self.capacity_} bytes of recording")

    def __init__(self, capacity=16 << 20):
        pass

    def __dealloc__(self):
        free(self.block)

    @property
    def capacity(self):
        """Bytes."""
        return self.capacity_

    @property
    def waiting(self):
        """Bytes not taken out yet."""
        return load_acquire(&self.head) - load_acquire(&self.tail)

    @property
    def has_lost(self):
        """Records were lost and the ring has not said so yet."""
        return self.gap > 0

    cdef int frame(self, uint32_t source, const char* text, Py_ssize_t size,
                   int64_t ts_recv_ns) except -1:
        self._put(1, source, text, size, ts_recv_ns, self.capacity_ // RESERVE)
        return 0

    cpdef note(self, int kind, uint32_t source, object payload, int64_t ts_ns=-1):
        """One record other than a frame. ts_ns -1: now."""
        cdef bytes body
        if isinstance(payload, str):
            body = (<str>payload).encode()
        else:
            body = bytes(payload)
        if ts_ns < 0:
            ts_ns = wall_ns()
        self._put(kind, source, PyBytes_AS_STRING(body), len(body), ts_ns, 0)

    def tell_losses(self):
        """Say what was lost, if there is room; nothing when nothing was."""
        if self.gap:
            self._tell_losses()

    cdef bint _tell_losses(self) noexcept:
        cdef char text[LOSS_ROOM]
        cdef Py_ssize_t size = 0
        cdef int64_t values[4]
        cdef int i
        cdef uint64_t used = self.head - load_acquire(&self.tail)
        if used + LOSS_ROOM > self.capacity_:
            return False
        values[0] = <int64_t>self.gap
        values[1] = <int64_t>self.gap_bytes
        values[2] = self.gap_first_ns
        values[3] = self.gap_last_ns
        for i in range(4):
            size += _decimal(values[i], text + size)
            text[size] = b" "
            size += 1
        self._copy(LOSS, 0, text, size - 1, self.gap_last_ns)
        self.gap = 0
        self.gap_bytes = 0
        return True

    cdef void _put(self, int kind, uint32_t source, const char* text, Py_ssize_t size,
                   int64_t ts_ns, uint64_t spare) noexcept:
        cdef uint64_t used = self.head - load_acquire(&self.tail)
        cdef uint64_t wanted = <uint64_t>size + HEAD + 2 * LOSS_ROOM + spare
        if used + wanted > self.capacity_ or (self.gap and not self._tell_losses()):
            if self.gap == 0:
                self.gap_first_ns = ts_ns
            self.gap += 1
            self.gap_bytes += <uint64_t>size
            self.gap_last_ns = ts_ns
            self.lost += 1
            self.lost_bytes += <uint64_t>size
            return
        self._copy(kind, source, text, size, ts_ns)

    cdef void _copy(self, int kind, uint32_t source, const char* text, Py_ssize_t size,
                    int64_t ts_ns) noexcept nogil:
        cdef uint32_t head[4]
        cdef uint64_t used
        head[0] = <uint32_t>size
        head[1] = <uint32_t>kind | (source << 8)
        memcpy(&head[2], &ts_ns, 8)
        self._bytes(self.head, <const char*>head, HEAD)
        self._bytes(self.head + HEAD, text, <uint64_t>size)
        self.records = self.records + 1
        self.bytes_in = self.bytes_in + <uint64_t>size
        store_release(&self.head, self.head + HEAD + <uint64_t>size)
        used = self.head - load_acquire(&self.tail)
        if used > self.peak:
            self.peak = used

    cdef void _bytes(self, uint64_t at, const char* data, uint64_t size) noexcept nogil:
        cdef uint64_t start = at & (self.capacity_ - 1)
        cdef uint64_t first = min(size, self.capacity_ - start)
        memcpy(self.block + start, data, first)
        if size > first:
            memcpy(self.block, data + first, size - first)

    cdef void _head_at(self, uint64_t at, uint32_t* head) noexcept nogil:
        cdef uint64_t start = at & (self.capacity_ - 1)
        cdef uint64_t first = min(<uint64_t>HEAD, self.capacity_ - start)
        memcpy(head, self.block + start, first)
        if first < HEAD:
            memcpy(<char*>head + first, self.block, HEAD - first)

    def take(self, uint64_t most):
        """(records as bytes, their number, first and last ns, whether a MARK leads); None: empty.

        Whole records of at most `most` bytes together, or one longer record. A MARK that begins
        something is always the first. The lock is released meanwhile. For one thread only.
        """
        cdef uint64_t tail = self.tail
        cdef uint64_t there = load_acquire(&self.head) - tail
        cdef uint64_t size = 0, whole, start, first
        cdef uint32_t head[4]
        cdef uint32_t count = 0
        cdef int64_t first_ns = 0, last_ns = 0
        cdef bint marked = False
        cdef bytes out
        cdef char* to
        with nogil:
            while size < there:
                self._head_at(tail + size, head)
                whole = <uint64_t>head[0] + HEAD
                if count and (size + whole > most or (head[1] & 0xFF) == MARK):
                    break
                memcpy(&last_ns, &head[2], 8)
                if count == 0:
                    first_ns = last_ns
                    marked = (head[1] & 0xFF) == MARK
                count += 1
                size += whole
        if count == 0:
            return None
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        to = PyBytes_AS_STRING(out)
        start = tail & (self.capacity_ - 1)
        first = min(size, self.capacity_ - start)
        with nogil:
            memcpy(to, self.block + start, first)
            if size > first:
                memcpy(to + first, self.block, size - first)
            store_release(&self.tail, tail + size)
        return out, count, first_ns, last_ns, bool(marked)


cdef Py_ssize_t _decimal(int64_t value, char* out) noexcept nogil:
    """Digits of a number from 0; returns how many."""
    cdef char digits[20]
    cdef Py_ssize_t n = 0, i
    cdef uint64_t left = <uint64_t>max(value, 0)
    while True:
        digits[n] = <char>(48 + left % 10)
        n += 1
        left //= 10
        if left == 0:
            break
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return n
