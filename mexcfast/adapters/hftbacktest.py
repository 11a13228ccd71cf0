"""hftbacktest's event array from live streams or from a tape: what our book saw, row by row.

    convert("tape", "BTC_USDT.npz")                    # a recording of Client.record()
    with Recorder("BTC_USDT", "BTC_USDT.npz") as recorder:
        recorder.attach(client)                        # or straight from the streams
        ...

Both go through the same listener: rows are made only from frames that a checked book has applied,
and each snapshot, repair or resync becomes "clear" and the whole book. So the depth that
hftbacktest replays equals ours at every moment at which ours was to be trusted; while a book is
being mended it stands still, as ours does. docs/adapters/hftbacktest.md has the rest.

hftbacktest itself is needed by asset() only; numpy everywhere.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

import mexcfast as mx
from mexcfast import topics
from mexcfast.errors import ConfigError, MissingExtra, TapeError
from mexcfast.types import Contract

try:
    import numpy as np
except ImportError as error:
    raise MissingExtra("numpy", str(error)) from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EVENT", "Converted", "Recorder", "asset", "convert", "correct_local_time",
           "order_events"]

#: one event as hftbacktest reads it (its types.event_dtype): 64 bytes
EVENT = np.dtype([("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"),
                  ("order_id", "u8"), ("ival", "i8"), ("fval", "f8")], align=True)
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28

log = logging.getLogger("mexcfast.hftbacktest")
_pack = Struct("=QqqddQqd").pack
SPOOLED = 1 << 20               # bytes of rows kept in memory before they go to the disk
NS_PER_MS = 1_000_000


class Source(Protocol):
    """What a Recorder listens to: mexcfast.Client or mexcfast.Replay."""

    @property
    def market(self) -> Any: ...
    def subscribe(self, listener: mx.Listener, topics: Any, /) -> None: ...
    def unsubscribe(self, listener: mx.Listener, topics: Any, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written. Times: our wall clock, ns, before `shift_ns` was added.

    events: rows of the file; more than were recorded where the venue's order of time and ours
    differ. shift_ns: what was added to all local times because the venue's clock was ahead.
    snapshots: whole books written; the first one, and one for each time the book was mended.
    is_whole: nothing of the tape was missing or damaged; a live recording is whole by itself.
    """

    path: Path
    symbol: str
    events: int
    depth_rows: int
    trades: int
    trade_volume: float
    snapshots: int
    shift_ns: int
    first_ns: int
    last_ns: int
    is_whole: bool


class Recorder(mx.BookChanges):
    """Writes one contract's book and trades as hftbacktest's events.

    symbol: the venue's name, for example BTC_USDT. out: the .npz to write, which must not exist;
    rows wait in `<out>.rows` until close(). base_latency_ns: added to local times when they have to
    be shifted at all (correct_local_time). error: why rows are no longer written, for example a
    full disk; close() then raises, and the rows written so far stay in `<out>.rows`.
    Raises TapeError when a file cannot be written.
    """

    def __init__(self, symbol: str, out: str | os.PathLike[str], *, base_latency_ns: int = 0
                 ) -> None:
        if base_latency_ns < 0:
            raise ConfigError(f"base_latency_ns is {base_latency_ns}; allowed: 0 and above")
        super().__init__()
        self.symbol = symbol
        self.path = Path(out)
        self.base_latency_ns = base_latency_ns
        self.depth_rows = self.trades = self.snapshots = 0
        self.trade_volume = 0.0
        self.unreadable = 0                        # deals without side, price or quantity
        self.error: OSError | None = None          # why rows are no longer written
        self._rows = bytearray()
        self._exch_ns = 0                          # of the newest depth row
        self._source: Source | None = None
        self._topics: tuple[Any, ...] = ()
        self._spool_path = self.path.with_name(self.path.name + ".rows")
        if self.path.exists():
            raise TapeError(f"{self.path}: exists already")
        try:
            self._spool: BinaryIO | None = self._spool_path.open("xb")
        except OSError as fault:
            raise TapeError(f"{self._spool_path}: cannot be written: "
                            f"{fault.strerror or fault}") from fault

    def __repr__(self) -> str:
        return f"<Recorder {self.symbol} {self.depth_rows} depth rows, {self.trades} trades>"

    def attach(self, source: Source) -> None:
        """Listen to a client or a replay: every version of the book, every trade on its own.

        A kind of depth that is subscribed to already is shared.
        """
        if self._source is not None:
            raise ConfigError(f"{self!r} is attached already")
        depth = source.market.streams.depth_topic(self.symbol) or topics.depth(self.symbol, False)
        deals = topics.deals(self.symbol, False)
        self._source, self._topics = source, (depth, deals)
        source.subscribe(self, self._topics)

    # -- what the streams tell --------------------------------------------------------------------

    def on_whole(self, book: mx.OrderBook) -> None:
        """The book after a snapshot, repair or resync: a clear and all of its levels."""
        exch_ns, local_ns = self._stamp(book.ts_venue_ms), self.ts_seen_ns
        # Without a side both are cleared, wherever their levels are.
        self._rows += _pack(CLEAR, exch_ns, local_ns, 0.0, 0.0, 0, 0, 0.0)
        for ev, levels in ((SNAPSHOT | BUY, book.bids()), (SNAPSHOT | SELL, book.asks())):
            for price, quantity, _ in levels:
                self._rows += _pack(ev, exch_ns, local_ns, price, quantity, 0, 0, 0.0)
            self.depth_rows += len(levels)
        self.depth_rows += 1
        self.snapshots += 1
        self._spill()

    def on_changes(self, book: mx.OrderBook, frames: list[mx.events.Depth]) -> None:
        """Rows for what changed since the book was last shown."""
        for event in frames:
            stamp = event.ts_venue_ms
            exch_ns = self._stamp(-1 if stamp is None else stamp)
            # A price named twice counts once, its last quantity, as in the book.
            sides = [(ev, {price: quantity for price, quantity, _ in levels})
                     for ev, levels in ((DEPTH | BUY, event.bids), (DEPTH | SELL, event.asks))]
            # Deletions first: between two rows no side then reaches over levels about to go.
            for gone in (True, False):
                for ev, changed in sides:
                    for price, quantity in changed.items():
                        if (quantity == 0) is gone:
                            self._rows += _pack(ev, exch_ns, self.ts_seen_ns, price, quantity,
                                                0, 0, 0.0)
                            self.depth_rows += 1
        self._spill()

    def on_event(self, event: mx.Event) -> None:
        """Trades; the side is the taker's, as hftbacktest has it."""
        if not isinstance(event, mx.events.Deals):
            return
        for deal in event.deals:
            if deal.side not in (1, 2) or deal.price is None or deal.quantity is None:
                self.unreadable += 1
                continue
            ts_ms = deal.ts_venue_ms if deal.ts_venue_ms is not None else event.ts_venue_ms
            exch_ns = event.ts_recv_ns if ts_ms is None else ts_ms * NS_PER_MS
            self._rows += _pack(TRADE | (BUY if deal.side == 1 else SELL), exch_ns,
                                event.ts_recv_ns, deal.price, deal.quantity, 0, 0, 0.0)
            self.trades += 1
            self.trade_volume += deal.quantity
        self._spill()

    def _stamp(self, ts_ms: int) -> int:
        """The venue's time of depth rows, never backwards: versions say what came first."""
        self._exch_ns = max(self._exch_ns, ts_ms * NS_PER_MS if ts_ms >= 0 else self.ts_seen_ns)
        return self._exch_ns

    def _spill(self) -> None:
        if len(self._rows) < SPOOLED or self._spool is None:
            return
        if self.error is None:
            try:
                self._spool.write(self._rows)
            except OSError as fault:
                self.error = fault
                log.error("recording to %s stopped: %s", self.path, fault)
        self._rows.clear()

    # -- the end ----------------------------------------------------------------------------------

    def close(self, *, is_whole: bool = True) -> Converted:
        """Stop listening, put the rows in order and write the .npz.

        Raises TapeError when it cannot be written, ConfigError when it was closed before.
        """
        spool = self._detach()
        try:
            with spool:
                if self.error is not None:
                    raise self.error
                spool.write(self._rows)
            rows = np.fromfile(self._spool_path, EVENT)
            first_ns, last_ns = ((int(rows["local_ts"].min()), int(rows["local_ts"].max()))
                                 if len(rows) else (0, 0))
            shift_ns = correct_local_time(rows, self.base_latency_ns)
            events = order_events(rows)
            with self.path.open("xb") as file:
                np.savez_compressed(file, data=events)
        except FileExistsError:
            raise TapeError(f"{self.path}: exists already") from None
        except OSError as fault:
            raise TapeError(f"{self.path}: cannot be written: {fault.strerror or fault}"
                            ) from fault
        self._spool_path.unlink()
        return Converted(self.path, self.symbol, len(events), self.depth_rows, self.trades,
                         self.trade_volume, self.snapshots, shift_ns, first_ns, last_ns, is_whole)

    def discard(self) -> None:
        """Stop listening and forget the rows; nothing is written."""
        self._detach().close()
        self._spool_path.unlink(missing_ok=True)

    def _detach(self) -> BinaryIO:
        spool, self._spool = self._spool, None
        if spool is None:
            raise ConfigError(f"{self!r} is closed already")
        if self._source is not None:
            self._source.unsubscribe(self, self._topics)
        return spool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._spool is not None:
            self.close()


def convert(path: str | os.PathLike[str], out: str | os.PathLike[str], symbol: str | None = None,
            *, base_latency_ns: int = 0,
            progress: Callable[[Any], object] | None = None) -> Converted:
    """Make an .npz of hftbacktest's events from a tape (Client.record, `mexcfast record`).

    path: as in mexcfast.Replay. out: a new file. symbol: which contract; may be left out when the
    tape has one book only. progress: as in Replay.play. Raises TapeError when there is no tape, it
    has no such book or a file cannot be written, ConfigError when a contract must be named.
    """
    if symbol is None:
        look = mx.Replay(path)
        look.play()
        names = sorted(look.books)
        if len(names) > 1:
            raise ConfigError(f"symbol is None; allowed for this tape: {', '.join(names)}")
        if not names:
            raise TapeError(f"{path}: holds no book")
        symbol = names[0]
    replay = mx.Replay(path)
    recorder = Recorder(symbol, out, base_latency_ns=base_latency_ns)
    try:
        recorder.attach(replay)
        summary = replay.play(progress)
        if not recorder.snapshots and not recorder.trades:
            raise TapeError(f"{path}: holds no LIVE book and no trade of {symbol}")
    except BaseException:
        recorder.discard()
        raise
    return recorder.close(is_whole=summary.is_whole)


def correct_local_time(events: NDArray[np.void], base_latency_ns: int = 0) -> int:
    """Move all local times, in place, so that none lies before the venue's; returns by how much.

    The same as hftbacktest's correct_local_timestamp: nothing is moved when no row needs it.
    """
    if not len(events):
        return 0
    least = int((events["local_ts"] - events["exch_ts"]).min())
    if least >= 0:
        return 0
    shift_ns = -least + base_latency_ns
    events["local_ts"] += shift_ns
    return shift_ns


def order_events(events: NDArray[np.void]) -> NDArray[np.void]:
    """Events in an order that is right by the venue's time and by ours, with the flags that say so.

    A row that stands in the same place in both orders is valid for both (EXCH | LOCAL); the others
    become two rows. Rows of one time keep the order in which they were recorded. The same as
    hftbacktest's correct_event_order with stable indices; only stretches that are out of order are
    walked through in Python.
    """
    rows = events[np.argsort(events["local_ts"], kind="stable")]
    by_exch = np.argsort(rows["exch_ts"], kind="stable")
    number = np.arange(len(rows))
    # A stretch ends where both orders have taken the same rows.
    ends = np.flatnonzero(np.maximum.accumulate(by_exch) == number) + 1
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    long = np.flatnonzero(ends - starts > 1)
    taken: list[NDArray[Any]] = []
    flags: list[NDArray[Any]] = []
    at = 0
    for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True):
        indices, valid = _merged(rows, by_exch[start:end].tolist(), start, end)
        taken += [number[at:start], np.array(indices)]
        flags += [np.full(start - at, EXCH | LOCAL, "u8"), np.array(valid, "u8")]
        at = end
    taken.append(number[at:])
    flags.append(np.full(len(rows) - at, EXCH | LOCAL, "u8"))
    found: NDArray[np.void] = rows[np.concatenate(taken)]
    found["ev"] |= np.concatenate(flags)
    return found


def _merged(rows: NDArray[np.void], by_exch: list[int], start: int, end: int
            ) -> tuple[list[int], list[int]]:
    """One stretch: indices of rows, and for which order each is valid."""
    piece = rows[start:end]
    keys = list(zip(piece["exch_ts"].tolist(), piece["local_ts"].tolist(), strict=True))
    indices: list[int] = []
    valid: list[int] = []
    i = j = 0
    size = end - start
    while i < size or j < size:
        one = keys[by_exch[i] - start] if i < size else None
        other = keys[j] if j < size else None
        if one is not None and one == other:
            indices.append(start + j)
            valid.append(EXCH | LOCAL)
            i += 1
            j += 1
        elif other is None or (one is not None and one < other):
            indices.append(by_exch[i])
            valid.append(EXCH)
            i += 1
        else:
            indices.append(start + j)
            valid.append(LOCAL)
            j += 1
    return indices, valid


def asset(contract: Contract, files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
          ) -> Any:
    """hftbacktest's BacktestAsset with this contract's sizes, fees and events.

    contract: as market_api.contracts() gives it. Tick, lot, linear or inverse with contract_size
    (quantities are contracts), maker and taker rates are set; latency, queue and exchange model
    are yours. Raises MissingExtra when hftbacktest is not installed.
    """
    try:
        from hftbacktest import BacktestAsset  # type: ignore  # typed or not, here or not
    except ImportError as fault:
        raise MissingExtra("hftbacktest", str(fault)) from fault
    paths = [files] if isinstance(files, str | os.PathLike) else list(files)
    made = BacktestAsset().data([os.fspath(path) for path in paths])
    size = float(contract.contract_size)
    made = made.inverse_asset(size) if contract.is_inverse else made.linear_asset(size)
    return (made.tick_size(float(contract.tick_size)).lot_size(float(contract.lot_size))
            .trading_value_fee_model(float(contract.maker_fee_rate),
                                     float(contract.taker_fee_rate)))
