# One venue text -> a tagged Message, owned and reused by its reader. Also reads the REST replies of
# depth and depth_commits, which have the same members.
from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from mexcfast.core.scan cimport Cursor, Value

cdef enum Tag:                  # row numbers of channels.CHANNELS
    TAG_UNKNOWN = 0             # a channel we do not know; text is kept
    TAG_DEPTH = 1               # push.depth
    TAG_DEPTH_FULL = 2          # push.depth.full
    TAG_DEPTH_STEP = 3          # push.depth.step
    TAG_PONG = 4                # pong
    TAG_ERROR = 5               # rs.error
    TAG_ACK = 6                 # rs.<method>
    TAG_DEAL = 7                # push.deal
    TAG_TICKERS = 8             # push.tickers
    TAG_REPLY = 255             # no channel: a REST body

cdef enum Key:                  # positions in frame.NAMED_KEYS
    KEY_UNKNOWN = 0
    KEY_CHANNEL = 1             # "channel"
    KEY_DATA = 2                # "data"
    KEY_SYMBOL = 3              # "symbol"
    KEY_TS = 4                  # "ts"
    KEY_ASKS = 5                # "asks"
    KEY_BIDS = 6                # "bids"
    KEY_VERSION = 7             # "version"
    KEY_BEGIN = 8               # "begin"
    KEY_END = 9                 # "end"
    KEY_CODE = 10               # "code"
    KEY_SUCCESS = 11            # "success"

cdef struct Field:
    Value value
    const char* key             # the venue's name, escapes unresolved
    uint32_t key_size
    uint16_t key_id             # 0 when no channel lists it

cdef struct Level:
    int64_t price               # price * 10**price_scale
    int64_t quantity            # contracts * 10**quantity_scale
    int64_t orders              # number of orders; -1 when the venue did not say
    int32_t price_scale         # 0 .. MAX_SCALE
    int32_t quantity_scale

cdef struct Row:                # one object of `data`; its members end where the next row starts
    uint32_t field
    uint32_t ask
    uint32_t bid

cdef enum:
    MAX_PIECES = 8              # members that vary in a depth frame, and the text behind the last
    SHAPE_WORDS = 64            # words of eight bytes around them

cdef struct Piece:              # what stands before one member that varies, and which it is
    uint32_t first              # index of its first word in a Shape's text
    uint32_t size               # bytes
    uint32_t words
    uint8_t what                # Key; 0 behind the last one

cdef struct Shape:              # core/shape: how this stream's depth frames look
    uint32_t n                  # 0: not known
    uint32_t least              # bytes of the shortest text that is looked at
    uint32_t misses             # frames that look otherwise until another shape is learnt
    uint32_t symbol_size
    char symbol[64]             # of the last frame read
    Piece pieces[MAX_PIECES]
    uint64_t text[SHAPE_WORDS]  # the pieces, each from a new word on
    uint64_t mask[SHAPE_WORDS]  # the bits of a word that are text


@final
cdef class Message:
    cdef:
        # All pointers below point into `text` and die with it.
        readonly uint8_t tag
        readonly bint has_rows          # data is a list of objects
        readonly bint brief             # read by core/shape: no fields, top and rows yet
        const char* text                # the caller's buffer, or `inflated`'s
        Py_ssize_t size
        bytes inflated                  # what a gzip frame held, else None
        object holder                   # what decode_object was given; keeps text alive
        Value channel, symbol, ts, data
        uint32_t places[5]              # by Key up to KEY_TS: 1 + index in top, 0 when absent
        Field* fields
        Field* top                      # members beside the known ones
        Level* asks
        Level* bids
        Row* rows                       # n_rows + 1 entries, the last closes
        uint32_t n_fields, n_top, n_asks, n_bids, n_rows
        uint32_t cap_fields, cap_top, cap_asks, cap_bids, cap_rows
        # depth frames only
        readonly int64_t begin, end     # versions merged into this frame; equal for a single one
        readonly bint has_range         # begin came on the wire
        readonly int64_t ts_ms          # venue time, -1 when absent
        # of a brief one: all prices or-ed, all quantities, the most and fewest decimals of a price
        int64_t price_bits, quantity_bits
        int32_t finest, coarsest
        Shape shape                     # outlives the frame
        # what went wrong
        const char* why
        const char* levels_why          # why asks or bids are no levels
        const char* levels_at
        const char* levels_key          # "asks" or "bids"
        Py_ssize_t where                # offset in text
        const char* bad_key             # member that was refused, NULL when unknown
        uint32_t bad_key_size
        char scratch[64]                # unescaped key
        char symbol_text[64]            # unescaped symbol
        uint32_t symbol_size

    # 0, or -1 with why, where and bad_key set. Text need not end in NUL. Buffers are reused.
    cdef int parse(self, const char* text, Py_ssize_t size) noexcept nogil
    # The same for any payload, gzip included; raises FrameError.
    cdef int decode(self, const char* text, Py_ssize_t size) except -1
    # The same for bytes, any other buffer, or str; keeps what it points into.
    cdef int decode_object(self, object data) except -1
    # Fields, top and rows of a brief message too. 0, for its text is known to be right.
    cdef int expand(self) noexcept nogil
    cdef object error(self)             # the FrameError for a failed parse
    cdef Field* find(self, uint32_t row, uint16_t key_id) noexcept nogil   # NULL when absent

    cdef int _object(self, Cursor* c, int depth) noexcept nogil
    cdef int _rows(self, Cursor* c) noexcept nogil
    cdef int _levels(self, Cursor* c, bint is_ask, int depth) noexcept nogil
    cdef void _drop_side(self, bint is_ask) noexcept nogil
    cdef int _level(self, Cursor* c, Level* out, int depth) noexcept nogil
    cdef Field* _slot(self, bint is_top) noexcept nogil
    cdef void _keep(self, bint is_top, Field* field, const Value* key,
                    uint16_t key_id) noexcept nogil
    cdef int _new_row(self) noexcept nogil
    cdef int _check(self) noexcept nogil
    cdef int _check_depth(self) noexcept nogil
    cdef int _keep_symbol(self) noexcept nogil
    cdef int _refuse(self, const char* why, const char* at, const char* key,
                     uint32_t key_size) noexcept nogil

# Past one [price,quantity] or [price,quantity,orders] of plain digits; NULL for other forms.
# p: at the opening bracket, in a text whose last byte is a closing brace.
cdef const char* plain_level(const char* p, Level* out) noexcept nogil
# Room for one more element; 0, or -1 when memory is short.
cdef int grow(void** array, uint32_t* cap, uint32_t n, size_t item) noexcept nogil
cdef uint16_t key_id_of(const char* key, uint32_t size) noexcept nogil
# A STRING that is a number becomes NUMBER: 0, else -1.
cdef int number_of(Value* value) noexcept nogil
# The same; one that does not fit is BIG_NUMBER.
cdef int long_number_of(Value* value) noexcept nogil
