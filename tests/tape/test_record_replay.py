"""A live session against the exchange in the box, recorded; its replay calls the same callbacks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mexcfast as mx
from children import deadline
from mexcfast import topics
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.tap import Kind
from mexcfast.errors import AuthenticationError, BookError, ConfigError, TapeError
from mexcfast.sim import Exchange
from mexcfast.tape import Damage, Record, read

BTC, ETH = "BTC_USDT", "ETH_USDT"


class Log(mx.Listener):
    """Writes down every callback with everything it can see."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_book(self, book: OrderBook) -> None:
        self.calls.append(("book", *seen(book)))

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self.calls.append(("state", int(old), int(new), *seen(book)))

    def on_event(self, event: mx.Event) -> None:
        self.calls.append(("event", type(event).__name__, event.ts_recv_ns, event.raw,
                           event.to_dict()))

    def on_frame(self, frame: Any, ts_recv_ns: int) -> None:
        self.calls.append(("frame", frame.tag, frame.begin, frame.end, ts_recv_ns,
                           frame.tail(1 << 30)))

    def on_connected(self, connection: object) -> None:
        self.calls.append(("connected", connection))

    def on_disconnected(self, connection: object, why: str) -> None:
        self.calls.append(("disconnected", connection, why))

    def on_reconnected(self, connection: object, down_ns: int) -> None:
        self.calls.append(("reconnected", connection, down_ns))

    def on_refused(self, topic: object, why: str) -> None:
        self.calls.append(("refused", topic, why))

    def on_stream_event(self, event: object) -> None:
        self.calls.append(("stream", event))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] == kind]


def seen(book: OrderBook) -> tuple[Any, ...]:
    return (book.symbol, int(book.state), book.version, book.ts_recv_ns, book.ts_venue_ms,
            book.ts_verified_ns, book.is_crossed_now, book.missing, book.pending_frames,
            book.frames, book.stale, book.gaps, book.repairs, book.snapshots,
            book.price_scale, book.quantity_scale, book.exact())


def assert_same(live: Log, again: Log) -> None:
    for number, (one, other) in enumerate(zip(live.calls, again.calls, strict=False)):
        assert one == other, f"callback {number}"
    assert len(live.calls) == len(again.calls)


async def until(holds: Any, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def on_exchange(story: Any, *, keys: bool = False, **settings: Any) -> Any:
    async def told() -> Any:
        settings.setdefault("seed", 3)
        settings.setdefault("symbols", (BTC, ETH))
        settings.setdefault("merge_ms", 0)
        async with asyncio.timeout(60), Exchange(**settings) as venue:
            pair = (venue.access_key, venue.secret) if keys else (None, None)
            async with mx.Client(venue.rest_url, *pair) as client:
                return await story(venue, client)

    return asyncio.run(told())


WANTED = [topics.depth(BTC), topics.deals(BTC), topics.depth(ETH), topics.tickers(),
          topics.kline(BTC, "Min1"), topics.depth_full(BTC, 5)]


def books(client: mx.Client, *symbols: str) -> list[OrderBook]:
    return [client.market.books[symbol] for symbol in symbols or (BTC, ETH)]


async def troubled(venue: Exchange, client: mx.Client) -> None:
    """A lost frame, short commits, a lost connection, a hole that only a snapshot mends."""
    btc, eth = books(client)
    await until(lambda: btc.is_live and eth.is_live and btc.frames > 20)
    venue.faults.drop("depth", BTC)
    await until(lambda: btc.gaps > 0 and btc.is_live)
    venue.faults.short_commits(ETH)
    venue.faults.drop("depth", ETH)
    await until(lambda: eth.gaps > 0 and eth.is_live)
    opened = client.market.pool.connections[0].opened
    venue.faults.cut()
    await until(lambda: client.market.pool.connections[0].opened > opened
                and btc.is_live and eth.is_live)
    venue.faults.snapshot_lag(BTC, 30)
    snapshots = btc.snapshots
    venue.faults.version_gap(BTC, 5)
    await until(lambda: btc.snapshots > snapshots and btc.is_live)
    for kind in ("garble", "duplicate", "reorder", "dribble"):
        getattr(venue.faults, kind)("depth", BTC)
        before = btc.frames
        await until(lambda before=before: btc.frames > before + 10 and btc.is_live)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_replay_calls_the_same_callbacks_bit_for_bit(tmp_path: Path, seed: int) -> None:
    live, parts = Log(), []

    async def story(venue: Exchange, client: mx.Client) -> None:
        recorder = client.record(tmp_path, part_s=0.3, flush_s=0.02)
        client.subscribe(live, [*WANTED, topics.depth_step(BTC, "nonsense")])
        await troubled(venue, client)
        await until(lambda: len(recorder.parts) >= 3)
        client.unsubscribe(live, topics.depth(ETH))
        count = client.market.books[BTC].frames
        await until(lambda: client.market.books[BTC].frames > count + 20)
        client.unsubscribe(live, WANTED)       # what comes later is not on the tape
        await recorder.stop()
        assert recorder.ring.lost == 0 and recorder.error is None
        parts.extend(recorder.parts)

    on_exchange(story, seed=seed, updates_per_second=200)
    kinds = {call[0] for call in live.calls}
    assert kinds >= {"book", "state", "event", "frame", "connected", "disconnected", "reconnected",
                     "refused", "stream"}
    states = {(call[1], call[2]) for call in live.of("state")}
    assert (State.LIVE, State.REPAIRING) in states and (State.REPAIRING, State.LIVE) in states
    again = Log()
    replay = mx.Replay(tmp_path)
    assert len(replay.parts) == len(parts) >= 3
    replay.subscribe(again, [*WANTED, topics.depth_step(BTC, "nonsense")])
    summary = replay.play()
    assert_same(live, again)
    assert summary.is_whole and summary.differing == 0 and summary.disconnects == 1
    assert summary.keyframes >= 2 and summary.faults >= 1        # the garbled frame
    # what the tape says of itself
    rows = [row for row in read(tmp_path) if isinstance(row, Record)]
    assert not [row for row in read(tmp_path) if isinstance(row, Damage)]
    sent = [row.payload for row in rows if row.kind == Kind.SENT]
    assert any(b'"sub.depth"' in each for each in sent)
    assert {Kind.SNAPSHOT, Kind.COMMITS, Kind.TOLD} <= {row.kind for row in rows}


def test_a_recording_may_begin_and_end_in_the_middle(tmp_path: Path) -> None:
    live, before = Log(), Log()

    async def story(venue: Exchange, client: mx.Client) -> None:
        client.subscribe(before, WANTED)
        btc, eth = books(client)
        await until(lambda: btc.is_live and eth.is_live and btc.frames > 50)
        recorder = client.record(tmp_path, flush_s=0.02)
        with pytest.raises(ConfigError, match="recorded already"):
            client.record(tmp_path)
        await until(lambda: recorder.ring.records > 40)
        client.subscribe(live, WANTED)
        venue.faults.drop("depth", BTC)
        await until(lambda: btc.gaps > 0 and btc.is_live and len(live.of("event")) > 1)
        client.unsubscribe(live, WANTED)
        await recorder.stop()
        await recorder.stop()
        assert client.market.pool.recorder is None
        assert all(each.tap is None for each in books(client))
        count = btc.frames
        await until(lambda: btc.frames > count + 10)

    on_exchange(story, updates_per_second=200)
    again = Log()
    replay = mx.Replay(tmp_path)
    replay.subscribe(again, WANTED)
    assert replay.play().is_whole

    def books_of(log: Log) -> list[tuple[Any, ...]]:
        # counters began before the tape; the book itself must be the same
        return [(*call[:4], call[4], call[-1]) for call in log.of("book")]

    # an event's own time and bytes find the place where the live listener came in
    tail = again.of("event")[-len(live.of("event")):]
    assert tail == live.of("event")
    assert books_of(again)[-len(live.of("book")):] == books_of(live) and len(live.of("book")) > 10


def test_one_part_of_a_tape_plays_alone(tmp_path: Path) -> None:
    truths: dict[tuple[str, int], Any] = {}

    class Truth(mx.Listener):
        def on_book(self, book: OrderBook) -> None:
            truths[book.symbol, book.version] = book.exact()

    async def story(venue: Exchange, client: mx.Client) -> None:
        recorder = client.record(tmp_path, part_s=0.2, flush_s=0.02, keep_parts=2)
        client.subscribe(Truth(), WANTED)
        await until(lambda: len(recorder.parts) == 2 and recorder.parts[0].name[-10:] > "00002"
                    and recorder.ring.waiting > 1000)

    on_exchange(story, updates_per_second=200)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2 and not files[0].name.endswith("00000.tape")
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        again = Log()
        replay = mx.Replay(path)
        replay.subscribe(again, WANTED)
        assert replay.play().is_whole
        played = [(call[1], call[3], call[-1]) for call in again.of("book")]
        assert played
        for symbol, version, levels in played:
            assert truths[symbol, version] == levels


def test_async_readers_see_every_change_and_the_end(tmp_path: Path) -> None:
    versions: list[int] = []

    class Versions(mx.Listener):
        def on_book(self, book: OrderBook) -> None:
            versions.append(book.version)

    async def story(venue: Exchange, client: mx.Client) -> None:
        client.record(tmp_path)
        client.subscribe(Versions(), [topics.depth(BTC), topics.deals(BTC)])
        await until(lambda: len(versions) > 50)

    on_exchange(story, updates_per_second=200)

    async def replayed() -> None:
        async with mx.Replay(tmp_path) as client:
            seen_versions = [book.version async for book in client.book(BTC)]
            assert seen_versions == versions
            assert (await client.finished()).is_whole
            assert client.market.books[BTC].state is State.STOPPED
            with pytest.raises(ConfigError, match=r"no orders.*mexcfast\.sim"):
                client.orders.submit(BTC)
            with pytest.raises(ConfigError, match="private=True"):
                await client.listen(Log())
        assert not client._stage.at_close
        async with mx.Replay(tmp_path) as client:      # the first LIVE book, then leave
            book = await client.book(BTC)
            assert book.is_live and book.version == versions[0]
        async with mx.Replay(tmp_path) as client:
            with pytest.raises(BookError, match="ended before"):
                await client.book("SOL_USDT")
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not tasks

    asyncio.run(replayed())


def test_speed_is_that_of_the_recording_times_a_factor(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        client.record(tmp_path)
        book = await client.book(BTC)
        await until(lambda: book.frames > 30)

    on_exchange(story, updates_per_second=100)
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += int(seconds * 1e9)
        await real(0)

    now = [0]

    async def replayed(speed: float) -> tuple[float, float]:
        slept.clear()
        replay = mx.Replay(tmp_path, speed=speed)
        monkeypatch.setattr("mexcfast.tape.replay.asyncio.sleep", sleep)
        monkeypatch.setattr("mexcfast.tape.replay.time.monotonic_ns", lambda: now[0])
        summary = await replay.run()
        monkeypatch.undo()
        return sum(slept), (summary.last_ns - summary.first_ns) / 1e9

    took, lasted = asyncio.run(replayed(1.0))
    assert abs(took - lasted) < 0.002
    took, lasted = asyncio.run(replayed(4.0))
    assert abs(took - lasted / 4) < 0.002
    for speed in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="speed"):
            mx.Replay(tmp_path, speed=speed)


def test_private_events_orders_and_no_secrets(tmp_path: Path) -> None:
    live = Log()
    secrets: list[str] = []

    async def story(venue: Exchange, client: mx.Client) -> None:
        secrets.extend([venue.access_key, venue.secret])
        recorder = client.record(tmp_path, private=True, orders="full", flush_s=0.02)
        await client.listen(live)
        book = await client.book(BTC)
        outcome = await client.orders.submit(BTC, mx.Side.OPEN_LONG, 1, book.best_bid, leverage=5)
        assert isinstance(outcome, mx.Accepted)
        await client.orders.cancel_all(BTC)
        await until(lambda: len(live.of("event")) >= 2)
        await recorder.stop()

    on_exchange(story, keys=True)
    again = Log()

    async def replayed() -> None:
        async with mx.Replay(tmp_path) as client:
            await client.start(again)
            assert (await client.finished()).orders >= 2

    asyncio.run(replayed())
    assert_same(live, again)
    rows = [row for row in read(tmp_path) if isinstance(row, Record)]
    everything = b"\n".join(row.payload for row in rows)
    for secret in secrets:
        assert secret.encode() not in everything
    assert b"signature" not in everything.lower() and b"apikey" not in everything.lower()
    assert b'{"method":"login"}' in everything
    orders = [json.loads(row.payload) for row in rows if row.kind == Kind.ORDER]
    assert orders[0]["name"] == "create"
    assert BTC in orders[0]["request"] and json.loads(orders[0]["answer"])["success"]


def test_without_being_asked_nothing_private_is_written(tmp_path: Path) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        recorder = client.record(tmp_path, orders="redacted", flush_s=0.02)
        own = Log()
        await client.listen(own)
        book = await client.book(BTC)
        await client.orders.submit(BTC, mx.Side.OPEN_LONG, 1, book.best_bid, leverage=5)
        await until(lambda: own.of("event"))
        await recorder.stop()

    on_exchange(story, keys=True)
    rows = [row for row in read(tmp_path) if isinstance(row, Record)]
    assert not any(b"personal" in row.payload or b"login" in row.payload for row in rows)
    (order,) = [json.loads(row.payload) for row in rows if row.kind == Kind.ORDER]
    assert set(order) == {"name", "ts_sent_ms", "status", "error", "request_bytes", "code"}
    assert order["code"] == 0 and order["status"] == 200


def test_what_does_not_fit_is_said_and_no_book_pretends(tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """The writing thread stands still until frames are lost, then goes on."""
    truths: dict[int, Any] = {}
    go = threading.Event()
    go.set()

    class Truth(mx.Listener):
        def on_book(self, book: OrderBook) -> None:
            truths[book.version] = book.exact()

    async def story(venue: Exchange, client: mx.Client) -> int:
        book = await client.book(BTC)
        client.subscribe(Truth(), topics.depth(BTC))
        recorder = client.record(tmp_path, capacity=1 << 17, flush_s=0.01)
        real = recorder._put
        monkeypatch.setattr(recorder, "_put", lambda *a, **b: (go.wait(30), real(*a, **b)))
        await until(lambda: recorder.written > 2000)
        go.clear()
        await until(lambda: recorder.ring.lost > 20)
        go.set()
        written = recorder.written
        await until(lambda: recorder.written > written + 30_000)
        await recorder.stop()
        assert book.is_live
        return recorder.ring.lost

    lost = on_exchange(story, updates_per_second=400, levels=40)
    again = Log()
    replay = mx.Replay(tmp_path)
    replay.subscribe(again, topics.depth(BTC))
    summary = replay.play()
    assert summary.lost == lost > 20 and summary.losses >= 1 and not summary.is_whole
    states = [(call[1], call[2]) for call in again.of("state")]
    assert (State.LIVE, State.SYNCING) in states
    assert states.index((State.LIVE, State.SYNCING)) < len(states) - 1, "it came back"
    for call in again.of("book"):
        assert truths.get(call[3], call[-1]) == call[-1]
    assert sum(call[3] in truths for call in again.of("book")) > 20


def test_a_disk_that_refuses_stops_the_recording_and_nothing_else(tmp_path: Path) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        book = await client.book(BTC)
        recorder = client.record(tmp_path, flush_s=0.01)
        descriptor = recorder._file
        assert descriptor is not None
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, descriptor)
        os.close(full)
        await until(lambda: recorder.error is not None and client.market.pool.recorder is None)
        assert "No space" in str(recorder.error) and not recorder.is_running
        count = book.frames
        await until(lambda: book.frames > count + 5 and book.is_live)
        await recorder.stop()
        os.close(descriptor)

    on_exchange(story, updates_per_second=100)
    file = tmp_path / "a file"
    file.write_text("")

    async def nowhere() -> None:
        async with mx.Client("http://127.0.0.1:9") as client:
            with pytest.raises(TapeError, match="cannot record here"):
                client.record(file)
            with pytest.raises(ConfigError, match="level is 12"):
                client.record(tmp_path, level=12)
            assert client.market.pool.recorder is None

    asyncio.run(nowhere())


CHILD = """
import asyncio, sys
import mexcfast as mx
from mexcfast import topics
from mexcfast.sim import Exchange

async def main():
    async with Exchange(seed=int(sys.argv[2]), symbols=("BTC_USDT",), merge_ms=0,
                        updates_per_second=500) as venue, mx.Client(venue.rest_url) as client:
        recorder = client.record(sys.argv[1], flush_s=0.005, part_s=0.1)
        await client.book("BTC_USDT")
        while True:
            await asyncio.sleep(0.01)
            print(recorder.written, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment_the_tape_reads_up_to_the_last_block(tmp_path: Path, seed: int
                                                                  ) -> None:
    process = subprocess.Popen([sys.executable, "-P", "-c", CHILD, str(tmp_path), str(seed)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reached = 0
    with deadline(process):
        for line in process.stdout:
            reached = int(line)
            if reached > 3000 + 4000 * seed:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    process.stdout.close()
    replay = mx.Replay(tmp_path)
    again = Log()
    replay.subscribe(again, topics.depth(BTC))
    summary = replay.play()
    size = sum(each.stat().st_size for each in tmp_path.iterdir())
    unread = sum(damage.size for damage in summary.damages)
    assert size - unread >= reached, "what was reported as written is there"
    assert len(summary.damages) <= 1
    if replay.parts[-1].ended:          # killed between two parts
        assert not summary.damages
    assert all(part.ended for part in replay.parts[:-1])
    assert again.of("book") and summary.differing == 0


def test_a_login_that_fails_ends_nothing_on_the_tape(tmp_path: Path) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        async with mx.Client(venue.rest_url, "wrong", "keys") as other:
            recorder = other.record(tmp_path, private=True, flush_s=0.01)
            with suppress(AuthenticationError):
                await other.listen(Log())
            await recorder.stop()

    on_exchange(story)
    rows = [row for row in read(tmp_path) if isinstance(row, Record)]
    assert any(row.kind == Kind.TOLD and b"on_disconnected" in row.payload for row in rows)
    assert not any(b"wrong" in row.payload and b"login" in row.payload for row in rows
                   if row.kind == Kind.SENT)
