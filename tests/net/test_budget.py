"""client.budget: what it forecasts is what happens, and bans outlive a restart."""

from __future__ import annotations

import asyncio
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

import mexcfast as mx
from mexcfast.core.rest import Endpoint
from mexcfast.core.schedule import Schedule
from mexcfast.core.throttle import Lane
from mexcfast.core.window import Window
from mexcfast.sim import Exchange
from mexcfast.types import PositionMode
from net.everything import SYMBOL, until


@given(st.integers(1, 5), st.integers(1, 100), st.lists(st.integers(0, 60), max_size=8),
       st.lists(st.sampled_from(list(Lane)), max_size=12), st.sampled_from(list(Lane)),
       st.integers(0, 300))
def test_a_newcomer_leaves_when_it_was_told(count, window_ns, pauses, waiting, lane, blocked_ns):
    """Played on to the end, the queue lets the newcomer go at the forecast moment."""
    schedule: Schedule[str] = Schedule(Window(count, window_ns))
    now = 0
    for pause in pauses:
        now += pause
        schedule.window.take(now)
    if blocked_ns:
        schedule.window.block(now, blocked_ns)
    for each in waiting:
        schedule.enter(now, each, "other")
    queued, wait_ns = schedule.forecast(now)[lane]
    assert queued == waiting.count(lane)
    schedule.enter(now, lane, "newcomer")
    for later in range(now, now + wait_ns + 1):
        left = [ticket.item for ticket in schedule.due(later)[0]]
        assert ("newcomer" in left) == (later == now + wait_ns)


def test_closed_lanes_let_others_pass():
    schedule: Schedule[str] = Schedule(Window(1, 10))
    schedule.close([Lane.OPEN], 1000)
    for _ in range(3):
        schedule.enter(0, Lane.OPEN, "open")
    found = schedule.forecast(0)
    assert found[Lane.CANCEL] == (0, 0) and found[Lane.OPEN] == (3, 1000)


def test_slots_queue_and_bans_are_visible_and_remembered(tmp_path):
    async def told() -> None:
        async with asyncio.timeout(60), Exchange(seed=3, updates_per_second=5) as venue:
            def client() -> mx.Client:
                return mx.Client(Endpoint.at(venue.rest_url), venue.access_key, venue.secret,
                                 journal=tmp_path / "orders")

            async with client() as first:
                await first.start()
                assert first.budget.free() == 4 and first.budget.next_slot_ns() == 0
                tasks: deque[asyncio.Task[object]] = deque()
                for number in range(6):
                    tasks.append(asyncio.ensure_future(first.orders.submit(
                        SYMBOL, mx.Side.OPEN_LONG, 1, 80_000 - number, leverage=20, wait=True,
                        max_age_ms=1 if number == 5 else None)))
                await until(lambda: tasks[5].done() and len(first.budget.queue) == 1)
                lanes = first.budget.lanes()
                assert lanes[Lane.OPEN].queued == 1 and lanes[Lane.CANCEL].queued == 0
                assert 0 < lanes[Lane.CANCEL].next_slot_ns <= 2_050_000_000
                assert lanes[Lane.OPEN].next_slot_ns >= lanes[Lane.CANCEL].next_slot_ns
                outcomes = [await task for task in tasks]
                assert outcomes[5].reason == "Dropped" and outcomes[5].error.reason == "outdated"
                assert sum(request.path.endswith("order/create") for request in venue.requests) == 5
                venue.faults.throttle("planorder/cancel_all")
                await first.conditional.plan.cancel_all()
                until_ms = first.budget.bans["rate plan_cancel_all"]
                assert until_ms > first._clock.wall_ms() and "orders now" in repr(first.budget)
                venue.faults.html("order/create")
                await first.orders.submit(SYMBOL, mx.Side.OPEN_LONG, 1, 80_000, leverage=20,
                                          wait=True)
                edge_ms = first.budget.bans["edge POST"]
            async with client() as second:
                await second.start()
                assert second.budget.bans["edge POST"] == edge_ms
                assert second.budget.next_slot_ns("create") > 60_000_000_000

    asyncio.run(told())


def test_the_position_mode_is_the_venues(tmp_path):
    """It changes what an order adds to, so the limits must count by the account's own."""
    async def told() -> None:
        async with asyncio.timeout(60), Exchange(seed=3, limits=False,
                                                 updates_per_second=5) as venue:
            for mode in (PositionMode.ONE_WAY, PositionMode.HEDGE):
                async with mx.Client(venue.rest_url, venue.access_key, venue.secret) as client:
                    changed = await client.positions.change_mode(mode)
                    assert isinstance(changed, mx.Accepted), changed
                    await client.start()
                    assert client.orders.position_mode is mode

    asyncio.run(told())
