"""One connection of order entry: one request in flight, its answer read strictly.

    OPENING -> IDLE <-> BUSY -> CLOSED

Before the first byte may have left, a request fails with NotSent and may take another connection;
from then on it ends with its answer or with a NetworkError, which is a doubt. Nothing is ever sent
twice. Whatever is unusual closes the connection: bytes nobody asked for, an answer core/http1 does
not know, an end in the middle, a deadline.

On a plain socket the request is handed to the kernel at once, not at the end of the loop's turn:
it leaves earlier, and when the kernel refuses it we know that not one byte was taken. What the
kernel does not take at once the transport sends. Over TLS, and on Windows, the transport writes,
and any write counts as left.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

import socket
from collections import deque

from mexcfast.errors import BadAnswer, ConnectionLost, RequestTimeout

cdef extern from *:
    """
    #ifdef _WIN32
    /* There no connection is given to the kernel directly: the transport writes, as over TLS. */
    #define mexcfast_is_direct 0
    #define mexcfast_send_flags 0
    #define mexcfast_peek_flags 0
    #define mexcfast_send(fd, data, size, flags) ((void)(data), (void)(size), (Py_ssize_t)-1)
    #define mexcfast_recv(fd, data, size, flags) ((void)(data), (Py_ssize_t)-1)
    #else
    #include <sys/socket.h>
    #define mexcfast_is_direct 1
    #ifdef MSG_NOSIGNAL
    #define mexcfast_send_flags (MSG_DONTWAIT | MSG_NOSIGNAL)
    #else
    #define mexcfast_send_flags MSG_DONTWAIT
    #endif
    #define mexcfast_peek_flags (MSG_PEEK | MSG_DONTWAIT)
    #define mexcfast_send send
    #define mexcfast_recv recv
    #endif
    """
    Py_ssize_t c_send "mexcfast_send"(int fd, const void* data, size_t size, int flags) nogil
    Py_ssize_t c_recv "mexcfast_recv"(int fd, void* data, size_t size, int flags) nogil
    const bint is_direct "mexcfast_is_direct"
    int mexcfast_send_flags
    int mexcfast_peek_flags

cdef extern from "errno.h" nogil:
    int errno
    int EAGAIN
    int EWOULDBLOCK
    int EINTR
    int ENOBUFS

cdef enum State:
    OPENING_ = 0
    IDLE_ = 1
    BUSY_ = 2
    CLOSED_ = 3

IDLE, BUSY, CLOSED = IDLE_, BUSY_, CLOSED_


class NotSent(Exception):
    """Not one byte of the request has left."""


@cython.final
@cython.auto_pickle(False)
cdef class LaneConnection:
    """An asyncio protocol; net/lanes opens and keeps them.

    timeout_s: from sending to the whole answer. keepalive_s: idle longer than this it is not used;
    the server's own Keep-Alive shortens it. idle: where it goes whenever it may take a request.
    on_closed: called once, when it may not any more.
    """

    def __init__(self, loop, double timeout_s, double keepalive_s, bint is_tls,
                 IdleConnections idle not None, on_closed):
        self._loop = loop
        self._timeout_s = timeout_s
        self.keepalive_s = keepalive_s
        self._is_tls = is_tls
        self._idle = idle
        self._on_closed = on_closed
        self._reader = AnswerReader()
        self._fd = -1
        self.state = OPENING_

    # -- what the transport calls ----------------------------------------------------------------

    def connection_made(self, transport):
        """A protocol's hook; over TLS after the handshake."""
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if is_direct:
                self._fd = sock.fileno()
        self._rest(True)

    def data_received(self, bytes data not None):
        """A protocol's hook."""
        cdef object waiter
        cdef bint is_shorter = False
        if self.state == CLOSED_:
            return
        if self.state != BUSY_:
            self.drop()         # nobody asked
            return
        try:
            if not self._reader.take(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)):
                return
        except BadAnswer as error:
            self._fail(error)
            return
        if self._is_queued and self._transport.get_write_buffer_size() > 0:
            self._fail(BadAnswer("an answer before the end of the request", self._reader.status))
            return
        waiter = self._waiter
        self._waiter = None
        if not waiter.done():
            waiter.set_result((self._reader.status, self._reader.body))
        if not self._reader.keep_alive:
            self._end(False)
            return
        if self._reader.keep_alive_s >= 0:
            # A second earlier than it: the last one may be on its way when it closes.
            is_shorter = self._reader.keep_alive_s - 1.0 < self.keepalive_s
            self.keepalive_s = min(self.keepalive_s, max(0.0, self._reader.keep_alive_s - 1.0))
        self._rest(is_shorter)

    def eof_received(self):
        """A protocol's hook: half a connection is none."""
        self._lost("the server closed the connection")

    def connection_lost(self, exc):
        """A protocol's hook."""
        self._lost(type(exc).__name__ if exc is not None else "closed")

    def pause_writing(self):
        """A protocol's hook; one request fits any buffer."""

    def resume_writing(self):
        """A protocol's hook."""

    # -- what its owner calls --------------------------------------------------------------------

    cpdef bint is_quiet(self) except -1:
        """Whether a request may be sent: idle, not too long, and nothing came meanwhile.

        Asks the kernel too: an end that came in since the loop last looked is seen. What is found
        ended is dropped.
        """
        cdef char byte = 0
        cdef Py_ssize_t size
        if self.state != IDLE_:
            return False
        self._now_s = self._loop.time()
        if self._transport.is_closing() or self.is_old(self._now_s):
            self.drop()
            return False
        if self._fd < 0:
            return True
        size = c_recv(self._fd, &byte, 1, mexcfast_peek_flags)
        if size < 0 and (errno == EAGAIN or errno == EWOULDBLOCK or errno == EINTR):
            return True
        if size <= 0 or not self._is_tls:
            self.drop()
        return False            # over TLS a session ticket may be waiting for the loop

    cpdef bint is_old(self, double now_s) except -1:
        """Whether it has been idle for too long to be trusted."""
        return self.state == IDLE_ and now_s - self.idle_since_s >= self.keepalive_s

    cpdef object send(self, bytes request):
        """Send a whole request; the future of (status, body).

        The future raises a NetworkError when the outcome is in doubt; when it is cancelled the
        owner must drop() the connection. Raises NotSent when nothing has left.
        """
        if request is None:
            raise TypeError("request is None; allowed: bytes")
        if self.state != IDLE_ or self._transport.is_closing():
            raise NotSent("the connection is not idle")
        self._now_s = self._loop.time()
        return self.send_quiet(request)

    cdef object send_quiet(self, bytes request):
        """send() on a connection that was found quiet in this very turn of the loop."""
        cdef const char* data = PyBytes_AS_STRING(request)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(request)
        cdef Py_ssize_t sent = 0
        if not self._is_tls and self._fd >= 0:
            sent = c_send(self._fd, data, size, mexcfast_send_flags)
            if sent < 0:
                if not (errno == EAGAIN or errno == EWOULDBLOCK or errno == EINTR
                        or errno == ENOBUFS):
                    self.drop()
                    raise NotSent("the connection has ended")
                sent = 0
        self.state = BUSY_
        self.requests += 1
        self._reader.reset()
        self._waiter = self._loop.create_future()
        self._is_queued = sent < size
        if self._is_queued:
            self._transport.write(request[sent:] if sent else request)
        self._deadline_s = self._now_s + self._timeout_s
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline_s, self._expire)
        return self._waiter

    cpdef object drop(self):
        """Close at once, without waiting for the peer; a request in flight is in doubt."""
        self._lost("the connection was dropped", True)

    # -- inside ----------------------------------------------------------------------------------

    def _expire(self):
        """The deadline of this request or, far more often, of one that is long done."""
        self._timer = None
        if self.state != BUSY_:
            return
        if self._loop.time() < self._deadline_s:
            self._timer = self._loop.call_at(self._deadline_s, self._expire)
        else:
            self._fail(RequestTimeout(f"no answer within {self._timeout_s:g} s"))

    cdef int _rest(self, bint is_news) except -1:
        self.state = IDLE_
        self.idle_since_s = self._loop.time()
        return self._idle.rests(self, is_news)

    cdef int _lost(self, str why, bint at_once=False) except -1:
        if self.state == BUSY_:
            self._fail(ConnectionLost(why), at_once)
        else:
            self._end(at_once)
        return 0

    cdef int _fail(self, object error, bint at_once=True) except -1:
        cdef object waiter = self._waiter
        self._waiter = None
        self._end(at_once)
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        return 0

    cdef int _end(self, bint at_once) except -1:
        if self.state == CLOSED_:
            return 0
        self.state = CLOSED_
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            if at_once:
                self._transport.abort()
            else:
                self._transport.close()
        self._transport = None
        self._fd = -1
        on_closed = self._on_closed
        self._on_closed = None
        on_closed(self)
        return 0


@cython.final
@cython.auto_pickle(False)
cdef class IdleConnections:
    """Connections that could take a request; the one used last is taken first, it is warmest.

    on_news: called with a connection in place of keeping it when there is something to decide: it
    is new, its server keeps it shorter than was known, somebody is waiting, or is_closed.
    waiting: those who wait, their owner's.
    """

    def __init__(self, on_news=None):
        self._idle = []
        self._on_news = on_news
        self.waiting = deque()
        self.is_closed = False

    cdef int rests(self, LaneConnection connection, bint is_news) except -1:
        """It may take a request from now on."""
        if self._on_news is not None and (is_news or self.is_closed or self.waiting):
            self._on_news(connection)
        else:
            self._idle.append(connection)
        return 0

    def __len__(self):
        return len(self._idle)

    def __iter__(self):
        return iter(list(self._idle))

    def add(self, LaneConnection connection not None):
        """It may take a request from now on."""
        self._idle.append(connection)

    def discard(self, LaneConnection connection not None):
        """It may not any more, if it could."""
        if connection in self._idle:
            self._idle.remove(connection)

    cpdef LaneConnection take(self):
        """One that is quiet, at once; None without any."""
        cdef list noisy = None
        cdef LaneConnection connection, found = None
        while self._idle:
            connection = self._idle.pop()
            if connection.is_quiet():
                found = connection
                break
            if connection.state == IDLE_:
                if noisy is None:
                    noisy = []
                noisy.append(connection)
        if noisy is not None:
            self._idle += noisy
        return found
