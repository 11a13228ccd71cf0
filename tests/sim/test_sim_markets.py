"""Markets that are not the seeded flow: exact scripts, recorded files, the mirror of another."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexcfast.sim import Exchange, views
from mexcfast.sim.mirror import Mirror
from mexcfast.sim.reflect import Reflection, shares
from mexcfast.sim.replay import Replay
from mexcfast.sim.script import Script, cancel, place, reduce, trade
from mexcfast.sim.source import contract_from
from sim.sim_support import Client, DictBook, play

SYMBOL = "BTC_USDT"


# Scripts


STORY = [
    (0.0, place(SYMBOL, "bid", "buy", "84000", 5)),
    (0.0, place(SYMBOL, "ask", "sell", "84001.5", 8)),
    (0.01, place(SYMBOL, "more", "sell", "84001.5", 2)),
    (0.02, trade(SYMBOL, "buy", 3)),
    (0.03, reduce(SYMBOL, "ask", 1)),
    (0.03, cancel(SYMBOL, "more")),
    (0.04, place(SYMBOL, "cross", "buy", "84002", 4)),
]


def test_a_script_is_played_action_by_action() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price, start = Decimal(84000), venue.book(SYMBOL).version
        assert venue.book(SYMBOL).bids == venue.book(SYMBOL).asks == []
        venue.step(2)
        assert venue.book(SYMBOL).asks == [(Decimal("84001.5"), 8, 1)]
        venue.step()
        assert venue.book(SYMBOL).asks == [(Decimal("84001.5"), 10, 2)]
        order = await client.order(price="84001.5", side=3, vol=2, externalOid="mine")
        assert order["code"] == 0
        venue.step(3)  # 3 traded, "ask" reduced to 1, "more" gone: 1 of the crowd, 2 of ours
        assert venue.book(SYMBOL).asks == [(Decimal("84001.5"), 3, 2)]
        venue.step()
        assert venue.book(SYMBOL).asks == []
        assert venue.book(SYMBOL).bids == [(Decimal(84002), 1, 1), (price, 5, 1)]
        mine = (await client.get(f"order/external/{SYMBOL}/mine"))["data"]
        assert (mine["state"], mine["dealVol"]) == (3, 2)
        venue.step(5)  # nothing is left
        assert venue.book(SYMBOL).version == start + 8  # seven actions and our order
        _, state = await client.raw("GET", "/sim/state")
        assert state["data"]["market"] == {"kind": "script", "played": 7, "actions": 7}

    play(scene, market=Script(STORY))


def test_a_script_keeps_its_times(tmp_path: Path) -> None:
    path = tmp_path / "story.jsonl"
    lines = [
        {"t": 0, "do": "place", "symbol": SYMBOL, "id": "a", "side": "sell", "price": "84000.1",
         "vol": 9},
        {"t": 0.05, "do": "trade", "symbol": SYMBOL, "side": "buy", "vol": 4, "price": "84001"},
        {"t": 0.05, "do": "reduce", "symbol": SYMBOL, "id": "a", "vol": 2},
        {"t": 0.1, "do": "cancel", "symbol": SYMBOL, "id": "a"},
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")

    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL, compress=False)
        sizes = [4 + 5, 5, 2, 0]
        for size in sizes[1 if venue.book(SYMBOL).asks else 0 :]:
            frame = (await socket.channel("push.depth"))["data"]
            assert frame["asks"][0][1] == size

    play(scene, market=Script.load(path), updates_per_second=1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"t":0,"do":"fly","symbol":"BTC_USDT"}', "line 1"),
        ('{"t":0,"do":"place","symbol":"BTC_USDT"}', "line 1"),
        ('{"t":0,"do":"trade","symbol":"BTC_USDT","side":"up","vol":1}', "side 'up'"),
        ('{"t":0,"do":"trade","symbol":"BTC_USDT","side":"buy","vol":0.5}', "whole number"),
        ("{", "line 1"),
    ],
)
def test_a_bad_script_names_the_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(line)
    with pytest.raises(ValueError, match=words):
        Script.load(path)
    with pytest.raises(ValueError, match="times must rise"):
        Script([(1.0, cancel(SYMBOL, "a")), (0.5, cancel(SYMBOL, "a"))])


def test_a_script_on_top_of_the_seeded_crowd() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        best = venue.book(SYMBOL).asks[0]
        venue.step()
        assert venue.book(SYMBOL).asks[0][1] == best[1] - 1 or best[1] == 1
        with pytest.raises(ValueError, match="come from elsewhere"):
            venue.updates_per_second = 5

    play(scene, market=Script([(0, trade(SYMBOL, "buy", 1))], filled=True))


# Replay


def record(path: Path, steps: int) -> list[Any]:
    """A short history of a seeded exchange as a record; the books after each frame."""
    truth = []
    lines: list[Any] = []

    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        await socket.subscribe("deal", symbol=SYMBOL, compress=False)
        snapshot = (await client.market(f"depth/{SYMBOL}"))["data"]
        detail = (await client.market(f"detail?symbol={SYMBOL}"))["data"]
        lines.append({"t": 0, "contract": detail})
        lines.append({"t": 0, "snapshot": {"symbol": SYMBOL, **snapshot}})
        for number in range(steps):
            venue.step(1, SYMBOL)
            await socket.send("ping")
            while (frame := await socket.receive())["channel"] != "pong":
                lines.append({"t": number * 0.001, "push": frame})
            truth.append(venue.book(SYMBOL))

    play(scene, levels=20, symbols=(SYMBOL,), merge_ms=0)
    path.write_text("\n".join(json.dumps(line, default=float) for line in lines) + "\n\n")
    return truth


def test_a_record_gives_the_same_books_again(tmp_path: Path) -> None:
    path = tmp_path / "market.jsonl"
    truth = record(path, 60)

    async def scene(venue: Exchange, client: Client) -> None:
        socket, book = await client.socket(), DictBook()
        await socket.subscribe("depth", symbol=SYMBOL)
        venue.step()  # the snapshot
        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
        for wanted in truth:
            while venue.book(SYMBOL).bids != wanted.bids or venue.book(SYMBOL).asks != wanted.asks:
                assert venue.source.step(SYMBOL)
        await socket.send("ping")
        while (frame := await socket.receive())["channel"] != "pong":
            if frame["channel"] == "push.depth":
                book.apply(frame["data"])  # versions of its own, without holes
                assert book.version == frame["data"]["version"]
        book.check(venue, SYMBOL)
        assert venue.source.gaps == 0 and venue.venue.markets[SYMBOL].volume > 0

    async def timed(venue: Exchange, client: Client) -> None:
        await until(lambda: venue.book(SYMBOL).asks == truth[-1].asks)

    play(scene, market=Replay(path), merge_ms=0)
    play(timed, market=Replay(path, speed=10), updates_per_second=1)


def test_holes_are_counted_and_played_over(tmp_path: Path) -> None:
    path = tmp_path / "holes.jsonl"

    def push(channel: str, data: Any) -> dict[str, Any]:
        return {"t": 1, "push": {"channel": channel, "symbol": SYMBOL, "data": data}}

    lines = [
        {"t": 0, "snapshot": {"symbol": SYMBOL, "bids": [[84000, 5, 2]], "asks": [[84001, 7, 1]]}},
        push("push.depth", {"asks": [[84001, 0, 0], [84002, 3]], "bids": [], "version": 9}),
        push("push.fair.price", {"price": 84000.5}),
        push("push.index.price", {"price": 84000.4}),
        push("push.kline", {"a": 1}),
        push("push.deal", {"p": 84000, "v": 2, "T": 2}),
        push("push.ticker", {"fairPrice": 84000.6, "indexPrice": 84000.7}),
        {"t": 2, "push": {"channel": "push.tickers", "data": [
            {"symbol": SYMBOL, "fairPrice": 84000.8}, {"symbol": "OTHER"}]}},
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps(line) for line in lines))

    async def scene(venue: Exchange, client: Client) -> None:
        venue.step(20)
        assert venue.book(SYMBOL).asks == [(Decimal(84002), 3, 1)]
        assert venue.book(SYMBOL).bids == [(Decimal(84000), 5, 2)]
        state = venue.state()["market"]
        assert (state["gaps"], state["passed_over"], state["played"]) == (1, 1, 8)
        assert (await client.market(f"fair_price/{SYMBOL}"))["data"]["fairPrice"] == Decimal(
            "84000.8"
        )
        deals = (await client.market(f"deals/{SYMBOL}"))["data"]
        assert [(one["p"], one["v"], one["T"]) for one in deals] == [(84000, 2, 2)]

    play(scene, market=Replay(path))


@pytest.mark.parametrize(
    "text",
    ["{", '{"t":0}', '{"t":0,"fly":{}}', '{"t":0,"snapshot":{}}', '{"t":0,"push":5}',
     '{"t":1,"push":{}}\n{"t":0,"push":{}}', "", '{"t":0,"push":{"channel":"push.kline"}}'],
)  # fmt: skip
def test_a_bad_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad\.jsonl"):
        Replay(path)


def test_contracts_are_taken_over() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        for row in (await client.market("detail"))["data"]:
            again = contract_from(json.loads(json.dumps(row, default=float)))
            shown = again.describe()
            same = {name for name in row if row[name] == shown[name]}
            assert set(row) - same <= {"isHot"}, (row["symbol"], set(row) - same)
        with pytest.raises(ValueError, match="settled in BTC"):
            contract_from({**row, "settleCoin": "BTC", "symbol": "BTC_USDT"})

    play(scene, symbols=20)


# The queue of a reflected book


def reflected(price: str = "84000") -> tuple[Exchange, Reflection]:
    """An exchange whose book is fed by hand; one level of 100 contracts in 10 orders a side."""
    market = Script([], contracts=[SYMBOL])
    from mexcfast.sim.reflect import ReflectedBook

    market.book_type = ReflectedBook
    venue = Exchange(market=market, updates_per_second=0)
    reflection = Reflection(venue.venue, venue.venue.markets[SYMBOL])
    reflection.load({"bids": [[price, 100, 10]], "asks": [["84001", 100, 10]], "version": 1})
    return venue, reflection


def own_bid(venue: Exchange, price: str, vol: int) -> Any:
    from mexcfast.sim.checks import order_request

    request = order_request(
        {"symbol": SYMBOL, "vol": vol, "leverage": 20, "side": 1, "type": 1, "openType": 1,
         "price": price})  # fmt: skip
    return venue.venue.place(venue.account, request)


def bids(reflection: Reflection, *levels: list[Any]) -> None:
    version = reflection.version + 1
    assert reflection.depth({"bids": list(levels), "asks": [], "version": version})


def sell(price: float, vol: int) -> dict[str, Any]:
    return {"p": price, "v": vol, "T": 2}


def test_trades_take_the_front_first() -> None:
    venue, reflection = reflected()
    order = own_bid(venue, "84000", 10)
    assert venue.book(SYMBOL).bids[0] == (Decimal(84000), 110, 11)
    reflection.deals([sell(84000, 95)])
    assert order.deal_vol == 0
    bids(reflection, [84000, 45, 6])  # the frame with the trade: 40 joined behind us
    reflection.deals(sell(84000, 9))
    assert order.deal_vol == 4 and order.is_open  # 5 were left ahead
    reflection.deals(sell(84000, 20))
    assert order.deal_vol == 10 and order.state == 3
    assert venue.book(SYMBOL).bids[0][1] == 45 - 5 - 14
    assert venue.venue.markets[SYMBOL].volume == 95 + 9 + 20  # the tape is the mirrored one


def test_cancels_are_shared_by_orders_and_reductions_by_quantity() -> None:
    venue, reflection = reflected()
    order = own_bid(venue, "84000", 10)
    bids(reflection, [84000, 400, 40])  # 300 in 30 orders behind us
    bids(reflection, [84000, 200, 20])  # 20 orders left: a quarter of them ahead of us
    bids(reflection, [83999, 1, 1])  # no trade came for it
    reflection.deals(sell(84000, 50))  # 100 - 50 are still ahead
    assert order.deal_vol == 0
    reflection.deals(sell(84000, 1))
    assert order.deal_vol == 1

    venue, reflection = reflected()
    order = own_bid(venue, "84000", 10)
    bids(reflection, [84000, 150, 11])  # 50 in one order behind us
    bids(reflection, [84000, 75, 11])  # the count stays: somebody reduced, by half over all
    bids(reflection, [83999, 1, 1])
    reflection.deals(sell(84000, 50))
    assert order.deal_vol == 0
    reflection.deals(sell(84000, 1))
    assert order.deal_vol == 1


def test_a_trade_after_its_depth_frame_counts_once() -> None:
    venue, reflection = reflected()
    order = own_bid(venue, "84000", 10)
    bids(reflection, [84000, 60, 6])  # 40 traded, as the next message will say
    reflection.deals(sell(84000, 40))
    assert order.deal_vol == 0
    reflection.deals(sell(84000, 59))
    assert order.deal_vol == 0  # 60 were ahead, not 20
    reflection.deals(sell(84000, 2))
    assert order.deal_vol == 1


def test_a_worse_trade_and_a_crossing_level_fill() -> None:
    venue, reflection = reflected()
    order = own_bid(venue, "84000.5", 10)
    reflection.deals(sell(84000, 4))
    assert order.deal_vol == 4 and order.average == Decimal("84000.5")
    asks = {"asks": [["84000.3", 5, 1]], "bids": [], "version": reflection.version + 1}
    assert reflection.depth(asks)
    assert order.deal_vol == 9
    assert venue.book(SYMBOL).asks[0] == (Decimal(84001), 100, 10)  # nothing is shown crossed
    asks["version"] += 1
    assert reflection.depth(asks)
    assert order.state == 3 and venue.book(SYMBOL).asks[0] == (Decimal("84000.3"), 4, 1)


def test_what_a_taker_took_comes_back() -> None:
    venue, reflection = reflected()
    order = own_bid(venue, "84001", 30)
    assert order.state == 3 and venue.book(SYMBOL).asks[0] == (Decimal(84001), 70, 10)
    bids(reflection, [83999, 1, 1])
    venue.faults.clock_jump(3000)
    bids(reflection, [83999, 2, 1])
    assert venue.book(SYMBOL).asks[0] == (Decimal(84001), 100, 10)
    own_bid(venue, "84001", 100)
    assert venue.book(SYMBOL).asks == []
    told = {"asks": [["84001", 80, 7]], "bids": [], "version": reflection.version + 1}
    assert reflection.depth(told)
    assert venue.book(SYMBOL).asks == [(Decimal(84001), 80, 7)]


def test_money_stays_whole_through_mirrored_fills() -> None:
    venue, reflection = reflected()
    before = venue.venue.total_money()
    own_bid(venue, "84000", 10)
    reflection.deals(sell(84000, 105))
    own_bid(venue, "84001", 10)
    assert venue.venue.total_money() == before


@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)), min_size=1, max_size=6),
)
def test_shares_add_up_and_keep_their_caps(amount: int, parts: list[tuple[int, int]]) -> None:
    weights, caps = [one[0] for one in parts], [one[1] for one in parts]
    given = shares(amount, weights, caps)
    assert sum(given) == min(amount, sum(caps))
    assert all(0 <= one <= cap for one, cap in zip(given, caps, strict=True))


# The mirror of a second exchange


def same(one: Exchange, two: Exchange, symbol: str) -> bool:
    return one.book(symbol).bids == two.book(symbol).bids and (
        one.book(symbol).asks == two.book(symbol).asks
    )


async def until(condition: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of two exchanges at once
            await asyncio.sleep(0.005)


def test_the_mirror_follows_and_fills() -> None:
    async def main() -> None:
        quiet: dict[str, Any] = {"levels": 40, "merge_ms": 5, "limits": False, "symbols": 4}
        async with Exchange(updates_per_second=200, **quiet) as source:
            mirror = await Mirror.open(source.rest_url, snapshots_per_second=200)
            async with (
                Exchange(market=mirror, merge_ms=0, limits=False) as copy,
                aiohttp.ClientSession() as http,
            ):
                assert set(copy.venue.markets) == set(source.venue.markets)
                await asyncio.wait_for(mirror.ready.wait(), 10)
                await asyncio.sleep(0.2)
                source.updates_per_second = 0
                for symbol in source.venue.markets:
                    source.flush(symbol)
                await until(lambda: all(same(source, copy, one) for one in copy.venue.markets))
                client = Client(copy, http)
                best = source.book(SYMBOL).bids[0]
                placed = await client.order(price=str(best[0]), vol=3, externalOid="own")
                assert placed["code"] == 0
                assert copy.book(SYMBOL).bids[0] == (best[0], best[1] + 3, best[2] + 1)
                assert source.book(SYMBOL).bids[0] == best  # nothing reaches the mirrored side
                source.trade(SYMBOL, "sell", best[1] + 3)  # the level, and 3 beyond it
                order = copy.account.by_external["own"]
                await until(lambda: order.state == 3)
                await until(lambda: mirror.state()["gaps"] == 0 and SYMBOL in mirror.live)
                assert copy.venue.markets[SYMBOL].volume >= best[1] + 1
                await until(lambda: same(source, copy, SYMBOL))

    asyncio.run(main())


def test_the_mirror_mends_gaps_and_comes_back() -> None:
    async def main() -> None:
        settings: dict[str, Any] = {"levels": 30, "merge_ms": 5, "limits": False, "symbols": 2}
        async with Exchange(updates_per_second=300, **settings) as source:
            mirror = await Mirror.open(
                source.rest_url, source.ws_url, [SYMBOL], snapshots_per_second=100
            )
            async with Exchange(market=mirror, merge_ms=0) as copy:
                await asyncio.wait_for(mirror.ready.wait(), 10)
                source.faults.drop(symbol=SYMBOL, count=3)  # one may be in the snapshot already
                await until(lambda: mirror.state()["gaps"] >= 1)
                await until(lambda: mirror.live == {SYMBOL})
                source.faults.snapshot_lag(SYMBOL, versions=200)
                source.faults.garble(symbol=SYMBOL)
                await until(lambda: mirror.reconnects >= 1)
                await until(lambda: mirror.live == {SYMBOL})
                source.faults.cut()
                await until(lambda: mirror.reconnects >= 3)  # both of its sockets
                await until(lambda: mirror.live == {SYMBOL})
                source.updates_per_second = 0
                source.flush(SYMBOL)
                await until(lambda: same(source, copy, SYMBOL))
                market = source.venue.markets[SYMBOL]
                market.funding_rate = Decimal("0.0005")
                market.set_funding_cycle(3_600_000, source.clock_ms())
                mirror._funding(views.funding(market, 0))
                mirrored = copy.venue.markets[SYMBOL]
                assert mirrored.funding_rate == Decimal("0.0005")
                assert mirrored.cycle_ms == 3_600_000
                assert mirrored.next_funding_ms == market.next_funding_ms
                assert copy.state()["market"]["kind"] == "mirror"

    asyncio.run(main())


def test_the_mirror_refuses_what_is_not_there() -> None:
    async def main() -> None:
        async with Exchange(levels=5, symbols=1) as source:
            with pytest.raises(ValueError, match="NOPE_USDT"):
                await Mirror.open(source.rest_url, symbols=["NOPE_USDT"])
            source.faults.throttle()
            with pytest.raises(ValueError, match="510"):
                await Mirror.open(source.rest_url)
        with pytest.raises(aiohttp.ClientError):
            await Mirror.open(source.rest_url)

    asyncio.run(main())
