"""freqtrade's exchange class for MEXC futures: what its generic class cannot know.

Spot stays what it is without us. Amounts and volumes are coins here, contracts at the venue; the
account is in hedge mode, where an order's side says whether it opens or closes, so that a closing
order can never open the other way.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar

from mexcfast.adapters.freqtrade import rules
from mexcfast.errors import MissingExtra

try:
    import ccxt  # type: ignore  # typed or not, here or not
    import freqtrade  # type: ignore
    import freqtrade.exchange as rooms  # type: ignore
    from freqtrade.enums import (  # type: ignore
        TRADE_MODES,
        CandleType,
        MarginMode,
        PriceType,
        TradingMode,
    )
    from freqtrade.exceptions import (  # type: ignore
        ConfigurationError,
        DDosProtection,
        ExchangeError,
        FreqtradeException,
        InvalidOrderException,
        OperationalException,
        RetryableOrderError,
        TemporaryError,
    )
    from freqtrade.exchange.common import (  # type: ignore
        API_FETCH_ORDER_RETRY_COUNT,
        retrier,
        retrier_async,
    )
    from freqtrade.misc import deep_merge_dicts  # type: ignore
except ImportError as error:
    raise MissingExtra("freqtrade", str(error)) from error

from mexcfast.adapters import ccxt as adapter
from mexcfast.adapters.ccxt import compat

log = logging.getLogger("mexcfast.freqtrade")

VERSION = freqtrade.__version__
Row = dict[str, Any]

#: module:class -> method -> names of its parameters after self, as in adapters/ccxt/compat.py
TABLE: dict[str, dict[str, str]] = {
    "freqtrade.exchange.exchange:Exchange": {
        "build_ft_has": "exchange_conf", "validate_config": "config",
        "validate_trading_mode_and_margin_mode": "trading_mode margin_mode allow_none_margin_mode",
        "additional_exchange_init": "", "_lev_prep": "pair leverage side accept_fail",
        "_get_params": "side ordertype leverage reduceOnly time_in_force",
        "_get_stop_params": "side ordertype stop_price",
        "create_order": "pair ordertype side amount rate leverage time_in_force reduceOnly "
                        "initial_order",
        "create_stoploss": "pair amount stop_price order_types side leverage",
        "fetch_order": "order_id pair params", "fetch_stoploss_order": "order_id pair params",
        "cancel_order": "order_id pair params", "cancel_stoploss_order": "order_id pair params",
        "get_balances": "params", "get_trades_for_order": "order_id pair since params",
        "get_funding_fees": "pair amount is_short open_date",
        "dry_run_liquidation_price": "pair open_rate is_short amount stake_amount leverage "
                                     "wallet_balance open_trades",
        "get_maintenance_ratio_and_amt": "pair notional_value", "load_leverage_tiers": "",
        "get_tickers": "symbols cached market_type", "fetch_l2_order_book": "pair limit",
        "_async_get_candle_history": "args kwargs",       # its decorator hides the rest
        "_fetch_funding_rate_history": "pair timeframe limit since_ms",
        "_order_contracts_to_amount": "order", "_amount_to_contracts": "pair amount",
        "amount_to_precision": "pair amount", "price_to_precision": "pair price rounding_mode",
    },
    "ccxt.mexc:mexc": {
        "fetch_position_mode": "symbol params", "parse_order": "order market",
        "fetch_funding_history": "symbol since limit params", "fetch_balance": "params",
        "contractPrivateGetOrderExternalSymbolExternalOid": "",
        "contractPrivateGetPlanorderListOrders": "",
    },
}

#: what _get_params and _get_stop_params cannot be given: set around one call, in one thread
_sending = threading.local()


def differences() -> tuple[str, ...]:
    """What the installed freqtrade and ccxt lack of what we rely on; empty when they fit."""
    # An endpoint of ccxt is an object of its own kind, not a method: only that it is there counts.
    methods = {place: {name: taken for name, taken in wanted.items()
                       if not name.startswith("contract")} for place, wanted in TABLE.items()}
    missing = tuple(f"no ccxt.mexc.{name}" for name in TABLE["ccxt.mexc:mexc"]
                    if name.startswith("contract") and not hasattr(ccxt.mexc, name))
    return adapter.differences + compat.differences(methods) + missing


def install() -> None:
    """Put Mexc where freqtrade's resolver looks, and our classes where ccxt's names are."""
    found = getattr(rooms, "Mexc", None)
    if found is not None and found is not Mexc:
        log.warning("freqtrade %s has a class for MEXC of its own (%s), which is not used",
                    VERSION, found.__module__)
    rooms.Mexc = Mexc
    adapter.install()


def uninstall() -> None:
    """Undo install(); objects already made stay what they are."""
    if getattr(rooms, "Mexc", None) is Mexc:
        del rooms.Mexc
    adapter.uninstall()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """ccxt's errors as freqtrade's, in the way of its own methods."""
    try:
        yield
    except ccxt.DDoSProtection as error:
        raise DDosProtection(error) from error
    except (ccxt.OperationFailed, ccxt.ExchangeError) as error:
        raise TemporaryError(f"Could not {what} due to {type(error).__name__}. "
                             f"Message: {error}") from error
    except ccxt.BaseError as error:
        raise OperationalException(error) from error


class Mexc(rooms.Exchange):  # type: ignore[misc]
    """MEXC: futures with isolated margin, and spot as freqtrade has it."""

    # Sides of closing orders, kinds, client ids and states are wrong in stock ccxt.
    _ccxt_params: ClassVar[Row] = {"options": {"mexcfast": {"fixes": True, "info": True}}}
    _ft_has_futures: ClassVar[Row] = {
        "order_time_in_force": ["GTC", "FOK", "IOC", "PO"],
        "ohlcv_candle_limit": 1000,
        "funding_fee_candle_limit": 10_000,       # hours: one walk through the pages, not many
        "stoploss_on_exchange": True,
        "stoploss_order_types": {"limit": "limit", "market": "market"},
        "stoploss_blocks_assets": False,
        "stop_price_param": "triggerPrice",
        "stop_price_prop": "stopPrice",
        "stop_price_type_field": "trend",
        "stop_price_type_value_mapping": {PriceType.LAST: 1, PriceType.MARK: 2,
                                          PriceType.INDEX: 3},
        # order/list/history_orders has no open ones: freqtrade then asks for each kind
        "exchange_has_overrides": {"fetchOrders": False},
    }
    _supported_trading_mode_margin_pairs: ClassVar[list[tuple[Any, Any]]] = [
        (TradingMode.SPOT, MarginMode.NONE),
        (TradingMode.FUTURES, MarginMode.ISOLATED),
    ]

    @property
    def _futures(self) -> bool:
        return bool(self.trading_mode == TradingMode.FUTURES)

    @property
    def _live(self) -> bool:
        """Whether orders of futures go to the venue."""
        return self._futures and not self._config["dry_run"]

    # -- start ------------------------------------------------------------------------------------

    @property
    def _ccxt_config(self) -> Row:
        config: Row = super()._ccxt_config
        if self._futures:
            config = deep_merge_dicts(config, {"options": {"mexcfast": {"swap_only": True}}})
        return config

    def build_ft_has(self, exchange_conf: Row) -> None:
        super().build_ft_has(exchange_conf)
        if self._futures and self._ft_has["ws_enabled"]:
            # They count contracts, and would be mixed with REST's coins.
            log.warning("ws_enabled is not supported with MEXC futures: candles come from REST")
            self._ft_has["ws_enabled"] = False

    def validate_trading_mode_and_margin_mode(self, trading_mode: Any, margin_mode: Any,
                                              allow_none_margin_mode: bool = False) -> None:
        left_open = allow_none_margin_mode and margin_mode in (None, MarginMode.NONE)
        if (trading_mode == TradingMode.FUTURES and margin_mode != MarginMode.ISOLATED
                and not left_open):
            given = getattr(margin_mode, "value", margin_mode)
            raise ConfigurationError(f"margin_mode {given!r} with trading_mode 'futures' on MEXC; "
                                     "allowed: 'isolated'")
        super().validate_trading_mode_and_margin_mode(trading_mode, margin_mode,
                                                      allow_none_margin_mode)

    def validate_config(self, config: Row) -> None:
        super().validate_config(config)
        if self._live and self._config["runmode"] in TRADE_MODES:
            missing = [f"exchange.{name}" for name, value in (
                ("key", self._api.apiKey), ("secret", self._api.secret)) if not value]
            if missing:
                raise ConfigurationError(f"{' and '.join(missing)} missing: needed on MEXC when "
                                         "dry_run is false")

    @retrier  # type: ignore[untyped-decorator]
    def additional_exchange_init(self) -> None:
        """Refuse an account in one-way mode; changing it is the user's own decision."""
        if not self._live or self._config["runmode"] not in TRADE_MODES:
            return
        with translated("read the position mode"):
            mode = self._api.fetch_position_mode()
        self._log_exchange_response("fetch_position_mode", mode)
        if mode["hedged"] is not True:
            raise ConfigurationError(
                "This MEXC account is in one-way position mode; needed: hedge mode. Change it in "
                "the futures settings of MEXC while no order and no position is open.")

    def load_leverage_tiers(self) -> dict[str, list[Row]]:
        """From the contracts already loaded: ccxt's own tiers give contracts as notional."""
        if not self._futures:
            return {}
        prices = self.get_tickers(cached=True, market_type=TradingMode.FUTURES)
        found = {}
        for pair, market in self.markets.items():
            price = (prices.get(pair) or {}).get("last")
            if self.market_is_future(market) and price:
                found[pair] = rules.tiers(market["info"], price)
        return found

    # -- orders -----------------------------------------------------------------------------------

    def _lev_prep(self, pair: str, leverage: float, side: str, accept_fail: bool = False) -> None:
        """Nothing: leverage and margin mode go with each order."""
        if not self._futures:
            super()._lev_prep(pair, leverage, side, accept_fail)

    def _terms(self, leverage: float) -> Row:
        """What every order with isolated margin carries."""
        if leverage != int(leverage):
            raise InvalidOrderException(f"leverage {leverage}: MEXC takes whole numbers")
        return {"marginMode": self.margin_mode.value.lower(), "leverage": int(leverage)}

    def _get_params(self, side: str, ordertype: str, leverage: float, reduceOnly: bool,
                    time_in_force: str = "GTC") -> Row:
        params: Row = super()._get_params(side, ordertype, leverage, reduceOnly, time_in_force)
        if self._futures:
            params.update(self._terms(leverage))
            if ordertype == "market":
                params["type"] = rules.MARKET
            name = getattr(_sending, "client_order_id", None)
            if name is not None:
                params["clientOrderId"] = name
        return params

    def _get_stop_params(self, side: str, ordertype: str, stop_price: float) -> Row:
        params: Row = super()._get_stop_params(side=side, ordertype=ordertype,
                                               stop_price=stop_price)
        if self._futures:
            params.update(self._terms(_sending.leverage), **rules.stop_terms(side))
        return params

    def create_order(self, **order: Any) -> Row:
        """An order whose answer is lost is looked for by its client order id, never repeated.

        Raises TemporaryError when the venue refused it or it is proven not to be there (freqtrade
        may try again), OperationalException, which stops the bot, when the venue cannot be asked.
        """
        if self._futures:
            self._terms(order["leverage"])         # a dry run refuses what the venue would
        if not self._live:
            return super().create_order(**order)  # type: ignore[no-any-return]
        name, pair = uuid.uuid4().hex, order["pair"]
        _sending.client_order_id = name
        try:
            return self._placed(f"{order['side']} order of {pair} with client order id {name}",
                                lambda: super(Mexc, self).create_order(**order),
                                lambda: self._by_client_order_id(pair, name))
        finally:
            _sending.client_order_id = None

    def create_stoploss(self, pair: str, amount: float, stop_price: float, order_types: Row,
                        side: str, leverage: float) -> Row:
        """A plan order that closes; one whose answer is lost is looked for by its terms."""
        if not self._live:
            return super().create_stoploss(  # type: ignore[no-any-return]
                pair, amount, stop_price, order_types, side, leverage)
        _sending.leverage = leverage
        order = self._placed(
            f"{side} stop of {pair} at {stop_price}",
            lambda: super(Mexc, self).create_stoploss(pair, amount, stop_price, order_types, side,
                                                      leverage),
            lambda: self._waiting_stop(pair, amount, stop_price, side))
        order["status"] = order.get("status") or "open"
        return order

    def _placed(self, what: str, place: Callable[[], Row],
                look: Callable[[], Row | None]) -> Row:
        """Send once; when the outcome is in doubt, ask until it is known."""
        doubt: Exception
        try:
            order = place()
            if order.get("id") is not None:
                return order
            doubt = TemporaryError(f"Unreadable answer to {what}")
        except TemporaryError as error:
            if rules.is_refusal(str(error.__cause__)):
                raise
            doubt = error
        except FreqtradeException:
            raise
        except Exception as error:      # whatever it is, it came when the order may have left
            doubt = TemporaryError(f"{type(error).__name__} while placing {what}: {error}")
            doubt.__cause__ = error
        log.warning("Outcome of %s is unknown (%s); asking MEXC", what, doubt)
        started = time.monotonic()
        while True:
            expired = time.monotonic() - started > rules.REQUEST_LIFE_S
            try:
                found = look()
            except (ExchangeError, OperationalException) as error:
                log.warning("Asking for %s: %s", what, error)
            else:
                if found is not None:
                    log.info("Found: %s is %s", what, found["id"])
                    return found
                if expired:             # MEXC refuses the request from now on: it is not there
                    raise doubt
            if time.monotonic() - started > rules.GIVE_UP_S:
                raise OperationalException(
                    f"Whether MEXC took {what} is not known and MEXC cannot be asked. Look there "
                    "before you start again: placing it once more may double it.") from doubt
            time.sleep(rules.PAUSE_S)

    def _by_client_order_id(self, pair: str, name: str) -> Row | None:
        market = self.markets[pair]
        try:
            with translated("look for an order"):
                answer = self._api.contractPrivateGetOrderExternalSymbolExternalOid(
                    {"symbol": market["id"], "external_oid": name})
        except TemporaryError as error:
            if isinstance(error.__cause__, ccxt.BadSymbol):   # 1001: unknown order, in this place
                return None
            raise
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
            if isinstance(answer, dict) and answer.get("success") is True:
                return None
            raise TemporaryError(f"Unreadable answer about order {name}")
        return self._order_contracts_to_amount(  # type: ignore[no-any-return]
            self._api.parse_order(answer["data"], market))

    @retrier(retries=API_FETCH_ORDER_RETRY_COUNT)  # type: ignore[untyped-decorator]
    def fetch_order(self, order_id: str, pair: str, params: Row | None = None) -> Row:
        """As in freqtrade; an unknown order is 1001 or an empty success (protocol.md 16.3)."""
        try:
            order: Row = super().fetch_order(order_id, pair, params, count=0)
        except TemporaryError as error:
            if self._live and isinstance(error.__cause__, ccxt.BadSymbol):
                raise RetryableOrderError(
                    f"Order not found (pair: {pair} id: {order_id}).") from error
            raise
        if self._live and order.get("id") is None:
            raise RetryableOrderError(f"Order not found (pair: {pair} id: {order_id}).")
        return order

    # -- stops: the venue's plan orders -----------------------------------------------------------

    def _stops(self, pair: str, **only: Any) -> Iterator[Row]:
        """Plan orders of the last 89 days in ccxt's structure, contracts, newest first."""
        market, now = self.markets[pair], self._api.milliseconds()
        for page in itertools.count(1):
            with translated("get stop orders"):
                answer = self._api.contractPrivateGetPlanorderListOrders({
                    "symbol": market["id"], "start_time": now - rules.SPAN_MS,
                    "end_time": now + rules.AHEAD_MS, "page_num": page, "page_size": rules.PAGE,
                    **only})
                rows = answer.get("data") if isinstance(answer, dict) else None
                if not isinstance(rows, list):
                    raise ccxt.BadResponse(f"planorder/list/orders: {answer!r:.200}")
            yield from (self._api.parse_order(row, market) for row in rows)
            if len(rows) < rules.PAGE:
                return

    def _waiting_stop(self, pair: str, amount: float, stop_price: float, side: str) -> Row | None:
        """A stop that waits already with these terms; which of several does not matter."""
        rounding = ccxt.ROUND_DOWN if side == "buy" else ccxt.ROUND_UP
        price = self.price_to_precision(pair, stop_price, rounding_mode=rounding)
        contracts = self.amount_to_precision(pair, self._amount_to_contracts(pair, amount))
        for stop in self._stops(pair, states=1):
            if (stop["info"].get("side") == rules.EXIT_SIDES[side] and stop["amount"] == contracts
                    and stop["triggerPrice"] == price):
                return self._as_stop(stop)
        return None

    def _as_stop(self, stop: Row) -> Row:
        """freqtrade's view of a plan order that placed nothing yet."""
        stop = self._order_contracts_to_amount(stop)
        stop.update(type="stoploss", stopPrice=stop["triggerPrice"], filled=0.0,
                    remaining=stop["amount"])
        if stop["status"] == "closed":
            stop["status"] = "open"          # fired, and its order is not shown yet
        elif stop["status"] in ("expired", "rejected"):
            stop["status"] = "canceled"      # only then freqtrade places another
        return stop

    @retrier(retries=API_FETCH_ORDER_RETRY_COUNT)  # type: ignore[untyped-decorator]
    def fetch_stoploss_order(self, order_id: str, pair: str, params: Row | None = None) -> Row:
        """A stop, or the order it placed when it fired, under the stop's id."""
        if not self._live:
            return super().fetch_stoploss_order(  # type: ignore[no-any-return]
                order_id, pair, params)
        stop = next((one for one in self._stops(pair) if one["id"] == order_id), None)
        if stop is None:
            raise RetryableOrderError(f"Stop not found (pair: {pair} id: {order_id}).")
        placed = stop["info"].get("orderId")
        if placed in (None, "", 0, "0") or stop["status"] != "closed":
            return self._as_stop(stop)
        order: Row = self.fetch_order(str(placed), pair)
        order.update(id_stop=order["id"], id=order_id, type="stoploss",
                     stopPrice=stop["triggerPrice"], status_stop="triggered")
        return order

    @retrier  # type: ignore[untyped-decorator]
    def cancel_stoploss_order(self, order_id: str, pair: str, params: Row | None = None) -> Row:
        if not self._live:
            return super().cancel_stoploss_order(  # type: ignore[no-any-return]
                order_id, pair, params)
        try:
            return self.cancel_order(  # type: ignore[no-any-return]
                order_id, pair, {**(params or {}), "stop": True}, count=0)
        except TemporaryError as error:
            if rules.is_gone(str(error.__cause__)):
                raise InvalidOrderException(f"Could not cancel order. Message: {error}") from error
            raise

    # -- account ----------------------------------------------------------------------------------

    @retrier  # type: ignore[untyped-decorator]
    def get_balances(self, params: Row | None = None) -> Row:
        """With the margin of positions among what is used: ccxt leaves it out."""
        if not self._live:
            return super().get_balances(params, count=0)  # type: ignore[no-any-return]
        with translated("get balance"):
            balances: Row = self._api.fetch_balance(params or {})
        for row in balances["info"].get("data") or ():
            held = balances.get(self._api.safe_currency_code(row.get("currency")))
            if held is not None:
                held["used"] = (held["used"] or 0.0) + float(row.get("positionMargin") or 0)
                held["total"] = (held["free"] or 0.0) + held["used"]
        for name in ("info", "free", "total", "used"):
            balances.pop(name, None)
        self._log_exchange_response("fetch_balance", balances, add_info=params)
        return balances

    def get_trades_for_order(self, order_id: str, pair: str, since: datetime,
                             params: Row | None = None) -> list[Row]:
        """More than the first 20 fills of the contract, which is what a page has by itself."""
        if self._futures:
            params = {"page_size": rules.PAGE, **(params or {})}
        return super().get_trades_for_order(  # type: ignore[no-any-return]
            order_id, pair, since, params)

    def get_funding_fees(self, pair: str, amount: float, is_short: bool,
                         open_date: datetime) -> float:
        """Since the trade was opened, of its direction: ccxt gives the last 20 of any."""
        if not self._live:
            return super().get_funding_fees(  # type: ignore[no-any-return]
                pair, amount, is_short, open_date)
        try:
            return self._funding(  # type: ignore[no-any-return]
                pair, is_short, int(open_date.timestamp() * 1000))
        except ExchangeError:
            log.warning("Could not update funding fees for %s.", pair)
            return 0.0

    @retrier  # type: ignore[untyped-decorator]
    def _funding(self, pair: str, is_short: bool, since_ms: int) -> float:
        total, end = 0.0, self._api.milliseconds() + rules.AHEAD_MS
        for start in range(since_ms, end, rules.SPAN_MS):
            for page in itertools.count(1):
                with translated("get funding fees"):
                    rows = self._api.fetch_funding_history(pair, limit=rules.PAGE, params={
                        "position_type": 2 if is_short else 1, "start_time": start,
                        "end_time": min(end, start + rules.SPAN_MS - 1), "page_num": page})
                total += rules.funding_in(rows, since_ms)
                if len(rows) < rules.PAGE:
                    break
        return total

    def dry_run_liquidation_price(self, pair: str, open_rate: float, is_short: bool, amount: float,
                                  stake_amount: float, leverage: float, wallet_balance: float,
                                  open_trades: list[Any]) -> float | None:
        """The tier is the position's, not the stake's as in freqtrade."""
        if not self._futures:
            return super().dry_run_liquidation_price(  # type: ignore[no-any-return]
                pair, open_rate, is_short, amount, stake_amount, leverage, wallet_balance,
                open_trades)
        market = self.markets[pair]
        if market["inverse"]:
            raise OperationalException("Freqtrade does not yet support inverse contracts")
        rate, _ = self.get_maintenance_ratio_and_amt(pair, amount * open_rate)
        return rules.liquidation_price(open_rate, amount, wallet_balance,
                                       rate + (market["taker"] or 0.0), is_short=is_short)

    # -- market data ------------------------------------------------------------------------------

    def fetch_l2_order_book(self, pair: str, limit: int = 100) -> Row:
        """With amounts in coins, which is what dry runs fill against."""
        book: Row = super().fetch_l2_order_book(pair, limit)
        if self._futures:
            size = self.get_contract_size(pair) or 1.0
            for side in ("bids", "asks"):
                book[side] = [[level[0], level[1] * size] for level in book[side]]
        return book

    @retrier_async  # type: ignore[untyped-decorator]
    async def _async_get_candle_history(self, pair: str, timeframe: str, candle_type: Any,
                                        since_ms: int | None = None) -> Any:
        """As many candles as asked for, with volumes in coins.

        ccxt asks without an end, or without a start: of more than 2000 candles it is not said from
        which end the venue takes them (protocol.md 13), and fewer are wanted.
        """
        kinds = (CandleType.FUTURES, CandleType.MARK, CandleType.INDEX)
        if not self._futures or candle_type not in kinds:
            return await super()._async_get_candle_history(
                pair, timeframe, candle_type, since_ms, count=0)
        limit = self.ohlcv_candle_limit(timeframe, candle_type=candle_type, since_ms=since_ms)
        span = limit * rooms.timeframe_to_msecs(timeframe)
        params: Row = {}
        if since_ms is None:              # up to now by the venue's clock
            params["start"] = (self._api.milliseconds() - span) // 1000
        else:
            params["end"] = (since_ms + span) // 1000
        if candle_type != CandleType.FUTURES:
            params["price"] = str(candle_type)
        with translated(f"fetch candles of {pair}, {timeframe}, {candle_type}"):
            rows = await self._api_async.fetch_ohlcv(pair, timeframe=timeframe, since=since_ms,
                                                     limit=limit, params=params)
        size = self.get_contract_size(pair) or 1.0
        for row in rows:
            row[5] = (row[5] or 0.0) * size
        return pair, timeframe, candle_type, rows, self._drop_incomplete_candle(candle_type)

    async def _fetch_funding_rate_history(self, pair: str, timeframe: str, limit: int,
                                          since_ms: int | None = None) -> list[list[Any]]:
        """Page after page: the venue takes no start, and ccxt asks for one page."""
        if not self._futures:
            return await super()._fetch_funding_rate_history(  # type: ignore[no-any-return]
                pair, timeframe, limit, since_ms)
        step = rooms.timeframe_to_msecs(timeframe)
        found: dict[int, Any] = {}
        for page in itertools.count(1):
            rows = await self._api_async.fetch_funding_rate_history(
                pair, limit=rules.PAGE, params={"page_num": page})
            # On the full hour: freqtrade joins them with candles by time.
            found.update((row["timestamp"] // step * step, row["fundingRate"]) for row in rows)
            if len(rows) < rules.PAGE or since_ms is None or rows[0]["timestamp"] <= since_ms:
                break
        first = 0 if since_ms is None else since_ms
        return [[at, found[at]] for at in sorted(found)
                if first <= at and (since_ms is None or at < first + limit * step)]
