# The sequence machine of one contract's book: snapshot + increments + commits (protocol.md 10).
from libc.stdint cimport int64_t, uint32_t

from mexcfast.core.book cimport Book
from mexcfast.core.frame cimport Field, Level, Message
from mexcfast.core.tap cimport Tap

cpdef enum State:
    INIT = 0          # nothing known
    SYNCING = 1       # waits for a snapshot; frames are kept
    LIVE = 2          # whole and current
    REPAIRING = 3     # versions are missing; the last good book stays readable
    STOPPED = 4       # no longer fed

cpdef enum Change:
    STALE = 0         # the book already contains it
    APPLIED = 1       # the book moved on
    BUFFERED = 2      # kept until the missing versions arrive
    NEED_REPAIR = 3   # versions `missing` are wanted: ask for depth_commits
    NEED_SNAPSHOT = 4  # ask for a snapshot

cdef enum:
    MAX_PENDING = 8192          # frames kept while syncing or repairing
    MAX_PENDING_LEVELS = 1 << 19
    MAX_HELD = 256              # early frames held while LIVE

cdef struct Pending:            # one kept frame; its levels stand in the pool, asks first
    int64_t begin, end, ts_ms, ts_recv_ns
    uint32_t first, n_asks, n_bids

cdef class OrderBook(Book):
    cdef:
        readonly str symbol
        bytes name                        # symbol in UTF-8
        readonly State state
        readonly int64_t version          # last version applied, -1 before the first snapshot
        readonly int64_t ts_venue_ms      # of the last applied frame or snapshot, -1 when unknown
        readonly int64_t ts_recv_ns       # our wall clock at its receipt, 0 before the first
        readonly int64_t ts_verified_ns   # our wall clock when REST last confirmed the book
        readonly bint strict              # False: a stream without begin may skip versions
        readonly int64_t frames, stale, gaps, repairs, snapshots, crossings, overflows
        readonly int64_t hold_ns          # how long an early frame waits for its predecessors
        readonly int64_t held_ns          # receipt of the first that waits now, 0 without any
        readonly str doubt                # why a LIVE book is not trusted now; None when it is
        bint ranged                       # the stream has delivered `begin`
        bint crossed                      # the last applied frame left bid >= ask
        public list listeners             # core/listener.Listener objects that receive this book
        Pending* pending
        Level* pool
        uint32_t n_pending, cap_pending, n_pool, cap_pool
        Message message                   # for apply(); made when first used
        readonly Tap tap                  # told of everything that goes in; None: nobody records
        readonly uint32_t tap_number      # this book's number on the tape

    # A parsed push.depth frame of this symbol. The book is untouched unless APPLIED.
    # Raises FrameError when a level does not fit, MemoryError when memory is short.
    cdef Change apply_message(self, Message m, int64_t ts_recv_ns) except? NEED_SNAPSHOT

    # Nobody will bring what an early frame waits for: the gap is told.
    cdef Change give_up(self) noexcept

    cdef Message _message(self)
    cdef bint _may_wait(self, int64_t ts_recv_ns) noexcept nogil
    cdef int _fill_hole(self) except -1
    cdef uint32_t _apply_kept(self) except? 0xFFFFFFFF
    cdef int _note(self, int kind, object payload, int64_t ts_ns) except -1
    cdef Change _first_frames(self, Message m, int64_t ts_recv_ns) except? NEED_SNAPSHOT
    cdef int _refuse_reply(self, Message m, str what) except -1
    cdef int _refuse_sides(self, Message m, const Field* members, uint32_t n, str what) except -1
    cdef bint _is_loose(self) noexcept nogil
    cdef Change _replace(self, Message m, int64_t version, int64_t ts_ms,
                         int64_t ts_recv_ns) except? NEED_SNAPSHOT
    cdef bint _fits(self, Message m) noexcept nogil
    cdef int _apply_levels(self, Level* asks, uint32_t n_asks, Level* bids,
                           uint32_t n_bids) except -1
    cdef int _commit(self, int64_t end, int64_t ts_ms, int64_t ts_recv_ns) except -1
    cdef Change _crossing(self) except? NEED_SNAPSHOT
    cdef int _keep(self, Message m, int64_t ts_recv_ns) except -1
    cdef void _sort_pending(self) noexcept nogil
    cdef bint _follows(self, int64_t version) noexcept nogil
    cdef Change _drain(self) except? NEED_SNAPSHOT
    cdef void _forget_pending(self) noexcept nogil
    cdef Change _snapshot(self, Message m, int64_t ts_recv_ns) except? NEED_SNAPSHOT
    cdef Change _commits(self, Message m, int64_t ts_recv_ns) except? NEED_SNAPSHOT
