# A level-2 book on exact integers. One side is an array sorted by key, best level last:
# most changes are near the top, so most moves are short. Room is kept at both ends.
from libc.stdint cimport int32_t, int64_t, uint32_t

from mexcfast.core.frame cimport Level

cdef enum:
    BID = 0
    ASK = 1
    NEAR = 64             # levels at the top that are searched first

cdef struct Entry:
    int64_t key           # price for bids, -price for asks
    int64_t quantity      # * 10**quantity_scale, above 0
    int64_t orders        # -1 when the venue did not say

cdef struct Side:
    Entry* levels         # ascending by key, so the best is levels[n - 1]; lies inside block
    Entry* block          # what was allocated: cap entries
    uint32_t n, cap

cdef class Book:
    cdef:
        Side sides[2]
        readonly int32_t price_scale      # prices inside are price * 10**price_scale
        readonly int32_t quantity_scale

    # Both sides' levels to the book's scales, in place. 0; 1 when one does not fit and the book is
    # as before.
    cdef int prepare(self, Level* asks, uint32_t n_asks, Level* bids,
                     uint32_t n_bids) noexcept nogil
    # Room for n more levels on one side. 0, or -1 when memory is short.
    cdef int reserve(self, int side, uint32_t n) noexcept nogil
    # One level, prepared and reserved for; quantity 0 deletes.
    cdef void put(self, int side, int64_t price, int64_t quantity, int64_t orders) noexcept nogil
    # n prepared levels; all or nothing. 0, or -1 when memory is short.
    cdef int put_all(self, int side, const Level* levels, uint32_t n) noexcept nogil
    cdef void clear_levels(self) noexcept nogil
    cdef bint is_crossed(self) noexcept nogil
    cdef bint _can_widen(self, int32_t steps, bint prices) noexcept nogil
    cdef void _widen(self, int32_t steps, bint prices) noexcept nogil

    # Exact top of book for Cython callers: 0 and nothing else when the side is empty.
    cdef inline int64_t top_price(self, int side) noexcept nogil:
        if self.sides[side].n == 0:
            return 0
        return (self.sides[side].levels[self.sides[side].n - 1].key if side == BID
                else -self.sides[side].levels[self.sides[side].n - 1].key)

    cdef inline int64_t top_quantity(self, int side) noexcept nogil:
        return (self.sides[side].levels[self.sides[side].n - 1].quantity
                if self.sides[side].n else 0)

    cdef object _price(self, int side, uint32_t i)
    cdef object _quantity(self, int side, uint32_t i)
    cdef list _levels(self, int side, object n)
