"""What `mexcfast watch` knows of contracts, and how it looks in wide and narrow terminals."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mexcfast.cli.screen import STATE_STYLE, ladder, number
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.events import Deal, Deals, Event, FundingRate, Ticker
from mexcfast.core.listener import Listener

WIDE = 100          # cells from which ladder, trades and facts stand side by side
MIDDLE = 66         # from which ladder and trades do
TAPE = 200          # trades kept of each contract
NEWS = 3            # lines about states and sockets
HELP = "tab, ← →, 1-9 contract   + - levels   space pause   q quit"
SHORT_HELP = "tab contract  + - levels  space pause  q quit"


@dataclass(slots=True)
class Trade:
    """One trade. side: buy or sell, the taker's; "" when the venue did not say."""

    ts_venue_ms: int
    side: str
    price: float
    quantity: float


@dataclass(slots=True)
class Contract:
    """One contract: its book and the newest of everything else."""

    symbol: str
    book: OrderBook
    ticker: Ticker | None = None
    funding: FundingRate | None = None
    trades: deque[Trade] = field(default_factory=lambda: deque(maxlen=TAPE))
    n_trades: int = 0
    fresh: deque[Trade] = field(default_factory=lambda: deque(maxlen=1000))    # not yet told


class Board(Listener):
    """The contracts, one of them in focus.

    say: told of what happens, with a style; None keeps it for the picture.
    """

    def __init__(self, say: Callable[[str, str], object] | None = None) -> None:
        self.contracts: dict[str, Contract] = {}
        self.focus = 0
        self.levels = 10
        self.is_paused = False
        self.frames = 0
        self.news: deque[Text] = deque(maxlen=NEWS)
        self._say = say

    def add(self, symbol: str, book: OrderBook) -> None:
        """Show this contract too."""
        self.contracts[symbol] = Contract(symbol, book)

    @property
    def shown(self) -> Contract:
        """The contract in focus."""
        return list(self.contracts.values())[self.focus]

    def press(self, key: str) -> None:
        """What a key does, `q` excepted."""
        count = len(self.contracts)
        if key in ("tab", "right", "n", "l", "down", "j"):
            self.focus = (self.focus + 1) % count
        elif key in ("shift-tab", "left", "p", "h", "up", "k"):
            self.focus = (self.focus - 1) % count
        elif key.isdecimal() and 1 <= int(key) <= count:
            self.focus = int(key) - 1
        elif key in ("+", "="):
            self.levels = min(50, self.levels + 1)
        elif key in ("-", "_"):
            self.levels = max(1, self.levels - 1)
        elif key == "space":
            self.is_paused = not self.is_paused

    def say(self, text: str, style: str = "") -> None:
        """Something happened."""
        if self._say is not None:
            self._say(text, style)
        self.news.append(Text(f"{datetime.now(UTC):%H:%M:%S}  {text}", style=style, no_wrap=True,
                              overflow="ellipsis"))

    # -- what the streams tell --------------------------------------------------------------------

    def on_book(self, book: OrderBook) -> None:
        self.frames += 1

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self.say(f"{book.symbol} {State(old).name} -> {State(new).name}",
                 "green" if new == State.LIVE else "yellow")

    def on_event(self, event: Event) -> None:
        contract = self.contracts.get(event.symbol or "")
        if contract is None:
            return
        if isinstance(event, Deals):
            for deal in event.deals:
                self._trade(contract, deal, event)
        elif isinstance(event, Ticker):
            contract.ticker = event
        elif isinstance(event, FundingRate):
            contract.funding = event

    def _trade(self, contract: Contract, deal: Deal, event: Deals) -> None:
        if deal.price is None or deal.quantity is None:
            return
        when = deal.ts_venue_ms or event.ts_venue_ms or event.ts_recv_ns // 1_000_000
        trade = Trade(when, {1: "buy", 2: "sell"}.get(deal.side or 0, ""), deal.price,
                      deal.quantity)
        contract.trades.appendleft(trade)
        contract.fresh.append(trade)
        contract.n_trades += 1

    def on_disconnected(self, connection: object, why: str) -> None:
        self.say(f"{connection} lost: {why}", "bold yellow")

    def on_reconnected(self, connection: object, down_ns: int) -> None:
        self.say(f"{connection} back after {down_ns / 1e6:.0f} ms", "green")

    def on_refused(self, topic: object, why: str) -> None:
        self.say(f"{topic} refused: {why}", "bold red")


# -- numbers --------------------------------------------------------------------------------------

def span(seconds: float) -> str:
    """A duration, in two units at most: 180 ms, 2.4 s, 3 min 5 s, 2 h 41 min."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def compact(value: float | None) -> str:
    """A large amount in few cells: 1.23 M."""
    if value is None:
        return "-"
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.2f}{unit}"
    return f"{value:g}"


def percent(rate: float | None, digits: int = 2) -> Text:
    """A rate as a signed percentage, green above and red below zero."""
    if rate is None:
        return Text("-", style="dim")
    return Text(f"{100 * rate:+.{digits}f} %", style="green" if rate > 0 else "red" if rate < 0
                else "")


def age_of(book: OrderBook, now_ns: int) -> Text:
    """Since when nothing has come for a book."""
    age_ns = book.age_ns(now_ns)
    if age_ns is None:
        return Text("-", style="dim")
    age_s = max(0.0, age_ns / 1e9)
    return Text(span(age_s), style="" if age_s < 5 else "yellow" if age_s < 20 else "bold red")


def funding_of(contract: Contract, now_ms: float) -> tuple[Text, str]:
    """The rate, and the time until it is paid."""
    known = contract.funding
    rate = known.rate if known is not None else None
    if rate is None and contract.ticker is not None:
        rate = contract.ticker.funding_rate
    settle_ms = None if known is None else known.ts_settle_ms
    left = "-" if settle_ms is None else span(max(0.0, (settle_ms - now_ms) / 1000))
    return percent(rate, 4), left


# -- the picture ----------------------------------------------------------------------------------

def picture(board: Board, title: str, width: int, height: int, keys: bool) -> RenderableType:
    """Everything, in so many cells."""
    now_ns = time.time_ns()
    wide, middle = width >= WIDE, width >= MIDDLE
    rows = min(len(board.contracts), 1 if len(board.contracts) == 1 else max(2, height // 5))
    over = rows + 1 if len(board.contracts) > 1 else 0
    facts = facts_of(board.shown, now_ns)
    under = 0 if wide else (len(facts) + 1) // 2 + 2
    free = height - 1 - over - NEWS - 1 - 3             # title, news, keys; borders and the spread
    if free - under < 10:
        # A low terminal: five levels a side come first, then as many facts as fit.
        under = max(0, min(under, free - 10))
    tape = 0 if middle else max(0, min(5, (free - under) // 2 - 6))     # lines of trades
    levels = max(1, min(board.levels, (free - under - (tape + 2 if tape else 0)) // 2))
    parts: list[RenderableType] = [head(title, board, width, now_ns)]
    if over:
        parts.append(overview(board, rows, width, now_ns))
    contract = board.shown
    if middle:
        shares = (5, 4, 4) if wide else (5, 4)
        left = width * shares[0] // sum(shares)
        grid = Table.grid(expand=True)
        for share in shares:
            grid.add_column(ratio=share)
        cells: list[RenderableType] = [
            ladder(contract.book, levels, bar=max(4, left - 30)),
            trades(contract, 2 * levels + 1)]
        if wide:
            cells.append(panel("facts", fact_table(facts[:2 * levels + 1], 1),
                               2 * levels + 3))
        grid.add_row(*cells)
        parts.append(grid)
    else:
        parts.append(ladder(contract.book, levels, bar=max(4, width - 32)))
        if tape:
            parts.append(trades(contract, tape))
    if not wide and under > 2:
        parts.append(panel("facts", fact_table(facts[:2 * (under - 2)], 2)))
    parts += list(board.news)[-NEWS:]
    if keys:
        help_text = HELP if width >= len(HELP) + 10 else SHORT_HELP
        parts.append(Text(help_text + ("   PAUSED" if board.is_paused else ""), style="dim",
                          no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def head(title: str, board: Board, width: int, now_ns: int) -> RenderableType:
    """Where from, the time, how much has come."""
    clock = f"{datetime.fromtimestamp(now_ns / 1e9, UTC):%H:%M:%S} UTC"
    right = clock if width < MIDDLE else f"{clock}   {board.frames:,} changes"
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(no_wrap=True, justify="right")
    line.add_row(Text(title, style="bold", no_wrap=True, overflow="ellipsis"),
                 Text(f"  {right}", style="cyan"))
    return line


def overview(board: Board, rows: int, width: int, now_ns: int) -> RenderableType:
    """One line for each contract, scrolled so that the one in focus is seen."""
    names = ["", "contract", "bid", "ask"]
    if width >= MIDDLE:
        names += ["24 h", "funding"]
    if width >= WIDE:
        names += ["spread", "last", "volume 24 h", "trades"]
    names += ["state", "age"]
    table = Table.grid(padding=(0, 2, 0, 0), expand=width < WIDE)
    for name in names:
        table.add_column(justify="left" if name in ("", "contract", "state") else "right",
                         no_wrap=True)
    table.add_row(*[Text(name, style="dim") for name in names])
    first = max(0, min(board.focus - rows // 2, len(board.contracts) - rows))
    for place, contract in islice(enumerate(board.contracts.values()), first, first + rows):
        book, ticker = contract.book, contract.ticker
        row: dict[str, Any] = {
            "": Text("▶" if place == board.focus else str(place + 1) if place < 9 else " "),
            "contract": Text(contract.symbol, style="bold" if place == board.focus else ""),
            "bid": Text(price(book, book.best_bid), style="green"),
            "ask": Text(price(book, book.best_ask), style="red"),
            "24 h": percent(None if ticker is None else ticker.change_rate),
            "funding": funding_of(contract, now_ns / 1e6)[0],
            "spread": price(book, book.spread),
            "last": price(book, None if ticker is None else ticker.last_price),
            "volume 24 h": compact(None if ticker is None else ticker.amount24),
            "trades": f"{contract.n_trades:,}",
            "state": Text(book.state.name, style=STATE_STYLE[book.state]),
            "age": age_of(book, now_ns)}
        table.add_row(*[row[name] for name in names])
    return table


def price(book: OrderBook, value: float | None) -> str:
    """With the contract's decimals."""
    return "-" if value is None else number(value, book.price_scale)


def trades(contract: Contract, rows: int) -> RenderableType:
    """The newest trades, the newest first."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right", ratio=1)
    table.add_column(no_wrap=True, justify="right", ratio=1)
    for trade in islice(contract.trades, rows):
        style = {"buy": "green", "sell": "red"}.get(trade.side, "")
        when = datetime.fromtimestamp(trade.ts_venue_ms / 1000, UTC)
        table.add_row(Text(f"{when:%H:%M:%S}", style="dim"),
                      Text(price(contract.book, trade.price), style=style),
                      f"{trade.quantity:,.{contract.book.quantity_scale}f}")
    return panel("trades", table, rows + 2)


def panel(title: str, inside: RenderableType, height: int | None = None) -> RenderableType:
    """A frame."""
    return Panel(inside, title=title, border_style="dim", height=height)


def facts_of(contract: Contract, now_ns: int) -> list[tuple[str, Text]]:
    """What there is to say of a contract, the most important first."""
    book, ticker = contract.book, contract.ticker
    rate, left = funding_of(contract, now_ns / 1e6)
    state = Text(book.state.name, style=STATE_STYLE[book.state])
    if book.doubt is not None:
        state = Text(f"doubted: {book.doubt}", style="bold red")
    checked = "-" if book.ts_verified_ns <= 0 else (
        span(max(0.0, (now_ns - book.ts_verified_ns) / 1e9)) + " ago")
    rows: list[tuple[str, Text | str]] = [
        ("book", state),
        ("age", age_of(book, now_ns)),
        ("checked", checked),
        ("gaps", Text(str(book.gaps), style="yellow" if book.gaps else "")),
        ("funding", rate),
        ("paid in", left),
    ]
    if ticker is not None:
        rows += [
            ("last", price(book, ticker.last_price)), ("24 h", percent(ticker.change_rate)),
            ("fair", price(book, ticker.fair_price)), ("index", price(book, ticker.index_price)),
            ("high", price(book, ticker.high24_price)), ("low", price(book, ticker.lower24_price)),
            ("volume", compact(ticker.amount24)), ("interest", compact(ticker.open_interest))]
    rows += [("microprice", price(book, book.microprice)),
             ("snapshots", str(book.snapshots))]
    return [(name, Text(value) if isinstance(value, str) else value) for name, value in rows]


def fact_table(facts: Sequence[tuple[str, Text]], columns: int) -> RenderableType:
    """Names and values, in one or two columns."""
    table = Table.grid(padding=(0, 1), expand=True)
    for _ in range(columns):
        table.add_column(no_wrap=True, style="dim")
        table.add_column(no_wrap=True, justify="right", ratio=1, overflow="ellipsis")
    for at in range(0, len(facts), columns):
        row: list[RenderableType] = []
        for name, value in facts[at:at + columns]:
            row += [name, value]
        table.add_row(*row)
    return table


def as_dict(contract: Contract, levels: int, now_ns: int) -> dict[str, Any]:
    """One contract for programs, and the trades since this was last asked."""
    book, ticker, funding = contract.book, contract.ticker, contract.funding
    fresh = list(contract.fresh)
    contract.fresh.clear()
    return {
        "ts_ns": now_ns, "symbol": contract.symbol, "state": book.state.name,
        "doubt": book.doubt, "version": book.version, "age_ms": None if (
            age_ns := book.age_ns(now_ns)) is None else round(age_ns / 1e6, 3),
        "gaps": book.gaps, "repairs": book.repairs, "snapshots": book.snapshots,
        "best_bid": book.best_bid, "best_ask": book.best_ask, "mid": book.mid,
        "microprice": book.microprice,
        "bids": [list(level) for level in book.bids(levels)],
        "asks": [list(level) for level in book.asks(levels)],
        "last_price": None if ticker is None else ticker.last_price,
        "fair_price": None if ticker is None else ticker.fair_price,
        "index_price": None if ticker is None else ticker.index_price,
        "change_rate": None if ticker is None else ticker.change_rate,
        "funding_rate": funding.rate if funding is not None else (
            None if ticker is None else ticker.funding_rate),
        "ts_settle_ms": None if funding is None else funding.ts_settle_ms,
        "trades": [{"ts_venue_ms": trade.ts_venue_ms, "side": trade.side or None,
                    "price": trade.price, "quantity": trade.quantity} for trade in fresh]}
