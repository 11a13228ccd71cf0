# A bounds-checked cursor over one JSON text; strict RFC 8259, allocates nothing.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum Kind:
    ABSENT = 0
    NULL_VALUE = 1
    FALSE_VALUE = 2
    TRUE_VALUE = 3
    NUMBER = 4          # mantissa and scale are set
    BIG_NUMBER = 5      # a JSON number that does not fit; text only
    STRING = 6          # text is what stands between the quotes, escapes unresolved
    OBJECT = 7          # text is the whole object or array, checked
    ARRAY = 8

cdef enum ValueFlag:
    ESCAPED = 1         # the string holds a backslash
    INTEGRAL = 2        # the number's text has neither point nor exponent
    QUOTED = 4          # a number that came as a string

cdef struct Value:
    const char* text    # into the scanned text; dies with it
    int64_t mantissa
    uint32_t size       # bytes of text
    int32_t scale
    uint8_t kind        # Kind
    uint8_t flags       # ValueFlag

cdef enum:
    MAX_DEPTH = 64      # nested objects and arrays
    MAX_TEXT = 1 << 28  # bytes of one text, so that offsets fit 32 bits
    MAX_DIGITS = 4300   # of an integer; Python reads no longer ones (int_max_str_digits)

cdef struct Cursor:
    const char* start   # the text; owned by the caller
    const char* p       # next byte
    const char* end     # one past the last byte; never read
    const char* why     # static reason of the first failure, NULL while all is well

cdef inline void cursor_set(Cursor* c, const char* text, Py_ssize_t size) noexcept nogil:
    c.start = text
    c.p = text
    c.end = text + size
    c.why = NULL

cdef inline void skip_space(Cursor* c) noexcept nogil:
    while c.p < c.end and (c.p[0] == 32 or c.p[0] == 10 or c.p[0] == 13 or c.p[0] == 9):
        c.p += 1

# The byte under the cursor, -1 at the end.
cdef inline int peek(Cursor* c) noexcept nogil:
    return <unsigned char>c.p[0] if c.p < c.end else -1

cdef inline int fail(Cursor* c, const char* why) noexcept nogil:
    if c.why == NULL:
        c.why = why
    return -1

# Space, then exactly this byte.
cdef inline int expect(Cursor* c, char byte, const char* why) noexcept nogil:
    skip_space(c)
    if c.p < c.end and c.p[0] == byte:
        c.p += 1
        return 0
    return fail(c, why)

# The common forms without a call: a string of plain ASCII and an integer of at most 18 digits; 1
# when it is something else, with nothing read. What they accept scan_string and scan_number read
# the same.
cdef inline int plain_string(Cursor* c, Value* out) noexcept nogil:
    cdef const char* p = c.p
    cdef const char* end = c.end
    cdef unsigned char byte
    if p >= end or p[0] != b'"':
        return 1
    p += 1
    while p < end:
        byte = <unsigned char>p[0]
        if byte == 34:
            out.text = c.p + 1
            out.size = <uint32_t>(p - c.p - 1)
            out.kind = STRING
            out.flags = 0
            c.p = p + 1
            return 0
        if byte == 92 or byte < 32 or byte > 127:
            return 1
        p += 1
    return 1

cdef inline int plain_integer(Cursor* c, Value* out) noexcept nogil:
    cdef const char* p = c.p
    cdef const char* end = c.end
    cdef uint64_t number = 0
    cdef unsigned int digit
    while p < end:
        digit = <unsigned int>(<unsigned char>p[0]) - 48
        if digit > 9:
            break
        number = number * 10 + digit
        p += 1
    if p == c.p or p - c.p > 18 or p >= end or (c.p[0] == b"0" and p - c.p > 1):
        return 1
    if p[0] != b"," and p[0] != b"}" and p[0] != b"]":
        return 1
    out.text = c.p
    out.size = <uint32_t>(p - c.p)
    out.mantissa = <int64_t>number
    out.scale = 0
    out.kind = NUMBER
    out.flags = INTEGRAL
    c.p = p
    return 0

# Each reads one item at the cursor (no leading space) and steps past it: 0, or -1 with c.why set.
cdef int scan_string(Cursor* c, Value* out) noexcept nogil
cdef int scan_number(Cursor* c, Value* out) noexcept nogil
cdef int scan_value(Cursor* c, Value* out, int depth) noexcept nogil

# Resolve the escapes of a checked JSON string into UTF-8; bytes written, -1 when cap is short.
cdef Py_ssize_t unescape(const char* text, Py_ssize_t size, char* out,
                         Py_ssize_t cap) noexcept nogil
