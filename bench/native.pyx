"""The compiled candidates: a bare socket loop, an empty picows listener, a listener of ours.

Compiled on first use by bench/harness.native(); in no wheel.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memmove
from posix.time cimport CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, clock_gettime, timespec

from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from mexcfast.core.depth cimport OrderBook
from mexcfast.core.frame cimport Message
from mexcfast.core.listener cimport Listener, check_abi

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT, MSG_NOSIGNAL
    ssize_t recv(int fd, void* data, size_t size, int flags)
    ssize_t send(int fd, const void* data, size_t size, int flags)

check_abi()


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline int64_t cpu_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef ssize_t receive(int fd, uint8_t* data, size_t size, bint spin) noexcept nogil:
    """recv that polls instead of sleeping when spin; 0 at the end, -1 for an error."""
    cdef ssize_t got
    while True:
        got = recv(fd, data, size, MSG_DONTWAIT if spin else 0)
        if got >= 0:
            return got
        if errno != EAGAIN and errno != EINTR:
            return -1


def bare_frames(int fd, int64_t[::1] stamps, bint spin):
    """Receive len(stamps) frames (unmasked, one message each), stamp each when whole.

    fd: a socket after its handshake, blocking. Returns the CPU nanoseconds after the first frame.
    """
    cdef uint8_t[65536] data
    cdef size_t have = 0, at, head, size
    cdef ssize_t got
    cdef Py_ssize_t count = 0, wanted = stamps.shape[0]
    cdef int64_t cpu = 0
    with nogil:
        while count < wanted:
            got = receive(fd, data + have, sizeof(data) - have, spin)
            if got <= 0:
                break
            if cpu == 0:
                cpu = cpu_ns()
            have += got
            at = 0
            while have - at >= 2 and count < wanted:
                size = data[at + 1]
                head = 2
                if size == 126:
                    if have - at < 4:
                        break
                    size = (<size_t>data[at + 2] << 8) | data[at + 3]
                    head = 4
                if have - at < head + size:
                    break
                at += head + size
                stamps[count] = now_ns()
                count += 1
            have -= at
            memmove(data, data + at, have)
        cpu = cpu_ns() - cpu
    if count < wanted:
        raise ConnectionError(f"the stream ended after {count} of {wanted} frames")
    return cpu


def bare_trades(int frames, int orders, bytes request not None, int count, bint spin):
    """For each chunk of frames received send the request; answers are read and dropped.

    Both are blocking sockets. No parsing at all: what the kernel and two calls cost.
    """
    cdef uint8_t[65536] data
    cdef const char* text = request
    cdef size_t size = len(request)
    cdef int done = 0
    cdef ssize_t got = 1
    with nogil:
        while done < count and got > 0:
            got = receive(frames, data, sizeof(data), spin)
            if got > 0:
                if send(orders, text, size, MSG_NOSIGNAL) != <ssize_t>size:
                    break
                done += 1
                while recv(orders, data, sizeof(data), MSG_DONTWAIT) > 0:
                    pass
    return done


def scan_frames(list frames):
    """Parse each frame into one reused message, and nothing more."""
    cdef Message message = Message()
    cdef bytes frame
    for frame in frames:
        if message.parse(frame, len(frame)):
            raise message.error()


cdef class Empty(WSListener):
    """A picows listener that only stamps text frames; done() when it has as many as stamps."""

    cdef:
        int64_t[::1] stamps
        Py_ssize_t count
        object done
        readonly int64_t cpu

    def __init__(self, int64_t[::1] stamps, done):
        self.again(stamps, done)

    def again(self, int64_t[::1] stamps, done):
        """The next run, on the same socket: a fresh one answers its first frames at once."""
        self.stamps = stamps
        self.done = done
        self.count = 0
        self.cpu = 0

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type != WSMsgType.TEXT or self.count >= self.stamps.shape[0]:
            return
        if self.count == 0:
            self.cpu = cpu_ns()
        self.stamps[self.count] = now_ns()
        self.count += 1
        if self.count == self.stamps.shape[0]:
            self.cpu = cpu_ns() - self.cpu
            self.done()


cdef class Meter(Listener):
    """A compiled strategy of ours that only stamps; called with the book updated and live."""

    cdef:
        int64_t[::1] stamps
        Py_ssize_t count
        object done
        readonly int64_t cpu

    def __init__(self, int64_t[::1] stamps, done):
        self.stamps = stamps
        self.done = done
        self.count = 0
        self.cpu = 0

    cpdef on_book(self, OrderBook book):
        if self.count >= self.stamps.shape[0]:
            return
        if self.count == 0:
            self.cpu = cpu_ns()
        self.stamps[self.count] = now_ns()
        self.count += 1
        if self.count == self.stamps.shape[0]:
            self.cpu = cpu_ns() - self.cpu
            self.done()
