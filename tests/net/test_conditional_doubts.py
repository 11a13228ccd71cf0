"""Unknown writes about plan, TP/SL and trailing orders end in the embedded exchange's truth."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

import mexcfast as mx
from children import killed_where_it_says_here, needs_kill
from mexcfast.core.journal import replay
from mexcfast.core.rest import Endpoint
from mexcfast.sim import Exchange
from mexcfast.types import (
    Accepted,
    BackType,
    OrderType,
    Rejected,
    Side,
    TriggerType,
    Unknown,
)

SYMBOL = "BTC_USDT"
RUN = Path(__file__).with_name("conditional_run.py")
#: kind -> the paths that place, change and cancel
PATHS = {"plan": ("planorder/place/v2", "planorder/change_price", "planorder/cancel"),
         "stop": ("stoporder/place", "stoporder/change_plan_price", "stoporder/cancel"),
         "trailing": ("trackorder/place", "trackorder/change_order", "trackorder/cancel")}


@asynccontextmanager
async def trading():
    """A quiet exchange and a client that has started; it has a position to guard."""
    async with asyncio.timeout(60), Exchange(seed=3, updates_per_second=0, limits=False) as venue:
        endpoint = Endpoint.at(venue.rest_url, recv_window_s=1)
        async with mx.Client(endpoint, venue.access_key, venue.secret) as client:
            await client.orders.start()
            taken = await client.orders.submit(SYMBOL, Side.OPEN_LONG, 10, leverage=20,
                                               type=OrderType.MARKET)
            assert isinstance(taken, Accepted)
            yield venue, client


def price(venue, part):
    best = Decimal(str(venue.book(SYMBOL).bids[0][0]))
    return (best * Decimal(part) // Decimal("0.1")) * Decimal("0.1")


async def place(kind, venue, client, part="0.9"):
    if kind == "plan":
        return await client.conditional.plan.place(
            SYMBOL, Side.OPEN_LONG, 1, price(venue, part), TriggerType.AT_OR_BELOW,
            price(venue, part), leverage=20)
    if kind == "stop":
        held, = await client.positions.open()
        return await client.conditional.stop.place(held.position_id, 2, symbol=SYMBOL,
                                                   stop_loss_price=price(venue, part))
    return await client.conditional.trailing.place(
        SYMBOL, Side.CLOSE_LONG, 1, BackType.PERCENTAGE, 1 - Decimal(part), leverage=20)


async def change(kind, venue, client, number, part="0.8"):
    if kind == "plan":
        return await client.conditional.plan.change_price(
            SYMBOL, number, price(venue, part), price(venue, part), type=OrderType.LIMIT,
            trigger_type=TriggerType.AT_OR_BELOW, trend=mx.types.TriggerPrice.LAST)
    if kind == "stop":
        return await client.conditional.stop.change_price(number, symbol=SYMBOL,
                                                          stop_loss_price=price(venue, part))
    return await client.conditional.trailing.change(SYMBOL, number, 1, BackType.PERCENTAGE,
                                                    1 - Decimal(part))


async def cancel(kind, client, number):
    if kind == "plan":
        return await client.conditional.plan.cancel([(SYMBOL, number)])
    if kind == "stop":
        return await client.conditional.stop.cancel([number])
    return await client.conditional.trailing.cancel(SYMBOL, number)


def waiting(venue):
    return [one.id for one in venue.venue.conditional.of(venue.account)]


def sent(venue, path):
    return sum(request.path.endswith(path) for request in venue.requests)


def spoil(venue, fault, path, executed):
    if fault == "lost":
        venue.faults.lose_answer(path)
    elif fault == "garbled":
        venue.faults.garble_answer(path)
    else:
        venue.faults.http_status(path, 502, after_execute=executed)


@pytest.mark.parametrize(("fault", "executed"), [
    ("lost", True), ("garbled", True), ("502", True), ("502", False)])
@pytest.mark.parametrize("kind", PATHS)
def test_placements(kind, fault, executed):
    async def story():
        async with trading() as (venue, client):
            settled: list[object] = []
            client.orders.on_settled.append(settled.append)
            other = await place(kind, venue, client, "0.95")
            assert isinstance(other, Accepted)
            path = PATHS[kind][0]
            spoil(venue, fault, path, executed)
            unknown = await place(kind, venue, client)
            assert isinstance(unknown, Unknown) and client.orders.unresolved == (unknown,)
            with pytest.raises(mx.IntentError, match="in doubt"):
                await place(kind, venue, client)
            fate = await client.conditional.resolve(unknown)
            assert settled == [fate] and not client.orders.unresolved
            assert sent(venue, path) == 2, "nothing was sent again"
            if executed:
                assert isinstance(fate, Accepted)
                assert waiting(venue) == [other.order_id, fate.order_id]
            else:
                assert isinstance(fate, Rejected) and waiting(venue) == [other.order_id]
            assert await client.conditional.resolve(unknown) is fate
            again = await place(kind, venue, client)
            assert isinstance(again, Accepted)

    asyncio.run(story())


@pytest.mark.parametrize(("fault", "executed"), [("lost", True), ("502", False)])
@pytest.mark.parametrize("kind", PATHS)
def test_changes_and_cancels(kind, fault, executed):
    async def story():
        async with trading() as (venue, client):
            placed = await place(kind, venue, client)
            assert isinstance(placed, Accepted)
            number = placed.order_id
            spoil(venue, fault, PATHS[kind][1], executed)
            unknown = await change(kind, venue, client, number)
            assert isinstance(unknown, Unknown)
            with pytest.raises(mx.IntentError, match="change in doubt"):
                await change(kind, venue, client, number, "0.7")
            fate = await client.conditional.resolve(unknown)
            assert type(fate) is (Accepted if executed else Rejected), fate
            assert fate.order_id == number
            spoil(venue, fault, PATHS[kind][2], executed)
            unknown = await cancel(kind, client, number)
            assert isinstance(unknown, Unknown)
            fate = await client.conditional.resolve(unknown)
            assert type(fate) is (Accepted if executed else Rejected), fate
            assert waiting(venue) == ([] if executed else [number])
            assert sent(venue, PATHS[kind][1]) == sent(venue, PATHS[kind][2]) == 1

    asyncio.run(story())


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("kind", PATHS)
def test_cancels_of_everything(kind, executed):
    async def story():
        async with trading() as (venue, client):
            placed = await place(kind, venue, client)
            assert isinstance(placed, Accepted)
            # Only an order that is older than the request for certain says something.
            for one in venue.venue.conditional.of(venue.account):
                one.create_ms -= 10_000
            path = {"plan": "planorder/cancel_all", "stop": "stoporder/cancel_all",
                    "trailing": "trackorder/cancel"}[kind]
            spoil(venue, "502", path, executed)
            room = getattr(client.conditional, kind)
            unknown = await (room.cancel if kind == "trailing" else room.cancel_all)(SYMBOL)
            assert isinstance(unknown, Unknown)
            fate = await client.conditional.resolve(unknown)
            assert type(fate) is (Accepted if executed else Rejected), fate
            assert waiting(venue) == ([] if executed else [placed.order_id])

    asyncio.run(story())


@pytest.mark.parametrize("executed", [True, False])
def test_prices_attached_to_an_order(executed):
    async def story():
        async with trading() as (venue, client):
            resting = await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, price(venue, "0.97"),
                                                 leverage=20)
            spoil(venue, "502", "stoporder/change_price", executed)
            unknown = await client.conditional.stop.change_price_of_order(
                resting.order_id, symbol=SYMBOL, stop_loss_price=price(venue, "0.9"))
            assert isinstance(unknown, Unknown)
            fate = await client.conditional.resolve(unknown)
            assert type(fate) is (Accepted if executed else Rejected), fate
            kept = venue.account.orders[resting.order_id].attached.stop_loss
            assert kept == (price(venue, "0.9") if executed else 0)

    asyncio.run(story())


def test_two_that_could_be_it_stay_in_doubt():
    async def story():
        async with trading() as (venue, client):
            await client.orders.resolver.close()        # no look before both are there
            venue.faults.lose_answer("planorder/place/v2", 2)
            unknown = await place("plan", venue, client)
            assert isinstance(unknown, Unknown)
            # Somebody else with the same keys places the very same plan.
            async with mx.Client(venue.rest_url, venue.access_key, venue.secret) as other:
                await other.orders.load_contracts()
                assert isinstance(await place("plan", venue, other), Unknown)
            assert len(waiting(venue)) == 2
            case, = client.orders.resolver.cases.values()
            while case.absence.looks < 4 or not case.absence.has_expired(
                    client.orders._executor.clock.venue_ms()):
                assert await client.orders.resolver.look(case) is None
                await asyncio.sleep(0.1)
            assert client.orders.unresolved == (unknown,)
            # One of them is taken away, by hand: it still was there, so nothing is proven.
            await client.conditional.plan.cancel([(SYMBOL, waiting(venue)[0])])
            assert await client.orders.resolver.look(case) is None
            # Who has looked may say so.
            fate = client.conditional.settle(unknown, waiting(venue)[0])
            assert fate == Accepted(SYMBOL, None, waiting(venue)[0])
            assert not client.orders.unresolved
            assert await client.conditional.resolve(unknown) is fate
            with pytest.raises(mx.IntentError, match="still in doubt"):
                client.conditional.settle(unknown, None)

    asyncio.run(story())


def test_a_start_that_cannot_tell_waits_for_a_word(tmp_path):
    async def story():
        async with trading() as (venue, other):
            endpoint, keys = other.endpoint, (venue.access_key, venue.secret)
            async with mx.Client(endpoint, *keys, journal=tmp_path / "j") as client:
                await client.orders.start()
                await client.orders.resolver.close()
                venue.faults.lose_answer("planorder/place/v2")
                assert isinstance(await place("plan", venue, client), Unknown)
            assert isinstance(await place("plan", venue, other), Accepted)
            async with mx.Client(endpoint, *keys, journal=tmp_path / "j") as client:
                with pytest.raises(mx.NotReady, match="1 requests"):
                    await client.orders.start(settle_within_s=1)
                unknown, = client.orders.unresolved
                client.conditional.settle(unknown, waiting(venue)[0])
                await client.orders.start()
                assert client.orders.is_ready and not client.orders.unresolved
            assert not replay((tmp_path / "j").read_bytes())[0].unsettled

    asyncio.run(story())


def test_a_client_that_has_not_started_looks_when_it_is_asked():
    async def story():
        async with trading() as (venue, client):
            await client.orders.resolver.close()
            for executed in (True, False):
                spoil(venue, "502", "planorder/place/v2", executed)
                unknown = await place("plan", venue, client, "0.9" if executed else "0.8")
                fate = await client.conditional.resolve(unknown)
                assert type(fate) is (Accepted if executed else Rejected)
            with pytest.raises(mx.IntentError, match="still in doubt"):
                await client.conditional.resolve(Unknown(mx.errors.ConnectionLost("x")))

    asyncio.run(story())


def test_a_cancelled_call_stays_on_the_list():
    async def story():
        async with trading() as (venue, client):
            venue.faults.hang("planorder/place/v2", seconds=5, after_execute=True)
            task = asyncio.create_task(place("plan", venue, client))
            while not waiting(venue):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            unknown, = client.orders.unresolved
            fate = await client.conditional.resolve(unknown)
            assert isinstance(fate, Accepted) and [fate.order_id] == waiting(venue)

    asyncio.run(story())


def test_nothing_is_placed_before_the_journal_is_open(tmp_path):
    async def story():
        async with trading() as (venue, _), mx.Client(
                venue.rest_url, venue.access_key, venue.secret, journal=tmp_path / "j") as client:
            await client.orders.load_contracts()
            with pytest.raises(mx.NotReady):
                await place("plan", venue, client)
            assert sent(venue, PATHS["plan"][0]) == 0

    asyncio.run(story())


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("kind", PATHS)
def test_what_an_earlier_run_placed_leaves_no_doubt_open(tmp_path, kind, executed):
    """Another order, born in the same moment and changed since, was accepted before the restart."""
    async def story():
        async with trading() as (venue, _):
            endpoint = Endpoint.at(venue.rest_url, recv_window_s=1)
            async with mx.Client(endpoint, venue.access_key, venue.secret,
                                 journal=tmp_path / "orders") as first:
                await first.orders.start()
                other = await place(kind, venue, first, "0.95")
                assert isinstance(await change(kind, venue, first, other.order_id), Accepted)
                assert isinstance(await cancel(kind, first, other.order_id), Accepted)
                spoil(venue, "502", PATHS[kind][0], executed)
                assert isinstance(await place(kind, venue, first), Unknown)
            there = waiting(venue)
            assert len(there) == executed
            async with mx.Client(endpoint, venue.access_key, venue.secret,
                                 journal=tmp_path / "orders") as second:
                settled: list[object] = []
                second.orders.on_settled.append(settled.append)
                await second.orders.start(settle_within_s=40)
                fate, = settled
                assert isinstance(fate, Accepted if executed else Rejected)
                assert not executed or [fate.order_id] == there

    asyncio.run(story())


@needs_kill
@pytest.mark.parametrize("point", ["journalled", "sent"])
@pytest.mark.parametrize("kind", PATHS)
def test_kill_9(tmp_path, kind, point):
    """Between the journal's line and the answer: the next start settles it."""
    async def story():
        path = tmp_path / "orders"
        async with trading() as (venue, _):
            await killed_where_it_says_here(RUN, venue.rest_url, venue.access_key, venue.secret,
                                            str(path), kind, point)
            left = replay(path.read_bytes())[0].unsettled
            assert [entry.what for entry in left.values()] == [
                {"plan": "plan_place", "stop": "stop_place", "trailing": "track_place"}[kind]]
            there = waiting(venue)
            assert len(there) == (1 if point == "sent" else 0)
            endpoint = Endpoint.at(venue.rest_url, recv_window_s=1)
            async with mx.Client(endpoint, venue.access_key, venue.secret,
                                 journal=path) as client:
                settled: list[object] = []
                client.orders.on_settled.append(settled.append)
                await client.orders.start()
                fate, = settled
                if point == "sent":
                    assert isinstance(fate, Accepted) and [fate.order_id] == there
                else:
                    assert isinstance(fate, Rejected) and fate.reason == "NotFound"
            assert waiting(venue) == there, "nothing was sent again"
            assert not replay(path.read_bytes())[0].unsettled

    asyncio.run(story())
