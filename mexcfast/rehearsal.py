"""Rehearsals: a frame's and an order's way, walked again and again, with nothing sent.

What comes seldom finds cold caches: between two orders a processor forgets where they went, and the
first microseconds are spent on fetching it. A loop that spins has time to spare. So every few
hundred microseconds a made-up frame is fed to a book of its own, a strategy of its own answers with
an order, the order is checked, signed and written to a socket whose other end is this program too.
It is the code every order takes, down to the kernel's, with keys that open nothing, a budget, a
tracker and a reader of its own: nothing of it can reach a venue, a journal, a tape or a counter.

What it gains and costs: docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from mexcfast.core.depth import OrderBook
from mexcfast.core.events import Event
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from mexcfast.core.rest import Endpoint
from mexcfast.core.sign import Signer
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.net.executor import Executor
from mexcfast.net.lane import BUSY, IdleConnections, LaneConnection
from mexcfast.net.orders import Orders
from mexcfast.runtime import every_turn
from mexcfast.types import Contract, Outcome, Side

LEVELS = 20         # of the book, on each side
SHORTEST, LONGEST = 0.00005, 1.0        # seconds between two rehearsals
BODY = b'{"success":true,"code":0,"data":{"orderId":"814218083416790528","ts":1779779511850}}'
ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: %d"
          b"\r\nConnection: keep-alive\r\n\r\n" % len(BODY)) + BODY
#: nothing listens there, and nothing is ever sent there
NOWHERE = Endpoint.at("http://127.0.0.1:9", margin_ms=0, limits={"order_place": (1000, 1)})


class _Loopback(asyncio.Transport):
    """Both ends of one TCP connection on loopback; no event loop looks at either."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.near = socket.create_connection(server.getsockname())
            self.far, peer = server.accept()
            while peer != self.near.getsockname():      # somebody else was quicker
                self.far.close()
                self.far, peer = server.accept()
        for end in (self.near, self.far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def swallow(self) -> None:
        """What was written has come to its other end and is read there."""
        with suppress(BlockingIOError):
            self.far.recv(65536)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.near if name == "socket" else default

    def is_closing(self) -> bool:
        return self.near.fileno() < 0

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        with suppress(BlockingIOError):
            self.near.send(data)

    def abort(self) -> None:
        self.near.close()
        self.far.close()

    close = abort


class _Lanes:
    """One connection to ourselves, where net/lanes has those to the venue."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.idle = IdleConnections()
        self.connection = LaneConnection(loop, 3600.0, 1e9, False, self.idle,
                                         self.idle.discard)
        self.socket = _Loopback()
        self.connection.connection_made(self.socket)

    def give_back(self, connection: LaneConnection) -> None:
        self.idle.add(connection)


class Rehearsal(Listener):
    """Of one contract, from start() to close(). Made by Client.rehearse().

    count: walked to the end so far. refused: ended early, by RiskLimits for example; why: the
    newest reason. It is strategy and reader's owner in one.
    """

    def __init__(self, orders: Orders, contract: Contract, book: Callable[[], OrderBook | None],
                 every: float) -> None:
        self.count = self.refused = 0
        self.why: Exception | None = None
        self._every_ns = int(every * 1e9)
        self._loop = asyncio.get_running_loop()
        self._contract = contract
        self._real_book = book
        self._executor = Executor(NOWHERE, Signer("rehearsal", "opens nothing"))
        self._lanes = _Lanes(self._loop)
        self._executor._lanes = self._lanes  # type: ignore[assignment]
        self._orders = Orders(self._executor, {contract.symbol: contract}, prefix="rehearsal",
                              session=0, limits=orders.limits,
                              position_mode=orders.position_mode)
        self._orders.exposure = orders.exposure     # the limits look at what is really open
        self._reader = Reader(self)
        self._book = OrderBook(contract.symbol)
        self._book.listeners.append(self)
        self._reader.route(contract.symbol).book = self._book
        self._bids = [str(contract.tick_size * (100_000 - i)) for i in range(LEVELS)]
        self._version = 1
        self._book.load_snapshot(self._snapshot())
        self._due_ns = 0
        self._turns: list[Callable[[], None]] = []

    # -- the frames ------------------------------------------------------------------------------

    def _snapshot(self) -> bytes:
        asks = [str(self._contract.tick_size * (100_001 + i)) for i in range(LEVELS)]
        sides = [",".join(f"[{price},{i + 1},1]" for i, price in enumerate(prices))
                 for prices in (asks, self._bids)]
        return (f'{{"success":true,"code":0,"data":{{"asks":[{sides[0]}],"bids":[{sides[1]}],'
                f'"version":{self._version},"timestamp":1779779511850}}}}').encode()

    def _frame(self) -> bytes:
        """A level of the bids changes; another one each time."""
        self._version += 1
        price = self._bids[self._version % LEVELS]
        return (f'{{"channel":"push.depth","data":{{"asks":[],"bids":[[{price},'
                f'{1 + self._version % 7},1]],"end":{self._version},"begin":{self._version},'
                f'"version":{self._version}}},"symbol":"{self._contract.symbol}",'
                '"ts":1779779511850}').encode()

    # -- one rehearsal ---------------------------------------------------------------------------

    def once(self) -> None:
        """From a frame to the answer of the order it leads to. The loop's next turn ends it."""
        self._reader.feed_bytes(self._frame(), self._executor.clock.wall_ns())
        if self._lanes.connection.state == BUSY:
            self._lanes.socket.swallow()
            self._lanes.connection.data_received(ANSWER)

    def on_book(self, book: OrderBook) -> None:
        """The strategy: every change of the book is answered by an order."""
        real = self._real_book()
        price = real.best_bid if real is not None and real.is_live else None
        try:
            self._orders.submit_nowait(
                self._contract.symbol, Side.OPEN_LONG, self._contract.min_quantity,
                book.best_bid if price is None else price,
                leverage=self._contract.min_leverage, callback=self._ended)
        except MexcfastError as error:
            self.on_fault(error, "the order")

    def _ended(self, outcome: Outcome) -> None:
        self.count += 1
        order = self._orders.find(outcome.client_order_id or "")
        if order is not None:
            self._orders.tracker.forget(order)

    # -- what the reader tells -------------------------------------------------------------------

    def on_fault(self, error: Exception, where: str) -> None:
        """A frame or an order was refused: the rehearsal ends early."""
        self.refused += 1
        self.why = error

    def on_control(self, event: Event) -> None:
        """No socket answers here."""

    def on_need(self, book: OrderBook, change: int) -> None:
        """Its versions have no gaps."""

    def on_trusted(self, book: OrderBook) -> None:
        """It is never doubted."""

    # -- the loop's spare time -------------------------------------------------------------------

    def start(self, turns: list[Callable[[], None]]) -> None:
        """Rehearse from now on, whenever `every` seconds have passed. turns: runtime.every_turn."""
        self._turns = turns
        turns.append(self._turn)

    def _turn(self) -> None:
        now_ns = self._executor.clock.monotonic_ns()    # a loop's own timers are too coarse
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + self._every_ns
            try:
                self.once()
            except BaseException:       # nothing we foresaw: told once, not in every turn
                self.close()
                raise

    def close(self) -> None:
        """No more of it."""
        if self._turn in self._turns:
            self._turns.remove(self._turn)
        self._lanes.connection.drop()


async def rehearse(orders: Orders, books: Mapping[str, OrderBook], has_lane: bool, symbol: str,
                   every: float) -> Rehearsal:
    """Client.rehearse()."""
    turns = every_turn(asyncio.get_running_loop())
    if turns is None:
        raise ConfigError("the loop sleeps between frames; allowed: mexcfast.run(main(), "
                          "spin=True), whose spare time a rehearsal takes")
    if isinstance(every, bool) or not isinstance(every, int | float) or (
            not SHORTEST <= every <= LONGEST):
        raise ConfigError(f"every is {every!r}; allowed: {SHORTEST} to {LONGEST} seconds")
    if not has_lane:
        raise ConfigError("orders do not leave over the lane; allowed: keys, and lane='auto'")
    if not orders.contracts:
        await orders.load_contracts()
    contract = orders.contracts.get(symbol)
    if contract is None:
        raise ConfigError(f"symbol is {symbol!r}; allowed: a contract of the venue")
    try:
        rehearsal = Rehearsal(orders, contract, partial(books.get, symbol), every)
    except OSError as error:
        raise ConfigError(f"a rehearsal has no connection on loopback: {error}; allowed: a machine "
                          "where 127.0.0.1 can be connected to") from None
    rehearsal.start(turns)
    return rehearsal
