"""A topic on two sockets, moved from one to the other: the replay tells the same."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import mexcfast as mx
from mexcfast import topics
from mexcfast.core.arbiter import Arbiter
from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from mexcfast.core.stream_events import Degraded, Recovered, Rotated
from mexcfast.net.notices import Notices
from mexcfast.tape.recorder import Recorder, TapeSettings
from models.frames import SYMBOL, Control, depth, snap

DEPTH, DEALS = topics.depth(SYMBOL), topics.deals(SYMBOL)


class Log(Listener):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_book(self, book: OrderBook) -> None:
        self.calls.append(("book", book.version, book.ts_recv_ns, book.frames, book.stale,
                           book.exact()))

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self.calls.append(("state", int(old), int(new), book.version))

    def on_event(self, event: Any) -> None:
        self.calls.append(("event", event.ts_recv_ns, event.raw))

    def on_frame(self, frame: Any, ts_recv_ns: int) -> None:
        self.calls.append(("frame", ts_recv_ns, frame.tail(1 << 20)))

    def on_stream_event(self, event: Any) -> None:
        self.calls.append(("stream", event))


class Socket(Control):
    """A socket's reader; what the pool does in a call of the reader is done here."""

    def __init__(self, name: str, notices: Notices, log: Log) -> None:
        super().__init__()
        self.name = name
        self.is_closed = False
        self.reader = Reader(self)
        self.reader.on_state = self.on_state
        self._notices = notices
        self._log = log

    def on_state(self, book: OrderBook, old: State, new: State) -> None:
        if new is State.LIVE:
            self._notices.tell(Recovered(ts_ns=7, connection=self.name, topic=DEPTH,
                                         why="in a state change", after_ns=3), [self._log])

    def on_trusted(self, book: OrderBook) -> None:
        self._notices.tell(Recovered(ts_ns=8, connection=self.name, topic=DEPTH, why="it spoke",
                                     after_ns=4), [self._log])

    def on_need(self, book: OrderBook, change: Any) -> None:
        if change == Change.BUFFERED:
            return                       # the test looks again by itself
        book.expect_snapshot()           # inside the call, before listeners hear of the state
        self._notices.tell(Degraded(ts_ns=9, connection=self.name, topic=DEPTH, why=change.name
                                    if hasattr(change, "name") else str(change), silent_ns=0),
                           [self._log])


@dataclass
class Pool:
    """As much of one as a recorder sees."""

    notices: Notices = field(default_factory=Notices)
    connections: list[Socket] = field(default_factory=list)
    recorder: Any = None


def deal(number: int) -> bytes:
    return (f'{{"channel":"push.deal","symbol":"{SYMBOL}","ts":{number},"data":[{{"p":1,"v":2,'
            f'"T":1,"O":1,"M":2,"t":{number},"i":"{number}"}}]}}').encode()


@pytest.mark.parametrize("seed", range(20))
def test_rotation_and_arbitration(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    log = Log()

    async def live() -> None:
        pool = Pool()
        book, now = OrderBook(SYMBOL), 1_000
        arbiters = {"push.depth": Arbiter("push.depth"), "push.deal": Arbiter("push.deal")}

        def socket(name: str) -> Socket:
            made = Socket(name, pool.notices, log)
            pool.connections.append(made)
            if pool.recorder is not None:
                pool.recorder.adopt(made)
            made.reader.route(SYMBOL).book = book
            for channel in arbiters:
                made.reader.listen(channel, SYMBOL, log)
            return made

        book.listeners = [log]
        book.hold_early(draw.choice((0, 3, 1_000)))
        recorder = Recorder(tmp_path, "ws://nowhere", TapeSettings(flush_s=0.005))
        if draw.random() < 0.5:
            recorder.start(pool)
            one = socket("public-1")
        else:
            one = socket("public-1")
            recorder.start(pool)
        book.expect_snapshot()
        book.suspect("its stream has not spoken yet")
        snap(one.reader, book, 100, asks=[(11, 1)], bids=[(9, 1)])
        frames = [depth(v, v, bids=[(9, v)]) for v in range(101, 160)]
        deals = [deal(n) for n in range(40)]
        for text in frames[:10] + deals[:10]:
            now += 1
            one.reader.feed_bytes(text, now)
        two = socket("public-2")
        for channel, arbiter in arbiters.items():
            for each in (one, two):
                each.reader.route(SYMBOL).arbitrate(channel, arbiter, arbiter.join(now))
        queues = [(each, list(texts)) for each in (one, two)
                  for texts in (frames[10:40], deals[10:30])]
        while any(texts for _, texts in queues):
            each, texts = draw.choice([pair for pair in queues if pair[1]])
            now += 1
            text = texts.pop(0)
            if draw.random() < 0.9:                       # a path may lose some
                each.reader.feed_bytes(text, now)
            if draw.random() < 0.1:
                book.suspect("silent")
            if book.held_ns and draw.random() < 0.1:
                old = book.state
                change = book.overdue(now)
                if change != Change.BUFFERED:
                    each.reader.settle(book, old, change)
            if draw.random() < 0.05:
                each.reader.trust(book)
        for channel, arbiter in arbiters.items():
            if channel == "push.depth":
                old = book.state
                book.hold_early(0)
                each.reader.settle(book, old, book.overdue(now))
            arbiter.leave(0)
            one.reader.route(SYMBOL).arbitrate(channel, None)
            one.reader.forget(channel, SYMBOL, log)
            two.reader.route(SYMBOL).arbitrate(channel, None)
        one.reader.route(SYMBOL).book = None
        one.is_closed = True
        pool.notices.tell(Rotated(ts_ns=now, connection="public-2", old="public-1", why="its age",
                                  topics=2, took_ns=5), [log])
        for text in frames[35:45] + deals[25:40]:         # the old socket still speaks
            one.reader.feed_bytes(text, now + 1)
            now += 2
            two.reader.feed_bytes(text, now)
        if book.state is not State.LIVE:
            snap(two.reader, book, 200, bids=[(9, 5)])
        two.reader.feed_bytes(depth(book.version + 1, book.version + 1, asks=[(12, 3)]), now + 1)
        await recorder.stop()

    asyncio.run(live())
    again = Log()
    replay = mx.Replay(tmp_path)
    replay.subscribe(again, [DEPTH, DEALS])
    summary = replay.play()
    assert {"book", "state", "event", "frame", "stream"} == {call[0] for call in log.calls}
    for number, (first, second) in enumerate(zip(log.calls, again.calls, strict=False)):
        assert first == second, f"callback {number} of {len(log.calls)}"
    assert len(log.calls) == len(again.calls)
    assert summary.is_whole and summary.faults == 0
