"""One strategy, three ways: recorded markets, the exchange in the box, the live exchange.

    python examples/backtest.py                      records the embedded exchange, and plays it
    python examples/backtest.py record tape --live   20 seconds of the live exchange, no keys
    python examples/backtest.py play tape            what the strategy would have done
    python examples/backtest.py trade                the same class on the embedded exchange
    python examples/backtest.py trade --live         for real, keys from MEXC_API_KEY / _SECRET

What it shows: a strategy that knows a broker and not where it trades, so that what is tested is
what runs; a recording that brings the same books again; a broker that says what it assumes.

The paper broker takes, it does not rest: an order reaches the market `latency` after the decision
and meets the book of that moment, level by level, up to its limit; what is left is cancelled; the
taker's fee is paid. Not in it: the market's answer to your orders, that what you took is missing
from the next books, funding. So it is an upper bound. Resting orders need a queue: docs/sim.md
(Fills in replay and mirror) and docs/adapters/hftbacktest.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import mexcfast as mx
from mexcfast.sim import Exchange
from mexcfast.types import PositionType

LATENCY_MS = 20.0


class Broker(Protocol):
    """position: contracts held, 0 or more. is_busy: an order is under way or in doubt."""

    position: int

    @property
    def is_busy(self) -> bool: ...
    def take(self, book: mx.OrderBook, buys: bool, quantity: int) -> None: ...


class Lean(mx.Listener):
    """Long while the best bid is much larger than the best ask, flat once it is the smaller one."""

    def __init__(self, broker: Broker, quantity: int = 10, threshold: float = 0.3) -> None:
        self.broker, self.quantity, self.threshold = broker, quantity, threshold

    def on_book(self, book: mx.OrderBook) -> None:
        if self.broker.is_busy or book.microprice is None or book.mid is None or not book.spread:
            return
        lean = (book.microprice - book.mid) / book.spread       # -0.5 all asks, 0.5 all bids
        if lean > self.threshold and not self.broker.position:
            self.broker.take(book, True, self.quantity)
        elif lean < 0 and self.broker.position:
            self.broker.take(book, False, self.broker.position)


class LiveBroker:
    """Immediate-or-cancel orders at the best price, one at a time."""

    def __init__(self, client: mx.Client, symbol: str) -> None:
        self.orders = client.orders
        held = client.trader.mirror.position(symbol, PositionType.LONG)
        self.position = int(held.quantity) if held is not None else 0   # of an earlier run
        self.order: mx.LiveOrder | None = None
        self.refused = 0

    @property
    def is_busy(self) -> bool:
        """An Unknown order is not final: nothing is decided until its fate is proven."""
        if self.order is not None and self.order.is_final:
            order, self.order = self.order, None
            filled = int(order.filled_quantity)
            self.position += filled if order.side is mx.Side.OPEN_LONG else -filled
        return self.order is not None

    def take(self, book: mx.OrderBook, buys: bool, quantity: int) -> None:
        try:
            self.order = self.orders.submit_nowait(
                book.symbol, mx.Side.OPEN_LONG if buys else mx.Side.CLOSE_LONG, quantity,
                book.best_ask if buys else book.best_bid, type=mx.OrderType.IOC,
                leverage=5 if buys else None, wait=True)
        except mx.IntentError:
            self.refused += 1           # our own limits; nothing was sent


@dataclass(frozen=True)
class Fill:
    """ts_ns: when it met the book; decided_ns: when it was decided. quantity: below 0 sells."""

    ts_ns: int
    decided_ns: int
    quantity: int
    price: float


class PaperBroker(mx.Listener):
    """Fills against the recorded book `latency_ms` later. Subscribe it before the strategy."""

    def __init__(self, contract_size: float, taker_fee_rate: float,
                 latency_ms: float = LATENCY_MS) -> None:
        self.size, self.fee_rate = contract_size, taker_fee_rate
        self.latency_ns = int(latency_ms * 1e6)
        self.position = 0
        self.cash = self.fees = 0.0
        self.fills: list[Fill] = []
        #: when it was decided, whether it buys, contracts, limit
        self.waiting: tuple[int, bool, int, float] | None = None
        self.last_mid: float | None = None

    @property
    def is_busy(self) -> bool:
        return self.waiting is not None

    def take(self, book: mx.OrderBook, buys: bool, quantity: int) -> None:
        limit = book.best_ask if buys else book.best_bid
        if limit is not None:
            self.waiting = book.ts_recv_ns, buys, quantity, limit

    def on_book(self, book: mx.OrderBook) -> None:
        self.last_mid = book.mid
        if self.waiting is None or book.ts_recv_ns < self.waiting[0] + self.latency_ns:
            return
        (decided_ns, buys, left, limit), self.waiting = self.waiting, None
        for price, there, _ in book.asks(50) if buys else book.bids(50):
            if not left or (price > limit if buys else price < limit):
                break
            taken = min(left, int(there))
            left -= taken
            self.book_fill(Fill(book.ts_recv_ns, decided_ns, taken if buys else -taken, price))

    def book_fill(self, fill: Fill) -> None:
        self.fills.append(fill)
        self.position += fill.quantity
        self.cash -= fill.quantity * self.size * fill.price
        self.fees += abs(fill.quantity) * self.size * fill.price * self.fee_rate

    @property
    def result(self) -> float:
        """Quote currency, fees paid, what is still held at the last mid."""
        return self.cash - self.fees + self.position * self.size * (self.last_mid or 0.0)


def terms_file(tape: str) -> Path:
    """What a tape does not hold: the contract's size and fee."""
    return Path(f"{tape}.contract.json")


async def record(client: mx.Client, symbol: str, tape: str, seconds: float) -> None:
    """Every version of one book onto a tape, its contract's terms beside it."""
    (contract,) = await client.market_api.contracts(symbol)
    terms_file(tape).write_text(json.dumps({
        "symbol": symbol, "contract_size": str(contract.contract_size),
        "taker_fee_rate": str(contract.taker_fee_rate)}), encoding="utf-8")
    recorder = client.record(tape)
    client.subscribe(mx.Listener(), mx.topics.depth(symbol, False))
    await asyncio.sleep(seconds)
    await recorder.stop()


def play(tape: str, latency_ms: float = LATENCY_MS) -> PaperBroker:
    """Put the recording before the strategy. SystemExit when something is missing from it."""
    terms = json.loads(terms_file(tape).read_text("utf-8"))
    broker = PaperBroker(float(terms["contract_size"]), float(terms["taker_fee_rate"]), latency_ms)
    replay, topic = mx.Replay(tape), mx.topics.depth(terms["symbol"], False)
    replay.subscribe(broker, topic)             # called first: it fills, then the strategy decides
    replay.subscribe(Lean(broker), topic)
    summary = replay.play()
    if not summary.is_whole:
        raise SystemExit(f"the tape has holes, a result from it would be a guess: {summary}")
    return broker


async def trade(client: mx.Client, symbol: str, seconds: float) -> LiveBroker:
    """The same strategy with real orders; what is left is closed at the end."""
    await client.start()                        # settles what an earlier run left in doubt
    broker, topic = LiveBroker(client, symbol), mx.topics.depth(symbol, False)
    strategy = Lean(broker)
    client.subscribe(strategy, topic)
    await asyncio.sleep(seconds)
    client.unsubscribe(strategy, topic)
    if broker.order is not None:
        await broker.order.done()               # also through a doubt
    if not broker.is_busy and broker.position:
        broker.order = client.orders.submit_nowait(symbol, mx.Side.CLOSE_LONG, broker.position,
                                                   type=mx.OrderType.MARKET, wait=True)
        await broker.order.done()
    return broker


def report(broker: PaperBroker) -> None:
    print(f"{len(broker.fills)} fills, {broker.position} contracts held at the end, "
          f"fees {broker.fees:.4f}, result {broker.result:.4f}")


LIMITS = mx.RiskLimits(max_position=20, max_notional=1000, max_open_orders=2, max_book_age_ms=2000)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["record", "play", "trade", "both"],
                        default="both", help="both: record, then play")
    parser.add_argument("tape", nargs="?", default="backtest-tape", help="the recording")
    parser.add_argument("--live", action="store_true", help="record or trade on the live exchange")
    parser.add_argument("--symbol", default="BTC_USDT")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--latency-ms", type=float, default=LATENCY_MS, help="decision to market")
    options = parser.parse_args()

    async def run(client: mx.Client, tape: str) -> None:
        if options.what == "trade":
            broker = await trade(client, options.symbol, options.seconds)
            print("busy" if broker.is_busy else "done,", broker.position, "contracts held")
            return
        await record(client, options.symbol, tape, options.seconds)
        if options.what == "both":
            report(play(tape, options.latency_ms))

    if options.what == "play":
        report(play(options.tape, options.latency_ms))
    elif options.live and options.what == "trade":
        async with mx.Client.from_env(limits=LIMITS, journal="backtest") as client:
            await run(client, options.tape)
    elif options.live:
        async with mx.Client() as client:
            await run(client, options.tape)
    else:
        with tempfile.TemporaryDirectory() as folder:
            async with (Exchange(updates_per_second=100) as venue,
                        mx.Client(venue.rest_url, venue.access_key, venue.secret,
                                  limits=LIMITS) as client):
                await run(client, options.tape if options.what == "record" else f"{folder}/tape")


if __name__ == "__main__":
    mx.run(main())
