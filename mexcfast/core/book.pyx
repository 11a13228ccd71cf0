"""A level-2 book on exact integers: no sequence, no clock (that is core/depth)."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove

from mexcfast.core.frame cimport Level
from mexcfast.core.ticks cimport (
    Fixed, MAX_SCALE, as_double, fixed_from_object, mul_overflows, POW10, rescale,
)

from importlib import import_module
from operator import index

cdef enum:
    MAX_KEY = 0x7FFFFFFFFFFFFFFF

cdef extern from *:
    ctypedef long long int128_t "__int128_t"   # sums of price * quantity do not fit 64 bits


cdef inline uint32_t find(const Side* s, int64_t key) noexcept nogil:
    """Index of the first key >= key.

    Without a branch on what it compares: one mispredicted half the time costs more than all this.
    Most changes are among the NEAR best levels; there three steps look at three keys each.
    """
    cdef const Entry* base = s.levels
    cdef uint32_t n = s.n
    cdef uint32_t quarter
    if n >= NEAR and base[n - NEAR].key < key:
        base += n - NEAR
        base += 16 * ((base[15].key < key) + (base[31].key < key) + (base[47].key < key))
        base += 4 * ((base[3].key < key) + (base[7].key < key) + (base[11].key < key))
        base += (base[0].key < key) + (base[1].key < key) + (base[2].key < key)
    elif n == 0:
        return 0
    else:
        while n > 3:
            quarter = n >> 2
            base += <Py_ssize_t>quarter * ((base[quarter - 1].key < key)
                                           + (base[2 * quarter - 1].key < key)
                                           + (base[3 * quarter - 1].key < key))
            n -= 3 * quarter
        while n > 1:
            base += base[0].key < key
            n -= 1
    return <uint32_t>(base - s.levels) + (base[0].key < key)


cdef inline void put_level(Side* s, int64_t key, int64_t quantity, int64_t orders) noexcept nogil:
    """Insert, change or delete, with room for one more behind the last level.

    The shorter end moves, as far as there is room: changes deep in the book are as cheap as near.
    """
    cdef uint32_t i = find(s, key)
    if i < s.n and s.levels[i].key == key:
        if quantity:
            s.levels[i].quantity = quantity
            s.levels[i].orders = orders
            return
        s.n = s.n - 1
        if i < s.n >> 1:
            memmove(s.levels + 1, s.levels, i * sizeof(Entry))
            s.levels = s.levels + 1
        else:
            memmove(s.levels + i, s.levels + i + 1, (s.n - i) * sizeof(Entry))
    elif quantity:
        if i < s.n >> 1 and s.levels > s.block:
            memmove(s.levels - 1, s.levels, i * sizeof(Entry))
            s.levels = s.levels - 1
        else:
            memmove(s.levels + i + 1, s.levels + i, (s.n - i) * sizeof(Entry))
        s.levels[i].key = key
        s.levels[i].quantity = quantity
        s.levels[i].orders = orders
        s.n = s.n + 1


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
        # sides start empty: Cython zeroes the object
        pass

    def __dealloc__(self):
        cdef int side
        for side in range(2):
            free(self.sides[side].block)

    cdef bint _can_widen(self, int32_t steps, bint prices) noexcept nogil:
        """Whether everything stored fits with that many more decimals."""
        cdef int side
        cdef uint32_t i
        cdef int64_t scratch = 0
        for side in range(2):
            for i in range(self.sides[side].n):
                if mul_overflows(self.sides[side].levels[i].key if prices
                                 else self.sides[side].levels[i].quantity, POW10[steps], &scratch):
                    return False
        return True

    cdef void _widen(self, int32_t steps, bint prices) noexcept nogil:
        cdef Side* s
        cdef int side
        cdef uint32_t i
        cdef int64_t factor = POW10[steps]
        for side in range(2):
            s = &self.sides[side]
            for i in range(s.n):
                if prices:
                    s.levels[i].key = s.levels[i].key * factor
                else:
                    s.levels[i].quantity = s.levels[i].quantity * factor
        if prices:
            self.price_scale = self.price_scale + steps
        else:
            self.quantity_scale = self.quantity_scale + steps

    cdef int prepare(self, Level* asks, uint32_t n_asks, Level* bids,
                     uint32_t n_bids) noexcept nogil:
        cdef int32_t price_scale = self.price_scale, quantity_scale = self.quantity_scale
        cdef int32_t more_price, more_quantity
        scales_of(asks, n_asks, &price_scale, &quantity_scale)
        scales_of(bids, n_bids, &price_scale, &quantity_scale)
        if (widen_levels(asks, n_asks, price_scale, quantity_scale)
                or widen_levels(bids, n_bids, price_scale, quantity_scale)):
            return 1
        more_price = price_scale - self.price_scale
        more_quantity = quantity_scale - self.quantity_scale
        if more_price and not self._can_widen(more_price, True):
            return 1
        if more_quantity and not self._can_widen(more_quantity, False):
            return 1
        if more_price:
            self._widen(more_price, True)
        if more_quantity:
            self._widen(more_quantity, False)
        return 0

    cdef int reserve(self, int side, uint32_t n) noexcept nogil:
        cdef Side* s = &self.sides[side]
        cdef uint32_t before = <uint32_t>(s.levels - s.block)
        cdef uint32_t cap = s.cap if s.cap else 256
        cdef void* moved
        if before + s.n + n <= s.cap:
            return 0
        while cap < 2 * (s.n + n):
            cap *= 2
        if cap != s.cap:
            moved = realloc(s.block, cap * sizeof(Entry))
            if moved == NULL:
                return -1
            s.block = <Entry*>moved
            s.cap = cap
        # A quarter of the room in front: `before` lies inside the block, also after it has grown.
        memmove(s.block + (cap >> 2), s.block + before, s.n * sizeof(Entry))
        s.levels = s.block + (cap >> 2)
        return 0

    cdef void put(self, int side, int64_t price, int64_t quantity, int64_t orders) noexcept nogil:
        put_level(&self.sides[side], price if side == BID else -price, quantity, orders)

    cdef int put_all(self, int side, const Level* levels, uint32_t n) noexcept nogil:
        cdef Side* s = &self.sides[side]
        cdef uint32_t i
        if self.reserve(side, n):
            return -1
        if side == BID:
            for i in range(n):
                put_level(s, levels[i].price, levels[i].quantity, levels[i].orders)
        else:
            for i in range(n):
                put_level(s, -levels[i].price, levels[i].quantity, levels[i].orders)
        return 0

    cdef void clear_levels(self) noexcept nogil:
        self.sides[BID].n = 0
        self.sides[ASK].n = 0

    cdef bint is_crossed(self) noexcept nogil:
        return (self.sides[BID].n > 0 and self.sides[ASK].n > 0
                and self.top_price(BID) >= self.top_price(ASK))

    cdef object _price(self, int side, uint32_t i):
        cdef int64_t key = self.sides[side].levels[i].key
        return as_double(key if side == BID else -key, self.price_scale)

    cdef object _quantity(self, int side, uint32_t i):
        return as_double(self.sides[side].levels[i].quantity, self.quantity_scale)

    @property
    def best_bid(self):
        """Highest bid price, None when there is no bid."""
        return self._price(BID, self.sides[BID].n - 1) if self.sides[BID].n else None

    @property
    def best_ask(self):
        """Lowest ask price, None when there is no ask."""
        return self._price(ASK, self.sides[ASK].n - 1) if self.sides[ASK].n else None

    @property
    def best_bid_quantity(self):
        """Contracts at the best bid, None when there is no bid."""
        return self._quantity(BID, self.sides[BID].n - 1) if self.sides[BID].n else None

    @property
    def best_ask_quantity(self):
        """Contracts at the best ask, None when there is no ask."""
        return self._quantity(ASK, self.sides[ASK].n - 1) if self.sides[ASK].n else None

    @property
    def mid(self):
        """(best_bid + best_ask) / 2, None when a side is empty."""
        if not self.sides[BID].n or not self.sides[ASK].n:
            return None
        return (<double>self.best_bid + <double>self.best_ask) / 2

    @property
    def spread(self):
        """best_ask - best_bid, exact before it becomes a float; None when a side is empty."""
        if not self.sides[BID].n or not self.sides[ASK].n:
            return None
        return as_double(self.top_price(ASK) - self.top_price(BID), self.price_scale)

    @property
    def microprice(self):
        """(bid * ask_quantity + ask * bid_quantity) / (bid_quantity + ask_quantity) at the top."""
        cdef double bid_quantity, ask_quantity
        if not self.sides[BID].n or not self.sides[ASK].n:
            return None
        bid_quantity = self.best_bid_quantity
        ask_quantity = self.best_ask_quantity
        return ((<double>self.best_bid * ask_quantity + <double>self.best_ask * bid_quantity)
                / (bid_quantity + ask_quantity))

    @property
    def depth(self):
        """(number of bid levels, number of ask levels)."""
        return self.sides[BID].n, self.sides[ASK].n

    cdef list _levels(self, int side, object n):
        cdef uint32_t count = self.sides[side].n
        cdef uint32_t i
        cdef list out = []
        if n is not None:
            count = min(count, at_most(n))
        for i in range(self.sides[side].n - count, self.sides[side].n):
            out.append((self._price(side, i), self._quantity(side, i),
                        self.sides[side].levels[i].orders))
        out.reverse()
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
        cdef uint32_t i
        cdef list bids = [], asks = []
        for i in range(self.sides[BID].n):
            bids.append((self.sides[BID].levels[i].key, self.sides[BID].levels[i].quantity,
                         self.sides[BID].levels[i].orders))
        for i in range(self.sides[ASK].n):
            asks.append((-self.sides[ASK].levels[i].key, self.sides[ASK].levels[i].quantity,
                         self.sides[ASK].levels[i].orders))
        bids.reverse()
        asks.reverse()
        return bids, asks

    def as_numpy(self, n=None):
        """(bids, asks), best first: float64 arrays of shape (levels, 3): price, quantity, orders.

        A copy: later frames do not change it. Raises ImportError without NumPy.
        """
        numpy = import_module("numpy")
        cdef double[:, ::1] view
        cdef uint32_t i, count
        cdef Py_ssize_t row
        cdef int side
        cdef list out = []
        for side in range(2):
            count = self.sides[side].n if n is None else min(self.sides[side].n, at_most(n))
            array = numpy.empty((count, 3))
            if count:
                view = array
                for i in range(count):
                    row = self.sides[side].n - 1 - i
                    view[i, 0] = self._price(side, row)
                    view[i, 1] = self._quantity(side, row)
                    view[i, 2] = self.sides[side].levels[row].orders
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
        cdef uint32_t i = self.sides[book_side].n
        fixed_from_object(volume, &wanted, "volume")
        if wanted.mantissa <= 0:
            raise ValueError(f"volume is {volume!r}; allowed: above 0")
        finer = max(0, wanted.scale - self.quantity_scale)     # decimals the book's quantities lack
        if finer:
            left = wanted.mantissa
        elif rescale(wanted.mantissa, wanted.scale, self.quantity_scale, &left):
            return None                                        # no book holds that much
        wanted.mantissa = left
        while left > 0 and i > 0:
            i -= 1
            take = left
            if finer <= MAX_SCALE:      # beyond, any quantity is more than 63 bits of such steps
                resting = <int128_t>self.sides[book_side].levels[i].quantity * POW10[finer]
                if resting < left:
                    take = <int64_t>resting
            cost += <int128_t>take * self.sides[book_side].levels[i].key
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
        cdef uint32_t i = self.sides[book_side].n
        if scaled(price, self.price_scale, "price", &limit):
            if (book_side == BID) == (limit > 0):
                return 0.0                # above every bid, or below every ask
            limit = -MAX_KEY
        elif book_side == ASK:
            limit = -limit
        elif _has_rest(price, self.price_scale):
            limit += 1            # rounded down: the step at `limit` is below the price asked for
        while i > 0 and self.sides[book_side].levels[i - 1].key >= limit:
            i -= 1
            total += self.sides[book_side].levels[i].quantity
        return <double>total / <double>POW10[self.quantity_scale]

    def quantity_at(self, side, price):
        """Contracts resting at exactly `price`; side: "bid" or "ask". 0.0 when none."""
        cdef int book_side = side_of(side)
        cdef int64_t key = 0
        cdef uint32_t i
        if _has_rest(price, self.price_scale):
            return 0.0
        if scaled(price, self.price_scale, "price", &key):
            return 0.0
        if book_side == ASK:
            key = -key
        i = find(&self.sides[book_side], key)
        if i < self.sides[book_side].n and self.sides[book_side].levels[i].key == key:
            return self._quantity(book_side, i)
        return 0.0


cdef bint _has_rest(object price, int32_t scale) except -1:
    """Whether price has decimals beyond scale."""
    cdef Fixed fixed
    fixed_from_object(price, &fixed, "price")
    return fixed.scale > scale
