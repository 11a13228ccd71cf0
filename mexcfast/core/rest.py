"""REST without sockets: the endpoint table, settings, parameters to bytes, answers to outcomes.

The table is data: a changed path or limit is one line, here or in Endpoint.paths / .limits.
Any answer becomes a result, a VenueError or BadAnswer; for a write, Accepted, Rejected or Unknown.
Source: protocol.md 1, 2, 4, 13 to 17, 20.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from mexcfast.core.ack import accepted
from mexcfast.core.results import (
    decode,
    many,
    one_or_many,
    quick_ack,
    read_ack,
    read_any,
    read_balance,
    read_candles,
    read_contract,
    read_counts,
    read_decimal,
    read_depth,
    read_fee_detail,
    read_fill,
    read_funding,
    read_funding_record,
    read_group,
    read_insurance,
    read_integer,
    read_items,
    read_nothing,
    read_order,
    read_plan,
    read_position,
    read_price,
    read_stop,
    read_stop_ack,
    read_texts,
    read_ticker,
    read_tier,
    read_tiers,
    read_time,
    read_trade,
    read_trailing,
    read_transfer,
    to_bool,
    to_int,
)
from mexcfast.core.sign import canonical_query
from mexcfast.core.throttle import Lane
from mexcfast.errors import (
    BadAnswer,
    ConfigError,
    EdgeError,
    IntentError,
    NotFound,
    VenueError,
    VenueFault,
    venue_error,
)
from mexcfast.types import Accepted, ItemResult, OrderAck, Outcome, Rejected, Unknown

# ---------------------------------------------------------------------------------------------
# The endpoint table.

@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. count per window_ms is the venue's budget of the group it belongs to."""

    name: str
    method: str
    path: str                   # below /api/v1/; {names} are path parameters
    parse: Callable[[Any], Any]
    params: tuple[str, ...]     # query or body members; a trailing ! marks a required one
    count: int = 20
    window_ms: int = 2000
    group: str = ""
    permission: str = ""        # A account, O order details, T order placing; "": public
    writes: bool = False        # changes state: an unclear outcome is Unknown
    repeatable: bool = True     # sending it twice does no harm
    status: str = "doc"         # doc, doc21, removed, disabled
    lookup: bool = False        # asks for one order: "no such" is NotFound
    lane: Lane = Lane.OPEN

    @property
    def signed(self) -> bool:
        return self.permission != ""


def _get(name: str, path: str, parse: Callable[[Any], Any], params: str = "", limit: int = 20,
         **more: Any) -> Route:
    return Route(name, "GET", path, parse, tuple(params.split()), limit,
                 **{"group": name, **more})


def _public(name: str, path: str, parse: Callable[[Any], Any], params: str = "", limit: int = 20,
            **more: Any) -> Route:
    return _get(name, "contract/" + path, parse, params, limit, **more)


def _private(name: str, path: str, parse: Callable[[Any], Any], permission: str, params: str = "",
             limit: int = 20, **more: Any) -> Route:
    return _get(name, "private/" + path, parse, params, limit, permission=permission, **more)


def _ask(name: str, path: str, parse: Callable[[Any], Any], permission: str, params: str = "",
         **more: Any) -> Route:
    """A query by POST."""
    return Route(name, "POST", "private/" + path, parse, tuple(params.split()),
                 **{"group": name, "permission": permission, **more})


def _write(name: str, path: str, parse: Callable[[Any], Any], params: str = "", limit: int = 20,
           lane: Lane = Lane.AMEND, **more: Any) -> Route:
    return Route(name, "POST", "private/" + path, parse, tuple(params.split()), limit,
                 **{"group": name, "permission": "T", "writes": True, "repeatable": False,
                    "lane": lane, **more})


_PAGE = " page_num page_size"
_ORDER = ("symbol! price vol! leverage side! type! openType! externalOid positionId stopLossPrice "
          "takeProfitPrice lossTrend profitTrend priceProtect positionMode reduceOnly "
          "marketCeiling flashClose bboTypeNum stpMode")
_ORDERS = many(read_order)
_FILLS = many(read_fill)
_RECORDS = many(read_any)
_ANALYSIS = "account/asset/analysis/"
_STP = "market_maker/self_trade/blacklist"
_HISTORY = (" symbol states category side orderId startTime endTime start_time end_time"
            + _PAGE)

# Two sources disagree on some limits: the stricter stands here (protocol.md 20, row 25).
ROUTES: tuple[Route, ...] = (
    # 13. market data
    _public("ping", "ping", read_time),
    _public("contracts", "detail", one_or_many(read_contract), "symbol", 10),
    _public("contracts_by_country", "detail/country", one_or_many(read_contract), "symbol", 10),
    _public("support_currencies", "support_currencies", read_texts),
    _public("depth", "depth/{symbol}", read_depth, "limit", 10),
    _public("depth_commits", "depth_commits/{symbol}/{limit}", many(read_depth)),
    _public("index_price", "index_price/{symbol}", read_price),
    _public("fair_price", "fair_price/{symbol}", read_price),
    _public("funding_rate", "funding_rate/{symbol}", read_funding),
    _public("funding_rates", "funding_rate", many(read_funding)),
    _public("kline", "kline/{symbol}", read_candles, "interval start end"),
    _public("kline_index_price", "kline/index_price/{symbol}", read_candles,
            "interval start end"),
    _public("kline_fair_price", "kline/fair_price/{symbol}", read_candles, "interval start end"),
    _public("deals", "deals/{symbol}", many(read_trade), "limit"),
    _public("tickers", "ticker", one_or_many(read_ticker), "symbol", 10),
    _public("insurance_funds", "risk_reverse", one_or_many(read_insurance)),
    _public("insurance_fund", "risk_reverse/{symbol}", one_or_many(read_insurance)),
    _public("insurance_history", "risk_reverse/history", many(read_insurance),
            "symbol! page_num! page_size!"),
    _public("funding_history", "funding_rate/history", many(read_funding),
            "symbol! page_num! page_size!"),
    # 14. account and fees
    _private("balances", "account/assets", many(read_balance), "A"),
    _private("balance", "account/asset/{currency}", read_balance, "A"),
    _private("transfers", "account/transfer_record", many(read_transfer), "A",
             "currency state type" + _PAGE),
    _private("profit_rate", "account/profit_rate/{type}", read_any, "A"),
    _private("analysis", _ANALYSIS + "{type}", read_any, "A", "currency! startTime endTime"),
    _private("pnl_yesterday", _ANALYSIS + "yesterday_pnl", read_decimal, "A"),
    _private("pnl_today", _ANALYSIS + "today_pnl", read_any, "A", "reverse includeUnrealisedPnl"),
    _private("analysis_export", _ANALYSIS + "export", read_any, "A",
             "startTime endTime reverse includeUnrealisedPnl symbol fileType language"),
    _ask("analysis_v3", _ANALYSIS + "v3", read_any, "A",
         "startTime! endTime! reverse includeUnrealisedPnl symbol"),
    _ask("analysis_daily", _ANALYSIS + "calendar/daily/v3", read_any, "A",
         "startTime! endTime! reverse includeUnrealisedPnl"),
    _ask("analysis_monthly", _ANALYSIS + "calendar/monthly/v3", read_any, "A",
         "reverse includeUnrealisedPnl"),
    _ask("analysis_recent", _ANALYSIS + "recent/v3", read_any, "A",
         "reverse includeUnrealisedPnl symbol"),
    _private("fee_deduct_configs", "account/feeDeductConfigs", _RECORDS, "A"),
    _private("fee_discount_config", "account/config/contractFeeDiscountConfig", _RECORDS, "A"),
    _private("discount_type", "account/discountType", read_any, "A"),
    _private("fee_total", "account/asset_book/order_deal_fee/total", read_any, "A"),
    _private("fee_rate", "account/contract/fee_rate", _RECORDS, "A", "symbol", status="removed"),
    _private("zero_fee_rate", "account/contract/zero_fee_rate", read_any, "O", "symbol",
             status="removed"),
    _private("risk_limit", "account/risk_limit", read_tiers, "O", "symbol"),
    _private("tiered_fee_rate_v1", "account/tiered_fee_rate", read_any, "O", "symbol",
             status="doc21"),
    _private("tiered_fee_rate", "account/tiered_fee_rate/v2", read_any, "O", "symbol"),
    _write("change_risk_level", "account/change_risk_level", read_nothing,
           "symbol level positionType", status="disabled"),
    _private("fee_details", "order/fee_details", many(read_fee_detail), "O",
             "symbol! ids start_time end_time" + _PAGE),
    # 15. positions
    _private("positions", "position/open_positions", many(read_position), "O",
             "symbol positionId"),
    _private("position_history", "position/list/history_positions", many(read_position), "O",
             "symbol type position_type start_time end_time" + _PAGE),
    _private("position_history_paged", "position/history_positions", many(read_position), "O",
             "symbol type" + _PAGE, status="removed"),
    _private("funding_records", "position/funding_records", many(read_funding_record), "O",
             "symbol position_id position_type start_time end_time" + _PAGE),
    _private("leverage", "position/leverage", many(read_tier), "O", "symbol!"),
    _write("change_leverage", "position/change_leverage", read_nothing,
           "positionId leverage! symbol openType positionType leverageMode marginSelected "
           "leverageSelected", 10, window_ms=10_000),
    _write("change_margin", "position/change_margin", read_nothing, "positionId! amount! type!"),
    _write("change_auto_margin", "position/change_auto_add_im", read_nothing,
           "positionId! isEnabled!"),
    _private("position_mode", "position/position_mode", read_integer, "O"),
    _write("change_position_mode", "position/change_position_mode", read_nothing,
           "positionMode!"),
    _write("reverse_position", "position/reverse", read_nothing, "symbol! positionId! vol!", 4,
           Lane.OPEN),
    _write("close_all", "position/close_all", read_nothing, "", 4, Lane.REDUCE),
    # 16.1 placing
    _write("create", "order/create", read_ack, _ORDER, 4, Lane.OPEN, group="order_place"),
    _write("submit", "order/submit", read_ack, _ORDER, 4, Lane.OPEN, group="order_place",
           status="doc21"),
    _write("submit_batch", "order/submit_batch", read_items, "[]", 1, Lane.OPEN),
    # 16.2 changing and cancelling
    _write("chase", "order/chase_limit_order", read_nothing, "orderId!", 4),
    _write("amend", "order/change_limit_order", read_ack, "orderId! price! vol!", 4),
    _write("cancel", "order/cancel", read_items, "[]", lane=Lane.CANCEL, repeatable=True),
    _write("cancel_external", "order/cancel_with_external", read_items, "[]", lane=Lane.CANCEL,
           repeatable=True),
    _write("cancel_external_batch", "order/batch_cancel_with_external", read_items, "[]",
           lane=Lane.CANCEL, repeatable=True),
    _write("cancel_all", "order/cancel_all", read_nothing, "symbol", lane=Lane.CANCEL),
    # 16.3 queries
    _private("open_orders", "order/list/open_orders", _ORDERS, "O", "symbol" + _PAGE),
    _private("open_orders_of", "order/list/open_orders/{symbol}", _ORDERS, "O", _PAGE,
             status="doc21"),
    _private("open_orders_paged", "order/open_orders", _ORDERS, "O", _PAGE, status="removed"),
    _private("open_orders_paged_of", "order/open_orders/{symbol}", _ORDERS, "O", _PAGE,
             status="removed"),
    _private("history", "order/list/history_orders", _ORDERS, "O", _HISTORY),
    _private("history_paged", "order/history_orders", _ORDERS, "O", _HISTORY, status="removed"),
    _private("order_by_external", "order/external/{symbol}/{external_oid}", read_order, "O",
             lookup=True),
    _private("order", "order/get/{orderId}", read_order, "O", lookup=True),
    _private("orders", "order/batch_query", _ORDERS, "O", "order_ids!", 5),
    _ask("orders_by_external", "order/batch_query_with_external", _ORDERS, "O", "[]"),
    _private("order_fills", "order/deal_details/{orderId}", _FILLS, "O", "symbol"),
    _private("fills", "order/list/order_deals/v3", _FILLS, "O",
             "symbol! start_time end_time" + _PAGE),
    _private("fills_v1", "order/list/order_deals", _FILLS, "O",
             "symbol! start_time end_time" + _PAGE, status="doc21"),
    _private("closed_orders", "order/list/close_orders", _ORDERS, "O",
             "symbol! start_time end_time" + _PAGE),
    _private("closed_orders_unlisted", "order/close_orders", _ORDERS, "O",
             "symbol! start_time end_time" + _PAGE, status="removed"),
    _ask("open_order_counts", "order/open_order_total_count", read_counts, "O"),
    # 16.4 plan orders
    _write("plan_place", "planorder/place/v2", read_ack,
           "symbol! vol! leverage side! openType! triggerPrice! triggerType! executeCycle! "
           "orderType! trend! price priceProtect positionMode lossTrend profitTrend stopLossPrice "
           "takeProfitPrice reduceOnly", 4, Lane.OPEN),
    _write("plan_place_v1", "planorder/place", read_ack,
           "symbol! vol! leverage side! openType! triggerPrice! triggerType! executeCycle! "
           "orderType! trend! price", 20, Lane.OPEN, status="doc21"),
    _write("plan_change_price", "planorder/change_price", read_nothing,
           "symbol! orderId! triggerPrice! price orderType triggerType trend from", 4),
    _write("plan_change_stop", "planorder/change_stop_order", read_nothing,
           "symbol! orderId! lossTrend profitTrend stopLossPrice takeProfitPrice", 4),
    _write("plan_cancel", "planorder/cancel", read_nothing, "[]", lane=Lane.CANCEL,
           repeatable=True),
    _write("plan_cancel_all", "planorder/cancel_all", read_nothing, "symbol", lane=Lane.CANCEL),
    _private("plan_orders", "planorder/list/orders", many(read_plan), "O",
             "symbol states side start_time end_time" + _PAGE),
    # 16.5 TP/SL orders
    _write("stop_place", "stoporder/place", read_stop_ack,
           "positionId! vol! lossTrend! profitTrend! stopLossPrice takeProfitPrice priceProtect "
           "profitLossVolType takeProfitVol stopLossVol volType takeProfitReverse stopLossReverse "
           "takeProfitType takeProfitOrderPrice stopLossType stopLossOrderPrice mtoken", 5,
           Lane.REDUCE),
    _write("stop_cancel", "stoporder/cancel", read_nothing, "[]", lane=Lane.CANCEL,
           repeatable=True),
    _write("stop_cancel_all", "stoporder/cancel_all", read_nothing, "positionId symbol",
           lane=Lane.CANCEL),
    _write("stop_change_price", "stoporder/change_price", read_nothing,
           "orderId! lossTrend profitTrend stopLossPrice takeProfitPrice takeProfitReverse "
           "stopLossReverse", 4),
    _write("stop_change_plan_price", "stoporder/change_plan_price", read_nothing,
           "stopPlanOrderId! lossTrend profitTrend stopLossPrice takeProfitPrice "
           "takeProfitReverse stopLossReverse", 4),
    _private("stop_orders", "stoporder/list/orders", many(read_stop), "O",
             "symbol is_finished state type start_time end_time" + _PAGE),
    _private("stop_open_orders", "stoporder/open_orders", many(read_stop), "O", "symbol"),
    _private("stop_order", "stoporder/order_details/{stop_order_id}", read_any, "O",
             status="doc21", lookup=True),
    # 16.6 trailing orders
    _write("track_place", "trackorder/place", read_ack,
           "symbol! leverage! side! vol! openType! trend! backType! backValue! positionMode! "
           "activePrice reduceOnly", 4, Lane.OPEN),
    _write("track_cancel", "trackorder/cancel", read_nothing, "symbol trackOrderId",
           lane=Lane.CANCEL),
    _write("track_change", "trackorder/change_order", read_nothing,
           "symbol! trackOrderId! trend! backType! backValue! vol! activePrice", 4),
    _private("track_orders", "trackorder/list/orders", many(read_trailing), "O",
             "states! symbol side start_time end_time pageIndex pageSize"),
    # 16.7 self-trade-prevention groups
    _private("stp_groups", _STP, many(read_group), "O", "configName"),
    _private("stp_group", _STP + "/search", read_group, "O"),
    _write("stp_create", _STP + "/create", read_nothing, "configName! blacklist!"),
    _write("stp_update", _STP + "/update", read_nothing, "configName! blacklist!"),
    _write("stp_delete", _STP + "/delete", read_nothing, "configName!"),
)

#: name -> Route
BY_NAME: Mapping[str, Route] = MappingProxyType({route.name: route for route in ROUTES})


# ---------------------------------------------------------------------------------------------
# Settings.

def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the venue is and how it counts. All data: dataclasses.replace() makes a variant.

    paths: route name -> path below /api/v1/ instead of the table's ("create" -> "private/order/
    submit"). limits: budget group -> (count, window_ms) instead of the table's. margin_ms widens
    every window, because requests do not all take the same time to arrive.
    recv_window_s: None sends no Recv-Window; at most 60 (protocol.md 3.1).
    """

    rest_url: str
    ws_url: str
    paths: Mapping[str, str] = field(default_factory=_nothing)
    limits: Mapping[str, tuple[int, int]] = field(default_factory=_nothing)
    margin_ms: int = 50
    language: str = "English"
    user_agent: str = "mexcfast"
    recv_window_s: int | None = None
    connect_timeout_ms: int = 3000
    timeout_ms: int = 10_000
    keepalive_ms: int = 30_000      # idle longer than this, a connection is not used again
    warm_connections: int = 2       # kept open for order entry before they are needed
    busy_poll_us: int = 0           # of order entry's connections, as StreamSettings' (Linux)
    quick_ack: bool = False

    def __post_init__(self) -> None:
        for url, schemes in ((self.rest_url, ("http://", "https://")),
                             (self.ws_url, ("ws://", "wss://"))):
            if not url.startswith(schemes):
                raise ConfigError(f"endpoint address is {url!r}; allowed: {' or '.join(schemes)}")
        if self.recv_window_s is not None and not 1 <= self.recv_window_s <= 60:
            raise ConfigError(f"recv_window_s is {self.recv_window_s}; allowed: None, 1 to 60")
        if not 0 <= self.warm_connections <= 16:
            raise ConfigError(f"warm_connections is {self.warm_connections}; allowed: 0 to 16")
        if not 0 <= self.busy_poll_us <= 1_000_000:
            raise ConfigError(f"busy_poll_us is {self.busy_poll_us}; allowed: 0 to 1000000")
        unknown = [name for name in self.paths if name not in BY_NAME]
        unknown += [name for name in self.limits if name not in GROUPS]
        if unknown:
            raise ConfigError(f"endpoint names no route or group {unknown[0]!r}")
        object.__setattr__(self, "rest_url", self.rest_url.rstrip("/"))

    @classmethod
    def at(cls, rest_url: str, ws_url: str | None = None, **more: Any) -> Endpoint:
        """Settings for any address; the socket's defaults to the same host, path /edge."""
        if ws_url is None:
            ws_url = "ws" + rest_url.removeprefix("http").rstrip("/") + "/edge"
        return cls(rest_url, ws_url, **more)

    @property
    def expiry_ms(self) -> int:
        """How long after its signed time the venue still takes a request, with a second's margin.

        10 s unless Recv-Window says otherwise (protocol.md 3.4).
        """
        return ((10 if self.recv_window_s is None else self.recv_window_s) + 1) * 1000

    def limit(self, route: Route) -> tuple[int, int]:
        """count, window_ms of the route's budget group."""
        return self.limits.get(route.group, (route.count, route.window_ms))


#: budget group -> (count, window_ms), the strictest of its routes
GROUPS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {route.group: (route.count, route.window_ms) for route in ROUTES})

LIVE = Endpoint("https://api.mexc.com", "wss://contract.mexc.com/edge")
#: The previous REST host; still answers, reported to refuse POST from some addresses.
LIVE_PREVIOUS = Endpoint("https://contract.mexc.com", "wss://contract.mexc.com/edge")


#: Order entry: what may go over the order lane.
ORDER_ENTRY = frozenset(route.name for route in ROUTES
                        if route.writes and route.path.startswith("private/order/"))


def find(name: str) -> Route:
    """The route of this name; IntentError when there is none."""
    route = BY_NAME.get(name)
    if route is None:
        raise IntentError("name", name, "a name in core/rest.ROUTES")
    return route


# ---------------------------------------------------------------------------------------------
# Parameters to bytes.

@dataclass(frozen=True, slots=True)
class Request:
    """What goes out. payload is what is signed: the query of a GET, the body of a POST."""

    method: str
    url: str                    # complete and encoded
    payload: bytes
    body: bytes | None


def prepare(endpoint: Endpoint, route: Route, path: Mapping[str, object] | None = None,
            params: Mapping[str, object] | None = None, body: bytes | None = None) -> Request:
    """One request's exact bytes.

    path: values for the {names} in the path. params: query, GET only. body: POST only; None sends
    no body and signs nothing.
    Raises IntentError for a missing or superfluous name.
    """
    target = endpoint.paths.get(route.name, route.path)
    for name, value in (path or {}).items():
        if "{" + name + "}" not in target:
            raise IntentError(name, value, f"path parameters of {target}")
        text = str(value)
        if not text or text in (".", "..") or not text.isprintable():
            raise IntentError(name, value, "printable text, not empty, not a dot segment")
        target = target.replace("{" + name + "}", quote(text, safe=""))
    if "{" in target:
        raise IntentError("path", dict(path or {}), f"a value for each name in {target}")
    url = f"{endpoint.rest_url}/api/v1/{target}"
    if route.method == "POST":
        if params:
            raise IntentError("params", dict(params), "a body: POST has no query")
        return Request("POST", url, body or b"", body)
    if body is not None:
        raise IntentError("body", body, "none: GET has a query")
    given = {name: value for name, value in (params or {}).items() if value is not None}
    known = {name.rstrip("!") for name in route.params}
    for name, value in given.items():
        if name not in known:
            raise IntentError(name, value, f"one of {', '.join(sorted(known)) or 'nothing'}")
    for name in route.params:
        if name.endswith("!") and name[:-1] not in given:
            raise IntentError(name[:-1], None, "a value: it is required")
    query = canonical_query(given)
    return Request("GET", f"{url}?{query}" if query else url, query.encode("ascii"), None)


def fixed_headers(endpoint: Endpoint) -> dict[str, str]:
    """What stands in every request's head, in order of sending."""
    return {"Content-Type": "application/json", "Language": endpoint.language,
            "User-Agent": endpoint.user_agent}


def last_headers(endpoint: Endpoint) -> dict[str, str]:
    """What stands behind the signature."""
    return {} if endpoint.recv_window_s is None else {"Recv-Window": str(endpoint.recv_window_s)}


# ---------------------------------------------------------------------------------------------
# Answers to results and outcomes.

def _code(value: Any) -> int | None:
    """The venue's number; text that is no number is not one."""
    try:
        return to_int(value, "code")
    except BadAnswer:
        return None


def _message(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode("utf-8")[:500]


def _unwrap(route: Route, status: int, answer: Any) -> Any:
    """The data of one decoded answer (protocol.md 2, rules 1 to 4)."""
    if not isinstance(answer, dict):
        if route.parse is read_nothing:
            raise BadAnswer("no envelope")      # nothing in it says that it was done
        return answer           # a bare array; the reader decides
    if not any(name in answer for name in ("success", "code", "data")):
        # The two samples without an envelope: 2021 depth, and the echo of a cancel.
        if route.parse is not read_nothing and (
                ("asks" in answer and "bids" in answer) or "externalOid" in answer):
            return answer
        raise BadAnswer("neither an envelope nor a known bare object")
    code = _code(answer.get("code"))
    if answer.get("success") is not None:
        succeeded = to_bool(answer["success"], "success")
    else:
        succeeded = answer.get("code") is None or code in (0, 200)
    if succeeded:
        return answer.get("data")
    message = _message(answer.get("message")) or _message(answer.get("msg"))
    if code is None and answer.get("code") is not None:
        message = f"{_message(answer['code'])} {message}".strip()
    if route.lookup and code in (1001, 2040):
        raise NotFound(code, message)
    raise venue_error(code, message, _message(answer.get("announcement")) or None,
                      status=status, changes_state=route.writes)


def read_answer(route: Route, status: int, body: bytes) -> Any:
    """The typed result of one answer.

    Raises a VenueError when the venue refused, NotFound when a look-up found nothing, EdgeError
    for HTML, BadAnswer for anything that cannot be read; each names the endpoint.
    """
    try:
        return _read_answer(route, status, body)
    except (VenueError, BadAnswer) as error:
        error.endpoint = route.path
        raise


def _read_answer(route: Route, status: int, body: bytes) -> Any:
    if route.parse is read_ack and 200 <= status < 300:
        ack = quick_ack(body)
        if ack is not None:
            return ack
    start = body.lstrip()[:1]
    if start == b"<":
        raise EdgeError(status)
    try:
        if start not in (b"{", b"["):
            raise BadAnswer("empty" if not start else "not JSON")
        data = _unwrap(route, status, decode(body))
        if data is None and route.lookup:
            raise NotFound(None, "no such order")
        result = route.parse(data)
    except BadAnswer as error:
        if 400 <= status < 500:
            # Refused before execution; the status is then the only thing said.
            raise venue_error(status, f"HTTP {status}", status=status,
                              changes_state=route.writes) from None
        raise BadAnswer(error.reason, status) from None
    except RecursionError:
        raise BadAnswer("nested too deeply", status) from None
    if not 200 <= status < 300:
        raise BadAnswer("a success that came with an error status", status)
    return result


REPEATED = 603


def is_certain(error: Exception, status: int) -> bool:
    """Whether this error of a write proves that it was not executed (protocol.md 4).

    Proof is a refusal by the exchange with a 2xx or 4xx status, or by the edge with a 4xx. An
    inner fault, a failure without a code, a time-out status and anything unreadable prove nothing.
    Nor does 603, repeated request: the first of the two may have been executed.
    """
    if not isinstance(error, VenueError) or isinstance(error, VenueFault):
        return False
    if status == 408 or not (200 <= status < 300 or 400 <= status < 500):
        return False
    if isinstance(error, EdgeError):
        return status >= 400
    return error.code not in (None, 0, 200, REPEATED)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a write is about, so that its outcome can say so."""

    symbol: str | None = None
    client_order_id: str | None = None
    order_id: int | None = None


def judge(route: Route, status: int, body: bytes, about: Subject,
          ts_sent_ms: int | None = None) -> Outcome:
    """The outcome of one write that was answered."""
    if route.parse is read_ack and 200 <= status < 300:
        ack = quick_ack(body)
        if ack is not None:
            return accepted(about.symbol, about.client_order_id, ack)
    try:
        data = read_answer(route, status, body)
    except (VenueError, BadAnswer) as error:
        return failed(error, status, about, ts_sent_ms)
    if isinstance(data, OrderAck):
        return Accepted(about.symbol, about.client_order_id, data.order_id, data.ts_venue_ms,
                        data=data)
    return Accepted(about.symbol, about.client_order_id, about.order_id, data=data)


def failed(error: VenueError | BadAnswer, status: int, about: Subject,
           ts_sent_ms: int | None) -> Rejected | Unknown:
    """Rejected when the error proves it, else Unknown."""
    if is_certain(error, status):
        return Rejected(error, about.symbol, about.client_order_id, about.order_id)
    return Unknown(error, about.symbol, about.client_order_id, about.order_id,
                   ts_sent_ms=ts_sent_ms)


def judge_items(outcome: Outcome, wanted: tuple[Subject, ...]) -> tuple[Outcome, ...]:
    """One outcome per item of a batch or cancel, in the order asked.

    An item the answer does not mention is Unknown. Items are matched by id, and by position when
    the answer has as many items as were asked and this one names no other id.
    """
    if isinstance(outcome, Rejected):
        return tuple(Rejected(outcome.error, s.symbol, s.client_order_id, s.order_id)
                     for s in wanted)
    if isinstance(outcome, Unknown):
        return tuple(Unknown(outcome.error, s.symbol, s.client_order_id, s.order_id,
                             ts_sent_ms=outcome.ts_sent_ms) for s in wanted)
    items: tuple[ItemResult, ...] = outcome.data
    by_order = {item.order_id: item for item in items if item.order_id is not None}
    by_client = {item.client_order_id: item for item in items if item.client_order_id is not None}
    outcomes: list[Outcome] = []
    for place, s in enumerate(wanted):
        item = None
        if s.order_id is not None:
            item = by_order.get(s.order_id)
        if item is None and s.client_order_id is not None:
            item = by_client.get(s.client_order_id)
        if item is None and len(items) == len(wanted):
            item = _in_place(items[place], s)
        if item is None:
            outcomes.append(Unknown(BadAnswer("the answer does not mention this order"), s.symbol,
                                    s.client_order_id, s.order_id))
        elif item.error is None:
            outcomes.append(Accepted(s.symbol, s.client_order_id, item.order_id or s.order_id))
        elif is_certain(item.error, 200):
            outcomes.append(Rejected(item.error, s.symbol, s.client_order_id,
                                     item.order_id or s.order_id))
        else:
            outcomes.append(Unknown(item.error, s.symbol, s.client_order_id,
                                    item.order_id or s.order_id))
    return tuple(outcomes)


def _in_place(item: ItemResult, wanted: Subject) -> ItemResult | None:
    """The item at the same place, unless it names another order."""
    if item.client_order_id is not None and wanted.client_order_id is not None:
        return None
    if item.order_id is not None and wanted.order_id is not None:
        return None
    return item
