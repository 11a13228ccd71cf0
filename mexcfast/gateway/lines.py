"""One topic at a consumer: what its messages say, and why it is not to be trusted.

    bus: numbers of a topic's messages go up by one within an incarnation and an epoch
        as expected          taken
        seen before          left out
        some are missing     counted; the book is in doubt until the gateway has answered
        less than a beat     the same for a book; events are waited for, in doubt meanwhile
        said, a beat ago
        a later epoch        the gateway's book began anew, and so does this one

A book is asked for when it begins, at a gap, and after losses; frames that come meanwhile are kept
by the book and fit by their versions. Two reasons may doubt it: the gateway's own (`upstream`), and
what lies between (`transport`). It is LIVE and trusted only without either.
"""

from __future__ import annotations

import re
from typing import Protocol

from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.reader import Reader
from mexcfast.core.topics import Topic
from mexcfast.errors import FrameError, GatewayError
from mexcfast.gateway import wire
from mexcfast.gateway.snapshot import difference
from mexcfast.gateway.sources import Source
from mexcfast.gateway.wire import Kind, Message

UNHEARD = "no gateway brings it yet"
VERSION = re.compile(rb'"version":(\d+)[,}]')
LATE_BEATS = 20          # how long events that a beat spoke of are waited for
TAIL = 80                # bytes at a snapshot's end that hold its version


class Desk(Protocol):
    """Who holds the lines: the consumer."""

    reader: Reader

    def ask(self, line: Line) -> None: ...
    def on_lost(self, line: Line, count: int) -> None: ...
    def on_trust(self, line: Line, was: str) -> None: ...
    def on_fault(self, fault: Exception, where: str) -> None: ...


class Line:
    """One topic. book: of depth; None for others."""

    def __init__(self, desk: Desk, topic: Topic, book: OrderBook | None) -> None:
        self.topic = topic
        self.book = book
        self.subject = wire.subject_of(topic.channel, topic.symbol)
        self.source: int | None = None
        self.source_name = ""
        self.epoch = 0
        self.seq: int | None = None      # of the last message taken or covered by an answer
        self.due: int | None = None      # by the last beat
        self.upstream = ""
        self.transport = UNHEARD
        self.lost = 0
        self.foreign = 0                 # messages of gateways it is not taken from
        self.is_refused = False          # listeners were told that nobody brings it
        self.mismatches = 0              # books that were not what the gateway showed
        self.has_asked = False           # only an answer can tell what the book has missed
        self._cover = 0                  # up to this number, at least
        self._late = 0                   # beats since messages of a topic without a book are due
        self._stated = 0                 # number up to which the gateway's trust is known
        self._desk = desk
        self._told = UNHEARD

    @property
    def why(self) -> str:
        """Why not to trust it; "" when there is no reason."""
        return self.transport or self.upstream

    # -- trust ------------------------------------------------------------------------------------

    def flag(self, *, upstream: str | None = None, transport: str | None = None) -> None:
        """Set or clear reasons, and tell the book and the listeners."""
        if upstream is not None:
            self.upstream = upstream
        if transport is not None:
            self.transport = transport
        why, book = self.why, self.book
        if why and book is not None and book.state is not State.STOPPED:
            book.suspect(why)
        if bool(why) != bool(self._told):
            was, self._told = self._told, why
            if book is not None and not why:
                self._desk.reader.trust(book)
            self._desk.on_trust(self, was)
        elif book is not None and not why and book.doubt is not None:
            self._desk.reader.trust(book)

    def on_trusted(self) -> None:
        """A frame has ended the book's doubt; its reasons may still be there."""
        if self.why and self.book is not None:
            self.book.suspect(self.why)

    def take_from(self, source: Source) -> None:
        """From now on this gateway's messages count; everything begins anew."""
        self.source, self.source_name = source.number, source.name
        self.epoch = self._stated = self._cover = 0
        self.seq = self.due = None
        self.upstream = ""
        self.is_refused = False
        self._begin()

    def _begin(self) -> None:
        book = self.book
        if book is None:
            self.flag(transport="")
            return
        old = book.state
        if old is State.STOPPED:
            return
        book.reset()
        book.expect_snapshot()
        self.has_asked = True
        self.flag(transport="its book has been asked for")
        self._desk.reader.settle(book, old, Change.STALE)
        self._desk.ask(self)

    # -- messages ---------------------------------------------------------------------------------

    def take(self, message: Message, *, is_answer: bool = False) -> None:
        """One message of this topic. is_answer: the reply to a question, not a numbered one."""
        kind, gateway, epoch, seq, ts_ns, payload = message
        if gateway != self.source:
            self.foreign += self.source is not None
            return
        if epoch != self.epoch:
            if epoch < self.epoch:
                return
            self.epoch = epoch
            if self.book is not None:
                self.upstream = ""
                self._begin()
        is_late = seq < self._stated       # what was heard since knows better
        if is_answer:
            if seq < self._cover:
                return                     # given before what was lost; another will come
            self.has_asked = False
            self.seq = seq if self.seq is None else max(seq, self.seq)
        elif self.seq is None:
            self.seq = seq
        elif seq <= self.seq:
            return
        else:
            missing = seq - self.seq - 1
            self.seq = seq
            if missing:
                self._miss(missing, seq - 1)
        if kind is Kind.FRAME:
            self._desk.reader.feed_bytes(payload, ts_ns)
            return
        self._stated = max(seq, self._stated)
        if kind is Kind.SNAPSHOT:
            self._load(payload, ts_ns, is_answer, is_late)
        elif kind is Kind.STATE:
            try:
                why = wire.decode_state(payload)
            except GatewayError as fault:
                self._desk.on_fault(fault, str(self.topic))
                return
            # when it trusts the topic again that will be numbered
            self.flag(upstream=(None if is_late else f"{self.source_name}: {why}" if why else ""),
                      transport="" if is_answer else None)

    def _miss(self, count: int, cover: int) -> None:
        """count messages up to number `cover` have not come."""
        self.lost += count
        self._desk.on_lost(self, count)
        if self.book is not None:
            self.has_asked, self._cover = True, cover
            self.flag(transport=f"{count} messages were lost on the bus")
            self._desk.ask(self)

    def _load(self, payload: bytes, ts_ns: int, is_answer: bool, is_late: bool) -> None:
        book = self.book
        if book is None:
            return
        old = book.state
        try:
            version = VERSION.search(payload, max(0, len(payload) - TAIL))
            if (old is State.LIVE and not is_answer and not self.transport
                    and version is not None and int(version[1]) == book.version):
                self._compare(book, payload, ts_ns)
                self.flag(upstream="")
                return
            change = book.load_snapshot(payload, ts_ns)
        except FrameError as fault:
            self._desk.on_fault(fault, str(self.topic))
            return
        self._desk.reader.settle(book, old, change)
        # while a question is out it is not known what of the lost came before this
        self.flag(upstream=None if is_late else "", transport=None if self.has_asked else "")

    def _compare(self, book: OrderBook, reply: bytes, ts_ns: int) -> None:
        """What the gateway shows at our own version is what we have, or we begin anew."""
        what = difference(book, reply)
        if not what:
            book.verified(ts_ns)
            return
        self.mismatches += 1
        self.flag(transport=f"it differs from the gateway's at version {book.version}: {what}")
        old = book.state
        book.reset()
        book.expect_snapshot()
        change = book.load_snapshot(reply, ts_ns)
        self._desk.reader.settle(book, old, change)
        self.flag(transport="")

    # -- beats ------------------------------------------------------------------------------------

    def beat(self, source: Source) -> None:
        """Its source is ALIVE and has beaten: is anything missing, is a doubt over?

        What the beat before last spoke of has had a whole interval to come.
        """
        book = self.book
        is_trusted_there = self.topic.symbol not in source.beat.flagged
        if book is not None and (self.has_asked or (is_trusted_there and (
                self.upstream or book.state in (State.SYNCING, State.REPAIRING)))):
            self.has_asked = True
            self._desk.ask(self)           # nothing happens when it is being asked for
        due, self.due = self.due, source.seq(self.topic.channel, self.topic.symbol)
        if due is None or self.due is None:
            return
        if self.seq is None:
            if book is None:
                self.seq = due             # what was sent before we listened is not ours
            return
        if self.seq >= due:
            self._late = 0
            if book is None or not self.has_asked:
                self.flag(transport="")
        elif book is not None or self._late >= LATE_BEATS:
            # a book is better asked for than waited for; what comes yet is left out
            missing, self.seq, self._late = due - self.seq, due, 0
            self._miss(missing, due)
            if book is None:
                self.flag(transport="")
        else:
            self._late += 1                # events are worth waiting for
            self.flag(transport=f"{due - self.seq} messages are under way or lost")
