"""The native WebSocket listener: frames go from picows's buffer into the Reader as they lie.

The only file that cimports picows. It was built against one version (BUILT_AGAINST) and must not
run with another: net/transport compares and falls back to the Python-level listener.
"""

from libc.stdint cimport int64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from picows.picows cimport WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from mexcfast.core.reader cimport Reader

cdef extern from *:
    """
    #ifndef MEXCFAST_PICOWS
    #define MEXCFAST_PICOWS "unknown"
    #endif
    """
    const char* MEXCFAST_PICOWS

BUILT_AGAINST = MEXCFAST_PICOWS.decode()
MAX_MESSAGE = 64 << 20       # bytes of one message sent in pieces


cdef inline int64_t wall_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef class NativeStream(WSListener):
    """One socket's frames into one Reader.

    owner: told on_open(stream), on_closed(stream, why) and on_fault(error, where).
    """

    cdef:
        readonly Reader reader
        readonly WSTransport transport
        object owner
        bytearray pieces

    def __init__(self, Reader reader not None, owner):
        self.reader = reader
        self.owner = owner
        self.pieces = None

    def send(self, bytes text not None):
        """Queue one text frame; raises ConnectionError when the socket is gone."""
        if self.transport is None or self.transport.is_disconnected:
            raise ConnectionError("the socket is closed")
        self.transport.send(WSMsgType.TEXT, text)

    def close(self):
        """Close at once, without waiting for the peer."""
        if self.transport is not None:
            self.transport.disconnect(False)

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        self.owner.on_open(self)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef int64_t ts_recv_ns = wall_ns()
        cdef const char* text
        if frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY:
            if frame.fin and self.pieces is None:
                self.reader.feed(frame.payload_ptr, frame.payload_size, ts_recv_ns)
                return
            self.pieces = bytearray(frame.payload_ptr[:frame.payload_size])
        elif frame.msg_type == WSMsgType.CONTINUATION:
            if self.pieces is None:
                return
            self.pieces += frame.payload_ptr[:frame.payload_size]
            if len(self.pieces) > MAX_MESSAGE:
                self.pieces = None
                transport.disconnect(False)
                return
            if frame.fin:
                whole, self.pieces = bytes(self.pieces), None
                text = whole
                self.reader.feed(text, len(whole), ts_recv_ns)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    cpdef on_ws_disconnected(self, WSTransport transport):
        self.owner.on_closed(self)
