"""The sequence machine of one contract's book (protocol.md 10).

            first frame or subscribe()            snapshot fits the kept frames
    INIT ----------------------------> SYNCING ------------------------------> LIVE
                                          ^                                   |  ^
                                          | commits too late, or crossed      |  | commits or the
                                          +------------------------ REPAIRING <--+ late frame arrive
                                                                       gap
    reset() leads back to INIT from anywhere (a reconnect), stop() to STOPPED.
    hold_early(): a frame that leaves a hole waits, the book LIVE as it was, until another socket
    has filled the hole or a moment has passed; only then it is a gap.
    suspect() leaves the state and says why a LIVE book is not to be trusted; a frame ends that.

One rule for every frame, where a bare version is the range version..version:
    end <= local            stale
    begin <= local + 1      apply, local = end
    else                    gap
(In code begin - 1 <= local: begin is never negative, local + 1 could overflow.)
A frame is applied whole or not at all. While versions are missing frames are kept, within bounds;
when the bounds are passed all are dropped and a snapshot is asked for.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memmove

from mexcfast.core.book cimport Book
from mexcfast.core.frame cimport (
    Field, KEY_ASKS, KEY_BIDS, KEY_SUCCESS, KEY_VERSION, Level, Message, Row, TAG_DEPTH, TAG_REPLY,
    number_of,
)
from mexcfast.core.scan cimport ABSENT, ARRAY, NULL_VALUE, TRUE_VALUE
from mexcfast.core.shape cimport learn_shape, read_shape
from mexcfast.core.side cimport ASK, BID
from mexcfast.core.tap cimport (
    APPLIED_FRAME, BOOK_STOPPED, COMMITS, EXPECTED, HOLDS, OVERDUE, RESET, SNAPSHOT, SUSPECTED,
    SUSPENDED, Tap, UNSUSPECTED, VERIFIED,
)
from mexcfast.core.ticks cimport MOST10

from mexcfast.errors import BookError, FrameError

cdef tuple CHANGES = tuple(Change)    # making an enum member costs more than applying a frame


cdef list spare = []                  # a Message between two loads


cdef Message _borrow():
    """A Message for a snapshot or commits: one for all books, for it grows to the longest reply."""
    return <Message>spare.pop() if spare else Message()


cdef int _give_back(Message m) except -1:
    m.holder = m.inflated = None
    m.size = 0
    if not spare:
        spare.append(m)
    return 0


cdef class OrderBook(Book):
    """The book of one contract, and how sure it is of itself.

    symbol: the venue's name, for example "BTC_USDT".
    strict: False accepts a stream of single-version frames that skips versions (protocol.md 10.2).
    storage: how levels are kept (core/side). "auto" takes a ladder of ticks for a side where most
    levels are within reach of one, "ladder" wherever there is a tick, "arrays" never.

    Prices read as floats, quantities are contracts. `state`, `version`, `ts_venue_ms`, `ts_recv_ns`
    and `ts_verified_ns` say how far to trust it; while it is not LIVE the last good levels stay
    readable. Frames with other symbols are refused with BookError.
    """

    def __init__(self, str symbol not None, *, bint strict=True, str storage not None="auto"):
        if not symbol:
            raise BookError("symbol is empty; allowed: a contract's name such as BTC_USDT")
        self.want_storage(storage)
        self.symbol = symbol
        self.name = symbol.encode()
        self.strict = strict
        self.listeners = []
        self.version = -1
        self.ts_venue_ms = -1
        self.state = INIT

    def __dealloc__(self):
        free(self.pending)
        free(self.pool)

    def __repr__(self):
        return (f"<OrderBook {self.symbol} {State(self.state).name} version {self.version} "
                f"{self.best_bid} / {self.best_ask}>")

    @property
    def is_live(self):
        """Whole, current, not crossed and not in doubt."""
        return self.state == LIVE and not self.crossed and self.doubt is None

    @property
    def is_crossed_now(self):
        """The last frame left best bid >= best ask; a second such frame starts a new sync."""
        return bool(self.crossed)

    @property
    def missing(self):
        """(first, last) missing version while REPAIRING, else None."""
        if self.state != REPAIRING or self.n_pending == 0:
            return None
        self._sort_pending()
        return self.version + 1, self.pending[0].begin - 1

    @property
    def pending_frames(self):
        """Frames kept until the missing versions arrive."""
        return self.n_pending

    def age_ns(self, int64_t now_ns):
        """Nanoseconds since the last applied frame's receipt; None before the first.

        now_ns: the same wall clock as ts_recv_ns.
        """
        return now_ns - self.ts_recv_ns if self.ts_recv_ns else None

    # -- in ---------------------------------------------------------------------------------------

    def expect_snapshot(self):
        """The snapshot has been asked for: INIT becomes SYNCING, so frames are kept from now on."""
        self._note(EXPECTED, b"", -1)
        if self.state == INIT:
            self.state = SYNCING

    def apply(self, frame, int64_t ts_recv_ns=0):
        """Apply one push.depth frame of this symbol.

        frame: bytes-like or str, gzip or plain. ts_recv_ns: our wall clock at receipt.
        Returns a Change; the book is untouched unless APPLIED.
        Raises FrameError on bad bytes, BookError for another channel or symbol.
        """
        self._note(APPLIED_FRAME, frame, ts_recv_ns)
        cdef Message m = self._message()
        if type(frame) is bytes and read_shape(m, PyBytes_AS_STRING(frame),
                                               PyBytes_GET_SIZE(frame)) == 0:
            m.holder = frame
        else:
            m.decode_object(frame)
            if m.tag != TAG_DEPTH:
                raise BookError(f"frame is no push.depth: {m.text[:min(m.size, 40)]!r}")
            learn_shape(m)
        if m.symbol_size != PyBytes_GET_SIZE(self.name) or memcmp(
                m.symbol_text, PyBytes_AS_STRING(self.name), m.symbol_size) != 0:
            raise BookError(f"frame is of {m.symbol_text[:m.symbol_size].decode()!r}; "
                            f"allowed: {self.symbol}")
        return CHANGES[<int>self.apply_message(m, ts_recv_ns)]

    def load_snapshot(self, data, int64_t ts_recv_ns=0):
        """Take a REST depth reply, enveloped or bare (protocol.md 13).

        data: bytes-like or str. Returns APPLIED when the book is LIVE with it; NEED_REPAIR when
        kept frames leave a later gap; NEED_SNAPSHOT when it is too old for the kept frames (the
        book is untouched: ask again); STALE when a LIVE book already contains it.
        Raises FrameError on bad bytes or a refusal of the venue.
        """
        self._note(SNAPSHOT, data, ts_recv_ns)
        cdef Message m = _borrow()
        try:
            m.decode_object(data)
            return CHANGES[<int>self._snapshot(m, ts_recv_ns)]
        finally:
            _give_back(m)

    def load_commits(self, data, int64_t ts_recv_ns=0):
        """Take a REST depth_commits reply in any order (protocol.md 10.2 step 4).

        data: bytes-like or str. Returns APPLIED when they close the gap; NEED_REPAIR for a later
        gap; NEED_SNAPSHOT when they start too late, hold a hole or end too early (the book is
        untouched); STALE when nothing was missing. Raises FrameError as load_snapshot does.
        """
        self._note(COMMITS, data, ts_recv_ns)
        cdef Message m = _borrow()
        try:
            m.decode_object(data)
            return CHANGES[<int>self._commits(m, ts_recv_ns)]
        finally:
            _give_back(m)

    def hold_early(self, int64_t hold_ns):
        """Let a frame that leaves a hole wait: of several sockets one may overtake another.

        hold_ns: how long, on the clock of the receipts; 0: not at all. While one waits the book is
        LIVE at its version and apply() returns BUFFERED. It is a gap with the first frame, or the
        first overdue(), after that time, or with the 257th that waits.
        """
        if hold_ns < 0:
            raise ValueError(f"hold_ns is {hold_ns}; allowed: from 0")
        self._note(HOLDS, str(hold_ns), -1)
        self.hold_ns = hold_ns

    def overdue(self, int64_t now_ns):
        """Whether early frames have waited long enough. now_ns: the clock of the receipts.

        NEED_REPAIR when they have: the gap is told now; BUFFERED when not yet; STALE when none
        waits.
        """
        self._note(OVERDUE, b"", now_ns)
        if self.held_ns == 0:
            return STALE
        # Less than nothing: the clock was set back.
        if 0 <= now_ns - self.held_ns < self.hold_ns:
            return BUFFERED
        return CHANGES[<int>self.give_up()]

    def suspect(self, str why not None):
        """Not LIVE for readers until trust() or the next frame: the stream may have stopped."""
        self._note(SUSPECTED, why, -1)
        if self.state != STOPPED:
            self.doubt = why

    def trust(self):
        """The stream has spoken, or was shown to have had nothing to say."""
        self._note(UNSUSPECTED, b"", -1)
        self.doubt = None

    def reset(self):
        """Forget everything: after a reconnect nothing old survives (protocol.md 10.2 step 6)."""
        self._note(RESET, b"", -1)
        self.clear_levels()
        self._forget_pending()
        self.version = -1
        self.ts_venue_ms = -1
        self.ts_recv_ns = 0
        self.ts_verified_ns = 0
        self.ranged = False
        self.crossed = False
        self.doubt = None
        self.state = INIT

    def suspend(self):
        """The stream is gone: not LIVE any more, the last levels stay readable until reset()."""
        self._note(SUSPENDED, b"", -1)
        self._forget_pending()
        self.doubt = None
        if self.state != STOPPED:
            self.state = SYNCING

    def verified(self, int64_t ts_ns):
        """Somebody compared the book with the venue's and found it equal. ts_ns: our wall clock."""
        self._note(VERIFIED, b"", ts_ns)
        self.ts_verified_ns = ts_ns

    def record(self, Tap tap):
        """Tell a tap of everything that goes in from now on; None: nobody.

        Frames are told by the Reader that feeds them.
        """
        if tap is not None and tap is not self.tap:
            self.tap_number = tap.next_book()
        self.tap = tap

    cdef int _note(self, int kind, object payload, int64_t ts_ns) except -1:
        if self.tap is not None:
            self.tap.note(kind, self.tap_number, payload, ts_ns)
        return 0

    def stop(self):
        """No more frames are wanted; the last levels stay readable."""
        self._note(BOOK_STOPPED, b"", -1)
        self._forget_pending()
        self.doubt = None
        self.state = STOPPED

    cdef Message _message(self):
        if self.message is None:
            self.message = Message()
        return self.message

    # -- the machine ------------------------------------------------------------------------------

    cdef Change apply_message(self, Message m, int64_t ts_recv_ns) except? NEED_SNAPSHOT:
        if self.state == STOPPED:
            return STALE
        if m.has_range:
            self.ranged = True
        if self.state == INIT or self.state == SYNCING:
            return self._first_frames(m, ts_recv_ns)
        if m.end <= self.version:
            self.stale += 1
            return STALE
        if m.begin - 1 > self.version and not self._is_loose():
            if self._keep(m, ts_recv_ns) == 0:
                self.state = SYNCING
                return NEED_SNAPSHOT
            if self.state == REPAIRING or self._may_wait(ts_recv_ns):
                return BUFFERED
            return self.give_up()
        if m.brief and self._fits(m):
            if self.reserve(ASK, m.n_asks) or self.reserve(BID, m.n_bids):
                raise MemoryError(f"no memory for the book of {self.symbol}")
            self.put_all(ASK, m.asks, m.n_asks)
            self.put_all(BID, m.bids, m.n_bids)
        else:
            self._apply_levels(m.asks, m.n_asks, m.bids, m.n_bids)
        self._commit(m.end, m.ts_ms, ts_recv_ns)
        if self.state == REPAIRING:
            return self._drain()
        if self.held_ns:
            self._fill_hole()
        return self._crossing()

    cdef int _fill_hole(self) except -1:
        """Apply what waited for this; the first of the others still waits since it came."""
        cdef uint32_t i
        self.held_ns = 0
        for i in range(self._apply_kept()):
            if self.held_ns == 0 or self.pending[i].ts_recv_ns < self.held_ns:
                self.held_ns = max(1, self.pending[i].ts_recv_ns)
        return 0

    cdef bint _may_wait(self, int64_t ts_recv_ns) noexcept nogil:
        """Whether the early frame that was just kept may wait for its predecessors."""
        if self.hold_ns == 0:
            return False
        if self.held_ns == 0:
            self.held_ns = ts_recv_ns if ts_recv_ns > 0 else 1
            return True
        return self.n_pending <= MAX_HELD and ts_recv_ns - self.held_ns < self.hold_ns

    cdef Change give_up(self) noexcept:
        self.held_ns = 0
        self.gaps += 1
        self.state = REPAIRING
        return NEED_REPAIR

    cdef Change _first_frames(self, Message m, int64_t ts_recv_ns) except? NEED_SNAPSHOT:
        cdef bint first = self.state == INIT
        self.state = SYNCING
        if self._keep(m, ts_recv_ns) == 0 or first:
            return NEED_SNAPSHOT
        return BUFFERED

    cdef bint _fits(self, Message m) noexcept nogil:
        """Whether the book's scales take all levels of a brief message as they are."""
        return (m.finest <= self.price_scale
                and m.price_bits <= MOST10[self.price_scale - m.coarsest]
                and m.quantity_bits <= MOST10[self.quantity_scale])

    cdef int _apply_levels(self, Level* asks, uint32_t n_asks, Level* bids,
                           uint32_t n_bids) except -1:
        """All levels of one frame or none; FrameError and SYNCING when one does not fit."""
        cdef int status = self.prepare(asks, n_asks, bids, n_bids)
        if status > 0:
            # The frame is lost, and commits would bring the same levels: a snapshot is next.
            self._forget_pending()
            self.state = SYNCING
            raise FrameError(f"{self.symbol}: a level does not fit 63 bits at the book's "
                             f"{self.price_scale} price and {self.quantity_scale} quantity "
                             "decimals")
        if status or self.reserve(ASK, n_asks) or self.reserve(BID, n_bids):
            raise MemoryError(f"no memory for the book of {self.symbol}")
        self.put_all(ASK, asks, n_asks)
        self.put_all(BID, bids, n_bids)
        return 0

    cdef int _commit(self, int64_t end, int64_t ts_ms, int64_t ts_recv_ns) except -1:
        self.version = end
        if ts_ms >= 0:
            self.ts_venue_ms = ts_ms
        self.ts_recv_ns = ts_recv_ns
        self.frames += 1
        return 0

    cdef Change _crossing(self) except? NEED_SNAPSHOT:
        """APPLIED; on the second crossed frame in a row, a new sync (protocol.md 10.2 step 7)."""
        if not self.is_crossed():
            self.crossed = False
            return APPLIED
        if not self.crossed:
            self.crossed = True
            return APPLIED
        self.crossings += 1
        self._forget_pending()
        self.state = SYNCING
        return NEED_SNAPSHOT

    cdef int _keep(self, Message m, int64_t ts_recv_ns) except -1:
        """Keep a frame for later: 1; 0 when the bounds are passed, all kept ones are dropped."""
        cdef uint32_t wanted = m.n_asks + m.n_bids
        cdef uint32_t cap
        cdef void* moved
        cdef Pending* p
        if self.n_pending >= MAX_PENDING or self.n_pool + wanted > MAX_PENDING_LEVELS:
            self._forget_pending()
            self.overflows += 1
            return 0
        if self.n_pending == self.cap_pending:
            cap = 2 * self.cap_pending if self.cap_pending else 64
            moved = realloc(self.pending, cap * sizeof(Pending))
            if moved == NULL:
                raise MemoryError(f"no memory to keep frames of {self.symbol}")
            self.pending = <Pending*>moved
            self.cap_pending = cap
        if self.n_pool + wanted > self.cap_pool:
            cap = 2 * self.cap_pool if self.cap_pool else 512
            while cap < self.n_pool + wanted:
                cap *= 2
            moved = realloc(self.pool, cap * sizeof(Level))
            if moved == NULL:
                raise MemoryError(f"no memory to keep frames of {self.symbol}")
            self.pool = <Level*>moved
            self.cap_pool = cap
        p = &self.pending[self.n_pending]
        p.begin = m.begin
        p.end = m.end
        p.ts_ms = m.ts_ms
        p.ts_recv_ns = ts_recv_ns
        p.first = self.n_pool
        p.n_asks = m.n_asks
        p.n_bids = m.n_bids
        if m.n_asks:
            memcpy(self.pool + self.n_pool, m.asks, m.n_asks * sizeof(Level))
        if m.n_bids:
            memcpy(self.pool + self.n_pool + m.n_asks, m.bids, m.n_bids * sizeof(Level))
        self.n_pool += wanted
        self.n_pending += 1
        return 1

    cdef void _forget_pending(self) noexcept nogil:
        self.held_ns = 0
        self.n_pending = 0
        self.n_pool = 0

    cdef void _sort_pending(self) noexcept nogil:
        """By end, then begin; insertion, for frames nearly always arrive in order."""
        cdef uint32_t i, j
        cdef Pending moving
        for i in range(1, self.n_pending):
            moving = self.pending[i]
            j = i
            while j > 0 and (self.pending[j - 1].end > moving.end or (
                    self.pending[j - 1].end == moving.end
                    and self.pending[j - 1].begin > moving.begin)):
                self.pending[j] = self.pending[j - 1]
                j -= 1
            self.pending[j] = moving

    cdef bint _follows(self, int64_t version) noexcept nogil:
        """Whether the kept frames connect to a book at `version` without a hole at the start."""
        cdef uint32_t i
        self._sort_pending()
        for i in range(self.n_pending):
            if self.pending[i].end > version:
                return self.pending[i].begin - 1 <= version or self._is_loose()
        return True

    cdef bint _is_loose(self) noexcept nogil:
        """Versions may be skipped: allowed by the user, and the stream never delivered `begin`."""
        return not self.strict and not self.ranged

    cdef Change _drain(self) except? NEED_SNAPSHOT:
        """Apply what is kept and fits; LIVE when nothing is left, else REPAIRING."""
        cdef uint32_t before = self.n_pending
        cdef Change change = APPLIED
        cdef bint was_repairing = self.state == REPAIRING
        self.held_ns = 0
        if self._apply_kept():
            if not was_repairing:
                self.gaps += 1
            self.state = REPAIRING
            return NEED_REPAIR if self.n_pending < before or not was_repairing else BUFFERED
        if was_repairing:
            self.repairs += 1
        self.state = LIVE
        change = self._crossing()
        return change

    cdef uint32_t _apply_kept(self) except? 0xFFFFFFFF:
        """Apply what is kept and fits; how many frames are left."""
        cdef uint32_t i = 0
        cdef Pending p
        self._sort_pending()
        while i < self.n_pending:
            p = self.pending[i]
            if p.end > self.version:
                if p.begin - 1 > self.version and not self._is_loose():
                    break
                self._apply_levels(self.pool + p.first, p.n_asks,
                                   self.pool + p.first + p.n_asks, p.n_bids)
                self._commit(p.end, p.ts_ms, p.ts_recv_ns)
            i += 1
        if i == self.n_pending:
            self._forget_pending()
        elif i:
            memmove(self.pending, self.pending + i, (self.n_pending - i) * sizeof(Pending))
            self.n_pending -= i
        return self.n_pending

    cdef int _refuse_reply(self, Message m, str what) except -1:
        """FrameError unless m is a successful REST body (protocol.md 2)."""
        cdef uint32_t i
        cdef Field* field
        if m.tag != TAG_REPLY:
            raise FrameError(f"{what} of {self.symbol} is a stream frame: "
                             f"{m.text[:min(m.size, 40)]!r}")
        for i in range(m.n_top):
            field = &m.top[i]
            if field.key_id == KEY_SUCCESS and field.value.kind not in (TRUE_VALUE, NULL_VALUE):
                raise FrameError(f"{what} of {self.symbol} was refused by the venue: "
                                 f"{m.text[:min(m.size, 200)]!r}")
        if m.levels_why != NULL:
            m._refuse(m.levels_why, m.levels_at, m.levels_key, 4)
            raise m.error()
        return 0

    cdef int _refuse_sides(self, Message m, const Field* members, uint32_t n, str what) except -1:
        """FrameError unless both asks and bids are lists: a side left out would read as empty."""
        cdef uint32_t i
        cdef bint asks = False, bids = False
        for i in range(n):
            if members[i].key_id == KEY_ASKS:
                asks = members[i].value.kind == ARRAY
            elif members[i].key_id == KEY_BIDS:
                bids = members[i].value.kind == ARRAY
        if not asks or not bids:
            side = "bids" if asks else "asks"
            raise FrameError(f"{what} of {self.symbol} has no list of {side}: "
                             f"{m.text[:min(m.size, 40)]!r}")
        return 0

    cdef Change _snapshot(self, Message m, int64_t ts_recv_ns) except? NEED_SNAPSHOT:
        cdef int64_t version = -1
        cdef int64_t ts_ms = -1
        cdef uint32_t i
        cdef Field* field
        cdef uint32_t n
        cdef Field* members
        self._refuse_reply(m, "depth snapshot")
        # protocol.md 2 rule 3: old replies lack the envelope
        members, n = (m.top, m.n_top) if m.data.kind == ABSENT else (m.fields, m.n_fields)
        if m.has_rows:
            n = 0
        for i in range(n):
            field = &members[i]
            if field.key_id == KEY_VERSION:
                if number_of(&field.value) or field.value.scale or field.value.mantissa < 0:
                    m._refuse("no integer from 0", field.value.text, field.key, field.key_size)
                    raise m.error()
                version = field.value.mantissa
            elif field.key[:field.key_size] == b"timestamp":
                if number_of(&field.value) == 0 and field.value.scale == 0:
                    ts_ms = field.value.mantissa
        if version < 0:
            raise FrameError(f"depth snapshot of {self.symbol} has no version: "
                             f"{m.text[:min(m.size, 40)]!r}")
        self._refuse_sides(m, members, n, "depth snapshot")
        if self.state == STOPPED or (self.state == LIVE and version <= self.version):
            if version == self.version:
                self.ts_verified_ns = ts_recv_ns
            return STALE
        if version < self.version or not self._follows(version):
            return NEED_SNAPSHOT
        return self._replace(m, version, ts_ms, ts_recv_ns)

    cdef Change _replace(self, Message m, int64_t version, int64_t ts_ms,
                         int64_t ts_recv_ns) except? NEED_SNAPSHOT:
        """The book becomes the snapshot in m, then takes what was kept."""
        cdef Book fresh = Book()
        if fresh.prepare(m.asks, m.n_asks, m.bids, m.n_bids):
            raise FrameError(f"depth snapshot of {self.symbol}: a level does not fit 63 bits")
        if self.reserve(ASK, m.n_asks) or self.reserve(BID, m.n_bids):
            raise MemoryError(f"no memory for the book of {self.symbol}")
        self.clear_levels()
        self.price_scale = fresh.price_scale
        self.quantity_scale = fresh.quantity_scale
        self.put_all(ASK, m.asks, m.n_asks)
        self.put_all(BID, m.bids, m.n_bids)
        self.choose_storage()
        self.snapshots += 1
        self.version = version
        if ts_ms >= 0:
            self.ts_venue_ms = ts_ms
        self.ts_recv_ns = ts_recv_ns
        self.ts_verified_ns = ts_recv_ns
        self.crossed = False
        self.state = SYNCING
        return self._drain()

    cdef Change _commits(self, Message m, int64_t ts_recv_ns) except? NEED_SNAPSHOT:
        cdef list order = []
        cdef uint32_t row
        cdef Field* field
        cdef Row* here
        cdef int64_t expected
        self._refuse_reply(m, "depth commits")
        if not m.has_rows and m.data.kind != NULL_VALUE:
            raise FrameError(f"depth commits of {self.symbol} are no list: "
                             f"{m.text[:min(m.size, 40)]!r}")
        for row in range(m.n_rows):
            field = m.find(row, KEY_VERSION)
            if field == NULL or number_of(&field.value) or field.value.scale:
                raise FrameError(f"depth commits of {self.symbol}: commit {row} has no integer "
                                 "version")
            self._refuse_sides(m, &m.fields[m.rows[row].field],
                               m.rows[row + 1].field - m.rows[row].field, "depth commit")
            order.append((field.value.mantissa, row))
        if self.state != REPAIRING:
            return STALE
        order.sort()
        order = [(version, row) for version, row in order if version > self.version]
        expected = self.version
        for version, _ in order:
            if version - 1 > expected:
                break
            expected = version
        else:
            if order and self._follows(expected):
                for version, row in order:
                    here = &m.rows[row]
                    self._apply_levels(m.asks + here.ask, m.rows[row + 1].ask - here.ask,
                                       m.bids + here.bid, m.rows[row + 1].bid - here.bid)
                    self._commit(version, -1, ts_recv_ns)
                self.ts_verified_ns = ts_recv_ns
                return self._drain()
        self.state = SYNCING
        return NEED_SNAPSHOT
