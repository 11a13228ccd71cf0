"""The WebSocket grammar, channels, login, filter and limits (protocol.md 5 to 9)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.sim import Exchange, Limits, Variations
from sim.sim_support import Client, Socket, play, sign

SYMBOL = "BTC_USDT"


@pytest.mark.parametrize("word", ["ping", "PING", "Ping"])
def test_pong_carries_data_and_ts(word: str) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.send(word)
        pong = await socket.receive()
        assert pong["channel"] == "pong" and set(pong) == {"channel", "data", "ts"}
        assert abs(pong["data"] - venue.clock_ms()) < 5_000

    play(scene)


STATES = [
    ("tickers", {}),
    ("ticker", {"symbol": SYMBOL}),
    ("depth.full", {"symbol": SYMBOL, "limit": 5}),
    ("depth.full", {"symbol": SYMBOL}),
    ("depth.step", {"symbol": SYMBOL, "step": "10"}),
    ("kline", {"symbol": SYMBOL, "interval": "Min60"}),
    ("funding.rate", {"symbol": SYMBOL}),
    ("index.price", {"symbol": SYMBOL}),
    ("fair.price", {"symbol": SYMBOL}),
]


@pytest.mark.parametrize(("channel", "param"), STATES)
def test_state_channels(channel: str, param: dict[str, Any]) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        venue.trade(SYMBOL, "buy", 10)
        socket = await client.socket()
        assert (await socket.subscribe(channel, **param))["data"] == "success"
        frame = await socket.channel(f"push.{channel}")
        data, book = frame["data"], venue.book(SYMBOL)
        if channel == "tickers":
            assert {one["symbol"] for one in data} == set(venue.venue.markets)
            assert "symbol" not in frame
        else:
            assert frame["symbol"] == SYMBOL
        if channel == "ticker":
            assert (data["bid1"], data["ask1"]) == (book.bids[0][0], book.asks[0][0])
        elif channel == "depth.full":
            limit = param.get("limit", 20)
            assert [tuple(one) for one in data["asks"]] == book.asks[:limit]
            assert [tuple(one) for one in data["bids"]] == book.bids[:limit]
            assert data["version"] == book.version
        elif channel == "depth.step":
            assert all(p % 10 == 0 for p, _, _ in data["asks"] + data["bids"])
            total = sum(q for p, q, _ in book.asks if p <= data["asks"][0][0])
            assert data["asks"][0][1] == total
        elif channel == "kline":
            assert data["h"] >= data["c"] >= data["l"] and data["q"] == 10
        await socket.send(f"unsub.{channel}", param)
        assert (await socket.channel(f"rs.unsub.{channel}"))["data"] == "success"

    play(scene)


@pytest.mark.parametrize(
    ("method", "param", "text"),
    [
        ("sub.depth", {"symbol": "NOPE_USDT"}, "Contract [NOPE_USDT] not exists"),
        ("sub.kline", {"symbol": SYMBOL, "interval": "Hour1"}, "Not support interval"),
        ("sub.depth.full", {"symbol": SYMBOL, "limit": 7}, "Not support limit"),
        ("sub.depth.step", {"symbol": SYMBOL, "step": "7"}, "Not support step"),
        ("sub.depth", {}, "symbol is required"),
        ("sub.depth", [], "symbol is required"),
        ("sub.depth", "x", "invalid param"),
        ("sub.nonsense", {"symbol": SYMBOL}, "Not support channel nonsense"),
        ("fly", {}, "Not support method fly"),
        ("personal.filter", {}, "Not logged in or login has expired"),
        ("login", {"apiKey": "x"}, "reqTime is required"),
        ("login", {"token": "x"}, "apiKey is required"),
    ],
)
def test_errors_keep_the_connection(method: str, param: Any, text: str) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.send(method, param)
        error = await socket.receive()
        assert (error["channel"], error["data"]) == ("rs.error", text)
        assert (await socket.subscribe("ticker", symbol=SYMBOL))["channel"] == "rs.sub.ticker"

    play(scene)


def test_bad_text_is_answered() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        for bad in ("", "{", "[]", "5", '{"method":5}',
                    '{"method":"sub.depth","param":{"symbol":[]}}',
                    "[" * 50_000, '{"method":"unsub.depth","param":7}',
                    '{"method":"unsub.ticker"}'):  # fmt: skip
            await socket.ws.send_str(bad)
            assert (await socket.receive())["channel"] == "rs.error"
        await socket.ws.send_bytes(b"\xff\xfe")
        assert (await socket.receive())["channel"] == "rs.error"
        await socket.ws.send_bytes(b'{"method":"ping"}')
        assert (await socket.receive())["channel"] == "pong"

    play(scene)


names = st.sampled_from(["login", "personal.filter", "sub.depth", "unsub.depth", "sub.depth.full",
                         "sub.kline", "unsub.kline", "sub.depth.step", "sub.tickers", "sub.deal",
                         "usub.depth.full", "sub.", "unsub.", "x"])  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(SYMBOL),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(["symbol", "limit", "interval", "step", "compress", "filters", "filter",
                         "rules", "apiKey", "reqTime", "signature"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(st.tuples(names, values), min_size=1, max_size=25))
def test_any_message_gets_a_typed_answer(messages: list) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.login()
        for method, param in messages:
            await socket.send(method, param)
            answer = await socket.until(lambda m: m["channel"].startswith("rs."))
            assert answer["channel"] in ("rs.error", f"rs.{method}", f"rs.un{method[1:]}"), answer

    play(scene, levels=5)


def test_deals_single_merged_and_object() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        merged, single = await client.socket(), await client.socket()
        await merged.subscribe("deal", symbol=SYMBOL)
        await single.subscribe("deal", symbol=SYMBOL, compress=False)
        asks = venue.book(SYMBOL).asks
        volume = asks[0][1] + 1
        assert venue.trade(SYMBOL, "buy", volume) == volume
        venue.flush(SYMBOL)
        whole = (await merged.channel("push.deal"))["data"]
        assert sum(one["v"] for one in whole) == volume and len(whole) >= 2
        assert {one["T"] for one in whole} == {1} and whole[-1]["p"] == asks[1][0]
        parts = [(await single.channel("push.deal"))["data"] for _ in whole]
        assert [part[0] for part in parts] == whole and {len(part) for part in parts} == {1}

    async def objects(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("deal", symbol=SYMBOL)
        venue.trade(SYMBOL, "sell", 1)
        venue.flush(SYMBOL)
        assert (await socket.channel("push.deal"))["data"]["T"] == 2

    play(scene, merge_ms=3_600_000)
    play(objects, variations=Variations(deal_shape="object"))


def test_unsubscribe_stops_the_pushes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        await socket.send("unsub.depth", {"symbol": SYMBOL})
        await socket.channel("rs.unsub.depth")
        venue.step(5, SYMBOL)
        await socket.send("ping")
        assert (await socket.receive())["channel"] == "pong"
        await socket.subscribe("kline", symbol=SYMBOL, interval="Min1")
        await socket.subscribe("kline", symbol=SYMBOL, interval="Min5")
        await socket.send("unsub.kline", {"symbol": SYMBOL})
        await socket.channel("rs.unsub.kline")
        venue.trade(SYMBOL, "buy", 5)
        venue.flush(SYMBOL)
        await socket.send("ping")
        assert (await socket.receive())["channel"] == "pong"

    play(scene)


async def private_channels(venue: Exchange, client: Client, socket: Socket) -> list[str]:
    """What arrives for one resting order on each of two contracts, up to a pong."""
    for symbol in (SYMBOL, "ETH_USDT"):
        await client.order(symbol=symbol, price=str(venue.book(symbol).bids[3][0]))
    await socket.send("ping")
    found = []
    while True:
        message = await socket.receive()
        if message["channel"] == "pong":
            return found
        name = message["channel"].removeprefix("push.personal.")
        found.append(f"{name} {message['data'].get('symbol', '')}".strip())


def test_login_and_filter() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        assert (await socket.login())["channel"] == "rs.login"
        everything = ["order BTC_USDT", "asset", "order ETH_USDT", "asset"]
        assert await private_channels(venue, client, socket) == everything

        async def choose(*filters: Any) -> str:
            await socket.send("personal.filter", {"filters": list(filters)})
            return (await socket.until(lambda m: m["channel"].startswith("rs.")))["channel"]

        assert await choose({"filter": "order", "rules": [SYMBOL]}) == "rs.personal.filter"
        assert await private_channels(venue, client, socket) == ["order BTC_USDT"]
        assert await choose({"filter": "asset", "rules": ["x"]}) == "rs.personal.filter"
        assert await private_channels(venue, client, socket) == ["asset", "asset"]
        assert await choose({"filter": "weather"}) == "rs.error"
        assert await choose({"filter": "order", "rules": 5}) == "rs.error"
        assert await private_channels(venue, client, socket) == ["asset", "asset"]
        assert await choose() == "rs.personal.filter"
        assert await private_channels(venue, client, socket) == everything

    play(scene)


@pytest.mark.parametrize("place", ["top", "param"])
def test_login_without_pushes(place: str) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        if place == "top":
            await socket.login(subscribe=False)
        else:
            time = str(venue.clock_ms())
            signed = sign(venue.secret, venue.access_key, time)
            param = {"apiKey": venue.access_key, "reqTime": int(time), "signature": signed,
                     "subscribe": False}  # fmt: skip
            await socket.send("login", param)
            await socket.channel("rs.login")
        assert await private_channels(venue, client, socket) == []
        await socket.send("personal.filter", {"filters": [{"filter": "order"}]})
        await socket.channel("rs.personal.filter")
        found = await private_channels(venue, client, socket)
        assert found == ["order BTC_USDT", "order ETH_USDT"]

    play(scene)


@pytest.mark.parametrize("shape", ["rs.error", "rs.login"])
def test_bad_login(shape: Any) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        secret, venue.secret = venue.secret, "wrong"
        assert (await socket.login())["channel"] == shape
        venue.secret = secret
        assert (await socket.login())["data"] == "success"
        time = str(venue.clock_ms() - 20_000)
        signed = sign(secret, venue.access_key, time)
        param = {"apiKey": venue.access_key, "reqTime": time, "signature": signed}
        await socket.send("login", param)
        late = await socket.receive()
        assert late["channel"] == shape and late["data"] != "success"

    play(scene, variations=Variations(login_error=shape))


def test_topic_limit() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        symbols = list(venue.venue.markets)
        for symbol in symbols[:30]:
            assert (await socket.subscribe("index.price", symbol=symbol))["data"] == "success"
        refused = await socket.subscribe("index.price", symbol=symbols[30])
        assert refused["channel"] == "rs.error"
        again = await socket.subscribe("index.price", symbol=symbols[0])
        assert again["channel"] == "rs.sub.index.price"

    play(scene, symbols=31, levels=5, limits=Limits())


def test_message_rate_closes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        for _ in range(101):
            await socket.send("ping")
        await socket.closed()

    play(scene, limits=Limits())


@pytest.mark.parametrize(
    ("limits", "subscribe"),
    [
        (Limits(time_scale=0.005, no_ping_seconds=None), False),
        (Limits(time_scale=0.002), True),
        (Limits(time_scale=0.00002, no_ping_seconds=None), True),
    ],
)
def test_idle_silent_and_old_connections_close(limits: Limits, subscribe: bool) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        if subscribe:
            await socket.subscribe("deal", symbol=SYMBOL)
        await socket.closed()
        assert (await client.market("ping"))["success"]

    play(scene, limits=limits)


def test_login_counts_as_subscription_and_ping_keeps_alive() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.login()
        for _ in range(10):
            await asyncio.sleep(0.05)
            await socket.send("ping")
            assert (await socket.channel("pong"))["data"]
        assert not socket.ws.closed

    play(scene, limits=Limits(time_scale=0.005))


def test_variations_of_envelopes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        assert (await socket.receive())["channel"] == "clientId"
        ack = await socket.subscribe("ticker", symbol=SYMBOL)
        assert ack["data"] == {"code": 0} and type(ack["ts"]) is str and ack["novelty"]
        await socket.send("ping")
        pongs = [await socket.channel("pong") for _ in range(2)]
        assert pongs[0] == pongs[1]

    async def without(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        assert await socket.subscribe("ticker", symbol=SYMBOL) == {"channel": "rs.sub.ticker"}

    play(scene, variations=Variations(
        client_id=True, ack="code", ts="string", unknown_fields=True, duplicate_pong=True))
    play(without, variations=Variations(ack="absent", ts="absent"))


def test_private_delay_lets_the_reply_come_first() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.login()
        await client.order(price=str(venue.book(SYMBOL).bids[3][0]))
        replied = venue.clock_ms()
        pushed = await socket.channel("push.personal.order")
        assert pushed["ts"] <= replied

    play(scene, variations=Variations(private_delay_seconds=0.02))


def test_a_reader_that_stops_is_cut() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL, compress=False)
        (session,) = venue._hub.sessions
        session.push("depth", SYMBOL, b"\x81\x7e\xff\xff" + b"x" * 65535)
        session.push("depth", SYMBOL, b"\x81\x7f" + (30_000_000).to_bytes(8, "big") + bytes(
            30_000_000))
        assert session.transport.is_closing()
        venue.step(5, SYMBOL)

    limits = Limits.off()
    play(scene, limits=limits)


def test_every_message_is_json() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        for channel, param in STATES:
            await socket.send(f"sub.{channel}", param)
        await socket.send("sub.depth", {"symbol": SYMBOL})
        for _ in range(60):
            json.loads((await socket.ws.receive(5)).data)

    play(scene, updates_per_second=300, merge_ms=5)
