"""`mexcfast export`: a tape for other tools, as Parquet, CSV, hftbacktest's events or lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from rich.markup import escape

from mexcfast import tape
from mexcfast.cli.progress import Bar
from mexcfast.cli.record import size
from mexcfast.cli.tables import console, print_json
from mexcfast.errors import ConfigError, TapeError
from mexcfast.tape.fresh import fresh
from mexcfast.tape.tables import TABLES, check_symbols

SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".npz": "hftbacktest", ".gz": "lines"}
FORMATS = ("parquet", "csv", "hftbacktest", "lines")
Format = Literal["parquet", "csv", "hftbacktest", "lines"]


def format_of(out: Path, wanted: str | None) -> Format:
    """Chosen by --format, else by the suffix; a name without one is a directory of Parquet files.

    ConfigError when the suffix says nothing, or another thing than --format.
    """
    found = SUFFIXES.get(out.suffix)
    if wanted is None:
        if found is None and out.suffix:
            raise ConfigError(f"{out} ends in {out.suffix}; allowed: {', '.join(SUFFIXES)}, a name "
                              "without an ending for a directory, or say --format")
        return cast(Format, found or "parquet")
    if found is not None and found != wanted:
        raise ConfigError(f"{out} looks like {found}, --format says {wanted}; leave one of them "
                          "out")
    return cast(Format, wanted)


def export(path: str, out: str, *, format: str | None, tables: Sequence[str],
           symbols: Sequence[str], levels: int, force: bool, as_json: bool) -> int:
    """Write what was asked for and say what it is; 0 when the tape was whole, else 1."""
    target = Path(out)
    kind = format_of(target, format)
    if kind in ("hftbacktest", "lines") and tables:
        raise ConfigError(f"--table means nothing to {kind}; allowed: with parquet and csv")
    with Bar(f"reading {path}") as bar:
        held = tape.contents(path)
        check_symbols(path, held, symbols or None)
        bar(0, held.records, f"writing {out}")
        if kind == "hftbacktest":
            rows, whole = _hftbacktest(path, target, symbols, held, force, bar)
        elif kind == "lines":
            if symbols:
                raise ConfigError("--symbol means nothing to lines; allowed: with parquet, csv and "
                                  "hftbacktest")
            count = tape.export_lines(path, target, force=force,
                                      progress=lambda done: bar(done, held.records))
            rows, whole = {target: count}, True
        else:
            files = files_of(target, kind, tables, force)
            try:
                done = tape.export_tables(
                    path, {name: os.fspath(each) for name, each in files.items()},
                    format="csv" if kind == "csv" else "parquet", symbols=symbols or None,
                    levels=levels, force=force, progress=bar)
            except BaseException:
                _remove_if_empty(target)
                raise
            rows, whole = done.rows, done.summary.is_whole
    _tell(rows, kind, whole, as_json)
    return int(not whole)


def files_of(target: Path, kind: str, tables: Sequence[str], force: bool) -> dict[str, Path]:
    """table -> file. One table may go into one file; several go into a directory, made here."""
    names = list(dict.fromkeys(tables)) or list(TABLES)
    wrong = [name for name in names if name not in TABLES]
    if wrong:
        raise ConfigError(f"--table is {', '.join(wrong)}; allowed: {', '.join(TABLES)}")
    if target.suffix in SUFFIXES:
        if len(names) > 1:
            raise ConfigError(f"{target} is one file and holds one table; say which with --table: "
                              f"{', '.join(names)}; or give a directory: {target.with_suffix('')}")
        return {names[0]: target}
    if target.exists() and not target.is_dir():
        raise TapeError(f"{target}: exists already and is no directory")
    try:
        target.mkdir(exist_ok=True)
    except OSError as fault:
        raise TapeError(f"{target}: cannot be made: {fault.strerror or fault}") from fault
    return {name: target / f"{name}.{kind}" for name in names}


def _remove_if_empty(target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()


def _hftbacktest(path: str, target: Path, symbols: Sequence[str], held: tape.Contents, force: bool,
                 bar: Bar) -> tuple[dict[Path, int], bool]:
    from mexcfast.adapters.hftbacktest import convert

    books = [symbol for channel, symbol in held.heard if channel == "push.depth"
             and (not symbols or symbol in symbols)]
    if len(books) != 1:
        raise ConfigError(f"an .npz holds one contract; say which with --symbol: "
                          f"{', '.join(sorted(books)) or 'no book is on the tape'}")
    with fresh([target], force=force) as (draft,):
        done = convert(path, draft, books[0],
                       progress=lambda summary: bar(summary.records, held.records))
    return {target: done.events}, done.is_whole


def _tell(rows: dict[Path, int], kind: str, whole: bool, as_json: bool) -> None:
    if as_json:
        print_json({"format": kind, "whole": whole, "files": {
            str(path): {"rows": count, "bytes": path.stat().st_size}
            for path, count in rows.items()}})
        return
    out = console()
    for path, count in rows.items():
        out.print(f"{count:>10,} rows  {size(path.stat().st_size):>9}  {escape(str(path))}",
                  soft_wrap=True)
    if not whole:
        out.print("NOT whole: something is missing on the tape, `mexcfast replay` says what",
                  style="bold yellow", soft_wrap=True)
