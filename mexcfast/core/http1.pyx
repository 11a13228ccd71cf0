"""HTTP/1.1 as order entry needs it: a signed request in one pass, a strict reader of its answer.

RequestForm lays out everything of one endpoint's request that does not change; build() copies it,
writes time, signature and length, and appends the body: the whole request in one allocation.

AnswerReader takes the answer's bytes as they come and knows only what a venue sends to order entry:

    STATUS -> HEADER -> BODY -----------------------------> DONE
                   \\-> CHUNK_SIZE <-> CHUNK -> CHUNK_END
                            \\-> TRAILER ------------------> DONE

Anything else is a BadAnswer: an interim answer, a body without a length, two lengths, a length
that is no plain number, an encoding nobody asked for, a line that does not end in CRLF, a folded
header, bytes behind the end. Source: RFC 9112, sections 2 to 7.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove

from mexcfast.core.sign cimport Signer, checked_time, write_millis

from mexcfast.errors import BadAnswer, ConfigError

ABI = HTTP1_ABI

cdef enum:
    LINE_LIMIT = 8192           # bytes of one line
    HEAD_LIMIT = 32768          # of status line and headers
    ANSWER_LIMIT = 1 << 20      # of the whole answer: 50 orders' results are a few kilobytes
    KEPT = 65536                # of a buffer kept for the next answer

MAX_LINE, MAX_HEAD, MAX_ANSWER = LINE_LIMIT, HEAD_LIMIT, ANSWER_LIMIT

cdef enum:
    STATUS = 0
    HEADER
    BODY
    CHUNK_SIZE
    CHUNK
    CHUNK_END
    TRAILER
    DONE
    BROKEN

cdef enum:
    FINE = 0
    BAD_STATUS_LINE
    BAD_HEADER
    BAD_LINE_END
    LONG_LINE
    LONG_HEAD
    LONG_ANSWER
    INTERIM
    NO_LENGTH
    TWO_LENGTHS
    BAD_LENGTH
    BAD_CODING
    BAD_CHUNK
    BAD_TRAILER
    EXTRA

cdef tuple FAULTS = (
    "", "no HTTP/1.1 status line", "a header that is none", "a line that does not end in CR LF",
    "a line too long", "a head too long", "an answer too long", "an interim answer",
    "a body without a length", "two lengths", "a length that is no number",
    "an encoding that was not asked for", "a chunk that is none", "a trailer",
    "bytes behind the end")


# -- requests ------------------------------------------------------------------------------------

cdef str header_lines(object headers):
    cdef list lines = []
    for name, value in headers:
        for text in (name, value):
            if not isinstance(text, str) or not text or not text.isprintable():
                raise ConfigError(f"header {name!r} is {value!r}; allowed: printable text")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines)


@cython.final
@cython.auto_pickle(False)
cdef class RequestForm:
    """One endpoint's signed requests: method, target, headers and key once, the rest each time.

    host: the Host header. headers stand before ApiKey, Request-Time and Signature, last_headers
    behind them; pairs of name and value. Raises ConfigError for what cannot stand in a head.
    """

    def __init__(self, Signer signer not None, method, target, host, headers=(), last_headers=()):
        for word in (method, target):
            if not isinstance(word, str) or not word.isascii() or not word.isprintable() or (
                    not word or " " in word):
                raise ConfigError(f"request line has {word!r}; allowed: ASCII without spaces")
        self.signer = signer
        self._head = (f"{method} {target} HTTP/1.1\r\n" + header_lines((("Host", host),))
                      + header_lines(headers)
                      + f"ApiKey: {signer.access_key}\r\nRequest-Time: ").encode("utf-8")
        self._tail = ("\r\n" + header_lines(last_headers) + "Content-Length: ").encode("utf-8")

    def build(self, timestamp_ms, bytes body not None):
        """The whole request. timestamp_ms: signed, and sent as Request-Time; 13 digits."""
        return self.fill(checked_time(timestamp_ms), PyBytes_AS_STRING(body),
                         PyBytes_GET_SIZE(body))

    cdef bytes fill(self, int64_t timestamp_ms, const char* body, Py_ssize_t size):
        """build() for C. body: size bytes, read during the call only."""
        cdef char digits[20]
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t rest = size
        cdef Py_ssize_t head_size = PyBytes_GET_SIZE(self._head)
        cdef Py_ssize_t tail_size = PyBytes_GET_SIZE(self._tail)
        cdef bytes request
        cdef char* out
        with cython.cdivision(True):        # rest is never negative
            while rest or not count:
                count += 1
                digits[20 - count] = <char>(48 + rest % 10)
                rest //= 10
        # 13: the time; 13: between time and signature; 64: the signature; 4: the empty line
        request = PyBytes_FromStringAndSize(
            NULL, head_size + 13 + 13 + 64 + tail_size + count + 4 + size)
        out = PyBytes_AS_STRING(request)
        memcpy(out, PyBytes_AS_STRING(self._head), head_size)
        out += head_size
        write_millis(timestamp_ms, out)
        memcpy(out + 13, b"\r\nSignature: ", 13)
        out += 26
        self.signer.sign_into(timestamp_ms, body, size, out)
        out += 64
        memcpy(out, PyBytes_AS_STRING(self._tail), tail_size)
        out += tail_size
        memcpy(out, digits + 20 - count, count)
        out += count
        memcpy(out, b"\r\n\r\n", 4)
        memcpy(out + 4, body, size)
        return request

    def __repr__(self):
        method, target = self._head.split(b" ", 2)[:2]
        return f"<RequestForm {method.decode()} {target.decode()}>"

    def __reduce__(self):
        raise TypeError("a RequestForm holds a Signer and cannot be pickled or copied")

    def __reduce_ex__(self, protocol):
        raise TypeError("a RequestForm holds a Signer and cannot be pickled or copied")


# -- answers -------------------------------------------------------------------------------------

cdef inline bint is_digit(char c) noexcept nogil:
    return 48 <= c <= 57


cdef inline char lower(char c) noexcept nogil:
    return <char>(c | 32) if 65 <= c <= 90 else c


cdef enum:
    ONES = 0x0101010101010101
    LOW_BITS = 0x7F7F7F7F7F7F7F7F

cdef bint[256] TOKEN            # RFC 9110's tchar: what a header's name is made of
for _code in range(256):
    TOKEN[_code] = chr(_code) in (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'*+-.^_`|~")


cdef inline uint64_t controls(uint64_t eight) noexcept nogil:
    """Nonzero when one of eight bytes is a control character other than the tab."""
    cdef uint64_t seven = eight & LOW_BITS
    cdef uint64_t low = (seven ^ ONES * 9) + LOW_BITS           # high bit: not a tab
    cdef uint64_t small = ~(seven + ONES * 96) & low            # high bit: below 32, not a tab
    cdef uint64_t last = ~((seven ^ LOW_BITS) + LOW_BITS)       # high bit: 127
    return (small | last) & ~eight & ~<uint64_t>LOW_BITS


cdef bint is_text(const char* text, Py_ssize_t size) noexcept nogil:
    """No control character but the tab; bytes above 127 are left alone."""
    cdef uint64_t eight = 0
    while size >= 8:
        memcpy(&eight, text, 8)
        if controls(eight):
            return False
        text += 8
        size -= 8
    eight = ONES * 32
    memcpy(&eight, text, size)
    return not controls(eight)


cdef bint equals(const char* text, Py_ssize_t size, const char* word,
                 Py_ssize_t length) noexcept nogil:
    """The same but for the case of letters; word is in lower case."""
    cdef Py_ssize_t i
    if size != length:
        return False
    for i in range(size):
        if lower(text[i]) != word[i]:
            return False
    return True


cdef int64_t number_of(const char* text, Py_ssize_t size) noexcept nogil:
    """Digits and nothing else, 1 to 10 of them; -1 otherwise."""
    cdef int64_t number = 0
    cdef Py_ssize_t i
    if not 1 <= size <= 10:
        return -1
    for i in range(size):
        if not is_digit(text[i]):
            return -1
        number = number * 10 + (text[i] - 48)
    return number


@cython.final
@cython.auto_pickle(False)
cdef class AnswerReader:
    """Reads one answer at a time, in pieces of any size; reset() before the next one.

    body is what is between the head and the end, chunks put together. After a BadAnswer nothing
    but reset() is allowed, and the connection is worth nothing any more.
    """

    def __cinit__(self):
        self._buffer = NULL
        self._room = 0
        self.reset()

    def __dealloc__(self):
        free(self._buffer)

    cpdef reset(self):
        """Forget the last answer."""
        if self._room > KEPT:
            free(self._buffer)
            self._buffer = NULL
            self._room = 0
        self.status = 0
        self.keep_alive = True
        self.keep_alive_s = -1
        self.body = None
        self._size = self._at = self._seen = self._start = self._end = 0
        self._left = -1
        self._state = STATUS
        self._chunked = False
        self._encoded = False

    def feed(self, bytes data not None):
        """True when the answer is whole. Raises BadAnswer."""
        return self.take(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)) == 1

    cdef int take(self, const char* data, Py_ssize_t size) except -1:
        """feed() for C: 1 when the answer is whole, 0 when more must come."""
        cdef int fault = FINE
        if self._state >= DONE and size > 0:
            fault = EXTRA
        elif self._size + size > ANSWER_LIMIT:
            fault = LONG_ANSWER
        elif size > 0:
            self._reserve(self._size + size)
            memcpy(self._buffer + self._size, data, size)
            self._size += size
            fault = self._read()
        if fault:
            self._state = BROKEN
            self.body = None
            raise BadAnswer(FAULTS[fault], self.status)
        if self._state != DONE:
            return 0
        if self.body is None:
            self.body = PyBytes_FromStringAndSize(self._buffer + self._start,
                                                  self._end - self._start)
        return 1

    cdef int _reserve(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t room = max(self._room, 1024)
        cdef char* buffer
        if size <= self._room:
            return 0
        while room < size:
            room *= 2
        buffer = <char*> realloc(self._buffer, room)
        if buffer == NULL:
            raise MemoryError(f"no memory for an answer of {size} bytes")
        self._buffer = buffer
        self._room = room
        return 0

    cdef int _read(self) noexcept nogil:
        """Read as far as the bytes go; a fault's number, 0 for none."""
        cdef const char* end
        cdef const char* line
        cdef Py_ssize_t size
        cdef int fault = FINE
        while fault == FINE:
            if self._state == DONE:
                return EXTRA if self._at < self._size else FINE
            if self._state == BODY or self._state == CHUNK:
                size = <Py_ssize_t>min(<int64_t>(self._size - self._at), self._left)
                if self._chunked:
                    memmove(self._buffer + self._end, self._buffer + self._at, size)
                self._end = self._end + size
                self._at = self._at + size
                self._left = self._left - size
                if self._left > 0:
                    return FINE
                self._state = CHUNK_END if self._chunked else DONE
                continue
            if self._state == CHUNK_END:
                if self._size - self._at < 2:
                    return FINE
                if memcmp(self._buffer + self._at, b"\r\n", 2) != 0:
                    return BAD_CHUNK
                self._at = self._at + 2
                self._seen = self._at
                self._state = CHUNK_SIZE
                continue
            # the states that read a line
            line = self._buffer + self._at
            end = <const char*> memchr(self._buffer + self._seen, 10, self._size - self._seen)
            if end == NULL:
                self._seen = self._size
                size = self._size - self._at
            else:
                size = end - line
                self._at = self._at + size + 1
                self._seen = self._at
            if size > LINE_LIMIT:
                return LONG_LINE
            if self._state <= HEADER and self._seen > HEAD_LIMIT:
                return LONG_HEAD
            if end == NULL:
                return FINE
            if size < 1 or line[size - 1] != 13:
                return BAD_LINE_END
            size -= 1
            if self._state == STATUS:
                fault = self._status_line(line, size)
                self._state = HEADER
            elif self._state == HEADER:
                fault = self._header(line, size) if size else self._head_ends()
            elif self._state == CHUNK_SIZE:
                fault = self._chunk_size(line, size)
            else:
                fault = BAD_TRAILER if size else FINE
                self._state = DONE
        return fault

    cdef int _status_line(self, const char* line, Py_ssize_t size) noexcept nogil:
        """HTTP/1.1 200 OK; the words may be missing."""
        if size < 12 or memcmp(line, b"HTTP/1.1 ", 9) != 0 or (size > 12 and line[12] != 32):
            return BAD_STATUS_LINE
        if not (49 <= line[9] <= 57 and is_digit(line[10]) and is_digit(line[11])) or (
                not is_text(line, size)):
            return BAD_STATUS_LINE
        self.status = (line[9] - 48) * 100 + (line[10] - 48) * 10 + (line[11] - 48)
        return INTERIM if self.status < 200 else FINE

    cdef int _header(self, const char* line, Py_ssize_t size) noexcept nogil:
        cdef Py_ssize_t name = 0
        cdef const char* value
        while name < size and TOKEN[<unsigned char>line[name]]:
            name += 1
        if name == 0 or name == size or line[name] != 58:
            return BAD_HEADER
        value = line + name + 1
        size -= name + 1
        if not is_text(value, size):
            return BAD_HEADER
        while size and (value[0] == 32 or value[0] == 9):
            value += 1
            size -= 1
        while size and (value[size - 1] == 32 or value[size - 1] == 9):
            size -= 1
        if equals(line, name, b"content-length", 14):
            if self._left >= 0:
                return TWO_LENGTHS
            self._left = number_of(value, size)
            if self._left < 0:
                return BAD_LENGTH
            if self._left > ANSWER_LIMIT:
                return LONG_ANSWER
        elif equals(line, name, b"transfer-encoding", 17):
            if self._chunked:
                return TWO_LENGTHS
            if not equals(value, size, b"chunked", 7):
                return BAD_CODING
            self._chunked = True
        elif equals(line, name, b"content-encoding", 16):
            self._encoded = self._encoded or not equals(value, size, b"identity", 8)
        elif equals(line, name, b"connection", 10):
            if not equals(value, size, b"keep-alive", 10):
                self.keep_alive = False
        elif equals(line, name, b"keep-alive", 10):
            if size > 8 and equals(value, 8, b"timeout=", 8):
                name = 8
                while name < size and is_digit(value[name]):
                    name += 1
                if name == size or value[name] == 44 or value[name] == 32:
                    self.keep_alive_s = number_of(value + 8, name - 8)
        return FINE

    cdef int _head_ends(self) noexcept nogil:
        """The empty line: what follows is known now."""
        if self._chunked and self._left >= 0:
            return TWO_LENGTHS
        self._start = self._end = self._at
        if self.status == 204 or self.status == 304:
            # Neither has a body, whatever the headers say.
            if self._chunked or self._left > 0:
                return BAD_LENGTH
            self._left = 0
        if self._encoded:
            return BAD_CODING
        if self._chunked:
            self._state = CHUNK_SIZE
        elif self._left < 0:
            return NO_LENGTH
        else:
            self._state = BODY
        return FINE

    cdef int _chunk_size(self, const char* line, Py_ssize_t size) noexcept nogil:
        """Hexadecimal digits and nothing else: extensions are for others."""
        cdef int64_t number = 0
        cdef char c
        cdef Py_ssize_t i
        if not 1 <= size <= 8:
            return BAD_CHUNK
        for i in range(size):
            c = lower(line[i])
            if is_digit(c):
                number = number * 16 + (c - 48)
            elif 97 <= c <= 102:
                number = number * 16 + (c - 87)
            else:
                return BAD_CHUNK
        if number > ANSWER_LIMIT:
            return LONG_ANSWER
        self._left = number
        self._state = CHUNK if number else TRAILER
        return FINE
