"""Depth over real sockets: snapshot + pushes + commits = the truth (protocol.md 10)."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from decimal import Decimal

import pytest

from mexcfast.sim import Exchange, Variations
from sim.sim_support import Client, DictBook, loads, play

SYMBOL = "BTC_USDT"


@pytest.mark.parametrize(("compress", "merge_ms"), [(True, 40), (True, 0), (False, 200)])
def test_snapshot_and_pushes_make_the_truth(compress: bool, merge_ms: int) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL, compress=compress)
        book = DictBook()
        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
        book.check(venue, SYMBOL)
        ends, applied = [], 0
        while applied < 40:
            message = await socket.receive()
            assert message["channel"] == "push.depth" and message["symbol"] == SYMBOL
            data = message["data"]
            if compress:
                assert data["begin"] <= data["end"] == data["version"]
                assert not ends or data["begin"] == ends[-1] + 1
            else:
                assert "begin" not in data and "end" not in data
                assert not ends or data["version"] == ends[-1] + 1
            if merge_ms == 0:
                assert data["begin"] == data["end"]
            ends.append(data["version"])
            outcome = book.apply(data)
            assert outcome != "gap"
            applied += outcome == "applied"
            book.check(venue, SYMBOL)

    play(scene, updates_per_second=400, merge_ms=merge_ms, symbols=(SYMBOL,))


def test_commits_repair_a_gap() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        book = DictBook()
        book.load((await client.market(f"depth/{SYMBOL}?limit=1000"))["data"])
        venue.step(700, SYMBOL)
        commits = (await client.market(f"depth_commits/{SYMBOL}/1000"))["data"]
        versions = [one["version"] for one in commits]
        assert versions == list(range(versions[0], versions[-1] - 1, -1))
        assert versions[0] == venue.book(SYMBOL).version
        for one in reversed(commits):
            if one["version"] > book.version:
                assert book.apply(one) == "applied"
        book.check(venue, SYMBOL)
        assert (await client.market(f"depth_commits/{SYMBOL}/5"))["data"] == commits[:5]

    play(scene)


def test_step_mode_sends_one_merged_frame() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        before = venue.book(SYMBOL).version
        venue.step(3, SYMBOL)
        assert (await socket.subscribe("depth", symbol=SYMBOL))["data"] == "success"
        reached = venue.step(7, SYMBOL)[SYMBOL]
        data = (await socket.channel("push.depth"))["data"]
        assert (data["begin"], data["end"]) == (before + 4, reached)

    play(scene, merge_ms=200)


def test_first_range_may_begin_before_the_subscription() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        market = venue.venue.markets[SYMBOL]
        venue.venue.step(market)
        venue.venue.step(market)
        inside = venue.book(SYMBOL).version
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        book = DictBook()
        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
        assert book.version == inside
        venue.step(1, SYMBOL)
        data = (await socket.channel("push.depth"))["data"]
        assert data["begin"] == inside - 1 and data["end"] == inside + 1
        assert book.apply(data) == "applied"
        book.check(venue, SYMBOL)

    play(scene, merge_ms=3_600_000)


def test_users_orders_are_in_the_public_book() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL, compress=False)
        before = venue.book(SYMBOL)
        price, quantity, orders = before.bids[2]
        reply = await client.order(price=str(price), vol=9)
        data = (await socket.channel("push.depth"))["data"]
        assert data["bids"] == [[price, quantity + 9, orders + 1]] and data["asks"] == []
        assert data["version"] == before.version + 1
        await client.post("order/cancel", [int(reply["data"]["orderId"])])
        data = (await socket.channel("push.depth"))["data"]
        assert data["bids"] == [[price, quantity, orders]]
        assert venue.book_at(SYMBOL, before.version) == before

    play(scene)


def test_numbers_are_printed_exactly() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        url = venue.rest_url + f"/api/v1/contract/depth/{SYMBOL}"
        async with client.http.get(url) as reply:
            text = await reply.text()
        prices = [level[0] for level in json.loads(text, parse_float=str, parse_int=str)["data"][
            "bids"]]
        assert prices == [str(p.normalize()) if p % 1 else str(int(p)) for p, _, _ in (
            venue.book(SYMBOL).bids)]
        assert any("." not in price for price in prices)

    play(scene)


def test_stamp_is_the_last_member() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        venue.step(1, SYMBOL)
        message = await socket.ws.receive(5)
        pairs = json.loads(message.data, object_pairs_hook=list)
        assert pairs[-1][0] == "sim_ns"
        assert 0 <= time.monotonic_ns() - pairs[-1][1] < 5_000_000_000

    play(scene, stamp_ns=True)


def test_gzip_on_request() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        plain, packed = await client.socket(), await client.socket()
        await plain.subscribe("depth", symbol=SYMBOL)
        await packed.send("sub.depth", {"symbol": SYMBOL}, gzip=True)
        await packed.channel("rs.sub.depth")
        venue.step(5, SYMBOL)
        frame = await packed.ws.receive(5)
        assert frame.data[:2] == b"\x1f\x8b"
        assert loads(gzip.decompress(frame.data)) == await plain.receive()

    play(scene)


@pytest.mark.parametrize(
    ("variations", "levels"), [(Variations(level_elements=2), 2), (Variations(channel="first"), 3)]
)
def test_level_and_channel_variations(variations: Variations, levels: int) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        venue.step(5, SYMBOL)
        text = (await socket.ws.receive(5)).data
        data = loads(text)["data"]
        assert all(len(level) == levels for level in data["asks"] + data["bids"])
        assert text.startswith('{"channel"') == (variations.channel == "first")

    play(scene, variations=variations)


def test_snapshot_limits_and_bare_form() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        snapshot = await client.market(f"depth/{SYMBOL}?limit=5")
        assert set(snapshot) == {"asks", "bids", "version", "timestamp"}
        assert [Decimal(p) for p, _, _ in snapshot["asks"]] == [
            p for p, _, _ in venue.book(SYMBOL).asks[:5]
        ]
        assert (await client.market(f"depth/{SYMBOL}?limit=0"))["code"] == 600
        assert (await client.market(f"depth/{SYMBOL}?limit=x"))["code"] == 600
        assert (await client.market("depth/NOPE_USDT"))["code"] == 1001

    play(scene, variations=Variations(snapshot_bare=True))


def test_rate_can_change_while_running() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        start = venue.book(SYMBOL).version
        await asyncio.sleep(0.05)
        assert venue.book(SYMBOL).version == start
        venue.updates_per_second = 1000
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL, compress=False)
        for _ in range(50):
            await socket.channel("push.depth")
        venue.updates_per_second = 0
        with pytest.raises(ValueError, match="5001"):
            venue.updates_per_second = 5001

    play(scene)
