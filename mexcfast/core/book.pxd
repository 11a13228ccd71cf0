# A level-2 book on exact integers. How a side keeps its levels is core/side's business; here are
# what both sides share and all reads.
from libc.stdint cimport int32_t, int64_t, uint32_t

from mexcfast.core.frame cimport Level
from mexcfast.core.side cimport ASK, BID, Entry, NO_KEY, Side, Storage

cdef class Book:
    cdef:
        Side sides[2]
        readonly int32_t price_scale      # prices inside are price * 10**price_scale
        readonly int32_t quantity_scale
        Storage wanted

    # "auto", "arrays" or "ladder", from the next choice on; BookError for others.
    cdef int want_storage(self, str storage) except -1
    # Both sides' levels to the book's scales, in place. 0; 1 when one does not fit, -1 when memory
    # is short, and the book is as before.
    cdef int prepare(self, Level* asks, uint32_t n_asks, Level* bids,
                     uint32_t n_bids) noexcept nogil
    # Room for n more levels on one side. 0, or -1 when memory is short.
    cdef int reserve(self, int side, uint32_t n) noexcept nogil
    # n levels, prepared and reserved for; quantity 0 deletes.
    cdef void put_all(self, int side, const Level* levels, uint32_t n) noexcept nogil
    # The storage of both sides is chosen from what they hold now: after a snapshot.
    cdef void choose_storage(self) noexcept nogil
    cdef void clear_levels(self) noexcept nogil
    cdef bint is_crossed(self) noexcept nogil
    # Up to max levels, best first, into out: how many were written. Keys of asks are negative.
    cdef uint32_t copy_levels(self, int side, Entry* out, uint32_t max) noexcept nogil

    # Exact top of book for Cython callers: 0 and nothing else when the side is empty.
    cdef inline int64_t top_price(self, int side) noexcept nogil:
        if self.sides[side].top == NO_KEY:
            return 0
        return self.sides[side].top if side == BID else -self.sides[side].top

    cdef inline int64_t top_quantity(self, int side) noexcept nogil:
        cdef Side* s = &self.sides[side]
        if s.top == NO_KEY:
            return 0
        if s.n and s.levels[s.n - 1].key == s.top:
            return s.levels[s.n - 1].quantity
        return s.ladder.slots[s.best].quantity

    cdef object _price(self, int side, int64_t key)
    cdef object _top(self, int side)
    cdef object _top_quantity(self, int side)
    cdef list _levels(self, int side, object n)
