"""THE table of metrics: names, kinds, labels, and where each value is read.

Prometheus and OpenTelemetry both walk it, the documentation and the dashboard are held against it.
A row is read when somebody scrapes; nothing here runs otherwise. Labels have few values, known
beforehand: states, kinds, places of sockets. Contracts only as far as the user names them. No
value and no label holds a key, an order's id, a price or an amount.
Names: https://prometheus.io/docs/practices/naming/, read 2026-11-28: base units, `_total` at the
end of counters (the exposition adds it).
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import mexcfast
from mexcfast.core.account import AccountState
from mexcfast.core.arbiter import PathCounts
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.histogram import Histogram
from mexcfast.core.killswitch import SwitchState, Trigger
from mexcfast.core.rest import ROUTES
from mexcfast.metrics.sources import Sources
from mexcfast.metrics.taps import Taps
from mexcfast.net.connection import ConnectionState, TopicState
from mexcfast.net.journal import Journal
from mexcfast.net.private import StreamState
from mexcfast.net.tally import SocketCounts

Kind = Literal["counter", "gauge", "histogram"]
NS = 1_000_000_000
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
WRITING = frozenset(route.group for route in ROUTES if route.writes)


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram as Prometheus wants it: bound in seconds -> how many are at or below it."""

    cumulative: tuple[tuple[float, int], ...]       # without the one of infinity
    count: int
    sum_s: float


@dataclass(frozen=True, slots=True)
class Reader:
    """What rows read from. contracts: named by the user."""

    sources: Sources
    taps: Taps
    contracts: tuple[str, ...] = ()


Sample = tuple[tuple[str, ...], float | Buckets]


@dataclass(frozen=True, slots=True)
class Row:
    """One metric. unit: as OpenTelemetry writes it. A histogram's values are Buckets."""

    name: str
    kind: Kind
    help: str
    read: Callable[[Reader], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    unit: str = "1"

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of its series in Prometheus."""
        if self.kind == "counter":
            return (self.name + "_total",)
        if self.kind == "histogram":
            return tuple(self.name + end for end in ("_bucket", "_sum", "_count"))
        return (self.name,)


def _steps(first_ns: int, last_ns: int) -> tuple[int, ...]:
    """1, 2, 5, 10 ... nanoseconds."""
    found = [step * 10**power for power in range(12) for step in (1, 2, 5)]
    return tuple(each for each in found if first_ns <= each <= last_ns)


NEAR = _steps(1_000, NS)                        # inside this process
FAR = _steps(1_000_000, 10 * NS)                # between two machines, stamps of 1 ms
ANSWERS = _steps(50_000, 10 * NS)
LONG = _steps(1_000_000, 200 * NS)


def _buckets(histogram: Histogram, bounds_ns: tuple[int, ...]) -> Buckets:
    return Buckets(tuple((bound / NS, count) for bound, count in histogram.cumulative(bounds_ns)),
                   histogram.count, histogram.total / NS)


# -- readers of rows ------------------------------------------------------------------------------

def _one(read: Callable[[Reader], float | None]) -> Callable[[Reader], Iterator[Sample]]:
    """A row without labels; no sample while the value is None."""
    def rows(reader: Reader) -> Iterator[Sample]:
        value = read(reader)
        if value is not None:
            yield (), value
    return rows


def _histogram(read: Callable[[Taps], Histogram], bounds_ns: tuple[int, ...]
               ) -> Callable[[Reader], Iterator[Sample]]:
    def rows(reader: Reader) -> Iterator[Sample]:
        yield (), _buckets(read(reader.taps), bounds_ns)
    return rows


def _sockets(read: Callable[[SocketCounts], int]) -> Callable[[Reader], Iterator[Sample]]:
    """By stream: public, and private when there are keys."""
    def rows(reader: Reader) -> Iterator[Sample]:
        yield ("public",), read(reader.sources.pool.sockets.total())
        if reader.sources.stream is not None:
            yield ("private",), read(reader.sources.stream.sockets.total())
    return rows


def _books(name: str) -> Callable[[Reader], Iterator[Sample]]:
    return _one(lambda reader: getattr(reader.sources.pool.book_counts(), name))


def _audit(name: str) -> Callable[[Reader], Iterator[Sample]]:
    return _one(lambda reader: getattr(reader.sources.audit.counts, name))


def _counted(found: Counter[str], names: Iterable[str]) -> Iterator[Sample]:
    """Every name, also those that nobody has."""
    for name in names:
        yield (name,), found[name]


def _socket_states(reader: Reader) -> Iterator[Sample]:
    connections = reader.sources.pool.connections
    names = [each.value for each in ConnectionState]
    yield from _counted(Counter(each.state.value for each in connections), names)


def _topic_states(reader: Reader) -> Iterator[Sample]:
    pool = reader.sources.pool
    states = (pool.state_of(topic) for topic in pool.topics)
    yield from _counted(Counter(state.value for state in states if state is not None),
                        [each.value for each in TopicState])


def _book_states(reader: Reader) -> Iterator[Sample]:
    found = Counter(State(book.state).name.lower() for book in reader.sources.pool.books.values())
    yield from _counted(found, [each.name.lower() for each in State])


def _round_trips(reader: Reader) -> Iterator[Sample]:
    sources = reader.sources
    private = sources.stream.connection if sources.stream is not None else None
    for name, some in (("public", sources.pool.connections),
                       ("private", [] if private is None else [private])):
        found = [each.round_trip_ns for each in some if each.is_open and each.round_trip_ns]
        if found:
            yield (name,), max(found) / NS


def _oldest_book(reader: Reader) -> float | None:
    now_ns = time.time_ns()
    ages = [book.age_ns(now_ns) for book in reader.sources.pool.books.values() if book.is_live]
    return max((age for age in ages if age is not None), default=0) / NS


def _contracts(read: Callable[[OrderBook], float | None]) -> Callable[[Reader], Iterator[Sample]]:
    def rows(reader: Reader) -> Iterator[Sample]:
        for symbol in reader.contracts:
            book = reader.sources.pool.books.get(symbol)
            value = None if book is None else read(book)
            if value is not None:
                yield (symbol,), value
    return rows


def _since(then_ns: int) -> float | None:
    return max(0, time.time_ns() - then_ns) / NS if then_ns else None


def _paths(read: Callable[[PathCounts], float | Buckets]) -> Callable[[Reader], Iterator[Sample]]:
    def rows(reader: Reader) -> Iterator[Sample]:
        for path, counts in sorted(reader.sources.pool.path_counts().items()):
            yield (str(path),), read(counts)
    return rows


def _lateness(counts: PathCounts) -> Buckets:
    """The arbiter's own cells: cell n holds copies up to 2**n microseconds late."""
    seen, found = 0, []
    for n, count in enumerate(counts.lateness[:-1]):
        seen += count
        if n <= 24:                         # 17 s; what is later shows in infinity only
            found.append((2**n / 1e6, seen))
    return Buckets(tuple(found), seen + counts.lateness[-1], counts.late_sum_ns / NS)


def _verdicts(reader: Reader) -> Iterator[Sample]:
    counts = reader.sources.audit.counts
    yield ("equal",), counts.equal
    yield ("different",), counts.mismatches - counts.behind
    yield ("behind",), counts.behind
    yield ("unsure",), counts.unsure


def _by_name(read: Callable[[Reader], Iterable[tuple[str, float]]]
             ) -> Callable[[Reader], Iterator[Sample]]:
    def rows(reader: Reader) -> Iterator[Sample]:
        for name, value in read(reader):
            yield (name,), value
    return rows


def _one_of(names: Iterable[str], now: str) -> Iterator[tuple[str, float]]:
    return ((name, float(name == now)) for name in names)


def _cases(reader: Reader) -> Iterator[tuple[str, float]]:
    found = Counter(case.what for case in reader.sources.orders.resolver.cases.values())
    for name in ("create", "amend", "cancel", "cancel_all"):
        yield name, found.pop(name, 0)
    found.pop("look", None)
    yield "conditional", sum(found.values())


def _answers(reader: Reader) -> Iterator[Sample]:
    for what, histogram in reader.taps.answers.items():
        yield (what,), _buckets(histogram, ANSWERS)


def _quantiles(reader: Reader) -> Iterator[Sample]:
    taps = reader.taps
    found = {"venue_to_wire": taps.first.venue_to_wire,
             "wire_to_callback": taps.first.wire_to_callback,
             "wire_to_done": taps.last.wire_to_callback}
    if "create" in taps.answers:
        found["intent_to_answer"] = taps.answers["create"]
    for name, histogram in found.items():
        for q in QUANTILES:
            value = histogram.quantile(q)
            if value is not None:
                yield (name, f"{q:g}"), value / NS


def _queued(reader: Reader) -> Iterator[Sample]:
    for group, (_, lanes) in reader.sources.budget.groups.items():
        for lane, count in lanes.items():
            if count or group in WRITING:
                yield (group, lane.name.lower()), count


def _bans(reader: Reader) -> Iterator[tuple[str, float]]:
    now_ms = reader.sources.executor.clock.wall_ms()
    for what, until_ms in reader.sources.budget.bans.items():
        yield what, (until_ms - now_ms) / 1000


def _build(reader: Reader) -> Iterator[Sample]:
    yield (mexcfast.__version__, platform.python_version()), 1


def _clock_offset(reader: Reader) -> float | None:
    clock = reader.sources.executor.clock
    return clock.offset_ms / 1000 if clock.is_synced else None


def _clock_error(reader: Reader) -> float | None:
    error_ms = reader.sources.executor.clock.error_ms
    return None if error_ms is None else error_ms / 1000


def _recorder(name: str) -> Callable[[Reader], float | None]:
    def read(reader: Reader) -> float | None:
        recorder = reader.sources.recorder()
        return None if recorder is None else getattr(recorder.ring, name)
    return read


def _journal(read: Callable[[Journal], float]) -> Callable[[Reader], float | None]:
    def found(reader: Reader) -> float | None:
        journal = reader.sources.orders.journal
        return None if journal is None else read(journal)
    return found


def _watchdog(reader: Reader) -> float | None:
    heart = reader.sources.heart()
    return None if heart is None else float(heart.is_armed)


# -- the table ------------------------------------------------------------------------------------

STREAM = ("stream",)

TABLE: tuple[Row, ...] = (
    Row("mexcfast_build_info", "gauge", "Always 1; the labels tell what runs.", _build,
        ("version", "python")),

    # sockets and topics
    Row("mexcfast_frames", "counter", "Frames received.", _sockets(lambda c: c.frames), STREAM),
    Row("mexcfast_received_bytes", "counter", "Bytes of frames received.",
        _sockets(lambda c: c.bytes), STREAM, "By"),
    Row("mexcfast_malformed_frames", "counter", "Frames that could not be read.",
        _sockets(lambda c: c.malformed), STREAM),
    Row("mexcfast_unknown_frames", "counter", "Frames of channels that are not in the table.",
        _sockets(lambda c: c.unknown), STREAM),
    Row("mexcfast_arbitrated_frames", "counter",
        "Frames not delivered because another socket had brought the event.",
        _sockets(lambda c: c.arbitrated), STREAM),
    Row("mexcfast_socket_opens", "counter", "WebSocket handshakes done.",
        _sockets(lambda c: c.opened), STREAM),
    Row("mexcfast_socket_reconnects", "counter", "Handshakes that followed a loss.",
        _sockets(lambda c: c.reconnects), STREAM),
    Row("mexcfast_pongs", "counter", "Answers to pings.", _sockets(lambda c: c.pongs), STREAM),
    Row("mexcfast_ping_round_trip_seconds", "gauge",
        "The newest ping's round trip, the longest of all open sockets.", _round_trips, STREAM,
        "s"),
    Row("mexcfast_sockets", "gauge", "Public sockets by state.", _socket_states, ("state",)),
    Row("mexcfast_topics", "gauge", "Topics by state, on the socket where they stand best.",
        _topic_states, ("state",)),
    Row("mexcfast_topics_silent", "gauge", "Topics silent beyond their bound.",
        _one(lambda r: len(r.sources.pool.vitals.degraded))),
    Row("mexcfast_stream_events", "counter",
        "Stream events since metrics started: connected, disconnected, gap, live ...",
        _by_name(lambda r: r.taps.events.items()), ("event",)),
    Row("mexcfast_private_stream_state", "gauge", "1 for the state the private stream is in.",
        _by_name(lambda r: () if r.sources.stream is None else _one_of(
            [each.value for each in StreamState], r.sources.stream.state.value)), ("state",)),
    Row("mexcfast_private_logins", "counter", "Logins the venue has confirmed.",
        _one(lambda r: None if r.sources.stream is None else r.sources.stream.logins)),

    # books
    Row("mexcfast_books", "gauge", "Books by state.", _book_states, ("state",)),
    Row("mexcfast_books_doubted", "gauge", "Books that are not trusted although they may be LIVE.",
        _one(lambda r: sum(b.doubt is not None for b in r.sources.pool.books.values()))),
    Row("mexcfast_book_oldest_seconds", "gauge", "Age of the LIVE book that moved longest ago.",
        _one(_oldest_book), (), "s"),
    Row("mexcfast_book_frames", "counter", "Frames applied to books.", _books("frames")),
    Row("mexcfast_book_stale_frames", "counter", "Frames that told nothing new.",
        _books("stale")),
    Row("mexcfast_book_gaps", "counter", "Times a book missed versions.", _books("gaps")),
    Row("mexcfast_book_repairs", "counter", "Gaps closed by commits.", _books("repairs")),
    Row("mexcfast_book_snapshots", "counter", "Snapshots loaded.", _books("snapshots")),
    Row("mexcfast_book_crossings", "counter", "Books given up because they stayed crossed.",
        _books("crossings")),
    Row("mexcfast_book_overflows", "counter", "Frames not kept while a book waited for its "
        "snapshot.", _books("overflows")),
    Row("mexcfast_book_resyncs", "counter",
        "Books that had been LIVE and were built anew from a snapshot, since metrics started.",
        _one(lambda r: r.taps.resyncs)),
    Row("mexcfast_book_recovery_seconds", "histogram",
        "From not LIVE to LIVE again, since metrics started.",
        _histogram(lambda t: t.recovered, LONG), (), "s"),
    Row("mexcfast_repair_requests", "counter", "Requests that mend books, by endpoint.",
        _by_name(lambda r: r.sources.pool.repairer.requests.items()), ("endpoint",)),
    Row("mexcfast_repairs_waiting", "gauge", "Books that wait for an answer or for their turn.",
        _one(lambda r: r.sources.pool.repairer.waiting)),
    Row("mexcfast_contract_book_live", "gauge", "1 while the book of a named contract is LIVE.",
        _contracts(lambda book: float(book.is_live)), ("contract",)),
    Row("mexcfast_contract_book_age_seconds", "gauge", "Since the book's last frame.",
        _contracts(lambda book: _since(book.ts_recv_ns)), ("contract",), "s"),
    Row("mexcfast_contract_book_verified_seconds", "gauge",
        "Since the book was last found equal to the venue's.",
        _contracts(lambda book: _since(book.ts_verified_ns)), ("contract",), "s"),

    # redundant sockets
    Row("mexcfast_path_first", "counter", "Events this path brought first.",
        _paths(lambda c: c.first), ("path",)),
    Row("mexcfast_path_copies", "counter", "Events another path had brought.",
        _paths(lambda c: c.copies), ("path",)),
    Row("mexcfast_path_superseded", "counter", "Events that came after a newer state.",
        _paths(lambda c: c.superseded), ("path",)),
    Row("mexcfast_path_holes", "counter", "Events another path brought and this one did not.",
        _paths(lambda c: c.holes), ("path",)),
    Row("mexcfast_path_lateness_seconds", "histogram", "How much later than the first copies came.",
        _paths(_lateness), ("path",), "s"),

    # audits and feeds
    Row("mexcfast_audit_comparisons", "counter", "Books compared with the venue's, by result.",
        _verdicts, ("verdict",)),
    Row("mexcfast_audit_mismatches", "counter", "Books found wrong: different or behind.",
        _audit("mismatches")),
    Row("mexcfast_audit_failed", "counter", "Audits without an answer.", _audit("failed")),
    Row("mexcfast_audit_postponed", "counter", "Audits put off: no spare request, or repairs.",
        _audit("postponed")),
    Row("mexcfast_feed_dropped", "counter",
        "Events and book changes that slow consumers of feeds have missed, by their feed's rule.",
        _by_name(lambda r: ((slow, r.sources.pool.dropped.get(slow, 0))
                            for slow in ("latest", "drop", "error"))), ("slow",)),

    # orders
    Row("mexcfast_orders", "counter",
        "Outcomes since metrics started: what was asked, what came of it, the error's class.",
        lambda r: r.taps.outcomes.items(), ("what", "outcome", "reason")),
    Row("mexcfast_orders_open", "gauge", "Own orders that are not final.",
        _one(lambda r: len(r.sources.orders.open_orders()))),
    Row("mexcfast_orders_unresolved", "gauge", "Requests whose fate is not proven.",
        _by_name(_cases), ("what",)),
    Row("mexcfast_resolution_seconds", "histogram",
        "From sending a request whose outcome was Unknown to the proof of its fate.",
        _histogram(lambda t: t.resolved, LONG), (), "s"),
    Row("mexcfast_order_conflicts", "counter",
        "Refusals that the venue's own stream contradicted.",
        _one(lambda r: r.sources.orders.tracker.conflicts)),
    Row("mexcfast_lane_idle", "gauge", "Warm connections that could take an order now.",
        _one(lambda r: r.sources.executor.lane_idle)),
    Row("mexcfast_journal_unsettled", "gauge", "Requests the journal holds as unsettled.",
        _one(_journal(lambda j: len(j.ledger.unsettled)))),
    Row("mexcfast_journal_bytes", "gauge", "Size of the journal's file.",
        _one(_journal(lambda j: j.size)), (), "By"),

    # budgets
    Row("mexcfast_budget_free_slots", "gauge", "Requests of a group that could leave now.",
        _by_name(lambda r: ((group, free) for group, (free, _) in
                            r.sources.budget.groups.items())), ("group",)),
    Row("mexcfast_budget_queued", "gauge", "Requests that wait for a slot.", _queued,
        ("group", "lane")),
    Row("mexcfast_ban_seconds", "gauge", "Until the venue opens what it has closed for us.",
        _by_name(_bans), ("what",), "s"),
    Row("mexcfast_bans", "counter", "Times the venue has closed something for us.",
        _by_name(lambda r: r.sources.budget.closings.items()), ("what",)),

    # kill switch, account, clock
    Row("mexcfast_kill_switch_state", "gauge", "1 for the state the kill switch is in.",
        _by_name(lambda r: _one_of(SwitchState, r.sources.kill_switch.state)), ("state",)),
    Row("mexcfast_kill_switch_trips", "counter", "Trips in this process by what tripped it.",
        _by_name(lambda r: ((str(each), r.sources.kill_switch.switch.trips.get(each, 0))
                            for each in Trigger)), ("trigger",)),
    Row("mexcfast_watchdog_armed", "gauge", "1 while a watchdog watches this process.",
        _one(_watchdog)),
    Row("mexcfast_mirror_state", "gauge", "1 for the state the account's mirror is in.",
        _by_name(lambda r: _one_of([each.value for each in AccountState],
                                   r.sources.orders.mirror.state.value)), ("state",)),
    Row("mexcfast_mirror_comparisons", "counter", "Times the mirror was compared with REST.",
        _one(lambda r: r.sources.orders.reconciler.comparisons)),
    Row("mexcfast_mirror_differences", "counter", "Differences found in all comparisons.",
        _one(lambda r: r.sources.orders.reconciler.differences)),
    Row("mexcfast_clock_offset_seconds", "gauge",
        "The venue's clock minus ours; no value before it is known.", _one(_clock_offset), (),
        "s"),
    Row("mexcfast_clock_error_seconds", "gauge",
        "The offset is at most this far off, and so is every venue_to_wire.", _one(_clock_error),
        (), "s"),

    # latencies
    Row("mexcfast_venue_to_wire_seconds", "histogram",
        "From the venue's stamp to our receipt, +- mexcfast_clock_error_seconds +- 1 ms.",
        _histogram(lambda t: t.first.venue_to_wire, FAR), (), "s"),
    Row("mexcfast_venue_to_wire_negative", "counter",
        "Frames stamped later than they came: within the clock's error.",
        _one(lambda r: r.taps.first.venue_to_wire.negative)),
    Row("mexcfast_wire_to_callback_seconds", "histogram",
        "From receipt to the first listener's call.",
        _histogram(lambda t: t.first.wire_to_callback, NEAR), (), "s"),
    Row("mexcfast_wire_to_done_seconds", "histogram",
        "From receipt until every listener has returned: your own code included.",
        _histogram(lambda t: t.last.wire_to_callback, NEAR), (), "s"),
    Row("mexcfast_intent_to_answer_seconds", "histogram",
        "From asking for it until its outcome, waiting for a slot included.", _answers,
        ("what",), "s"),
    Row("mexcfast_latency_quantile_seconds", "gauge",
        "Quantiles since metrics started, within 1.6 %; 1 is the maximum.", _quantiles,
        ("latency", "quantile"), "s"),

    # tapes
    Row("mexcfast_tape_records", "counter", "Records of the recording that runs or ran last.",
        _one(_recorder("records"))),
    Row("mexcfast_tape_lost_records", "counter", "Records it lost: its writer was too slow.",
        _one(_recorder("lost"))),
)
