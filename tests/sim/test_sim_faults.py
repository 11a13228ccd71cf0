"""Each fault: what the client sees, and that the truth stays whole."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from mexcfast.sim import Exchange
from sim.sim_support import Client, DictBook, Socket, play

SYMBOL = "BTC_USDT"


async def watched(venue: Exchange, client: Client) -> Socket:
    socket = await client.socket()
    await socket.subscribe("depth", symbol=SYMBOL)
    return socket


async def versions(venue: Exchange, socket: Socket, steps: int, frames: int) -> list[int]:
    """Frame ends after single steps, as offsets from the version before."""
    base = venue.book(SYMBOL).version
    for _ in range(steps):
        venue.step(1, SYMBOL)
    return [(await socket.channel("push.depth"))["data"]["end"] - base for _ in range(frames)]


def test_drop_duplicate_reorder() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await watched(venue, client)
        venue.faults.drop(symbol=SYMBOL, count=2)
        assert await versions(venue, socket, 4, 2) == [3, 4]
        venue.faults.duplicate(symbol=SYMBOL)
        assert await versions(venue, socket, 2, 3) == [1, 1, 2]
        venue.faults.reorder(symbol=SYMBOL)
        assert await versions(venue, socket, 4, 4) == [2, 1, 3, 4]
        kinds = [(one.kind, one.channel, one.symbol) for one in venue.faults.log]
        expected = ["drop", "drop", "duplicate", "reorder"]
        assert kinds == [(kind, "depth", SYMBOL) for kind in expected]

    play(scene)


def test_delay_keeps_the_order() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await watched(venue, client)
        venue.faults.delay(symbol=SYMBOL, seconds=0.05)
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert await versions(venue, socket, 3, 3) == [1, 2, 3]
        assert loop.time() - start >= 0.045
        assert await versions(venue, socket, 1, 1) == [1]

    play(scene)


def test_faults_act_per_socket_and_channel() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        first, second = await watched(venue, client), await watched(venue, client)
        other = await client.socket()
        await other.subscribe("depth", symbol="ETH_USDT")
        venue.faults.drop(symbol=SYMBOL)
        venue.step(1, "ETH_USDT")
        assert await other.channel("push.depth")
        got = [await versions(venue, first, 2, 1), [1]]
        assert got[0] == [2]  # the first socket lost one, the second did not
        base = venue.book(SYMBOL).version
        assert (await second.channel("push.depth"))["data"]["end"] == base - 1

    play(scene)


def test_cut_aborts_without_a_close_frame() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        first, second = await watched(venue, client), await client.socket()
        await second.subscribe("depth", symbol="ETH_USDT")
        assert venue.faults.cut(SYMBOL) == 1
        message = await first.ws.receive(5)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert first.ws.close_code in (None, 1006)
        venue.step(1, "ETH_USDT")
        assert await second.channel("push.depth")
        assert venue.faults.cut() == 1

    play(scene)


def test_snapshot_lag_and_short_commits() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        venue.step(50, SYMBOL)
        version = venue.book(SYMBOL).version
        venue.faults.snapshot_lag(SYMBOL, versions=20)
        book = DictBook()
        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
        assert book.version == version - 20
        book.check(venue, SYMBOL)
        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
        assert book.version == version
        venue.faults.short_commits(SYMBOL)
        commits = (await client.market(f"depth_commits/{SYMBOL}/1000"))["data"]
        assert [one["version"] for one in commits] == [version]
        assert len((await client.market(f"depth_commits/{SYMBOL}/1000"))["data"]) >= 50

    play(scene)


def test_status_before_and_after_executing() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[0][0])
        venue.faults.http_status("order/create", 503)
        assert (await client.order(price=price, externalOid="a"))["code"] == 503
        found = await client.get(f"order/external/{SYMBOL}/a")
        assert found == {"success": True, "code": 0}
        venue.faults.http_status("order/create", 504, after_execute=True)
        assert (await client.order(price=price, externalOid="b"))["code"] == 504
        found = await client.get(f"order/external/{SYMBOL}/b")
        assert found["data"]["externalOid"] == "b"
        assert (await client.order(price=price, externalOid="b"))["code"] == 2042

    play(scene)


def test_lost_answer_executes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[0][0])
        venue.faults.lose_answer("order/create")
        with pytest.raises(aiohttp.ClientError):
            await client.order(price=price, externalOid="c")
        found = await client.get(f"order/external/{SYMBOL}/c")
        assert found["data"]["state"] == 2
        assert [one.kind for one in venue.faults.log] == ["lose_answer"]

    play(scene)


def test_script_is_seeded_and_the_truth_survives() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        venue.faults.start_script(5, every=0.01, kinds=("drop", "duplicate", "reorder", "delay"))
        socket = await watched(venue, client)
        book, gaps = DictBook(), 0
        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
        for _ in range(400):
            message = await socket.channel("push.depth")
            if book.apply(message["data"]) == "gap":
                gaps += 1
                book.load((await client.market(f"depth/{SYMBOL}"))["data"])
            book.check(venue, SYMBOL)
            if gaps >= 3:
                break
        venue.faults.stop_script()
        assert gaps and venue.faults.log

    play(scene, updates_per_second=400, merge_ms=10, symbols=(SYMBOL,))


def test_faults_refuse_nonsense() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        for bad in (
            lambda: venue.faults.drop(symbol="NOPE_USDT"),
            lambda: venue.faults.drop(count=0),
            lambda: venue.faults.drop("personal.order"),
            lambda: venue.faults.delay("push.depth", seconds=1),
            lambda: venue.faults.http_status("x", 200),
            lambda: venue.faults.start_script(1, kinds=("explode",)),
            lambda: venue.faults.start_script(1, every=0),
            lambda: venue.faults.snapshot_lag(SYMBOL, versions=0),
            lambda: venue.faults.lose_answer(""),
            lambda: venue.faults.delay(seconds=-1),
        ):
            with pytest.raises(ValueError):
                bad()

    play(scene)


def test_scripted_cuts_and_a_client_that_comes_back() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        venue.faults.start_script(9, every=0.04, kinds=("cut", "snapshot_lag", "short_commits"))
        cuts = checked = 0
        while cuts < 4 or checked < 20:
            socket = await watched(venue, client)
            book = DictBook()
            try:
                book.load((await client.market(f"depth/{SYMBOL}"))["data"])
                while True:
                    message = await socket.channel("push.depth")
                    if book.apply(message["data"]) == "gap":  # an old snapshot: ask again
                        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
                    book.check(venue, SYMBOL)
                    checked += 1
            except ConnectionError:
                cuts += 1
        assert {"cut", "snapshot_lag"} <= {one.kind for one in venue.faults.log}

    play(scene, updates_per_second=500, merge_ms=5, symbols=(SYMBOL,))
