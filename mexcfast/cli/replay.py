"""`mexcfast replay`: play a tape, show its books, and say what it held and what is missing."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import mexcfast as mx
from mexcfast import tape
from mexcfast.cli.progress import Bar
from mexcfast.cli.record import size
from mexcfast.cli.screen import Screen, number
from mexcfast.core.depth import OrderBook
from mexcfast.tape.export import export_lines
from mexcfast.tape.replay import Summary

SHOWN = 3                # books beside each other


def lines(path: str, target: str, *, force: bool) -> int:
    """Write its frames as lines, say how many."""
    with Bar(f"writing {target}") as bar:
        count = export_lines(path, target, force=force, progress=lambda done: bar(done, 0))
    print(f"{count} frames -> {target}", file=sys.stderr)
    return 0


def draw(path: str, target: str, *, symbol: str | None, force: bool) -> int:
    """Draw it, say what is on the picture."""
    from mexcfast.cli.plot import plot

    with Bar(f"drawing {target}") as bar:
        drawn = plot(path, target, symbol=symbol, force=force, progress=bar)
    print(f"{drawn} -> {target}", file=sys.stderr)
    return 0


async def replay(path: str, *, speed: float | None, levels: int, as_json: bool) -> int:
    """0 when the tape is whole and played as it was recorded, else 1."""
    played = mx.Replay(path, speed=speed)
    books = played.market.books
    if as_json:
        summary = await _run(path, played)
        print(json.dumps(as_dict(summary, books.values())))
        return int(not summary.is_whole)
    pace = "full speed" if speed is None else f"speed {speed:g}"
    total = 0
    if sys.stdout.isatty():
        with Bar(f"reading {path}"):
            total = tape.contents(path).records
    with Screen(f"{path} at {pace}", levels=levels, lines=2) as screen:
        screen.status = lambda: _status(played, total)
        task = asyncio.create_task(played.run())
        try:
            while not task.done():
                screen.books = list(books.values())[:SHOWN]
                screen.draw()
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(task), 0.1)
            summary = task.result()
        finally:
            task.cancel()
    for line in lines_of(summary, list(books.values())):
        screen.console.print(line, soft_wrap=True)
    return int(not summary.is_whole)


async def _run(path: str, played: mx.Replay) -> Summary:
    """Play it, with a bar when somebody looks."""
    with Bar(f"playing {path}") as bar:
        if not bar.is_shown:
            return await played.run()
        total = tape.contents(path).records
        task = asyncio.create_task(played.run())
        try:
            while not task.done():
                bar(played.summary.records, total)
                await asyncio.wait((task,), timeout=0.2)
            return task.result()
        finally:
            task.cancel()


def _status(played: mx.Replay, total: int) -> str:
    summary = played.summary
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(played.now_ns / 1e9))
    share = f"{100 * summary.records // total:>3} %  " if total else ""
    return f"{share}{when} UTC  {summary.frames} frames, {summary.gaps} gaps"


def as_dict(summary: Summary, books: Iterable[OrderBook]) -> dict[str, object]:
    """The summary for programs."""
    return {
        "records": summary.records, "frames": summary.frames, "frame_bytes": summary.frame_bytes,
        "first_ns": summary.first_ns, "last_ns": summary.last_ns,
        "disconnects": summary.disconnects, "gaps": summary.gaps, "repairs": summary.repairs,
        "losses": summary.losses, "lost": summary.lost, "keyframes": summary.keyframes,
        "differing": summary.differing, "orders": summary.orders, "faults": summary.faults,
        "damages": [str(damage) for damage in summary.damages], "whole": summary.is_whole,
        "books": {book.symbol: {"version": book.version, "hash": f"{mx.book_hash(book):016x}"}
                  for book in books}}


def lines_of(summary: Summary, books: list[OrderBook]) -> list[str]:
    """The summary for people."""
    seconds = (summary.last_ns - summary.first_ns) / 1e9
    lines = [
        f"{summary.frames} frames, {size(summary.frame_bytes)}, {seconds:.1f} s",
        f"{summary.disconnects} disconnects, {summary.gaps} gaps, {summary.repairs} requests to "
        f"mend books, {summary.faults} refused frames",
        f"{summary.lost} records lost while recording, {len(summary.damages)} damaged places",
        f"{summary.keyframes} recorded books compared, {summary.differing} differ",
    ]
    lines += [f"damaged: {damage}" for damage in summary.damages]
    for book in books:
        bid, ask = book.best_bid, book.best_ask
        top = ("empty" if bid is None or ask is None else
               f"{number(bid, book.price_scale)} x {number(ask, book.price_scale)}")
        lines.append(f"{book.symbol} version {book.version} {top} hash {mx.book_hash(book):016x}")
    lines.append("whole" if summary.is_whole else "NOT whole: see above")
    return lines
