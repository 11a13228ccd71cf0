"""kill -9 between sending and answer: the next run settles every intent to the exchange's truth."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import mexcfast as mx
from children import killed_where_it_says_here, needs_kill
from mexcfast.core.journal import Ledger, replay
from mexcfast.core.rest import Endpoint
from mexcfast.net.orders import Orders
from mexcfast.sim import Exchange

RUN = Path(__file__).with_name("order_run.py")


@needs_kill
@pytest.mark.parametrize(("what", "point", "lane", "in_doubt"), [
    ("create", "journalled", "auto", 1), ("create", "sent", "auto", 1),
    ("create", "sent", "off", 1), ("create", "answered", "off", 1), ("create", "torn", "auto", 0),
    ("amend", "journalled", "off", 1), ("amend", "sent", "auto", 1), ("amend", "sent", "off", 1),
    ("amend", "answered", "auto", 1),
    ("cancel", "leaving", "auto", 0), ("cancel", "sent", "auto", 0), ("cancel", "sent", "off", 0)])
def test_every_intent_is_settled_and_none_doubled(tmp_path, what, point, lane, in_doubt):
    async def story() -> None:
        path = tmp_path / "orders"
        async with Exchange(seed=5, limits=False, updates_per_second=5) as venue:
            await killed_where_it_says_here(RUN, venue.rest_url, venue.access_key, venue.secret,
                                            str(path), what, point, lane)
            left, _torn = replay(path.read_bytes())
            assert len(left.unsettled) >= in_doubt
            placed = len(venue.account.orders)
            endpoint = Endpoint.at(venue.rest_url, recv_window_s=1)
            async with mx.Client(endpoint, venue.access_key, venue.secret,
                                 journal=path) as client:
                settled: list[object] = []
                client.orders.on_settled.append(settled.append)
                with pytest.raises(mx.NotReady):
                    await client.orders.submit("BTC_USDT", 1, 1, 1, leverage=20)
                await client.start(settle_within_s=30)
                check(venue, client.orders, left, settled)
                # Trading goes on with ids that were never used.
                more = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1,
                                                  venue.book("BTC_USDT").bids[9][0], leverage=20,
                                                  wait=True)
                assert isinstance(more, mx.Accepted)
                assert len(venue.account.orders) == placed + 1, "nothing was sent again"
            assert not replay(path.read_bytes())[0].unsettled

    asyncio.run(story())


def check(venue: Exchange, orders: Orders, left: Ledger, settled) -> None:
    account = venue.account
    truth = {order.external_oid: order for order in account.orders.values()}
    assert len(truth) == len(account.orders)
    creates = {name for name, entry in left.unsettled.items() if entry.what == "create"}
    amends = {entry.order_id for entry in left.unsettled.values() if entry.what == "amend"}
    told = {outcome.client_order_id for outcome in settled} - {None}
    assert told == creates
    assert len(settled) == len(left.unsettled)
    for outcome in settled:
        if outcome.client_order_id in truth:
            assert isinstance(outcome, mx.Accepted)
            assert outcome.order_id == truth[outcome.client_order_id].id
        elif outcome.client_order_id is not None:
            assert isinstance(outcome, mx.Rejected) and outcome.reason == "NotFound"
        elif isinstance(outcome, mx.Accepted):
            heir = account.orders[outcome.order_id]
            assert heir.is_open and heir.external_oid.startswith("_m_")
        else:
            assert outcome.order_id in amends and account.orders[outcome.order_id].is_open
    assert not orders.unresolved
    # ... and heirs of amends count among our own.
    assert {order.order_id for order in orders.open_orders()} == set(account.open_orders)


def test_what_an_amend_has_left_is_ours_after_a_restart_until_it_ends(tmp_path):
    """The venue gives it a name of its own: only the journal knows whose it is."""
    async def story() -> None:
        path = tmp_path / "orders"
        async with Exchange(seed=5, limits=False, updates_per_second=5) as venue:
            def run() -> mx.Client:
                return mx.Client(venue.rest_url, venue.access_key, venue.secret, journal=path)

            price = venue.book("BTC_USDT").bids[9][0]
            heirs = []
            async with run() as client:
                await client.start()
                for _ in range(2):
                    placed = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1, price,
                                                        leverage=20)
                    amended = await client.orders.amend("BTC_USDT", placed.order_id, price - 1, 2)
                    heirs.append(amended.order_id)
            async with run() as client:
                await client.start()
                known = {order.order_id: order for order in client.orders.open_orders()}
                assert set(known) == set(heirs)
                assert known[heirs[0]].is_ours and known[heirs[0]].quantity == 2
                await client.orders.cancel([heirs[0]])
                await known[heirs[0]].done()
            venue.venue.cancel(venue.account, venue.account.orders[heirs[1]])    # nobody sees it
            venue.account.orders.pop(heirs[1])          # nor does the venue know it any more
            venue.venue.orders.pop(heirs[1])
            async with run() as client:
                await client.start()
                assert not client.orders.open_orders()
            assert not replay(path.read_bytes())[0].heirs

    asyncio.run(story())


def test_a_request_is_not_called_absent_while_a_venue_whose_clock_went_back_may_take_it():
    """It hangs for longer than its window; meanwhile the clock goes back, and it is in time."""
    async def story() -> None:
        async with Exchange(seed=5, limits=False, updates_per_second=5) as venue:
            endpoint = Endpoint.at(venue.rest_url, recv_window_s=1, timeout_ms=300)
            async with mx.Client(endpoint, venue.access_key, venue.secret) as client:
                settled: list[object] = []
                client.orders.on_settled.append(settled.append)
                await client.start()
                venue.faults.hang("order/create", 3.0, after_execute=False)
                outcome = await client.orders.submit(
                    "BTC_USDT", mx.Side.OPEN_LONG, 1, venue.book("BTC_USDT").bids[9][0],
                    leverage=20)
                assert isinstance(outcome, mx.Unknown)
                case, = client.orders.resolver.cases.values()
                while case.absence.looks < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                venue.faults.clock_jump(-2500)
                async with asyncio.timeout(60):
                    await client.orders.resolver.until_empty()
                assert [type(one) for one in settled] == [mx.Accepted]
                assert len(venue.account.open_orders) == 1

    asyncio.run(story())


def test_a_quick_restart_keeps_the_venues_budget(tmp_path):
    """What an earlier run has sent within the window counts, through two restarts."""
    async def story() -> None:
        async with Exchange(seed=5, updates_per_second=5) as venue:
            price = venue.book("BTC_USDT").bids[9][0]
            for orders in (4, 0, 2):
                async with mx.Client(venue.rest_url, venue.access_key, venue.secret,
                                     journal=tmp_path / "orders") as client:
                    await client.start()
                    for _ in range(orders):
                        placed = await client.orders.submit(
                            "BTC_USDT", mx.Side.OPEN_LONG, 1, price, leverage=20, wait=True)
                        assert isinstance(placed, mx.Accepted), placed
            assert not [one for one in venue.requests if '"code":510' in one.reply]

    asyncio.run(story())
