"""Tables made from a tape: every row is what listeners were told, and no half file is left."""

from __future__ import annotations

import asyncio
import csv
import gzip
import os
from pathlib import Path
from typing import Any

import pytest

import mexcfast as mx
from mexcfast import tape, topics
from mexcfast.core.depth import OrderBook, State
from mexcfast.errors import ConfigError, MissingExtra, TapeError
from mexcfast.sim import Exchange
from mexcfast.tape import fresh
from mexcfast.tape.tables import TABLES, CsvWriter, check_symbols

BTC, ETH = "BTC_USDT", "ETH_USDT"
needs_pyarrow = pytest.mark.framework("pyarrow", "export")


class Model(mx.Listener):
    """What was told while it was recorded, as rows; written apart from the room under test."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
        self.is_live: dict[str, bool] = {}
        self.lapses = 0

    def on_book(self, book: OrderBook) -> None:
        self.is_live[book.symbol] = True
        bids, asks = book.bids(), book.asks()
        self.rows["top"].append((
            book.ts_recv_ns, book.ts_venue_ms, book.symbol, book.version, "LIVE", bids[0][0],
            bids[0][1], asks[0][0], asks[0][1]))
        for side, levels in (("bid", bids[:3]), ("ask", asks[:3])):
            for number, level in enumerate(levels):
                self.rows["depth"].append((book.ts_recv_ns, book.ts_venue_ms, book.symbol,
                                           book.version, side, number, *level))

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        if self.is_live.pop(book.symbol, False) and new != State.LIVE:
            self.lapses += 1
            self.rows["top"].append((None, None, book.symbol, book.version, State(new).name,
                                     None, None, None, None))

    def on_event(self, event: mx.Event) -> None:
        message = event.to_dict()
        data, start = message["data"], (event.ts_recv_ns, message.get("ts"))
        if event.channel == "push.deal":
            for deal in data:
                self.rows["trades"].append((
                    event.ts_recv_ns, deal["t"], message["symbol"], int(deal["i"]),
                    {1: "buy", 2: "sell"}[deal["T"]], float(deal["p"]), float(deal["v"])))
        elif event.channel == "push.funding.rate":
            self.rows["funding"].append((*start, message["symbol"], float(data["rate"]),
                                         data["nextSettleTime"]))
        elif event.channel in ("push.ticker", "push.tickers"):
            for row in [data] if event.channel == "push.ticker" else data:
                self.rows["tickers"].append((*start, row["symbol"], *(
                    None if row.get(name) is None else float(row[name]) for name in (
                        "lastPrice", "bid1", "ask1", "fairPrice", "indexPrice", "high24Price",
                        "lower24Price", "volume24", "amount24", "holdVol", "fundingRate",
                        "riseFallRate"))))
        elif event.channel in ("push.index.price", "push.fair.price"):
            self.rows["prices"].append((*start, message["symbol"], event.channel.split(".")[1],
                                        float(data["price"])))


async def until(holds: Any) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    """A tape with a gap in it, and what a listener was told meanwhile."""
    path, model = tmp_path_factory.mktemp("tape") / "monday", Model()

    async def record() -> None:
        async with Exchange(seed=5, symbols=(BTC, ETH), merge_ms=0, updates_per_second=100,
                            ) as venue, mx.Client(venue.rest_url) as client:
            recorder = client.record(path)
            wanted = [topics.tickers()]
            for symbol in (BTC, ETH):
                wanted += [topics.depth(symbol), topics.deals(symbol), topics.funding_rate(symbol),
                           topics.ticker(symbol), topics.index_price(symbol),
                           topics.fair_price(symbol)]
            client.subscribe(model, wanted)
            book = client.market.books[BTC]
            await until(lambda: book.is_live and book.frames > 10)
            venue.faults.drop("depth", BTC)
            await until(lambda: model.lapses and book.is_live)
            await until(lambda: all(len(rows) > 3 for rows in model.rows.values()))
            client.unsubscribe(model, wanted)
            await recorder.stop()
            assert recorder.ring.lost == 0

    asyncio.run(record())
    return path, model


def read_csv(path: Path, table: str) -> list[tuple[Any, ...]]:
    kinds = [{"int": int, "float": float, "text": str}[kind] for kind in TABLES[table].values()]
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == list(TABLES[table])
    return [tuple(None if cell == "" else kind(cell) for kind, cell in zip(kinds, row, strict=True))
            for row in rows]


def read_parquet(path: Path, table: str) -> list[tuple[Any, ...]]:
    import pyarrow.parquet as pq

    found = pq.read_table(path)
    assert found.column_names == list(TABLES[table])
    return [tuple(row.values()) for row in found.to_pylist()]


def normal(rows: list[tuple[Any, ...]], table: str) -> list[tuple[Any, ...]]:
    """When a book stopped being LIVE is not told to a listener; the tape's clock says it."""
    return [(None, *row[1:]) if table == "top" and row[4] != "LIVE" else row for row in rows]


@pytest.mark.parametrize("kind", ["csv", pytest.param("parquet", marks=needs_pyarrow)])
def test_rows_are_what_listeners_were_told(told: tuple[Path, Model], tmp_path: Path, kind: str
                                           ) -> None:
    path, model = told
    seen: list[tuple[int, int]] = []
    done = tape.export_tables(path, {name: tmp_path / f"{name}.{kind}" for name in TABLES},
                              format=kind, levels=3,  # type: ignore[arg-type]
                              progress=lambda *how: seen.append(how))
    assert done.summary.is_whole and model.lapses >= 1
    reads = read_csv if kind == "csv" else read_parquet
    for name in TABLES:
        file = tmp_path / f"{name}.{kind}"
        rows = reads(file, name)
        assert normal(rows, name) == model.rows[name], name
        assert done.rows[file] == len(rows) > 3
        if name == "top":
            times = [row[0] for row in rows]
            assert None not in times and times == sorted(times)
    assert seen[-1][0] <= seen[-1][1] == tape.contents(path).records
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        f"{name}.{kind}" for name in TABLES)


def test_one_contract_and_one_table(told: tuple[Path, Model], tmp_path: Path) -> None:
    path, model = told
    tape.export_tables(path, {"tickers": tmp_path / "eth.csv"}, format="csv", symbols=[ETH])
    rows = read_csv(tmp_path / "eth.csv", "tickers")
    assert rows == [row for row in model.rows["tickers"] if row[2] == ETH]


def test_what_is_on_the_tape(told: tuple[Path, Model]) -> None:
    path, model = told
    held = tape.contents(path)
    assert held.symbols == [BTC, ETH] and ("push.depth", BTC) in held.heard
    assert held.first_ns < model.rows["trades"][0][0] < held.last_ns
    assert 0 < held.frames < held.records


def test_bad_requests_name_what_is_allowed(told: tuple[Path, Model], tmp_path: Path) -> None:
    path, _ = told
    file = tmp_path / "x.csv"
    for files, more, error, says in (
            ({"deals": file}, {}, ConfigError, "tables are deals; allowed: trades"),
            ({}, {}, ConfigError, "tables are none"),
            ({"top": file}, {"format": "xls"}, ConfigError, "allowed: csv, parquet"),
            ({"top": file}, {"levels": 0}, ConfigError, "levels is 0"),
            ({"top": file}, {"symbols": ["SOL_USDT"]}, TapeError,
             "holds nothing of SOL_USDT; it holds BTC_USDT, ETH_USDT"),
            ({"top": tmp_path / "no" / "x.csv"}, {}, TapeError, "there is no directory"),
            ({"top": tmp_path}, {}, TapeError, "is a directory")):
        with pytest.raises(error, match=says):
            tape.export_tables(path, files, **{"format": "csv", **more})
    with pytest.raises(TapeError, match="no such file"):
        tape.export_tables(tmp_path / "nowhere", {"top": file}, format="csv")
    check_symbols(path, tape.contents(path), None)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays_unless_forced(told: tuple[Path, Model], tmp_path: Path) -> None:
    path, _ = told
    trades, top = tmp_path / "trades.csv", tmp_path / "top.csv"
    top.write_text("mine")
    with pytest.raises(TapeError, match=r"top\.csv: exists already"):
        tape.export_tables(path, {"trades": trades, "top": top}, format="csv")
    assert top.read_text() == "mine" and not trades.exists()
    tape.export_tables(path, {"trades": trades, "top": top}, format="csv", force=True)
    assert len(read_csv(top, "top")) > 3 and trades.exists()


def test_no_half_file_is_left(told: tuple[Path, Model], tmp_path: Path,
                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted, or out of space: nothing new is there, and what was there is as it was."""
    path, _ = told
    old = tmp_path / "top.csv"
    old.write_text("mine")
    files = {"trades": tmp_path / "trades.csv", "top": old}

    def interrupted(done: int, total: int) -> None:
        assert len(list(tmp_path.iterdir())) == 3        # two drafts and the old file
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tape.export_tables(path, files, format="csv", force=True, progress=interrupted)
    assert [each.name for each in tmp_path.iterdir()] == ["top.csv"] and old.read_text() == "mine"

    def full(self: CsvWriter, rows: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CsvWriter, "write", full)
    with pytest.raises(TapeError, match="cannot be written: No space left"):
        tape.export_tables(path, files, format="csv", force=True)
    assert [each.name for each in tmp_path.iterdir()] == ["top.csv"] and old.read_text() == "mine"


def test_lines_leave_no_half_file_either(told: tuple[Path, Model], tmp_path: Path) -> None:
    path, _ = told
    target = tmp_path / "lines.gz"
    with pytest.raises(TapeError, match="no such file"):
        tape.export_lines(tmp_path / "nowhere", target)
    target.write_text("mine")
    with pytest.raises(TapeError, match="exists already"):
        tape.export_lines(path, target)
    count = tape.export_lines(path, target, force=True)
    assert len(gzip.decompress(target.read_bytes()).splitlines()) == count
    assert [each.name for each in tmp_path.iterdir()] == ["lines.gz"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "x"
    with pytest.raises(TapeError, match="exists already"), fresh.fresh([target]) as (draft,):
        draft.write_text("ours")
        target.write_text("theirs")
    assert target.read_text() == "theirs" and os.listdir(tmp_path) == ["x"]


def test_without_pyarrow_the_extra_is_named(told: tuple[Path, Model], tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as caught:
        tape.export_tables(told[0], {"top": tmp_path / "x.parquet"})
    assert caught.value.extra == "export" and not list(tmp_path.iterdir())


def test_playing_tells_how_far_it_is(told: tuple[Path, Model]) -> None:
    counts: list[int] = []
    replay = mx.Replay(told[0])
    summary = replay.play(lambda summary: counts.append(summary.records))
    assert counts[-1] == summary.records and counts == sorted(counts)


def test_every_column_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tape.md").read_text(encoding="utf-8")
    for table, columns in TABLES.items():
        (line,) = [each for each in text.splitlines() if each.startswith(f"| `{table}` |")]
        named = [name for name in columns if name not in ("ts_recv_ns", "ts_venue_ms", "symbol")]
        assert [name for name in named if f"`{name}`" not in line] == [], table
