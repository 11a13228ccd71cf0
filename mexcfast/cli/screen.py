"""Where commands show themselves: a live screen in a terminal, plain lines when piped."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mexcfast.core.depth import OrderBook, State

STATE_STYLE = {State.LIVE: "bold green", State.REPAIRING: "bold yellow",
               State.SYNCING: "bold yellow", State.INIT: "dim", State.STOPPED: "dim"}
BAR = 12        # cells of the widest quantity bar
NARROWEST = 40  # cells in which a ladder can be read


def number(value: float, digits: int) -> str:
    """A price with the contract's decimals and thousands separated."""
    return f"{value:,.{digits}f}"


def ladder(book: OrderBook, levels: int, bar: int = BAR) -> RenderableType:
    """One contract: asks above bids, quantity bars of so many cells, state and version."""
    asks, bids = book.asks(levels), book.bids(levels)
    most = max((quantity for _, quantity, _ in asks + bids), default=1.0) or 1.0
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="left", width=bar)

    def add(level: tuple[float, float, int], style: str) -> None:
        price, quantity, _ = level
        cells = max(1, round(bar * quantity / most))
        table.add_row(Text(number(price, book.price_scale), style=style),
                      f"{quantity:,.{book.quantity_scale}f}", Text("█" * cells, style=style))

    for _ in range(levels - len(asks)):
        table.add_row("", "", "")
    for level in reversed(asks):
        add(level, "red")
    spread = book.spread
    table.add_row(Text("" if spread is None else f"spread {number(spread, book.price_scale)}",
                       style="dim"), "", "")
    for level in bids:
        add(level, "green")
    for _ in range(levels - len(bids)):
        table.add_row("", "", "")
    state = State(book.state)
    title = Text.assemble((book.symbol, "bold"), " ", (state.name, STATE_STYLE[state]))
    border = "green" if state is State.LIVE else "yellow"
    return Panel(table, title=title, subtitle=f"version {book.version}", border_style=border)


def top(book: OrderBook) -> Text:
    """One contract in a line."""
    bid, ask = book.best_bid, book.best_ask
    prices = "" if bid is None or ask is None else (
        f" {number(bid, book.price_scale)} x {number(ask, book.price_scale)}")
    return Text.assemble((book.symbol, "bold"), " ", (book.state.name, STATE_STYLE[book.state]),
                         prices)


class Screen:
    """A live picture of some books above the newest lines, or only the lines.

    Use it as a context manager and call draw() now and then.
    """

    def __init__(self, title: str, *, levels: int = 8, lines: int = 12,
                 console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.is_live = self.console.is_terminal and not self.console.is_dumb_terminal
        self.books: Sequence[OrderBook] = ()
        self.status: Callable[[], str] = lambda: ""
        self.is_resting = False
        self._title = title
        self._levels = levels
        self._lines: deque[Text] = deque(maxlen=lines)
        self._started = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Screen:
        self._started = time.monotonic()
        if self.is_live:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        else:
            self.console.print(self._title)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            for line in self._lines:
                self.console.print(line, soft_wrap=not self.is_live)

    def say(self, text: str, style: str = "") -> None:
        """One line of what happened, with the seconds since the start."""
        line = Text(f"{time.monotonic() - self._started:6.2f} s  {text}", style=style)
        self._lines.append(line)
        if self._live is None:
            self.console.print(line, soft_wrap=not self.is_live)
        else:
            self.draw()

    def draw(self) -> None:
        """Refresh the live picture; nothing when piped or resting."""
        if self._live is None or self.is_resting:
            return
        levels = max(1, min(self._levels, (self.console.height - 12 - self._lines.maxlen) // 2
                            if self._lines.maxlen else self._levels))
        fit = max(1, self.console.width // NARROWEST)       # beside each other; a line for the rest
        grid = Table.grid(expand=True)
        for _ in self.books[:fit]:
            grid.add_column(ratio=1)
        if self.books:
            bar = max(4, self.console.width // len(self.books[:fit]) - 30)
            grid.add_row(*[ladder(book, levels, bar) for book in self.books[:fit]])
        self._live.update(Group(
            Text(self._title, style="bold"), grid, *[top(book) for book in self.books[fit:]],
            Text(self.status(), style="cyan"), *self._lines), refresh=True)
