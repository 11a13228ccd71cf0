"""No order lost, none doubled, while the exchange fails before and after executing and cuts lines.

The long run has a marker of its own: pytest -m soak tests/chaos
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

import mexcfast as mx
from mexcfast.core.rest import Endpoint
from mexcfast.core.tracker import Phase
from mexcfast.net.own import LiveOrder
from mexcfast.sim import Exchange, Variations
from mexcfast.sim.accounts import STATE_CANCELLED, STATE_FILLED, STATE_OPEN

SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT")
FATES = {STATE_OPEN: Phase.OPEN, STATE_FILLED: Phase.FILLED, STATE_CANCELLED: Phase.CANCELLED}
#: The run is about orders that go on being placed: doubts and cut lines must not end it.
NEVER = mx.KillSwitchSettings(max_unknown=None, stream_lost_ms=None)
FAULTS = ("before", "before", "after", "after", "lost", "lost", "cut")


def inject(venue: Exchange, dice: random.Random) -> None:
    """One fault for one of the next requests, unless some wait for theirs already."""
    path = dice.choice(["order/create", "order/create", "order/cancel",
                        "order/change_limit_order"])
    if sum(rule.path == path for rule in venue.faults._rest) >= 3:
        return
    kind = dice.choice(FAULTS)
    if kind == "cut":
        venue.faults.cut()
    elif kind == "lost":
        venue.faults.lose_answer(path)
    else:
        venue.faults.http_status(path, dice.choice([500, 502, 503]), kind == "after")


class Bot:
    """Places, amends and cancels at random, and trusts nothing but outcomes."""

    def __init__(self, venue: Exchange, client: mx.Client, dice: random.Random) -> None:
        self.venue, self.client, self.dice = venue, client, dice
        self.sent: dict[str, object] = {}       # client order id -> first outcome
        self.amended = 0

    async def place(self) -> None:
        symbol = self.dice.choice(SYMBOLS)
        book = self.venue.book(symbol)
        buys = self.dice.random() < 0.5
        side = mx.Side.OPEN_LONG if buys else mx.Side.OPEN_SHORT
        # mostly resting, sometimes taking
        levels = (book.asks if buys else book.bids) if self.dice.random() < 0.2 else (
            book.bids if buys else book.asks)
        price = levels[self.dice.randrange(min(8, len(levels)))][0]
        outcome = await self.client.orders.submit(
            symbol, side, self.dice.randint(1, 20), price, leverage=20, wait=True)
        assert outcome.client_order_id not in self.sent
        self.sent[outcome.client_order_id or ""] = outcome

    async def change(self) -> None:
        orders = [order for order in self.client.orders.open_orders() if order.order_id]
        if len(orders) > 100:       # the exchange allows 200
            await self.client.orders.cancel(orders[:40])
            await asyncio.sleep(0.05)
            return
        if not orders:
            return
        order = self.dice.choice(orders)
        contract = self.client.orders.contracts[order.symbol or ""]
        name = f"amend {order.order_id}"
        if self.dice.random() < 0.3 and name not in self.client.orders.resolver.cases:
            step = contract.tick_size * self.dice.choice([-1, 1])
            self.amended += 1
            await self.client.orders.amend(order.symbol or "", order.order_id or 0,
                                           (order.price or Decimal(0)) + step,
                                           self.dice.randint(1, 20), wait=True)
        else:
            some = self.dice.sample(orders, min(len(orders), self.dice.randint(1, 4)))
            await self.client.orders.cancel(some)


def check(venue: Exchange, client: mx.Client, bot: Bot, report: str) -> None:
    """Our view against the exchange's truth."""
    account = venue.account
    truth = {order.external_oid: order for order in account.orders.values()}
    assert len(truth) == len(account.orders), f"doubled: {report}"
    own = {name: order for name, order in truth.items() if not name.startswith("_m_")}
    assert set(own) <= set(bot.sent), f"orders nobody asked for: {report}"
    assert not client.orders.unresolved, report
    for name, first in bot.sent.items():
        known = client.orders.find(name)
        assert isinstance(known, LiveOrder), f"{name} {report}"
        if name not in truth:
            assert not isinstance(first, mx.Accepted), f"{name} was accepted and is not there"
            assert known.phase is Phase.REJECTED, f"{known} {report}"
            continue
        assert not isinstance(first, mx.Rejected), f"{name} was refused and lives: {report}"
        true = truth[name]
        assert known.order_id == true.id, f"{known} {report}"
        assert known.phase is FATES[true.state], f"{known} is {true.state} {report}"
        assert known.filled_quantity == true.deal_vol, f"{known} {true} {report}"
        if true.deal_vol and known.has_all_fills:
            assert sum(known.fees.values()) == true.taker_fee + true.maker_fee
    assert {order.order_id for order in client.orders.open_orders()} == set(account.open_orders), (
        report)
    ours = {order.order_id for order in client.orders.tracker}
    assert ours >= set(account.orders), f"heirs of amends not recognised: {report}"
    assert client.orders.tracker.conflicts == 0
    for position in account.positions.values():
        held = client.orders.mirror.position(
            position.contract.symbol, mx.types.PositionType(position.type))
        assert held is not None and held.quantity == position.hold_vol, report


async def chaos(seed: int, count: int, tmp_path: Path, *, limits: bool = False,
                workers: int = 8, rate: float = 0.12, push_delay_s: float = 0.0) -> str:
    print(f"seed {seed}, {count} orders")
    dice = random.Random(seed)
    async with (
        asyncio.timeout(240 + count / 2),
        Exchange(seed=seed, symbols=SYMBOLS, limits=limits, updates_per_second=20,
                 balance=100_000_000,
                 variations=Variations(private_delay_seconds=push_delay_s)) as venue,
    ):
        endpoint = Endpoint.at(venue.rest_url, recv_window_s=1, timeout_ms=5000,
                               limits={} if limits else {"order_place": (10_000, 1),
                                                         "amend": (10_000, 1),
                                                         "cancel": (10_000, 1),
                                                         "cancel_external_batch": (10_000, 1)})
        async with mx.Client(endpoint, venue.access_key, venue.secret,
                             kill_switch=NEVER, journal=tmp_path / "orders") as client:
            await client.start()
            bot = Bot(venue, client, dice)

            async def work() -> None:
                while len(bot.sent) < count:
                    crowded = len(client.orders.open_orders()) > 150
                    places = dice.random() < 0.7 and not crowded
                    if places and dice.random() < rate:
                        inject(venue, dice)
                    await (bot.place() if places else bot.change())

            await asyncio.gather(*(work() for _ in range(workers)))
            assert not client.kill_switch.is_tripped
            venue.faults.clear()
            venue.updates_per_second = 0.0001
            async with asyncio.timeout(60 + count / 50):
                await client.orders.resolver.until_empty()
            await asyncio.sleep(0.1 + 2 * push_delay_s)
            await client.orders.refresh()
            injected = Counter(fault.kind for fault in venue.faults.log)
            firsts = Counter(type(outcome).__name__ for outcome in bot.sent.values())
            report = (f"seed {seed}: {dict(injected)} faults, {dict(firsts)}, "
                      f"{bot.amended} amends, {len(venue.account.orders)} at the exchange")
            check(venue, client, bot, report)
            assert injected["http_status"] and injected["lose_answer"], report
            assert limits or firsts["Unknown"], report
    print(report)
    return report


@pytest.mark.parametrize(("seed", "push_delay_s"), [(1, 0.0), (2, 0.2)])
def test_no_order_is_lost_or_doubled(seed, push_delay_s, tmp_path):
    asyncio.run(chaos(seed, 300, tmp_path, push_delay_s=push_delay_s))


def test_no_order_is_lost_or_doubled_under_the_venues_limits(tmp_path):
    asyncio.run(chaos(3, 16, tmp_path, limits=True, workers=3, rate=0.4))


@pytest.mark.soak
@pytest.mark.parametrize("count", [5_000, 20_000])
def test_no_order_is_lost_or_doubled_in_a_long_run(count, tmp_path):
    asyncio.run(chaos(count, count, tmp_path, workers=16, push_delay_s=0.02))
