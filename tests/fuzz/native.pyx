"""The native side of the frame fuzzer: built by native.py into a copy of the tree, never shipped.

Each input is copied to a heap block of exactly its size, so that a sanitizer's red zones begin
behind its last byte; then Message.parse, the error text, the event, the book and its loads see it.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memmove

from mexcfast.core.depth cimport LIVE, OrderBook, REPAIRING, SYNCING
from mexcfast.core.events cimport Event, event_from
from mexcfast.core.frame cimport Level, Message, TAG_DEPTH, TAG_REPLY
from mexcfast.core.shape cimport learn_shape, read_shape
from mexcfast.core.side cimport Storage, side_fault, size_of

from mexcfast.errors import FrameError

cdef enum:
    MAX_INPUT = 1 << 16

cdef Message M = Message()
cdef Message QUICK = Message()      # reads what it can by shape; M judges
cdef OrderBook BOOK = OrderBook("BTC_USDT")
cdef int64_t runs = 0, accepted = 0, applied = 0, judged = 0, quick = 0
cdef object oracle = None           # called with bytes for one input in `every`
cdef int64_t every = 64


def use_oracle(function, int64_t one_in):
    """Judge one input in one_in by function(bytes), which raises when a rule is broken."""
    global oracle, every
    oracle = function
    every = one_in


def counts():
    return {"runs": runs, "accepted": accepted, "applied": applied, "judged": judged,
            "quick": quick}


def leak():
    """One block that nobody frees: proof for tests/leaks.py that it would be seen."""
    cdef char* block = <char*>malloc(1234)
    if block == NULL:
        raise MemoryError("no memory to lose")
    block[0] = 1


cdef int check_book() except -1:
    """Keys ascend, nothing is empty, every level is where its key says, no room is overrun."""
    cdef int side
    cdef const char* fault
    for side in range(2):
        fault = side_fault(&BOOK.sides[side])
        if fault != NULL:
            raise AssertionError(fault.decode())
    return 0


cdef int check_message() except -1:
    """Everything a parsed message points at lies inside its text."""
    cdef uint32_t i
    cdef const char* end = M.text + M.size
    for i in range(M.n_fields):
        if M.fields[i].key < M.text or M.fields[i].key + M.fields[i].key_size >= end or (
                M.fields[i].value.text < M.text
                or M.fields[i].value.text + M.fields[i].value.size >= end):
            raise AssertionError("a field outside the text")
    for i in range(M.n_rows):
        if M.rows[i].field > M.rows[i + 1].field or M.rows[i].ask > M.rows[i + 1].ask or (
                M.rows[i].bid > M.rows[i + 1].bid):
            raise AssertionError("rows out of order")
    if M.n_rows and (M.rows[M.n_rows].field != M.n_fields or M.rows[M.n_rows].ask != M.n_asks
                     or M.rows[M.n_rows].bid != M.n_bids):
        raise AssertionError("rows do not end where their members end")
    for i in range(M.n_asks):
        if M.asks[i].price <= 0 or M.asks[i].quantity < 0 or M.asks[i].orders < -1:
            raise AssertionError("an ask that is no level")
    for i in range(M.n_bids):
        if M.bids[i].price <= 0 or M.bids[i].quantity < 0 or M.bids[i].orders < -1:
            raise AssertionError("a bid that is no level")
    return 0


cdef bint same_levels(const Level* ours, uint32_t n, const Level* theirs, uint32_t m) noexcept:
    cdef uint32_t i
    for i in range(n if n == m else 0):
        if (ours[i].price != theirs[i].price or ours[i].quantity != theirs[i].quantity
                or ours[i].orders != theirs[i].orders
                or ours[i].price_scale != theirs[i].price_scale
                or ours[i].quantity_scale != theirs[i].quantity_scale):
            return False
    return n == m


cdef int check_quick() except -1:
    """What QUICK has read by shape is what M has parsed."""
    if (not QUICK.brief or M.tag != TAG_DEPTH or QUICK.tag != TAG_DEPTH or M.begin != QUICK.begin
            or M.end != QUICK.end or M.has_range != QUICK.has_range or M.ts_ms != QUICK.ts_ms
            or M.has_rows or M.symbol_size != QUICK.symbol_size
            or memcmp(M.symbol_text, QUICK.symbol_text, M.symbol_size) != 0
            or not same_levels(M.asks, M.n_asks, QUICK.asks, QUICK.n_asks)
            or not same_levels(M.bids, M.n_bids, QUICK.bids, QUICK.n_bids)):
        raise AssertionError("read by shape it is another frame")
    return 0


cdef int run(const char* text, Py_ssize_t size) except -1:
    global accepted, applied, quick
    cdef Event event
    cdef bint refused = M.parse(text, size)
    cdef bint is_quick = read_shape(QUICK, text, size) == 0
    if is_quick:
        quick += 1
        if refused:
            raise AssertionError("read by shape, refused by the strict reader")
        check_quick()
    elif not refused and M.tag == TAG_DEPTH:
        QUICK.parse(text, size)
        if runs & 3 == 0:
            QUICK.shape.misses = 0              # learn it now
        learn_shape(QUICK)
    if refused:
        if M.where < 0 or M.where > size:
            raise AssertionError("a fault outside the text")
        if runs & 31 == 0:
            str(M.error())
        return 0
    accepted += 1
    check_message()
    if runs & 15 == 0:
        event = event_from(M, 0)
        event.to_dict()
        event.members()
    if M.tag != TAG_DEPTH and M.tag != TAG_REPLY:
        return 0
    if (size_of(&BOOK.sides[0]) + size_of(&BOOK.sides[1]) > 400 or BOOK.price_scale > 12
            or BOOK.quantity_scale > 12):
        BOOK.reset()
        BOOK.price_scale = BOOK.quantity_scale = 0
    BOOK.wanted = <Storage>(runs >> 6 & 3) if runs & 192 != 192 else BOOK.wanted
    if runs & 7 == 0:                       # storages change and windows move at any time
        BOOK.sides[0].patience = BOOK.sides[1].patience = 0
    try:
        if M.tag == TAG_DEPTH:
            if runs & 3:
                BOOK.state = LIVE           # the frame follows; else whatever the last one left
                BOOK.version = M.begin - 1
            BOOK.apply_message(QUICK if is_quick else M, 1)
        elif runs & 1:
            if runs & 2:
                BOOK.version = -1
                BOOK.state = SYNCING
            BOOK._snapshot(M, 1)
        else:
            BOOK.state = REPAIRING
            BOOK.version = M.asks[0].price if runs & 2 and M.n_asks else 0
            BOOK._commits(M, 1)
        applied += 1
    except FrameError:
        pass
    return check_book()


cdef api int one(const char* data, Py_ssize_t size) except -1:
    """One input of libFuzzer: 0, or -1 with a Python exception."""
    global runs, judged
    cdef char* text = <char*>malloc(size if size else 1)
    if text == NULL:
        raise MemoryError("no memory for an input")
    memcpy(text, data, size)
    runs += 1
    try:
        run(text, size)
    finally:
        free(text)
    if oracle is not None and runs % every == 0:
        judged += 1
        oracle(data[:size])
    return 0


cdef uint64_t state = 1


cdef inline uint64_t draw(uint64_t below) noexcept nogil:
    """xorshift64*: seeded, the same everywhere."""
    global state
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return ((state * 0x2545F4914F6CDD1DU) >> 32) % below


cdef Py_ssize_t splice(char* text, Py_ssize_t size, Py_ssize_t at, Py_ssize_t drop,
                       const char* piece, Py_ssize_t length) noexcept nogil:
    """Replace `drop` bytes at `at` by piece; the new size."""
    drop = min(drop, size - at)
    if size - drop + length > MAX_INPUT:
        return size
    memmove(text + at + length, text + at + drop, size - at - drop)
    memcpy(text + at, piece, length)
    return size - drop + length


cdef Py_ssize_t spot(const char* text, Py_ssize_t size) noexcept nogil:
    """A place behind a colon, comma or bracket, else any."""
    cdef Py_ssize_t at = <Py_ssize_t>draw(size + 1)
    cdef Py_ssize_t i = at
    while i < size:
        if text[i] == 58 or text[i] == 44 or text[i] == 91:
            return i + 1
        i += 1
    return at


def hammer(list samples, list pieces, int64_t count, uint64_t seed):
    """Run count mutations of samples; pieces go in. AssertionError with the input that failed."""
    global state
    cdef char* text = <char*>malloc(MAX_INPUT)
    cdef Py_ssize_t size, at, stop, length
    cdef uint64_t steps, kind
    cdef bytes sample, piece
    cdef char byte
    if text == NULL:
        raise MemoryError("no memory for an input")
    state = seed * 2 + 1
    try:
        while count > 0:
            count -= 1
            sample = samples[draw(len(samples))]
            size = min(len(sample), MAX_INPUT)
            memcpy(text, <const char*>sample, size)
            steps = draw(4)
            while steps:
                steps -= 1
                kind = draw(8)
                if kind < 4:                    # a value or name in place of another, or inserted
                    piece = pieces[draw(len(pieces))]
                    at = spot(text, size)
                    stop = at
                    if kind < 3:
                        while stop < size and not (text[stop] == 44 or text[stop] == 93
                                                   or text[stop] == 125):
                            stop += 1
                    size = splice(text, size, at, stop - at, piece, len(piece))
                elif kind == 4:                 # one byte
                    byte = <char>draw(256)
                    size = splice(text, size, <Py_ssize_t>draw(size + 1), <Py_ssize_t>draw(3),
                                  &byte, 1)
                elif kind == 5:                 # cut
                    size = <Py_ssize_t>draw(size + 1) if draw(4) == 0 else splice(
                        text, size, <Py_ssize_t>draw(size + 1), <Py_ssize_t>draw(16), "", 0)
                elif kind == 6:                 # a part of another sample
                    piece = samples[draw(len(samples))]
                    at = spot(piece, len(piece))
                    length = min(<Py_ssize_t>draw(200), len(piece) - at)
                    size = splice(text, size, spot(text, size), 0, <const char*>piece + at, length)
                else:                           # a digit more
                    byte = <char>(48 + draw(10))
                    size = splice(text, size, spot(text, size), 0, &byte, 1)
            try:
                one(text, size)
            except Exception as fault:
                raise AssertionError(f"{fault!r} from {text[:size]!r}") from fault
    finally:
        free(text)
    return counts()
