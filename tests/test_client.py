"""The client against the embedded exchange: streams, feeds, orders, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from decimal import Decimal

import pytest

import mexcfast as mx
from mexcfast.core.depth import State
from mexcfast.errors import (
    AuthenticationError,
    BookError,
    ConfigError,
    ConnectFailed,
    VenueError,
)
from mexcfast.sim import Exchange, Variations
from mexcfast.types import OrderState

Story = Callable[[Exchange, mx.Client], Awaitable[None]]


def on_exchange(story: Story, *, keys: bool = True, **settings: object) -> None:
    """Run a story on a fresh exchange with a client that has its keys."""

    async def told() -> None:
        async with asyncio.timeout(30), Exchange(seed=3, **settings) as venue:  # type: ignore[arg-type]
            pair = (venue.access_key, venue.secret) if keys else (None, None)
            async with mx.Client(venue.rest_url, *pair) as client:
                await story(venue, client)

    asyncio.run(told())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


class Own(mx.Listener):
    def __init__(self) -> None:
        self.events: list[mx.Event] = []

    def on_event(self, event: mx.Event) -> None:
        self.events.append(event)

    def of(self, kind: type[mx.Event]) -> list[mx.Event]:
        return [event for event in self.events if isinstance(event, kind)]


def test_a_book_is_live_and_equals_the_exchange() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        book = await client.book("BTC_USDT")
        assert book.is_live and book.state == State.LIVE
        truth = venue.book_at("BTC_USDT", book.version)
        unit = Decimal(1).scaleb(-book.price_scale)
        bids, asks = book.exact()
        assert [(p * unit, q, n) for p, q, n in bids] == [tuple(level) for level in truth.bids]
        assert [(p * unit, q, n) for p, q, n in asks] == [tuple(level) for level in truth.asks]

    on_exchange(story, keys=False)


def test_a_book_feed_yields_rising_versions_and_unsubscribes() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        versions = []
        async with aclosing(client.book("ETH_USDT").__aiter__()) as books:  # type: ignore[type-var]
            async for book in books:
                versions.append(book.version)
                if len(versions) == 5:
                    break
        assert versions == sorted(set(versions))
        assert not client.market.books
        await until(lambda: any(r.method == "unsub.depth" for r in venue.requests))

    on_exchange(story, keys=False, merge_ms=0)


def test_cancelling_a_feed_leaves_nothing_behind() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        async def consume() -> None:
            async for _ in client.deals("BTC_USDT"):
                pass

        task = asyncio.create_task(consume())
        await until(lambda: any(r.method == "sub.deal" for r in venue.requests))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await until(lambda: any(r.method == "unsub.deal" for r in venue.requests))
        assert not client.market.pool.connections[0].topics

    on_exchange(story, keys=False)


def test_event_feeds_of_every_public_channel_deliver() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        market = client.market
        deals, tickers, ticker, top, kline, funding, index, fair = await asyncio.gather(
            market.deals("BTC_USDT"), market.tickers(), market.ticker("BTC_USDT"),
            market.top("BTC_USDT", 5), market.kline("BTC_USDT", "Min1"),
            market.funding_rate("BTC_USDT"), market.index_price("BTC_USDT"),
            market.fair_price("BTC_USDT"))
        assert deals.deals[0].price > 0
        assert {row.symbol for row in tickers.tickers} == set(venue.venue.markets)
        assert ticker.best_bid < ticker.best_ask
        assert len(top.bids) == 5 and top.bids[0][0] < top.asks[0][0]
        assert kline.low <= kline.close <= kline.high
        assert funding.symbol == index.symbol == fair.symbol == "BTC_USDT"
        assert index.price > 0 and fair.price > 0 and abs(funding.rate) < 1

    on_exchange(story, keys=False)


def test_candle_feeds_of_one_contract_keep_their_intervals_apart() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        async def some(interval: str) -> set[str | None]:
            seen = []
            async with aclosing(client.market.kline("BTC_USDT", interval).__aiter__()) as candles:
                async for candle in candles:
                    seen.append(candle.interval)
                    if len(seen) == 3:
                        return set(seen)
            return set()

        assert await asyncio.gather(some("Min1"), some("Min5")) == [{"Min1"}, {"Min5"}]

    on_exchange(story, keys=False, updates_per_second=200)


def test_a_slow_consumer_loses_the_oldest_and_knows_it() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        feed = client.deals("BTC_USDT", every=True, bound=2)
        async with aclosing(feed.__aiter__()) as events:  # type: ignore[type-var]
            await anext(events)
            before = client.market.pool.connections[0].reader.frames
            await until(lambda: client.market.pool.connections[0].reader.frames > before + 20)
            await anext(events)
            assert feed.dropped > 0

    on_exchange(story, keys=False, updates_per_second=500, merge_ms=0)


def test_an_unknown_contract_is_refused_with_the_venues_words() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        with pytest.raises(VenueError, match=r"deal NOPE_USDT was refused: .*exist"):
            await client.deals("NOPE_USDT")
        assert (await client.book("BTC_USDT")).is_live

    on_exchange(story, keys=False)


def test_a_contract_has_one_book_whoever_subscribed_first() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        client.subscribe(Own(), mx.topics.depth("BTC_USDT", compress=False))
        with pytest.raises(BookError, match="one kind of depth"):
            client.subscribe(Own(), mx.topics.depth("BTC_USDT"))
        assert await client.book("BTC_USDT") is client.market.books["BTC_USDT"]

    on_exchange(story, keys=False)


def test_names_that_cannot_be_contracts_are_refused_before_sending() -> None:
    client = mx.Client("http://127.0.0.1:9")
    for symbol in ("", "btc_usdt", "BTC USDT", "X" * 61):
        with pytest.raises(ValueError, match="symbol is"):
            client.book(symbol)
    with pytest.raises(ValueError, match="Hour1"):
        client.market.kline("BTC_USDT", "Hour1")


def test_an_order_rests_fills_in_parts_and_both_rivers_agree() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        own = Own()
        await client.listen(own)
        venue.trade("BTC_USDT", "buy", venue.book("BTC_USDT").asks[0][1])    # makes room
        bid = venue.book("BTC_USDT").bids[0][0] + Decimal("0.1")
        placed = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1000, bid, leverage=20)
        assert isinstance(placed, mx.Accepted) and placed.order_id
        best, quantity, orders = venue.book("BTC_USDT").bids[0]
        assert (best, quantity, orders) == (bid, 1000, 1)      # ours is part of the public book
        venue.trade("BTC_USDT", "sell", 400)
        venue.trade("BTC_USDT", "sell", 600)
        await until(lambda: sum(e.quantity for e in own.of(mx.events.FillUpdate)) == 1000)
        assert [e.quantity for e in own.of(mx.events.FillUpdate)] == [400, 600]
        await until(lambda: own.of(mx.events.OrderUpdate)[-1].state == OrderState.FILLED)
        order = await client.orders.get(placed.order_id)
        assert order.state is OrderState.FILLED and order.filled_quantity == 1000
        assert order.client_order_id == placed.client_order_id
        (position,) = await client.orders.positions("BTC_USDT")
        assert position.quantity == 1000
        assert own.of(mx.events.PositionUpdate)[-1].quantity == 1000
        assert own.of(mx.events.AssetUpdate)

    on_exchange(story, updates_per_second=1)


def test_a_lost_answer_is_unknown_and_resolves_to_the_one_order() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        await client.orders.load_contracts()
        venue.faults.lose_answer("/api/v1/private/order/create")
        price = venue.book("BTC_USDT").bids[5][0]
        outcome = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 5, price, leverage=10)
        assert isinstance(outcome, mx.Unknown)
        settled = await client.orders.resolve(outcome)
        assert isinstance(settled, mx.Accepted)
        (order,) = await client.orders.open("BTC_USDT")
        assert order.order_id == settled.order_id
        assert not client.orders.unresolved
        assert sum(r.path.endswith("order/create") for r in venue.requests) == 1

    on_exchange(story)


def test_refusals_are_typed_and_name_the_reason() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        top = venue.book("BTC_USDT").bids[0][0]
        far = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 5, top * 2, leverage=10)
        assert isinstance(far, mx.Rejected) and far.code == 2003
        with pytest.raises(ValueError, match=r"price.*0\.05|0\.05.*price"):
            await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 5, "84000.05", leverage=10)
        with pytest.raises(ValueError, match="NOPE_USDT"):
            await client.orders.submit("NOPE_USDT", mx.Side.OPEN_LONG, 5, 1, leverage=10)

    on_exchange(story)


def test_a_closed_client_says_so() -> None:
    async def story() -> None:
        async with Exchange(seed=3) as venue:
            async with mx.Client(venue.rest_url) as client:
                await client.book("BTC_USDT")
            with pytest.raises(ConnectFailed, match=r"depth ETH_USDT .* closed; allowed: a new"):
                await client.book("ETH_USDT")
            assert not client.market.pool.connections or all(
                each.is_closed for each in client.market.pool.connections)

    asyncio.run(story())


@pytest.mark.parametrize("jump_ms", [60_000, -60_000])
@pytest.mark.parametrize("synced", [True, False])
def test_a_login_refused_for_its_time_is_not_taken_for_wrong_keys(jump_ms: int, synced: bool
                                                                  ) -> None:
    async def story() -> None:
        async with (
            asyncio.timeout(20), Exchange(seed=3) as venue,
            mx.Client(venue.rest_url, venue.access_key, venue.secret) as client,
        ):
            if synced:
                await client.start()
                client.trader.forget(client.orders.feed)
            venue.faults.clock_jump(jump_ms)
            await client.listen(Own())
            assert client.trader.stream.is_live

    asyncio.run(story())


def test_wrong_keys_raise_at_once_on_both_rivers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "not-the-secret-7f3a"

    async def story() -> None:
        async with (
            asyncio.timeout(20), Exchange(seed=3) as venue,
            mx.Client(venue.rest_url, venue.access_key, secret) as client,
        ):
            with pytest.raises(AuthenticationError, match="login was refused"):
                await client.listen(Own())
            with pytest.raises(AuthenticationError):
                await client.listen(Own())
            with pytest.raises(VenueError) as refused:
                await client.orders.balances()
            assert refused.value.code == 602
            for shown in (repr(client), repr(client.orders), repr(client.trader),
                          str(refused.value)):
                assert secret not in shown

    asyncio.run(story())
    assert secret not in caplog.text


def test_without_keys_the_private_side_says_what_is_missing(
        monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        with pytest.raises(ConfigError, match="MEXC_API_KEY"):
            await client.listen(Own())
        with pytest.raises(ConfigError):
            await client.orders.balances()

    on_exchange(story, keys=False)
    with pytest.raises(ConfigError, match="access_key and secret"):
        mx.Client("http://127.0.0.1:9", access_key="only one")
    monkeypatch.setenv("MEXC_API_KEY", "mx0key")
    monkeypatch.delenv("MEXC_API_SECRET", raising=False)
    with pytest.raises(ConfigError, match="MEXC_API_SECRET"):
        mx.Client.from_env()
    monkeypatch.setenv("MEXC_API_SECRET", "hidden")
    assert "hidden" not in repr(mx.Client.from_env())


def test_the_private_socket_comes_back_after_a_cut() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        own = Own()
        await client.listen(own)
        assert venue.faults.cut() == 1
        stream = client.trader.stream
        assert stream is not None
        await until(lambda: stream.logins == 2 and stream.is_live)
        await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 5,
                                   venue.book("BTC_USDT").bids[3][0], leverage=10)
        await until(lambda: bool(own.of(mx.events.OrderUpdate)))

    on_exchange(story)


def test_a_dead_host_is_waited_for_and_found() -> None:
    async def story() -> None:
        async with asyncio.timeout(20):
            async with Exchange(seed=3) as first:
                port = int(first.rest_url.rsplit(":", 1)[1])
            async with mx.Client(f"http://127.0.0.1:{port}") as client:
                waiting = asyncio.create_task(_live(client))
                connection = None
                while connection is None or "cannot connect" not in connection.lost_because:
                    await asyncio.sleep(0.01)
                    connection = next(iter(client.market.pool.connections), None)
                async with Exchange(seed=3, port=port):
                    assert (await waiting).is_live

    asyncio.run(story())


async def _live(client: mx.Client) -> mx.OrderBook:
    return await client.book("BTC_USDT")


@pytest.mark.parametrize("variations", [
    Variations(ids="int", ts="string", channel="first", deal_shape="object", level_elements=2,
               ack="code", create_reply="int", open_orders="paged"),
    Variations(ts="absent", ack="absent", create_reply="string", unknown_fields=True,
               client_id=True, unknown_channels=True, duplicate_pong=True, snapshot_bare=True,
               chinese=True),
])
def test_every_variation_of_the_venue_is_understood(variations: Variations) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        own = Own()
        await client.listen(own)
        book = await client.book("BTC_USDT")
        assert (await client.deals("BTC_USDT")).deals
        placed = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 5,
                                            venue.book("BTC_USDT").bids[3][0], leverage=10)
        assert isinstance(placed, mx.Accepted) and placed.order_id
        assert [o.order_id for o in await client.orders.open("BTC_USDT")] == [placed.order_id]
        assert book.is_live
        for connection in client.market.pool.connections:
            assert connection.reader.malformed == 0
            assert all(state.value == "live" for state in connection.topics.values())

    on_exchange(story, variations=variations)
