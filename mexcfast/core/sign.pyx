"""Signatures: the canonical parameter string and HMAC-SHA256 with the key's state computed once.

target = access key + request time in ms + parameter string; signature = hex(HMAC(secret, target)).
Source: protocol.md 3.2, 8.1; worked examples in tests/data/signing.jsonl.

The hash is libcrypto's. HMAC's two pads are hashed once, at construction; a signature starts from
copies of the two saved states. The access key opens every target: its whole blocks are part of the
saved inner state, its rest waits in `_head`. The padding is laid out here and only libcrypto's
block function is called: SHA256_Update and SHA256_Final together cost as much as one block.
"""

from cpython.buffer cimport (
    PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.unicode cimport PyUnicode_1BYTE_DATA, PyUnicode_AsUTF8AndSize, PyUnicode_READ_CHAR
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
cimport cython

from collections.abc import Mapping
from decimal import Decimal

from mexcfast.errors import ConfigError, IntentError

cdef extern from "openssl/sha.h" nogil:
    int SHA256_Init(SHA256_CTX* state)
    void SHA256_Transform(SHA256_CTX* state, const unsigned char* block64)
    unsigned char* SHA256(const unsigned char* data, size_t size, unsigned char* digest)

cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define mexcfast_big32(x) (x)
    #define mexcfast_big64(x) (x)
    #define mexcfast_little64(x) __builtin_bswap64(x)
    #else
    #define mexcfast_big32(x) __builtin_bswap32(x)
    #define mexcfast_big64(x) __builtin_bswap64(x)
    #define mexcfast_little64(x) (x)
    #endif
    #if defined(_MSC_VER)
    #define MEXCFAST_APART __declspec(noinline)
    #else
    #define MEXCFAST_APART __attribute__((noinline))
    #endif
    /* What SHA256_Transform left on the stack is written over: its schedule begins with the pad. */
    static MEXCFAST_APART void mexcfast_wipe_stack(void) {
        volatile unsigned char below[4096];
        size_t i;
        for (i = 0; i < sizeof below; i++) below[i] = 0;
    }
    """
    void mexcfast_wipe_stack() nogil
    uint32_t mexcfast_big32(uint32_t x) nogil
    uint64_t mexcfast_big64(uint64_t x) nogil
    uint64_t mexcfast_little64(uint64_t x) nogil

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 highest)

cdef extern from "openssl/crypto.h" nogil:
    void OPENSSL_cleanse(void* memory, size_t size)

ABI = SIGN_ABI

# 13 digits: 2001 to 2286. Seconds have 10 digits and nanoseconds 19, so a wrong unit is caught.
cdef int64_t FIRST_MS = 1_000_000_000_000
cdef int64_t LAST_MS = 9_999_999_999_999

cdef const char* HEX_UPPER = "0123456789ABCDEF"


@cython.cdivision(True)  # the operands are never negative, so C division is Python's
cdef inline uint64_t eight_digits(uint32_t number) noexcept nogil:
    """A number below 10**8 as 8 digits, the first in the lowest byte.

    All digits at once: halves of 4, then of 2, then of 1, each division a multiplication that is
    exact for numbers so small.
    """
    cdef uint64_t x = <uint64_t>(number // 10_000) | (<uint64_t>(number % 10_000) << 32)
    cdef uint64_t high = ((x * 10_486) >> 20) & 0x0000007F0000007FULL
    x = high | ((x - 100 * high) << 16)
    high = ((x * 103) >> 10) & 0x000F000F000F000FULL
    x = high | ((x - 10 * high) << 8)
    return x | 0x3030303030303030ULL


@cython.cdivision(True)  # the operands are never negative, so C division is Python's
cdef int write_millis(int64_t timestamp_ms, char* out13) noexcept nogil:
    """Write a checked millisecond time as 13 digits."""
    cdef uint64_t high = mexcfast_little64(
        eight_digits(<uint32_t>(timestamp_ms // 100_000_000)) >> 24)
    cdef uint64_t low = mexcfast_little64(
        eight_digits(<uint32_t>(timestamp_ms % 100_000_000)))
    memcpy(out13, &high, 5)
    memcpy(out13 + 5, &low, 8)
    return 0


cdef inline int write_hex(const SHA256_CTX* state, char* out64) noexcept nogil:
    """The digest's 64 lower-case digits, a word at a time."""
    cdef uint64_t x
    cdef int i
    for i in range(8):
        x = state.h[i]
        x = (x | (x << 16)) & 0x0000FFFF0000FFFFULL
        x = (x | (x << 8)) & 0x00FF00FF00FF00FFULL
        x = (x | (x << 4)) & 0x0F0F0F0F0F0F0F0FULL         # a byte for each digit
        x += 0x3030303030303030ULL + (((x + 0x0606060606060606ULL) >> 4)
                                      & 0x0101010101010101ULL) * 39    # a to f
        x = mexcfast_big64(x)
        memcpy(out64 + 8 * i, &x, 8)
    return 0


cdef inline int write_words(const SHA256_CTX* state, uint8_t* out32) noexcept nogil:
    """The state as SHA-256 writes it: big-endian words."""
    cdef uint32_t word
    cdef int i
    for i in range(8):
        word = mexcfast_big32(state.h[i])
        memcpy(out32 + 4 * i, &word, 4)
    return 0


cdef inline int close_blocks(SHA256_CTX* state, uint8_t* block, Py_ssize_t n,
                             uint64_t total) noexcept nogil:
    """Hash the last n < 128 bytes in block (192 bytes of room) with SHA-256's padding.

    total: bytes hashed in all, these included.
    """
    cdef Py_ssize_t end = 64 if n < 56 else (128 if n < 120 else 192)
    cdef uint64_t bits = mexcfast_big64(total << 3)
    memset(block + n, 0, end - n)
    block[n] = 0x80
    memcpy(block + end - 8, &bits, 8)
    SHA256_Transform(state, block)
    if end > 64:
        SHA256_Transform(state, block + 64)
        if end > 128:
            SHA256_Transform(state, block + 128)
    return 0


cdef int refuse_time(int64_t timestamp_ms) except -1 with gil:
    raise bad_time(timestamp_ms)


cdef object bad_time(object timestamp_ms):
    return IntentError("timestamp_ms", timestamp_ms,
                       "milliseconds since 1970 with 13 digits (not seconds, not nanoseconds)")


@cython.final
cdef class Signer:
    """Signs requests for one key pair.

    access_key: str, as the venue shows it. secret: str too, or a writable buffer of its bytes such
    as a bytearray, which is wiped: then no copy is left here, in whatever way this ends. The secret
    is not kept, only the two hash states made from it; they are wiped when the signer goes. It
    cannot be copied or pickled.
    Raises ConfigError, which names the argument and never shows a value.
    """

    def __cinit__(self, access_key, secret):
        cdef const char* key
        cdef Py_ssize_t size = 0
        cdef Py_buffer view
        if isinstance(secret, str):
            self.access_key = checked_access_key(access_key)
            key = checked_secret(secret, &size)
            self._start(<const unsigned char*> key, size)
        else:
            if not PyObject_CheckBuffer(secret):
                raise ConfigError(f"secret must be str, or a writable buffer such as bytearray, "
                                  f"not {type(secret).__name__}")
            if not is_writable(secret, &view):
                raise ConfigError(f"secret is {type(secret).__name__}, which cannot be wiped; "
                                  "allowed: str, or a writable buffer such as bytearray")
            try:
                self.access_key = checked_access_key(access_key)
                check_secret_bytes(<const unsigned char*> view.buf, view.len)
                self._start(<const unsigned char*> view.buf, view.len)
            finally:
                OPENSSL_cleanse(view.buf, view.len)
                PyBuffer_Release(&view)
        key = PyUnicode_AsUTF8AndSize(self.access_key, &size)
        self._hashed = 64
        while size >= 64:
            SHA256_Transform(&self._inner, <const unsigned char*> key)
            self._hashed += 64
            key += 64
            size -= 64
        memcpy(self._head, key, size)
        self._head_size = size

    cdef int _start(self, const unsigned char* secret, Py_ssize_t size) noexcept:
        """Both states from the secret; nothing of it stays behind, on the stack neither."""
        cdef unsigned char pad[64]
        cdef unsigned char block[64]
        cdef int i
        memset(pad, 0, 64)
        if size > 64:
            SHA256(secret, size, pad)
        else:
            memcpy(pad, secret, size)
        SHA256_Init(&self._inner)
        SHA256_Init(&self._outer)
        for i in range(64):
            block[i] = pad[i] ^ 0x36
        SHA256_Transform(&self._inner, block)
        for i in range(64):
            block[i] = pad[i] ^ 0x5C
        SHA256_Transform(&self._outer, block)
        OPENSSL_cleanse(pad, 64)
        OPENSSL_cleanse(block, 64)
        mexcfast_wipe_stack()
        return 0

    def __dealloc__(self):
        OPENSSL_cleanse(&self._inner, sizeof(SHA256_CTX))
        OPENSSL_cleanse(&self._outer, sizeof(SHA256_CTX))

    cdef int sign_into(self, int64_t timestamp_ms, const char* payload, Py_ssize_t size,
                       char* out64) except -1 nogil:
        """Write the 64 hex digits of one signature to out64; no terminator.

        payload: size bytes, read during the call only; may be NULL when size is 0.
        Raises IntentError when timestamp_ms does not have 13 digits.
        """
        cdef SHA256_CTX state
        cdef uint8_t block[192]
        cdef Py_ssize_t n = self._head_size
        cdef Py_ssize_t part
        cdef uint64_t total = self._hashed + n + 13 + size
        if timestamp_ms < FIRST_MS or timestamp_ms > LAST_MS:
            refuse_time(timestamp_ms)
        memcpy(state.h, self._inner.h, 32)
        memcpy(block, self._head, 64)
        write_millis(timestamp_ms, <char*> block + n)
        n += 13
        if n + size >= 128:         # else all of it fits the blocks that close the hash
            part = 128 - n
            memcpy(block + n, payload, part)
            SHA256_Transform(&state, block)
            SHA256_Transform(&state, block + 64)
            payload += part
            size -= part
            n = 0
            while size >= 64:
                SHA256_Transform(&state, <const unsigned char*> payload)
                payload += 64
                size -= 64
        if size > 0:
            memcpy(block + n, payload, size)
        close_blocks(&state, block, n + size, total)
        # The outer hash: one block, 32 bytes behind the pad. It overwrites what came of the key.
        write_words(&state, block)
        memcpy(state.h, self._outer.h, 32)
        close_blocks(&state, block, 32, 96)
        write_hex(&state, out64)
        return 0

    def sign(self, timestamp_ms, payload=b""):
        """The signature of one request: 64 lower-case hex digits.

        timestamp_ms: the digits also sent as Request-Time.
        payload: POST: the exact body; GET and DELETE: canonical_query(params). str is UTF-8.
        """
        cdef const char* data
        cdef int64_t now_ms = checked_time(timestamp_ms)
        cdef object signature
        cdef Py_ssize_t size = 0
        if isinstance(payload, bytes):
            data = PyBytes_AS_STRING(payload)
            size = PyBytes_GET_SIZE(payload)
        elif isinstance(payload, str):
            data = utf8("payload", payload, &size)
        else:
            raise IntentError("payload", type(payload).__name__, "bytes or str")
        signature = PyUnicode_New(64, 127)      # written once, before anybody sees it
        self.sign_into(now_ms, data, size, <char*> PyUnicode_1BYTE_DATA(signature))
        return signature

    def login(self, timestamp_ms, subscribe=True):
        """The whole WebSocket login frame.

        subscribe=False asks for no default pushes; the flag stands at the top level (protocol.md
        8.1; inside "param" it is not known to be honoured).
        """
        signature = self.sign(timestamp_ms)
        key = self.access_key.replace("\\", "\\\\").replace('"', '\\"')
        text = (f'"method":"login","param":{{"apiKey":"{key}","reqTime":"{int(timestamp_ms)}",'
                f'"signature":"{signature}"}}}}')
        if subscribe:
            return ("{" + text).encode("ascii")
        return ('{"subscribe":false,' + text).encode("ascii")

    def __repr__(self):
        return "Signer(access_key='***', secret='***')"

    def __reduce__(self):
        raise TypeError("a Signer holds key material and cannot be pickled or copied")

    def __reduce_ex__(self, protocol):
        raise TypeError("a Signer holds key material and cannot be pickled or copied")

    def __copy__(self):
        raise TypeError("a Signer holds key material and cannot be pickled or copied")

    def __deepcopy__(self, memo):
        raise TypeError("a Signer holds key material and cannot be pickled or copied")


cdef str checked_access_key(object value):
    if not isinstance(value, str):
        raise ConfigError(f"access_key must be str, not {type(value).__name__}")
    if not value:
        raise ConfigError("access_key is empty")
    # It travels as an HTTP header.
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError("access_key must be printable ASCII without spaces")
    return str(value)


cdef const char* checked_secret(object value, Py_ssize_t* size) except NULL:
    """The secret's UTF-8 bytes, borrowed from value."""
    cdef const char* key = NULL
    if not value:
        raise ConfigError("secret is empty")
    # strip() would make a copy
    cdef Py_UCS4 first = PyUnicode_READ_CHAR(value, 0)
    cdef Py_UCS4 last = PyUnicode_READ_CHAR(value, len(value) - 1)
    if first.isspace() or last.isspace():
        raise ConfigError("secret begins or ends with white space")
    # ASCII text is borrowed without a copy; an encoding error would carry the secret in its
    # arguments, so it is dropped before ours is raised, not chained.
    try:
        key = PyUnicode_AsUTF8AndSize(value, size)
    except UnicodeEncodeError:
        pass
    if key == NULL:
        raise ConfigError("secret cannot be written as UTF-8")
    return key


cdef bint is_writable(object value, Py_buffer* view):
    """Whether its bytes can be had, and written; the caller releases them."""
    try:
        PyObject_GetBuffer(value, view, PyBUF_WRITABLE)
        return True
    except BufferError:
        return False


cdef int check_secret_bytes(const unsigned char* secret, Py_ssize_t size) except -1:
    """ConfigError for what cannot be a secret; a wiped one is the likeliest."""
    cdef Py_ssize_t i
    if size == 0:
        raise ConfigError("secret is empty")
    for i in range(size):
        if secret[i] == 0:
            raise ConfigError("secret holds a zero byte; a buffer is wiped once it was taken: give "
                              "the secret anew")
    if secret[0] <= 32 or secret[size - 1] <= 32:
        raise ConfigError("secret begins or ends with white space")
    return 0


cdef const char* utf8(str field, object text, Py_ssize_t* size) except NULL:
    """UTF-8 bytes of text, borrowed from it."""
    try:
        return PyUnicode_AsUTF8AndSize(text, size)
    except UnicodeEncodeError:
        raise IntentError(field, text, "text that can be written as UTF-8") from None


cdef int64_t checked_time(object timestamp_ms) except -1:
    """The time as an integer of 13 digits; IntentError otherwise."""
    cdef int overflow = 0
    cdef int64_t now_ms
    if not isinstance(timestamp_ms, int) or isinstance(timestamp_ms, bool):
        raise IntentError("timestamp_ms", timestamp_ms, "an int, in milliseconds")
    now_ms = PyLong_AsLongLongAndOverflow(timestamp_ms, &overflow)
    if overflow or now_ms < FIRST_MS or now_ms > LAST_MS:
        raise bad_time(timestamp_ms)
    return now_ms


def canonical_query(params):
    """The parameter string of a GET or DELETE, exactly as it is signed and sent.

    params: Mapping of str to str, bool, int, float, Decimal, None, or a list or tuple of those.
    None is dropped; keys in code-point order, written as they are; values percent-encoded by the
    Java form rule with space as %20; white space alone counts as empty; sequences comma-joined;
    numbers in plain decimal notation. No parameters: "".
    Raises IntentError for a key that cannot stand in a URL, a NaN, an infinity or another type.
    Source: protocol.md 3.2.
    """
    if not isinstance(params, Mapping):
        raise IntentError("params", type(params).__name__, "a mapping")
    cdef list parts = []
    for key in params:
        if not isinstance(key, str) or not is_plain_key(key):
            raise IntentError("params", key, "keys of printable ASCII without & = # % + or spaces")
    for key in sorted(params):
        value = params[key]
        if value is None:
            continue
        text = value_text(key, value)
        if not text or text.isspace():
            parts.append(f"{key}=")
        else:
            parts.append(f"{key}={percent_encoded(key, text)}")
    return "&".join(parts)


cdef bint is_plain_key(str key):
    return (len(key) > 0 and key.isascii() and key.isprintable()
            and not any([c in '&=#%+?/\\ "<>^`{|}' for c in key]))


cdef str value_text(str field, object value):
    if isinstance(value, (list, tuple)):
        return ",".join([scalar_text(field, item) for item in value])
    return scalar_text(field, value)


cdef str scalar_text(str field, object value):
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        value = Decimal(float.__repr__(value))
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise IntentError(field, value, "a finite number")
        return format(value, "f")
    raise IntentError(field, value, "str, bool, int, float, Decimal, None, or a list of those")


cdef inline bint is_bare(unsigned char c) noexcept nogil:
    # Java's form encoder leaves these alone; ~ is not among them, * is.
    return (97 <= c <= 122 or 65 <= c <= 90 or 48 <= c <= 57
            or c == 46 or c == 45 or c == 95 or c == 42)


cdef str percent_encoded(str field, str text):
    cdef Py_ssize_t size = 0
    cdef const unsigned char* data = <const unsigned char*> utf8(field, text, &size)
    cdef Py_ssize_t i, length = 0
    cdef bytes encoded
    cdef char* out
    for i in range(size):
        length += 1 if is_bare(data[i]) else 3
    if length == size:
        return text
    encoded = PyBytes_FromStringAndSize(NULL, length)
    out = PyBytes_AS_STRING(encoded)
    for i in range(size):
        if is_bare(data[i]):
            out[0] = <char> data[i]
            out += 1
        else:
            out[0] = 37
            out[1] = HEX_UPPER[data[i] >> 4]
            out[2] = HEX_UPPER[data[i] & 15]
            out += 3
    return encoded.decode("ascii")
