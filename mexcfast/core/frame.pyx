"""One venue text -> a tagged Message (protocol.md 6 to 9), in a single pass for any key order.

The pass does not know the channel yet, for the venue often sends it last: it collects the members
of `data` by key, levels apart, and the channel's row in channels.CHANNELS is checked afterwards.
"""

import zlib

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from cython cimport final
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from mexcfast.core.scan cimport (
    ABSENT, ARRAY, BIG_NUMBER, Cursor, ESCAPED, FALSE_VALUE, MAX_TEXT, NULL_VALUE, NUMBER,
    OBJECT, QUOTED, STRING, TRUE_VALUE, Value, cursor_set, expect, peek, plain_integer,
    plain_string, scan_string, scan_value, skip_space, unescape,
)
from mexcfast.core.ticks cimport Fixed, MAX_SCALE, fixed_from_text

from mexcfast.core.channels import CHANNELS as _CHANNELS, KINDS as _KINDS
from mexcfast.errors import FrameError

NAMED_KEYS = ("channel", "data", "symbol", "ts", "asks", "bids", "version", "begin", "end", "code",
              "success")
NAMED_TAGS = ("", "push.depth", "push.depth.full", "push.depth.step", "pong", "rs.error", "rs.",
              "push.deal", "push.tickers")
MAX_INFLATED = 64 << 20   # bytes a gzip frame may grow to

cdef enum:
    N_SLOTS = 2048        # a power of two, several times the number of names
    N_TAGS = 35
    N_KEYS = 320
    CHECK_NONE = 0
    CHECK_DEC = 1         # the order of channels.KINDS
    CHECK_INT = 2
    CHECK_STR = 3
    CHECK_BOOL = 4
    CHECK_ANY = 5

cdef struct Slot:
    uint64_t head, tail   # first and last 8 bytes of the name, zero-padded
    const char* name
    uint32_t size         # 0: free
    uint16_t id

cdef Slot key_slots[N_SLOTS]
cdef Slot channel_slots[N_SLOTS]
cdef uint8_t SCHEMA[N_TAGS][N_KEYS]
_names_kept = []          # the bytes that Slot.name points into


cdef inline void ends_of(const char* name, uint32_t size, uint64_t* head,
                         uint64_t* tail) noexcept nogil:
    head[0] = 0
    tail[0] = 0
    if size >= 8:
        memcpy(head, name, 8)
        memcpy(tail, name + size - 8, 8)
    elif size >= 4:
        # two overlapping 4-byte reads cover 4 to 7 bytes
        memcpy(head, name, 4)
        memcpy(tail, name + size - 4, 4)
    elif size:
        head[0] = (<uint64_t><uint8_t>name[0] | <uint64_t><uint8_t>name[size >> 1] << 8
                   | <uint64_t><uint8_t>name[size - 1] << 16)


cdef inline uint32_t slot_of(uint64_t head, uint64_t tail, uint32_t size) noexcept nogil:
    return <uint32_t>(((head ^ (tail * 0x9E3779B97F4A7C15U) ^ size) * 0xD6E8FEB86659FD93U) >> 53)


cdef inline uint16_t look_up(Slot* slots, const char* name, uint32_t size) noexcept nogil:
    cdef uint64_t head = 0, tail = 0
    cdef uint32_t i
    cdef Slot* slot
    ends_of(name, size, &head, &tail)
    i = slot_of(head, tail, size)
    while True:
        slot = &slots[i]
        if slot.size == 0:
            return 0
        if (slot.size == size and slot.head == head and slot.tail == tail
                and (size <= 16 or memcmp(slot.name, name, size) == 0)):
            return slot.id
        i = (i + 1) & (N_SLOTS - 1)


cdef int enter(Slot* slots, bytes name, int number) except -1:
    cdef uint64_t head = 0, tail = 0
    cdef uint32_t i
    _names_kept.append(name)
    ends_of(name, len(name), &head, &tail)
    i = slot_of(head, tail, len(name))
    while slots[i].size:
        i = (i + 1) & (N_SLOTS - 1)
    slots[i].head = head
    slots[i].tail = tail
    slots[i].name = name
    slots[i].size = len(name)
    slots[i].id = number
    return 0


cdef uint16_t key_id_of(const char* key, uint32_t size) noexcept nogil:
    return look_up(key_slots, key, size)


def _fill_tables():
    """KEY_IDS by name; the name tables and the schema in C."""
    ids = {name: number for number, name in enumerate(NAMED_KEYS, 1)}
    if len(_CHANNELS) != N_TAGS or [row.name for row in _CHANNELS[:9]] != list(NAMED_TAGS):
        raise AssertionError("channels.CHANNELS and the tags in core/frame.pxd differ")
    for tag, row in enumerate(_CHANNELS):
        for field in row.fields:
            number = ids.setdefault(field.venue_name, len(ids) + 1)
            if number >= N_KEYS:
                raise AssertionError("more keys than core/frame.N_KEYS")
            SCHEMA[tag][number] = 1 + _KINDS.index(field.kind)
        if row.name and row.name != "rs.":
            enter(channel_slots, row.name.encode(), tag)
    for name, number in ids.items():
        enter(key_slots, name.encode(), number)
    return ids


memset(key_slots, 0, sizeof(key_slots))
memset(channel_slots, 0, sizeof(channel_slots))
memset(SCHEMA, 0, sizeof(SCHEMA))
KEY_IDS = _fill_tables()


cdef int number_of(Value* value) noexcept nogil:
    cdef Fixed fixed
    if value.kind == NUMBER:
        return 0
    if value.kind != STRING or value.flags & ESCAPED:
        return -1
    if fixed_from_text(value.text, value.size, &fixed):
        return -1
    value.mantissa = fixed.mantissa
    value.scale = fixed.scale
    value.kind = NUMBER
    value.flags = QUOTED
    return 0


cdef int long_number_of(Value* value) noexcept nogil:
    """number_of that also takes what does not fit: averages come with 38 digits (protocol.md 2)."""
    cdef Fixed fixed
    if number_of(value) == 0:
        return 0
    if value.kind != BIG_NUMBER and (value.kind != STRING or value.flags & ESCAPED):
        return -1
    if fixed_from_text(value.text, value.size, &fixed) != 1:
        return -1
    if value.kind == STRING:
        value.kind = BIG_NUMBER
        value.flags = QUOTED
    return 0


cdef int grow(void** array, uint32_t* cap, uint32_t n, size_t item) noexcept nogil:
    cdef uint32_t wanted
    cdef void* moved
    if n < cap[0]:
        return 0
    wanted = 2 * cap[0] if cap[0] else 32
    moved = realloc(array[0], wanted * item)
    if moved == NULL:
        return -1
    array[0] = moved
    cap[0] = wanted
    return 0


cdef const char* plain_level(const char* p, Level* out) noexcept nogil:
    """Past one [price,quantity] or [price,quantity,orders] of plain digits; NULL for other forms.

    p: at the opening bracket, in a text whose last byte is a closing brace: every loop and step
    below stops there at the latest, so none looks for the end. What is accepted here Message._level
    reads the same.
    """
    cdef const char* first
    cdef uint64_t number = 0
    cdef unsigned int digit
    cdef int32_t scale = 0
    p += 1
    first = p
    while True:
        digit = <unsigned int>(<unsigned char>p[0]) - 48
        if digit > 9:
            break
        number = number * 10 + digit
        p += 1
    if first[0] == b"0" and p - first != 1:
        return NULL
    if p[0] == b".":
        if p == first:
            return NULL
        p += 1
        scale = 0
        while True:
            digit = <unsigned int>(<unsigned char>p[0]) - 48
            if digit > 9:
                break
            number = number * 10 + digit
            scale += 1
            p += 1
        if (p - 1)[0] == b"0" or (p - 1)[0] == b".":    # trailing zeros take the long way
            return NULL
    if p[0] != b"," or number == 0 or p - first > 18:
        return NULL
    out.price = <int64_t>number
    out.price_scale = scale
    p += 1
    first = p
    number = 0
    scale = 0
    while True:
        digit = <unsigned int>(<unsigned char>p[0]) - 48
        if digit > 9:
            break
        number = number * 10 + digit
        p += 1
    if p == first or p - first > 18 or (first[0] == b"0" and p - first != 1):
        return NULL
    out.quantity = <int64_t>number
    out.quantity_scale = 0
    out.orders = -1
    if p[0] == b",":
        p += 1
        first = p
        number = 0
        while True:
            digit = <unsigned int>(<unsigned char>p[0]) - 48
            if digit > 9:
                break
            number = number * 10 + digit
            p += 1
        if p == first or p - first > 18 or (first[0] == b"0" and p - first != 1):
            return NULL
        out.orders = <int64_t>number
    return p + 1 if p[0] == b"]" else NULL


@final
cdef class Message:
    """A parsed frame. Reused: everything in it is valid until the next parse."""

    def __cinit__(self):
        # one sentinel row even for an empty message
        if grow(<void**>&self.rows, &self.cap_rows, 0, sizeof(Row)):
            raise MemoryError("no memory for a frame")
        memset(self.rows, 0, sizeof(Row))

    def __dealloc__(self):
        free(self.fields)
        free(self.top)
        free(self.asks)
        free(self.bids)
        free(self.rows)

    def tail(self, Py_ssize_t n):
        """The last n bytes of the frame's text, or all of it when it is shorter."""
        return self.text[max(0, self.size - n):self.size]

    cdef int _refuse(self, const char* why, const char* at, const char* key,
                     uint32_t key_size) noexcept nogil:
        self.why = why
        self.where = at - self.text
        self.bad_key = key
        self.bad_key_size = key_size
        return -1

    cdef int parse(self, const char* text, Py_ssize_t size) noexcept nogil:
        cdef Cursor c
        self.text = text
        self.size = size
        self.n_fields = self.n_top = self.n_asks = self.n_bids = self.n_rows = 0
        self.rows[0].field = self.rows[0].ask = self.rows[0].bid = 0
        self.has_rows = self.brief = False
        self.why = self.levels_why = self.levels_at = self.bad_key = NULL
        self.channel.kind = self.symbol.kind = self.ts.kind = self.data.kind = ABSENT
        memset(self.places, 0, sizeof(self.places))
        self.begin = self.end = self.ts_ms = -1
        self.has_range = False
        self.symbol_size = 0
        self.tag = TAG_UNKNOWN
        if size > MAX_TEXT:
            return self._refuse("longer than 256 MiB", text, NULL, 0)
        cursor_set(&c, text, size)
        skip_space(&c)
        if peek(&c) != b"{":
            return self._refuse("an object was expected", c.p, NULL, 0)
        if self._object(&c, 0):
            if self.why == NULL:
                self._refuse(c.why, c.p, NULL, 0)
            return -1
        skip_space(&c)
        if c.p != c.end:
            return self._refuse("more text behind the object", c.p, NULL, 0)
        return self._check()

    cdef int expand(self) noexcept nogil:
        return self.parse(self.text, self.size) if self.brief else 0

    cdef Field* _slot(self, bint is_top) noexcept nogil:
        """Where the next member goes; NULL when memory is short. Its value is read right into it: a
        copy just after the writes would wait for them."""
        if is_top:
            if grow(<void**>&self.top, &self.cap_top, self.n_top, sizeof(Field)):
                self._refuse("no memory", self.text, NULL, 0)
                return NULL
            return &self.top[self.n_top]
        if grow(<void**>&self.fields, &self.cap_fields, self.n_fields, sizeof(Field)):
            self._refuse("no memory", self.text, NULL, 0)
            return NULL
        return &self.fields[self.n_fields]

    cdef void _keep(self, bint is_top, Field* field, const Value* key,
                    uint16_t key_id) noexcept nogil:
        """Count the member just read into its slot."""
        field.key = key.text
        field.key_size = key.size
        field.key_id = key_id
        if is_top:
            self.n_top = self.n_top + 1
        else:
            self.n_fields = self.n_fields + 1

    cdef int _new_row(self) noexcept nogil:
        """Open a row, or close the last one: rows[n_rows] always holds the current ends."""
        if grow(<void**>&self.rows, &self.cap_rows, self.n_rows, sizeof(Row)):
            return self._refuse("no memory", self.text, NULL, 0)
        self.rows[self.n_rows].field = self.n_fields
        self.rows[self.n_rows].ask = self.n_asks
        self.rows[self.n_rows].bid = self.n_bids
        return 0

    cdef int _object(self, Cursor* c, int depth) noexcept nogil:
        """Read one object: the frame itself or one object of its data.

        depth: objects and arrays around it; 0 for the frame itself.
        """
        cdef Value key
        cdef Field* field
        cdef uint16_t key_id
        cdef Py_ssize_t n
        cdef bint is_side
        cdef bint is_top = depth == 0
        c.p += 1
        skip_space(c)
        if peek(c) == b"}":
            c.p += 1
            return 0
        while True:
            skip_space(c)
            if plain_string(c, &key) and scan_string(c, &key):
                return -1
            if key.flags & ESCAPED:
                n = unescape(key.text, key.size, self.scratch, sizeof(self.scratch))
                key_id = look_up(key_slots, self.scratch, <uint32_t>n) if n >= 0 else 0
            else:
                key_id = look_up(key_slots, key.text, key.size)
            if expect(c, b":", "':' was expected"):
                return -1
            skip_space(c)
            # Members beside `data` are no part of it: levels stand at the top of a bare body only.
            is_side = (key_id == KEY_ASKS or key_id == KEY_BIDS) and not (
                is_top and self.data.kind != ABSENT)
            if is_side and peek(c) == b"[":
                field = self._slot(is_top)
                if field == NULL:
                    return -1
                field.value.text = c.p
                if self._levels(c, key_id == KEY_ASKS, depth + 1):
                    return -1
                field.value.size = <uint32_t>(c.p - field.value.text)
                field.value.kind = ARRAY
                field.value.flags = 0
                self._keep(is_top, field, &key, key_id)
            elif is_top and key_id == KEY_DATA and (peek(c) == b"{" or peek(c) == b"["):
                # a repeated key: the last one counts, as everywhere in JSON
                self.n_fields = self.n_asks = self.n_bids = self.n_rows = 0
                self.levels_why = NULL
                self.data.text = c.p
                self.data.flags = 0
                if peek(c) == b"{":
                    self.data.kind = OBJECT
                    self.has_rows = False
                    if self._new_row() or self._object(c, 1):
                        return -1
                    self.n_rows = 1
                    if self._new_row():
                        return -1
                else:
                    self.data.kind = ARRAY
                    if self._rows(c):
                        return -1
                self.data.size = <uint32_t>(c.p - self.data.text)
            else:
                field = self._slot(is_top)
                if field == NULL:
                    return -1
                if (plain_integer(c, &field.value) and plain_string(c, &field.value)
                        and scan_value(c, &field.value, depth + 1)):
                    return -1
                if is_side:                     # the last of a repeated key counts
                    self._drop_side(key_id == KEY_ASKS)
                if is_top and key_id == KEY_DATA:
                    self.n_fields = self.n_asks = self.n_bids = self.n_rows = 0
                    self.has_rows = False
                    self.levels_why = NULL
                    self.data = field.value
                else:
                    if is_top and key_id <= KEY_TS:
                        self.places[key_id] = self.n_top + 1
                    self._keep(is_top, field, &key, key_id)
            skip_space(c)
            if peek(c) == b"}":
                c.p += 1
                return 0
            if expect(c, b",", "',' or '}' was expected"):
                return -1

    cdef int _rows(self, Cursor* c) noexcept nogil:
        """Read `data` as a list of objects; a list of anything else is only checked."""
        cdef Value ignored
        cdef const char* start = c.p
        self.has_rows = True
        c.p += 1
        skip_space(c)
        if peek(c) == b"]":
            c.p += 1
            return self._new_row()
        while True:
            skip_space(c)
            if peek(c) != b"{":
                c.p = start
                self.n_fields = self.n_asks = self.n_bids = self.n_rows = 0
                self.has_rows = False
                return scan_value(c, &ignored, 1)
            if self._new_row() or self._object(c, 2):
                return -1
            self.n_rows = self.n_rows + 1
            skip_space(c)
            if peek(c) == b"]":
                c.p += 1
                return self._new_row()
            if expect(c, b",", "',' or ']' was expected"):
                return -1

    cdef void _drop_side(self, bint is_ask) noexcept nogil:
        """Forget the levels that the object being read has brought so far."""
        if is_ask:
            self.n_asks = self.rows[self.n_rows].ask
        else:
            self.n_bids = self.rows[self.n_rows].bid

    cdef int _level(self, Cursor* c, Level* out, int depth) noexcept nogil:
        """One [price, quantity, orders?]: 0; 1 when it is no level; -1 when it is no JSON."""
        cdef Value price, quantity, orders, rest
        if peek(c) != b"[":
            self.levels_why = "a level is no list"
            return 1
        c.p += 1
        skip_space(c)
        if peek(c) == b"]":
            self.levels_why = "a level is empty"
            return 1
        if (scan_string(c, &price) if peek(c) == b'"' else scan_value(c, &price, depth + 1)):
            return -1
        if number_of(&price) or price.mantissa <= 0 or price.scale > MAX_SCALE:
            self.levels_at = price.text
            self.levels_why = (
                "a level's price is no number above 0 that fits 63 bits and 18 decimals")
            return 1
        skip_space(c)
        if peek(c) != b",":
            self.levels_why = "a level has no quantity"
            return 1
        c.p += 1
        skip_space(c)
        if scan_value(c, &quantity, depth + 1):
            return -1
        if number_of(&quantity) or quantity.mantissa < 0 or quantity.scale > MAX_SCALE:
            self.levels_at = quantity.text
            self.levels_why = (
                "a level's quantity is no number from 0 that fits 63 bits and 18 decimals")
            return 1
        out.price = price.mantissa
        out.price_scale = price.scale
        out.quantity = quantity.mantissa
        out.quantity_scale = quantity.scale
        out.orders = -1
        skip_space(c)
        if peek(c) == b",":
            c.p += 1
            skip_space(c)
            if scan_value(c, &orders, depth + 1):
                return -1
            if orders.kind != NULL_VALUE:
                if number_of(&orders) or orders.mantissa < 0 or orders.scale:
                    self.levels_at = orders.text
                    self.levels_why = "a level's number of orders is no integer from 0"
                    return 1
                out.orders = orders.mantissa
            skip_space(c)
            while peek(c) == b",":          # members added later are skipped
                c.p += 1
                skip_space(c)
                if scan_value(c, &rest, depth + 1):
                    return -1
                skip_space(c)
        return expect(c, b"]", "',' or ']' was expected")

    cdef int _levels(self, Cursor* c, bint is_ask, int depth) noexcept nogil:
        """Read a side; what is not levels is only checked as JSON, and remembered in levels_why."""
        cdef const char* start = c.p
        cdef Value ignored
        cdef uint32_t first = self.rows[self.n_rows].ask if is_ask else self.rows[self.n_rows].bid
        cdef uint32_t n = first
        cdef Level* levels = self.asks if is_ask else self.bids
        cdef uint32_t cap = self.cap_asks if is_ask else self.cap_bids
        cdef int status = 0
        cdef bint closed = (c.end - 1)[0] == b"}"    # what plain_level asks for
        cdef const char* p
        c.p += 1
        skip_space(c)
        if peek(c) == b"]":
            c.p += 1
        else:
            while True:
                if n >= cap:
                    status = (grow(<void**>&self.asks, &self.cap_asks, n, sizeof(Level)) if is_ask
                              else grow(<void**>&self.bids, &self.cap_bids, n, sizeof(Level)))
                    if status:
                        return self._refuse("no memory", c.p, NULL, 0)
                    levels = self.asks if is_ask else self.bids
                    cap = self.cap_asks if is_ask else self.cap_bids
                if closed and c.p[0] == b"[":
                    p = plain_level(c.p, &levels[n])
                    if p != NULL:               # its bracket was not the text's last byte
                        n += 1
                        c.p = p + 1
                        if p[0] == b",":
                            continue            # nor was this comma
                        if p[0] == b"]":
                            break
                        c.p = p
                        skip_space(c)
                        if peek(c) == b"]":
                            c.p += 1
                            break
                        if expect(c, b",", "',' or ']' was expected"):
                            return -1
                        continue
                skip_space(c)
                self.levels_at = c.p if self.levels_why == NULL else self.levels_at
                status = self._level(c, &levels[n], depth + 1)
                if status < 0:
                    return -1
                if status:
                    break
                n += 1
                skip_space(c)
                if peek(c) == b"]":
                    c.p += 1
                    break
                if expect(c, b",", "',' or ']' was expected"):
                    return -1
        if is_ask:
            self.n_asks = first if status else n
        else:
            self.n_bids = first if status else n
        if status:
            self.levels_key = "asks" if is_ask else "bids"
            c.p = start
            return scan_value(c, &ignored, depth)
        return 0

    cdef Field* find(self, uint32_t row, uint16_t key_id) noexcept nogil:
        """The last member of that name, as JSON readers take it."""
        cdef uint32_t i = self.rows[row + 1].field
        while i > self.rows[row].field:
            i -= 1
            if self.fields[i].key_id == key_id:
                return &self.fields[i]
        return NULL

    cdef int _check(self) noexcept nogil:
        cdef uint32_t i
        cdef Py_ssize_t n
        cdef uint8_t check
        cdef Field* field
        cdef Value* v
        if self.places[<int>KEY_CHANNEL]:
            self.channel = self.top[self.places[<int>KEY_CHANNEL] - 1].value
        if self.places[<int>KEY_SYMBOL]:
            self.symbol = self.top[self.places[<int>KEY_SYMBOL] - 1].value
        if self.places[<int>KEY_TS]:
            self.ts = self.top[self.places[<int>KEY_TS] - 1].value
        if self.channel.kind == ABSENT:
            self.tag = TAG_REPLY
        elif self.channel.kind != STRING:
            return self._refuse("no string", self.channel.text, "channel", 7)
        elif self.channel.flags & ESCAPED:
            n = unescape(self.channel.text, self.channel.size, self.scratch, sizeof(self.scratch))
            self.tag = <uint8_t>look_up(channel_slots, self.scratch, <uint32_t>n) if n > 0 else 0
            if self.tag == 0 and n >= 3 and memcmp(self.scratch, b"rs.", 3) == 0:
                self.tag = TAG_ACK
        else:
            self.tag = <uint8_t>look_up(channel_slots, self.channel.text, self.channel.size)
            if self.tag == 0 and self.channel.size >= 3 and memcmp(
                    self.channel.text, b"rs.", 3) == 0:
                self.tag = TAG_ACK
        if self.tag == TAG_UNKNOWN:
            if self.symbol.kind == STRING:
                self._keep_symbol()
            if number_of(&self.ts) == 0 and self.ts.scale == 0:
                self.ts_ms = self.ts.mantissa
            return 0
        if self.ts.kind > NULL_VALUE:
            if number_of(&self.ts) or self.ts.scale or self.ts.mantissa < 0:
                return self._refuse("no integer of milliseconds", self.ts.text, "ts", 2)
            self.ts_ms = self.ts.mantissa
        if self.symbol.kind > NULL_VALUE:
            if self.symbol.kind != STRING:
                return self._refuse("no string", self.symbol.text, "symbol", 6)
            if self._keep_symbol():
                return self._refuse("longer than 60 bytes, or half a surrogate pair",
                                    self.symbol.text, "symbol", 6)
        if self.tag == TAG_REPLY:
            return 0
        if self.tag <= TAG_DEPTH_STEP:
            if self._check_depth():
                return -1
        elif self.has_rows:
            if self.tag != TAG_DEAL and self.tag != TAG_TICKERS and self.tag != TAG_ACK \
                    and self.tag != TAG_ERROR:
                return self._refuse("a list where an object was expected", self.data.text,
                                    "data", 4)
        elif self.data.kind > NULL_VALUE and self.data.kind != OBJECT and self.tag > TAG_ACK:
            return self._refuse("no object and no list of objects", self.data.text, "data", 4)
        for i in range(self.n_fields):
            field = &self.fields[i]
            check = SCHEMA[self.tag][field.key_id]
            if check == CHECK_NONE or check == CHECK_ANY:
                continue
            v = &field.value
            if v.kind == NULL_VALUE:
                continue
            if check == CHECK_DEC or check == CHECK_INT:
                if v.kind == STRING and v.size == 0:
                    continue                    # read as None, like null
                if check == CHECK_DEC and long_number_of(v):
                    return self._refuse("no number of at most 64 characters", v.text, field.key,
                                        field.key_size)
                if check == CHECK_INT and (number_of(v) or v.scale):
                    return self._refuse("no integer that fits 63 bits", v.text, field.key,
                                        field.key_size)
            elif check == CHECK_STR:
                if v.kind != STRING and v.kind != NUMBER and v.kind != BIG_NUMBER:
                    return self._refuse("no string", v.text, field.key, field.key_size)
            elif v.kind != TRUE_VALUE and v.kind != FALSE_VALUE:
                if number_of(v) or v.scale or v.mantissa < 0 or v.mantissa > 1:
                    return self._refuse("neither true nor false", v.text, field.key, field.key_size)
        return 0

    cdef int _keep_symbol(self) noexcept nogil:
        cdef Py_ssize_t n
        if self.symbol.flags & ESCAPED:
            n = unescape(self.symbol.text, self.symbol.size, self.symbol_text, 64)
            if n < 0 or n > 60:
                return -1
            self.symbol_size = <uint32_t>n
        elif self.symbol.size > 60:
            return -1
        else:
            memcpy(self.symbol_text, self.symbol.text, self.symbol.size)
            self.symbol_size = self.symbol.size
        return 0

    cdef int _check_depth(self) noexcept nogil:
        """Levels are levels, and versions are there (protocol.md 7.4, 10.1)."""
        cdef Field* field
        cdef uint32_t i
        cdef int64_t begin = 0, end = 0, version = -1
        if self.data.kind != OBJECT:
            return self._refuse("no object", self.data.text if self.data.kind else self.text,
                                "data", 4)
        if self.symbol_size == 0:
            return self._refuse("missing or empty", self.text, "symbol", 6)
        if self.levels_why != NULL:
            return self._refuse(self.levels_why, self.levels_at, self.levels_key, 4)
        for i in range(self.n_fields):
            field = &self.fields[i]
            if field.key_id < KEY_ASKS or field.key_id > KEY_END:
                continue
            if field.key_id <= KEY_BIDS:
                if field.value.kind != ARRAY and field.value.kind != NULL_VALUE:
                    return self._refuse("no list of levels", field.value.text, field.key,
                                        field.key_size)
                continue
            if field.value.kind == NULL_VALUE:
                continue
            if number_of(&field.value) or field.value.scale or field.value.mantissa < 0:
                return self._refuse("no integer from 0 that fits 63 bits", field.value.text,
                                    field.key, field.key_size)
            if field.key_id == KEY_VERSION:
                version = field.value.mantissa
            elif field.key_id == KEY_BEGIN:
                begin = field.value.mantissa
            else:
                end = field.value.mantissa
        if end == 0:
            end = version
        if end < 0:
            return self._refuse("missing", self.data.text, "version", 7)
        if version >= 0 and version != end:
            return self._refuse("version and end differ", self.data.text, "version", 7)
        self.has_range = begin > 0
        self.begin = begin if begin > 0 else end
        self.end = end
        if self.begin > end:
            return self._refuse("begin is above end", self.data.text, "begin", 5)
        return 0

    cdef object error(self):
        """FrameError: what, where, which member and an excerpt of at most 40 bytes."""
        cdef Py_ssize_t where = min(max(self.where, 0), self.size)
        cdef Py_ssize_t stop = min(where + 40, self.size)
        why = self.why.decode() if self.why != NULL else "not read"
        name = (self.bad_key[:min(self.bad_key_size, 40)].decode(errors="replace")
                if self.bad_key != NULL else "")
        seen = self.text[where:stop]
        return FrameError(
            f"{name + ': ' if name else ''}{why}, at byte {where} of {self.size}: {seen!r}")

    cdef int decode(self, const char* text, Py_ssize_t size) except -1:
        self.inflated = None
        if size >= 2 and <uint8_t>text[0] == 0x1F and <uint8_t>text[1] == 0x8B:
            self.inflated = inflate(text[:size])
            text = self.inflated
            size = len(self.inflated)
        if self.parse(text, size):
            raise self.error()
        return 0

    cdef int decode_object(self, object data) except -1:
        cdef Py_ssize_t size = 0
        cdef const char* text
        if type(data) is bytes:
            self.holder = data
            return self.decode(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        if isinstance(data, str):
            self.holder = data
            try:
                text = PyUnicode_AsUTF8AndSize(data, &size)
            except UnicodeEncodeError as fault:
                raise FrameError(f"text holds a lone surrogate at {fault.start}") from None
            return self.decode(text, size)
        if not isinstance(data, bytes):
            try:
                data = bytes(memoryview(data))
            except TypeError:
                raise TypeError(
                    f"frame is {type(data).__name__}; allowed: bytes-like or str") from None
        self.holder = data
        return self.decode(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef bytes inflate(bytes packed):
    """The text of one gzip frame (protocol.md 5.3); FrameError when cut, broken or too large."""
    reader = zlib.decompressobj(wbits=31)
    try:
        text = reader.decompress(packed, MAX_INFLATED)
    except zlib.error as fault:
        raise FrameError(f"gzip frame of {len(packed)} bytes: {fault}") from None
    if not reader.eof or reader.unused_data:
        raise FrameError(
            f"gzip frame of {len(packed)} bytes is cut, padded or holds more than "
            f"{MAX_INFLATED} bytes")
    return text
