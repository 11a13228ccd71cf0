"""One side of a book: a sorted array, with or without a ladder of ticks above it.

A ladder changes a level in a few instructions without a branch on where it is: its price gives the
place. The array is the general case: any price, and whatever a window does not reach.
"""

from cython cimport cdivision
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memmove, memset

from mexcfast.core.frame cimport Level
from mexcfast.core.ticks cimport POW10, mul_overflows

cdef enum:
    MIN_CAP = 128               # entries of an array that holds something
    MOVE_PATIENCE = 32          # changes between two moves of a window, so that a best level that
    # jumps to and fro costs no more than a sorted array would
    CHOICE_PATIENCE = 4096      # the same between two choices of the storage
    TRIAL = 32                  # levels a window may lack before another step is tried

cdef extern from *:
    """
    /* W * step must stay below 2**63: then a place stands for one key only */
    #define MEXCFAST_MAX_STEP ((uint64_t)1 << 50)
    #define mexcfast_first_bit(word) __builtin_ctzll(word)
    """
    const uint64_t MAX_STEP "MEXCFAST_MAX_STEP"
    int first_bit "mexcfast_first_bit"(uint64_t word) noexcept nogil   # word is not 0


# -- the array ------------------------------------------------------------------------------------

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


cdef int side_reserve(Side* s, uint32_t n) noexcept nogil:
    cdef uint32_t before = <uint32_t>(s.levels - s.block)
    cdef uint32_t cap = s.cap if s.cap else MIN_CAP
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


cdef void shrink(Side* s) noexcept nogil:
    """Give back what a few levels do not need; keeps all when memory cannot be moved."""
    cdef uint32_t cap = MIN_CAP
    cdef void* moved
    while cap < 4 * s.n:
        cap *= 2
    if cap >= s.cap:
        return
    memmove(s.block + (cap >> 2), s.levels, s.n * sizeof(Entry))
    s.levels = s.block + (cap >> 2)
    moved = realloc(s.block, cap * sizeof(Entry))
    if moved != NULL:
        s.block = <Entry*>moved
        s.levels = s.block + (cap >> 2)
        s.cap = cap


# -- the ladder -----------------------------------------------------------------------------------

cdef inline uint64_t place_of(const Side* s, int64_t key) noexcept nogil:
    """Where the key is kept; WINDOW or more when the window does not hold it.

    An exact division: multiplying by the inverse of an odd number modulo 2**64 divides when there
    is no rest, and else gives more than any quotient can be; so does turning the factors of two.
    """
    cdef uint64_t product = (<uint64_t>key - <uint64_t>s.base) * s.inverse
    return product >> s.twos | product << ((64 - s.twos) & 63)


cdef void set_step(Side* s, uint64_t step) noexcept nogil:
    """step: 1 to MAX_STEP."""
    cdef uint64_t odd
    s.step = step
    s.twos = first_bit(step)
    odd = step >> s.twos
    s.inverse = odd                       # right in 3 bits; each round doubles them
    while s.inverse * odd != 1:
        s.inverse = s.inverse * (2 - odd * s.inverse)


cdef inline void find_top(Side* s) noexcept nogil:
    """Note the best key of window and array."""
    cdef int64_t top = s.levels[s.n - 1].key if s.n else NO_KEY
    if s.held:
        top = max(top, key_at(s, s.best))
    s.top = top


cdef inline void fill(Side* s, uint32_t at, const Entry* entry) noexcept nogil:
    """A new level in the window."""
    s.ladder.slots[at].quantity = entry.quantity
    s.ladder.slots[at].orders = entry.orders
    s.ladder.words[at >> 6] = s.ladder.words[at >> 6] | <uint64_t>1 << (at & 63)
    s.ladder.summary = s.ladder.summary | <uint64_t>1 << (at >> 6)
    s.held = s.held + 1


cdef void take_in(Side* s) noexcept nogil:
    """What the array holds of the window's keys goes into the window."""
    cdef uint32_t i, kept = 0
    cdef uint64_t at
    for i in range(s.n):
        at = place_of(s, s.levels[i].key)
        if at < WINDOW:
            fill(s, <uint32_t>at, &s.levels[i])
        else:
            s.levels[kept] = s.levels[i]
            kept += 1
    s.n = kept
    s.best = place_below(s.ladder, WINDOW - 1)


cdef int put_back(Side* s, int32_t first, int32_t last) noexcept nogil:
    """The levels of words first .. last go into the array; their bits stay. 0, or -1 when memory is
    short and nothing has changed."""
    cdef int32_t w, at
    cdef uint32_t n = 0
    cdef uint64_t word
    for w in range(first, last + 1):
        word = s.ladder.words[w]
        while word:
            n += 1
            word &= word - 1
    if n and side_reserve(s, n):
        return -1
    for w in range(first, last + 1):
        word = s.ladder.words[w]
        while word:             # ascending: each goes behind the one before
            at = 64 * w + first_bit(word)
            put_level(s, key_at(s, at), s.ladder.slots[at].quantity, s.ladder.slots[at].orders)
            word &= word - 1
    s.held = s.held - n
    return 0


cdef int drop_ladder(Side* s) noexcept nogil:
    """Everything into the array; the ladder's memory is kept. 0, or -1 as put_back."""
    if s.ladder == NULL:
        return 0
    if put_back(s, 0, 63):
        return -1
    s.spare = s.ladder
    s.ladder = NULL
    s.best = -1
    return 0


cdef void move_window(Side* s, int64_t words) noexcept nogil:
    """The window goes up by so many words of 64 places, or down when negative; what it leaves goes
    into the array, what it reaches comes out of it. Nothing changes when memory is short."""
    cdef Ladder* ladder = s.ladder
    cdef int32_t shift, w
    if words >= 64 or words <= -64:
        if put_back(s, 0, 63):
            return
        memset(ladder.words, 0, sizeof(ladder.words))
    elif words > 0:
        shift = <int32_t>words
        if put_back(s, 0, shift - 1):
            return
        memmove(ladder.words, ladder.words + shift, (64 - shift) * sizeof(uint64_t))
        memset(ladder.words + 64 - shift, 0, shift * sizeof(uint64_t))
        memmove(ladder.slots, ladder.slots + 64 * shift, (64 - shift) * 64 * sizeof(Slot))
    else:
        shift = <int32_t>-words
        if put_back(s, 64 - shift, 63):
            return
        memmove(ladder.words + shift, ladder.words, (64 - shift) * sizeof(uint64_t))
        memset(ladder.words, 0, shift * sizeof(uint64_t))
        memmove(ladder.slots + 64 * shift, ladder.slots, (64 - shift) * 64 * sizeof(Slot))
    ladder.summary = 0
    for w in range(64):
        ladder.summary |= <uint64_t>(ladder.words[w] != 0) << w
    s.base = <int64_t>(<uint64_t>s.base + <uint64_t>(words * 64) * s.step)
    take_in(s)
    find_top(s)


@cdivision(True)      # unsigned, and never by 0
cdef uint64_t common_step(const Side* s) noexcept nogil:
    """The greatest step that leads from the best level to every other; 0 for fewer than two."""
    cdef uint64_t step = 0, rest
    cdef uint64_t a, b
    cdef uint32_t i = s.n
    while i > 1 and step != 1:
        i -= 1
        a = <uint64_t>s.levels[i].key - <uint64_t>s.levels[i - 1].key
        b = step
        while b:
            rest = a % b
            a = b
            b = rest
        step = a
    return step


cdef void side_choose(Side* s, Storage wanted) noexcept nogil:
    cdef uint64_t step
    cdef uint32_t i, inside = 0
    s.patience = CHOICE_PATIENCE
    if drop_ladder(s):
        return
    if s.n == 0:
        s.patience = 0                  # the first level decides
    if wanted != ARRAYS and s.n >= (1 if wanted == LADDER else MIN_LADDER):
        step = common_step(s)
        if step == 0:
            step = 1
        if step <= MAX_STEP:
            set_step(s, step)
            s.base = <int64_t>(<uint64_t>s.levels[s.n - 1].key
                               - <uint64_t>(WINDOW - AHEAD) * step)
            for i in range(s.n):
                inside += place_of(s, s.levels[i].key) < WINDOW
            if wanted == LADDER or 4 * <uint64_t>inside >= 3 * <uint64_t>s.n:
                if s.spare == NULL:
                    s.spare = <Ladder*>malloc(sizeof(Ladder))
                if s.spare != NULL:               # else the array serves as well
                    s.ladder = s.spare
                    s.spare = NULL
                    s.ladder.summary = 0
                    memset(s.ladder.words, 0, sizeof(s.ladder.words))
                    take_in(s)
                    shrink(s)
    if s.ladder == NULL:
        free(s.spare)
        s.spare = NULL
    find_top(s)


@cdivision(True)      # unsigned, by a step of 1 and above
cdef void side_settle(Side* s, Storage wanted) noexcept nogil:
    cdef int64_t words
    cdef uint64_t away
    if s.ladder == NULL or s.n > s.held + TRIAL:
        side_choose(s, wanted)
        return
    s.patience = MOVE_PATIENCE
    if s.top == NO_KEY:
        return
    # where the best level would be kept, in words; the window may be far off, on either side
    away = <uint64_t>s.top - <uint64_t>s.base
    if away >> 63:
        words = -<int64_t>((0 - away) // s.step >> 6) - 1
    else:
        words = <int64_t>(away // s.step >> 6)
    words -= (WINDOW - AHEAD) // 64
    if words > 4 or words < -4:
        move_window(s, words)


# -- both -----------------------------------------------------------------------------------------

cdef void side_put(Side* s, const Level* levels, uint32_t n, int64_t sign, int32_t price_scale,
                   int32_t quantity_scale) noexcept nogil:
    cdef Ladder* ladder = s.ladder
    cdef uint64_t summary, word, at, bit, is_on
    cdef int32_t high
    cdef uint32_t i, held
    cdef int64_t key, quantity
    if ladder == NULL:
        for i in range(n):
            put_level(s, sign * levels[i].price * POW10[price_scale - levels[i].price_scale],
                      levels[i].quantity * POW10[quantity_scale - levels[i].quantity_scale],
                      levels[i].orders)
        s.top = s.levels[s.n - 1].key if s.n else NO_KEY
        return
    summary = ladder.summary
    high = s.best
    held = s.held
    for i in range(n):
        key = sign * levels[i].price * POW10[price_scale - levels[i].price_scale]
        quantity = levels[i].quantity * POW10[quantity_scale - levels[i].quantity_scale]
        at = place_of(s, key)
        if at >= WINDOW:
            put_level(s, key, quantity, levels[i].orders)
            continue
        is_on = quantity != 0
        word = ladder.words[at >> 6]
        bit = <uint64_t>1 << (at & 63)
        held += <uint32_t>is_on - <uint32_t>(word >> (at & 63) & 1)
        word = (word & ~bit) | is_on << (at & 63)
        ladder.words[at >> 6] = word
        summary = (summary & ~(<uint64_t>1 << (at >> 6))) | <uint64_t>(word != 0) << (at >> 6)
        ladder.slots[at].quantity = quantity
        ladder.slots[at].orders = levels[i].orders
        high = max(high, <int32_t>at)
    ladder.summary = summary
    s.held = held
    s.best = place_below(ladder, high)
    find_top(s)


cdef bint side_get(const Side* s, int64_t key, Entry* out) noexcept nogil:
    cdef uint64_t at
    cdef uint32_t i
    out.key = key
    if s.ladder != NULL:
        at = place_of(s, key)
        if at < WINDOW:
            if not s.ladder.words[at >> 6] >> (at & 63) & 1:
                return False
            out.quantity = s.ladder.slots[at].quantity
            out.orders = s.ladder.slots[at].orders
            return True
    i = find(s, key)
    if i >= s.n or s.levels[i].key != key:
        return False
    out[0] = s.levels[i]
    return True


cdef bint side_can_widen(const Side* s, int32_t steps, bint prices) noexcept nogil:
    cdef Walk walk
    cdef Entry entry
    cdef int64_t scratch = 0
    walk_from_best(s, &walk)
    while walk_on(s, &walk, &entry):
        if mul_overflows(entry.key if prices else entry.quantity, POW10[steps], &scratch):
            return False
    return True


@cdivision(True)      # unsigned, by a power of ten
cdef int side_ready_to_widen(Side* s, int32_t steps) noexcept nogil:
    if s.ladder == NULL or s.step <= MAX_STEP // <uint64_t>POW10[steps]:
        return 0
    if drop_ladder(s):
        return -1
    find_top(s)
    return 0


cdef void side_widen(Side* s, int32_t steps, bint prices) noexcept nogil:
    cdef uint32_t i
    cdef int32_t at
    cdef int64_t factor = POW10[steps]
    if prices:
        for i in range(s.n):
            s.levels[i].key = s.levels[i].key * factor
        if s.ladder != NULL:
            s.base = <int64_t>(<uint64_t>s.base * <uint64_t>factor)
            set_step(s, s.step * <uint64_t>factor)
        find_top(s)
        return
    for i in range(s.n):
        s.levels[i].quantity = s.levels[i].quantity * factor
    if s.ladder != NULL:
        at = s.best
        while at >= 0:
            s.ladder.slots[at].quantity = s.ladder.slots[at].quantity * factor
            at = place_below(s.ladder, at - 1)


cdef void side_clear(Side* s) noexcept nogil:
    s.n = 0
    s.held = 0
    s.best = -1
    s.top = NO_KEY
    s.patience = 0
    if s.ladder != NULL:
        s.spare = s.ladder
        s.ladder = NULL


cdef void side_free(Side* s) noexcept nogil:
    free(s.block)
    free(s.ladder)
    free(s.spare)


cdef const char* side_fault(const Side* s) noexcept nogil:
    cdef uint32_t i, held = 0
    cdef int32_t w, at
    cdef int64_t top = NO_KEY
    if <uint32_t>(s.levels - s.block) + s.n > s.cap:
        return "more levels than room"
    for i in range(s.n):
        if s.levels[i].quantity <= 0:
            return "an empty level"
        if i and s.levels[i - 1].key >= s.levels[i].key:
            return "levels out of order"
        if s.ladder != NULL and place_of(s, s.levels[i].key) < WINDOW:
            return "a level of the window in the array"
        top = s.levels[i].key
    at = -1
    if s.ladder != NULL:
        for w in range(64):
            if (s.ladder.words[w] != 0) != (s.ladder.summary >> w & 1):
                return "the summary is another"
        at = place_below(s.ladder, WINDOW - 1)
    if s.best != at:
        return "the window's best is another"
    if at >= 0:
        top = max(top, key_at(s, at))
    while at >= 0:
        held += 1
        if s.ladder.slots[at].quantity <= 0:
            return "an empty slot"
        if place_of(s, key_at(s, at)) != <uint64_t>at:
            return "a key that is kept elsewhere"
        at = place_below(s.ladder, at - 1)
    if held != s.held:
        return "the window's count is another"
    if s.top != top:
        return "the top is another"
    return NULL
