"""The venue's rules: each has a switch, most of them at run time and from the control endpoint."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mexcfast.sim import Exchange, Limits, Variations
from sim.sim_support import Client, play, sign

SYMBOL = "BTC_USDT"
DATA = Path(__file__).parents[1] / "data"
READ = "account/assets"


async def control(client: Client, name: str, **body: Any) -> Any:
    status, reply = await client.raw("POST", "/sim/" + name, json.dumps(body))
    assert status == 200, reply
    return reply["data"]


async def code(client: Client, venue: Exchange, **changes: Any) -> int:
    price = str(venue.book(SYMBOL).bids[2][0])
    return (await client.order(**{"price": price, **changes}))["code"]


KEY_SWITCHES = [
    ({"expired": True}, {"expired": False}, 402, 402),
    ({"addresses": ["10.9.8.7"]}, {"addresses": ["127.0.0.1"]}, 406, 406),
    ({"permissions": "OT"}, {"permissions": "AOT"}, 701, 0),
    ({"permissions": "AO"}, {"permissions": "AOT"}, 0, 704),
    ({"access_denied": True}, {"access_denied": False}, 511, 511),
]


@pytest.mark.parametrize(("on", "off", "reading", "placing"), KEY_SWITCHES)
def test_switches_of_a_key(on: dict, off: dict, reading: int, placing: int) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        for change in (lambda **one: control(client, "key", **one), direct(venue)):
            await change(**on)
            assert (await client.get(READ))["code"] == reading
            assert await code(client, venue) == placing
            await change(**off)
            assert (await client.get(READ))["code"] == await code(client, venue) == 0

    play(scene)


def direct(venue: Exchange) -> Any:
    async def change(**values: Any) -> None:
        venue.change_key(venue.access_key, **values)

    return change


def test_a_socket_checks_the_key_too() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        for on, words in (({"expired": True}, "expired"), ({"addresses": ["10.9.8.7"]}, "IP")):
            socket = await client.socket()
            venue.change_key(venue.access_key, **on)
            assert words in (await socket.login())["data"]
            venue.change_key(venue.access_key, expired=False, addresses=[])
            assert (await socket.login())["data"] == "success"

    play(scene)


def test_keys_without_an_address_age() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        assert (await client.get(READ))["code"] == 0
        venue.change_limits(key_age_seconds=90 * 86_400.0, time_scale=0.001)
        venue.faults.clock_jump(7_775_000)
        await asyncio.sleep(0.05)
        assert (await client.get(READ))["code"] == 0
        venue.faults.clock_jump(2_000)
        await asyncio.sleep(0.05)
        assert (await client.get(READ))["code"] == 402
        venue.change_key(venue.access_key, expired=False, addresses=["127.0.0.1"])  # bound now
        await asyncio.sleep(0.05)
        assert (await client.get(READ))["code"] == 0

    play(scene)


def test_a_contract_closes_for_orders_and_says_so() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.send("sub.contract")
        await socket.channel("rs.sub.contract")
        await control(client, "contract", symbol=SYMBOL, api_allowed=False)
        assert await code(client, venue) == 1002
        assert (await socket.channel("push.contract"))["data"]["apiAllowed"] is False
        assert (await client.market(f"detail?symbol={SYMBOL}"))["data"]["apiAllowed"] is False
        await control(client, "contract", symbol=SYMBOL, api_allowed=True, state=4)
        assert (await socket.channel("push.contract"))["data"]["state"] == 4
        assert await code(client, venue) == 6005
        venue.change_contract(SYMBOL, state=0)
        assert await code(client, venue) == 0

    play(scene)


def test_the_clock_window_and_the_signature_have_switches() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        old = str(venue.clock_ms() - 20_000)
        headers = client.headers("")
        headers["Request-Time"] = old
        headers["Signature"] = sign(venue.secret, venue.access_key, old)
        path = "/api/v1/private/" + READ
        assert (await client.raw("GET", path, headers=headers))[1]["code"] == 513
        socket = await client.socket()
        login = {"apiKey": venue.access_key, "reqTime": old, "signature": headers["Signature"]}
        await socket.send("login", login)
        assert (await socket.receive())["channel"] == "rs.error"
        await control(client, "limits", clock_window=False)
        assert (await client.raw("GET", path, headers=headers))[1]["code"] == 0
        await socket.send("login", login)
        assert (await socket.receive())["channel"] == "rs.login"
        headers["Signature"] = "0" * 64
        assert (await client.raw("GET", path, headers=headers))[1]["code"] == 602

    async def lenient(venue: Exchange, client: Client) -> None:
        headers = client.headers("")
        headers["Signature"] = "0" * 64
        path = "/api/v1/private/" + READ
        assert (await client.raw("GET", path, headers=headers))[1]["code"] == 0

    play(scene)
    play(lenient, lenient_auth=True)


def test_budget_windows_scale() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        assert [await code(client, venue) for _ in range(5)] == [0, 0, 0, 0, 510]
        await control(client, "limits", time_scale=0.02)  # 2 s become 40 ms
        await asyncio.sleep(0.05)
        assert await code(client, venue) == 0
        await control(client, "limits", order_budget=None, rest_budgets=False)
        assert {await code(client, venue) for _ in range(10)} == {0}

    play(scene, limits=Limits())


def test_topics_and_message_rate_change_at_run_time() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        await control(client, "limits", topics=1, messages_per_second=5)
        socket = await client.socket()
        await socket.subscribe("ticker", symbol=SYMBOL)
        assert (await socket.subscribe("deal", symbol=SYMBOL))["channel"] == "rs.error"
        for _ in range(6):
            await socket.send("ping")
        await socket.closed()
        await control(client, "limits", topics=None, messages_per_second=None)
        socket = await client.socket()
        for _ in range(120):
            await socket.send("ping")
        assert (await socket.subscribe("deal", symbol=SYMBOL))["data"] == "success"

    play(scene)


def test_limits_and_variations_are_readable_and_named() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        for name, settings in (("limits", venue.limits), ("variations", venue.variations)):
            shown = (await client.raw("GET", "/sim/" + name))[1]["data"]
            assert set(shown) == set(asdict(settings))
        await control(client, "variations", deal_shape="object", ids="int")
        assert venue.variations.deal_shape == "object" and venue.venue.ids_as_int
        for body in ({"nothing": 1}, {"topics": 1, "x": 2}):
            status, reply = await client.raw("POST", "/sim/limits", json.dumps(body))
            assert status == 400 and "is unknown" in reply["message"]
        for name, body in (
            ("key", {"access_key": "nobody", "expired": True}),
            ("key", {"permissions": "X"}),
            ("key", {"addresses": "127.0.0.1"}),
            ("contract", {"symbol": "NOPE", "state": 1}),
            ("contract", {"symbol": SYMBOL, "state": 9}),
        ):
            assert (await client.raw("POST", "/sim/" + name, json.dumps(body)))[0] == 400

    play(scene)


def test_every_limit_can_be_off() -> None:
    off = asdict(Limits.off())
    on = asdict(Limits())
    still = {name for name in on if off[name] == on[name]}
    assert still == {
        "clock_window", "clock_window_seconds", "failing_orders", "write_buffer_bytes",
        "time_scale",
    }  # fmt: skip
    assert Variations() == Variations(**asdict(Variations()))


def test_tls_by_a_certificate_of_ones_own() -> None:
    async def main() -> None:
        files = (DATA / "loopback-cert.pem", DATA / "loopback-key.pem")
        trust = ssl.create_default_context(cafile=files[0])
        async with (
            Exchange(levels=5, certificate=files[0], certificate_key=files[1]) as venue,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http,
        ):
            assert venue.rest_url.startswith("https://") and venue.ws_url.startswith("wss://")
            client = Client(venue, http)
            assert (await client.get(READ))["success"]
            socket = await client.socket()
            await socket.subscribe("depth", symbol=SYMBOL, compress=False)
            venue.step(1, SYMBOL)
            assert (await socket.channel("push.depth"))["data"]["version"]
            await socket.ws.close()
            async with aiohttp.ClientSession() as plain:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await plain.get(venue.rest_url + "/api/v1/contract/ping")

    asyncio.run(main())
