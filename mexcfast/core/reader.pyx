"""Bytes in, hooks out: routes frames to books and listeners. Sockets and tapes feed a Reader."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp

from mexcfast.core.arbiter cimport Arbiter, NEW, PARTLY, Verdict
from mexcfast.core.depth cimport (
    APPLIED, BUFFERED, Change, LIVE, NEED_REPAIR, NEED_SNAPSHOT, OrderBook, STALE, State,
)
from mexcfast.core.events cimport Event, event_from
from mexcfast.core.frame cimport (
    Message, TAG_ACK, TAG_DEPTH, TAG_ERROR, TAG_PONG, TAG_REPLY, TAG_UNKNOWN,
)
from mexcfast.core.listener cimport Listener
from mexcfast.core.shape cimport learn_shape, read_shape
from mexcfast.core.tap cimport (
    ARBITRATED, BOOK_ATTACHED, BOOK_DETACHED, CALLED, FORGOTTEN, HOLDS, LISTENED, RETURNED, SETTLED,
    Tap, TRUSTED,
)

from mexcfast.core.channels import CHANNELS as _CHANNELS
from mexcfast.core.listener import overrides
from mexcfast.errors import FrameError

TAGS = {row.name: tag for tag, row in enumerate(_CHANNELS)}
cdef tuple TAG_NUMBERS = tuple(range(len(_CHANNELS)))


cdef uint32_t hash_of(const char* name, uint32_t size) noexcept nogil:
    """FNV-1a; symbols are about ten bytes."""
    cdef uint32_t h = 2166136261U
    cdef uint32_t i
    for i in range(size):
        h = (h ^ <uint8_t>name[i]) * 16777619U
    return h ^ (h >> 15)


cdef int enlist(dict table, int tag, Listener listener, bint wants) except -1:
    """Add a listener to the tag's list, once; one that overrides nothing makes the tag known."""
    cdef list known = table.get(tag, [])
    if wants and listener not in known:
        table[tag] = [*known, listener]
    else:
        table[tag] = known
    return 0


cdef class Route:
    """Where the frames of one contract go."""

    def __init__(self, str symbol not None, Reader reader=None):
        self.symbol = symbol
        self.name = symbol.encode()
        self.reader = reader
        self.events = {}
        self.frame_listeners = {}
        self.heard = {}
        self.last_recv_ns = {}

    @property
    def book(self):
        """The book that this contract's depth frames go into; None when nobody wants one."""
        return self._book

    @book.setter
    def book(self, OrderBook book):
        cdef Tap tap = self.reader.tap if self.reader is not None else None
        cdef OrderBook old = self._book
        self._book = book
        if tap is None:
            return
        if old is not None and old is not book:
            tap.note(BOOK_DETACHED, self.reader.tap_source, self.name)
        if book is not None:
            book.record(tap)
            tap.note(BOOK_ATTACHED, self.reader.tap_source,
                     f"{book.tap_number} {int(book.strict)} 0 {self.symbol}".encode())
            if book.hold_ns:
                tap.note(HOLDS, book.tap_number, str(book.hold_ns))

    def listeners(self):
        """Everybody who receives something of this contract, each once."""
        found = []
        for some in (*self.frame_listeners.values(), *self.events.values()):
            found += [each for each in some if each not in found]
        if self._book is not None:
            found += [each for each in self._book.listeners if each not in found]
        return found

    def arbitrate(self, str channel not None, Arbiter arbiter, int path=0):
        """Ask the arbiter before a channel's frames are delivered; None: deliver them all again.

        path: what the arbiter's join() gave for this socket. A book gets every frame in any case,
        its versions decide; frame listeners do not.
        Raises ValueError for a channel that core/channels does not list.
        """
        if channel not in TAGS:
            raise ValueError(f"channel is {channel!r}; allowed: {', '.join(sorted(TAGS))}")
        known = dict(self.arbiters or ())
        if arbiter is None:
            known.pop(TAGS[channel], None)
        else:
            known[TAGS[channel]] = (arbiter, path)
        if self.reader is not None and self.reader.tap is not None:
            self.reader.tap.note(ARBITRATED, self.reader.tap_source, self._arbitration(
                channel, arbiter, path))
        self.arbiters = known or None
        self.depth_arbiter, self.depth_path = known.get(TAG_DEPTH) or (None, 0)

    def _arbitration(self, str channel, Arbiter arbiter, int path):
        if arbiter is None:
            return f"{channel} {self.symbol}"
        return (f"{channel} {self.symbol} {id(arbiter)} {path} {arbiter.joined_ns(path)} "
                f"{arbiter.capacity} {arbiter.horizon_ns}")

    def arbitrations(self):
        """What arbitrate() was told, as the tape has it."""
        return [self._arbitration(_CHANNELS[tag].name, arbiter, path)
                for tag, (arbiter, path) in (self.arbiters or {}).items()]

    def forget_receipts(self):
        """Start the silence clocks anew: another socket delivers from now on."""
        self.last_recv_ns = {}
        self.depth_recv_ns = 0


cdef class Reader:
    """Parses frames and calls hooks.

    control: an object with on_control(event) for acknowledgements, errors and pongs,
    on_need(book, change) when a book wants commits or a snapshot, or, BUFFERED, when the first
    early frame waits in it: call its overdue() once hold_ns has passed; on_trusted(book) when a
    frame ended a doubt, and on_fault(error, where) for refused frames and faults of listeners.
    """

    def __init__(self, control):
        self.message = Message()
        self.routes = {}
        self.slots = [None] * 64
        self.mask = 63
        self.control = control
        self.everything = self.route("")

    def route(self, str symbol not None):
        """The Route of a contract, made when first asked for."""
        cdef Route route = self.routes.get(symbol)
        if route is None:
            route = Route(symbol, self)
            self.routes[symbol] = route
            if 2 * len(self.routes) > len(self.slots):
                self.mask = 2 * self.mask + 1
                self.slots = [None] * (self.mask + 1)
                for each in self.routes.values():
                    self._enter(each)
            else:
                self._enter(route)
        return route

    def _enter(self, Route route):
        cdef uint32_t i = self.mask & hash_of(PyBytes_AS_STRING(route.name),
                                              PyBytes_GET_SIZE(route.name))
        while self.slots[i] is not None:
            i = (i + 1) & self.mask
        self.slots[i] = route

    cdef Route _find(self, const char* name, uint32_t size):
        cdef uint32_t i = hash_of(name, size) & self.mask
        cdef Route route
        while True:
            route = <Route>self.slots[i]
            if route is None:
                return None
            if (PyBytes_GET_SIZE(route.name) == size
                    and memcmp(PyBytes_AS_STRING(route.name), name, size) == 0):
                return route
            i = (i + 1) & self.mask

    def listen(self, str channel not None, str symbol not None, Listener listener not None):
        """Send a channel's frames to a listener; symbol "" for channels without one.

        channel: the push's name on the wire, for example "push.deal". For push.depth with a book
        the book's own listeners receive; this adds the raw frames.
        Raises ValueError for a channel that core/channels does not list.
        """
        cdef Route route
        if channel not in TAGS:
            raise ValueError(f"channel is {channel!r}; allowed: {', '.join(sorted(TAGS))}")
        route = self.route(symbol)
        if self.tap is not None:
            self.tap.note(LISTENED, self.tap_source, f"{channel} {symbol}".encode())
        enlist(route.heard, TAGS[channel], listener, True)
        if not (channel == "push.depth" and route._book is not None):
            enlist(route.events, TAGS[channel], listener, overrides(listener, "on_event"))
        enlist(route.frame_listeners, TAGS[channel], listener, overrides(listener, "on_frame"))
        route.depth_frame_listeners = route.frame_listeners.get(TAG_DEPTH) or None

    def forget(self, str channel not None, str symbol not None, Listener listener not None):
        """Undo listen; nothing happens when there was none."""
        cdef Route route = self.route(symbol)
        known = TAGS.get(channel) in route.heard
        for table in (route.events, route.frame_listeners, route.heard):
            left = [each for each in table.pop(TAGS.get(channel), []) if each is not listener]
            if left:
                table[TAGS[channel]] = left
        route.depth_frame_listeners = route.frame_listeners.get(TAG_DEPTH) or None
        if self.tap is not None and known and TAGS.get(channel) not in route.heard:
            self.tap.note(FORGOTTEN, self.tap_source, f"{channel} {symbol}".encode())

    def heard(self):
        """(channel, symbol) of everything that somebody listens to here."""
        cdef Route route
        cdef list found = []
        for route in self.routes.values():
            found += [(_CHANNELS[tag].name, route.symbol) for tag in route.heard]
        return found

    def record(self, Tap tap, uint32_t source=0):
        """Tell a tap of everything that goes in from now on; None: nobody.

        source: this reader's number on the tape.
        """
        cdef Route route
        self.tap = tap
        self.tap_source = source
        for route in self.routes.values():
            if route._book is not None:
                route._book.record(tap)

    def feed_bytes(self, data, int64_t ts_recv_ns):
        """One whole frame as bytes-like. Faults go to control, as with a socket."""
        cdef const uint8_t[::1] view
        if type(data) is bytes:
            self.feed(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), ts_recv_ns)
            return
        view = memoryview(data).cast("B")
        if view.shape[0]:
            self.feed(<const char*>&view[0], view.shape[0], ts_recv_ns)
        else:
            self.feed("", 0, ts_recv_ns)

    def settle(self, OrderBook book not None, State old, Change change):
        """Tell listeners what a loaded snapshot or commits changed. old: the state before."""
        if self.tap is not None and book.tap is self.tap:
            self.tap.note(SETTLED, self.tap_source,
                          f"{book.tap_number} {<int>old} {<int>change}".encode())
        self._settle(book, old, change)

    def trust(self, OrderBook book not None):
        """The book is no longer in doubt; listeners see it when it is LIVE."""
        if self.tap is not None and book.tap is self.tap:
            self.tap.note(TRUSTED, self.tap_source, str(book.tap_number))
        if book.doubt is not None:
            book.doubt = None
            if book.state == LIVE:
                self._book_moved(book)

    cdef int feed(self, const char* text, Py_ssize_t size, int64_t ts_recv_ns) except -1:
        cdef Message m = self.message
        self.frames += 1
        self.bytes_read += size
        if self.tap is not None:
            self.tap.frame(self.tap_source, text, size, ts_recv_ns)
        if m is None:
            return self._deliver(Message(), text, size, ts_recv_ns)    # a hook feeds this reader
        self.message = None
        try:
            return self._deliver(m, text, size, ts_recv_ns)
        finally:
            m.size = 0                # the text is the socket's again
            self.message = m

    cdef int _deliver(self, Message m, const char* text, Py_ssize_t size,
                      int64_t ts_recv_ns) except -1:
        if size >= 2 and <uint8_t>text[0] == 0x1F:
            try:
                m.decode(text, size)
            except FrameError as fault:
                self.malformed += 1
                return self._fault(fault, "frame")
        elif read_shape(m, text, size):
            if m.parse(text, size):
                self.malformed += 1
                return self._fault(m.error(), "frame")
            learn_shape(m)
        if m.tag == TAG_DEPTH:
            return self._depth(m, ts_recv_ns)
        return self._event(m, ts_recv_ns)

    cdef int _frames_to(self, list listeners, Message m, int64_t ts_recv_ns) except -1:
        for listener in listeners:
            try:
                (<Listener>listener).on_frame(m, ts_recv_ns)
            except Exception as fault:
                self._fault(fault, "on_frame")
        return 0

    cdef int _depth(self, Message m, int64_t ts_recv_ns) except -1:
        cdef Route route = self._find(m.symbol_text, m.symbol_size)
        cdef OrderBook book
        cdef State old
        cdef Change change
        if route is None:
            self.unrouted += 1
            return 0
        route.depth_recv_ns = ts_recv_ns
        if (route.depth_frame_listeners is not None or route.book is None
                or route.depth_arbiter is not None):
            m.expand()                # more than a book looks at it
        if route.depth_arbiter is not None and route.depth_arbiter.admit(
                m, route.depth_path, ts_recv_ns) != NEW:
            self.arbitrated += 1
            if route.book is None:
                return 0
        elif route.depth_frame_listeners is not None:
            self._frames_to(route.depth_frame_listeners, m, ts_recv_ns)
        book = route._book
        if book is None:
            return self._event(m, ts_recv_ns)
        old = book.state
        try:
            change = book.apply_message(m, ts_recv_ns)
        except FrameError as fault:
            self.malformed += 1
            self._fault(fault, "book")
            return self._settle(book, old, NEED_SNAPSHOT)     # the frame is lost
        if book.doubt is not None:
            book.doubt = None
            self._called(b"on_trusted")
            self.control.on_trusted(book)
            self._returned()
            if change == STALE and book.state == LIVE:
                return self._book_moved(book)    # nobody was told of it while it was in doubt
        if change == APPLIED and old == LIVE and book.state == LIVE:
            return self._book_moved(book)
        if change == BUFFERED and book.held_ns:
            # Every socket brings its frames in order: once all have brought this one, nobody will
            # bring what it waits for.
            if route.depth_arbiter is not None and route.depth_arbiter.everywhere:
                change = book.give_up()
            elif book.n_pending == 1:
                self._called(b"on_need")
                self.control.on_need(book, change)
                self._returned()
        return self._settle(book, old, change)

    cdef int _book_moved(self, OrderBook book) except -1:
        for listener in book.listeners:
            if book.state != LIVE or book.crossed or book.doubt is not None:
                break             # the hook before changed it, or its stream has not spoken
            try:
                (<Listener>listener).on_book(book)
            except Exception as fault:
                self._fault(fault, "on_book")
        return 0

    cdef int _settle(self, OrderBook book, State old, Change change) except -1:
        cdef State new = book.state
        if change == NEED_REPAIR or change == NEED_SNAPSHOT:
            self._called(b"on_need")
            self.control.on_need(book, change)
            self._returned()
        if new != old:
            if self.on_state is not None:
                self._called(b"on_state")
                self.on_state(book, old, new)
                self._returned()
            for listener in book.listeners:
                try:
                    (<Listener>listener).on_book_state(book, old, new)
                except Exception as fault:
                    self._fault(fault, "on_book_state")
        if change == APPLIED:
            return self._book_moved(book)
        return 0

    cdef int _event(self, Message m, int64_t ts_recv_ns) except -1:
        cdef Route route = self.everything
        cdef Event event = None
        cdef bint is_control = m.tag == TAG_PONG or m.tag == TAG_ACK or m.tag == TAG_ERROR
        cdef bint heard = False
        if m.tag == TAG_UNKNOWN or m.tag == TAG_REPLY:
            self.unknown += 1
        if is_control:
            event = event_from(m, ts_recv_ns)
            self._called(b"on_control")
            self.control.on_control(event)
            self._returned()
        tag = TAG_NUMBERS[0 if m.tag == TAG_REPLY else m.tag]
        while route is not None:
            route.last_recv_ns[tag] = ts_recv_ns
            if route.arbiters is not None and m.tag != TAG_DEPTH and tag in route.arbiters:
                m = self._arbitrate(route.arbiters[tag], m, ts_recv_ns)
                if m is None:
                    return 0
            listeners = route.frame_listeners.get(tag)
            if listeners is not None:
                heard = True
                if m.tag != TAG_DEPTH:
                    self._frames_to(listeners, m, ts_recv_ns)
            listeners = route.events.get(tag)
            heard = heard or listeners is not None
            for listener in listeners or ():
                if event is None:
                    event = event_from(m, ts_recv_ns)
                try:
                    (<Listener>listener).on_event(event)
                except Exception as fault:
                    self._fault(fault, "on_event")
            if route is not self.everything or m.symbol_size == 0:
                break
            route = self._find(m.symbol_text, m.symbol_size)
        if not heard and not is_control:
            self.unrouted += 1
        return 0

    cdef Message _arbitrate(self, tuple arbitration, Message m, int64_t ts_recv_ns):
        cdef Arbiter arbiter = <Arbiter>arbitration[0]
        cdef Verdict verdict = arbiter.admit(m, arbitration[1], ts_recv_ns)
        cdef Message part
        if verdict == NEW:
            return m
        self.arbitrated += 1
        if verdict != PARTLY:
            return None
        part = Message()
        part.decode_object(arbiter.remainder)
        return part

    # What the pool does inside these calls stands between the two on the tape.
    cdef int _called(self, bytes what) except -1:
        if self.tap is not None:
            self.tap.note(CALLED, self.tap_source, what)
        return 0

    cdef int _returned(self) except -1:
        if self.tap is not None:
            self.tap.note(RETURNED, self.tap_source, b"")
        return 0

    cdef int _fault(self, object fault, str where) except -1:
        self.control.on_fault(fault, where)
        return 0
