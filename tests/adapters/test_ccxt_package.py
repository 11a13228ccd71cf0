"""The package: what it is, what it falls back to, what it says of itself, and the corrections."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters import ccxt_allowed
from adapters.ccxt_support import (
    MARKET,
    NEEDS_CCXT,
    OURS,
    OURS_SYNC,
    STOCK,
    SYMBOL,
    offline,
    online,
    until,
)
from mexcfast.adapters import ccxt as package
from mexcfast.adapters.ccxt import compat
from mexcfast.adapters.ccxt.extras import HAS
from mexcfast.sim import Exchange

pytestmark = NEEDS_CCXT

HERE = Path(__file__).parent
OPEN = {"leverage": 20, "openType": 1}
FIXES = {"mexcfast": {"fixes": True}}


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True,
                          timeout=120)


def test_it_is_ccxts_class() -> None:
    import ccxt.pro

    made = offline(OURS)
    assert OURS.__name__ == OURS_SYNC.__name__ == "mexc" and made.id == "mexc"
    assert isinstance(made, STOCK) and issubclass(OURS, ccxt.async_support.mexc)
    assert package.differences == () and package.mexc is OURS
    assert made.watchPositions.__func__ is OURS.watch_positions     # ccxt's camel case too


def test_has_tells_the_truth() -> None:
    """Allowed: has. What it adds is there, and nothing that stock has is gone."""
    stock, ours = offline(STOCK).has, offline(OURS).has
    changed = {name for name in ours if ours[name] != stock.get(name)}
    assert all(ours[name] is True for name in changed) and changed >= {
        name for name, has in HAS.items() if has and not stock.get(name)}
    for name, has in HAS.items():
        assert ours[name] is has
        assert not has or getattr(OURS, name) is not getattr(STOCK, name, None), name
    assert set(stock) <= set(ours) and ours["editOrderWs"] is False


def test_install_and_uninstall() -> None:
    done = run("""
import ccxt, ccxt.pro, ccxt.async_support
stock = ccxt.pro.mexc, ccxt.async_support.mexc, ccxt.mexc
from mexcfast.adapters import ccxt as adapter
from mexcfast.adapters.ccxt.sync import mexc as sync
assert (ccxt.pro.mexc, ccxt.async_support.mexc, ccxt.mexc) == stock
adapter.install(); adapter.install()
assert getattr(ccxt.pro, 'mexc') is ccxt.async_support.mexc is adapter.mexc
assert ccxt.mexc is sync and sync().id == 'mexc' and issubclass(sync, stock[2])
adapter.uninstall(); adapter.uninstall()
assert (ccxt.pro.mexc, ccxt.async_support.mexc, ccxt.mexc) == stock
print('fine')
""")
    assert done.stdout == "fine\n", done.stderr


def test_without_ccxt_the_error_names_the_extra() -> None:
    done = run("""
import sys
sys.modules['ccxt'] = None
import mexcfast as mx
for name in ('mexcfast.adapters.ccxt', 'mexcfast.adapters.ccxt.sync'):
    try:
        __import__(name)
    except mx.MissingExtra as error:
        assert isinstance(error, ImportError) and error.extra == 'ccxt'
        print(error)
""")
    assert done.stdout.count("pip install 'mexcfast[ccxt]'") == 2, done.stdout + done.stderr


def test_a_changed_ccxt_means_stock_and_a_warning() -> None:
    done = run("""
import warnings
import ccxt.pro
def handle_order_book(self, client, message, more): pass
ccxt.pro.mexc.handle_order_book = handle_order_book
del ccxt.pro.mexc.watch_swap_private
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter('always')
    from mexcfast.adapters import ccxt as adapter
    from mexcfast.adapters.ccxt.sync import mexc as sync
assert adapter.mexc is ccxt.pro.mexc and sync is ccxt.mexc
print(sorted(adapter.differences))
print([str(one.message) for one in told if one.category is RuntimeWarning])
adapter.install()
assert ccxt.pro.mexc is adapter.mexc
""")
    assert "handle_order_book(client, message, more)" in done.stdout, done.stderr
    assert "no ccxt.pro.mexc:mexc.watch_swap_private" in done.stdout
    assert "its own mexc is used" in done.stdout


def test_what_is_relied_on_is_looked_at() -> None:
    assert compat.differences() == ()
    assert compat.differences({"no.such:thing": {"x": ""}}) == ("no no.such:thing",)
    place = "ccxt.pro.mexc:mexc"
    assert compat.differences({place: {"describe": "more"}}) == (f"{place}.describe()",)
    assert compat.differences({place: {"nothing": ""}}) == (f"no {place}.nothing",)


def test_another_structure_turns_the_fast_way_off() -> None:
    """The first trades are parsed twice; a ccxt that says something else is believed."""
    class Newer(OURS):
        pass

    made = offline(Newer)
    raw = {"p": 84000.5, "v": 3, "T": 1, "O": 1, "M": 1, "t": 1_700_000_000_000}
    original = STOCK.parse_trade
    try:
        STOCK.parse_trade = lambda self, trade, market=None: {
            **original(self, trade, market), "new": 1}
        with pytest.warns(RuntimeWarning, match="trade structure"):
            assert made.parse_trade(raw, made.market(SYMBOL))["new"] == 1
        for _ in range(5):
            assert made.parse_trade(raw, made.market(SYMBOL))["new"] == 1
    finally:
        STOCK.parse_trade = original


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"fixs.*allowed: .*fixes"):
        offline(OURS, options={"mexcfast": {"fixs": True}})


def test_every_allowed_difference_has_its_test() -> None:
    assert set(ccxt_allowed.SHOWN) == set(ccxt_allowed.ALLOWED)
    for name, place in ccxt_allowed.SHOWN.items():
        file, _, test = place.partition("::")
        text = (HERE / file).read_text("utf-8")
        body = text.partition(f"def {test}(")[2].partition("\ndef ")[0]
        assert body and f"Allowed: {name}" in body, name


# -- the corrections of options.mexcfast.fixes ----------------------------------------------------

RAW = {"orderId": "7", "symbol": MARKET, "positionId": 0, "price": 84000.5, "vol": 10,
       "leverage": 20, "side": 1, "category": 1, "orderType": 1, "dealAvgPrice": 0, "dealVol": 0,
       "takerFee": 0, "makerFee": 0, "feeCurrency": "USDT", "openType": 1, "state": 2,
       "externalOid": "mine", "createTime": 1_700_000_000_000, "updateTime": 1_700_000_000_001}


@pytest.mark.parametrize("kind", [OURS, OURS_SYNC])
def test_fixes_of_orders(kind: type) -> None:
    stock, ours = offline(kind), offline(kind, options=FIXES)
    for side, name, reduces in ((1, "buy", False), (2, "buy", True), (3, "sell", False),
                                (4, "sell", True), ("4", "sell", True)):
        order = ours.parse_order({**RAW, "side": side})
        assert (order["side"], order["reduceOnly"]) == (name, reduces)
        assert order["clientOrderId"] == "mine" and order["info"]["side"] == side
        assert stock.parse_order({**RAW, "side": side})["side"] != "sell" or side == 2
    for number, wanted in ((1, ("limit", "GTC", False)), (2, ("limit", "PO", True)),
                           (3, ("limit", "IOC", False)), (4, ("limit", "FOK", False)),
                           (5, ("market", "IOC", False)), (6, ("market", None, False))):
        order = ours.parse_order({**RAW, "orderType": number})
        assert (order["type"], order["timeInForce"], order["postOnly"]) == wanted
        assert stock.parse_order({**RAW, "orderType": number})["type"] is None
    for state, status in ((1, "open"), (2, "open"), (3, "closed"), (4, "canceled"),
                          (5, "rejected")):
        assert ours.parse_order({**RAW, "state": state})["status"] == status
    assert stock.parse_order({**RAW, "state": 5})["status"] == "5"
    plan = {key: RAW[key] for key in ("symbol", "vol", "side", "orderType", "createTime")}
    plan |= {"id": "9", "orderId": 0, "triggerType": 1, "triggerPrice": 90000}
    for state, status in ((1, "open"), (2, "canceled"), (3, "closed"), (4, "expired"),
                          (5, "rejected")):
        order = ours.parse_order({**plan, "state": state})
        assert (order["status"], order["id"]) == (status, "9")
    assert stock.parse_order(plan)["id"] == "0"                  # of the order it placed, none yet
    spot = {"symbol": "BTCUSDT", "orderId": "1", "side": "BUY", "type": "LIMIT", "status": "NEW"}
    assert ours.parse_order(spot) == stock.parse_order(spot)


@pytest.mark.parametrize("kind", [OURS, OURS_SYNC])
def test_info_can_be_left_out(kind: type) -> None:
    stock = offline(kind)
    ours = offline(kind, options={"mexcfast": {"info": False}})
    deal = {"p": 84000.5, "v": 3, "T": 1, "O": 1, "M": 2, "t": 1_700_000_000_000}
    quote = {"symbol": MARKET, "lastPrice": 84000, "bid1": 83999.5, "ask1": 84000.5,
             "timestamp": 1_700_000_000_000}
    spot = {"symbol": "BTCUSDT", "orderId": "1", "side": "BUY", "type": "LIMIT", "status": "NEW"}
    market = stock.market(SYMBOL)
    for name, raw in (("parse_trade", deal), ("parse_order", RAW), ("parse_ticker", quote)):
        whole, less = (getattr(one, name)(raw, market) for one in (stock, ours))
        assert whole["info"] == raw and less == {**whole, "info": None}
    assert ours.parse_order(spot)["info"] == spot


@pytest.mark.parametrize("kind", [OURS, OURS_SYNC])
def test_fixes_of_own_trades(kind: type) -> None:
    raw = {"id": "1", "symbol": MARKET, "vol": 2, "price": 84000.5, "fee": 0.1, "isTaker": True,
           "feeCurrency": "USDT", "timestamp": 1_700_000_000_000, "orderId": "7", "positionMode": 1}
    stock, ours = offline(kind), offline(kind, options=FIXES)
    told = [ours.parse_trade({**raw, "side": side})["side"] for side in (1, 2, 3, 4)]
    assert told == ["buy", "buy", "sell", "sell"]
    assert [stock.parse_trade({**raw, "side": side})["side"] for side in (1, 2, 3, 4)] == [
        "buy", "sell", "3", "4"]
    public = {"p": 1.5, "v": 2, "T": 2, "O": 1, "M": 1, "t": 1_700_000_000_000}
    market = ours.market(SYMBOL)
    assert ours.parse_trade(public, market) == stock.parse_trade(public, market)


def on_exchange(scene: Any, kind: type = OURS, **config: Any) -> None:
    async def main() -> None:
        async with Exchange(levels=30, updates_per_second=100, limits=False,
                            symbols=(MARKET, "ETH_USDT")) as venue:
            client = online(kind, venue, **config)
            try:
                async with asyncio.timeout(60):
                    await scene(venue, client)
            finally:
                await client.close()

    asyncio.run(main())


def test_fixes_of_what_create_and_cancel_return() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        bid = float(venue.book(MARKET).bids[10][0])
        order = await client.create_order(SYMBOL, "limit", "buy", 3, bid, {
            **OPEN, "clientOrderId": "mine-1", "timeInForce": "PO"})
        assert {key: order[key] for key in ("symbol", "type", "side", "amount", "price", "postOnly",
                                            "timeInForce", "clientOrderId", "status")} == {
            "symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 3.0, "price": bid,
            "postOnly": True, "timeInForce": "PO", "clientOrderId": "mine-1", "status": None}
        cancelled = await client.cancel_order(order["id"], SYMBOL)
        assert cancelled["id"] == order["id"] and cancelled["symbol"] == SYMBOL
        assert cancelled["info"]["errorCode"] == 0
        watch = asyncio.create_task(client.watch_orders(SYMBOL))
        await asyncio.sleep(0)
        await until(lambda: any(session.account for session in venue._hub.sessions))
        await client.create_order(SYMBOL, "market", "sell", 1, None, OPEN)
        (sold,) = await watch
        assert (sold["side"], sold["type"], sold["reduceOnly"]) == ("sell", "market", False)

    on_exchange(scene, options=FIXES)


def test_the_engine_places_and_cancels() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        bid = float(venue.book(MARKET).bids[10][0])
        order = await client.create_order(SYMBOL, "limit", "buy", 3, bid, OPEN)
        assert order["clientOrderId"].startswith("mf-") and order["side"] == "buy"
        assert (await client.fetch_order(order["id"], SYMBOL))["status"] == "open"
        assert (await client.cancel_order(order["id"], SYMBOL))["id"] == order["id"]
        assert (await client.fetch_order(order["id"], SYMBOL))["status"] == "canceled"
        named = await client.create_order_ws(SYMBOL, "limit", "sell", 1, bid * 1.01 // 1, {
            **OPEN, "clientOrderId": "by-name", "postOnly": True})
        done = await client.cancel_order_ws("", SYMBOL, {"clientOrderId": "by-name"})
        assert done["clientOrderId"] == "by-name" and named["timeInForce"] == "PO"
        two = [await client.create_order_ws(SYMBOL, "limit", "buy", 1, bid, OPEN)
               for _ in range(2)]
        assert len(await client.cancel_orders_ws([one["id"] for one in two], SYMBOL)) == 2
        await client.create_order_ws(SYMBOL, "limit", "buy", 1, bid, OPEN)
        assert await client.cancel_all_orders_ws(SYMBOL) == []
        assert await client.fetch_open_orders(SYMBOL) == []
        ioc = await client.create_order_ws(SYMBOL, "limit", "buy", 1, bid, {
            **OPEN, "timeInForce": "IOC"})
        assert (await client.fetch_order(ioc["id"], SYMBOL))["status"] == "canceled"

    on_exchange(scene, options={"mexcfast": {"engine": True}})


def test_the_watches_stock_does_not_have() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        both = [SYMBOL, "ETH/USDT:USDT"]
        found = set()
        while len(found) < 2:
            for symbol, ticker in (await client.watch_bids_asks(both)).items():
                assert ticker["bid"] < ticker["ask"] and ticker["bidVolume"] > 0
                found.add(symbol)
        books = set()
        while len(books) < 2:
            books.add((await client.watch_order_book_for_symbols(both))["symbol"])
        trades = set()
        while len(trades) < 2:
            venue.trade(MARKET, "buy", 1), venue.trade("ETH_USDT", "sell", 1)
            trades |= {one["symbol"] for one in await client.watch_trades_for_symbols(both)}
        candles = set()
        while len(candles) < 2:
            venue.trade(MARKET, "buy", 1), venue.trade("ETH_USDT", "sell", 1)
            for symbol, frames in (await client.watch_ohlcv_for_symbols(
                    [[SYMBOL, "1m"], ["ETH/USDT:USDT", "5m"]])).items():
                candles.add((symbol, *frames))
        assert candles == {(SYMBOL, "1m"), ("ETH/USDT:USDT", "5m")}
        watch = asyncio.create_task(client.watch_positions([SYMBOL]))
        await until(lambda: any(session.account for session in venue._hub.sessions))
        await client.create_order(SYMBOL, "market", "buy", 2, None, OPEN)
        (position,) = await watch
        assert (position["contracts"], position["side"]) == (2.0, "long")
        watch = asyncio.create_task(client.watch_positions())
        await asyncio.sleep(0)
        await client.create_order(SYMBOL, "market", "buy", 2, None, {"reduceOnly": True,
                                                                    "hedged": True})
        while (await watch)[0]["contracts"]:
            watch = asyncio.create_task(client.watch_positions())
        for leave, args in ((client.un_watch_bids_asks, both),
                            (client.un_watch_order_book_for_symbols, both),
                            (client.un_watch_trades_for_symbols, both),
                            (client.un_watch_ohlcv_for_symbols, [[SYMBOL, "1m"]])):
            await leave(args)
        (session,) = venue._hub.sessions
        await until(lambda: len(session.topics) <= 1)

    on_exchange(scene)


def test_swap_only_asks_spot_nothing() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        markets = await client.load_markets()
        assert set(markets) == {SYMBOL, "ETH/USDT:USDT"}
        assert {one.path for one in venue.requests} == {"/api/v1/contract/detail"}

    on_exchange(scene, options={"mexcfast": {"swap_only": True}})


def test_the_synchronous_twin_trades() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        def trade() -> None:
            twin = online(OURS_SYNC, venue, options=FIXES)
            twin.load_markets()
            bid = float(venue.book(MARKET).bids[10][0])
            order = twin.create_order(SYMBOL, "limit", "buy", 1, bid, OPEN)
            (found,) = twin.fetch_open_orders(SYMBOL)
            assert (found["id"], found["side"], found["type"]) == (order["id"], "buy", "limit")
            assert twin.cancel_order(order["id"], SYMBOL)["id"] == order["id"]
            twin.session.close()

        await asyncio.to_thread(trade)

    on_exchange(scene)
