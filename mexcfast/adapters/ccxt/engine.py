"""Swap orders over mexcfast.Client: create_order_ws and its kin, or all with the option `engine`.

What it adds to ccxt's path: checks against the contract before anything leaves, a client order id
on every order, the venue's own budgets instead of ccxt's limiter, and no guessing. When the outcome
is unknown, ccxt.RequestTimeout says so and names the client order id to ask for.
"""

from __future__ import annotations

from typing import Any

import ccxt  # type: ignore[import-untyped]

import mexcfast as mx
from mexcfast.types import OrderType, Outcome

Params = dict[str, Any]

TYPES = {"limit": OrderType.LIMIT, "market": OrderType.MARKET_TO_LIMIT,   # as stock sends them
         "IOC": OrderType.IOC, "FOK": OrderType.FOK}
#: ccxt's and the venue's parameter names -> ours
PASSED = {"leverage": "leverage", "positionId": "position_id", "positionMode": "position_mode",
          "stopLossPrice": "stop_loss_price", "takeProfitPrice": "take_profit_price",
          "lossTrend": "loss_trend", "profitTrend": "profit_trend",
          "priceProtect": "price_protect", "marketCeiling": "market_ceiling",
          "flashClose": "flash_close", "bboTypeNum": "best_price", "stpMode": "self_trade"}
READ = ("timeInForce", "postOnly", "reduceOnly", "hedged", "marginMode", "openType",
        "clientOrderId", "externalOid")


class Engine:
    """Mixed into the exchange."""

    def _start_engine(self: Any) -> None:
        self._own_client: Any = None
        self._own_client_for: Any = None

    async def _engine(self: Any) -> Any:
        """Our own client of the same addresses and keys, made at the first call."""
        self.check_required_credentials()
        address = self.urls["api"]["contract"]["private"]
        wanted = (address, self.urls["api"]["ws"]["swap"], self.apiKey, self.secret)
        if self._own_client is not None and self._own_client_for == wanted:
            return self._own_client
        await self._stop_engine()
        base = address.partition("/api/v1")[0]
        client = mx.Client(mx.Endpoint.at(base, wanted[1]), self.apiKey, self.secret)
        self._own_client, self._own_client_for = client, wanted
        try:
            await client.orders.load_contracts()
            client.orders.resolver.start()
        except BaseException as error:
            await self._stop_engine()
            if isinstance(error, mx.MexcfastError):
                raise self._as_ccxt(error) from error
            raise
        return client

    async def _stop_engine(self: Any) -> None:
        client, self._own_client, self._own_client_for = self._own_client, None, None
        if client is not None:
            await client.close()

    # -- outcomes ---------------------------------------------------------------------------------

    def _as_ccxt(self: Any, error: Exception) -> Exception:
        """ccxt's exception for one of ours, by the venue's code as ccxt itself does."""
        text = f"{self.id} {error}"
        if isinstance(error, mx.VenueError):
            kind = self.exceptions["exact"].get(str(error.code))
            if kind is None:
                kind = next((ccxt_kind for ours, ccxt_kind in KINDS if isinstance(error, ours)),
                            ccxt.ExchangeError)
            return kind(text)  # type: ignore[no-any-return]
        for ours, kind in KINDS:
            if isinstance(error, ours):
                return kind(text)
        return ccxt.ExchangeError(text)  # type: ignore[no-any-return]

    def _taken(self: Any, outcome: Outcome) -> Any:
        """The accepted outcome, or ccxt's exception."""
        if isinstance(outcome, mx.Accepted):
            return outcome
        if isinstance(outcome, mx.Unknown):
            raise ccxt.RequestTimeout(
                f"{self.id} the outcome is unknown, it may have been executed: ask for client "
                f"order id {outcome.client_order_id or outcome.order_id} ({outcome.error})")
        raise self._as_ccxt(outcome.error) from outcome.error

    # -- calls ------------------------------------------------------------------------------------

    async def create_order_ws(self: Any, symbol: str, type: str, side: str, amount: float,
                              price: Any = None, params: Params = {}) -> Any:  # noqa: B006
        """One swap order, limit or market; conditional orders go through create_order.

        params as in create_order: timeInForce (GTC, IOC, FOK, PO), postOnly, reduceOnly, hedged,
        marginMode or openType, leverage, clientOrderId, positionId, stopLossPrice, takeProfitPrice.
        """
        if self.markets is None:
            await self.load_markets()
        market = self._order_market(symbol, "createOrderWs")
        unknown = set(params) - set(PASSED) - set(READ)
        if unknown:
            raise ccxt.BadRequest(f"{self.id} createOrderWs() does not know {sorted(unknown)}; "
                                  f"allowed: {sorted((*PASSED, *READ))}")
        kind = self._order_type(type, params)
        reduce_only, hedged = params.get("reduceOnly"), params.get("hedged")
        if side not in ("buy", "sell"):
            raise ccxt.InvalidOrder(f"{self.id} side is {side!r}; allowed: buy, sell")
        number = (1 if side == "buy" else 3) if not reduce_only else (
            (2 if side == "buy" else 4) if not hedged else (4 if side == "buy" else 2))
        more = {ours: params[name] for name, ours in PASSED.items() if name in params}
        if hedged:
            more.setdefault("position_mode", 1)
        mode = params.get("marginMode")
        open_type = {"isolated": 1, "cross": 2}.get(str(mode), params.get("openType", 2))
        is_market = kind in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT)
        client = await self._engine()
        try:
            outcome = await client.orders.submit(
                market["id"], number, self.amount_to_precision(symbol, amount),
                None if is_market else self.price_to_precision(symbol, price), type=kind,
                open_type=open_type, wait=True,
                client_order_id=params.get("clientOrderId", params.get("externalOid")), **more)
        except mx.MexcfastError as error:
            raise self._as_ccxt(error) from error
        taken = self._taken(outcome)
        raw = {"symbol": market["id"], "orderId": str(taken.order_id), "side": number,
               "orderType": int(kind), "vol": self.parse_number(
                   self.amount_to_precision(symbol, amount)),
               "externalOid": taken.client_order_id, "ts": taken.ts_venue_ms}
        return self.safe_order({
            "id": str(taken.order_id), "clientOrderId": taken.client_order_id,
            "timestamp": taken.ts_venue_ms, "symbol": market["symbol"],
            "type": "market" if is_market else "limit", "side": side,
            "timeInForce": {1: "GTC", 2: "PO", 3: "IOC", 4: "FOK", 5: "IOC"}.get(int(kind)),
            "postOnly": kind == OrderType.POST_ONLY, "reduceOnly": bool(reduce_only),
            "price": None if is_market else self.price_to_precision(symbol, price),
            "amount": self.amount_to_precision(symbol, amount), "info": raw}, market)

    def _order_type(self: Any, type: Any, params: Params) -> OrderType:
        in_force = str(params.get("timeInForce") or "").upper()
        if in_force not in ("", "GTC", "IOC", "FOK", "PO") or type not in ("limit", "market"):
            raise ccxt.InvalidOrder(f"{self.id} type {type!r} with timeInForce {in_force!r}; "
                                    "allowed: limit, market; GTC, IOC, FOK, PO")
        if params.get("postOnly") or in_force == "PO":
            if type == "market" or in_force in ("IOC", "FOK"):
                raise ccxt.InvalidOrder(f"{self.id} postOnly with {type} {in_force}")
            return OrderType.POST_ONLY
        return TYPES[in_force if type == "limit" and in_force in TYPES else type]

    def _order_market(self: Any, symbol: Any, method: str) -> Any:
        market = None if symbol is None else self.market(symbol)
        if market is not None and market["swap"] is not True:
            raise ccxt.NotSupported(f"{self.id} {method}() supports swap markets only")
        return market

    async def cancel_order_ws(self: Any, id: str, symbol: Any = None,
                              params: Params = {}) -> Any:  # noqa: B006
        """Cancel one order by id, or by params.clientOrderId with a symbol."""
        name = params.get("clientOrderId")
        return (await self._cancel([id if name is None else str(name)], symbol,
                                   "cancelOrderWs", is_name=name is not None))[0]

    async def cancel_orders_ws(self: Any, ids: list[str], symbol: Any = None,
                               params: Params = {}) -> Any:  # noqa: B006
        """Cancel orders, all in one request; raises for the first that was not taken."""
        return await self._cancel(ids, symbol, "cancelOrdersWs")

    async def _cancel(self: Any, ids: list[str], symbol: Any, method: str, *,
                      is_name: bool = False) -> list[Any]:
        if self.markets is None:
            await self.load_markets()
        market = self._order_market(symbol, method)
        client = await self._engine()
        try:
            wanted = ids if is_name else [int(one) for one in ids]
        except ValueError:
            raise ccxt.BadRequest(f"{self.id} {method}() order ids are {ids!r}; allowed: "
                                  "numbers") from None
        try:
            outcomes = await client.orders.cancel(wanted, None if market is None else market["id"])
        except mx.MexcfastError as error:
            raise self._as_ccxt(error) from error
        found = []
        for one, outcome in zip(ids, outcomes, strict=True):
            taken = self._taken(outcome)
            found.append(self.safe_order({
                "id": None if is_name and taken.order_id is None else str(taken.order_id or one),
                "clientOrderId": one if is_name else None,
                "symbol": None if market is None else market["symbol"],
                "info": {"orderId": taken.order_id}}, market))
        return found

    async def cancel_all_orders_ws(self: Any, symbol: Any = None,
                                   params: Params = {}) -> Any:  # noqa: B006
        """Cancel every limit order of one contract, or of all."""
        if self.markets is None:
            await self.load_markets()
        market = self._order_market(symbol, "cancelAllOrdersWs")
        client = await self._engine()
        self._taken(await client.orders.cancel_all(None if market is None else market["id"]))
        return []


#: ours -> ccxt's, the first that fits; a venue code that ccxt knows comes before
KINDS: tuple[tuple[type[Exception], type[Exception]], ...] = (
    (mx.IntentError, ccxt.InvalidOrder),
    (mx.BudgetSpent, ccxt.RateLimitExceeded),
    (mx.Dropped, ccxt.RateLimitExceeded),
    (mx.ConfigError, ccxt.AuthenticationError),
    (mx.AuthenticationError, ccxt.AuthenticationError),
    (mx.SignatureError, ccxt.AuthenticationError),
    (mx.PermissionDenied, ccxt.PermissionDenied),
    (mx.ClockError, ccxt.InvalidNonce),
    (mx.RateLimited, ccxt.RateLimitExceeded),
    (mx.SymbolError, ccxt.BadSymbol),
    (mx.InsufficientBalance, ccxt.InsufficientFunds),
    (mx.OrderRejected, ccxt.InvalidOrder),
    (mx.NotFound, ccxt.OrderNotFound),
    (mx.MaintenanceError, ccxt.OnMaintenance),
    (mx.ParameterError, ccxt.BadRequest),
    (mx.ConnectFailed, ccxt.ExchangeNotAvailable),
    (mx.RequestTimeout, ccxt.RequestTimeout),
    (mx.NetworkError, ccxt.NetworkError),
)
