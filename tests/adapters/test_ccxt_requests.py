"""Layer 1a: the same calls leave as the same bytes, stock ccxt's and ours."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import pytest

from adapters.ccxt_support import (
    KEYS,
    NEEDS_CCXT,
    NOW_MS,
    OURS,
    OURS_SYNC,
    STOCK,
    STOCK_SYNC,
    SYMBOL,
    offline,
    text,
)

pytestmark = NEEDS_CCXT

ETH = "ETH/USDT:USDT"
SINCE = NOW_MS - 3_600_000
OPEN = {"leverage": 20, "openType": 1}
Call = tuple[str, tuple[Any, ...], dict[str, Any]]


def c(method: str, *args: Any, **more: Any) -> Call:
    return method, args, more


ORDERS = [
    c("create_order", SYMBOL, kind, side, amount, price, params)
    for kind, price in (("limit", 84000.5), ("market", None), ("limit", 84000.55), (1, 84000),
                        (2, 84000.5), (3, 84000.5), (4, 84000.5), (5, None), (6, None))
    for side, amount, params in (
        ("buy", 3, OPEN), ("sell", 1, {}), ("buy", 2.7, {"marginMode": "cross"}),
        ("sell", 2, {"reduceOnly": True}), ("buy", 2, {"reduceOnly": True}),
        ("buy", 2, {"hedged": True}), ("sell", 2, {"hedged": True, "reduceOnly": True}),
        ("buy", 2, {"hedged": True, "reduceOnly": True}),
        ("sell", 4, {"clientOrderId": "mine-1", "leverage": 5}),
        ("buy", 4, {"externalOid": "mine-2", "marginMode": "isolated", "leverage": 7}),
        ("buy", 1, {"triggerPrice": 90000.5}), ("sell", 1, {"stopPrice": 80000, "trend": 2}),
        ("buy", 1, {"stopLossPrice": 80000, "takeProfitPrice": 90000.5}),
        ("buy", 1, {"positionId": 1394650, "positionMode": 2}),
        ("buy", 1, {"timeInForce": "GTC"}), ("buy", 1, {"marginMode": "nonsense"}),
    )
]
ORDERS += [c("create_order", SYMBOL, "limit", "buy", 3, 84000.5, params) for params in (
    {"postOnly": True}, {"timeInForce": "PO"}, {"postOnly": True, "timeInForce": "IOC"},
    {"timeInForce": "PO", **OPEN}, {"postOnly": True, "clientOrderId": "x" * 32})]
ORDERS += [
    c("create_order", SYMBOL, "market", "buy", 1, None, {"postOnly": True}),
    c("create_order", SYMBOL, "nonsense", "buy", 1, 84000),
    c("create_order", "NO/SUCH:USDT", "limit", "buy", 1, 84000),
    c("create_order", SYMBOL, "limit", "buy", 0.2, 84000),
    c("create_limit_buy_order", SYMBOL, 1, 84000, OPEN),
    c("create_market_sell_order", SYMBOL, 1, OPEN),
    c("create_post_only_order", SYMBOL, "limit", "buy", 1, 84000, OPEN),
    c("create_reduce_only_order", SYMBOL, "limit", "sell", 1, 84000),
    c("create_stop_order", SYMBOL, "market", "sell", 1, None, 80000),
    c("create_stop_limit_order", SYMBOL, "sell", 1, 80000, 80100),
    c("create_trigger_order", SYMBOL, "limit", "sell", 1, 80000, 80100),
]
OTHERS = [
    c("cancel_order", "123", SYMBOL), c("cancel_order", "123"),
    c("cancel_order", "123", SYMBOL, {"trigger": True}), c("cancel_order", "123", None,
                                                          {"trigger": True}),
    c("cancel_orders", ["1", "2", "3"], SYMBOL), c("cancel_orders", ["1"]),
    c("cancel_all_orders", SYMBOL), c("cancel_all_orders"),
    c("cancel_all_orders", SYMBOL, {"method": "contractPrivatePostPlanorderCancelAll"}),
    c("fetch_order", "123", SYMBOL), c("fetch_order", "123"),
    c("fetch_orders", SYMBOL), c("fetch_orders", SYMBOL, SINCE, 10),
    c("fetch_orders", None, None, 5), c("fetch_orders", SYMBOL, None, None, {"trigger": True}),
    c("fetch_orders_by_ids", ["1", "2"], SYMBOL),
    c("fetch_open_orders", SYMBOL), c("fetch_open_orders"),
    c("fetch_open_orders", SYMBOL, SINCE, 5),
    c("fetch_open_orders", SYMBOL, None, None, {"trigger": True}),
    c("fetch_closed_orders", SYMBOL), c("fetch_closed_orders", SYMBOL, SINCE, 3),
    c("fetch_canceled_orders", SYMBOL), c("fetch_canceled_orders", SYMBOL, SINCE, 3),
    c("fetch_order_trades", "123", SYMBOL), c("fetch_order_trades", "123"),
    c("fetch_my_trades", SYMBOL), c("fetch_my_trades", SYMBOL, SINCE, 50),
    c("fetch_my_trades", SYMBOL, SINCE, 5, {"until": NOW_MS}),
    c("fetch_balance"), c("fetch_balance", {"type": "swap"}), c("fetch_balance", {"type": "spot"}),
    c("fetch_position", SYMBOL), c("fetch_positions"), c("fetch_positions", [SYMBOL, ETH]),
    c("fetch_positions_history", [SYMBOL], None, 10), c("fetch_positions_history"),
    c("fetch_position_mode"), c("set_position_mode", True), c("set_position_mode", False),
    c("set_leverage", 20, SYMBOL, {"openType": 1, "positionType": 1}),
    c("set_leverage", 20, SYMBOL, {"positionId": 77}), c("set_leverage", 20, SYMBOL),
    c("fetch_leverage", SYMBOL), c("fetch_leverage_tiers", [SYMBOL]),
    c("fetch_market_leverage_tiers", SYMBOL),
    c("set_margin_mode", "isolated", SYMBOL, {"leverage": 20, "direction": "long"}),
    c("set_margin_mode", "cross", SYMBOL, {"leverage": 20}), c("set_margin_mode", "cross"),
    c("add_margin", SYMBOL, 5, {"positionId": 7}), c("reduce_margin", SYMBOL, 5, {"positionId": 7}),
    c("close_all_positions"),
    c("fetch_funding_history", SYMBOL), c("fetch_funding_history", SYMBOL, SINCE, 3),
    c("fetch_transfers", "USDT", SINCE, 5), c("fetch_transfer", "abc"),
    c("transfer", "USDT", 5, "spot", "swap"), c("fetch_accounts"),
    c("fetch_trading_fee", SYMBOL),
    c("fetch_markets"), c("fetch_currencies"), c("fetch_time"), c("fetch_status"),
    c("fetch_time", {"type": "spot"}), c("fetch_status", {"type": "spot"}),
    c("fetch_order_book", SYMBOL), c("fetch_order_book", SYMBOL, 20),
    c("fetch_order_book", "BTC/USDT", 5),
    c("fetch_ticker", SYMBOL), c("fetch_tickers"), c("fetch_tickers", [SYMBOL, ETH]),
    c("fetch_trades", SYMBOL), c("fetch_trades", SYMBOL, SINCE, 5), c("fetch_trades", "BTC/USDT"),
    c("fetch_bids_asks", [SYMBOL]),
    c("fetch_funding_rate", SYMBOL), c("fetch_funding_interval", SYMBOL),
    c("fetch_funding_rate_history", SYMBOL), c("fetch_funding_rate_history", SYMBOL, SINCE, 10),
    c("create_order", "BTC/USDT", "limit", "buy", 1, 80000.0),
    c("create_order", "BTC/USDT", "market", "sell", 1),
    c("create_order", "BTC/USDT", "limit", "buy", 1, 80000.0, {"timeInForce": "IOC"}),
    c("cancel_order", "C02__1", "BTC/USDT"), c("fetch_order", "C02__1", "BTC/USDT"),
    c("fetch_open_orders", "BTC/USDT"), c("fetch_my_trades", "BTC/USDT", SINCE, 5),
    c("withdraw", "USDT", 5, "0x" + "a" * 40, None, {"network": "ERC20"}),
    c("fetch_deposits", "USDT", SINCE, 5), c("fetch_withdrawals", "USDT", SINCE, 5),
    c("fetch_transaction_fees"), c("fetch_deposit_withdraw_fees", ["USDT"]),
    c("create_deposit_address", "USDT", {"network": "ERC20"}), c("fetch_l2_order_book", SYMBOL, 5),
    c("fetch_deposit_address", "USDT", {"network": "ERC20"}),
    c("contractPrivatePostOrderCreate", {"symbol": "BTC_USDT", "vol": 1, "note": "ä€ \"q\" é"}),
    c("contractPrivateGetOrderListOpenOrdersSymbol", {"symbol": "BTC_USDT", "page_num": 2,
                                                      "b": "x y", "a": "ü/+&="}),
    c("contractPublicGetDepthCommitsSymbolLimit", {"symbol": "BTC_USDT", "limit": 7}),
]
OTHERS += [c("fetch_ohlcv", symbol, frame, *more)
           for symbol in (SYMBOL, "BTC/USDT") for frame in ("1m", "4h", "1d")
           for more in ((), (SINCE, 10), (None, 5), (SINCE, None, {"until": NOW_MS}),
                        (None, None, {"price": "mark"}), (None, None, {"price": "index"}))]


class Recorder:
    """Stands where ccxt's one method for HTTP is."""

    def __init__(self, client: Any) -> None:
        self.sent: list[tuple[str, str, Any, Any]] = []
        client.fetch = self.fetch
        self.client = client

    async def fetch(self, url: str, method: str = "GET", headers: Any = None,
                    body: Any = None) -> Any:
        self.sent.append((method, url, body, headers))
        if "order/create" in url:
            return {"success": True, "code": 0, "data": {"orderId": "817", "ts": NOW_MS}}
        if "order/cancel" in url and "all" not in url:
            return {"success": True, "code": 0,
                    "data": [{"orderId": "123", "errorCode": 0, "errorMsg": "success"}]}
        return {"success": True, "code": 0, "data": []}


def ask_sync(client: Any, call: Call) -> tuple[list[Any], str]:
    """The same for the synchronous classes."""
    recorder = Recorder(client)
    client.fetch = lambda *args: _finished(recorder.fetch(*args))
    method, args, more = call
    args = tuple(dict(one) if isinstance(one, dict) else one for one in args)
    try:
        result = text(getattr(client, method)(*args, **more))
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    return recorder.sent, result


def _finished(coroutine: Any) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


async def ask(client: Any, call: Call) -> tuple[list[Any], str]:
    """What was sent, and what came back or was raised."""
    recorder = Recorder(client)
    method, args, more = call
    args = tuple(dict(one) if isinstance(one, dict) else one for one in args)
    try:
        result = text(await getattr(client, method)(*args, **more))
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    return recorder.sent, result


def check_signature(method: str, url: str, body: Any, headers: dict[str, str]) -> bool:
    """Whether it was signed, and then rightly (protocol.md 3)."""
    if "ApiKey" not in (headers or {}):
        return False
    payload = body if method == "POST" else url.partition("?")[2]
    target = headers["ApiKey"] + headers["Request-Time"] + (payload or "")
    made = hmac.new(KEYS["secret"].encode(), target.encode(), hashlib.sha256).hexdigest()
    assert headers["Signature"] == made
    return True


def test_requests_are_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> tuple[int, int, int]:
        requests = signed = 0
        stock, ours = offline(STOCK), offline(OURS)
        for call in ORDERS + OTHERS:
            theirs, mine = await ask(stock, call), await ask(ours, call)
            assert mine == theirs, call
            for one in mine[0]:
                requests += 1
                signed += check_signature(*one)
        return len(ORDERS + OTHERS), requests, signed

    calls, requests, signed = asyncio.run(run())
    methods = len({call[0] for call in ORDERS + OTHERS})
    with capsys.disabled():
        print(f"\n  ccxt requests: {methods} methods, {calls} calls, {requests} requests equal "
              f"byte for byte, {signed} signatures verified")
    assert methods >= 60 and calls >= 250 and requests >= 200 and signed >= 150


def test_the_synchronous_twin_sends_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    stock, ours = offline(STOCK_SYNC), offline(OURS_SYNC)
    requests = 0
    for call in ORDERS + OTHERS:
        if call[0].startswith("create_post_only"):
            continue                             # same as create_order
        theirs, mine = ask_sync(stock, call), ask_sync(ours, call)
        assert mine == theirs, call
        requests += len(mine[0])
        assert sum(check_signature(*one) for one in mine[0]) == sum(
            check_signature(*one) for one in theirs[0])
    with capsys.disabled():
        print(f"\n  ccxt requests, synchronous twin: {requests} equal")
    assert requests >= 200


def test_ioc_and_fok_are_sent_as_such() -> None:
    """Allowed: time in force. Stock sends a plain limit order with a stray field."""
    async def run(kind: type, params: dict[str, Any]) -> Any:
        call = c("create_order", SYMBOL, "limit", "buy", 3, 84000.5, {**OPEN, **params})
        return (await ask(offline(kind), call))[0][0][2]

    for name, number in (("IOC", 3), ("FOK", 4), ("ioc", 3)):
        stock = asyncio.run(run(STOCK, {"timeInForce": name}))
        assert '"type":1' in stock and f'"timeInForce":"{name}"' in stock
        ours = asyncio.run(run(OURS, {"timeInForce": name}))
        assert ours == asyncio.run(run(STOCK, {})).replace('"type":1', f'"type":{number}')


def test_loud_about_time_in_force(caplog: pytest.LogCaptureFixture) -> None:
    client = offline(OURS)
    for _ in range(2):
        asyncio.run(ask(client, c("create_order", SYMBOL, "limit", "buy", 1, 84000, {
            "timeInForce": "IOC"})))
    told = [record.getMessage() for record in caplog.records if record.name == "mexcfast.ccxt"]
    assert len(told) == 1 and "type 3" in told[0]
