"""Layer 4: what happens when things fail; stock's way is written down beside ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt
import pytest

from adapters.ccxt_support import MARKET, NEEDS_CCXT, OURS, STOCK, SYMBOL, online, until
from mexcfast.sim import Exchange, Variations

pytestmark = NEEDS_CCXT

OPEN = {"leverage": 20, "openType": 1}
Scene = Callable[[Exchange, Any], Awaitable[None]]


def play(scene: Scene, kind: type = OURS, config: dict[str, Any] | None = None,
         **settings: Any) -> None:
    settings = {"levels": 30, "updates_per_second": 200, "merge_ms": 10, "limits": False,
                "symbols": (MARKET, "ETH_USDT"), **settings}

    async def main() -> None:
        async with Exchange(**settings) as venue:
            client = online(kind, venue, **(config or {}))
            try:
                async with asyncio.timeout(60):
                    await scene(venue, client)
            finally:
                await client.close()

    asyncio.run(main())


def is_true(venue: Exchange, book: dict[str, Any]) -> bool:
    truth = venue.book_at(MARKET, book["nonce"])
    return ([row[:2] for row in book["bids"]] == [[float(p), q] for p, q, _ in truth.bids]
            and [row[:2] for row in book["asks"]] == [[float(p), q] for p, q, _ in truth.asks])


def machine(client: Any) -> Any:
    return client._keepers[MARKET].machine


def test_a_gap_is_mended() -> None:
    """Allowed: gap. Stock goes on with a book that is wrong until each level changes again."""
    async def ours(venue: Exchange, client: Any) -> None:
        await client.watch_order_book(SYMBOL)
        for _ in range(3):
            gaps = machine(client).gaps
            venue.faults.drop("depth", MARKET, 2)
            await until(lambda before=gaps: machine(client).gaps > before)
            for _ in range(5):
                assert is_true(venue, await client.watch_order_book(SYMBOL))
        assert len(client.clients) == 1           # the socket has nothing to do with it

    async def stock(venue: Exchange, client: Any) -> None:
        book = await client.watch_order_book(SYMBOL)
        wrong = 0
        for _ in range(40):
            venue.faults.drop("depth", MARKET, 1)
            wrong += not is_true(venue, await client.watch_order_book(SYMBOL))
        assert wrong and book is client.orderbooks[SYMBOL]

    play(ours)
    play(stock, STOCK)


def test_a_lost_connection_starts_the_book_anew() -> None:
    """Allowed: gap. Stock raises NetworkError too, then continues the old book over the hole."""
    async def scene(venue: Exchange, client: Any) -> None:
        kept = await client.watch_order_book(SYMBOL)
        for _ in range(2):
            venue.faults.cut(MARKET)
            with pytest.raises(ccxt.NetworkError):
                while True:
                    await client.watch_order_book(SYMBOL)
            for _ in range(5):
                book = await client.watch_order_book(SYMBOL)
                assert book is kept and is_true(venue, book)

    play(scene)


def test_reconnects_over_and_over_leave_no_task() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.watch_order_book(SYMBOL)
        tasks = len(asyncio.all_tasks())
        for _ in range(8):
            venue.faults.cut(MARKET)
            with pytest.raises(ccxt.NetworkError):
                while True:
                    await client.watch_order_book(SYMBOL)
            await client.watch_order_book(SYMBOL)
        await until(lambda: len(asyncio.all_tasks()) <= tasks + 2)
        assert len(client.clients) == 1 and len(client._keepers) == 1

    play(scene)


def test_a_half_open_socket_is_given_up() -> None:
    """As stock: no pong within two keep-alives is RequestTimeout, the next watch dials anew."""
    async def scene(venue: Exchange, client: Any) -> None:
        await client.watch_order_book(SYMBOL)
        venue.faults.half_open(MARKET)
        with pytest.raises(ccxt.RequestTimeout):
            while True:
                await client.watch_order_book(SYMBOL)
        assert is_true(venue, await client.watch_order_book(SYMBOL))

    play(scene, config={"streaming": {"keepAlive": 150}})


def test_wrong_keys_are_an_error() -> None:
    """Allowed: refused. Stock waits for ever; books on the same socket go on."""
    async def ours(venue: Exchange, client: Any) -> None:
        client.secret = "wrong"
        await client.watch_order_book(SYMBOL)
        for watch in (client.watch_orders, client.watch_my_trades, client.watch_balance,
                      client.watch_positions):
            with pytest.raises(ccxt.AuthenticationError):
                await watch()
        assert is_true(venue, await client.watch_order_book(SYMBOL))
        assert len(client.clients) == 1
        client.secret = venue.secret
        watch = asyncio.create_task(client.watch_balance())
        await until(lambda: any(session.account for session in venue._hub.sessions))
        await client.create_order(SYMBOL, "market", "buy", 1, None, OPEN)
        assert (await watch)["USDT"]["free"] > 0

    async def stock(venue: Exchange, client: Any) -> None:
        client.secret = "wrong"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.watch_orders(), 0.5)

    play(ours)
    play(ours, variations=Variations(login_error="rs.login"))
    play(stock, STOCK)


def test_an_unknown_contract_is_an_error() -> None:
    """Allowed: refused. A contract the venue has dropped meanwhile."""
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        gone = {**client.markets["ETH/USDT:USDT"], "id": "GONE_USDT", "symbol": "GONE/USDT:USDT"}
        client.set_markets([*client.markets.values(), gone])
        for watch in (client.watch_order_book, client.watch_trades, client.watch_ticker,
                      client.watch_ohlcv):
            with pytest.raises((ccxt.BadSymbol, ccxt.ExchangeError)):
                await watch("GONE/USDT:USDT")
        assert is_true(venue, await client.watch_order_book(SYMBOL))

    play(scene)


def test_a_quiet_book_comes_at_once() -> None:
    """Allowed: first book. Stock waits for 25 changes, on a quiet contract for ever."""
    async def ours(venue: Exchange, client: Any) -> None:
        assert is_true(venue, await client.watch_order_book(SYMBOL))

    async def stock(venue: Exchange, client: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.watch_order_book(SYMBOL), 0.7)

    play(ours, updates_per_second=0)
    play(stock, STOCK, updates_per_second=0)


def test_an_old_snapshot_is_not_believed() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        venue.faults.snapshot_lag(MARKET, 400, 3)
        for _ in range(5):
            assert is_true(venue, await client.watch_order_book(SYMBOL))

    play(scene)


def test_a_slow_or_refused_snapshot_is_asked_for_again() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        venue.faults.http_status("depth/BTC_USDT", 503, count=2)
        assert is_true(venue, await client.watch_order_book(SYMBOL))
        await client.un_watch_order_book(SYMBOL)
        venue.faults.throttle("depth/BTC_USDT", 1)
        assert is_true(venue, await client.watch_order_book(SYMBOL))

    play(scene)


def test_a_book_that_cannot_be_loaded_is_an_error_of_its_own() -> None:
    """Stock closes the whole socket; here the others go on and the next watch tries again."""
    async def scene(venue: Exchange, client: Any) -> None:
        await client.watch_order_book("ETH/USDT:USDT")
        socket = next(iter(client.clients.values()))
        venue.faults.http_status("depth/BTC_USDT", 500, count=2)
        with pytest.raises(ccxt.ExchangeError):
            await client.watch_order_book(SYMBOL)
        await client.watch_order_book("ETH/USDT:USDT")
        assert is_true(venue, await client.watch_order_book(SYMBOL))
        assert next(iter(client.clients.values())) is socket

    play(scene, config={"options": {"mexcfast": {"snapshotTries": 2}}})


def test_a_late_frame_makes_no_book() -> None:
    """Allowed: late frame."""
    async def run(kind: type) -> tuple[bool, int]:
        async with Exchange(levels=30, updates_per_second=200, merge_ms=0, limits=False,
                            symbols=(MARKET,)) as venue:
            client = online(kind, venue)
            async with asyncio.timeout(30):
                await client.watch_order_book(SYMBOL)
                socket = next(iter(client.clients.values()))
                await client.un_watch_order_book(SYMBOL)
                frame = {"channel": "push.depth", "symbol": MARKET, "ts": 1, "data": {
                    "asks": [[1, 1, 1]], "bids": [], "begin": 5, "end": 5, "version": 5}}
                for _ in range(3):
                    client.handle_message(socket, frame)
                found = SYMBOL in client.orderbooks
                await client.close()
            return found, 0

    assert asyncio.run(run(STOCK))[0] is True
    assert asyncio.run(run(OURS))[0] is False


def test_garbled_frames_do_not_end_the_stream() -> None:
    """Stock's receive loop ends with the first frame that is no JSON; every watch then hangs."""
    async def scene(venue: Exchange, client: Any) -> None:
        await client.watch_order_book(SYMBOL)
        for fault in (venue.faults.garble, venue.faults.truncate, venue.faults.dribble):
            done = len(venue.faults.log)
            fault("depth", MARKET, 1)
            while len(venue.faults.log) == done:
                assert is_true(venue, await client.watch_order_book(SYMBOL))
            for _ in range(10):
                assert is_true(venue, await client.watch_order_book(SYMBOL))

    play(scene)


def test_refusals_of_the_venue_are_ccxts_errors() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        bid = float(venue.book(MARKET).bids[3][0])
        order = (SYMBOL, "limit", "buy", 1, bid, OPEN)
        for create in (client.create_order, client.create_order_ws):
            with pytest.raises(ccxt.InsufficientFunds):
                await create(SYMBOL, "limit", "buy", 10**6, bid, OPEN)
            venue.faults.throttle("order/create", 1)
            with pytest.raises(ccxt.RateLimitExceeded):
                await create(*order)
            await asyncio.sleep(0)
        with pytest.raises(ccxt.InvalidOrder):
            await client.create_order_ws(SYMBOL, "limit", "buy", 1, 10**9, OPEN)
        with pytest.raises(ccxt.BadRequest, match="nonsense"):
            await client.create_order_ws(*order[:5], {"nonsense": 1})

    play(scene)


def test_rest_fails_as_stock_does() -> None:
    """The same exception, text but for the port included, and the same things left behind."""
    async def run(kind: type) -> list[str]:
        found = []
        async with Exchange(updates_per_second=0, limits=False, symbols=(MARKET,)) as venue:
            client = online(kind, venue, timeout=400, returnResponseHeaders=True)
            await client.load_markets()
            for fault in (
                lambda: venue.faults.http_status("contract/ping", 503),
                lambda: venue.faults.http_status("contract/ping", 404),
                lambda: venue.faults.html("contract/ping", 403),
                lambda: venue.faults.garble_answer("contract/ping"),
                lambda: venue.faults.truncate_answer("contract/ping"),
                lambda: venue.faults.lose_answer("contract/ping"),
                lambda: venue.faults.hang("contract/ping", 1.0),
                lambda: venue.faults.throttle("contract/ping"),
                lambda: None,
            ):
                fault()
                try:
                    answer = await client.contractPublicGetPing()
                    keys = sorted(answer) if isinstance(answer, dict) else len(answer)
                    found.append(f"{type(answer).__name__} {keys}")
                except Exception as error:
                    found.append(f"{type(error).__name__}: {error}".replace(venue.rest_url, ""))
                found.append(f"{sorted(client.last_response_headers)} "
                             f"{len(client.last_http_response)} {client.last_request_headers}")
            await client.close()
        client.clients = {}
        client.closed_by_user = False
        try:
            await client.contractPublicGetPing()
        except Exception as error:
            found.append(type(error).__name__)
        await client.close()
        return found

    stock, ours = asyncio.run(run(STOCK)), asyncio.run(run(OURS))
    assert ours == stock and len(ours) == 19
    assert {one.partition(":")[0] for one in ours[::2]} >= {
        "ExchangeNotAvailable", "RequestTimeout", "RateLimitExceeded"}


def test_an_unknown_outcome_is_not_called_a_failure() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        bid = float(venue.book(MARKET).bids[3][0])
        venue.faults.lose_answer("order/create", 1)
        with pytest.raises(ccxt.RequestTimeout, match="mine-7"):
            await client.create_order_ws(SYMBOL, "limit", "buy", 1, bid,
                                         {**OPEN, "clientOrderId": "mine-7"})
        (order,) = await client.fetch_open_orders(SYMBOL)
        assert order["info"]["externalOid"] == "mine-7"       # it was executed

    play(scene)


def test_the_handshake() -> None:
    """Allowed: no compression. A refused handshake is ccxt's NetworkError and grows its backoff."""
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        venue.faults.ban(0.4)
        with pytest.raises(ccxt.NetworkError):
            await client.watch_order_book(SYMBOL)
        assert client.ws_dial_backoff
        while True:
            try:
                assert is_true(venue, await client.watch_order_book(SYMBOL))
                break
            except ccxt.NetworkError:
                await asyncio.sleep(0.05)
        assert not client.ws_dial_backoff

    play(scene)


def test_a_hundred_books() -> None:
    """All whole, few snapshots at a time, and nothing is left when it closes."""
    async def main() -> None:
        async with Exchange(levels=10, updates_per_second=2, merge_ms=0, limits=False,
                            symbols=100) as venue:
            client = online(OURS, venue)
            await client.load_markets()
            symbols = list(client.markets)
            before = asyncio.all_tasks()
            async with asyncio.timeout(120):
                books = await asyncio.gather(*(client.watch_order_book(one) for one in symbols))
            assert len({book["symbol"] for book in books}) == 100
            venue.updates_per_second = 0
            for market in client.markets.values():
                venue.flush(market["id"])
            await venue.act_handled(lambda: venue.step(1, MARKET))
            for symbol, book in client.orderbooks.items():
                truth = venue.book(client.market(symbol)["id"])
                assert book["nonce"] == truth.version
                assert [row[:2] for row in book["asks"]] == [
                    [float(p), q] for p, q, _ in truth.asks]
            await client.close()
            await until(lambda: not venue._hub.sessions)
            assert not [task for task in asyncio.all_tasks() - before
                        if "sim" not in repr(task)]
            assert not client._background and client.session is None

    asyncio.run(main())


def test_close_in_the_middle_of_everything_leaves_nothing() -> None:
    async def main() -> None:
        async with Exchange(levels=10, updates_per_second=100, limits=False,
                            symbols=(MARKET,)) as venue:
            before = asyncio.all_tasks()
            client = online(OURS, venue)
            venue.faults.hang("depth/BTC_USDT", 2, count=1)
            watches = [asyncio.create_task(watch) for watch in (
                client.watch_order_book(SYMBOL), client.watch_orders(), client.watch_positions())]
            await until(lambda: client._keepers and venue._hub.sessions)
            await client.create_order_ws(SYMBOL, "market", "buy", 1, None, OPEN)
            await client.close()
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await until(lambda: not venue._hub.sessions)
            await until(lambda: not [task for task in asyncio.all_tasks() - before
                                     if "sim" not in repr(task)])

    asyncio.run(main())
