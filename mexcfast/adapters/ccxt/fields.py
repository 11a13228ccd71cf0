"""What the unified structures say: ccxt's own fields, parsed faster, and corrected when asked.

Mixed into the asynchronous and the synchronous class. The corrections are
options={'mexcfast': {'fixes': True}}; what stock says instead: docs/adapters/ccxt.md.
"""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import Any

from mexcfast.adapters.ccxt import compat, parsing

log = logging.getLogger("mexcfast.ccxt")

Row = dict[str, Any]

#: options["mexcfast"] as it is without a word of the user's
DEFAULTS: Row = {
    "fixes": False,          # corrected unified fields
    "info": True,            # the untouched JSON in trades, orders and tickers of swaps
    "swap_only": False,      # load_markets and fetch_currencies leave spot alone
    "engine": False,         # create_order and cancel_order through mexcfast.Client
    "snapshotDelay": 0,      # frames kept before a book's snapshot is asked for; stock: 25
    "snapshotTries": 6,      # before a watcher is told that its book cannot be loaded
}

# protocol.md 11.1, 11.2, 11.4, 11.5
SIDES = {"1": "buy", "2": "buy", "3": "sell", "4": "sell"}
TYPES = {"1": "limit", "2": "limit", "3": "limit", "4": "limit", "5": "market", "6": "market"}
TIMES_IN_FORCE = {"1": "GTC", "2": "PO", "3": "IOC", "4": "FOK", "5": "IOC"}
PLAN_STATES = {"1": "open", "2": "canceled", "3": "closed", "4": "expired", "5": "rejected"}
#: timeInForce -> the venue's order type, where stock sends an ordinary limit order
TYPES_IN_FORCE = {"IOC": 3, "FOK": 4}
COMPARED = 3                 # first results of each fast parser held against ccxt's own


class Fields:
    """parse_trade, parse_order and parse_ticker for swaps; everything else is ccxt's."""

    def _start_fields(self: Any) -> None:
        given = self.options.get("mexcfast") or {}
        unknown = set(given) - set(DEFAULTS)
        if unknown:
            raise ValueError(f"options['mexcfast'] has {sorted(unknown)}; allowed: "
                             f"{sorted(DEFAULTS)}")
        self._left_to_compare = dict.fromkeys(("trade", "own", "order", "ticker"), COMPARED)
        self._slow: set[str] = set()
        self._swaps: dict[str, tuple[Row, Decimal, Decimal] | None] = {}
        self._swaps_of: Any = None
        self._codes: dict[str, Any] = {}
        self._told = False

    def _choice(self: Any, name: str) -> Any:
        return (self.options.get("mexcfast") or DEFAULTS).get(name, DEFAULTS[name])

    @property
    def _fixes(self) -> bool:
        return bool(self._choice("fixes"))

    # -- markets ----------------------------------------------------------------------------------

    def _known(self: Any, market_id: Any) -> tuple[Row, Decimal, Decimal] | None:
        """(market, contract size, unit of an average's last decimal) of a swap, by venue name."""
        markets = self.markets_by_id
        if markets is not self._swaps_of:
            self._swaps, self._swaps_of, self._codes = {}, markets, {}
        try:
            return self._swaps[market_id]  # type: ignore[no-any-return]
        except (KeyError, TypeError):
            pass
        found = markets.get(market_id) if markets and type(market_id) is str else None
        if not found or len(found) != 1 or found[0].get("swap") is not True:
            return None
        market = found[0]
        size, tick = market.get("contractSize"), (market.get("precision") or {}).get("price")
        known = None
        if parsing.plain(size) and size and market.get("inverse") is not True:
            places = self.precision_from_string(str(tick)) if tick is not None else 18
            known = (market, Decimal(str(size)), Decimal(1).scaleb(-places))
        else:
            known = (market, Decimal(0), Decimal(0))         # ccxt's own parsers
        self._swaps[market_id] = known
        return known

    def _swap(self, market_id: Any) -> Row | None:
        known = self._known(market_id)
        return None if known is None else known[0]

    # -- parsers ----------------------------------------------------------------------------------

    def _usable(self: Any, kind: str, known: tuple[Row, Decimal, Decimal]) -> bool:
        return bool(known[1]) and kind not in self._slow and self.number is float

    def _code(self: Any, currency: str) -> Any:
        try:
            return self._codes[currency]
        except KeyError:
            code = self._codes[currency] = self.safe_currency_code(currency)
            return code

    def _agrees(self: Any, kind: str, fast: Row, stock: Row) -> bool:
        """The first few of a kind are parsed twice: an unforeseen ccxt turns the fast way off."""
        self._left_to_compare[kind] -= 1
        if json.dumps(fast, default=str) == json.dumps(stock, default=str):
            return True
        self._slow.add(kind)
        compat.warn(f"ccxt's {kind} structure is another than mexcfast knows: ccxt's own parser "
                    "is used for it")
        return False

    def parse_trade(self: Any, trade: Row, market: Any = None) -> Row:
        public = "v" in trade
        known = self._known(market["id"] if public and market else trade.get("symbol"))
        kind = "trade" if public else "own"
        parsed = None
        if known is not None and self._usable(kind, known) and (not public or self._makes_ids()):
            parsed = (parsing.public_trade(trade, known[0], known[1]) if public
                      else parsing.own_trade(trade, known[0], known[1], self._code))
        if parsed is None or self._left_to_compare[kind]:
            stock = super().parse_trade(trade, market)       # type: ignore[misc]
            if parsed is None or not self._agrees(kind, parsed, stock):
                parsed = stock
        if self._fixes and not public and known is not None:
            parsed["side"] = SIDES.get(str(trade.get("side")), parsed["side"])
        self._show(parsed, known)
        return parsed

    def _show(self: Any, parsed: Row, known: Any) -> None:
        """Drop `info` when that was chosen: caches then hold no second copy of everything."""
        if known is not None and not self._choice("info"):
            parsed["info"] = None

    def _makes_ids(self: Any) -> bool:
        return self.options.get("useCcxtTradeId", True) is True

    def parse_order(self: Any, order: Any, market: Any = None) -> Row:
        known = self._known(order.get("symbol")) if type(order) is dict else None
        parsed = None
        if known is not None and self._usable("order", known):
            parsed = parsing.order(order, known[0], known[1])
        if parsed is None or self._left_to_compare["order"]:
            stock = super().parse_order(order, market)       # type: ignore[misc]
            if parsed is None or not self._agrees("order", parsed, stock):
                parsed = stock
        if self._fixes and known is not None:
            _correct_order(parsed, order)
        self._show(parsed, known)
        return parsed

    def parse_ticker(self: Any, ticker: Row, market: Any = None) -> Row:
        known = self._known(ticker.get("symbol"))
        parsed = None
        if known is not None and self._usable("ticker", known):
            parsed = parsing.ticker(ticker, *known)
        if parsed is None or self._left_to_compare["ticker"]:
            stock = super().parse_ticker(ticker, market)     # type: ignore[misc]
            if parsed is None or not self._agrees("ticker", parsed, stock):
                parsed = stock
        self._show(parsed, known)
        return parsed

    # -- orders going out, shared by both classes -------------------------------------------------

    def _order_in(self: Any, type: Any, params: Row) -> tuple[Any, Row]:
        """IOC and FOK become the venue's types 3 and 4: stock sends them as resting limit orders.

        An order meant to vanish that rests instead costs money, hence done without being asked.
        """
        wanted = params.get("timeInForce")
        kind = TYPES_IN_FORCE.get(wanted.upper()) if isinstance(wanted, str) else None
        if kind is None or type != "limit" or params.get("postOnly"):
            return type, params
        if not self._told:
            self._told = True
            log.warning("timeInForce %s is sent as the venue's order type %d; stock ccxt sends a "
                        "plain limit order that rests", wanted, kind)
        return kind, {key: value for key, value in params.items() if key != "timeInForce"}

    def _order_out(self: Any, placed: Row, market: Row, type: Any, side: str,
                   amount: Any, price: Any, params: Row) -> Row:
        """With fixes: what was asked for, around the id; fills and state are not guessed."""
        if not self._fixes:
            return placed
        post = bool(params.get("postOnly")) or type == 2 or _upper(params) == "PO"
        number = "2" if post else "1" if type == "limit" else "6" if type == "market" else str(type)
        is_market = TYPES.get(number) == "market"
        volume = self.amount_to_precision(market["symbol"], amount)
        placed.update(
            symbol=market["symbol"], type=TYPES.get(number), side=side, postOnly=post,
            timeInForce=TIMES_IN_FORCE.get(number), amount=self.parse_number(volume),
            price=None if is_market or price is None
            else self.parse_number(self.price_to_precision(market["symbol"], price)),
            clientOrderId=self.safe_string_2(params, "clientOrderId", "externalOid"),
            reduceOnly=bool(params.get("reduceOnly")),
            triggerPrice=self.safe_number_2(params, "triggerPrice", "stopPrice"),
            datetime=self.iso8601(placed["timestamp"]),
            info={"orderId": placed["id"], "ts": placed["timestamp"]})
        placed["stopPrice"] = placed["triggerPrice"]
        return placed

    def _cancel_out(self: Any, cancelled: Row, order_id: Any, symbol: Any) -> Row:
        """With fixes: the id and the entry that speaks of it."""
        info = cancelled.get("info")
        if self._fixes and cancelled.get("id") is None and isinstance(info, list) and info:
            cancelled["info"] = info[0]
            cancelled["id"] = self.safe_string(info[0], "orderId", str(order_id))
            if symbol is not None:
                cancelled["symbol"] = self.market(symbol)["symbol"]
        return cancelled


def _upper(params: Row) -> str | None:
    value = params.get("timeInForce")
    return value.upper() if isinstance(value, str) else None


def _correct_order(parsed: Row, raw: Row) -> None:
    """Side, type, time in force, client id and states that ccxt does not read."""
    side, kind = str(raw.get("side")), str(raw.get("orderType"))
    if side in SIDES:
        parsed["side"] = SIDES[side]
        parsed["reduceOnly"] = side in ("2", "4") or raw.get("reduceOnly") is True
    if kind in TYPES:
        parsed["type"] = TYPES[kind]
        parsed["timeInForce"] = TIMES_IN_FORCE.get(kind)
        parsed["postOnly"] = kind == "2"
    external = raw.get("externalOid")
    if external and parsed["clientOrderId"] is None:
        parsed["clientOrderId"] = str(external)
    state = str(raw.get("state"))
    if "triggerType" in raw:
        # ccxt takes the id of the order it placed, which is 0 while it waits.
        parsed["id"] = str(raw.get("id"))
        parsed["status"] = PLAN_STATES.get(state, parsed["status"])
    elif state == "5":
        parsed["status"] = "rejected"
