"""A picture of a tape: best bid and ask, trades, and where the book was not to be trusted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from mexcfast import tape
from mexcfast.errors import ConfigError, MissingExtra, TapeError
from mexcfast.tape.fresh import fresh
from mexcfast.tape.tables import TABLES, check_symbols

SUFFIXES = (".png", ".svg", ".pdf")
MOST_POINTS = 4000          # a line; more cannot be told apart on the picture
TOP, TRADES = list(TABLES["top"]), list(TABLES["trades"])


class Sketch:
    """One contract's lines, thinned while the tape plays.

    Of each slice of time the newest top is kept, and every trade that moved the price or was the
    largest of its slice and side.
    """

    def __init__(self, first_ns: int, last_ns: int) -> None:
        self.slice_ns = max(1, (last_ns - first_ns) // MOST_POINTS)
        self.top: dict[int, tuple[int, float | None, float | None]] = {}
        self.trades: dict[tuple[int, str], tuple[int, float, float]] = {}
        self.n_trades = 0
        self.n_tops = 0

    def add_top(self, ts_ns: int, bid: float | None, ask: float | None, is_live: bool) -> None:
        self.n_tops += is_live
        # A time at which nothing was known must not be covered by what came later in its slice.
        key = 2 * (ts_ns // self.slice_ns) + (bid is None or ask is None)
        self.top[key] = (ts_ns, bid, ask)

    def add_trade(self, ts_ns: int, side: str, price: float, quantity: float) -> None:
        self.n_trades += 1
        key = ts_ns // self.slice_ns, side
        known = self.trades.get(key)
        if known is None or quantity > known[2]:
            self.trades[key] = (ts_ns, price, quantity)


def plot(path: str, out: str, *, symbol: str | None = None, force: bool = False,
         progress: Callable[[int, int], object] | None = None) -> str:
    """Draw a tape into a picture; returns the contract that was drawn.

    symbol: which contract; may be left out when the tape holds one, else the first is drawn.
    out: ends in .png, .svg or .pdf. Raises TapeError when there is no tape, no such contract or
    the picture exists, ConfigError for another ending, MissingExtra without matplotlib.
    """
    target = Path(out)
    if target.suffix not in SUFFIXES:
        raise ConfigError(f"{out} ends in {target.suffix or 'nothing'}; allowed: "
                          f"{', '.join(SUFFIXES)}")
    try:
        # typed or not, here or not: mypy shall not care
        make_figure = import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise MissingExtra("plot", str(error)) from error
    held = tape.contents(path)
    books = [name for channel, name in held.heard if channel == "push.depth"]
    check_symbols(path, held, None if symbol is None else [symbol])
    if symbol is None:
        if not books:
            raise TapeError(f"{path}: holds no book")
        symbol = books[0]
    with fresh([target], force=force) as (draft,):
        sketch = draw_from(path, symbol, held, progress)
        if not sketch.n_tops and not sketch.n_trades:
            raise TapeError(f"{path}: holds no LIVE book and no trade of {symbol}")
        figure = make_figure(figsize=(12, 7), dpi=110, layout="constrained")
        picture(figure, sketch, symbol, held)
        figure.savefig(draft, format=target.suffix[1:])
    return symbol


def draw_from(path: str, symbol: str, held: tape.Contents,
              progress: Callable[[int, int], object] | None = None) -> Sketch:
    """Play the tape and keep what the picture needs."""
    sketch = Sketch(held.first_ns, held.last_ns)
    tables = tape.Tables(("top", "trades"), [symbol])
    replay = tape.Replay(path)
    tables.attach(replay, held.heard)
    bid, ask, state = TOP.index("bid_price"), TOP.index("ask_price"), TOP.index("state")
    side, price, quantity = (TRADES.index(name) for name in ("side", "price", "quantity"))

    def pour(summary: tape.Summary) -> None:
        for row in tables.take("top"):
            sketch.add_top(row[0], row[bid], row[ask], row[state] == "LIVE")
        for row in tables.take("trades"):
            if row[side] and row[price] is not None and row[quantity] is not None:
                sketch.add_trade(row[0], row[side], row[price], row[quantity])
        if progress is not None:
            progress(summary.records, held.records)

    replay.play(pour)
    return sketch


def picture(figure: Any, sketch: Sketch, symbol: str, held: tape.Contents) -> None:
    """Prices with trades above, the spread below; grey where no book was to be trusted."""
    nan = float("nan")
    tops = [sketch.top[key] for key in sorted(sketch.top)]
    tops.sort(key=lambda each: each[0])
    if tops:
        tops.append((held.last_ns, *tops[-1][1:]))
    times = [moment(ts_ns) for ts_ns, _, _ in tops]
    bids = [nan if bid is None else bid for _, bid, _ in tops]
    asks = [nan if ask is None else ask for _, _, ask in tops]
    prices, spread = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    prices.step(times, asks, where="post", color="#d62728", linewidth=1, label="best ask")
    prices.step(times, bids, where="post", color="#2ca02c", linewidth=1, label="best bid")
    most = max((quantity for _, _, quantity in sketch.trades.values()), default=1.0)
    for side, colour, mark in (("buy", "#2ca02c", "^"), ("sell", "#d62728", "v")):
        found = [each for (_, other), each in sketch.trades.items() if other == side]
        prices.scatter([moment(each[0]) for each in found], [each[1] for each in found],
                       s=[18 + 60 * each[2] / most for each in found], color=colour, marker=mark,
                       alpha=0.5, linewidths=0, label=f"trades, taker {side}s")
    widths = [width(bid, ask) for _, bid, ask in tops]
    spread.step(times, widths, where="post", color="#1f77b4", linewidth=1)
    spread.set_ylim(bottom=min([0.0, *(each for each in widths if each < 0)]))
    is_named = False
    for start, end in doubts(tops):
        for each in (prices, spread):
            each.axvspan(moment(start), moment(end), color="0.85",
                         label=None if is_named or each is spread else "no book to trust")
        is_named = True
    prices.set_title(f"{symbol}: {sketch.n_tops:,} changes of the book, {sketch.n_trades:,} trades")
    prices.set_ylabel("price")
    spread.set_ylabel("spread")
    spread.set_xlabel(f"arrival, UTC, {moment(held.first_ns):%Y-%m-%d}")
    for each in (prices, spread):
        each.ticklabel_format(axis="y", useOffset=False)
    prices.grid(alpha=0.3)
    spread.grid(alpha=0.3)
    prices.legend(loc="best", fontsize="small")


def width(bid: float | None, ask: float | None) -> float:
    """The spread as the prices are written; a difference of floats would show their last bits."""
    if bid is None or ask is None:
        return float("nan")
    return float(Decimal(repr(ask)) - Decimal(repr(bid)))


def doubts(tops: list[tuple[int, float | None, float | None]]) -> list[tuple[int, int]]:
    """From when to when nothing was known of a side."""
    unknown = [ts_ns for ts_ns, bid, ask in tops if bid is None or ask is None]
    known = [ts_ns for ts_ns, bid, ask in tops if bid is not None and ask is not None]
    found: list[tuple[int, int]] = []
    for start in unknown:
        after = bisect_right(known, start)
        end = known[after] if after < len(known) else tops[-1][0]
        if end > start and (not found or start >= found[-1][1]):
            found.append((start, end))
    return found


def moment(ts_ns: int) -> datetime:
    """A point of the time axis."""
    return datetime.fromtimestamp(ts_ns / 1e9, UTC)
