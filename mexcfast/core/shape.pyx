"""Depth frames of a known shape, read without looking at their keys (see shape.pxd).

Whatever is unusual in any way goes to Message.parse, the only judge: here nothing is refused, and
what is accepted parse() reads the same (tests/core/test_shape.py, tests/fuzz hold both to it).

Numbers are found by one mask of all bytes that are no digits and read eight digits at a time, so
that no branch depends on how long they are: quantities differ in length from level to level, and a
mispredicted branch costs as much as reading a number.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from mexcfast.core.frame cimport (
    Field, KEY_ASKS, KEY_BEGIN, KEY_BIDS, KEY_END, KEY_SYMBOL, KEY_TS, KEY_VERSION, Level,
    MAX_PIECES, Message, Piece, SHAPE_WORDS, Shape, TAG_DEPTH, grow, plain_level,
)
from mexcfast.core.scan cimport ABSENT, ARRAY, ESCAPED, INTEGRAL, NUMBER, STRING, Value
from mexcfast.core.ticks cimport MAX_SCALE

cdef extern from *:
    """
    #if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "mexcfast reads digits as little-endian words"
    #endif
    #define mexcfast_first_bit(word) ((uint32_t)__builtin_ctzll(word))
    #define mexcfast_likely(x) __builtin_expect(!!(x), 1)

    /* Bit i: byte i of 32 is no digit. */
    #if defined(__SSE2__) && !defined(MEXCFAST_PORTABLE)
    #include <emmintrin.h>
    static inline uint64_t mexcfast_no_digits(const char *p) {
        const __m128i zero = _mm_set1_epi8('0'), nine = _mm_set1_epi8(9);
        __m128i a = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), zero);
        __m128i b = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(p + 16)), zero);
        uint32_t low = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(a, nine), a));
        uint32_t high = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(b, nine), b));
        return (uint32_t)~(low | high << 16);
    }
    #else
    static inline uint64_t mexcfast_no_digits8(const char *p) {
        uint64_t x;
        memcpy(&x, p, 8);
        x ^= 0x3030303030303030u;                           /* a digit becomes 0 .. 9 */
        x = (((x & 0x7F7F7F7F7F7F7F7Fu) + 0x7676767676767676u) | x) & 0x8080808080808080u;
        return (x >> 7) * 0x0102040810204080u >> 56;        /* one bit a byte */
    }
    static inline uint64_t mexcfast_no_digits(const char *p) {
        return mexcfast_no_digits8(p) | mexcfast_no_digits8(p + 8) << 8
            | mexcfast_no_digits8(p + 16) << 16 | mexcfast_no_digits8(p + 24) << 24;
    }
    #endif

    /* Keeps the low half of each of the last n bytes of a word of text. */
    static const uint64_t mexcfast_keep[9] = {
        0, 0x0F00000000000000u, 0x0F0F000000000000u, 0x0F0F0F0000000000u, 0x0F0F0F0F00000000u,
        0x0F0F0F0F0F000000u, 0x0F0F0F0F0F0F0000u, 0x0F0F0F0F0F0F0F00u, 0x0F0F0F0F0F0F0F0Fu};

    /* The n digits before stop as a word, 0 <= n <= 8; eight bytes before stop can be read. */
    static inline uint64_t mexcfast_word(const char *stop, uint32_t n) {
        uint64_t x;
        memcpy(&x, stop - 8, 8);
        return x & mexcfast_keep[n];
    }
    static inline uint64_t mexcfast_number(uint64_t x) {
        x = x * 2561 >> 8;                                  /* pairs */
        x = (x & 0x00FF00FF00FF00FFu) * 6553601 >> 16;      /* fours */
        return (x & 0x0000FFFF0000FFFFu) * 42949672960001u >> 32;
    }
    #define mexcfast_digits(stop, n) mexcfast_number(mexcfast_word(stop, n))
    """
    uint32_t first_bit "mexcfast_first_bit"(uint64_t word) noexcept nogil    # word is not 0
    bint likely "mexcfast_likely"(bint x) noexcept nogil
    uint64_t no_digits "mexcfast_no_digits"(const char* p) noexcept nogil
    uint64_t word_before "mexcfast_word"(const char* stop, uint32_t n) noexcept nogil
    uint64_t number_of_word "mexcfast_number"(uint64_t word) noexcept nogil
    uint64_t digits_before "mexcfast_digits"(const char* stop, uint32_t n) noexcept nogil

cdef enum:
    AHEAD_OF_LEVEL = 40     # bytes that level_at may look at
    MAX_SYMBOL = 60         # bytes, as in core/frame
    LEARN_EVERY = 16        # frames of other shapes between two attempts to learn one


cdef inline const char* level_at(const char* q, Level* out) noexcept nogil:
    """Past one price,quantity,orders] of plain digits; NULL for other forms.

    q: behind the opening bracket; AHEAD_OF_LEVEL bytes from it and 8 before can be read. A price
    has up to 8 digits, a single 0 before the point not counted; quantity and orders up to 8 each.
    What is accepted here Message._level reads the same.
    """
    # four bits behind the last byte seen, so that there are always four to find
    cdef uint64_t all_marks = no_digits(q) | <uint64_t>15 << 32
    cdef uint64_t marks, whole
    cdef uint32_t point, price_end, quantity_end, end, has_point, is_zero, fraction, lengths, bad
    point = first_bit(all_marks)
    has_point = q[point] == b"."
    marks = all_marks & (all_marks - has_point)
    price_end = first_bit(marks)
    marks &= marks - 1
    quantity_end = first_bit(marks)
    marks &= marks - 1
    end = first_bit(marks)
    fraction = price_end - point - has_point
    is_zero = q[0] == b"0"
    # each is 0 to 7 when right, and huge when a number has no digit
    lengths = ((point - 1) | (fraction - has_point) | (point + fraction - 1 - (is_zero & has_point))
               | (quantity_end - price_end - 2) | (end - quantity_end - 2))
    bad = ((q[price_end] ^ 44) | (q[quantity_end] ^ 44) | (q[end] ^ 93) | (lengths & ~<uint32_t>7)
           # no number of several digits starts with 0, and no fraction ends so
           | is_zero & (point != 1)
           | (q[price_end + 1] == 48) & (quantity_end - price_end != 2)
           | (q[quantity_end + 1] == 48) & (end - quantity_end != 2)
           | has_point & ((q + price_end - 1)[0] == 48))    # the bracket when there is no digit
    if bad:
        return NULL
    # one word of the digits before the point and behind it; the first may all be pushed out
    whole = word_before(q + point, point) >> (4 * fraction) >> (4 * fraction)
    out.price = <int64_t>number_of_word(whole | word_before(q + price_end, fraction))
    out.quantity = <int64_t>digits_before(q + quantity_end, quantity_end - price_end - 1)
    out.orders = <int64_t>digits_before(q + end, end - quantity_end - 1)
    out.price_scale = <int32_t>fraction
    out.quantity_scale = 0
    return q + end + 1 if out.price else NULL


cdef const char* read_levels(Message m, bint is_ask, const char* p, const char* end) noexcept nogil:
    """Past one list of plain levels; NULL for other forms.

    p: at its opening bracket, 8 bytes and more into a text whose last byte is a closing brace.
    """
    cdef Level* levels = m.asks if is_ask else m.bids
    cdef uint32_t cap = m.cap_asks if is_ask else m.cap_bids
    cdef uint32_t n = 0
    cdef int64_t price_bits = m.price_bits, quantity_bits = m.quantity_bits
    cdef int32_t finest = m.finest, coarsest = m.coarsest
    cdef const char* q
    if p >= end or p[0] != b"[":
        return NULL
    p += 1                        # not behind the closing brace: the bracket was not that
    if p[0] == b"]":
        p += 1
    else:
        while True:
            if p[0] != b"[":
                return NULL
            if n >= cap:
                if (grow(<void**>&m.asks, &m.cap_asks, n, sizeof(Level)) if is_ask
                        else grow(<void**>&m.bids, &m.cap_bids, n, sizeof(Level))):
                    return NULL
                levels = m.asks if is_ask else m.bids
                cap = m.cap_asks if is_ask else m.cap_bids
            q = level_at(p + 1, &levels[n]) if likely(end - p > AHEAD_OF_LEVEL) else NULL
            if q == NULL:
                q = plain_level(p, &levels[n])
                if q == NULL:
                    return NULL
            price_bits |= levels[n].price
            quantity_bits |= levels[n].quantity
            finest = max(finest, levels[n].price_scale)
            coarsest = min(coarsest, levels[n].price_scale)
            n += 1
            p = q + 1             # a bracket stood before q: q is not behind the closing brace
            if q[0] == b"]":
                break
            if q[0] != b",":
                return NULL       # the brace itself ends here
    m.price_bits = price_bits
    m.quantity_bits = quantity_bits
    m.finest = finest
    m.coarsest = coarsest
    if is_ask:
        m.n_asks = n
    else:
        m.n_bids = n
    return p


cdef inline const char* read_integer(const char* p, const char* end, int64_t* out) noexcept nogil:
    """Past 1 to 16 digits; NULL for other forms. Text of 32 bytes and more ends at `end`."""
    cdef uint64_t mask
    cdef uint32_t n
    if end - p >= 32:
        mask = no_digits(p)
    else:
        mask = no_digits(end - 32) >> (32 - (end - p))
    n = first_bit(mask | <uint64_t>1 << 32)
    if n - 1 > 15 or (p[0] == b"0" and n != 1) or p + n >= end:
        return NULL
    if n > 8:
        out[0] = <int64_t>(digits_before(p + n - 8, n - 8) * 100000000 + digits_before(p + n, 8))
    else:
        out[0] = <int64_t>digits_before(p + n, n)
    return p + n


cdef const char* read_symbol(Message m, const char* p, const char* end) noexcept nogil:
    """Past 1 to MAX_SYMBOL plain characters, kept in m, to the closing quote; NULL for others."""
    cdef Shape* shape = &m.shape
    cdef const char* start = p
    cdef uint32_t n = shape.symbol_size
    cdef uint8_t byte
    if n and end - p > n and p[n] == b'"' and memcmp(p, shape.symbol, n) == 0:
        p += n
    else:
        while True:
            if p >= end:
                return NULL
            byte = <uint8_t>p[0]
            if byte == 34:
                break
            if byte == 92 or byte < 32 or byte > 127:
                return NULL
            p += 1
        if p == start or p - start > MAX_SYMBOL:
            return NULL
        shape.symbol_size = <uint32_t>(p - start)
        memcpy(shape.symbol, start, shape.symbol_size)
    memcpy(m.symbol_text, shape.symbol, sizeof(shape.symbol))
    m.symbol_size = shape.symbol_size
    return p


cdef inline bint is_same(const char* p, const char* end, const Shape* shape,
                         const Piece* piece) noexcept nogil:
    """Whether the piece's text stands at p, which has room for it."""
    cdef const uint64_t* text = &shape.text[piece.first]
    cdef const uint64_t* mask = &shape.mask[piece.first]
    cdef uint64_t word = 0, other = 0
    cdef uint32_t i
    if end - p < 8 * piece.words:
        return memcmp(p, text, piece.size) == 0
    for i in range(piece.words):
        memcpy(&word, p + 8 * i, 8)
        other |= (word ^ text[i]) & mask[i]
    return other == 0


cdef inline const char* next_piece(Message m, uint32_t i, const char* p, const char* end,
                                   int64_t* numbers) noexcept nogil:
    """Past piece i and the member behind it; NULL when they are others, p when there is no such."""
    cdef Shape* shape = &m.shape
    cdef const Piece* piece = &shape.pieces[i]
    if p == NULL or i >= shape.n:
        return p
    if end - p < piece.size or not is_same(p, end, shape, piece):
        return NULL
    p += piece.size
    if piece.what >= KEY_VERSION or piece.what == KEY_TS:
        return read_integer(p, end, &numbers[piece.what])
    if piece.what >= KEY_ASKS:
        return read_levels(m, piece.what == KEY_ASKS, p, end)
    return read_symbol(m, p, end) if piece.what else p


cdef int read_shape(Message m, const char* text, Py_ssize_t size) noexcept nogil:
    cdef Shape* shape = &m.shape
    cdef const char* p = text
    cdef const char* end = text + size
    cdef int64_t numbers[KEY_END + 1]
    cdef int64_t begin, last, version
    if shape.n == 0 or size < shape.least or (end - 1)[0] != b"}":
        return 1
    m.n_asks = m.n_bids = 0
    m.price_bits = m.quantity_bits = 0
    m.finest = 0
    m.coarsest = MAX_SCALE
    numbers[<int>KEY_BEGIN] = numbers[<int>KEY_END] = 0
    numbers[<int>KEY_VERSION] = numbers[<int>KEY_TS] = -1
    # One after the other and not in a loop: a stream's third piece is always the same, the piece
    # after the last one is not, and a branch of its own is never guessed wrong.
    p = next_piece(m, 0, p, end, numbers)
    p = next_piece(m, 1, p, end, numbers)
    p = next_piece(m, 2, p, end, numbers)
    p = next_piece(m, 3, p, end, numbers)
    p = next_piece(m, 4, p, end, numbers)
    p = next_piece(m, 5, p, end, numbers)
    p = next_piece(m, 6, p, end, numbers)
    p = next_piece(m, 7, p, end, numbers)
    if p != end:
        return 1
    # the rules of Message._check_depth
    begin = numbers[<int>KEY_BEGIN]
    last = numbers[<int>KEY_END]
    version = numbers[<int>KEY_VERSION]
    if last == 0:
        last = version
    if last < 0 or (version >= 0 and version != last) or begin > last:
        return 1
    m.text = text
    m.size = size
    m.brief = True
    m.tag = TAG_DEPTH
    m.n_fields = m.n_top = m.n_rows = 0
    m.rows[0].field = m.rows[1].field = 0        # find() finds nothing
    m.has_rows = False
    m.why = m.levels_why = NULL
    m.has_range = begin > 0
    m.begin = begin if begin > 0 else last
    m.end = last
    m.ts_ms = numbers[<int>KEY_TS]
    m.coarsest = min(m.coarsest, m.finest)       # also when there is no level
    return 0


# -- learning -------------------------------------------------------------------------------------

cdef bint add(Piece* found, uint32_t* n, uint8_t what, const Value* value,
              const char* text) noexcept nogil:
    """Note where a member's value stands; False when it is no plain one, or came before."""
    cdef uint32_t i
    if what == KEY_ASKS or what == KEY_BIDS:
        if value.kind != ARRAY:
            return False
    elif what == KEY_SYMBOL:
        if value.kind != STRING or value.flags & ESCAPED:
            return False
    elif value.kind != NUMBER or not value.flags & INTEGRAL:
        return False
    for i in range(n[0]):
        if found[i].what == what:
            return False
    i = n[0]
    while i > 0 and found[i - 1].first > value.text - text:      # in the order of the text
        found[i] = found[i - 1]
        i -= 1
    found[i].first = <uint32_t>(value.text - text)
    found[i].size = value.size
    found[i].what = what
    n[0] += 1
    return True


cdef void learn_shape(Message m) noexcept nogil:
    cdef Shape* shape = &m.shape
    cdef Piece found[MAX_PIECES]
    cdef uint32_t n = 0, i, k, words = 0, at = 0, size
    cdef Field* field
    cdef char* target
    if m.tag != TAG_DEPTH or m.brief:
        return
    if shape.misses:
        shape.misses -= 1
        return
    shape.misses = LEARN_EVERY
    shape.n = 0
    shape.symbol_size = 0
    for i in range(m.n_fields):
        field = &m.fields[i]
        if KEY_ASKS <= field.key_id <= KEY_END:
            if not add(found, &n, <uint8_t>field.key_id, &field.value, m.text):
                return
    for i in range(m.n_top):
        field = &m.top[i]
        if field.key_id == KEY_SYMBOL or field.key_id == KEY_TS:
            if not add(found, &n, <uint8_t>field.key_id, &field.value, m.text):
                return
    if m.symbol.kind == ABSENT or n >= MAX_PIECES:
        return
    found[n].first = <uint32_t>m.size            # the text behind the last one
    found[n].size = 0
    found[n].what = 0
    n += 1
    shape.least = 32
    for i in range(n):
        size = found[i].first - at
        if words + (size + 7) // 8 > SHAPE_WORDS or size == 0:
            return
        shape.pieces[i].first = words
        shape.pieces[i].size = size
        shape.pieces[i].words = (size + 7) // 8
        shape.pieces[i].what = found[i].what
        for k in range(shape.pieces[i].words):
            shape.text[words + k] = 0
            shape.mask[words + k] = ~<uint64_t>0
        target = <char*>&shape.text[words]
        memcpy(target, m.text + at, size)
        words += shape.pieces[i].words
        if size & 7:
            shape.mask[words - 1] = shape.mask[words - 1] >> (64 - 8 * (size & 7))
        at = found[i].first + found[i].size
    if shape.pieces[0].size >= 8:                # what digits_before reads before a level
        shape.n = n
