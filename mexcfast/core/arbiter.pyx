"""First arrival wins: one channel's frames from several sockets become one stream.

For depth the book's version rule does this; here are all other channels, and depth's lateness. A
frame is known again by its content, never by when it came:

    deal                      each record by its trade id; without ids by all of its content
    depth                     by its range of versions
    depth.full, .step         all of the content, which holds the version
    everything else           all of the content, and the frame's `ts` once that is known to be
                              the same on both sockets

Content may legitimately repeat: a price goes back to where it was, two equal trades follow each
other. So copies are counted per path: the second copy on a path is a second event unless another
path has brought two already. Only what holds a trade id or a version is delivered once for good.

A state (tickers, candles, prices, depth.full and .step) that one path missed and the other brings
after a newer one is SUPERSEDED, judged by version or `ts`; deals and private events are delivered
late. A path that goes back by itself (the venue numbers anew) is followed.

The window holds the last `capacity` events. Members of an object may come in any order; numbers
are compared as they are written. Source: protocol.md 6, 7, 9.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from mexcfast.core.frame cimport Field, KEY_VERSION, Message, key_id_of, number_of
from mexcfast.core.scan cimport ABSENT

from typing import NamedTuple

from mexcfast.core.channels import CHANNELS as _CHANNELS
from mexcfast.errors import FrameError

BY_VERSION = ("push.depth", "push.depth.full", "push.depth.step")
STATES = ("push.depth.full", "push.depth.step", "push.tickers", "push.ticker", "push.kline",
          "push.funding.rate", "push.index.price", "push.fair.price")

cdef enum:
    FIRST_CAP = 64


class PathCounts(NamedTuple):
    """What one path brought. lateness: counts of copies at most 2**n microseconds late."""

    first: int
    copies: int
    superseded: int
    holes: int
    late_sum_ns: int
    late_max_ns: int
    lateness: tuple[int, ...]


cdef inline uint64_t mixed(uint64_t x) noexcept nogil:
    """Spread every bit over all bits (splitmix64's finish)."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU
    return x ^ (x >> 31)


cdef uint64_t hash_text(const char* text, uint32_t size, uint64_t seed) noexcept nogil:
    """FNV-1a over 64 bits, then mixed."""
    cdef uint64_t h = 14695981039346656037U ^ seed
    cdef uint32_t i
    for i in range(size):
        h = (h ^ <uint8_t>text[i]) * 1099511628211U
    return mixed(h)


cdef uint64_t hash_members(const Field* members, uint32_t n) noexcept nogil:
    """The same for every order of the members."""
    cdef uint64_t h = n
    cdef uint32_t i
    for i in range(n):
        h += hash_text(members[i].value.text, members[i].value.size,
                       hash_text(members[i].key, members[i].key_size, members[i].value.kind))
    return mixed(h)


cdef uint64_t hash_row(Message m, uint32_t row) noexcept nogil:
    return hash_members(&m.fields[m.rows[row].field], m.rows[row + 1].field - m.rows[row].field)


cdef uint64_t hash_frame(Message m) noexcept nogil:
    """All of the frame but its `ts`."""
    cdef uint64_t h = hash_text(m.symbol_text, m.symbol_size, m.n_rows)
    cdef uint32_t row
    for row in range(m.n_rows):
        h = mixed(h ^ hash_row(m, row))
    if m.n_rows == 0 and m.data.kind != ABSENT:
        h = hash_text(m.data.text, m.data.size, h)
    return h


cdef class Arbiter:
    """Merges one channel of one contract ("" for none) from up to eight paths.

    channel: the push's name on the wire. capacity: events remembered at most, a power of two from
    64. horizon_ns: copies later than this are taken for repeats where `ts` cannot tell.
    """

    def __cinit__(self):
        self.heads = NULL
        self.ring = NULL
        self.fresh = NULL

    def __init__(self, str channel not None, *, uint32_t capacity=4096,
                 int64_t horizon_ns=10_000_000_000):
        if channel not in {row.name for row in _CHANNELS if row.name.startswith("push.")}:
            raise ValueError(f"channel is {channel!r}; allowed: a push of core/channels")
        if capacity < FIRST_CAP or capacity & (capacity - 1) or capacity > 1 << 20:
            raise ValueError(f"capacity is {capacity}; allowed: a power of two from {FIRST_CAP} "
                             f"to {1 << 20}")
        if horizon_ns <= 0:
            raise ValueError(f"horizon_ns is {horizon_ns}; allowed: above 0")
        self.channel = channel
        self.capacity = capacity
        self.horizon_ns = horizon_ns
        self.rule = (RECORDS if channel == "push.deal" else RANGES if channel == "push.depth"
                     else ONCE if channel in BY_VERSION else CONTENT)
        self.is_state = channel in STATES
        self.by_version = channel in BY_VERSION
        self.by_interval = channel == "push.kline"
        memset(self.paths, 0, sizeof(self.paths))

    def __dealloc__(self):
        free(self.ring)
        free(self.heads)
        free(self.fresh)

    # -- paths ------------------------------------------------------------------------------------

    def join(self, int64_t now_ns):
        """A new path's number. now_ns: when it subscribed, on the clock of the receipts.

        Raises ValueError when there are eight already.
        """
        cdef int path
        cdef uint32_t lane
        for path in range(MAX_PATHS):
            if not self.paths[path].joined:
                memset(&self.paths[path], 0, sizeof(Path))
                self.paths[path].joined = True
                self.joined |= <uint8_t>(1 << path)
                self.paths[path].joined_ns = now_ns
                for lane in range(self.n_lanes):
                    self.lanes[lane].by_path[path] = -1
                return path
        raise ValueError(f"{self.channel} comes on {MAX_PATHS} paths already; allowed: no more")

    def leave(self, int path):
        """The path is gone; its counts end. Nothing happens when it left before."""
        cdef uint32_t i
        self._check(path)
        self.paths[path].joined = False
        self.joined &= <uint8_t>~(1 << path)
        for i in range(self.cap):
            self.ring[i].paths &= <uint8_t>~(1 << path)

    def joined_ns(self, int path):
        """When the path joined, as join() was told."""
        self._check(path)
        return self.paths[path].joined_ns

    def counts(self, int path):
        """PathCounts of a path since it joined."""
        self._check(path)
        cdef Path* p = &self.paths[path]
        return PathCounts(p.first, p.copies, p.superseded, p.holes, p.late_sum_ns, p.late_max_ns,
                          tuple([p.late[n] for n in range(N_BUCKETS)]))

    @property
    def n_paths(self):
        """Paths that joined and did not leave."""
        return sum([1 for n in range(MAX_PATHS) if self.paths[n].joined])

    @property
    def remembered(self):
        """Events in the window."""
        return self.n

    def _check(self, int path):
        if not 0 <= path < MAX_PATHS:
            raise ValueError(f"path is {path}; allowed: what join() gave")

    # -- frames -----------------------------------------------------------------------------------

    def offer(self, data, int path, int64_t ts_recv_ns):
        """One frame as bytes-like or str: the bytes to deliver, None when there are none.

        Raises FrameError on bad bytes or another channel.
        """
        cdef Verdict verdict
        self._check(path)
        if self.message is None:
            self.message = Message()
        self.message.decode_object(data)
        if _CHANNELS[self.message.tag].name != self.channel:
            raise FrameError(f"frame is no {self.channel}: {self.message.tail(40)!r}")
        verdict = self.admit(self.message, path, ts_recv_ns)
        if verdict == NEW:
            return self.message.text[:self.message.size]
        return self.remainder if verdict == PARTLY else None

    cdef Verdict admit(self, Message m, int path, int64_t ts_recv_ns) except? PARTLY:
        cdef uint64_t key
        if self.rule == RECORDS and m.n_rows:
            return self._records(m, path, ts_recv_ns)
        key = (mixed(<uint64_t>m.begin) ^ <uint64_t>m.end if self.rule == RANGES
               else hash_frame(m))
        if not self._is_new(key, self.rule >= ONCE, m.ts_ms, path, ts_recv_ns):
            return COPY
        if self.is_state and self._is_superseded(m, path):
            self.paths[path].superseded += 1
            return SUPERSEDED
        self.paths[path].first += 1
        return NEW

    cdef Verdict _records(self, Message m, int path, int64_t ts_recv_ns) except? PARTLY:
        cdef uint32_t row, n_new = 0
        cdef uint16_t id_key = key_id_of("i", 1)
        cdef Field* named
        cdef uint64_t key
        cdef bint once
        if m.n_rows > self.cap_fresh:
            free(self.fresh)
            self.fresh = <uint8_t*>calloc(2 * m.n_rows, 1)
            self.cap_fresh = 2 * m.n_rows if self.fresh != NULL else 0
            if self.fresh == NULL:
                raise MemoryError("no memory to compare a frame's records")
        for row in range(m.n_rows):
            named = m.find(row, id_key)
            once = named != NULL and named.value.size > 0
            key = (hash_text(named.value.text, named.value.size, 1) if once
                   else hash_row(m, row))
            self.fresh[row] = self._is_new(key, once, m.ts_ms, path, ts_recv_ns)
            n_new += self.fresh[row]
        self.paths[path].first += n_new
        if n_new == m.n_rows:
            return NEW
        if n_new == 0:
            return COPY
        self.remainder = self._cut(m)
        return PARTLY

    cdef bytes _cut(self, Message m):
        """The frame with its new records only, each as the venue wrote it."""
        cdef const char* end = m.data.text + m.data.size
        cdef const char* start
        cdef const char* stop
        cdef list kept = []
        cdef uint32_t row
        for row in range(m.n_rows):
            if self.fresh[row] and m.rows[row].field < m.rows[row + 1].field:
                start = m.fields[m.rows[row].field].key
                while start[0] != b"{":
                    start -= 1
                if m.rows[row + 1].field < m.n_fields:      # of the next row that has members
                    stop = m.fields[m.rows[row + 1].field].key
                    while stop[0] != b"{":
                        stop -= 1
                else:
                    stop = end - 1      # the list's closing bracket
                while (stop - 1)[0] != b"}":
                    stop -= 1
                kept.append(start[:stop - start])
        return (m.text[:m.data.text - m.text] + b"[" + b",".join(kept) + b"]"
                + end[:m.text + m.size - end])

    cdef bint _is_superseded(self, Message m, int path) noexcept nogil:
        """Whether another path has delivered a newer state; notes this one when not."""
        cdef int64_t stamp = m.ts_ms
        cdef uint64_t name = 0
        cdef Field* named
        cdef Lane* lane
        cdef uint32_t i
        cdef bint late
        if m.n_rows == 0:
            return False
        if self.by_version:
            named = m.find(0, KEY_VERSION)
            stamp = named.value.mantissa if named != NULL and number_of(&named.value) == 0 else -1
        if stamp < 0:
            return False
        if self.by_interval:
            named = m.find(0, key_id_of("interval", 8))
            if named != NULL:
                name = hash_text(named.value.text, named.value.size, 0)
        for i in range(self.n_lanes):
            if self.lanes[i].name == name:
                break
        else:
            if self.n_lanes == N_LANES:
                return False
            i = self.n_lanes
            self.n_lanes = self.n_lanes + 1
            self.lanes[i].name = name
            self.lanes[i].newest = -1
            memset(self.lanes[i].by_path, 0xFF, sizeof(self.lanes[i].by_path))     # all -1
        lane = &self.lanes[i]
        late = stamp < lane.newest and stamp >= lane.by_path[path]
        lane.by_path[path] = stamp
        if not late:
            lane.newest = stamp
        return late

    # -- the window -------------------------------------------------------------------------------

    cdef bint _is_new(self, uint64_t key, bint once, int64_t ts_ms, int path,
                      int64_t ts_recv_ns) except -1:
        cdef Seen* seen = self._find(key, once, ts_ms, path, ts_recv_ns)
        cdef uint8_t bit = <uint8_t>(1 << path)
        cdef int other
        if seen == NULL:
            self._remember(key, ts_ms, path, ts_recv_ns)
            self.everywhere = self.joined == bit
            return True
        if not seen.paths & bit:
            if ts_ms >= 0 and seen.ts_ms == ts_ms:
                self.paths[path].same_ts = True
                for other in range(MAX_PATHS):
                    if seen.paths & (1 << other):
                        self.paths[other].same_ts = True
            seen.paths |= bit
            self._count_copy(path, ts_recv_ns - seen.first_ns)
        self.everywhere = not self.joined & ~seen.paths
        return False

    cdef Seen* _find(self, uint64_t key, bint once, int64_t ts_ms, int path,
                     int64_t ts_recv_ns) noexcept nogil:
        """The event that this is a copy of, NULL when it is new.

        Of several the oldest that this path has not brought; one with the same `ts` before others.
        """
        cdef Seen* exact = NULL
        cdef Seen* alike = NULL
        cdef Seen* seen
        cdef Path* p = &self.paths[path]
        cdef int32_t at
        if self.n == 0:
            return NULL
        at = self.heads[key & (2 * self.cap - 1)]
        while at >= 0:
            seen = &self.ring[at]
            at = seen.next
            if seen.key != key:
                continue
            if once:
                return seen
            if seen.paths & (1 << path):
                continue
            if ts_ms >= 0 and seen.ts_ms == ts_ms:
                exact = seen
            elif (not (p.same_ts and ts_ms >= 0) and seen.first_ns >= p.joined_ns
                    and ts_recv_ns - seen.first_ns <= self.horizon_ns):
                alike = seen
        return exact if exact != NULL else alike

    cdef int _remember(self, uint64_t key, int64_t ts_ms, int path, int64_t ts_recv_ns) except -1:
        cdef Seen* seen
        cdef uint32_t at
        if self.n == self.cap:
            if self.cap < self.capacity:
                self._grow()
            else:
                self._drop_oldest()
        at = (self.oldest + self.n) & (self.cap - 1)
        seen = &self.ring[at]
        seen.key = key
        seen.ts_ms = ts_ms
        seen.first_ns = ts_recv_ns
        seen.paths = <uint8_t>(1 << path)
        self.n += 1
        self._link(at)
        return 0

    cdef int _grow(self) except -1:
        """Double the ring; it is full, so its oldest stands at 0 afterwards as before."""
        cdef uint32_t cap = 2 * self.cap if self.cap else FIRST_CAP
        cdef uint32_t i
        cdef void* ring
        cdef void* heads
        ring = realloc(self.ring, cap * sizeof(Seen))
        if ring == NULL:
            raise MemoryError("no memory to remember events")
        self.ring = <Seen*>ring
        memset(self.ring + self.cap, 0, (cap - self.cap) * sizeof(Seen))
        heads = realloc(self.heads, 2 * cap * sizeof(int32_t))
        if heads == NULL:
            raise MemoryError("no memory to remember events")
        self.heads = <int32_t*>heads
        memset(self.heads, 0xFF, 2 * cap * sizeof(int32_t))                        # all -1
        self.cap = cap
        for i in range(self.n):
            self._link(i)
        return 0

    cdef void _link(self, uint32_t at) noexcept nogil:
        """Enter as the newest of its chain."""
        cdef int32_t* head = &self.heads[self.ring[at].key & (2 * self.cap - 1)]
        self.ring[at].next = head[0]
        head[0] = <int32_t>at

    cdef void _drop_oldest(self) noexcept nogil:
        """Forget the oldest event; paths that never brought it had a hole."""
        cdef Seen* seen = &self.ring[self.oldest]
        cdef int32_t* link = &self.heads[seen.key & (2 * self.cap - 1)]
        cdef int path
        while link[0] != <int32_t>self.oldest:
            link = &self.ring[link[0]].next
        link[0] = seen.next
        for path in range(MAX_PATHS):
            if (self.paths[path].joined and not seen.paths & (1 << path)
                    and self.paths[path].joined_ns <= seen.first_ns):
                self.paths[path].holes = self.paths[path].holes + 1
        self.oldest = (self.oldest + 1) & (self.cap - 1)
        self.n = self.n - 1

    cdef void _count_copy(self, int path, int64_t late_ns) noexcept nogil:
        cdef Path* p = &self.paths[path]
        cdef uint64_t us
        cdef int bucket = 0
        if late_ns < 0:
            late_ns = 0                 # the wall clock was set back
        p.copies += 1
        p.late_sum_ns += late_ns
        if late_ns > p.late_max_ns:
            p.late_max_ns = late_ns
        us = <uint64_t>late_ns // 1000
        while us and bucket < N_BUCKETS - 1:
            us >>= 1
            bucket += 1
        p.late[bucket] += 1
