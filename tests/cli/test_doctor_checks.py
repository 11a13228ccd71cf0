"""The checks of `mexcfast doctor` one by one: what they find, and what they advise."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from loopback import Loopback
from mexcfast.cli import checks_keys, checks_machine, checks_network, doctor, shapes
from mexcfast.cli.checkup import CHECKS, Patient
from mexcfast.core.rest import Endpoint
from mexcfast.core.sign import Signer
from mexcfast.net.clock import Clock
from mexcfast.net.executor import Executor
from mexcfast.sim import Exchange

DATA = Path(__file__).parents[1] / "data"


def ask(check: Any, endpoint: Endpoint, **more: Any) -> Any:
    """One check of a patient with keys."""
    async def asked() -> Any:
        async with asyncio.timeout(60), Executor(endpoint, Signer("key", "secret"),
                                                 Clock()) as executor:
            return await check(Patient(endpoint, executor, True, **more))

    return asyncio.run(asked())


NOWHERE = Endpoint.at("http://127.0.0.1:9")


# -- names, routes, TLS ---------------------------------------------------------------------------

def test_without_names_the_rest_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline: one failure with advice, and what needs the network says what it is missing."""
    async def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    async def told() -> dict[str, doctor.Finding]:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere, raising=False)
        return await doctor.examine(Endpoint.at("https://rest.invalid", "wss://ws.invalid/edge"),
                                    None)

    found = asyncio.run(told())
    verdicts = {name: finding.verdict for name, finding in found.items()}
    assert verdicts["dns"] == "failed" and "Name or service not known" in found["dns"].text
    assert "resolv.conf" in found["dns"].advice
    for name in ("routes", "tls", "clock", "rest", "stream", "drift"):
        assert verdicts[name] == "skipped", name
    assert found["rest"].text == "rest.invalid is not found"
    assert found["stream"].text == "ws.invalid is not found"
    assert verdicts["build"] == verdicts["budgets"] == "ok"


def test_a_dead_address_among_good_ones_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def told() -> doctor.Finding:
        async with Exchange(updates_per_second=0) as venue:
            port = int(venue.rest_url.rpartition(":")[2])
            endpoint = Endpoint.at(f"http://many.invalid:{port}")

            async def both(host: str, port: int, **_: object) -> list[Any]:
                return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

            real = checks_network._connect

            async def connect(address: str, port: int) -> float:
                if address == "127.0.0.2":
                    raise OSError(113, "No route to host")
                return await real(address, port)

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both, raising=False)
            monkeypatch.setattr(checks_network, "_connect", connect)
            async with Executor(endpoint, None, Clock()) as executor:
                return await checks_network.routes(Patient(endpoint, executor, False))

    finding = asyncio.run(told())
    assert finding.verdict == "warning" and "127.0.0.2 cannot be reached: No route" in finding.text
    assert any("connect_ms" in row for row in finding.data.values())


def test_tls_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    async def told() -> doctor.Finding:
        async with Exchange(updates_per_second=0, certificate=str(DATA / "loopback-cert.pem"),
                            certificate_key=str(DATA / "loopback-key.pem")) as venue:
            endpoint = Endpoint.at(venue.rest_url)
            async with Executor(endpoint, None, Clock()) as executor:
                return await checks_network.tls(Patient(endpoint, executor, False))

    finding = asyncio.run(told())
    assert finding.verdict == "failed" and "certificate is not valid" in finding.text
    assert "Send nothing there" in finding.advice
    monkeypatch.setenv("SSL_CERT_FILE", str(DATA / "loopback-cert.pem"))
    finding = asyncio.run(told())
    assert finding.verdict in ("ok", "warning") and "TLSv1." in finding.text, finding
    row, = finding.data.values()
    assert row["certificate_days"] >= 0 and row["handshake_ms"] > 0 and row["cipher"]


def test_plain_text_over_a_network_is_refused() -> None:
    finding = ask(checks_network.tls, Endpoint.at("http://192.0.2.1:80"))
    assert finding.verdict == "failed" and "https://" in finding.advice
    assert ask(checks_network.tls, NOWHERE).verdict == "ok"


# -- drift ----------------------------------------------------------------------------------------

def vectors(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def test_the_shapes_are_those_of_the_recorded_payloads() -> None:
    """The samples of today's exchange differ from their shapes in nothing."""
    rows = {row["name"]: row["response"] for row in vectors("rest_responses.jsonl")}
    for shape, samples in (
            ("contracts", ("detail_one_symbol",)),
            ("depth", ("depth_enveloped", "depth_limit_5_live")),
            ("tickers", ("ticker_one_symbol", "ticker_all_symbols")),
            ("funding_rate", ("funding_rate", "funding_rate_with_prices", "funding_rate_all")),
            ("deals", ("deals",)), ("index_price", ("index_price_live",)),
            ("fair_price", ("fair_price_live",))):
        for sample in samples:
            items = shapes.items_of(rows[sample])
            assert items, sample
            assert shapes.differences(shapes.ANSWERS[shape][2], items) == ([], []), sample
    frames = {row["name"]: row["frame"] for row in vectors("ws_public.jsonl")}
    for sample in ("push_depth_live_2026", "push_depth_2026_range", "push_deal_list_docs2026",
                   "push_deal_list_live", "push_ticker_live", "push_funding_rate_live"):
        frame = frames[sample]
        assert shapes.differences(shapes.PUSHES[frame["channel"]], shapes.items_of(frame)) == (
            [], []), sample


def test_what_drifted_is_named() -> None:
    shape = "price:n side:s more?:l"
    assert shapes.differences(shape, [{"price": 1, "side": "x"}]) == ([], [])
    assert shapes.differences(shape, [{"price": None, "side": "x", "more": None}]) == ([], [])
    broken, new = shapes.differences(shape, [{"price": "1", "more": {}, "fresh": True},
                                             {"price": "1", "side": "x", "fresh": 1}])
    assert broken == ["side is missing", "price is 's' instead of 'n'",
                      "more is 'o' instead of 'l'"] and new == ["fresh"]
    assert [shapes.letter(each) for each in (True, 1, 1.5, "", [], {}, None)] == [
        "b", "n", "n", "s", "l", "o", ""]


def drifting(**members: Any) -> doctor.Finding:
    """The check against an exchange whose fair price answers this."""
    async def told() -> doctor.Finding:
        async with asyncio.timeout(60), Exchange(seed=3, updates_per_second=50) as venue:
            endpoint = Endpoint.at(venue.rest_url)
            async with Executor(endpoint, None, Clock()) as executor:
                real = executor.fetch

                async def fetch(name: str, *more: Any) -> bytes:
                    if name == "fair_price" and members:
                        return json.dumps({"success": True, "code": 0, "data": members}).encode()
                    return await real(name, *more)

                executor.fetch = fetch  # type: ignore[method-assign]
                return await shapes.drift(Patient(endpoint, executor, False))

    return asyncio.run(told())


def test_drift_is_found() -> None:
    good = drifting()
    assert good.verdict == "ok" and not good.data["broken"] and not good.data["new"]
    assert set(good.data["unseen"]) <= {"deals", "push.deal"}       # it may be quiet for a while
    bad = drifting(symbol="BTC_USDT", fairPrice="1", timestamp=1)
    assert bad.verdict == "failed" and "do not trade" in bad.advice
    assert bad.data["broken"] == {"fair_price": ["fairPrice is 's' instead of 'n'"]}
    more = drifting(symbol="BTC_USDT", fairPrice=1, timestamp=1, mood="good")
    assert more.verdict == "ok" and more.data["new"] == {"fair_price": ["mood"]}


# -- the key --------------------------------------------------------------------------------------

def test_the_age_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_keys, "today", lambda: date(2026, 11, 28))
    for made, verdict, left in ((date(2026, 11, 1), "ok", 63), (date(2026, 9, 5), "warning", 6),
                                (date(2026, 8, 1), "warning", -29), (date(2027, 1, 1), "failed",
                                                                     124)):
        finding = ask(checks_keys.key_age, NOWHERE, key_created=made)
        assert (finding.verdict, finding.data["days_left"]) == (verdict, left), made
        assert (verdict == "ok") or finding.advice
    finding = ask(checks_keys.key_age, NOWHERE)
    assert finding.verdict == "skipped" and "90 days" in finding.text
    assert "--key-created" in finding.advice


@pytest.mark.parametrize(("status", "reply", "verdict", "says"), [
    (200, [], "warning", "reaches withdrawals"),
    (200, [{"id": "x"}], "warning", "reaches withdrawals"),
    (403, {"code": 700007, "msg": "No permission to access the endpoint."}, "ok", "does not reach"),
    (400, {"code": 700006, "msg": "IP is not in the white list"}, "warning", "address"),
    (400, {"code": 700002, "msg": "Signature"}, "skipped", "code 700002"),
    (404, None, "skipped", "has no wallet"),
    (502, None, "skipped", "HTTP 502"),
])
def test_the_right_to_withdraw(status: int, reply: Any, verdict: str, says: str) -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        if "signature" not in request.query:
            return web.json_response({"code": 400, "msg": "api key required"}, status=400)
        return web.json_response(reply, status=status)

    async def told() -> doctor.Finding:
        async with Loopback(answer, checks_keys.WITHDRAWALS) as venue:
            endpoint = Endpoint.at(f"http://{venue.host}")
            async with Executor(endpoint, Signer("key", "secret"), Clock()) as executor:
                return await checks_keys.withdrawals(Patient(
                    endpoint, executor, True, sign_query=lambda query: f"signed-{len(query)}"))

    finding = asyncio.run(told())
    assert finding.verdict == verdict and says in finding.text, finding
    assert [request.headers.get("X-MEXC-APIKEY") for request in asked] == [None, "key"]
    assert "signature" not in asked[0].query and asked[1].query["signature"].startswith("signed-")
    assert (verdict == "ok") or finding.advice


# -- the machine ----------------------------------------------------------------------------------

def test_cpu_features_are_read() -> None:
    assert checks_machine.features("model name : X\nflags\t\t: fpu aes avx2 sha_ni\n") == [
        "avx2", "aes", "sha_ni"]
    assert checks_machine.features("Features : fp asimd sha2\n") == ["asimd", "sha2"]
    assert checks_machine.features("") == []


def test_a_machine_that_is_slow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"cpuinfo": "model name : Old\nflags : aes avx2\n", "scaling_governor": "powersave\n",
             "current_clocksource": "hpet\n"}
    monkeypatch.setattr(checks_machine, "_read", lambda path: texts[path.name])
    monkeypatch.setattr(checks_machine.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    finding = ask(checks_machine.machine, NOWHERE)
    assert finding.verdict == "warning"
    for word in ("hpet", "powersave", "SHA instructions"):
        assert word in finding.advice
    texts.update(scaling_governor="performance", current_clocksource="tsc")
    finding = ask(checks_machine.machine, NOWHERE)
    assert finding.verdict == "ok" and "SHA instructions" in finding.advice


# -- the report -----------------------------------------------------------------------------------

def test_every_check_says_how_far_it_is() -> None:
    seen: list[tuple[str, int, int]] = []
    asyncio.run(doctor.examine(NOWHERE, None, progress=lambda *how: seen.append(how)))
    assert [name for name, _, _ in seen] == list(doctor.ORDER)
    assert set(doctor.ORDER) == set(CHECKS)
    assert [number for _, number, _ in seen] == list(range(len(CHECKS)))


def test_nothing_secret_is_in_a_patient() -> None:
    async def told() -> str:
        async with Executor(NOWHERE, Signer("key", "s3cret"), Clock()) as executor:
            return repr(Patient(NOWHERE, executor, True, sign_query=lambda query: "s3cret"))

    assert "s3cret" not in asyncio.run(told())


def test_every_check_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    table = text[text.index("## Doctor"):]
    for name in doctor.ORDER:
        assert any(name in line.split("|")[1] for line in table.splitlines()
                   if line.startswith("| ")), name
