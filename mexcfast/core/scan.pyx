"""A bounds-checked cursor over one JSON text (RFC 8259); allocates nothing.

Stricter than most readers: no NaN, no byte order mark, no invalid UTF-8, at most MAX_DEPTH levels.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from mexcfast.core.ticks cimport Fixed, fixed_from_text


cdef inline bint is_digit(int byte) noexcept nogil:
    return 48 <= byte <= 57


cdef inline bint is_hex(int byte) noexcept nogil:
    return 48 <= byte <= 57 or 65 <= byte <= 70 or 97 <= byte <= 102


cdef const char* utf8_step(const char* p, const char* end) noexcept nogil:
    """Past one multi-byte UTF-8 character (Unicode table 3-7), NULL when it is malformed."""
    cdef uint8_t a = <uint8_t>p[0]
    cdef uint8_t low = 0x80, high = 0xBF
    cdef int more, i
    if 0xC2 <= a <= 0xDF:
        more = 1
    elif 0xE0 <= a <= 0xEF:
        more = 2
        if a == 0xE0:
            low = 0xA0
        elif a == 0xED:
            high = 0x9F
    elif 0xF0 <= a <= 0xF4:
        more = 3
        if a == 0xF0:
            low = 0x90
        elif a == 0xF4:
            high = 0x8F
    else:
        return NULL
    if end - p <= more:
        return NULL
    if not low <= <uint8_t>p[1] <= high:
        return NULL
    for i in range(2, more + 1):
        if not 0x80 <= <uint8_t>p[i] <= 0xBF:
            return NULL
    return p + more + 1


cdef int scan_string(Cursor* c, Value* out) noexcept nogil:
    cdef const char* p
    cdef const char* end = c.end
    cdef uint8_t byte
    cdef int i
    if c.p >= end or c.p[0] != b'"':
        return fail(c, "a string was expected")
    p = c.p + 1
    out.text = p
    out.kind = STRING
    out.flags = 0
    while p < end:
        byte = <uint8_t>p[0]
        if byte == 34:
            out.size = <uint32_t>(p - out.text)
            c.p = p + 1
            return 0
        if byte == 92:
            out.flags = ESCAPED
            if p + 1 >= end:
                break
            byte = <uint8_t>p[1]
            if byte == 117:
                if end - p < 6:
                    break
                for i in range(2, 6):
                    if not is_hex(<uint8_t>p[i]):
                        c.p = p
                        return fail(c, "bad \\u escape in a string")
                p += 6
            elif (byte == 34 or byte == 92 or byte == 47 or byte == 98 or byte == 102
                    or byte == 110 or byte == 114 or byte == 116):
                p += 2
            else:
                c.p = p
                return fail(c, "bad escape in a string")
        elif byte < 32:
            c.p = p
            return fail(c, "control character in a string")
        elif byte < 128:
            p += 1
        else:
            c.p = p
            p = utf8_step(p, end)
            if p == NULL:
                return fail(c, "invalid UTF-8 in a string")
    c.p = end
    return fail(c, "the text ends inside a string")


cdef int scan_number(Cursor* c, Value* out) noexcept nogil:
    """Any JSON number; one that does not fit is BIG_NUMBER, which is no failure here."""
    cdef const char* p = c.p
    cdef const char* end = c.end
    cdef const char* first
    cdef const char* point = NULL
    cdef uint64_t mantissa = 0
    cdef unsigned int digit
    cdef bint negative = False
    cdef int32_t scale = 0
    cdef Fixed fixed
    out.text = p
    out.flags = 0
    if p < end and p[0] == b"-":
        negative = True
        p += 1
    first = p
    while p < end:
        digit = <unsigned int>(<unsigned char>p[0]) - 48
        if digit > 9:
            break
        mantissa = mantissa * 10 + digit
        p += 1
    if p == first:
        c.p = p
        return fail(c, "a value was expected")
    if first[0] == b"0" and p - first > 1:
        return fail(c, "a number starts with 0")
    if p < end and p[0] == b".":
        point = p
        p += 1
        while p < end:
            digit = <unsigned int>(<unsigned char>p[0]) - 48
            if digit > 9:
                break
            mantissa = mantissa * 10 + digit
            p += 1
        scale = <int32_t>(p - point - 1)
        if scale == 0:
            c.p = p
            return fail(c, "no digit behind the decimal point")
    if p < end and (p[0] == b"e" or p[0] == b"E"):
        p += 1
        if p < end and (p[0] == b"+" or p[0] == b"-"):
            p += 1
        if p >= end or not is_digit(<unsigned char>p[0]):
            c.p = p
            return fail(c, "no digit in an exponent")
        while p < end and is_digit(<unsigned char>p[0]):
            p += 1
    elif p - first <= 18:
        # The common case: the digits fit, `mantissa` is exact.
        if point == NULL:
            out.flags = INTEGRAL
        else:
            while scale > 0 and mantissa % 10 == 0:
                mantissa = mantissa // 10
                scale -= 1
        out.mantissa = -<int64_t>mantissa if negative else <int64_t>mantissa
        out.scale = scale
        out.kind = NUMBER
        out.size = <uint32_t>(p - out.text)
        c.p = p
        return 0
    elif point == NULL:
        if p - first > MAX_DIGITS:
            return fail(c, "an integer of more than 4300 digits")
        out.flags = INTEGRAL
    out.size = <uint32_t>(p - out.text)
    c.p = p
    if fixed_from_text(out.text, out.size, &fixed):
        out.kind = BIG_NUMBER
    else:
        out.kind = NUMBER
        out.mantissa = fixed.mantissa
        out.scale = fixed.scale
    return 0


cdef int scan_literal(Cursor* c, Value* out, const char* word, int size,
                      uint8_t kind) noexcept nogil:
    if c.end - c.p < size or memcmp(c.p, word, size) != 0:
        return fail(c, "a value was expected")
    out.text = c.p
    out.size = size
    out.kind = kind
    out.flags = 0
    c.p += size
    return 0


cdef int scan_nested(Cursor* c, Value* out, int depth, bint is_object) noexcept nogil:
    cdef Value inner
    cdef const char* start = c.p
    cdef char closing = b"}" if is_object else b"]"
    if depth >= MAX_DEPTH:
        return fail(c, "nested deeper than 64 levels")
    c.p += 1
    skip_space(c)
    if peek(c) == closing:
        c.p += 1
    else:
        while True:
            skip_space(c)
            if is_object:
                if scan_string(c, &inner) or expect(c, b":", "':' was expected"):
                    return -1
                skip_space(c)
            if scan_value(c, &inner, depth + 1):
                return -1
            skip_space(c)
            if peek(c) == closing:
                c.p += 1
                break
            if expect(c, b",", "',' or a closing bracket was expected"):
                return -1
    out.text = start
    out.size = <uint32_t>(c.p - start)
    out.kind = OBJECT if is_object else ARRAY
    out.flags = 0
    return 0


cdef int scan_value(Cursor* c, Value* out, int depth) noexcept nogil:
    cdef int byte = peek(c)
    if byte == 34:
        return scan_string(c, out)
    if byte == 123:
        return scan_nested(c, out, depth, True)
    if byte == 91:
        return scan_nested(c, out, depth, False)
    if byte == 116:
        return scan_literal(c, out, "true", 4, TRUE_VALUE)
    if byte == 102:
        return scan_literal(c, out, "false", 5, FALSE_VALUE)
    if byte == 110:
        return scan_literal(c, out, "null", 4, NULL_VALUE)
    if byte < 0:
        return fail(c, "the text ends where a value was expected")
    return scan_number(c, out)


cdef inline int hex_of(char byte) noexcept nogil:
    return byte - 48 if byte <= 57 else (byte | 32) - 87


cdef Py_ssize_t unescape(const char* text, Py_ssize_t size, char* out,
                         Py_ssize_t cap) noexcept nogil:
    """Resolve the escapes of a checked JSON string into UTF-8; bytes written.

    -1 when cap is short or half a surrogate pair stands alone: UTF-8 has no form for it.
    """
    cdef Py_ssize_t i = 0, n = 0
    cdef uint32_t code, low
    cdef char byte
    while i < size:
        if n + 4 > cap:
            return -1
        byte = text[i]
        if byte != b"\\":
            out[n] = byte
            i += 1
            n += 1
            continue
        byte = text[i + 1]
        if byte != b"u":
            out[n] = (8 if byte == b"b" else 12 if byte == b"f" else 10 if byte == b"n"
                      else 13 if byte == b"r" else 9 if byte == b"t" else byte)
            i += 2
            n += 1
            continue
        code = <uint32_t>(hex_of(text[i + 2]) << 12 | hex_of(text[i + 3]) << 8
                          | hex_of(text[i + 4]) << 4 | hex_of(text[i + 5]))
        i += 6
        if 0xD800 <= code < 0xDC00 and i + 6 <= size and text[i] == b"\\" and text[i + 1] == b"u":
            low = <uint32_t>(hex_of(text[i + 2]) << 12 | hex_of(text[i + 3]) << 8
                             | hex_of(text[i + 4]) << 4 | hex_of(text[i + 5]))
            if 0xDC00 <= low < 0xE000:
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                i += 6
        if 0xD800 <= code < 0xE000:
            return -1
        if code < 0x80:
            out[n] = <char>code
            n += 1
        elif code < 0x800:
            out[n] = <char>(0xC0 | code >> 6)
            out[n + 1] = <char>(0x80 | (code & 63))
            n += 2
        elif code < 0x10000:
            out[n] = <char>(0xE0 | code >> 12)
            out[n + 1] = <char>(0x80 | (code >> 6 & 63))
            out[n + 2] = <char>(0x80 | (code & 63))
            n += 3
        else:
            out[n] = <char>(0xF0 | code >> 18)
            out[n + 1] = <char>(0x80 | (code >> 12 & 63))
            out[n + 2] = <char>(0x80 | (code >> 6 & 63))
            out[n + 3] = <char>(0x80 | (code & 63))
            n += 4
    return n
