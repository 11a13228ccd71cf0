# Which of the copies that several sockets carry of one channel is delivered. No I/O, no clock.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from mexcfast.core.frame cimport Message

cpdef enum Verdict:
    NEW = 0           # first arrival: deliver it
    COPY = 1          # another path delivered it
    PARTLY = 2        # some of its records are new: `remainder` holds a frame of just these
    SUPERSEDED = 3    # missed by the faster path, but that has delivered a newer state since

cdef enum:
    MAX_PATHS = 8
    N_BUCKETS = 32    # lateness bucket n counts copies 2**(n-1) up to 2**n microseconds late
    N_LANES = 16      # intervals of candles of one contract
    CONTENT = 0       # how an event is known again: by all of its content
    RECORDS = 1       # record by record, by its trade id
    ONCE = 2          # by content that cannot legitimately come twice: it carries a version
    RANGES = 3        # by a range of versions

cdef struct Seen:               # one event in the window
    uint64_t key
    int64_t ts_ms               # the frame's `ts`, -1 when absent
    int64_t first_ns            # receipt of the first copy
    int32_t next                # older one in the same chain, -1 at its end
    uint8_t paths               # bit n: path n has brought it

cdef struct Lane:               # newest state of one interval of candles, or of the whole channel
    uint64_t name
    int64_t newest
    int64_t by_path[MAX_PATHS]

cdef struct Path:
    bint joined
    bint same_ts                # proven: its frames carry the same `ts` as another path's
    int64_t joined_ns
    int64_t first               # events it brought first
    int64_t copies              # events another path had brought
    int64_t superseded
    int64_t holes               # events another path brought and it did not
    int64_t late_sum_ns
    int64_t late_max_ns
    int64_t late[N_BUCKETS]

cdef class Arbiter:
    cdef:
        readonly str channel
        readonly uint32_t capacity      # most events remembered
        readonly int64_t horizon_ns     # how late a copy without a common `ts` may be
        readonly bytes remainder        # after PARTLY: the frame to deliver
        uint8_t rule
        bint is_state                   # the newest counts: a late older one is not delivered
        bint by_version                 # and newness is `version`, not `ts`
        bint by_interval                # and each interval of candles has its own
        uint32_t n, cap, oldest         # ring: events held, its size, where the oldest stands
        Seen* ring
        int32_t* heads                  # 2 * cap chains, index of the newest or -1
        Path paths[MAX_PATHS]
        Lane lanes[N_LANES]
        uint32_t n_lanes
        uint8_t* fresh                  # per record of the frame at hand
        uint32_t cap_fresh
        Message message                 # for offer(); made when first used
        uint8_t joined                  # bit n: path n joined
        readonly bint everywhere        # the last event has been brought by every path

    # What to do with a parsed frame that came on this path. Raises MemoryError.
    cdef Verdict admit(self, Message m, int path, int64_t ts_recv_ns) except? PARTLY

    cdef bint _is_new(self, uint64_t key, bint once, int64_t ts_ms, int path,
                      int64_t ts_recv_ns) except -1
    cdef Seen* _find(self, uint64_t key, bint once, int64_t ts_ms, int path,
                     int64_t ts_recv_ns) noexcept nogil
    cdef int _remember(self, uint64_t key, int64_t ts_ms, int path, int64_t ts_recv_ns) except -1
    cdef int _grow(self) except -1
    cdef void _link(self, uint32_t at) noexcept nogil
    cdef void _drop_oldest(self) noexcept nogil
    cdef void _count_copy(self, int path, int64_t late_ns) noexcept nogil
    cdef bint _is_superseded(self, Message m, int path) noexcept nogil
    cdef Verdict _records(self, Message m, int path, int64_t ts_recv_ns) except? PARTLY
    cdef bytes _cut(self, Message m)
