"""Headers, clock, signatures, budgets, refusals, request log (protocol.md 3, 4, 17, 18.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.sim import Exchange, Limits, Variations
from mexcfast.sim.checks import signature, signed_query
from mexcfast.sim.contracts import listing
from mexcfast.sim.faults import Faults
from mexcfast.sim.rest import ENDPOINTS, Rest
from mexcfast.sim.venue import Venue
from sim.sim_support import Client, play, sign

SYMBOL = "BTC_USDT"
PRIVATE = "/api/v1/private/"


def test_worked_examples_of_the_reference() -> None:
    key, secret, time = "mxU1TzSmRDW1o5AsE", "mexcfast-demo-secret-0001", "1611038237237"
    body = (
        '{"symbol":"BTC_USDT","price":45000.5,"vol":10,"leverage":20,"side":1,"type":1,"openType":1}'
    )
    assert signature(secret, key, time, body.encode()) == (
        "1c58edc748c8436cc0f3614e4012641ab26a6d7d5dc8c2fb7c8b2dacca57c053"
    )
    query = signed_query("symbol=BTC_USDT&states=2%2C3&page_size=20&page_num=1")
    assert query == "page_num=1&page_size=20&states=2%2C3&symbol=BTC_USDT"
    assert signature(secret, key, time, query.encode()) == (
        "a3bd21b1cd28bd6adcf74ab10fac6afca059cb1fa2f3cf5e1de27f91582ef1b5"
    )
    assert signature(secret, key, time) == (
        "9754128c1615beefaa1da88e99a9ecadbc52101f72c32aea66058581023c249f"
    )


def test_headers_clock_and_signature() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        async def code(**changes: Any) -> int:
            headers = {**client.headers("page_size=5"), **changes}
            headers = {name: value for name, value in headers.items() if value}
            path = PRIVATE + "order/list/open_orders?page_size=5"
            status, reply = await client.raw("GET", path, headers=headers)
            assert status == 200
            return reply["code"]

        def at(offset: int) -> dict[str, str]:
            time = str(venue.clock_ms() + offset)
            signed = sign(venue.secret, venue.access_key, time, "page_size=5")
            return {"Request-Time": time, "Signature": signed}

        assert await code() == 0
        assert await code(ApiKey="") == 401
        assert await code(ApiKey="who") == 401
        assert await code(Signature="") == 401
        assert await code(**{"Request-Time": ""}) == 401
        assert await code(Signature="0" * 64) == 602
        assert await code(Signature="\u00e9") == 602
        assert await code(**at(-9_000)) == 0
        assert await code(**at(-11_000)) == 513
        assert await code(**at(11_000)) == 513
        assert await code(**at(-20_000), **{"Recv-Window": "30"}) == 0
        assert await code(**at(-20_000), **{"Recv-Window": "30000"}) == 0
        assert await code(**at(-7_000), **{"Recv-Window": "5"}) == 513
        assert await code(**at(-70_000), **{"Recv-Window": "600000"}) == 513
        assert await code(**{"Request-Time": "yesterday"}) == 513
        venue.account.expired = True
        assert await code() == 402
        venue.account.expired = False
        venue.account.addresses = ("10.0.0.1",)
        assert await code() == 406
        venue.account.addresses = ("127.0.0.1",)
        venue.account.permissions = frozenset("AT")
        assert await code() == 703
        venue.account.access_denied = True
        assert await code() == 511

    play(scene)


def test_strict_clock_refuses_the_future() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        venue.clock_offset_ms = 5_000
        headers = client.headers("")
        venue.clock_offset_ms = 0
        status, reply = await client.raw("GET", PRIVATE + "account/assets", headers=headers)
        assert (status, reply["code"]) == (200, 513)

    play(scene, strict_clock=True)


def test_the_exact_bytes_are_signed() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        spaced = '{"symbol": "BTC_USDT"}'
        assert (await client.post("order/cancel_all", spaced))["code"] == 0
        headers = client.headers('{"symbol":"BTC_USDT"}')
        _, reply = await client.raw("POST", PRIVATE + "order/cancel_all", spaced, headers)
        assert reply["code"] == 602
        assert (await client.post("order/cancel_all", ""))["code"] == 0

    play(scene)


def test_lenient_auth_reads_query_parameters() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = venue.book(SYMBOL).bids[0][0]
        query = f"symbol=BTC_USDT&price={price}&vol=1&side=1&type=1&openType=1&leverage=20"
        headers = client.headers("something else")
        _, reply = await client.raw("POST", PRIVATE + "order/submit?" + query, None, headers)
        assert reply["code"] == 0 and reply["data"].isdigit()
        headers["ApiKey"] = "unknown"
        _, reply = await client.raw("POST", PRIVATE + "order/submit?" + query, None, headers)
        assert reply["code"] == 401

    play(scene, lenient_auth=True)


def test_budgets() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[0][0])
        codes = [(await client.order(price=price))["code"] for _ in range(6)]
        assert codes == [0, 0, 0, 0, 510, 510]
        codes = [(await client.market("ping"))["code"] for _ in range(22)]
        assert codes == [0] * 20 + [510] * 2
        codes = [(await client.market(f"depth/{SYMBOL}?limit=1"))["code"] for _ in range(11)]
        assert codes == [0] * 10 + [510]
        assert (await client.get("account/assets"))["code"] == 0

    play(scene, limits=Limits())


def test_budget_switches() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[0][0])
        codes = [(await client.order(price=price))["code"] for _ in range(21)]
        assert codes == [0] * 20 + [510]

    play(scene, limits=Limits(order_budget=None))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": None}, 600),
        ({"symbol": 5.5}, 600),
        ({"vol": None}, 600),
        ({"vol": "many"}, 600),
        ({"vol": True}, 600),
        ({"vol": "1e400"}, 600),
        ({"vol": "NaN"}, 600),
        ({"side": 5}, 2001),
        ({"openType": 3}, 2002),
        ({"type": 9}, 2029),
        ({"externalOid": "x" * 33}, 2030),
        ({"price": None}, 600),
        ({"symbol": "NOPE_USDT"}, 1001),
        ({"price": "84055.05"}, 2015),
        ({"price": 0}, 2007),
        ({"vol": 0}, 2011),
        ({"vol": 1.5}, 2011),
        ({"vol": -1}, 2011),
        ({"vol": 9_999_999}, 2028),
        ({"price": 99_000}, 2003),
        ({"side": 3, "price": 1}, 2004),
        ({"positionMode": 2}, 2043),
        ({"leverage": None}, 2006),
        ({"leverage": 100_000}, 2006),
        ({"side": 4}, 2009),
        ({"vol": 2_000_000, "leverage": 1}, 2005),
        ({"stopLossPrice": 90_000}, 5003),
        ({"stpMode": 9}, 600),
    ],
)
def test_refusals_of_an_order(changes: dict[str, Any], code: int) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        values = {"price": str(venue.book(SYMBOL).bids[0][0]), **changes}
        before = venue.book(SYMBOL)
        reply = await client.order(**values)
        assert (reply["success"], reply["code"]) == (False, code), reply
        assert reply["message"] and "data" not in reply
        assert venue.book(SYMBOL) == before and not venue.account.open_orders

    play(scene)


def test_closed_and_paused_contracts() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        contract = venue.venue.markets[SYMBOL].contract
        price = str(venue.book(SYMBOL).bids[0][0])
        contract.api_allowed = False
        assert (await client.order(price=price))["code"] == 1002
        contract.state = 4
        assert (await client.order(price=price))["code"] == 6005

    play(scene)


def test_order_count_limit() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        venue.venue.markets[SYMBOL].contract.max_orders = (3, 1)
        price = str(venue.book(SYMBOL).bids[5][0])
        codes = [(await client.order(price=price))["code"] for _ in range(4)]
        assert codes == [0, 0, 0, 2036]

    play(scene)


def test_json_and_paths() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        for bad in ("{", "nonsense", '{"a":NaN}', "[" * 20_000, '"\ud83d'[:1] + "\\"):
            assert (await client.post("order/create", bad))["code"] == 601
        for bad in ([], 5, "text", [{}]):
            assert (await client.post("order/create", json.dumps(bad)))["code"] == 600
        status, reply = await client.raw("GET", "/api/v1/contract/nothing")
        assert (status, reply["code"]) == (404, 404)
        status, reply = await client.raw("GET", "/api/v1/contract/detailV2")
        assert (status, reply["code"]) == (404, 404) and "undocumented" in reply["message"]
        status, reply = await client.raw("GET", "/api/v3/exchangeInfo")
        assert (status, reply) == (200, {"symbols": []})
        status, reply = await client.raw("GET", "/api/v3/capital/config/getall?x=1")
        assert (status, reply) == (200, [])
        status, reply = await client.raw("GET", "/edge")
        assert (status, reply["code"]) == (400, 400)

    play(scene)


def test_market_data() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        venue.step(300)
        venue.trade(SYMBOL, "buy", 50)
        assert abs((await client.market("ping"))["data"] - venue.clock_ms()) < 5_000
        detail = (await client.market(f"detail?symbol={SYMBOL}"))["data"]
        assert detail["contractSize"] * 10_000 == 1 and len(detail) >= 77
        assert len((await client.market("detail"))["data"]) == 3
        ticker = (await client.market(f"ticker?symbol={SYMBOL}"))["data"]
        best = venue.book(SYMBOL)
        assert ticker["bid1"] == best.bids[0][0] and ticker["ask1"] == best.asks[0][0]
        assert ticker["riseFallRates"]["zone"] == "UTC+8"
        deals = (await client.market(f"deals/{SYMBOL}?limit=10"))["data"]
        assert deals[0]["T"] == 1 and deals[0]["v"] > 0
        assert [one["t"] for one in deals] == sorted((one["t"] for one in deals), reverse=True)
        columns = (await client.market(f"kline/{SYMBOL}?interval=Min1"))["data"]
        assert len({len(column) for column in columns.values()}) == 1
        assert columns["high"][-1] >= columns["low"][-1]
        assert (await client.market(f"kline/{SYMBOL}?interval=Min7"))["code"] == 600
        for path in (
            "support_currencies", f"index_price/{SYMBOL}", f"fair_price/{SYMBOL}",
            f"funding_rate/{SYMBOL}", "funding_rate", f"kline/index_price/{SYMBOL}",
            f"kline/fair_price/{SYMBOL}", "ticker", "risk_reverse", f"risk_reverse/{SYMBOL}",
            f"risk_reverse/history?symbol={SYMBOL}&page_num=1&page_size=3",
            f"funding_rate/history?symbol={SYMBOL}", "detail/country",
        ):  # fmt: skip
            reply = await client.market(path)
            assert reply["success"] is True and "data" in reply, path

    play(scene)


def test_language() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        path = "/api/v1/contract/depth/NOPE_USDT"
        _, chinese = await client.raw("GET", path)
        _, english = await client.raw("GET", path, headers={"Language": "English"})
        assert (chinese["message"], english["message"]) == (
            "合约不存在", "Contract does not exist"
        )  # fmt: skip

    play(scene, variations=Variations(chinese=True))


def test_request_log_holds_no_secret() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        await client.order(price=str(venue.book(SYMBOL).bids[0][0]), externalOid="seen")
        socket = await client.socket()
        await socket.login()
        await socket.subscribe("ticker", symbol=SYMBOL)
        kinds = [(one.kind, one.method) for one in venue.requests]
        assert kinds == [("rest", "POST"), ("ws", "login"), ("ws", "sub.ticker")]
        logged = venue.requests[0]
        assert logged.status == 200 and '"orderId"' in logged.reply and "seen" in logged.body
        assert logged.path == "/api/v1/private/order/create" and "Request-Time" in logged.headers
        text = repr(list(venue.requests)) + repr(venue.account)
        assert venue.secret not in text
        assert "Signature" not in text and "signature" not in text

    play(scene)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["symbol", "vol", "price", "side", "orderId", "externalOid", "leverage",
                         "positionId", "openType", "type", "states", "page_num", "positionType"]),
        inner, max_size=6),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from(ENDPOINTS), st.binary(max_size=40) | json_values.map(
        lambda value: json.dumps(value).encode("utf-8", "replace")
    ),
    st.sampled_from(["", "symbol=BTC_USDT", "page_num=-1", "order_ids=1,x", "limit=%ff", "a=b=&&=",
                     "start=5&end=1", "start_time=9&end_time=3", "type=99999999999999999999999999",
                     "symbol=%E4%B8%AD", "page_size=1000000"]),
    st.sampled_from(["BTC_USDT", "x", "9" * 400, "-1", "", "中"]),
)  # fmt: skip
def test_any_input_gets_a_typed_answer(endpoint, body: bytes, query: str, part: str) -> None:
    rest = PLAYGROUND
    path = endpoint.path
    for name in ("symbol", "limit", "currency", "order_id", "external_oid"):
        path = path.replace("{" + name + "}", part)
    time = "1790870030000"
    payload = body if endpoint.method == "POST" else signed_query(query).encode()
    headers = {
        "ApiKey": "k", "Request-Time": time, "Signature": signature("s", "k", time, payload)
    }  # fmt: skip
    answer = rest.answer(endpoint.method, path, query, headers, body, "127.0.0.1")
    if answer.file is not None:
        assert endpoint.handler == "export" and answer.body.startswith((b"PK", b"%PDF"))
        assert answer.http == 200 and answer.text == ""
        return
    reply = json.loads(answer.text)
    if isinstance(reply, dict) and "success" in reply:
        assert reply["success"] == (reply["code"] in (0, 200))  # 200 is success on some paths
    assert rest.venue.total_money() == 1000


def _playground() -> Rest:
    venue = Venue(
        seed=1, symbols=(SYMBOL,), levels=10, history=1000, clock_ms=lambda: 1_790_870_030_000
    )
    venue.add_account("k", "s", {"USDT": listing((SYMBOL,))[SYMBOL].contract_size * 10_000_000})
    faults = Faults(venue.clock_ms, [SYMBOL])
    return Rest(
        venue, faults, Limits.off(), Variations(), lenient_auth=False, strict_clock=False
    )


PLAYGROUND = _playground()


def test_no_source_room_imports_the_client() -> None:
    """sim is an independent reading: nothing of core or net (design.md 2.3)."""
    import mexcfast.sim

    for source in Path(mexcfast.sim.__file__).parent.glob("*.py"):
        text = source.read_text()
        assert "mexcfast.core" not in text.replace("mexcfast.core or mexcfast.net", "")
        # Times are floats; reflect.py finds the nearest tick. Money and prices here are exact.
        allowed = ("control.py", "reflect.py", "replay.py", "script.py")
        assert "float(" not in text or source.name in allowed, source.name
        assert "time.sleep" not in text
