"""Rehearsals: everything is walked, nothing is sent, and nothing of the client's own moves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

import mexcfast as mx
from mexcfast.errors import ConfigError, FrameError, IntentError
from mexcfast.rehearsal import Rehearsal
from mexcfast.sim import Exchange

SYMBOL = "BTC_USDT"
Story = Callable[[Exchange, mx.Client], Awaitable[None]]


def on_exchange(story: Story, *, spin: bool = True, keys: bool = True, **more: object) -> None:
    """Run a story on a loop that never sleeps; more: settings of the client."""

    async def main() -> None:
        async with asyncio.timeout(120), Exchange(seed=3) as venue:
            pair = (venue.access_key, venue.secret) if keys else (None, None)
            async with mx.Client(venue.rest_url, *pair, **more) as client:  # type: ignore[arg-type]
                await story(venue, client)

    mx.run(main(), spin=spin)


async def rehearsed(rehearsal: Rehearsal, times: int) -> None:
    """Wait until it has been walked, or refused, so often."""
    while rehearsal.count + rehearsal.refused < times:      # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(0)


def descriptors() -> int:
    """Files and sockets of this process, where the system tells."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_nothing_is_sent_and_nothing_of_the_client_moves() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        await client.orders.start()
        await client.book(SYMBOL)
        told: list[object] = []
        client.orders.on_change.append(told.append)
        free, asked = client._executor.free("create"), client.orders.ids.counter
        before = descriptors()
        rehearsal = await client.rehearse(SYMBOL, every=0.00005)
        await rehearsed(rehearsal, 300)
        assert rehearsal.refused == 0
        assert rehearsal._book.is_live and rehearsal._book.frames >= 300
        assert descriptors() <= before + 2      # both ends of its connection
        assert told == [] and client.orders.open_orders() == ()
        assert client.orders.ids.counter == asked
        assert client._executor.free("create") == free and client._executor.doubt_until_ms == 0
        assert len(list(rehearsal._orders.tracker)) <= 1        # the one whose end is due
        assert await client.orders.open() == ()

    on_exchange(story)


def test_orders_leave_as_ever_beside_it() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        book = await client.book(SYMBOL)
        rehearsal = await client.rehearse(SYMBOL, every=0.00005)
        await rehearsed(rehearsal, 20)
        outcome = await client.orders.submit(SYMBOL, mx.Side.OPEN_LONG, 1, book.best_bid,
                                             leverage=20)
        assert isinstance(outcome, mx.Accepted), outcome
        assert [order.client_order_id for order in await client.orders.open()] == [
            outcome.client_order_id]
        before = rehearsal.count
        await rehearsed(rehearsal, before + 20)
        ends = descriptors()
        rehearsal.close()
        rehearsal.close()
        assert descriptors() <= max(0, ends - 2)
        after = rehearsal.count
        for _ in range(1000):
            await asyncio.sleep(0)
        assert rehearsal.count <= after + 1                     # the one whose end was due

    on_exchange(story)


def test_limits_are_walked_too_and_may_end_it() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        await client.book(SYMBOL)
        rehearsal = await client.rehearse(SYMBOL)
        await rehearsed(rehearsal, 5)
        assert rehearsal.count == 0 and rehearsal.refused >= 5
        assert isinstance(rehearsal.why, IntentError) and "notional" in str(rehearsal.why)

    on_exchange(story, limits=mx.RiskLimits(max_notional=0.000001))


def test_what_goes_wrong_in_it_is_counted_and_said() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        rehearsal = await client.rehearse(SYMBOL)
        await rehearsed(rehearsal, 5)
        assert rehearsal.refused == 0
        rehearsal._frame = lambda: b"{"  # type: ignore[method-assign]
        while not rehearsal.refused:            # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        assert isinstance(rehearsal.why, FrameError)

    on_exchange(story)


@pytest.mark.parametrize(("spin", "keys", "symbol", "every", "words"), [
    (False, True, SYMBOL, 0.0003, "spin=True"),
    (True, False, SYMBOL, 0.0003, "lane"),
    (True, True, "NO_SUCH", 0.0003, "'NO_SUCH'"),
    (True, True, SYMBOL, 0.00001, "1e-05"),
    (True, True, SYMBOL, "often", "'often'"),
    (True, True, SYMBOL, True, "True"),
    (True, True, SYMBOL, float("nan"), "nan"),
])
def test_what_cannot_be_rehearsed_is_said(spin: bool, keys: bool, symbol: str, every: float,
                                          words: str) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        with pytest.raises(ConfigError) as caught:
            await client.rehearse(symbol, every=every)
        assert words in str(caught.value)

    on_exchange(story, spin=spin, keys=keys)


def test_what_nobody_foresaw_ends_it_and_is_told_once() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
        rehearsal = await client.rehearse(SYMBOL, every=0.00005)
        await rehearsed(rehearsal, 3)
        rehearsal._frame = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        while not told:                         # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert [type(what["exception"]) for what in told] == [ZeroDivisionError]
        assert rehearsal._turn not in rehearsal._turns

    on_exchange(story)


def test_without_loopback_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError("no loopback here")

    async def story(venue: Exchange, client: mx.Client) -> None:
        await client.orders.load_contracts()
        with monkeypatch.context() as patch:
            patch.setattr("mexcfast.rehearsal.socket.create_server", none)
            with pytest.raises(ConfigError, match="no loopback here"):
                await client.rehearse(SYMBOL)
        await rehearsed(await client.rehearse(SYMBOL), 1)

    on_exchange(story)


def test_the_keys_of_the_client_are_not_in_it() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        rehearsal = await client.rehearse(SYMBOL)
        mine, own = client._executor, rehearsal._executor
        assert own.access_key != mine.access_key and own._signer is not mine._signer
        assert own.endpoint.rest_url != mine.endpoint.rest_url

    on_exchange(story)
