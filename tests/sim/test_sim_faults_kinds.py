"""The faults beyond lost frames: what a client sees of each, and that each has its three doors."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import aiohttp
import pytest

from mexcfast.sim import Exchange
from mexcfast.sim.faults import KINDS, MAINTENANCE, PARAMETERS
from sim.sim_support import Client, DictBook, Socket, play

SYMBOL = "BTC_USDT"


async def watched(client: Client) -> Socket:
    socket = await client.socket()
    await socket.subscribe("depth", symbol=SYMBOL)
    return socket


async def text(socket: Socket) -> str:
    return (await socket.ws.receive(5)).data


def test_garbled_and_truncated_frames_are_no_json() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await watched(client)
        for fault in (venue.faults.garble, venue.faults.truncate):
            fault(symbol=SYMBOL, count=8)
            for _ in range(8):
                venue.step(1, SYMBOL)
                with pytest.raises(ValueError):
                    json.loads(await text(socket), parse_constant=_refuse)
        venue.step(1, SYMBOL)
        frame = json.loads(await text(socket))
        assert frame["channel"] == "push.depth"  # the socket lives, the book has a gap

    play(scene, merge_ms=0)


def _refuse(word: str) -> Any:
    raise ValueError(word)


def test_a_dribbled_frame_is_whole_and_the_rest_waits_behind_it() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await watched(client)
        venue.faults.dribble(symbol=SYMBOL, seconds=0.06)
        base, loop = venue.book(SYMBOL).version, asyncio.get_running_loop()
        start = loop.time()
        for _ in range(3):
            venue.step(1, SYMBOL)
        await socket.send("ping")
        messages = [await socket.receive() for _ in range(4)]
        assert loop.time() - start >= 0.055
        ends = [one["data"]["end"] - base for one in messages if "end" in str(one["data"])]
        assert ends == [1, 2, 3] and messages[-1]["channel"] == "pong"

    play(scene, merge_ms=0)


def test_a_half_open_socket_neither_speaks_nor_closes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        dead, alive = await watched(client), await client.socket()
        await alive.subscribe("depth", symbol="ETH_USDT")
        leaving = await watched(client)
        assert venue.faults.half_open(SYMBOL) == 2
        await dead.send("ping")
        venue.step(3)
        assert await alive.channel("push.depth")
        await asyncio.sleep(0.05)  # the 30 s and 60 s rules are scaled to less
        with pytest.raises(TimeoutError):
            await dead.receive(0.05)
        assert not dead.ws.closed
        closing = asyncio.create_task(leaving.ws.close())
        await asyncio.sleep(0.05)
        assert not closing.done()  # no close frame answers
        closing.cancel()

    from mexcfast.sim import Limits

    play(scene, limits=Limits(time_scale=0.0005, max_age_seconds=None, no_ping_seconds=None))


def test_slow_reading_delays_what_the_client_says() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket, loop = await watched(client), asyncio.get_running_loop()
        assert venue.faults.slow_read(seconds=0.08) == 1
        start = loop.time()
        await socket.send("ping")
        venue.step(1, SYMBOL)
        assert (await socket.receive())["channel"] == "push.depth"
        assert loop.time() - start < 0.06
        assert (await socket.receive())["channel"] == "pong"
        assert loop.time() - start >= 0.07

    play(scene, merge_ms=0)


def test_a_version_gap_needs_a_snapshot() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket, book = await watched(client), DictBook()
        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
        venue.faults.version_gap(SYMBOL, versions=500)
        venue.step(2, SYMBOL)
        frame = (await socket.channel("push.depth"))["data"]
        assert frame["begin"] == book.version + 501 and book.apply(frame) == "gap"
        commits = (await client.market(f"depth_commits/{SYMBOL}/1000"))["data"]
        assert min(one["version"] for one in commits) > book.version + 1  # start too late
        book.load((await client.market(f"depth/{SYMBOL}"))["data"])
        book.check(venue, SYMBOL)
        venue.step(1, SYMBOL)
        while book.apply((await socket.channel("push.depth"))["data"]) == "stale":
            pass
        book.check(venue, SYMBOL)

    play(scene, merge_ms=0)


def test_html_where_json_is_expected() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[0][0])
        body = json.dumps({"symbol": SYMBOL, "vol": 1, "leverage": 20, "side": 1, "type": 1,
                           "openType": 1, "price": price, "externalOid": "h"})  # fmt: skip

        async def place() -> tuple[int, str, str]:
            url = venue.rest_url + "/api/v1/private/order/create"
            async with client.http.post(url, data=body, headers=client.headers(body)) as reply:
                return reply.status, reply.content_type, await reply.text()

        venue.faults.html()
        status, kind, page = await place()
        assert (status, kind) == (403, "text/html") and "Access Denied" in page
        assert await client.get(f"order/external/{SYMBOL}/h") == {"success": True, "code": 0}
        venue.faults.html("order/create", status=502, after_execute=True)
        assert (await place())[:2] == (502, "text/html")
        assert (await client.get(f"order/external/{SYMBOL}/h"))["data"]["state"] == 2
        venue.faults.http_status("order/create", 404)  # the path is gone: trips kill switches
        status, kind, text = await place()
        assert (status, kind, json.loads(text)["code"]) == (404, "application/json", 404)

    play(scene)


@pytest.mark.parametrize("after", [False, True])
def test_a_hanging_answer_outlives_the_client(after: bool) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[0][0])
        venue.faults.hang("order/create", seconds=30, after_execute=after)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.order(price=price, externalOid="x"), 0.1)
        found = await client.get(f"order/external/{SYMBOL}/x")
        assert ("data" in found) is after
        venue.faults.hang("order/create", seconds=0.02, after_execute=after)
        late = await client.order(price=price, externalOid="y")  # late, but it comes
        assert late["success"] is True

    play(scene)


@pytest.mark.parametrize("kind", ["garble_answer", "truncate_answer"])
def test_an_unreadable_answer_comes_after_executing(kind: str) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[0][0])
        getattr(venue.faults, kind)("order/create", count=3)
        for number in range(3):
            try:
                reply = await client.order(price=price, externalOid=f"g{number}")
            except ValueError:
                continue
            assert not isinstance(reply, dict)  # an empty body, NaN
        for number in range(3):
            found = await client.get(f"order/external/{SYMBOL}/g{number}")
            assert found["data"]["state"] == 2

    play(scene)


def test_throttling_bursts_whatever_the_budget() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        venue.faults.throttle("order/create", count=3)
        price = str(venue.book(SYMBOL).bids[0][0])
        codes = [(await client.order(price=price))["code"] for _ in range(4)]
        assert codes == [510, 510, 510, 0]
        assert (await client.market("ping"))["success"]

    play(scene)


def test_a_clock_jump_shows_in_ping_and_as_513() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        late = client.headers("")
        venue.faults.clock_jump(60_000)
        url = "/api/v1/private/account/assets"
        assert (await client.raw("GET", url, headers=late))[1]["code"] == 513
        assert (await client.market("ping"))["data"] - int(late["Request-Time"]) >= 60_000
        assert (await client.get("account/assets"))["success"]  # by the venue's clock
        venue.faults.clock_jump(-60_000)
        assert venue.clock_offset_ms == 0

    play(scene)


@pytest.mark.parametrize("code", sorted(MAINTENANCE))
def test_maintenance_closes_what_its_code_says(code: int) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[0][0])
        venue.faults.maintenance(code, seconds=60)
        message, orders_only = MAINTENANCE[code]
        refused = await client.order(price=price, externalOid="m")
        assert (refused["code"], refused["message"]) == (code, message)
        assert (await client.get("account/assets"))["code"] == (0 if orders_only else code)
        assert (await client.market("ping"))["code"] == 0
        venue.faults.maintenance(code, seconds=0)
        assert await client.get(f"order/external/{SYMBOL}/m") == {"success": True, "code": 0}
        assert (await client.order(price=price, externalOid="m"))["code"] == 0

    play(scene)


def test_a_ban_by_page() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await watched(client)
        assert venue.faults.ban(0.1) == 1
        with pytest.raises(ConnectionError):
            await socket.channel("nothing")
        async with client.http.get(venue.rest_url + "/api/v1/contract/ping") as reply:
            assert (reply.status, reply.content_type) == (403, "text/html")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.socket()
        assert refused.value.status == 403
        status, state = await client.raw("GET", "/sim/state")  # the operator still gets in
        assert status == 200 and state["data"]["sessions"] == 0
        await _open_again(client)

    play(scene)


def test_a_ban_by_refusing_connections() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await watched(client)
        url = venue.rest_url
        assert venue.faults.ban(0.1, "refuse") == 1
        await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.market("ping")
        await _open_again(client)
        assert venue.rest_url == url
        with pytest.raises(ConnectionError):
            await socket.receive()

    play(scene)


async def _open_again(client: Client) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                socket = await client.socket()
                break
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
    assert (await socket.subscribe("depth", symbol=SYMBOL))["data"] == "success"
    await socket.ws.close()


#: Parameters for each kind as the control endpoint would be given them.
EXAMPLES: dict[str, dict[str, Any]] = {
    **{kind: {} for kind in ("drop", "duplicate", "reorder", "delay", "garble", "truncate")},
    "dribble": {"seconds": 0.01}, "cut": {"symbol": SYMBOL}, "half_open": {"symbol": SYMBOL},
    "slow_read": {"seconds": 0.01}, "snapshot_lag": {"symbol": SYMBOL, "versions": 3},
    "short_commits": {"symbol": SYMBOL}, "version_gap": {"symbol": SYMBOL, "versions": 5},
    "http_status": {"path": "*", "status": 503}, "html": {}, "lose_answer": {"path": "*"},
    "hang": {"path": "*", "seconds": 0.01, "after_execute": True}, "garble_answer": {"path": "*"},
    "truncate_answer": {"path": "*"}, "throttle": {},
    "refuse": {"path": "*", "code": 9999}, "clock_jump": {"ms": -500},
    "maintenance": {"code": 604, "seconds": 0.01}, "ban": {"seconds": 0.01, "how": "403"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_three_doors(kind: str) -> None:
    """The control endpoint and the seeded script reach what code reaches."""

    sockets = []

    async def through(venue: Exchange, client: Client, act: Any) -> int:
        """How often the kind took place once something gives it the occasion."""
        before = sum(one.kind == kind for one in venue.faults.log)
        socket = await watched(client)
        await act()
        for _ in range(3):
            venue.step(1)
        for path in (f"depth/{SYMBOL}", f"depth_commits/{SYMBOL}/5", f"depth/{SYMBOL}"):
            try:
                await client.market(path)
            except (ValueError, aiohttp.ClientError):
                continue
        if venue._reopening is not None:
            await venue._reopening
        venue.faults.clear()
        sockets.append(socket)  # closing a half-open one would wait in vain
        return sum(one.kind == kind for one in venue.faults.log) - before

    async def scene(venue: Exchange, client: Client) -> None:
        async def control() -> None:
            body = json.dumps({"kind": kind, **EXAMPLES[kind]})
            status, reply = await client.raw("POST", "/sim/faults", body)
            assert status == 200 and reply["data"]["accepted"] == kind, reply

        async def code() -> None:
            getattr(venue.faults, kind)(**EXAMPLES[kind])

        async def script() -> None:
            venue.faults.start_script(3, every=1, kinds=[kind])
            for second in range(8):
                venue.faults.run_due(second * 2_000_000_000 + 1)

        for door in (control, code, script):
            assert await through(venue, client, door) >= 1, door.__name__

    play(scene, merge_ms=0, symbols=(SYMBOL,))


def test_drawn_parameters_are_seeded_and_allowed() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        for kind in KINDS:
            draws = [venue.faults.draw(random.Random(5), kind) for _ in range(2)]
            assert draws[0] == draws[1] and set(draws[0][1]) <= set(PARAMETERS[kind])

    play(scene)


def test_control_names_what_a_kind_takes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        for body, words in (
            ({"kind": "ban", "how": "shout", "seconds": 1}, "refuse or 403"),
            ({"kind": "drop", "path": "x"}, "drop takes channel, symbol, count"),
            ({"kind": "version_gap"}, "version_gap takes symbol, versions"),
            ({"kind": "maintenance", "code": 7}, "code 7"),
            ({"kind": "clock_jump", "ms": 10**9}, "ms 1000000000"),
            ({"kind": "hang", "path": "*", "seconds": -1}, "seconds -1"),
        ):
            status, reply = await client.raw("POST", "/sim/faults", json.dumps(body))
            assert status == 400 and words in reply["message"], reply

    play(scene)
