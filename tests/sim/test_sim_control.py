"""The control endpoint and the runnable server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mexcfast.sim import Exchange, serve
from sim.sim_support import Client, play

SYMBOL = "BTC_USDT"


def test_control_reads_and_changes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        async def get(path: str) -> Any:
            status, reply = await client.raw("GET", "/sim/" + path)
            assert status == 200, reply
            return reply["data"]

        async def post(name: str, **body: Any) -> Any:
            status, reply = await client.raw("POST", "/sim/" + name, json.dumps(body))
            assert status == 200, reply
            return reply["data"]

        reached = (await post("step", count=5, symbol=SYMBOL))["versions"][SYMBOL]
        book = await get(f"book/{SYMBOL}")
        assert book["version"] == reached and isinstance(book["bids"][0][0], str)
        older = await get(f"book/{SYMBOL}?version={reached - 5}")
        truth = venue.book_at(SYMBOL, reached - 5)
        assert older["asks"] == [[str(p), q, n] for p, q, n in truth.asks]
        assert await post("trade", symbol=SYMBOL, side="buy", volume=3) == {"traded": 3}
        assert await post("rate", updates_per_second=20) == {"updates_per_second": 20}
        assert venue.updates_per_second == 20
        await post("rate", updates_per_second=0)
        state = await get("state")
        assert set(state["symbols"]) == set(venue.venue.markets)
        await post("faults", kind="snapshot_lag", symbol=SYMBOL, versions=2)
        snapshot = (await client.market(f"depth/{SYMBOL}"))["data"]
        assert snapshot["version"] == venue.book(SYMBOL).version - 2
        assert [one["kind"] for one in await get("faults")] == ["snapshot_lag"]
        for kind in ("drop", "duplicate", "reorder", "delay", "cut"):
            await post("faults", kind=kind, symbol=SYMBOL)
        await post("faults", kind="short_commits", symbol=SYMBOL)
        await post("faults", kind="http_status", path="contract/ping", status=502)
        assert (await client.raw("GET", "/api/v1/contract/ping"))[0] == 502
        await post("faults", kind="lose_answer", path="contract/ping")
        await post("faults", kind="clear")
        assert await post("faults/script", seed=1, every=0.5, kinds=["drop"]) == {"script": True}
        assert await post("faults/script", stop=True) == {"script": False}
        requests = await get("requests")
        assert {one["path"] for one in requests} == {
            "/api/v1/contract/ping", f"/api/v1/contract/depth/{SYMBOL}"
        }  # fmt: skip

    play(scene)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "book/NOPE", ""),
        ("GET", f"book/{SYMBOL}?version=5", ""),
        ("GET", f"book/{SYMBOL}?version=x", ""),
        ("GET", "nothing", ""),
        ("POST", "nothing", "{}"),
        ("POST", "trade", "{"),
        ("POST", "trade", "[]"),
        ("POST", "trade", '{"symbol":"BTC_USDT","side":"up","volume":1}'),
        ("POST", "trade", '{"symbol":"BTC_USDT","side":"buy","volume":0}'),
        ("POST", "rate", '{"updates_per_second":1e9}'),
        ("POST", "rate", "{}"),
        ("POST", "faults", '{"kind":"explode"}'),
        ("POST", "faults", '{"kind":"drop","count":0}'),
        ("POST", "faults/script", '{"seed":1,"kinds":5}'),
        ("POST", "faults/script", '{"seed":1,"every":0}'),
        ("POST", "step", '{"count":-1}'),
        ("DELETE", "state", ""),
    ],
)
def test_control_refuses_nonsense(method: str, path: str, body: str) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        status, reply = await client.raw(method, "/sim/" + path, body)
        assert status in (400, 404) and reply["success"] is False and reply["message"]
        assert (await client.raw("GET", "/sim/state"))[0] == 200

    play(scene)


def test_control_can_be_off() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        assert (await client.raw("GET", "/sim/state"))[0] == 404

    play(scene, control=False)


def test_bad_settings_are_named() -> None:
    for settings, text in (
        ({"levels": 5000}, "levels 5000"),
        ({"updates_per_second": -1}, "updates_per_second -1"),
        ({"merge_ms": -1}, "merge_ms -1"),
        ({"symbols": ("btc",)}, "btc"),
    ):
        with pytest.raises(ValueError, match=text):
            Exchange(**settings)


def test_serve_runs_until_cancelled() -> None:
    async def main() -> None:
        task = asyncio.create_task(serve(levels=5, symbols=1, updates_per_second=5))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_two_exchanges_side_by_side() -> None:
    async def main() -> None:
        async with Exchange(levels=5) as one, Exchange(levels=5) as two:
            assert one.rest_url != two.rest_url
            assert one.book(SYMBOL).symbol == two.book(SYMBOL).symbol

    asyncio.run(main())
