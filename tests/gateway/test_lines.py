"""gateway/lines and the relays of gateway/publisher, without a bus: random histories of both sides.

The venue counts versions and may begin anew at a lower one; frames are lost on the way to the
gateway and on the bus; messages come twice; beats and answers overtake what was sent before them.
Whenever a consumer's book says that it may be trusted it is what the venue's was at that version,
and when all has come to rest it is LIVE at the newest.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mexcfast.core import topics as T
from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from mexcfast.core.stream_events import Degraded, Recovered
from mexcfast.gateway import wire
from mexcfast.gateway.lines import LATE_BEATS, Line
from mexcfast.gateway.publisher import _BookRelay, _Relay
from mexcfast.gateway.sources import Source
from mexcfast.gateway.wire import Beat
from models.book_model import Frame
from models.frames import SYMBOL, Control, frame_text, levels, snapshot_text

GATEWAY = 77
TOPIC = T.depth(SYMBOL)


def levels_at(run: int, version: int):
    """The venue's book: one level a side for each of the last five versions."""
    span = range(version - 4, version + 1)
    return ([(1000 + v % 7, run + v % 5 + 1) for v in sorted(span, key=lambda v: v % 7)],
            [(900 - v % 7, run + v % 3 + 1) for v in sorted(span, key=lambda v: v % 7)])


def change_to(run: int, version: int) -> bytes:
    """The frame that leads from the version before."""
    (old_asks, old_bids), (asks, bids) = levels_at(run, version - 1), levels_at(run, version)
    gone = [[(p, 0) for p, _ in old if p not in dict(new)]
            for old, new in ((old_asks, asks), (old_bids, bids))]
    return frame_text(Frame(version, version, levels(*gone[0], *asks), levels(*gone[1], *bids),
                            True)).encode()


class World:
    """A venue, a gateway's half and a consumer's half, moved by hand."""

    def __init__(self):
        self.run, self.version = 0, 100
        self.queue: list[tuple[str, bytes]] = []
        outbox = SimpleNamespace(put=lambda subject, data: self.queue.append((subject, data)))
        self.relay = _BookRelay(SimpleNamespace(outbox=outbox, number=GATEWAY), TOPIC)
        self.up = Reader(Control())
        self.book = OrderBook(SYMBOL)
        self.up.route(SYMBOL).book = self.book
        self.book.listeners = [self.relay]
        self.up.listen("push.depth", SYMBOL, self.relay)
        self.runs = {0: 0}              # the relay's epoch -> the venue's run
        self.settle(self.book.expect_snapshot)
        self.time_ns = 0
        # the consumer
        self.seen = Listener()
        self.reader = Reader(self)
        self.line = Line(self, TOPIC, OrderBook(SYMBOL))
        self.reader.route(SYMBOL).book = self.line.book
        self.reader.listen("push.depth", SYMBOL, self.seen)
        self.is_asked = False
        self.answers: list[bytes] = []
        self.faults: list[Exception] = []
        self.line.take_from(self.source())

    # the venue and the gateway

    def settle(self, change):
        old = self.book.state
        result = change()
        self.runs[self.relay.epoch] = self.run
        self.up.settle(self.book, old, result if isinstance(result, Change) else Change.STALE)
        self.runs[self.relay.epoch] = self.run

    def move(self):
        self.version += 1
        self.up.feed_bytes(change_to(self.run, self.version), self.version)

    def miss(self):
        self.version += 1

    def mend(self):
        self.settle(lambda: self.book.load_snapshot(
            snapshot_text(self.version, *map(lambda side: levels(*side),
                                             levels_at(self.run, self.version))), self.version))

    def lose_socket(self):
        self.settle(self.book.suspend)
        self.relay.on_disconnected("public-1", "lost")
        self.runs[self.relay.epoch] = self.run

    def reconnect(self):
        self.lose_socket()
        self.book.reset()
        self.settle(self.book.expect_snapshot)

    def restart(self):
        self.lose_socket()
        self.relay.on_disconnected("public-1", "the venue is still away")
        self.run += 1
        self.version = 100
        self.book.reset()
        self.settle(self.book.expect_snapshot)
        self.runs[self.relay.epoch] = self.run

    def degrade(self):
        self.book.suspect("silent")
        self.relay.on_stream_event(Degraded(ts_ns=0, topic=TOPIC, why="silent", silent_ns=1))

    def recover(self):
        self.relay.on_stream_event(Recovered(ts_ns=0, topic=TOPIC, why="spoke", after_ns=1))
        self.up.trust(self.book)

    def refresh(self):
        self.relay.refresh()

    # the bus

    def deliver(self):
        if self.queue:
            self.line.take(wire.decode(self.queue.pop(0)[1]))

    def lose(self):
        if self.queue:
            self.queue.pop(0)

    def twice(self):
        if self.queue:
            self.line.take(wire.decode(self.queue[0][1]))
            self.deliver()

    def source(self):
        flagged = {SYMBOL: self.relay.why} if self.relay.why else {}
        return Source(Beat(GATEWAY, 0, "g", 500, ("depth",), (), {SYMBOL: (self.relay.seq,)},
                           flagged), 0, 0)

    def beat(self):
        self.line.beat(self.source())

    def silence(self):
        self.line.flag(transport="silent")

    def reach(self):
        if self.is_asked:
            self.is_asked = False
            self.answers.append(self.relay.answer())

    def answer(self):
        if self.answers:
            self.line.take(wire.decode(self.answers.pop(0)), is_answer=True)

    def no_answer(self):
        self.is_asked = False
        self.answers = self.answers[1:]

    # what a line is attached to

    def ask(self, line):
        self.is_asked = True

    def on_lost(self, line, count):
        assert count > 0

    def on_trust(self, line, was):
        pass

    def on_need(self, book, change):
        self.ask(self.line)

    def on_trusted(self, book):
        self.line.on_trusted()

    def on_control(self, event):
        raise AssertionError(event)

    def on_fault(self, fault, where):
        self.faults.append(fault)

    # the judge

    def check(self):
        book = self.line.book
        if book.is_live:
            run = self.runs[self.line.epoch]
            assert not self.line.why
            asks, bids = levels_at(run, book.version)
            assert {p: q for p, q, _ in book.asks()} == dict(asks), (run, book)
            assert {p: q for p, q, _ in book.bids()} == dict(bids), (run, book)
        assert not self.faults

    def rest(self):
        """Everything arrives from now on."""
        self.recover()
        self.mend()
        for _ in range(4):
            self.refresh()
            while self.queue or self.is_asked or self.answers:
                for step in (self.deliver, self.reach, self.answer):
                    step()
                    self.check()
            self.beat()
        assert self.book.is_live
        assert self.line.book.is_live, (self.line.why, self.line.book)
        assert self.line.book.version == self.book.version == self.version


MOVES = ("move", "deliver") * 3 + (
    "miss", "mend", "mend", "reconnect", "restart", "degrade", "recover", "refresh", "lose",
    "twice", "beat", "beat", "silence", "reach", "reach", "answer", "answer", "no_answer")


@given(st.lists(st.sampled_from(MOVES), max_size=80))
@example(["reach"])                       # an answer from before a snapshot that came first
@example(["move", "restart"])             # frames of two runs of the venue, neither of them LIVE
@example([*["move"] * 3, *["deliver"] * 4, "reconnect", "deliver", "reach"])
@example(["move", "move", "reconnect", "mend", "move", *["deliver"] * 3, "lose", "deliver",
          "reach", "move"])
@example(["move", "move", "deliver", "reconnect", "reach", "mend", "beat", "beat", "answer",
          "no_answer"])
def test_a_trusted_book_is_the_venues(moves):
    world = World()
    for each in moves:
        getattr(world, each)()
        world.check()
    world.rest()


def live():
    world = World()
    world.rest()
    return world


def test_the_last_message_before_silence_is_missed_by_its_number():
    world = live()
    world.move()
    world.lose()
    world.beat()
    assert world.line.book.is_live, "it may be under way"
    world.beat()
    assert not world.line.book.is_live and "1 messages were lost" in world.line.why
    assert world.line.lost == 1 and world.is_asked
    world.reach()
    world.answer()
    assert world.line.book.is_live and world.line.book.version == world.version


def test_a_loss_is_no_longer_doubted_once_the_gateway_has_answered_only():
    world = live()
    world.degrade()
    world.lose()                        # what would have told it
    world.move()
    world.deliver()                     # a frame in order ends a doubt of the book's own
    assert not world.line.book.is_live
    world.beat()
    world.beat()
    assert not world.line.book.is_live


def test_the_gateways_doubt_is_ours():
    world = live()
    world.degrade()
    world.deliver()
    assert world.line.upstream == "g: silent" or "silent" in world.line.why
    assert world.line.book.doubt and not world.line.book.is_live
    assert world.line.book.state is State.LIVE, "readable"
    world.recover()
    world.refresh()
    world.deliver()
    assert world.line.book.is_live


def test_a_lower_version_after_a_restart_is_taken():
    world = live()
    for _ in range(5):
        world.move()
        world.deliver()
    before = world.line.book.version
    world.restart()
    world.deliver()
    assert world.line.book.state is State.SYNCING
    world.rest()
    assert world.line.book.version < before


def test_messages_of_another_gateway_are_left_out():
    world = live()
    before = world.line.book.version
    world.move()
    data = world.queue.pop()[1]
    world.line.take(wire.decode(data)._replace(gateway=GATEWAY + 1))
    assert world.line.foreign == 1 and world.line.book.version == before
    world.line.take(wire.decode(data))
    assert world.line.book.version == before + 1


def test_a_shown_book_is_compared():
    world = live()
    world.line.book.verified(0)
    world.relay.tell_book()
    shown = wire.decode(world.queue.pop()[1])
    world.line.take(shown)
    assert world.line.book.ts_verified_ns == shown.ts_ns and not world.line.mismatches
    text = shown.payload.replace(b"[[", b"[[5000,5,1],[", 1)
    assert text != shown.payload
    world.line.take(shown._replace(payload=text, seq=shown.seq + 1))
    assert world.line.mismatches == 1 and world.line.book.is_live
    assert world.line.book.quantity_at("ask", 5000) == 5


def test_what_cannot_be_read_is_a_fault_and_changes_nothing():
    world = live()
    world.line.take(wire.Message(wire.Kind.SNAPSHOT, GATEWAY, 0, world.relay.seq + 1, 0, b"{"))
    world.line.take(wire.Message(wire.Kind.STATE, GATEWAY, 0, world.relay.seq + 2, 0, b"{"))
    world.line.take(wire.Message(wire.Kind.FRAME, GATEWAY, 0, world.relay.seq + 3, 0, b"{"))
    assert len(world.faults) == 3 and world.line.book.version == world.version
    with pytest.raises(AssertionError):
        world.check()


def test_a_topic_without_a_book():
    events, lost = [], []

    class Ear(Listener):
        def on_event(self, event):
            events.append(event.trades if hasattr(event, "trades") else event)

    desk = SimpleNamespace(
        reader=Reader(Control()), ask=lambda line: pytest.fail("nothing to ask for"),
        on_lost=lambda line, count: lost.append(count), on_trust=lambda line, was: None,
        on_fault=lambda fault, where: pytest.fail(str(fault)))
    queue = []
    outbox = SimpleNamespace(put=lambda subject, data: queue.append(data))
    topic = T.deals(SYMBOL)
    relay = _Relay(SimpleNamespace(outbox=outbox, number=GATEWAY), topic)
    up = Reader(Control())
    up.listen("push.deal", SYMBOL, relay)
    line = Line(desk, topic, None)
    desk.reader.listen("push.deal", SYMBOL, Ear())

    def source():
        return Source(Beat(GATEWAY, 0, "g", 500, ("deal",), (), {SYMBOL: (relay.seq,)}, {}), 0, 0)

    line.take_from(source())
    text = (b'{"channel":"push.deal","symbol":"BTC_USDT","ts":1,"data":[{"p":1.5,"v":2,"T":1,'
            b'"O":1,"M":2,"t":3,"i":"4"}]}')
    for number in range(4):
        up.feed_bytes(text, number)
    line.take(wire.decode(queue[0]))
    line.take(wire.decode(queue[2]))
    assert len(events) == 2 and lost == [1]
    line.beat(source())
    assert not line.why
    line.beat(source())
    assert line.why == "1 messages are under way or lost" and lost == [1]
    line.take(wire.decode(queue[3]))
    assert len(events) == 3, "it was late"
    line.beat(source())
    assert not line.why
    up.feed_bytes(text, 5)
    for _ in range(LATE_BEATS + 2):
        assert lost == [1]
        line.beat(source())
    assert lost == [1, 1] and not line.why, "it is waited for no longer"
    line.take(wire.decode(queue[4]))
    assert len(events) == 3
