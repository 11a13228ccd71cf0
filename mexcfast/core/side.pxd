# One side of a book, best level last. Two storages behind one set of functions:
#   array   entries sorted by key; room is kept at both ends
#   ladder  a window of WINDOW ticks near the top, indexed by tick, with a bitmap; the array then
#           holds only what the window does not: levels far away or off the tick
# Where a level is kept follows from its key alone, so both together hold any level exactly.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from mexcfast.core.frame cimport Level

cdef enum:
    BID = 0
    ASK = 1
    NEAR = 64             # levels at the top of an array that are searched first
    WINDOW = 4096         # ticks of a ladder: 64 words of 64 bits, so one word sums them up
    AHEAD = 1024          # ticks a window keeps free beyond the best level when it is placed
    MIN_LADDER = 64       # levels below which "auto" keeps an array: both fit the same cache lines

cdef enum Storage:
    AUTO = 0              # a ladder where most levels would be in its window
    ARRAYS = 1
    LADDER = 2            # a ladder wherever there is a tick

cdef struct Entry:
    int64_t key           # price for bids, -price for asks
    int64_t quantity      # * 10**quantity_scale, above 0
    int64_t orders        # -1 when the venue did not say

cdef struct Slot:
    int64_t quantity      # 0: no level
    int64_t orders

cdef struct Ladder:
    uint64_t summary      # bit w: words[w] is not 0
    uint64_t words[64]    # bit p: slots[p] holds a level
    Slot slots[WINDOW]

cdef struct Side:
    Entry* levels         # ascending by key, the best is levels[n - 1]; lies inside block
    Entry* block          # what was allocated: cap entries
    uint32_t n, cap
    uint32_t held         # levels in the window
    int32_t best          # place of the window's best level, -1 when it is empty
    Ladder* ladder        # NULL: the array holds everything
    Ladder* spare         # a ladder's memory, not in use
    int64_t base          # key of place 0; all arithmetic on keys and places is modulo 2**64
    uint64_t step         # keys from one place to the next
    uint64_t inverse      # of step's odd part, modulo 2**64
    uint32_t twos         # step's factors of two
    uint32_t patience     # changes until the storage may be looked at again
    int64_t top           # key of the best level, NO_KEY when there is none

cdef struct Walk:         # a way from the best level to the worst
    int32_t at            # next place in the window, -1 when there is none left
    uint32_t i            # entries of the array still to come

cdef extern from *:
    """
    #ifndef MEXCFAST_BITS
    #define MEXCFAST_BITS
    #define MEXCFAST_NO_KEY INT64_MIN
    #define mexcfast_last_bit(word) (63 - __builtin_clzll(word))
    #endif
    """
    const int64_t NO_KEY "MEXCFAST_NO_KEY"            # below every key
    int last_bit "mexcfast_last_bit"(uint64_t word) noexcept nogil   # word is not 0

# Highest place <= at that holds a level, -1 when there is none.
cdef inline int32_t place_below(const Ladder* ladder, int32_t at) noexcept nogil:
    cdef uint64_t word
    cdef int32_t w
    if at < 0:
        return -1
    w = at >> 6
    word = ladder.words[w] << (63 - (at & 63)) >> (63 - (at & 63))
    if word == 0:
        word = ladder.summary & ((<uint64_t>1 << w) - 1)
        if word == 0:
            return -1
        w = last_bit(word)
        word = ladder.words[w]
    return (w << 6) + last_bit(word)

cdef inline int64_t key_at(const Side* s, int32_t at) noexcept nogil:
    return <int64_t>(<uint64_t>s.base + <uint64_t>at * s.step)

cdef inline uint32_t size_of(const Side* s) noexcept nogil:
    return s.n + s.held

cdef inline void walk_from_best(const Side* s, Walk* walk) noexcept nogil:
    walk.at = s.best if s.ladder != NULL else -1
    walk.i = s.n

# The next level, best first; False when there is none left.
cdef inline bint walk_on(const Side* s, Walk* walk, Entry* out) noexcept nogil:
    cdef int64_t key
    if walk.at >= 0:
        key = key_at(s, walk.at)
        if walk.i == 0 or s.levels[walk.i - 1].key < key:
            out.key = key
            out.quantity = s.ladder.slots[walk.at].quantity
            out.orders = s.ladder.slots[walk.at].orders
            walk.at = place_below(s.ladder, walk.at - 1)
            return True
    if walk.i == 0:
        return False
    walk.i -= 1
    out[0] = s.levels[walk.i]
    return True

# Room in the array for n more levels, wherever they go. 0, or -1 when memory is short.
cdef int side_reserve(Side* s, uint32_t n) noexcept nogil
# n levels in order, each its price times sign; quantity 0 deletes. Their scales are not above the
# given ones, all fit 63 bits at those, and there is room.
cdef void side_put(Side* s, const Level* levels, uint32_t n, int64_t sign, int32_t price_scale,
                   int32_t quantity_scale) noexcept nogil
# Quantity and orders of one key: True when there is a level.
cdef bint side_get(const Side* s, int64_t key, Entry* out) noexcept nogil
# Choose the storage anew from what the side holds; a full room of memory is not needed for less.
cdef void side_choose(Side* s, Storage wanted) noexcept nogil
# Look whether the window is still where the best levels are, and move it; or choose anew.
cdef void side_settle(Side* s, Storage wanted) noexcept nogil
# Whether all prices (or quantities) still fit 63 bits times 10**steps.
cdef bint side_can_widen(const Side* s, int32_t steps, bint prices) noexcept nogil
# Multiply them. 0, or -1 when memory is short and nothing has changed.
cdef int side_ready_to_widen(Side* s, int32_t steps) noexcept nogil
cdef void side_widen(Side* s, int32_t steps, bint prices) noexcept nogil
cdef void side_clear(Side* s) noexcept nogil
cdef void side_free(Side* s) noexcept nogil
# For tests and fuzzers: NULL, or what is wrong with a side.
cdef const char* side_fault(const Side* s) noexcept nogil

# Whether side_settle has something to look at. Cheap: asked after every frame.
cdef inline bint is_unsettled(Side* s, Storage wanted) noexcept nogil:
    if s.patience:
        s.patience -= 1
        return False
    if s.ladder == NULL:
        return wanted != ARRAYS and s.n != 0
    return s.n != 0 and (s.best < AHEAD or s.levels[s.n - 1].key == s.top or s.n > s.held)
