"""Durations counted in cells that grow with them: any quantile within 1.6 %, in fixed memory.

The layout is that of HdrHistogram: exact below 128 ns, then 64 cells for each doubling.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

cdef extern from *:
    """
    static inline int mexcfast_top_bit(unsigned long long v) { return 63 - __builtin_clzll(v); }
    """
    int mexcfast_top_bit(uint64_t v) noexcept nogil


cdef inline int cell_of(int64_t value) noexcept nogil:
    cdef int shift
    if value < 2 * HALF:
        return <int>value
    shift = mexcfast_top_bit(<uint64_t>value) - PRECISION_BITS + 1
    if shift > TOP_BIT - PRECISION_BITS:
        return CELLS - 1
    return (shift + 1) * HALF + <int>((value >> shift) - HALF)


cdef inline int64_t last_of(int cell) noexcept nogil:
    """The greatest value that the cell counts."""
    cdef int shift = cell // HALF - 1
    if shift < 0:
        return cell
    return ((<int64_t>(cell % HALF + HALF) + 1) << shift) - 1


cdef class Histogram:
    """Counts of durations in nanoseconds. Recording allocates nothing and takes a few nanoseconds.

    Quantiles are within 1.6 % of the true value; min, max, mean and count are exact. Durations
    below 0 (two clocks that disagree) count as 0 and in `negative`; above 73 minutes only max knows
    them.
    """

    def __cinit__(self):
        self.clear()

    def clear(self):
        """Forget everything."""
        memset(self.cells, 0, sizeof(self.cells))
        self.count = self.total = self.negative = self.most = 0
        self.least = -1

    cdef void add(self, int64_t value_ns) noexcept nogil:
        cdef int i
        if value_ns < 0:
            self.negative = self.negative + 1
            value_ns = 0
        i = cell_of(value_ns)
        self.cells[i] = self.cells[i] + 1     # in place it wants the lock in the debug build
        self.count = self.count + 1
        self.total = self.total + value_ns
        if value_ns > self.most:
            self.most = value_ns
        if value_ns < self.least or self.least < 0:
            self.least = value_ns

    def record(self, int64_t value_ns):
        """Count one duration, nanoseconds."""
        self.add(value_ns)

    def merge(self, Histogram other not None):
        """Add what another one has counted."""
        cdef int i
        if other.count == 0:
            return
        for i in range(CELLS):
            self.cells[i] += other.cells[i]
        self.count += other.count
        self.total += other.total
        self.negative += other.negative
        self.most = max(self.most, other.most)
        self.least = other.least if self.least < 0 else min(self.least, other.least)

    @property
    def min_ns(self):
        """The least duration recorded, None before the first."""
        return self.least if self.count else None

    @property
    def max_ns(self):
        """The greatest duration recorded, None before the first."""
        return self.most if self.count else None

    @property
    def mean_ns(self):
        """The mean, None before the first."""
        return self.total / self.count if self.count else None

    def quantile(self, double q):
        """The value that a share q of all durations does not exceed, None before the first.

        q: 0 to 1; ValueError otherwise. Within 1.6 % above the true value, never beyond max_ns.
        """
        cdef uint64_t wanted, seen = 0
        cdef int i
        if not 0 <= q <= 1:
            raise ValueError(f"q is {q!r}; allowed: 0 to 1")
        if self.count == 0:
            return None
        wanted = max(1, <uint64_t>(q * self.count + 0.9999999))
        for i in range(CELLS):
            seen += self.cells[i]
            if seen >= wanted:
                return self.most if i == CELLS - 1 else min(last_of(i), self.most)
        return self.most

    def cumulative(self, bounds_ns):
        """How many durations each bound covers: [(bound, count at or below it), ...].

        bounds_ns: ascending nanoseconds. A cell that a bound cuts counts for the next bound, so
        the error is that of quantile().
        """
        cdef uint64_t seen = 0
        cdef int i = 0
        found = []
        for bound in bounds_ns:
            while i < CELLS and (last_of(i) if i < CELLS - 1 else self.most) <= bound:
                seen += self.cells[i]
                i += 1
            found.append((bound, seen))
        return found

    def __repr__(self):
        if self.count == 0:
            return "<Histogram, nothing recorded>"
        return (f"<Histogram of {self.count}, p50 {self.quantile(0.5)} ns, "
                f"p99 {self.quantile(0.99)} ns, max {self.most} ns>")
