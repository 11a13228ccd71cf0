"""examples/grid.py: what it wants; crashes, lost answers and doubts change nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import mexcfast as mx
from example_support import EXAMPLES, example, until
from mexcfast.sim import Exchange

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="an installed wheel has no examples")

STEP, LEVELS, QUANTITY = Decimal("1.5"), 4, 10
CONTRACT = SimpleNamespace(tick_size=Decimal("0.1"), symbol="BTC_USDT")


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return example("grid")


def grid_at(program: ModuleType, centre: Decimal) -> Any:
    return program.Grid(CONTRACT, centre, STEP, LEVELS, Decimal(QUANTITY))


@pytest.mark.parametrize("held", [0, 1, 9, 10, 11, 25, 40, 45])
def test_each_unit_waits_to_be_bought_or_sold(program: ModuleType, held: int) -> None:
    wanted = grid_at(program, Decimal("84000")).wanted(Decimal(held))
    buys = {price: quantity for (side, price), quantity in wanted.items() if side.is_open}
    sells = {price: quantity for (side, price), quantity in wanted.items() if not side.is_open}
    assert {side for side, _ in wanted} <= {mx.Side.OPEN_LONG, mx.Side.CLOSE_LONG}
    assert sum(sells.values()) == min(held, 40) and sum(buys.values()) == 40 - min(held, 40)
    for i in range(1, LEVELS + 1):      # a unit is bought i steps down and sold one step higher
        price = Decimal("84000") - i * STEP
        assert buys.get(price, 0) + sells.get(price + STEP, 0) == QUANTITY
    # a half-filled unit has both; no buy stands at or above the sell of its own unit
    assert not buys or not sells or max(buys) < min(sells)


def test_the_centre_is_kept(program: ModuleType, tmp_path: Path) -> None:
    journal = str(tmp_path / "grid")
    assert program.remembered_centre(journal, 84000.5) == Decimal("84000.5")
    assert program.remembered_centre(journal, 90000) == Decimal("84000.5")
    assert [path.name for path in tmp_path.iterdir()] == ["grid.centre"]


class Story:
    """One exchange that moves only when told, one journal, lives of the bot one after the other."""

    def __init__(self, program: ModuleType, venue: Exchange, folder: Path) -> None:
        self.program, self.venue, self.journal = program, venue, str(folder / "grid")
        self.account = venue.account

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[tuple[mx.Client, asyncio.Task[Any]]]:
        """It ends as a crash does: nothing is cancelled."""
        async with mx.Client(self.venue.rest_url, self.venue.access_key, self.venue.secret,
                             journal=self.journal, limits=self.program.LIMITS) as client:
            task = asyncio.create_task(self.program.trade(
                client, "BTC_USDT", self.journal, 300, step=STEP, levels=LEVELS,
                quantity=QUANTITY))
            try:
                yield client, task
            finally:
                task.cancel()
                await asyncio.wait([task])

    def resting(self) -> Counter[Any]:
        found: Counter[Any] = Counter()
        for order in self.account.open_orders.values():
            found[mx.Side(order.side), order.price] += order.vol - order.deal_vol
        return found

    def held(self) -> int:
        return sum(position.hold_vol for position in self.account.positions.values())

    def is_whole(self) -> bool:
        """The exchange holds exactly what the grid wants."""
        kept = Path(f"{self.journal}.centre")
        if not kept.exists():
            return False
        grid = grid_at(self.program, Decimal(kept.read_text()))
        return self.resting() == Counter(grid.wanted(Decimal(self.held())))


def test_crashes_lost_answers_and_the_switch(program: ModuleType, tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange(seed=3, updates_per_second=0) as venue:
            told = Story(program, venue, tmp_path)
            venue.faults.lose_answer("order/create", count=1)
            async with told.life() as (client, task):
                await until(lambda: task.done() or told.is_whole(), "the grid stands")
                assert not task.done() and venue.faults.log
                await until(lambda: not client.orders.unresolved, "the lost answer is settled")
                assert len(told.account.orders) == LEVELS   # the answer was lost, not the order
                venue.trade("BTC_USDT", "sell", 100_000)
                await until(lambda: task.done() or (told.held() and told.is_whole()),
                            "sells stand one step higher")
                assert not task.done()
            before = set(told.account.orders)
            assert told.account.open_orders

            async with told.life() as (client, task):       # the journal is open: a second life
                await until(lambda: task.done() or client.orders.is_current, "it is ready")
                for _ in range(3):                          # turns of its loop
                    await client.orders.refresh()
                assert not task.done()
                assert set(told.account.orders) == before and told.is_whole()
                client.kill_switch.trip("enough")
                await until(task.done, "it stops by itself")
                await client.kill_switch.until_safe()
                assert not told.account.open_orders and task.exception() is None
            assert set(told.account.orders) == before       # nothing was placed after the trip

    asyncio.run(story())


def test_a_position_that_nobody_expected_stops_it_until_it_has_looked(
        program: ModuleType, tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange(seed=3, updates_per_second=0, limits=False) as venue:
            told = Story(program, venue, tmp_path)
            program.GridTrader.PATIENCE_S = 0.1
            async with told.life() as (_, task), mx.Client(
                    venue.rest_url, venue.access_key, venue.secret) as by_hand:
                await until(lambda: task.done() or told.is_whole(), "the grid stands")
                await by_hand.start()
                outcome = await by_hand.orders.submit(
                    "BTC_USDT", mx.Side.OPEN_LONG, QUANTITY, type=mx.OrderType.MARKET, leverage=5)
                assert isinstance(outcome, mx.Accepted)
                await until(lambda: task.done() or (told.is_whole() and any(
                    order.side == mx.Side.CLOSE_LONG and order.vol == QUANTITY
                    for order in told.account.orders.values())),
                    "what was bought by hand is the grid's first unit, and sold as such")
                assert not task.done()

    asyncio.run(story())
