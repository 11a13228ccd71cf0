"""Signatures: the canonical parameter string and HMAC-SHA256 with the key's state computed once.

target = access key + request time in ms + parameter string; signature = hex(HMAC(secret, target)).
Source: protocol.md 3.2, 8.1; worked examples in tests/data/signing.jsonl.

The hash is libcrypto's. HMAC's two pads are hashed once, at construction; a signature then starts
from copies of the two saved states (performance.md 3). The access key opens every target, so it is
part of the saved inner state.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset
cimport cython

from collections.abc import Mapping
from decimal import Decimal

from mexcfast.errors import ConfigError, IntentError

cdef extern from "openssl/sha.h" nogil:
    int SHA256_Init(SHA256_CTX* state)
    int SHA256_Update(SHA256_CTX* state, const void* data, size_t size)
    int SHA256_Final(unsigned char* digest, SHA256_CTX* state)
    unsigned char* SHA256(const unsigned char* data, size_t size, unsigned char* digest)

cdef extern from "openssl/crypto.h" nogil:
    void OPENSSL_cleanse(void* memory, size_t size)

ABI = SIGN_ABI

# 13 digits: 2001 to 2286. Seconds have 10 digits and nanoseconds 19, so a wrong unit is caught.
cdef int64_t FIRST_MS = 1_000_000_000_000
cdef int64_t LAST_MS = 9_999_999_999_999

cdef const char* HEX = "0123456789abcdef"
cdef const char* HEX_UPPER = "0123456789ABCDEF"


@cython.cdivision(True)  # the operands are never negative, so C division is Python's
cdef int write_millis(int64_t timestamp_ms, char* out13) noexcept nogil:
    """Write a checked millisecond time as 13 digits."""
    cdef int i
    for i in range(12, -1, -1):
        out13[i] = <char>(48 + timestamp_ms % 10)
        timestamp_ms //= 10
    return 0


cdef int refuse_time(int64_t timestamp_ms) except -1 with gil:
    raise IntentError("timestamp_ms", timestamp_ms,
                      "milliseconds since 1970 with 13 digits (not seconds, not nanoseconds)")


@cython.final
cdef class Signer:
    """Signs requests for one key pair.

    access_key, secret: str, as the venue shows them. The secret is not kept, only the two hash
    states made from it; they are wiped when the signer goes. It cannot be copied or pickled.
    Raises ConfigError, which names the argument and never shows a value.
    """

    def __cinit__(self, access_key, secret):
        cdef unsigned char pad[64]
        cdef unsigned char block[64]
        cdef const char* key
        cdef Py_ssize_t size = 0
        cdef int i
        self.access_key = checked_access_key(access_key)
        key = checked_secret(secret, &size)
        memset(pad, 0, 64)
        if size > 64:
            SHA256(<const unsigned char*> key, size, pad)
        else:
            memcpy(pad, key, size)
        for i in range(64):
            block[i] = pad[i] ^ 0x36
        SHA256_Init(&self._inner)
        SHA256_Update(&self._inner, block, 64)
        for i in range(64):
            block[i] = pad[i] ^ 0x5C
        SHA256_Init(&self._outer)
        SHA256_Update(&self._outer, block, 64)
        OPENSSL_cleanse(pad, 64)
        OPENSSL_cleanse(block, 64)
        key = PyUnicode_AsUTF8AndSize(self.access_key, &size)
        SHA256_Update(&self._inner, key, size)

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
        cdef unsigned char digest[32]
        cdef char digits[13]
        cdef int i
        if timestamp_ms < FIRST_MS or timestamp_ms > LAST_MS:
            refuse_time(timestamp_ms)
        write_millis(timestamp_ms, digits)
        state = self._inner
        SHA256_Update(&state, digits, 13)
        if size > 0:
            SHA256_Update(&state, payload, size)
        SHA256_Final(digest, &state)
        state = self._outer
        SHA256_Update(&state, digest, 32)
        SHA256_Final(digest, &state)
        OPENSSL_cleanse(&state, sizeof(SHA256_CTX))
        for i in range(32):
            out64[2 * i] = HEX[digest[i] >> 4]
            out64[2 * i + 1] = HEX[digest[i] & 15]
        return 0

    def sign(self, timestamp_ms, payload=b""):
        """The signature of one request: 64 lower-case hex digits.

        timestamp_ms: the digits also sent as Request-Time.
        payload: POST: the exact body; GET and DELETE: canonical_query(params). str is UTF-8.
        """
        cdef char out[64]
        cdef const char* data
        cdef Py_ssize_t size = 0
        if isinstance(payload, bytes):
            data = PyBytes_AS_STRING(payload)
            size = PyBytes_GET_SIZE(payload)
        elif isinstance(payload, str):
            data = utf8("payload", payload, &size)
        else:
            raise IntentError("payload", type(payload).__name__, "bytes or str")
        self.sign_into(checked_time(timestamp_ms), data, size, out)
        return PyUnicode_DecodeASCII(out, 64, NULL)

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
    if not isinstance(value, str):
        raise ConfigError(f"secret must be str, not {type(value).__name__}")
    if not value:
        raise ConfigError("secret is empty")
    if value != value.strip():
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


cdef const char* utf8(str field, object text, Py_ssize_t* size) except NULL:
    """UTF-8 bytes of text, borrowed from it."""
    try:
        return PyUnicode_AsUTF8AndSize(text, size)
    except UnicodeEncodeError:
        raise IntentError(field, text, "text that can be written as UTF-8") from None


cdef int64_t checked_time(object timestamp_ms) except -1:
    if isinstance(timestamp_ms, bool) or not isinstance(timestamp_ms, int):
        raise IntentError("timestamp_ms", timestamp_ms, "an int, in milliseconds")
    if timestamp_ms < FIRST_MS or timestamp_ms > LAST_MS:
        raise IntentError("timestamp_ms", timestamp_ms,
                          "milliseconds since 1970 with 13 digits (not seconds, not nanoseconds)")
    return timestamp_ms


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
