"""What we rely on of ccxt's internals, as a table, and whether the installed one still has it.

ccxt is released several times a week and these are not its public interface. A member that is gone
or takes other parameters means: use stock.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from importlib import import_module
from typing import Any

log = logging.getLogger("mexcfast.ccxt")

#: module:class -> method -> names of its parameters after self
TABLE: dict[str, dict[str, str]] = {
    "ccxt.pro.mexc:mexc": {
        "describe": "", "ping": "client", "handle_message": "client message",
        "handle_order_book": "client message", "handle_trades": "client message",
        "handle_ticker": "client message", "handle_tickers": "client message",
        "handle_order": "client message", "handle_my_trade": "client message subscription",
        "handle_balance": "client message", "handle_ohlcv": "client message",
        "handle_funding_rate": "client message", "handle_pong": "client message",
        "handle_unsubscriptions": "client messageHashes",
        "watch_order_book": "symbol limit params", "watch_trades": "symbol since limit params",
        "watch_ticker": "symbol params", "watch_bids_asks": "symbols params",
        "un_watch_bids_asks": "symbols params",
        "watch_swap_public": "channel messageHash requestParams params",
        "watch_swap_private": "messageHash params",
    },
    "ccxt.async_support.mexc:mexc": {
        "parse_order": "order market", "parse_trade": "trade market",
        "parse_ticker": "ticker market", "parse_position": "position market",
        "parse_order_book_bid_ask": "bidask priceKey amountKey countOrIdKey",
        "sign": "path api method params",
        "handle_errors": "code reason url method headers body response requestHeaders requestBody",
        "create_swap_order": "market type side amount price marginMode params",
        "create_order": "symbol type side amount price params",
        "cancel_order": "id symbol params", "cancel_orders": "ids symbol params",
        "fetch_order_book": "symbol limit params", "fetch_markets": "params",
        "fetch_swap_markets": "params", "fetch_currencies": "params",
    },
    "ccxt.mexc:mexc": {
        "parse_order": "order market", "parse_trade": "trade market",
        "parse_ticker": "ticker market", "sign": "path api method params",
        "create_swap_order": "market type side amount price marginMode params",
        "cancel_order": "id symbol params", "cancel_orders": "ids symbol params",
        "fetch_markets": "params", "fetch_swap_markets": "params", "fetch_currencies": "params",
    },
    "ccxt.async_support.base.exchange:BaseExchange": {
        "client": "url", "fetch": "url method headers body", "close": "clean_instance_data",
        "watch": "url message_hash message subscribe_hash subscription",
        "watch_multiple": "url message_hashes message subscribe_hashes subscription",
        "open": "lazy", "on_close": "client error", "on_error": "client error",
    },
    "ccxt.base.exchange:BaseExchange": {
        "prepare_request_headers": "headers", "parse_json": "http_response",
        "on_rest_response": "code reason url method response_headers response_body "
                            "request_headers request_body",
        "handle_http_status_code": "code reason url method body",
        "check_proxy_settings": "url method headers body",
        "check_proxy_url_settings": "url method headers body", "check_ws_proxy_settings": "",
        "safe_order": "order market", "safe_trade": "trade market", "safe_ticker": "ticker market",
        "is_text_response": "headers",
    },
    "ccxt.async_support.base.ws.client:Client": {
        "future": "message_hash", "resolve": "result message_hash", "reject": "result message_hash",
        "reset": "error", "open": "session backoff_delay", "connect": "session backoff_delay",
        "create_connection": "session", "receive_loop": "", "send": "message", "close": "code",
        "on_close": "code", "on_error": "error", "closed": "", "aiohttp_close": "",
        "ping_loop": "",
    },
    "ccxt.async_support.base.ws.order_book:OrderBook": {"limit": "", "reset": "snapshot"},
    "ccxt.async_support.base.ws.order_book_side:OrderBookSide": {"storeArray": "delta"},
    "ccxt.async_support.base.ws.cache:ArrayCache": {"append": "item"},
    "ccxt.async_support.base.ws.cache:ArrayCacheBySymbolById": {"append": "item"},
    "ccxt.async_support.base.ws.cache:ArrayCacheBySymbolBySide": {"append": "item"},
}


def _class(place: str) -> Any:
    module, _, name = place.partition(":")
    # ccxt/__init__ and ccxt/pro/__init__ bind the class over the module of the same name.
    return getattr(import_module(module), name)


def differences(table: dict[str, dict[str, str]] = TABLE) -> tuple[str, ...]:
    """One line a member that is missing or takes other parameters; empty when all fits."""
    found = []
    for place, methods in table.items():
        try:
            owner = _class(place)
        except (ImportError, AttributeError):
            found.append(f"no {place}")
            continue
        for name, wanted in methods.items():
            member = getattr(owner, name, None)
            if not callable(member):
                found.append(f"no {place}.{name}")
                continue
            taken = [one for one in inspect.signature(member).parameters if one != "self"]
            if taken != wanted.split():
                found.append(f"{place}.{name}({', '.join(taken)})")
    return tuple(found)


def warn(text: str) -> None:
    """To the log and as a RuntimeWarning: a silent fallback would not be noticed."""
    log.warning(text)
    warnings.warn(text, RuntimeWarning, stacklevel=3)
