"""kill -9 between sending and answer: the next run settles every intent to the exchange's truth."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

import mexcfast as mx
from mexcfast.core.journal import replay
from mexcfast.core.rest import Endpoint
from mexcfast.net.orders import Orders
from mexcfast.sim import Exchange

RUN = Path(__file__).with_name("order_run.py")


async def killed(venue: Exchange, journal: Path, point: str) -> None:
    """Start the bot, wait for its point, kill it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(RUN), venue.rest_url, venue.access_key, venue.secret, str(journal),
        point, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert child.stdout is not None
    assert (await child.stdout.readline()).strip() == b"here"
    child.send_signal(signal.SIGKILL)
    await child.wait()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
@pytest.mark.parametrize(("point", "in_doubt"), [
    ("journalled", 1), ("sent", 1), ("answered", 1), ("torn", 0)])
def test_every_intent_is_settled_and_none_doubled(tmp_path, point, in_doubt):
    async def story() -> None:
        path = tmp_path / "orders"
        async with Exchange(seed=5, limits=False, updates_per_second=5) as venue:
            await killed(venue, path, point)
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
                check(venue, client.orders, left.unsettled, settled)
                # Trading goes on with ids that were never used.
                more = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1,
                                                  venue.book("BTC_USDT").bids[9][0], leverage=20)
                assert isinstance(more, mx.Accepted)
                assert len(venue.account.orders) == placed + 1, "nothing was sent again"
            assert not replay(path.read_bytes())[0].unsettled

    asyncio.run(story())


def check(venue: Exchange, orders: Orders, unsettled, settled) -> None:
    truth = {order.external_oid: order for order in venue.account.orders.values()}
    assert max(Counter(order.external_oid for order in venue.account.orders.values()).values()) == 1
    assert {outcome.client_order_id for outcome in settled} == set(unsettled)
    for outcome in settled:
        if outcome.client_order_id in truth:
            assert isinstance(outcome, mx.Accepted)
            assert outcome.order_id == truth[outcome.client_order_id].id
        else:
            assert isinstance(outcome, mx.Rejected) and outcome.reason == "NotFound"
    assert not orders.unresolved
    assert {order.order_id for order in orders.open_orders()} == set(venue.account.open_orders)
