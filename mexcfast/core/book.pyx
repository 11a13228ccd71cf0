"""A level-2 book on exact integers: no sequence, no clock (that is core/depth)."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove

from mexcfast.core.frame cimport Level
from mexcfast.core.ticks cimport (
    Fixed, MAX_SCALE, as_double, fixed_from_object, mul_overflows, POW10, rescale,
)

cdef extern from *:
    ctypedef long long int128_t "__int128_t"   # sums of price * quantity do not fit 64 bits


cdef inline uint32_t find(const Side* s, int64_t key) noexcept nogil:
    """Index of the first key >= key: a short walk from the best level, then bisection."""
    cdef uint32_t high = s.n
    cdef uint32_t low, middle
    cdef int steps = 12
    while steps > 0:
        if high == 0 or s.keys[high - 1] < key:
            return high
        high -= 1
        steps -= 1
    low = 0
    while low < high:
        middle = (low + high) >> 1
        if s.keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef int side_of(object side) except -1:
    """The side of the book a taker of `side` trades against."""
    if side in ("buy", "ask", "asks"):
        return ASK
    if side in ("sell", "bid", "bids"):
        return BID
    raise ValueError(f"side is {side!r}; allowed: 'buy' (walks the asks) or 'sell' (walks the bids)")


cdef int scaled(object value, int32_t scale, str name, int64_t* out) except -1:
    """value * 10**scale, rounded down; never overflows silently."""
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
        raise ValueError(f"{name} is {value!r}; it does not fit 63 bits at {scale} decimals")
    return 0


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
            free(self.sides[side].keys)
            free(self.sides[side].entries)

    cdef int _widen(self, int32_t* scale, int32_t to_scale, bint prices) noexcept nogil:
        """Everything stored to more decimals. 0; 1 when something would not fit (nothing changed)."""
        cdef int side
        cdef uint32_t i
        cdef int64_t scratch = 0
        cdef int64_t factor
        if to_scale > MAX_SCALE:
            return 1
        factor = POW10[to_scale - scale[0]]
        for side in range(2):
            for i in range(self.sides[side].n):
                if mul_overflows(self.sides[side].keys[i] if prices
                                 else self.sides[side].entries[i].quantity, factor, &scratch):
                    return 1
        for side in range(2):
            for i in range(self.sides[side].n):
                if prices:
                    self.sides[side].keys[i] = self.sides[side].keys[i] * factor
                else:
                    self.sides[side].entries[i].quantity = (
                        self.sides[side].entries[i].quantity * factor)
        scale[0] = to_scale
        return 0

    cdef int prepare(self, Level* levels, uint32_t n) noexcept nogil:
        cdef uint32_t i
        cdef int32_t price_scale = self.price_scale, quantity_scale = self.quantity_scale
        cdef int64_t value = 0
        for i in range(n):
            price_scale = max(price_scale, levels[i].price_scale)
            quantity_scale = max(quantity_scale, levels[i].quantity_scale)
        for i in range(n):
            if levels[i].price_scale != price_scale:
                if rescale(levels[i].price, levels[i].price_scale, price_scale, &value):
                    return 1
                levels[i].price = value
                levels[i].price_scale = price_scale
            if levels[i].quantity_scale != quantity_scale:
                if rescale(levels[i].quantity, levels[i].quantity_scale, quantity_scale, &value):
                    return 1
                levels[i].quantity = value
                levels[i].quantity_scale = quantity_scale
        if price_scale != self.price_scale and self._widen(&self.price_scale, price_scale, True):
            return 1
        if quantity_scale != self.quantity_scale:
            return self._widen(&self.quantity_scale, quantity_scale, False)
        return 0

    cdef int reserve(self, int side, uint32_t n) noexcept nogil:
        cdef Side* s = &self.sides[side]
        cdef uint32_t cap = s.cap if s.cap else 256
        cdef void* moved
        while cap < s.n + n:
            cap *= 2
        if cap == s.cap:
            return 0
        moved = realloc(s.keys, cap * sizeof(int64_t))
        if moved == NULL:
            return -1
        s.keys = <int64_t*>moved
        moved = realloc(s.entries, cap * sizeof(Entry))
        if moved == NULL:
            return -1
        s.entries = <Entry*>moved
        s.cap = cap
        return 0

    cdef void put(self, int side, int64_t price, int64_t quantity, int64_t orders) noexcept nogil:
        cdef Side* s = &self.sides[side]
        cdef int64_t key = price if side == BID else -price
        cdef uint32_t i = find(s, key)
        cdef uint32_t behind
        if i < s.n and s.keys[i] == key:
            if quantity:
                s.entries[i].quantity = quantity
                s.entries[i].orders = orders
                return
            behind = s.n - i - 1
            memmove(s.keys + i, s.keys + i + 1, behind * sizeof(int64_t))
            memmove(s.entries + i, s.entries + i + 1, behind * sizeof(Entry))
            s.n -= 1
        elif quantity:
            behind = s.n - i
            memmove(s.keys + i + 1, s.keys + i, behind * sizeof(int64_t))
            memmove(s.entries + i + 1, s.entries + i, behind * sizeof(Entry))
            s.keys[i] = key
            s.entries[i].quantity = quantity
            s.entries[i].orders = orders
            s.n += 1

    cdef int put_all(self, int side, const Level* levels, uint32_t n) noexcept nogil:
        cdef uint32_t i
        if self.reserve(side, n):
            return -1
        for i in range(n):
            self.put(side, levels[i].price, levels[i].quantity, levels[i].orders)
        return 0

    cdef void clear_levels(self) noexcept nogil:
        self.sides[BID].n = 0
        self.sides[ASK].n = 0

    cdef bint is_crossed(self) noexcept nogil:
        return (self.sides[BID].n > 0 and self.sides[ASK].n > 0
                and self.top_price(BID) >= self.top_price(ASK))

    cdef object _price(self, int side, uint32_t i):
        cdef int64_t key = self.sides[side].keys[i]
        return as_double(key if side == BID else -key, self.price_scale)

    cdef object _quantity(self, int side, uint32_t i):
        return as_double(self.sides[side].entries[i].quantity, self.quantity_scale)

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
            if n < 0:
                raise ValueError(f"n is {n}; allowed: 0 and above, or None for all")
            count = min(count, <object>n)
        for i in range(self.sides[side].n - count, self.sides[side].n):
            out.append((self._price(side, i), self._quantity(side, i),
                        self.sides[side].entries[i].orders))
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
            bids.append((self.sides[BID].keys[i], self.sides[BID].entries[i].quantity,
                         self.sides[BID].entries[i].orders))
        for i in range(self.sides[ASK].n):
            asks.append((-self.sides[ASK].keys[i], self.sides[ASK].entries[i].quantity,
                         self.sides[ASK].entries[i].orders))
        bids.reverse()
        asks.reverse()
        return bids, asks

    def as_numpy(self, n=None):
        """(bids, asks), best first: float64 arrays of shape (levels, 3): price, quantity, orders.

        A copy: later frames do not change it. Raises ImportError without NumPy.
        """
        import numpy
        cdef double[:, ::1] view
        cdef uint32_t i, count
        cdef Py_ssize_t row
        cdef int side
        cdef list out = []
        if n is not None and n < 0:
            raise ValueError(f"n is {n}; allowed: 0 and above, or None for all")
        for side in range(2):
            count = self.sides[side].n if n is None else min(self.sides[side].n, <object>n)
            array = numpy.empty((count, 3))
            if count:
                view = array
                for i in range(count):
                    row = self.sides[side].n - 1 - i
                    view[i, 0] = self._price(side, row)
                    view[i, 1] = self._quantity(side, row)
                    view[i, 2] = self.sides[side].entries[row].orders
            out.append(array)
        return tuple(out)

    def average_price(self, side, volume):
        """Average price of taking `volume` contracts now; None when the book holds fewer.

        side: "buy" walks the asks, "sell" the bids. volume: above 0, else ValueError.
        """
        cdef int book_side = side_of(side)
        cdef int64_t left = 0, wanted, take
        cdef int128_t cost = 0
        cdef uint32_t i = self.sides[book_side].n
        scaled(volume, self.quantity_scale, "volume", &left)
        if left <= 0:
            raise ValueError(f"volume is {volume!r}; allowed: at least one lot of the book")
        wanted = left
        while left > 0 and i > 0:
            i -= 1
            take = min(left, self.sides[book_side].entries[i].quantity)
            cost += <int128_t>take * self.sides[book_side].keys[i]
            left -= take
        if left > 0:
            return None
        if book_side == ASK:
            cost = -cost
        return <double>cost / <double>wanted / <double>POW10[self.price_scale]

    def volume_to(self, side, price):
        """Contracts that trade at `price` or better: cumulative depth to a price.

        side: "buy" sums asks at or below price, "sell" bids at or above it.
        """
        cdef int book_side = side_of(side)
        cdef int64_t limit = 0
        cdef int128_t total = 0
        cdef uint32_t i = self.sides[book_side].n
        scaled(price, self.price_scale, "price", &limit)
        if book_side == ASK:
            limit = -limit
        elif _has_rest(price, self.price_scale):
            limit += 1            # rounded down: the step at `limit` is below the price asked for
        while i > 0 and self.sides[book_side].keys[i - 1] >= limit:
            i -= 1
            total += self.sides[book_side].entries[i].quantity
        return <double>total / <double>POW10[self.quantity_scale]

    def quantity_at(self, side, price):
        """Contracts resting at exactly `price`; side: "bid" or "ask". 0.0 when none."""
        cdef int book_side = side_of(side)
        cdef int64_t key = 0
        cdef uint32_t i
        if _has_rest(price, self.price_scale):
            return 0.0
        scaled(price, self.price_scale, "price", &key)
        if book_side == ASK:
            key = -key
        i = find(&self.sides[book_side], key)
        if i < self.sides[book_side].n and self.sides[book_side].keys[i] == key:
            return self._quantity(book_side, i)
        return 0.0


cdef bint _has_rest(object price, int32_t scale) except -1:
    """Whether price has decimals beyond scale."""
    cdef Fixed fixed
    fixed_from_object(price, &fixed, "price")
    return fixed.scale > scale
