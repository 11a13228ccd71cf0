# Measures every frame of the topics it listens to; compiled, so that measuring costs little itself.
from libc.stdint cimport int64_t

from mexcfast.core.histogram cimport Histogram
from mexcfast.core.listener cimport Listener

cdef class LatencyMeter(Listener):
    cdef:
        readonly Histogram venue_to_wire     # stamp to receipt; holds both clocks' error
        readonly Histogram wire_to_callback  # our receipt to this listener's hook, one clock
        public int64_t offset_ns             # venue's clock minus ours
        public bint knows_offset             # False: venue_to_wire counts nothing
        object renewed                       # a book that has just become LIVE
        dict seen                            # contract -> frames of its book when measured last

    cdef int _measure(self, int64_t ts_venue_ms, int64_t ts_recv_ns) except -1
