"""`mexcfast demo`: the whole product on the embedded exchange, and a proof of each claim.

The exchange runs in a process of its own and is the judge: at the end every book is compared with
its true book at the same version, and every claim of the summary was checked or the exit code is 1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from rich.table import Table
from rich.text import Text

import mexcfast as mx
from mexcfast.cli.screen import Screen
from mexcfast.cli.sim import ChildExchange
from mexcfast.core import topics
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.events import Event, FillUpdate, OrderUpdate
from mexcfast.core.frame import Message
from mexcfast.types import OrderState

SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT")
PATIENCE = 15.0      # seconds any single step may take
STAMP = b'"sim_ns":'


@dataclass(slots=True)
class Claim:
    """One line of the summary."""

    text: str
    held: bool
    detail: str = ""


class Probe(mx.Listener):
    """Watches the books: states passed through, and the time from the exchange's send to us."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self.latency_ns: list[int] = []
        self.states: dict[str, list[State]] = {symbol: [] for symbol in SYMBOLS}
        self.frames = 0
        self._sent_ns = 0
        self._say = say

    def on_frame(self, frame: Message, ts_recv_ns: int) -> None:
        self.frames += 1
        tail = frame.tail(40)
        at = tail.find(STAMP)
        self._sent_ns = int(tail[at + len(STAMP):-1]) if at >= 0 else 0

    def on_book(self, book: OrderBook) -> None:
        if self._sent_ns:
            self.latency_ns.append(time.monotonic_ns() - self._sent_ns)
            self._sent_ns = 0

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self.states[book.symbol].append(State(new))
        style = "green" if new == State.LIVE else "yellow"
        gap = book.missing
        what = "" if gap is None else f", versions {gap[0]} to {gap[1]} missing"
        self._say(f"{book.symbol} {State(old).name} -> {State(new).name}{what}", style)


class Account(mx.Listener):
    """Own orders and fills as the private socket tells them."""

    def __init__(self) -> None:
        self.fills: list[FillUpdate] = []
        self.orders: list[OrderUpdate] = []

    def on_event(self, event: Event) -> None:
        if isinstance(event, FillUpdate):
            self.fills.append(event)
        elif isinstance(event, OrderUpdate):
            self.orders.append(event)


class Demo:
    """The story: open, measure, lose a frame, lose a connection, trade, compare."""

    def __init__(self, *, seed: int, rate: int, seconds: float) -> None:
        self._settings: dict[str, int] = {"seed": seed, "rate": rate}
        self._seconds = seconds
        self._claims: list[Claim] = []
        self._latency_measured = "-"
        self._screen = Screen("mexcfast on its embedded exchange: three books, real sockets",
                              levels=8)
        self._probe = Probe(lambda text, style: self._screen.say(text, style))

    async def run(self) -> int:
        """0 when everything claimed held, else 1; 130 when interrupted."""
        started = time.monotonic()
        screen = self._screen
        ticker: asyncio.Task[None] | None = None
        try:
            with screen:
                async with ChildExchange(symbols=SYMBOLS, merge_ms=0, stamp=True,
                                         **self._settings) as venue:
                    screen.say(f"exchange up at {venue.rest_url}, a process of its own")
                    async with mx.Client(venue.rest_url, venue.access_key, venue.secret) as client:
                        ticker = asyncio.get_running_loop().create_task(self._draw())
                        await self._open_books(client)
                        await self._measure()
                        await self._lose_a_frame(venue, client)
                        await self._lose_the_connection(venue, client)
                        await self._trade(venue, client)
                        await self._compare(venue, client)
                        self._count(client)
        except TimeoutError as late:
            self._claims.append(Claim("every step ended in time", False, str(late)))
        except asyncio.CancelledError:
            screen.console.print("interrupted; the exchange and all sockets are closed")
            return 130
        finally:
            if ticker is not None:
                ticker.cancel()
        return self._summary(time.monotonic() - started)

    # -- the steps --------------------------------------------------------------------------------

    async def _open_books(self, client: mx.Client) -> None:
        began = time.monotonic()
        client.subscribe(self._probe, [topics.depth(symbol) for symbol in SYMBOLS])
        books = [client.market.books[symbol] for symbol in SYMBOLS]
        self._screen.books = books
        self._screen.status = self._status
        await self._until(lambda: all(book.is_live for book in books), "books become LIVE")
        took = time.monotonic() - began
        depth = sum(sum(book.depth) for book in books)
        self._screen.say(f"three books LIVE after {1000 * took:.0f} ms, {depth} levels")
        self._claims.append(Claim("three books LIVE over a real socket", True,
                                  f"{1000 * took:.0f} ms"))

    async def _measure(self) -> None:
        if self._screen.is_live:
            await asyncio.sleep(self._seconds)     # the live picture; drawing it takes milliseconds
        self._screen.say(f"measuring latency for {self._seconds:g} s, the picture rests")
        self._screen.is_resting = True
        self._probe.latency_ns.clear()
        await asyncio.sleep(self._seconds)
        self._screen.is_resting = False
        self._latency_measured = self._latency()

    async def _lose_a_frame(self, venue: ChildExchange, client: mx.Client) -> None:
        book = client.market.books["BTC_USDT"]
        states = self._probe.states["BTC_USDT"]
        seen, gaps = len(states), book.gaps
        await venue.control("faults", kind="drop", channel="depth", symbol="BTC_USDT")
        self._screen.say("the exchange loses one BTC_USDT frame on purpose", "bold")
        await self._until(lambda: book.gaps > gaps and book.is_live, "the lost frame is repaired")
        passed = states[seen:]
        held = passed[:1] == [State.REPAIRING] and passed[-1:] == [State.LIVE]
        self._claims.append(Claim("a lost frame was noticed and repaired from commits", held,
                                  " -> ".join(["LIVE", *[state.name for state in passed]])))

    async def _lose_the_connection(self, venue: ChildExchange, client: mx.Client) -> None:
        books = [client.market.books[symbol] for symbol in SYMBOLS]
        opened = self._sockets_opened(client)
        cut = await venue.control("faults", kind="cut")
        self._screen.say(f"the exchange cuts {cut['cut']} connection(s) without a word", "bold")
        began = time.monotonic()
        await self._until(lambda: self._sockets_opened(client) > opened
                          and all(book.is_live for book in books), "books are LIVE again")
        took = 1000 * (time.monotonic() - began)
        self._screen.say(f"reconnected, books LIVE again after {took:.0f} ms")
        self._claims.append(Claim("a dropped connection came back by itself, books LIVE", True,
                                  f"{took:.0f} ms"))

    async def _trade(self, venue: ChildExchange, client: mx.Client) -> None:
        account = Account()
        await asyncio.wait_for(client.listen(account), PATIENCE)
        book = client.market.books["BTC_USDT"]
        bid = book.best_bid
        assert bid is not None
        placed = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 10, bid, leverage=20)
        self._screen.say(f"order: buy 10 BTC_USDT at {bid:,}: {type(placed).__name__}")
        held = isinstance(placed, mx.Accepted)
        if isinstance(placed, mx.Accepted):
            for _ in range(50):
                if account.fills:
                    break
                await venue.control("trade", symbol="BTC_USDT", side="sell", volume=5000)
                await asyncio.sleep(0.05)
            order = await client.orders.get(placed.order_id or 0)
            held = bool(account.fills) and order.state is OrderState.FILLED
            filled = sum(fill.decimal("quantity") or Decimal(0) for fill in account.fills)
            held = held and filled == order.filled_quantity == 10
            detail = f"{filled} contracts at {order.average_price}, fill seen on the private socket"
            self._screen.say(f"filled: {detail}", "green" if held else "red")
        else:
            detail = str(placed)
        self._claims.append(Claim("an order was placed, filled and agreed upon by REST and stream",
                                  held, detail))
        resting = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1,
                                             round(bid * 0.98, 1), leverage=20)
        cancelled = await client.orders.cancel_all("BTC_USDT")
        left = await client.orders.open("BTC_USDT")
        gone = isinstance(resting, mx.Accepted) and isinstance(cancelled, mx.Accepted) and not left
        self._screen.say("a resting order was cancelled; no order is left open",
                         "green" if gone else "red")
        self._claims.append(Claim("cancel_all left no open order", gone, f"{len(left)} left"))

    async def _compare(self, venue: ChildExchange, client: mx.Client) -> None:
        """The judge: the exchange's true book at the very version we hold."""
        different = 0
        levels = 0
        for symbol in SYMBOLS:
            book = client.market.books[symbol]
            version, unit = book.version, Decimal(1).scaleb(-book.price_scale)
            bids, asks = book.exact()
            truth = await venue.control(f"book/{symbol}?version={version}")
            for mine, true in ((bids, truth["bids"]), (asks, truth["asks"])):
                ours = [(price * unit, quantity, orders) for price, quantity, orders in mine]
                theirs = [(Decimal(price), quantity, orders) for price, quantity, orders in true]
                different += sum(a != b for a, b in zip(ours, theirs, strict=False))
                different += abs(len(ours) - len(theirs))
                levels += len(ours)
        self._screen.say(f"compared {levels} levels with the exchange's true books: "
                         f"{different} divergences", "green" if not different else "bold red")
        self._claims.append(Claim("every level equals the exchange's true book at the same version",
                                  different == 0, f"{levels} levels, divergences: {different}"))

    def _count(self, client: mx.Client) -> None:
        books = [client.market.books[symbol] for symbol in SYMBOLS]
        gaps, repairs = sum(b.gaps for b in books), sum(b.repairs for b in books)
        counts = f"{self._probe.frames} depth frames, gaps {gaps}, repaired {repairs}"
        self._claims.append(Claim("every gap was repaired", gaps >= 1 and repairs == gaps, counts))
        refused = sum(c.reader.malformed for c in client.market.pool.connections)
        self._claims.append(Claim("every frame was understood", refused == 0, f"{refused} refused"))

    # -- helpers ----------------------------------------------------------------------------------

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {PATIENCE:g} s")
            await asyncio.sleep(0.01)

    @staticmethod
    def _sockets_opened(client: mx.Client) -> int:
        return sum(connection.opened for connection in client.market.pool.connections)

    async def _draw(self) -> None:
        while True:
            self._screen.draw()
            await asyncio.sleep(0.1)

    def _status(self) -> str:
        return (f"{self._probe.frames} depth frames   wire to callback, while the picture rested: "
                f"{self._latency_measured}")

    def _latency(self) -> str:
        values = sorted(self._probe.latency_ns)
        if not values:
            return "-"
        picks = ((50, "p50"), (99, "p99"), (99.9, "p99.9"))
        parts = [f"{name} {values[min(len(values) - 1, int(len(values) * p / 100))] / 1000:.0f} us"
                 for p, name in picks]
        return f"{', '.join(parts)} ({len(values)} frames)"

    def _summary(self, took: float) -> int:
        console = self._screen.console
        table = Table.grid(padding=(0, 2))
        for claim in self._claims:
            mark = Text("yes", style="bold green") if claim.held else Text("NO", style="bold red")
            table.add_row(mark, claim.text, Text(claim.detail, style="dim"))
        held = bool(self._claims) and all(claim.held for claim in self._claims)
        console.print()
        console.print(Text("What was proven" if held else "NOT everything held", style="bold"))
        console.print(table)
        console.print(f"exchange's send to our callback, book updated: {self._latency_measured}")
        console.print(f"{took:.1f} s in all")
        return 0 if held else 1
