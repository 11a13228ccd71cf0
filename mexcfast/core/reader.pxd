# Bytes in, hooks out: one Reader per socket or tape, with its own Message. No I/O, no clock.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from mexcfast.core.arbiter cimport Arbiter
from mexcfast.core.depth cimport Change, OrderBook, State
from mexcfast.core.events cimport Event
from mexcfast.core.frame cimport Message
from mexcfast.core.tap cimport Tap

cdef class Route:
    cdef:
        readonly str symbol            # "" for channels without one
        bytes name                     # symbol in UTF-8
        OrderBook _book                # None when nobody wants one; set it as `book`
        Reader reader                  # whose route this is
        # Lists of listeners are replaced, never changed: a hook may alter them while one is read.
        dict events                    # tag -> list of listeners with on_event
        dict frame_listeners           # tag -> list of listeners with on_frame
        list depth_frame_listeners     # the same for depth, None when there are none
        dict heard                     # tag -> list of everybody who listens, for the tape
        readonly dict last_recv_ns     # tag -> wall clock of the last frame, for silence clocks
        readonly int64_t depth_recv_ns  # the same for depth, without an object
        dict arbiters                  # tag -> (Arbiter, our path) of channels that come on
        #                                several sockets; None when there are none
        Arbiter depth_arbiter          # the same for depth
        int depth_path

cdef class Reader:
    cdef:
        Message message                # None while a frame is on its way
        readonly dict routes           # symbol -> Route
        list slots                     # open addressing by name: Route or None
        uint32_t mask
        Route everything               # the route of ""
        public object control          # net/connection: on_control, on_need, on_trusted, on_fault
        public object on_state         # None, or called (book, old, new) before the listeners are
        readonly Tap tap               # told of everything that goes in; None: nobody records
        readonly uint32_t tap_source   # this reader's number on the tape
        readonly int64_t frames        # frames fed
        readonly int64_t bytes_read
        readonly int64_t malformed     # frames refused
        readonly int64_t unknown       # frames of unknown channels
        readonly int64_t unrouted      # frames nobody subscribed to
        readonly int64_t arbitrated    # frames another socket had brought, or newer ones

    # One whole frame. Bad bytes and a listener's faults go to control.on_fault.
    cdef int feed(self, const char* text, Py_ssize_t size, int64_t ts_recv_ns) except -1
    cdef Route _find(self, const char* name, uint32_t size)
    cdef int _depth(self, Message m, int64_t ts_recv_ns) except -1
    cdef int _event(self, Message m, int64_t ts_recv_ns) except -1
    cdef int _settle(self, OrderBook book, State old, Change change) except -1
    cdef int _called(self, bytes what) except -1
    cdef int _returned(self) except -1
    cdef int _fault(self, object fault, str where) except -1
    cdef int _frames_to(self, list listeners, Message m, int64_t ts_recv_ns) except -1
    cdef int _deliver(self, Message m, const char* text, Py_ssize_t size,
                      int64_t ts_recv_ns) except -1
    # The Message to deliver, None when another socket was first.
    cdef Message _arbitrate(self, tuple arbitration, Message m, int64_t ts_recv_ns)
    cdef int _book_moved(self, OrderBook book) except -1
