"""Seeded lives of a client whose exchange fails at a chosen phase, judged all along.

    python tests/chaos/stream_run.py --seeds 1000 [--first 1] [--at-once 16]
    python tests/chaos/stream_run.py --seeds 1 --first 4711        one plan again, with its log

A seed is a plan: the phase, the kind of fault, their parameters, the market. One seed in seven
rotates its sockets all the time, one in five carries each topic on two sockets. All clocks are
scaled so that a life takes about three seconds. A failing plan is printed with its seed.

Held at every moment (the numbers are the scaled settings' own):
    a book that says LIVE equals the exchange's book at that version, and is not crossed
    a book that is behind the exchange for longer than BOUND does not say LIVE
    no trade is told twice; one that is missing was covered by a reported loss
    the exchange had no rule to enforce: no 510, nobody closed for messages, pings or age
and when the faults end: every book LIVE and equal, and after close() no task or descriptor left.

Exchange, client and judge share one loop. A life that went wrong while this process came to run
nothing for STALLED seconds says nothing about the client; it is lived again, alone, and what comes
of its last try counts however the machine behaved. The sums say how many there were ("again").
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import mexcfast as mx
from mexcfast.core.depth import OrderBook, State
from mexcfast.net import executor
from mexcfast.sim import Exchange
from mexcfast.sim.faults import ANSWER_KINDS, BOOK_KINDS, FRAME_KINDS, SOCKET_KINDS, VENUE_KINDS
from mexcfast.sim.settings import Limits

PHASES = ("connecting", "logging_in", "subscribing", "syncing", "live", "repairing", "rotating")
KINDS = (*FRAME_KINDS, *SOCKET_KINDS, *BOOK_KINDS, *ANSWER_KINDS, *VENUE_KINDS)
SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT")
SCALE = 0.02                  # of the venue's clocks
TICK = 0.02                   # seconds between two looks of the judge
#: A half-open socket is found by its ping; everything else sooner. One more ping interval is room
#: for a judge, a client and an exchange that share one loop.
PING, PONG = 0.4, 0.4
BOUND = PING + PONG + 0.1 + PING
STALL = 5.0                   # a loaded machine may stop this process for a while
SAMPLE = 23                   # every so many-th LIVE book is compared level by level
SETTLE = 25.0                 # seconds until all is well again
STALLED = PING / 2            # seconds
TRIES = 3
LONGEST_LIFE = 240.0          # seconds; a life that hangs is a failure, not a run without end

SETTINGS = mx.StreamSettings(
    ping_interval=PING, pong_deadline=PONG, handshake_timeout=1.0, acknowledge_timeout=0.4,
    stable_after=0.1, backoff_cap_ms=400, refused_retry=0.2, refused_retry_cap=1.0,
    silence_tick=0.05, silence_scale=0.05, late_pong=0.3, lateness_limit=1.0,
    rotation_overlap=0.1, rotation_timeout=2.0)
ROTATING = {"rotate_after": 0.6, "rotate_spread": 0.2}
#: The exchange closes rotating clients' sockets at this age: late enough for one rotation that is
#: given up and tried again, as 24 h are for one that begins at 22 h.
AGE = 12.0


@dataclass
class Plan:
    """What a seed means."""

    seed: int
    phase: str
    kind: str
    rotates: bool
    redundancy: int
    rate: float
    merge_ms: int
    rng: random.Random = field(repr=False)

    @classmethod
    def of(cls, seed: int) -> Plan:
        rng = random.Random(seed)
        phase = PHASES[seed % len(PHASES)]
        kind = KINDS[seed // len(PHASES) % len(KINDS)]
        return cls(seed, phase, kind, phase == "rotating" or rng.random() < 0.1,
                   2 if rng.random() < 0.2 else 1, rng.choice((20.0, 50.0, 100.0)),
                   rng.choice((0, 0, 60)), rng)


class Judge(mx.Listener):
    """Sees what a strategy sees, and compares it with the exchange."""

    def __init__(self, venue: Exchange, plan: Plan) -> None:
        self.venue = venue
        self.plan = plan
        self.wrong: list[str] = []
        self.frames = 0
        self.compared = 0
        self.trades: dict[str, Counter[int]] = {symbol: Counter() for symbol in SYMBOLS}
        self.events: Counter[str] = Counter()
        self.past: deque[tuple[float, dict[str, int]]] = deque()
        self.clock = 0.0             # stands still while this process does

    def on_book(self, book: OrderBook) -> None:
        self.frames += 1
        bid, ask = book.best_bid, book.best_ask
        if book.state != State.LIVE or (bid is not None and ask is not None and bid >= ask):
            self.wrong.append(f"on_book of {book}")
        if self.frames % SAMPLE == 0:
            self.compare(book)

    def on_event(self, event: mx.Event) -> None:
        if isinstance(event, mx.events.Deals):
            self.trades[event.symbol].update(deal.trade_id for deal in event.deals)

    def on_stream_event(self, event: object) -> None:
        self.events[type(event).__name__] += 1

    def compare(self, book: OrderBook) -> None:
        """Level by level at the book's own version."""
        try:
            truth = self.venue.book_at(book.symbol, book.version)
        except ValueError:           # numbered anew: no such version any more
            if self.plan.kind != "version_gap":
                self.wrong.append(f"{book} has a version the exchange never had")
            return
        self.compared += 1
        unit = Decimal(1).scaleb(-book.price_scale)
        for mine, true in zip(book.exact(), (truth.bids, truth.asks), strict=True):
            if [(price * unit, quantity, orders) for price, quantity, orders in mine] != [
                    tuple(level) for level in true]:
                self.wrong.append(f"{book} differs from the exchange's at its version")

    def look(self, client: mx.Client, elapsed: float) -> None:
        """Is any book LIVE that has been behind for longer than BOUND?"""
        self.clock += min(elapsed, 3 * TICK)
        self.past.append((self.clock, {s: self.venue.book(s).version for s in SYMBOLS}))
        while self.past and self.past[0][0] < self.clock - BOUND:
            _, versions = self.past.popleft()
            for book in client.market.books.values():
                if book.is_live and book.doubt is None and book.version < versions[book.symbol]:
                    self.wrong.append(f"{book} says LIVE; {versions[book.symbol]} is older than "
                                      f"{BOUND:.1f} s")

    def judge_trades(self) -> None:
        """None twice; those between the first and the last are all there, or a loss was told."""
        spoilt = {f.symbol for f in self.venue.faults.log if f.channel == "deal"}
        reported = self.events["Disconnected"] + self.events["Degraded"] + self.events["Rotated"]
        for symbol, seen in self.trades.items():
            if twice := [trade for trade, times in seen.items() if times > 1]:
                self.wrong.append(f"{symbol}: trades {twice[:5]} were told twice")
            if not seen or symbol in spoilt:
                continue
            true = {deal.id for deal in self.venue.venue.markets[symbol].deals
                    if min(seen) <= deal.id <= max(seen)}
            if (missing := true - set(seen)) and not reported:
                self.wrong.append(f"{symbol}: trades {sorted(missing)[:5]} are missing, nothing "
                                  f"was reported")
            if invented := {trade for trade in seen if trade >= min(true, default=0)} - true:
                self.wrong.append(f"{symbol}: trades {sorted(invented)[:5]} never took place")


def spoil(venue: Exchange, plan: Plan, times: int = 1) -> None:
    """The plan's fault, with parameters drawn from the seed."""
    for _ in range(times):
        kind, drawn = venue.faults.draw(plan.rng, plan.kind)
        if "path" in drawn:
            drawn["path"] = plan.rng.choice(("depth_commits", "contract/depth", "*"))
        if kind in ("ban", "maintenance"):
            drawn["seconds"] = plan.rng.uniform(0.1, 0.6)
        if kind == "hang":
            drawn["seconds"] = plan.rng.uniform(0.1, 0.8)
        venue.faults.inject(kind, drawn)


def break_sync(venue: Exchange, rng: random.Random) -> None:
    """Answers about books come late or wrong, so that books stay SYNCING or REPAIRING a while."""
    for path in ("contract/depth", "depth_commits"):
        venue.faults.hang(path, seconds=rng.uniform(0.1, 0.4))


@contextmanager
def scaled_pauses() -> Iterator[None]:
    """An exchange whose firewall answers is left alone for minutes: scaled like the rest."""
    before = dict(executor.PAUSES)
    executor.PAUSES.update({name: (round(first * SCALE), round(longest * SCALE))
                            for name, (first, longest) in before.items()})
    try:
        yield
    finally:
        executor.PAUSES.update(before)


async def live(seed: int, settle: float = SETTLE, **changes: float) -> tuple[Plan, Judge]:
    """One life; the judge holds what went wrong.

    settle: seconds until all must be well again. changes: of the client's StreamSettings.
    """
    plan = Plan.of(seed)
    limits = Limits(time_scale=SCALE, max_age_seconds=AGE / SCALE if plan.rotates else None,
                    no_ping_seconds=STALL / SCALE, no_subscription_seconds=STALL / SCALE)
    settings = {name: getattr(SETTINGS, name) for name in SETTINGS.__dataclass_fields__}
    settings |= {"redundancy": plan.redundancy} | (ROTATING if plan.rotates else {}) | changes
    async with Exchange(seed=seed, symbols=SYMBOLS, updates_per_second=plan.rate, levels=60,
                        merge_ms=plan.merge_ms, limits=limits) as venue:
        judge = Judge(venue, plan)
        if plan.phase == "connecting":
            spoil(venue, plan)
        async with mx.Client(venue.rest_url, venue.access_key, venue.secret,
                             streams=mx.StreamSettings(**settings)) as client:
            client.market.pool.watch(judge.on_stream_event)
            watching = asyncio.create_task(_watch(client, judge))
            try:
                await _story(venue, client, judge, plan, settle)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            judge.judge_trades()
            _judge_rules(venue, judge, plan)
        for book in client.market.books.values():
            if book.state is not State.STOPPED:
                judge.wrong.append(f"{book} after close()")
    return plan, judge


async def _story(venue: Exchange, client: mx.Client, judge: Judge, plan: Plan,
                 settle: float) -> None:
    rng = plan.rng
    login: asyncio.Task[None] | None = None
    if plan.phase == "logging_in":
        login = asyncio.create_task(client.listen(judge))
        await asyncio.sleep(rng.uniform(0, 0.01))
        spoil(venue, plan)
    if plan.phase == "syncing":
        break_sync(venue, rng)
    client.subscribe(judge, [topic for symbol in SYMBOLS for topic in (
        mx.topics.depth(symbol, None if plan.merge_ms else False), mx.topics.deals(symbol))])
    if plan.phase == "subscribing":
        await asyncio.sleep(rng.uniform(0, 0.02))
        spoil(venue, plan)
    elif plan.phase == "syncing":
        await asyncio.sleep(rng.uniform(0.02, 0.1))
        spoil(venue, plan)
    else:
        await _until_live(client, judge, settle)
        await asyncio.sleep(rng.uniform(0.1, 0.5))
        if plan.phase == "repairing":
            break_sync(venue, rng)
            venue.faults.drop(count=2)
            await asyncio.sleep(rng.uniform(0.05, 0.2))
        if plan.phase == "rotating":
            await asyncio.sleep(rng.uniform(0.2, 0.8))
        spoil(venue, plan, times=rng.randint(1, 3))
    await asyncio.sleep(rng.uniform(0.5, 1.5))
    venue.faults.clear()
    await _until_live(client, judge, settle)
    if login is not None:
        await asyncio.wait_for(login, settle)
    before, ends = judge.frames, time.monotonic() + settle
    while judge.frames < before + 3:                 # and they move on
        if time.monotonic() > ends:
            judge.wrong.append(f"no frame for {settle:g} s")
            break
        await asyncio.sleep(TICK)
    for book in list(client.market.books.values()):
        if book.is_live:
            judge.compare(book)


async def _until_live(client: mx.Client, judge: Judge, settle: float) -> None:
    ends = time.monotonic() + settle
    while not all(book.is_live for book in client.market.books.values()):
        if time.monotonic() > ends:
            judge.wrong.append(f"not all LIVE after {settle:g} s: "
                               f"{list(client.market.books.values())}")
            return
        await asyncio.sleep(TICK)


async def _watch(client: mx.Client, judge: Judge) -> None:
    before = time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        now = time.monotonic()
        judge.look(client, now - before)
        before = now


def _judge_rules(venue: Exchange, judge: Judge, plan: Plan) -> None:
    if plan.kind not in ("throttle", "ban"):
        limited = [each for each in venue.requests if '"code":510' in each.reply]
        if limited:
            judge.wrong.append(f"{len(limited)} requests beyond the budgets: {limited[0].path}")
    if venue.enforced:
        judge.wrong.append(f"the exchange closed sockets: {dict(venue.enforced)}")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def stalls() -> AsyncIterator[Callable[[], float]]:
    """Call what this gives for the longest time so far, in seconds, that the loop stood still."""
    worst = 0.0

    async def measure() -> None:
        nonlocal worst
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            worst = max(worst, time.monotonic() - before - TICK)

    measuring = asyncio.create_task(measure())
    try:
        yield lambda: worst
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])


async def many(seeds: range, at_once: int, *, verbose: bool = False
               ) -> tuple[list[str], Counter[str]]:
    """Run plans side by side; failures as text, and what happened in all of them."""
    gate = asyncio.Semaphore(at_once)
    failures: list[str] = []
    sums: Counter[str] = Counter()

    async def one(seed: int, is_last: bool) -> int | None:
        """The seed, if it wants another try."""
        async with gate, stalls() as stalled:
            try:
                async with asyncio.timeout(LONGEST_LIFE):
                    plan, judge = await live(seed)
                wrong = judge.wrong
            except Exception as fault:
                plan, wrong, judge = Plan.of(seed), [f"{type(fault).__name__}: {fault}"], None
                if verbose:
                    logging.exception("seed %d", seed)
        if wrong and stalled() >= STALLED and not is_last:
            sums["again"] += 1
            return seed
        if judge is not None:
            sums.update(frames=judge.frames, compared=judge.compared,
                        trades=sum(map(len, judge.trades.values())), lives=1)
            sums.update(judge.events)
        if wrong:
            failures.append(f"seed {seed}, {plan}: {len(wrong)} wrong, first: {wrong[0]}")
            if verbose:
                print(*wrong[:20], sep="\n")
        return None

    loop = asyncio.get_running_loop()
    with scaled_pauses():
        await live(0)                                # what a process opens once is open now
        before = (len(asyncio.all_tasks(loop)), descriptors())
        again = await asyncio.gather(*(one(seed, TRIES == 1) for seed in seeds))
        for attempt in range(2, TRIES + 1):
            again = [await one(seed, attempt == TRIES) for seed in again if seed is not None]
        with warnings.catch_warnings():
            # aiohttp leaves the socket of a request that is cancelled while it connects to the
            # collector, which closes it.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    for _ in range(100):                             # sockets close a turn of the loop later
        after = (len(asyncio.all_tasks(loop)), descriptors())
        if after[0] <= before[0] and after[1] <= before[1]:
            break
        await asyncio.sleep(0.05)
    else:
        failures.append(f"tasks and descriptors before {before}, after {after}")
    return failures, sums


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=189)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=16)
    given = parser.parse_args()
    alone = given.seeds == 1
    logging.basicConfig(level=logging.INFO if alone else logging.CRITICAL, stream=sys.stdout,
                        format="%(relativeCreated)6d %(message)s")
    failures, sums = mx.run(many(range(given.first, given.first + given.seeds), given.at_once,
                                 verbose=alone))
    print(f"seeds {given.first} to {given.first + given.seeds - 1}: {dict(sums)}")
    print(*failures, sep="\n")
    print(f"{len(failures)} failures")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
