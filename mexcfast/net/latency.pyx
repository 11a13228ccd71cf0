"""How long frames take, from the venue's stamp to our socket and from there to the callback."""

from libc.stdint cimport int64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from mexcfast.core.depth cimport LIVE, OrderBook, State
from mexcfast.core.events cimport Event
from mexcfast.core.histogram cimport Histogram
from mexcfast.core.listener cimport Listener


cdef class LatencyMeter(Listener):
    """A listener that only measures; subscribe it last, after those whose delay shall count.

    offset_ns: the venue's clock minus ours, for venue_to_wire; Client.metrics keeps it up to date.
    knows_offset: False while nobody knows it; then venue_to_wire counts nothing. The venue stamps
    to the millisecond: below that venue_to_wire says nothing.
    """

    def __cinit__(self):
        self.venue_to_wire = Histogram()
        self.wire_to_callback = Histogram()
        self.knows_offset = True
        self.seen = {}

    cpdef on_book_state(self, OrderBook book, State old, State new):
        self.renewed = book if new == LIVE else None

    cpdef on_book(self, OrderBook book):
        # A book also moves by a snapshot, by frames that waited for one, and when it is trusted
        # again: none of them has just been received.
        cdef object frames = book.frames
        cdef bint is_fresh = self.renewed is not book and self.seen.get(book.symbol) != frames
        self.renewed = None
        self.seen[book.symbol] = frames
        if is_fresh:
            self._measure(book.ts_venue_ms, book.ts_recv_ns)

    cpdef on_event(self, Event event):
        self._measure(event.ts_ms, event.ts_recv_ns)

    cdef int _measure(self, int64_t ts_venue_ms, int64_t ts_recv_ns) except -1:
        cdef timespec now
        if ts_recv_ns <= 0:
            return 0                 # a snapshot over REST
        clock_gettime(CLOCK_REALTIME, &now)
        self.wire_to_callback.add(<int64_t>now.tv_sec * 1000000000 + now.tv_nsec - ts_recv_ns)
        if ts_venue_ms > 0 and self.knows_offset:
            self.venue_to_wire.add(ts_recv_ns + self.offset_ns - ts_venue_ms * 1000000)
        return 0
