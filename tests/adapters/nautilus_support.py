"""A TradingNode against the exchange in the box, and the wheel's own testers with ears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from nautilus_trader.config import InstrumentProviderConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.live.config import LiveDataEngineConfig, LiveRiskEngineConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import ClientId, InstrumentId, TraderId
from nautilus_trader.test_kit.strategies.tester_data import DataTester, DataTesterConfig
from nautilus_trader.test_kit.strategies.tester_exec import ExecTester, ExecTesterConfig

import mexcfast as mx
from mexcfast.adapters.nautilus import (
    MEXC,
    MEXCDataClientConfig,
    MEXCExecClientConfig,
    MEXCLiveDataClientFactory,
    MEXCLiveExecClientFactory,
    exec_engine_config,
)
from mexcfast.sim import Exchange

BTC, ETH = "BTC_USDT", "ETH_USDT"
IID, OTHER = (InstrumentId.from_str(f"{base}-USDT-PERP.MEXC") for base in ("BTC", "ETH"))
ONE_WAY, HEDGE = 2, 1                     # positionMode of the exchange in the box
NODES: list[TradingNode] = []


def market(**more: Any) -> Exchange:
    """A market at rest with orders all over, unless told otherwise."""
    return Exchange(**{"seed": 5, "symbols": (BTC,), "levels": 100, "updates_per_second": 0,
                       "merge_ms": 0, **more})


def cases(*ids: str) -> Callable[[Any], Any]:
    """Mark a test as the automation of these cases of the host's test specs (conftest.py)."""

    def mark(test: Any) -> Any:
        test.cases = ids
        return test

    return mark


def run(story: Coroutine[Any, Any, Any]) -> None:
    """Run a story in a loop of its own. A node's dispose() ends the loop, so it comes after."""
    NODES.clear()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(story)
    finally:
        for node in NODES:
            node.kernel.dispose()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        asyncio.set_event_loop(None)


async def until(true: Callable[[], Any], what: str = "", seconds: float = 60) -> Any:
    try:
        async with asyncio.timeout(seconds):
            while not (found := true()):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.005)
            return found
    except TimeoutError:
        raise AssertionError(f"did not come: {what or true}") from None


@asynccontextmanager
async def running(venue: Exchange, *parts: Any, mode: int = ONE_WAY, orders: bool = True,
                  data: dict[str, Any] | None = None, more: dict[str, Any] | None = None,
                  engine: dict[str, Any] | None = None, ids: tuple[InstrumentId, ...] = (IID,),
                  number: int = 1, endpoint: dict[str, Any] | None = None
                  ) -> AsyncIterator[TradingNode]:
    """A node with these actors and strategies, until it trades; stopped at the end, when what the
    strategies do on their stop is done."""
    venue.account.position_mode = mode
    provider = InstrumentProviderConfig(load_ids=frozenset(ids))
    config = TradingNodeConfig(
        trader_id=TraderId(f"TESTER-{number:03}"),
        logging=LoggingConfig(log_level="WARN", log_colors=False),
        exec_engine=exec_engine_config(**{
            "reconciliation": True, "reconciliation_startup_delay_secs": 0.1,
            "graceful_shutdown_on_exception": True, **(engine or {})}),
        # else an exception in a queue ends the process, and the tests' with it
        data_engine=LiveDataEngineConfig(graceful_shutdown_on_exception=True),
        risk_engine=LiveRiskEngineConfig(bypass=True, graceful_shutdown_on_exception=True),
        timeout_connection=60,
        timeout_reconciliation=60, timeout_portfolio=60, timeout_disconnection=30,
        timeout_post_stop=0.3,
        data_clients={MEXC: MEXCDataClientConfig(
            base_url_http=venue.rest_url, instrument_provider=provider, **(data or {}))},
        exec_clients={MEXC: MEXCExecClientConfig(**{
            "base_url_http": venue.rest_url, "api_key": venue.access_key,
            "api_secret": venue.secret, "leverage": 20, "instrument_provider": provider,
            "position_mode": "one_way" if mode == ONE_WAY else "hedge", **(more or {})})}
        if orders else {})
    node = TradingNode(config, loop=asyncio.get_running_loop())
    NODES.append(node)
    node.add_data_client_factory(MEXC, MEXCLiveDataClientFactory)
    if orders:
        node.add_exec_client_factory(MEXC, MEXCLiveExecClientFactory)
    for part in parts:
        (node.trader.add_strategy if isinstance(part, ExecTester) else node.trader.add_actor)(part)
    node.build()
    if endpoint is not None:               # what no setting of the adapter says
        where = mx.Endpoint.at(venue.rest_url, **endpoint)
        exec_client(node)._make = lambda: mx.Client(where, venue.access_key, venue.secret)
    task = asyncio.create_task(node.run_async())
    try:
        await until(lambda: node.trader.is_running or task.done(), "the node trades")
        assert node.trader.is_running, "the node did not start"
        yield node
        for part in parts:
            if isinstance(part, ExecTester) and part.is_running:
                part.stop()
                await until(lambda part=part: _is_done(node, part), "the end of the strategy")
    finally:
        await node.stop_async()
        await asyncio.wait_for(task, 60)


def _is_done(node: TradingNode, part: Any) -> bool:
    if doubts(node):
        return True
    holds = part.config.close_positions_on_stop and node.cache.positions_open(strategy_id=part.id)
    return not node.cache.orders_inflight() and not holds


def doubts(node: TradingNode) -> bool:
    """Whether some request's fate is not known."""
    client = exec_client(node).client
    return client is not None and bool(client.orders.unresolved)


def data_client(node: TradingNode) -> Any:
    return node.kernel.data_engine._clients[ClientId(MEXC)]


def exec_client(node: TradingNode) -> Any:
    return node.kernel.exec_engine._clients[ClientId(MEXC)]


class Data(DataTester):  # type: ignore[misc]
    """DataTester that keeps what it is given: got["quotes"] and so on."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("instrument_ids", [IID])
        settings.setdefault("log_data", False)
        super().__init__(DataTesterConfig(**settings))
        self.got: dict[str, list[Any]] = {}

    def _keep(self, name: str, what: Any) -> None:
        self.got.setdefault(name, []).append(what)

    def on_instrument(self, instrument: Any) -> None:
        self._keep("instrument", instrument)

    def on_instrument_status(self, status: Any) -> None:
        self._keep("status", status)

    def on_historical_data(self, data: Any) -> None:
        super().on_historical_data(data)
        self._keep("historical", data)

    def on_order_book_deltas(self, deltas: Any) -> None:
        super().on_order_book_deltas(deltas)
        self._keep("deltas", deltas)

    def on_order_book_depth(self, depth: Any) -> None:
        super().on_order_book_depth(depth)
        self._keep("depth", depth)

    def on_order_book(self, order_book: Any) -> None:
        super().on_order_book(order_book)
        self._keep("books", (order_book.best_bid_price(), order_book.best_ask_price(),
                             len(order_book.bids()), len(order_book.asks())))

    def on_quote_tick(self, quote: Any) -> None:
        super().on_quote_tick(quote)
        self._keep("quotes", quote)

    def on_trade_tick(self, trade: Any) -> None:
        super().on_trade_tick(trade)
        self._keep("trades", trade)

    def on_mark_price(self, mark_price: Any) -> None:
        super().on_mark_price(mark_price)
        self._keep("marks", mark_price)

    def on_index_price(self, index_price: Any) -> None:
        super().on_index_price(index_price)
        self._keep("indices", index_price)

    def on_funding_rate(self, funding_rate: Any) -> None:
        super().on_funding_rate(funding_rate)
        self._keep("funding", funding_rate)

    def on_bar(self, bar: Any) -> None:
        super().on_bar(bar)
        self._keep("bars", bar)


class Exec(ExecTester):  # type: ignore[misc]
    """ExecTester that keeps its events and can be told to place orders of its own."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("instrument_id", IID)
        settings.setdefault("order_qty", Decimal(10))
        settings.setdefault("log_data", False)
        settings.setdefault("enable_buys", False)
        settings.setdefault("enable_sells", False)
        super().__init__(ExecTesterConfig(**settings))
        self.events: list[Any] = []

    def on_event(self, event: Any) -> None:
        self.events.append(event)

    def names(self, order: Any = None) -> list[str]:
        """Kinds of the events, of one order or of all."""
        return [type(event).__name__ for event in (self.events if order is None else order.events)]

    def last(self, kind: str) -> Any:
        return next(each for each in reversed(self.events) if type(each).__name__ == kind)

    def limit(self, side: OrderSide, price: Any, quantity: int = 10, **more: Any) -> Any:
        """Place a limit order; the order."""
        params = more.pop("params", None)
        position_id = more.pop("position_id", None)
        order = self.order_factory.limit(
            more.pop("instrument_id", IID), side, self.instrument.make_qty(quantity),
            self.instrument.make_price(price), **more)
        self.submit_order(order, position_id=position_id, params=params)
        return order

    def market(self, side: OrderSide, quantity: int = 10, **more: Any) -> Any:
        """Place a market order; the order."""
        params = more.pop("params", None)
        position_id = more.pop("position_id", None)
        more.setdefault("time_in_force", TimeInForce.GTC)
        order = self.order_factory.market(
            IID, side, self.instrument.make_qty(quantity), **more)
        self.submit_order(order, position_id=position_id, params=params)
        return order
