"""The part of bench/server.py that is in every figure: frames out, orders in, without sleeping.

In C, so that what is measured is the client: a venue in Python would add its own reading of each
order to every latency, and let a faster client look like a slower one. Compiled on first use by
bench/harness.compiled(); in no wheel.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, strtol
from libc.string cimport memcmp, memmove
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from "<sys/epoll.h>" nogil:
    """
    /* By number: Cython has no epoll_event of its own, and its union is packed. */
    static int readable(int poll, int ready[64]) {
        struct epoll_event events[64];
        int count = epoll_wait(poll, events, 64, 0);
        for (int at = 0; at < count; at++)
            ready[at] = events[at].data.fd;
        return count;
    }
    """
    int readable(int poll, int* ready)

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT, MSG_NOSIGNAL
    ssize_t recv(int fd, void* data, size_t size, int flags)
    ssize_t send(int fd, const void* data, size_t size, int flags)

cdef extern from "<string.h>" nogil:
    void* memmem(const void* text, size_t size, const void* wanted, size_t wanted_size)

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char* one, const char* other, size_t size)

cdef enum:
    MOST = 1024              # file descriptors; a bench has a handful
    ROOM = 16384             # bytes of one request

cdef struct Peer:
    size_t have
    char data[ROOM]


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef Py_ssize_t request_size(const char* data, size_t have) noexcept nogil:
    """Bytes of the request that data begins with; 0: not whole yet."""
    cdef const char* end = <const char*>memmem(data, have, b"\r\n\r\n", 4)
    cdef const char* line = data
    cdef long body = 0
    if end == NULL:
        return 0
    while line < end:
        line = <const char*>memmem(line, end + 2 - line, b"\r\n", 2) + 2
        if strncasecmp(line, b"content-length:", 15) == 0:
            body = strtol(line + 15, NULL, 10)
            break
    cdef Py_ssize_t size = end + 4 - data + body
    return size if size <= <Py_ssize_t>have else 0


cdef class Venue:
    """Answers orders on the connections it was given, by descriptor.

    poll: an epoll descriptor; what becomes readable there and is not ours is told to the caller.
    """

    cdef:
        Peer* peers[MOST]
        int poll
        bytes answer
        readonly long orders
        int64_t arrived

    def __cinit__(self, int poll, bytes answer not None):
        self.poll = poll
        self.answer = answer

    def __dealloc__(self):
        cdef int fd
        for fd in range(MOST):
            free(self.peers[fd])

    def take(self, int fd):
        """Orders come on this connection. False when there are too many descriptors."""
        if not 0 <= fd < MOST:
            return False
        free(self.peers[fd])
        self.peers[fd] = <Peer*>calloc(1, sizeof(Peer))
        if self.peers[fd] == NULL:
            raise MemoryError()
        return True

    def give(self, int fd):
        """The connection is the caller's again; the bytes that were read and not answered."""
        cdef Peer* peer = self.peers[fd] if 0 <= fd < MOST else NULL
        if peer == NULL:
            return b""
        rest = peer.data[:peer.have]
        self.peers[fd] = NULL
        free(peer)
        return rest

    cdef bint read(self, int fd) noexcept:
        """Answer what is there; False: nothing of ours, the caller must look at it."""
        cdef Peer* peer = self.peers[fd] if 0 <= fd < MOST else NULL
        cdef Py_ssize_t size
        if peer == NULL or peer.have == ROOM:
            return False
        cdef const char* answer = self.answer
        cdef ssize_t got = recv(fd, peer.data + peer.have, ROOM - peer.have, MSG_DONTWAIT)
        if got <= 0:
            return False
        peer.have += got
        if peer.have >= 4 and memcmp(peer.data, b"POST", 4) != 0:
            return False
        while True:
            size = request_size(peer.data, peer.have)
            if size == 0:
                return True
            self.arrived = now_ns()
            self.orders += 1
            send(fd, answer, len(self.answer), MSG_NOSIGNAL)
            peer.have -= size
            memmove(peer.data, peer.data + size, peer.have)

    cdef list step(self):
        """Answer the orders that are there. The descriptors that the caller must look at."""
        cdef int[64] ready
        cdef int count = readable(self.poll, ready)
        cdef list others = None
        cdef int at
        for at in range(count):
            if not self.read(ready[at]):
                others = others or []
                others.append(ready[at])
        return others

    def serve(self, double seconds):
        """Answer orders without sleeping; returns early with descriptors for the caller."""
        cdef int64_t late = now_ns() + <int64_t>(seconds * 1e9)
        cdef list others = None
        while others is None and now_ns() < late:
            others = self.step()
        return others or []

    def trade(self, int fd, bytes frame not None, double seconds, look):
        """Send a frame; nanoseconds until an order after it is here whole, None: none came.

        look(descriptors) is called for whatever is not ours meanwhile.
        """
        cdef const char* text = frame
        cdef size_t size = len(frame)
        cdef long seen = self.orders
        cdef int64_t sent = now_ns(), late = sent + <int64_t>(seconds * 1e9)
        cdef list others
        if send(fd, text, size, MSG_NOSIGNAL) != <ssize_t>size:
            raise ConnectionError("the stream takes no more frames")
        while self.orders == seen and now_ns() < late:
            others = self.step()
            if others is not None:
                look(others)
        return self.arrived - sent if self.orders > seen else None


def pace(int fd, list frames not None, double rate, int64_t[::1] stamps):
    """Send each frame at its time, without sleeping; stamps[i]: CLOCK_MONOTONIC ns just before."""
    cdef double step = 1e9 / rate, due = <double>now_ns()
    cdef Py_ssize_t at
    cdef bytes frame
    cdef const char* text
    for at in range(len(frames)):
        frame = frames[at]
        text = frame
        due += step
        while now_ns() < due:
            pass
        stamps[at] = now_ns()
        if send(fd, text, len(frame), MSG_NOSIGNAL) != len(frame):
            raise ConnectionError(f"the stream took {at} of {len(frames)} frames")
