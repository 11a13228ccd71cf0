"""Typed event objects: one class per channel, members named in core/channels.

Numbers read as float; `decimal(name)` gives the exact value the venue sent. A member that is null
or absent reads None.
"""

import json
from decimal import Decimal

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject, PyTypeObject
from cython cimport final
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from mexcfast.core.frame cimport (
    Field, Level, Message, Row, TAG_ACK, TAG_ERROR, TAG_REPLY, number_of,
)
from mexcfast.core.scan cimport (
    ABSENT, BIG_NUMBER, ESCAPED, FALSE_VALUE, INTEGRAL, NULL_VALUE, NUMBER, QUOTED, STRING,
    TRUE_VALUE, Value,
)
from mexcfast.core.ticks cimport as_double

from mexcfast.core.channels import CHANNELS as _CHANNELS
from mexcfast.core.frame import KEY_IDS as _KEY_IDS

cdef extern from "Python.h":
    void PyType_Modified(PyTypeObject* cls)

cdef extern from *:
    """
    #define mexcfast_type_dict(cls) (((PyTypeObject *)(cls))->tp_dict)
    """
    PyObject* type_dict "mexcfast_type_dict"(object cls)     # borrowed


cdef str text_of(const Value* v):
    if v.flags & ESCAPED:
        return json.loads(b'"' + v.text[:v.size] + b'"')
    return v.text[:v.size].decode()


cdef object plain(const Value* v):
    """The value as json.loads gives it."""
    if v.flags & QUOTED:
        return v.text[:v.size].decode()
    if v.kind == NUMBER:
        return v.mantissa if v.flags & INTEGRAL else as_double(v.mantissa, v.scale)
    if v.kind == STRING:
        return text_of(v)
    if v.kind == TRUE_VALUE:
        return True
    if v.kind == FALSE_VALUE:
        return False
    if v.kind == NULL_VALUE or v.kind == ABSENT:
        return None
    return json.loads(v.text[:v.size])


cdef class Member:
    """Reads one member of a record; the descriptor behind every event attribute."""

    cdef:
        list key_ids
        int kind              # the order of channels.KINDS
        readonly str name     # ours
        readonly str venue_name

    def __init__(self, str venue_name, str name, int kind):
        self.key_ids = [_KEY_IDS[venue_name]]
        self.venue_name = venue_name
        self.name = name
        self.kind = kind

    def __set__(self, record, value):
        raise AttributeError(f"{self.name} of an event is read-only")

    def __get__(self, record, cls):
        cdef const Field* field
        cdef const Value* v
        if record is None:
            return self
        field = find(<Record?>record, self)
        if field == NULL:
            return None
        v = &field.value
        if self.kind == 0 or self.kind == 1:
            if v.kind == BIG_NUMBER:
                return float(v.text[:v.size])
            if v.kind != NUMBER:
                return None               # "" stands for absent
            if self.kind == 0:
                return as_double(v.mantissa, v.scale)
            return None if v.scale else v.mantissa
        if self.kind == 2:
            return text_of(v) if v.kind == STRING else v.text[:v.size].decode()
        if self.kind == 3:
            return v.kind == TRUE_VALUE or (v.kind == NUMBER and v.mantissa == 1)
        return plain(v)


cdef const Field* find(Record record, Member member):
    """The member's field, NULL when absent or null; the last of a repeated name.

    Acknowledgements and errors may carry their code and text beside `data` (protocol.md 6).
    """
    cdef Event event = record._event()
    cdef const Field* field
    cdef uint16_t wanted
    for wanted in member.key_ids:
        if record.row < event.n_rows:
            field = last_of(event.fields, event.rows[record.row].field,
                            event.rows[record.row + 1].field, wanted)
            if field != NULL and field.value.kind != NULL_VALUE:
                return field
        if event.tag == TAG_ACK or event.tag == TAG_ERROR:
            field = last_of(event.top, 0, event.n_top, wanted)
            if field != NULL and field.value.kind != NULL_VALUE:
                if member.kind <= 1:
                    number_of(<Value*>&field.value)     # not checked when the frame was read
                return field
    return NULL


cdef const Field* last_of(const Field* fields, uint32_t first, uint32_t end,
                          uint16_t key_id) noexcept:
    while end > first:
        end -= 1
        if fields[end].key_id == key_id:
            return &fields[end]
    return NULL


cdef class Record:
    """One object of an event's data."""

    cdef Event _event(self):
        if self.owner is None:
            return <Event>self if isinstance(self, Event) else NOTHING
        return self.owner

    def decimal(self, str name not None):
        """The exact value of a decimal member; None when null or absent.

        name: ours, for example "price". Raises AttributeError when there is no such number.
        """
        cdef const Field* field
        member = getattr(type(self), name, None)
        if not isinstance(member, Member) or (<Member>member).kind > 1:
            raise AttributeError(f"{type(self).__name__} has no number {name!r}")
        field = find(self, member)
        if field == NULL or (field.value.kind != NUMBER and field.value.kind != BIG_NUMBER):
            return None
        return Decimal(field.value.text[:field.value.size].decode())

    def members(self):
        """{our name: value} of everything listed in core/channels that the venue sent."""
        cdef dict out = {}
        for name, member in type(self).__dict__.items():
            if isinstance(member, Member):
                value = getattr(self, name)
                if value is not None:
                    out[name] = value
        return out

    def __repr__(self):
        shown = ", ".join([f"{k}={v!r}" for k, v in list(self.members().items())[:8]])
        return f"<{type(self).__name__} {shown}>"


cdef void move(Field* fields, uint32_t n, const char* old, const char* new) noexcept:
    """Let copied fields point into the copied text."""
    cdef uint32_t i
    for i in range(n):
        fields[i].key = new + (fields[i].key - old)
        fields[i].value.text = new + (fields[i].value.text - old)


cdef class Event(Record):
    """One frame of the venue.

    channel, symbol, ts_venue_ms (venue wall clock, None when absent) and ts_recv_ns (our wall clock
    at receipt) are common to all; the rest is the channel's own.
    """

    def __cinit__(self):
        self.raw = b""
        self.channel = ""

    def __dealloc__(self):
        free(self.fields)
        free(self.top)
        free(self.levels)
        free(self.rows)

    cdef int _take(self, Message m, int64_t ts_recv_ns) except -1:
        cdef const char* text
        cdef Field* named
        self.raw = m.text[:m.size]
        text = PyBytes_AS_STRING(self.raw)
        self.tag = m.tag
        self.has_rows = m.has_rows
        self.ts_recv_ns = ts_recv_ns
        self.ts_ms = m.ts_ms
        self.begin_version = m.begin
        self.end_version = m.end
        self.data_kind = m.data.kind
        self.data_at = m.data.text - m.text if m.data.kind else 0
        self.data_size = m.data.size if m.data.kind else 0
        if m.data.kind == STRING:            # with its quotes
            self.data_at -= 1
            self.data_size += 2
        if m.n_fields:
            self.fields = <Field*>malloc(m.n_fields * sizeof(Field))
        if m.n_top:
            self.top = <Field*>malloc(m.n_top * sizeof(Field))
        if m.n_asks + m.n_bids:
            self.levels = <Level*>malloc((m.n_asks + m.n_bids) * sizeof(Level))
        self.rows = <Row*>malloc((m.n_rows + 1) * sizeof(Row))
        if ((m.n_fields and self.fields == NULL) or (m.n_top and self.top == NULL)
                or (m.n_asks + m.n_bids and self.levels == NULL) or self.rows == NULL):
            raise MemoryError("no memory for an event")
        if m.n_fields:
            memcpy(self.fields, m.fields, m.n_fields * sizeof(Field))
        if m.n_top:
            memcpy(self.top, m.top, m.n_top * sizeof(Field))
        if m.n_asks:
            memcpy(self.levels, m.asks, m.n_asks * sizeof(Level))
        if m.n_bids:
            memcpy(self.levels + m.n_asks, m.bids, m.n_bids * sizeof(Level))
        memcpy(self.rows, m.rows, (m.n_rows + 1) * sizeof(Row))
        self.n_fields, self.n_top, self.n_rows = m.n_fields, m.n_top, m.n_rows
        self.n_asks, self.n_bids = m.n_asks, m.n_bids
        move(self.fields, self.n_fields, m.text, text)
        move(self.top, self.n_top, m.text, text)
        self.channel = text_of(&m.channel) if m.channel.kind == STRING else ""
        if m.symbol_size:
            self.symbol = m.symbol_text[:m.symbol_size].decode()
        elif m.n_rows == 1 and not m.has_rows:
            named = m.find(0, SYMBOL_ID)
            if named != NULL and named.value.kind == STRING:
                self.symbol = text_of(&named.value)
        return 0

    @property
    def ts_venue_ms(self):
        """The frame's own time, venue wall clock in ms; None when it carries none."""
        return self.ts_ms if self.ts_ms >= 0 else None

    cdef dict _row(self, uint32_t row):
        cdef dict out = {}
        cdef uint32_t i
        for i in range(self.rows[row].field, self.rows[row + 1].field):
            out[key_of(&self.fields[i])] = plain(&self.fields[i].value)
        return out

    @property
    def data(self):
        """The frame's data in the venue's own names and JSON's types; None when absent."""
        if self.has_rows:
            return [self._row(i) for i in range(self.n_rows)]
        if self.n_rows:
            return self._row(0)
        if self.data_kind == ABSENT:
            return None
        return json.loads(self.raw[self.data_at:self.data_at + self.data_size])

    def to_dict(self):
        """The whole frame in the venue's own names, rebuilt from what was parsed.

        Equals the standard library's json reading of the frame.
        """
        cdef dict out = {}
        cdef uint32_t i
        for i in range(self.n_top):
            out[key_of(&self.top[i])] = plain(&self.top[i].value)
        if self.data_kind != ABSENT:
            out["data"] = self.data
        return out

    def __repr__(self):
        shown = ", ".join([f"{k}={v!r}" for k, v in list(self.members().items())[:8]])
        return f"<{type(self).__name__} {self.symbol or self.channel} {shown}>"


cdef str key_of(const Field* field):
    cdef bytes key = field.key[:field.key_size]
    return json.loads(b'"' + key + b'"') if b"\\" in key else key.decode()


cdef list levels_of(Event event, bint asks):
    cdef uint32_t i
    cdef uint32_t first = 0 if asks else event.n_asks
    cdef uint32_t n = event.n_asks if asks else event.n_bids
    cdef list out = []
    for i in range(first, first + n):
        out.append((as_double(event.levels[i].price, event.levels[i].price_scale),
                    as_double(event.levels[i].quantity, event.levels[i].quantity_scale),
                    event.levels[i].orders))
    return out


@final
cdef class Unknown(Event):
    """A channel we do not know, or a frame that names none; `text` is what came."""

    @property
    def text(self):
        """The frame as it came."""
        return self.raw.decode()


cdef class DepthEvent(Event):
    """What the three depth channels share: levels as (price, quantity, orders)."""

    @property
    def asks(self):
        """Levels as sent: (price, quantity in contracts, orders or -1) each."""
        return levels_of(self, True)

    @property
    def bids(self):
        """Levels as sent: (price, quantity in contracts, orders or -1) each."""
        return levels_of(self, False)

    @property
    def begin(self):
        """First version merged into this frame; equals `end` for a single one."""
        return self.begin_version

    @property
    def end(self):
        """Version after applying the frame."""
        return self.end_version


@final
cdef class Depth(DepthEvent):
    """Incremental depth: changed levels, absolute quantities (protocol.md 7.4)."""


@final
cdef class DepthFull(DepthEvent):
    """Top 5, 10 or 20 levels, whole (protocol.md 7.5)."""


@final
cdef class DepthStep(DepthEvent):
    """Aggregated book, whole (protocol.md 7.6)."""


@final
cdef class Pong(Event):
    """Reply to a ping (protocol.md 5.1)."""

    @property
    def ts_server_ms(self):
        """The venue's clock as it answered, ms; None when the reply carries no number."""
        try:
            return int(Decimal(str(self.data)))
        except (ArithmeticError, ValueError):
            return None


cdef class Reply(Event):
    """What acknowledgements and errors share: a text and perhaps a code."""

    @property
    def message(self):
        """The venue's text; "" when it sent none."""
        data = self.data
        if isinstance(data, dict):
            data = data.get("msg") or data.get("message")
        elif data is None:
            data = self.msg
        return data if isinstance(data, str) else "" if data is None else str(data)


@final
cdef class RequestError(Reply):
    """A request was refused; the venue does not say which (protocol.md 6)."""


@final
cdef class Acknowledgement(Reply):
    """Answer to a request, matched by method and order (protocol.md 6)."""

    @property
    def method(self):
        """The request's method: "sub.depth", "login", "personal.filter" ..."""
        return self.channel[3:]

    @property
    def is_success(self):
        """True for "success", {"code": 0} or no data at all, unless a code or a flag says no."""
        data = self.data
        code = self.code
        if isinstance(data, dict):
            return code == 0
        if code is not None and code != 0 or self.to_dict().get("success", True) is not True:
            return False
        return data is None or data == "success"


cdef list records_of(Event event, type cls):
    cdef Record record
    cdef list out = []
    cdef uint32_t i
    for i in range(event.n_rows):
        record = cls()
        record.owner = event
        record.row = i
        out.append(record)
    return out


@final
cdef class Deal(Record):
    """One trade."""


@final
cdef class Deals(Event):
    """Trades of one contract (protocol.md 7.3)."""

    @property
    def deals(self):
        """A Deal for each trade, in the venue's order."""
        return records_of(self, Deal)


@final
cdef class TickerRow(Record):
    """One contract of a Tickers event."""


@final
cdef class Tickers(Event):
    """All contracts at once (protocol.md 7.1)."""

    @property
    def tickers(self):
        """A TickerRow for each contract."""
        return records_of(self, TickerRow)


@final
cdef class Ticker(Event):
    """One contract's ticker (protocol.md 7.2)."""


@final
cdef class Kline(Event):
    """A candle, final when one with a later start appears (protocol.md 7.7)."""


@final
cdef class FundingRate(Event):
    """Funding rate as a fraction (protocol.md 7.8)."""


@final
cdef class IndexPrice(Event):
    """Index price (protocol.md 7.9)."""


@final
cdef class FairPrice(Event):
    """Fair (mark) price (protocol.md 7.10)."""


@final
cdef class ContractUpdate(Event):
    """A contract's definition changed (protocol.md 7.11, 12.7)."""


@final
cdef class EventContract(Event):
    """An event contract's definition (protocol.md 7.12)."""


@final
cdef class OrderUpdate(Event):
    """An own order changed (protocol.md 12.1)."""


@final
cdef class FillUpdate(Event):
    """An own order was filled, wholly or in part (protocol.md 12.2)."""


@final
cdef class PositionUpdate(Event):
    """An own position changed (protocol.md 12.3)."""


@final
cdef class AssetUpdate(Event):
    """A balance changed (protocol.md 12.4)."""


@final
cdef class PlanOrderUpdate(Event):
    """A plan (trigger) order changed (protocol.md 12.5)."""


@final
cdef class StopOrderUpdate(Event):
    """TP/SL prices attached to an order (protocol.md 9.1)."""


@final
cdef class StopPlanOrderUpdate(Event):
    """A TP/SL order changed (protocol.md 12.6)."""


@final
cdef class TrackOrderUpdate(Event):
    """A trailing order changed (protocol.md 12.6)."""


@final
cdef class RiskLimitUpdate(Event):
    """The risk tier changed (protocol.md 9.2)."""


@final
cdef class AdlLevelUpdate(Event):
    """The ADL level changed (protocol.md 9.3)."""


@final
cdef class LiquidateRisk(Event):
    """A position nears liquidation (protocol.md 9.4)."""


@final
cdef class PositionModeUpdate(Event):
    """Hedge or one-way mode was set (protocol.md 9)."""


@final
cdef class LeverageModeUpdate(Event):
    """The leverage mode was set (protocol.md 9)."""


@final
cdef class ReversePosition(Event):
    """Result of a reversal (protocol.md 9.5)."""


@final
cdef class GenericNotify(Event):
    """Liquidation news and warnings (protocol.md 9.6)."""


@final
cdef class OrderChaseFailed(Event):
    """A chase order failed (protocol.md 9)."""


@final
cdef class CloseAllFailed(Event):
    """Closing all positions failed (protocol.md 9)."""


@final
cdef class BonusUpdate(Event):
    """Trial fund (protocol.md 9.7)."""


@final
cdef class EventContractPosition(Event):
    """A position in an event contract (protocol.md 9.8)."""


cdef Event NOTHING = Event()      # what a record made by hand belongs to
cdef uint16_t SYMBOL_ID = _KEY_IDS["symbol"]
EVENT_CLASSES = [globals()[row.event] for row in _CHANNELS]


def _add_members():
    """Give each class its channel's members as read-only attributes."""
    from mexcfast.core.channels import KINDS
    for row in _CHANNELS:
        cls = globals()[row.record or row.event]
        members = <dict>type_dict(cls)
        for field in row.fields:
            if hasattr(Event, field.name) and not row.record:
                continue              # symbol
            if issubclass(cls, DepthEvent) and field.name in ("begin", "end"):
                continue
            known = members.get(field.name)
            if isinstance(known, Member):
                (<Member>known).key_ids.append(_KEY_IDS[field.venue_name])
            else:
                members[field.name] = Member(field.venue_name, field.name, KINDS.index(field.kind))
        PyType_Modified(<PyTypeObject*>cls)


_add_members()


cdef Event event_from(Message m, int64_t ts_recv_ns):
    cls = EVENT_CLASSES[0 if m.tag == TAG_REPLY else m.tag]
    cdef Event event = cls()
    event._take(m, ts_recv_ns)
    return event


_spare = []      # a Message between two calls


def parse_frame(data, int64_t ts_recv_ns=0):
    """One frame of the venue as a typed event.

    data: bytes-like (plain or gzip) or str. ts_recv_ns: our wall clock at receipt, kept as given.
    Raises FrameError naming the member, what is wrong and where. Source: protocol.md 6 to 9.
    """
    cdef Message m
    try:
        m = _spare.pop()
    except IndexError:
        m = Message()
    try:
        m.decode_object(data)
        return event_from(m, ts_recv_ns)
    finally:
        m.holder = None
        _spare.append(m)
