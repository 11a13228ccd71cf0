"""A level-2 book on exact integers: no sequence, no clock (that is core/depth)."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from mexcfast.core.frame cimport Level
from mexcfast.core.side cimport (
    Walk, is_unsettled, side_can_widen, side_choose, side_clear, side_free,
    side_get, side_put, side_ready_to_widen, side_reserve, side_settle, side_widen, size_of,
    walk_from_best, walk_on,
)
from mexcfast.core.ticks cimport (
    Fixed, MAX_SCALE, as_double, fixed_from_object, mul_overflows, POW10, rescale,
)

from importlib import import_module
from operator import index

from mexcfast.errors import BookError

cdef enum:
    MAX_KEY = 0x7FFFFFFFFFFFFFFF

cdef tuple STORAGES = ("auto", "arrays", "ladder")     # the order of core/side.Storage

cdef extern from *:
    ctypedef long long int128_t "__int128_t"   # sums of price * quantity do not fit 64 bits


cdef inline int widen_level(Level* level, int32_t price_scale,
                            int32_t quantity_scale) noexcept nogil:
    """One level to scales not below its own. 0; 1 when it does not fit (nothing changed)."""
    cdef int64_t price = 0, quantity = 0
    if (mul_overflows(level.price, POW10[price_scale - level.price_scale], &price)
            or mul_overflows(level.quantity, POW10[quantity_scale - level.quantity_scale],
                             &quantity)):
        return 1
    level.price = price
    level.price_scale = price_scale
    level.quantity = quantity
    level.quantity_scale = quantity_scale
    return 0


cdef int side_of(object side) except -1:
    """The side of the book a taker of `side` trades against."""
    if side in ("buy", "ask", "asks"):
        return ASK
    if side in ("sell", "bid", "bids"):
        return BID
    raise ValueError(
        f"side is {side!r}; allowed: 'buy' (walks the asks) or 'sell' (walks the bids)")


cdef int scaled(object value, int32_t scale, str name, int64_t* out) except -1:
    """value * 10**scale, rounded down. 0; 1 when beyond any level, `out` then has its sign."""
    cdef Fixed fixed
    fixed_from_object(value, &fixed, name)
    if fixed.scale > scale:
        # more decimals than the book holds: the part below one step cannot matter
        if fixed.scale - scale > MAX_SCALE:
            out[0] = 0
        else:
            out[0] = fixed.mantissa // POW10[fixed.scale - scale]
        return 0
    if rescale(fixed.mantissa, fixed.scale, scale, out):
        out[0] = fixed.mantissa
        return 1
    return 0


cdef inline void scales_of(const Level* levels, uint32_t n, int32_t* price_scale,
                           int32_t* quantity_scale) noexcept nogil:
    """Raise the scales to the finest among the levels."""
    cdef uint32_t i
    for i in range(n):
        price_scale[0] = max(price_scale[0], levels[i].price_scale)
        quantity_scale[0] = max(quantity_scale[0], levels[i].quantity_scale)


cdef inline int widen_levels(Level* levels, uint32_t n, int32_t price_scale,
                             int32_t quantity_scale) noexcept nogil:
    """All levels to scales not below their own; 0, or 1 when one does not fit."""
    cdef uint32_t i
    for i in range(n):
        if widen_level(&levels[i], price_scale, quantity_scale):
            return 1
    return 0


cdef uint32_t at_most(object n) except? 0:
    """A wanted number of levels; every book holds fewer than 2**32."""
    n = index(n)
    if n < 0:
        raise ValueError(f"n is {n}; allowed: 0 and above, or None for all")
    return min(n, 0xFFFFFFFF)


cdef class Book:
    """Price levels of one contract. Prices read as float, quantities (contracts) too.

    Inside, both are exact integers: price * 10**price_scale and quantity * 10**quantity_scale. The
    scales grow when a level with more decimals arrives.
    """

    def __cinit__(self, *args, **kwargs):
        side_clear(&self.sides[BID])
        side_clear(&self.sides[ASK])

    def __dealloc__(self):
        side_free(&self.sides[BID])
        side_free(&self.sides[ASK])

    cdef int want_storage(self, str storage) except -1:
        if storage not in STORAGES:
            raise BookError(f"storage is {storage!r}; allowed: {', '.join(STORAGES)}")
        self.wanted = <Storage><int>STORAGES.index(storage)
        return 0

    cdef int prepare(self, Level* asks, uint32_t n_asks, Level* bids,
                     uint32_t n_bids) noexcept nogil:
        cdef int32_t price_scale = self.price_scale, quantity_scale = self.quantity_scale
        cdef int32_t more_price, more_quantity
        cdef int side
        scales_of(asks, n_asks, &price_scale, &quantity_scale)
        scales_of(bids, n_bids, &price_scale, &quantity_scale)
        if (widen_levels(asks, n_asks, price_scale, quantity_scale)
                or widen_levels(bids, n_bids, price_scale, quantity_scale)):
            return 1
        more_price = price_scale - self.price_scale
        more_quantity = quantity_scale - self.quantity_scale
        if more_price == 0 and more_quantity == 0:
            return 0
        for side in range(2):
            if ((more_price and not side_can_widen(&self.sides[side], more_price, True))
                    or (more_quantity
                        and not side_can_widen(&self.sides[side], more_quantity, False))):
                return 1
        if more_price:
            if (side_ready_to_widen(&self.sides[BID], more_price)
                    or side_ready_to_widen(&self.sides[ASK], more_price)):
                return -1
            side_widen(&self.sides[BID], more_price, True)
            side_widen(&self.sides[ASK], more_price, True)
            self.price_scale = price_scale
        if more_quantity:
            side_widen(&self.sides[BID], more_quantity, False)
            side_widen(&self.sides[ASK], more_quantity, False)
            self.quantity_scale = quantity_scale
        return 0

    cdef int reserve(self, int side, uint32_t n) noexcept nogil:
        return side_reserve(&self.sides[side], n)

    cdef void put_all(self, int side, const Level* levels, uint32_t n) noexcept nogil:
        if n == 0:
            return
        side_put(&self.sides[side], levels, n, 1 if side == BID else -1, self.price_scale,
                 self.quantity_scale)
        if is_unsettled(&self.sides[side], self.wanted):
            side_settle(&self.sides[side], self.wanted)

    cdef void choose_storage(self) noexcept nogil:
        side_choose(&self.sides[BID], self.wanted)
        side_choose(&self.sides[ASK], self.wanted)

    cdef void clear_levels(self) noexcept nogil:
        side_clear(&self.sides[BID])
        side_clear(&self.sides[ASK])

    cdef bint is_crossed(self) noexcept nogil:
        return (self.sides[BID].top != NO_KEY and self.sides[ASK].top != NO_KEY
                and self.sides[BID].top >= -self.sides[ASK].top)

    cdef uint32_t copy_levels(self, int side, Entry* out, uint32_t max) noexcept nogil:
        cdef Walk walk
        cdef uint32_t n = 0
        walk_from_best(&self.sides[side], &walk)
        while n < max and walk_on(&self.sides[side], &walk, &out[n]):
            n += 1
        return n

    cdef object _price(self, int side, int64_t key):
        return as_double(key if side == BID else -key, self.price_scale)

    cdef object _top(self, int side):
        if self.sides[side].top == NO_KEY:
            return None
        return as_double(self.top_price(side), self.price_scale)

    cdef object _top_quantity(self, int side):
        if self.sides[side].top == NO_KEY:
            return None
        return as_double(self.top_quantity(side), self.quantity_scale)

    @property
    def storage(self):
        """How (bids, asks) are kept now: "arrays" or "ladder" each."""
        return ("ladder" if self.sides[BID].ladder != NULL else "arrays",
                "ladder" if self.sides[ASK].ladder != NULL else "arrays")

    @property
    def best_bid(self):
        """Highest bid price, None when there is no bid."""
        return self._top(BID)

    @property
    def best_ask(self):
        """Lowest ask price, None when there is no ask."""
        return self._top(ASK)

    @property
    def best_bid_quantity(self):
        """Contracts at the best bid, None when there is no bid."""
        return self._top_quantity(BID)

    @property
    def best_ask_quantity(self):
        """Contracts at the best ask, None when there is no ask."""
        return self._top_quantity(ASK)

    @property
    def mid(self):
        """(best_bid + best_ask) / 2, None when a side is empty."""
        if self.sides[BID].top == NO_KEY or self.sides[ASK].top == NO_KEY:
            return None
        return (<double>self.best_bid + <double>self.best_ask) / 2

    @property
    def spread(self):
        """best_ask - best_bid, exact before it becomes a float; None when a side is empty."""
        if self.sides[BID].top == NO_KEY or self.sides[ASK].top == NO_KEY:
            return None
        return as_double(self.top_price(ASK) - self.top_price(BID), self.price_scale)

    @property
    def microprice(self):
        """(bid * ask_quantity + ask * bid_quantity) / (bid_quantity + ask_quantity) at the top."""
        cdef double bid_quantity, ask_quantity
        if self.sides[BID].top == NO_KEY or self.sides[ASK].top == NO_KEY:
            return None
        bid_quantity = self.best_bid_quantity
        ask_quantity = self.best_ask_quantity
        return ((<double>self.best_bid * ask_quantity + <double>self.best_ask * bid_quantity)
                / (bid_quantity + ask_quantity))

    @property
    def depth(self):
        """(number of bid levels, number of ask levels)."""
        return size_of(&self.sides[BID]), size_of(&self.sides[ASK])

    cdef list _levels(self, int side, object n):
        cdef uint32_t count = size_of(&self.sides[side])
        cdef Walk walk
        cdef Entry entry
        cdef list out = []
        if n is not None:
            count = min(count, at_most(n))
        walk_from_best(&self.sides[side], &walk)
        while count and walk_on(&self.sides[side], &walk, &entry):
            out.append((self._price(side, entry.key),
                        as_double(entry.quantity, self.quantity_scale), entry.orders))
            count -= 1
        return out

    def bids(self, n=None):
        """The n best bids (all when None), best first: (price, quantity, orders) each.

        orders is the number of resting orders, -1 when the venue did not say.
        """
        return self._levels(BID, n)

    def asks(self, n=None):
        """The n best asks (all when None), best first: (price, quantity, orders) each."""
        return self._levels(ASK, n)

    def exact(self):
        """(bids, asks), best first, each level (price, quantity, orders) as exact integers.

        price is in units of 10**-price_scale, quantity in units of 10**-quantity_scale.
        """
        cdef Walk walk
        cdef Entry entry
        cdef int side
        cdef tuple out = ([], [])
        for side in range(2):
            walk_from_best(&self.sides[side], &walk)
            while walk_on(&self.sides[side], &walk, &entry):
                (<list>out[side]).append((entry.key if side == BID else -entry.key, entry.quantity,
                                          entry.orders))
        return out

    def as_numpy(self, n=None):
        """(bids, asks), best first: float64 arrays of shape (levels, 3): price, quantity, orders.

        A copy: later frames do not change it. Raises ImportError without NumPy.
        """
        numpy = import_module("numpy")
        cdef double[:, ::1] view
        cdef uint32_t i, count
        cdef int side
        cdef Walk walk
        cdef Entry entry
        cdef list out = []
        for side in range(2):
            count = size_of(&self.sides[side])
            if n is not None:
                count = min(count, at_most(n))
            array = numpy.empty((count, 3))
            if count:
                view = array
                walk_from_best(&self.sides[side], &walk)
                for i in range(count):
                    if not walk_on(&self.sides[side], &walk, &entry):
                        break
                    view[i, 0] = as_double(entry.key if side == BID else -entry.key,
                                           self.price_scale)
                    view[i, 1] = as_double(entry.quantity, self.quantity_scale)
                    view[i, 2] = entry.orders
            out.append(array)
        return tuple(out)

    def average_price(self, side, volume):
        """Average price of taking `volume` contracts now; None when the book holds fewer.

        side: "buy" walks the asks, "sell" the bids. volume: above 0, else ValueError.
        """
        cdef int book_side = side_of(side)
        cdef Fixed wanted
        cdef int64_t left = 0, take
        cdef int32_t finer
        cdef int128_t cost = 0, resting
        cdef Walk walk
        cdef Entry entry
        fixed_from_object(volume, &wanted, "volume")
        if wanted.mantissa <= 0:
            raise ValueError(f"volume is {volume!r}; allowed: above 0")
        finer = max(0, wanted.scale - self.quantity_scale)     # decimals the book's quantities lack
        if finer:
            left = wanted.mantissa
        elif rescale(wanted.mantissa, wanted.scale, self.quantity_scale, &left):
            return None                                        # no book holds that much
        wanted.mantissa = left
        walk_from_best(&self.sides[book_side], &walk)
        while left > 0 and walk_on(&self.sides[book_side], &walk, &entry):
            take = left
            if finer <= MAX_SCALE:      # beyond, any quantity is more than 63 bits of such steps
                resting = <int128_t>entry.quantity * POW10[finer]
                if resting < left:
                    take = <int64_t>resting
            cost += <int128_t>take * entry.key
            left -= take
        if left > 0:
            return None
        if book_side == ASK:
            cost = -cost
        return <double>cost / <double>wanted.mantissa / <double>POW10[self.price_scale]

    def volume_to(self, side, price):
        """Contracts that trade at `price` or better: cumulative depth to a price.

        side: "buy" sums asks at or below price, "sell" bids at or above it.
        """
        cdef int book_side = side_of(side)
        cdef int64_t limit = 0
        cdef int128_t total = 0
        cdef Walk walk
        cdef Entry entry
        if scaled(price, self.price_scale, "price", &limit):
            if (book_side == BID) == (limit > 0):
                return 0.0                # above every bid, or below every ask
            limit = -MAX_KEY
        elif book_side == ASK:
            limit = -limit
        elif _has_rest(price, self.price_scale):
            limit += 1            # rounded down: the step at `limit` is below the price asked for
        walk_from_best(&self.sides[book_side], &walk)
        while walk_on(&self.sides[book_side], &walk, &entry) and entry.key >= limit:
            total += entry.quantity
        return <double>total / <double>POW10[self.quantity_scale]

    def quantity_at(self, side, price):
        """Contracts resting at exactly `price`; side: "bid" or "ask". 0.0 when none."""
        cdef int book_side = side_of(side)
        cdef int64_t key = 0
        cdef Entry entry
        if _has_rest(price, self.price_scale):
            return 0.0
        if scaled(price, self.price_scale, "price", &key):
            return 0.0
        if book_side == ASK:
            key = -key
        if side_get(&self.sides[book_side], key, &entry):
            return as_double(entry.quantity, self.quantity_scale)
        return 0.0


cdef bint _has_rest(object price, int32_t scale) except -1:
    """Whether price has decimals beyond scale."""
    cdef Fixed fixed
    fixed_from_object(price, &fixed, "price")
    return fixed.scale > scale
