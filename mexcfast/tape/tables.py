"""A tape as tables: trades, top of book, depth, funding, tickers and prices, to CSV or Parquet.

The rows are what a replay delivers to its listeners, no more and no less: books are shown only
while they are LIVE, and where one stops being so the table `top` says it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from mexcfast.core import topics as topic
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.events import Deals, Event, FairPrice, FundingRate, IndexPrice, Ticker, Tickers
from mexcfast.core.listener import Listener
from mexcfast.core.tap import Kind
from mexcfast.errors import ConfigError, MissingExtra, TapeError
from mexcfast.tape import format as form
from mexcfast.tape.format import Record
from mexcfast.tape.fresh import fresh
from mexcfast.tape.replay import Replay, Summary

Type = Literal["int", "float", "text"]
Row = tuple[Any, ...]
Format = Literal["parquet", "csv"]

_TICKER = ("last_price", "best_bid", "best_ask", "fair_price", "index_price", "high24_price",
           "lower24_price", "volume24", "amount24", "open_interest", "funding_rate", "change_rate")
_WHEN: dict[str, Type] = {"ts_recv_ns": "int", "ts_venue_ms": "int", "symbol": "text"}

#: table -> column -> type; units as in the names, prices in the quote coin, quantities in contracts
TABLES: dict[str, dict[str, Type]] = {
    "trades": {**_WHEN, "trade_id": "int", "side": "text", "price": "float", "quantity": "float"},
    "top": {**_WHEN, "version": "int", "state": "text", "bid_price": "float",
            "bid_quantity": "float", "ask_price": "float", "ask_quantity": "float"},
    "depth": {**_WHEN, "version": "int", "side": "text", "level": "int", "price": "float",
              "quantity": "float", "orders": "int"},
    "funding": {**_WHEN, "rate": "float", "ts_settle_ms": "int"},
    "tickers": {**_WHEN, **dict.fromkeys(_TICKER, "float")},
    "prices": {**_WHEN, "kind": "text", "price": "float"},
}
FORMATS = ("parquet", "csv")
#: push channel -> the topic a replay is asked for, and the tables it fills
_CHANNELS: dict[str, tuple[Callable[[str], topic.Topic], tuple[str, ...]]] = {
    "push.deal": (topic.deals, ("trades",)),
    "push.depth": (topic.depth, ("top", "depth")),
    "push.funding.rate": (topic.funding_rate, ("funding",)),
    "push.ticker": (topic.ticker, ("tickers",)),
    "push.tickers": (lambda symbol: topic.tickers(), ("tickers",)),
    "push.index.price": (topic.index_price, ("prices",)),
    "push.fair.price": (topic.fair_price, ("prices",)),
}
_SIDES = {1: "buy", 2: "sell"}


@dataclass(slots=True)
class Contents:
    """What a tape holds, from one reading without playing it. Times: as in Summary."""

    records: int = 0
    frames: int = 0
    first_ns: int = 0
    last_ns: int = 0
    heard: list[tuple[str, str]] = field(default_factory=list)     # (push channel, symbol)

    @property
    def symbols(self) -> list[str]:
        """Contracts that something was recorded of, in order."""
        return sorted({symbol for _, symbol in self.heard if symbol})


def contents(path: str | os.PathLike[str]) -> Contents:
    """Read a tape once. TapeError when there is none."""
    found = Contents()
    heard: dict[tuple[str, str], None] = {}
    for record in form.read(path):
        if not isinstance(record, Record):
            continue
        found.records += 1
        found.frames += record.kind == Kind.FRAME
        found.first_ns = found.first_ns or record.ts_ns
        found.last_ns = max(found.last_ns, record.ts_ns)
        if record.kind == Kind.LISTENED:
            channel, _, symbol = record.payload.decode(errors="replace").partition(" ")
            heard[channel, symbol] = None
    found.heard = list(heard)
    return found


class Tables(Listener):
    """Turns what a replay tells into rows, table by table.

    tables: which of TABLES. symbols: which contracts; None for all. levels: of `depth`, a side.
    take(table): the rows since the last take.
    """

    def __init__(self, tables: Iterable[str], symbols: Iterable[str] | None = None,
                 levels: int = 10) -> None:
        self.tables = tuple(dict.fromkeys(tables))
        wrong = [name for name in self.tables if name not in TABLES]
        if wrong or not self.tables:
            raise ConfigError(f"tables are {', '.join(self.tables) or 'none'}; allowed: "
                              f"{', '.join(TABLES)}")
        if levels < 1:
            raise ConfigError(f"levels is {levels}; allowed: 1 and above")
        self.symbols = None if symbols is None else frozenset(symbols)
        self.levels = levels
        self._rows: dict[str, list[Row]] = {name: [] for name in self.tables}
        self._now: Callable[[], int] = lambda: 0

    def attach(self, replay: Replay, heard: Iterable[tuple[str, str]]) -> None:
        """Listen to what the tape holds and these tables need; heard: of Contents."""
        self._now = lambda: replay.now_ns
        for channel, symbol in heard:
            make, filled = _CHANNELS.get(channel, (None, ()))
            if make is not None and set(filled) & set(self.tables) and (
                    not symbol or self.symbols is None or symbol in self.symbols):
                replay.subscribe(self, make(symbol))

    def take(self, table: str) -> list[Row]:
        """The rows of a table since this was last called."""
        rows, self._rows[table] = self._rows[table], []
        return rows

    def _add(self, table: str, symbol: str | None, row: Row) -> None:
        if table in self._rows and (self.symbols is None or symbol in self.symbols):
            self._rows[table].append(row)

    def on_book(self, book: OrderBook) -> None:
        """A LIVE book after a change."""
        symbol = book.symbol
        when = (book.ts_recv_ns, None if book.ts_venue_ms < 0 else book.ts_venue_ms, symbol,
                book.version)
        if "top" in self._rows:
            bid, ask = book.bids(1), book.asks(1)
            self._add("top", symbol, (*when, "LIVE", *(bid[0][:2] if bid else (None, None)),
                                      *(ask[0][:2] if ask else (None, None))))
        if "depth" in self._rows:
            for side, levels in (("bid", book.bids(self.levels)), ("ask", book.asks(self.levels))):
                for number, (price, quantity, orders) in enumerate(levels):
                    self._add("depth", symbol, (*when, side, number, price, quantity, orders))

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        """From here on nobody knew the top of this book."""
        if old == State.LIVE and new not in (State.LIVE, State.STOPPED):
            self._add("top", book.symbol, (self._now(), None, book.symbol, book.version,
                                           State(new).name, None, None, None, None))

    def on_event(self, event: Event) -> None:
        """Everything that is not a book."""
        when = (event.ts_recv_ns, event.ts_venue_ms, event.symbol)
        if isinstance(event, Deals):
            for deal in event.deals:
                stamp = deal.ts_venue_ms if deal.ts_venue_ms is not None else event.ts_venue_ms
                self._add("trades", event.symbol, (
                    event.ts_recv_ns, stamp, event.symbol, deal.trade_id,
                    None if deal.side is None else _SIDES.get(deal.side), deal.price,
                    deal.quantity))
        elif isinstance(event, FundingRate):
            self._add("funding", event.symbol, (*when, event.rate, event.ts_settle_ms))
        elif isinstance(event, Ticker):
            self._add("tickers", event.symbol, (*when, *(getattr(event, name)
                                                         for name in _TICKER)))
        elif isinstance(event, Tickers):
            for row in event.tickers:
                self._add("tickers", row.symbol, (
                    event.ts_recv_ns, event.ts_venue_ms, row.symbol,
                    *(getattr(row, name) for name in _TICKER)))
        elif isinstance(event, IndexPrice | FairPrice):
            kind = "index" if isinstance(event, IndexPrice) else "fair"
            self._add("prices", event.symbol, (*when, kind, event.price))


class Writer(Protocol):
    """One table into one file."""

    def write(self, rows: Sequence[Row]) -> None: ...
    def close(self) -> None: ...


class CsvWriter:
    """A header, then a line a row; nothing between two commas where nothing is known."""

    def __init__(self, path: Path, table: str) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(TABLES[table])

    def write(self, rows: Sequence[Row]) -> None:
        self._csv.writerows(rows)

    def close(self) -> None:
        self._file.close()


ROWS_IN_GROUP = 100_000


class ParquetWriter:
    """Row groups of 100 000, zstd. Raises MissingExtra without pyarrow."""

    def __init__(self, path: Path, table: str) -> None:
        try:                            # typed or not, here or not: mypy shall not care
            pa = import_module("pyarrow")
            pq = import_module("pyarrow.parquet")
        except ImportError as error:
            raise MissingExtra("export", str(error)) from error
        types = {"int": pa.int64(), "float": pa.float64(),
                 "text": pa.dictionary(pa.int32(), pa.string())}
        self._arrow = pa
        self._schema = pa.schema([(name, types[kind]) for name, kind in TABLES[table].items()])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        self._waiting += rows
        if len(self._waiting) >= ROWS_IN_GROUP:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._waiting, strict=True)) or [()] * len(self._schema)
        self._writer.write_table(self._arrow.table(
            [self._arrow.array(column, each.type)
             for column, each in zip(columns, self._schema, strict=True)], schema=self._schema))
        self._waiting = []

    def close(self) -> None:
        try:
            if self._waiting:
                self._flush()
        finally:
            self._writer.close()


_WRITERS: dict[str, Callable[[Path, str], Writer]] = {"csv": CsvWriter, "parquet": ParquetWriter}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: rows by file, and what playing the tape showed (summary.is_whole)."""

    rows: dict[Path, int]
    summary: Summary


def export_tables(path: str | os.PathLike[str], files: dict[str, str | os.PathLike[str]], *,
                  format: Format = "parquet", symbols: Iterable[str] | None = None,
                  levels: int = 10, force: bool = False,
                  progress: Callable[[int, int], object] | None = None) -> Exported:
    """Write tables of a tape, each into a file of its own: all of them, or none on any error.

    files: table -> file; its directory must exist. symbols: contracts, all if None. levels: a
    side, of the table `depth`. progress: told of (records played, records of the tape).
    TapeError when there is no tape, a file exists and force is not set, a contract is not on the
    tape or a file cannot be written; ConfigError for a wrong table or format; MissingExtra.
    """
    if format not in _WRITERS:
        raise ConfigError(f"format is {format!r}; allowed: {', '.join(_WRITERS)}")
    symbols = None if symbols is None else list(symbols)
    tables = Tables(files, symbols, levels)
    held = contents(path)
    check_symbols(path, held, symbols)
    replay = Replay(path)
    tables.attach(replay, held.heard)
    rows: dict[str, int] = dict.fromkeys(files, 0)
    targets = [Path(target) for target in files.values()]
    with fresh(targets, force=force) as drafts, ExitStack() as stack:
        writers: dict[str, Writer] = {}
        for table, draft in zip(files, drafts, strict=True):
            writers[table] = _WRITERS[format](draft, table)
            stack.callback(writers[table].close)

        def pour(summary: Summary) -> None:
            for table, writer in writers.items():
                taken = tables.take(table)
                if taken:
                    rows[table] += len(taken)
                    writer.write(taken)
            if progress is not None:
                progress(summary.records, held.records)

        summary = replay.play(pour)
    return Exported(dict(zip(targets, rows.values(), strict=True)), summary)


def check_symbols(path: str | os.PathLike[str], held: Contents, symbols: Iterable[str] | None
                  ) -> None:
    """TapeError when a contract is not on the tape."""
    missing = [] if symbols is None else [each for each in symbols if each not in held.symbols]
    if missing:
        raise TapeError(f"{path}: holds nothing of {', '.join(missing)}; it holds "
                        f"{', '.join(held.symbols) or 'no contract'}")
