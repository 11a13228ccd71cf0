"""net/resolver on the embedded exchange: every kind of doubt ends in the exchange's truth."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

import mexcfast as mx
from mexcfast.core.rest import Endpoint
from mexcfast.core.tracker import Phase
from mexcfast.sim import Exchange, Limits, Variations
from mexcfast.types import Accepted, Rejected, Unknown

pytestmark = pytest.mark.usefixtures("path")      # both ways of order entry

SYMBOL = "BTC_USDT"


@asynccontextmanager
async def trading(*, stream=False, **settings):
    """A quiet exchange and a ready client; without the stream only REST tells."""
    settings = {"updates_per_second": 0, "limits": False, **settings}
    async with asyncio.timeout(40), Exchange(seed=3, **settings) as venue:
        endpoint = Endpoint.at(venue.rest_url, recv_window_s=1)
        async with mx.Client(endpoint, venue.access_key, venue.secret) as client:
            await (client.start() if stream else client.orders.start())
            settled: list[object] = []
            client.orders.on_settled.append(settled.append)
            yield venue, client.orders, settled


def play(story, **settings):
    async def main():
        async with trading(**settings) as (venue, orders, settled):
            await story(venue, orders, settled)

    asyncio.run(main())


async def place(venue, orders, level=5, **more):
    price = venue.book(SYMBOL).bids[level][0]
    return await orders.submit(SYMBOL, mx.Side.OPEN_LONG, 5, price, leverage=10, **more)


async def resting(venue, orders, level=5):
    outcome = await place(venue, orders, level)
    assert isinstance(outcome, Accepted)
    return outcome.order_id


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("count", [1, 4])
def test_creates(executed, count):
    async def story(venue, orders, settled):
        venue.faults.http_status("order/create", 502, after_execute=executed, count=count)
        outcomes = await asyncio.gather(*(place(venue, orders) for _ in range(count)))
        assert all(isinstance(outcome, Unknown) for outcome in outcomes)
        await orders.resolver.until_empty()
        assert {type(outcome) for outcome in settled} == {Accepted if executed else Rejected}
        assert len(settled) == count and len(venue.account.orders) == count * executed
        assert len(orders.open_orders()) == count * executed
        for outcome in outcomes:
            phase = Phase.OPEN if executed else Phase.REJECTED
            assert orders.find(outcome.client_order_id).phase is phase

    play(story)


@pytest.mark.parametrize("executed", [True, False])
def test_amends(executed):
    async def story(venue, orders, settled):
        old = await resting(venue, orders)
        other = await resting(venue, orders, 8)
        venue.faults.http_status("order/change_limit_order", 500, after_execute=executed)
        price = venue.book(SYMBOL).bids[6][0]
        outcome = await orders.amend(SYMBOL, old, price, 7)
        assert isinstance(outcome, Unknown) and orders.unresolved == (outcome,)
        with pytest.raises(mx.IntentError, match="amend in doubt"):
            await orders.amend(SYMBOL, old, price, 7)
        await orders.resolver.until_empty()
        await orders.refresh()
        (fate,) = settled
        assert {order.order_id for order in orders.open_orders()} == set(
            venue.account.open_orders)
        if executed:
            assert isinstance(fate, Accepted) and fate.order_id not in (old, other)
            heir = orders.find(fate.order_id)
            assert heir.is_ours and heir.replaces == old and heir.quantity == 7
            assert orders.find(old).replaced_by == fate.order_id
        else:
            assert isinstance(fate, Rejected) and orders.find(old).phase is Phase.OPEN

    play(story)


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("what", ["id", "name", "one", "all"])
def test_cancels(executed, what):
    async def story(venue, orders, settled):
        order_id = await resting(venue, orders)
        order = orders.find(order_id)
        path = {"id": "order/cancel", "name": "order/batch_cancel_with_external",
                "one": "order/cancel_with_external", "all": "order/cancel_all"}[what]
        venue.faults.http_status(path, 503, after_execute=executed)
        if what == "all":
            outcome = await orders.cancel_all(SYMBOL)
        elif what == "one":
            outcome = await orders.cancel_one(SYMBOL, order.client_order_id)
        else:
            ids = [order_id] if what == "id" else [order.client_order_id]
            outcome, = await orders.cancel(ids, SYMBOL)
        assert isinstance(outcome, Unknown) and len(orders.unresolved) == 1
        if what == "all":       # an open order must be older than the request to say something
            order_ms = venue.account.orders[order_id].create_ms
            venue.account.orders[order_id].create_ms = order_ms - 10_000
        await orders.resolver.until_empty()
        assert [type(fate) for fate in settled] == [Accepted if executed else Rejected]
        assert len(venue.account.open_orders) == (0 if executed else 1)

    play(story)


def test_the_stream_settles_before_any_question():
    async def story(venue, orders, settled):
        venue.faults.lose_answer("order/create", 3)
        asked = sum("external" in request.path for request in venue.requests)
        outcomes = [await place(venue, orders) for _ in range(3)]
        await orders.resolver.until_empty()
        assert all(isinstance(o, Accepted | Unknown) for o in outcomes)
        assert {order.order_id for order in orders.open_orders()} == set(venue.account.orders)
        assert sum("external" in request.path for request in venue.requests) <= asked + 3

    play(story, stream=True)


def test_what_the_stream_missed_is_read_after_it_comes_back():
    async def story(venue, orders, settled):
        order = orders.find(await resting(venue, orders))
        done = asyncio.create_task(order.done())
        assert orders.is_current
        orders._executor.read_tries = 1
        venue.faults.http_status("order/list/open_orders", 500)
        venue.faults.cut()
        venue.venue.cancel(venue.account, venue.account.orders[order.order_id])
        while orders.is_current:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert await done is Phase.CANCELLED
        assert not orders.open_orders()
        while not orders.is_current:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    play(story, stream=True)


def test_pushes_before_and_after_the_answer_agree():
    for delay in (0.0, 0.1):
        async def story(venue, orders, settled):
            order = orders.find(await resting(venue, orders, 0))
            venue.trade(SYMBOL, "sell", 10_000)
            assert await order.done() is Phase.FILLED
            true = venue.account.orders[order.order_id]
            while not order.has_all_fills or order.filled_quantity < true.deal_vol:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert order.average_price == true.average
            assert order.fees == {"USDT": true.taker_fee + true.maker_fee}

        play(story, stream=True, variations=Variations(private_delay_seconds=delay))


def test_reads_of_the_resolver_keep_the_venues_limits():
    async def story(venue, orders, settled):
        venue.faults.lose_answer("order/create", 4)
        await asyncio.gather(*(place(venue, orders, wait=True) for _ in range(4)))
        await orders.resolver.until_empty()
        assert all('"code":510' not in request.reply for request in venue.requests)
        assert len(venue.account.orders) == 4

    play(story, limits=Limits())


def test_trading_is_not_ready_while_an_earlier_run_is_in_doubt(tmp_path):
    async def main():
        async with asyncio.timeout(30), Exchange(seed=3, limits=False) as venue:
            keys = (venue.access_key, venue.secret)
            async with mx.Client(venue.rest_url, *keys, journal=tmp_path / "j") as client:
                await client.orders.start()
                await client.orders.resolver.close()
                venue.faults.http_status("order/create", 500)
                assert isinstance(await place(venue, client.orders), Unknown)
            async with mx.Client(venue.rest_url, *keys, journal=tmp_path / "j") as client:
                with pytest.raises(mx.NotReady, match="1 requests"):
                    await client.orders.start(settle_within_s=0.3)
                assert len(client.orders.unresolved) == 1 and not client.orders.is_ready
                for call in (place(venue, client.orders),
                             client.orders.amend(SYMBOL, 1, 84000, 1)):
                    with pytest.raises(mx.NotReady):
                        await call

    asyncio.run(main())


def test_a_cancel_that_comes_too_late_corrects_our_view():
    async def story(venue, orders, settled):
        ids = [await resting(venue, orders, level) for level in (3, 4, 5)]
        for order_id in ids:        # without the stream nobody tells us
            venue.venue.cancel(venue.account, venue.account.orders[order_id])
        assert len(orders.open_orders()) == 3
        outcomes = await orders.cancel(ids)
        assert [outcome.code for outcome in outcomes] == [2041] * 3
        await asyncio.gather(*(orders.find(order_id).done() for order_id in ids))
        assert not orders.open_orders() and not settled and not orders.unresolved
        reads = [request for request in venue.requests if request.path.endswith("batch_query")]
        assert len(reads) == 1

    play(story)


def test_many_cancels_in_doubt_are_read_together():
    async def story(venue, orders, settled):
        ids = [await resting(venue, orders, level) for level in (3, 4, 5)]
        venue.faults.lose_answer("order/cancel")
        outcomes = await orders.cancel(ids)
        assert all(isinstance(outcome, Unknown) for outcome in outcomes)
        await orders.resolver.until_empty()
        assert [type(fate) for fate in settled] == [Accepted] * 3 and not orders.open_orders()

    play(story)
