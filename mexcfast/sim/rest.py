"""REST: one endpoint table drives routing, permissions and budgets (protocol.md 3, 4, 13 to 16)."""

from __future__ import annotations

import hmac
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mexcfast.sim import wire
from mexcfast.sim.accounts import Account
from mexcfast.sim.calls import Call, File, Nothing, Reply
from mexcfast.sim.checks import (
    Params,
    Refused,
    check_clock,
    decode_json,
    query_values,
    signature,
    signed_query,
)
from mexcfast.sim.faults import Faults
from mexcfast.sim.rest_account import AccountHandlers
from mexcfast.sim.rest_conditional import ConditionalHandlers
from mexcfast.sim.rest_private import PrivateHandlers
from mexcfast.sim.rest_public import PublicHandlers
from mexcfast.sim.settings import Limits, Variations
from mexcfast.sim.venue import Venue

GROUPS = "market_maker/self_trade/blacklist"
NORMAL = (20, 2.0)
PLACING = (4, 2.0)
NOTICE = "https://example.invalid/notice"
MISSING_PERMISSION = {"A": 701, "O": 703, "T": 704}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table. Each row has its own budget, as the documents print them."""

    method: str
    path: str
    handler: str
    permission: str = ""
    """'' public, otherwise A, O or T (protocol.md 14)."""
    budget: tuple[int, float] = NORMAL


def _public(path: str, handler: str, budget: tuple[int, float] = NORMAL) -> Endpoint:
    return Endpoint("GET", "/api/v1/contract/" + path, handler, "", budget)


def _get(path: str, handler: str, permission: str = "O") -> Endpoint:
    return Endpoint("GET", "/api/v1/private/" + path, handler, permission)


def _post(
    path: str, handler: str, budget: tuple[int, float] = NORMAL, permission: str = "T"
) -> Endpoint:
    return Endpoint("POST", "/api/v1/private/" + path, handler, permission, budget)


ENDPOINTS: tuple[Endpoint, ...] = (
    _public("ping", "ping"),
    _public("detail", "detail", (10, 2.0)),
    _public("detail/country", "detail"),
    _public("support_currencies", "support_currencies"),
    _public("depth/{symbol}", "depth", (10, 2.0)),
    _public("depth_commits/{symbol}/{limit}", "depth_commits"),
    _public("index_price/{symbol}", "index_price"),
    _public("fair_price/{symbol}", "fair_price"),
    _public("funding_rate", "funding_rates"),
    _public("funding_rate/history", "funding_history"),
    _public("funding_rate/{symbol}", "funding_rate"),
    _public("kline/index_price/{symbol}", "kline_index"),
    _public("kline/fair_price/{symbol}", "kline_fair"),
    _public("kline/{symbol}", "kline"),
    _public("deals/{symbol}", "deals"),
    _public("ticker", "ticker", (10, 2.0)),
    _public("risk_reverse", "risk_reverse"),
    _public("risk_reverse/history", "risk_reverse_history"),
    _public("risk_reverse/{symbol}", "risk_reverse"),
    Endpoint("GET", "/api/v3/exchangeInfo", "spot_exchange_info"),
    Endpoint("GET", "/api/v3/capital/config/getall", "spot_currencies"),
    Endpoint("GET", "/api/v3/capital/deposit/hisrec", "spot_currencies"),
    Endpoint("GET", "/api/v3/capital/withdraw/history", "spot_currencies"),
    _get("account/assets", "assets", "A"),
    _get("account/asset/{currency}", "asset", "A"),
    _get("account/contract/fee_rate", "fee_rate", "A"),
    _get("account/contract/zero_fee_rate", "zero_fee_rate"),
    _get("account/tiered_fee_rate", "tiered_fee_rate"),
    _get("account/tiered_fee_rate/v2", "tiered_fee_rate_v2"),
    _get("account/risk_limit", "risk_limit"),
    _get("account/feeDeductConfigs", "fee_deduct_configs", "A"),
    _get("account/config/contractFeeDiscountConfig", "fee_discount_config", "A"),
    _get("account/discountType", "discount_type", "A"),
    _get("account/transfer_record", "transfer_record", "A"),
    _get("account/profit_rate/{type}", "profit_rate", "A"),
    _get("account/asset/analysis/yesterday_pnl", "yesterday_pnl", "A"),
    _get("account/asset/analysis/today_pnl", "today_pnl", "A"),
    _get("account/asset/analysis/export", "export", "A"),
    _get("account/asset/analysis/{type}", "analysis", "A"),
    _post("account/asset/analysis/v3", "analysis_v3", permission="A"),
    _post("account/asset/analysis/calendar/daily/v3", "calendar_daily", permission="A"),
    _post("account/asset/analysis/calendar/monthly/v3", "calendar_monthly", permission="A"),
    _post("account/asset/analysis/recent/v3", "recent", permission="A"),
    _get("account/asset_book/order_deal_fee/total", "fee_total", "A"),
    _post("account/change_risk_level", "change_risk_level"),
    _get("position/open_positions", "open_positions"),
    _get("position/list/history_positions", "history_positions"),
    _get("position/history_positions", "history_positions_paged"),
    _get("position/funding_records", "funding_records"),
    _get("position/leverage", "leverage"),
    _post("position/change_leverage", "change_leverage", (10, 10.0)),
    _post("position/change_margin", "change_margin"),
    _post("position/change_auto_add_im", "change_auto_add_im"),
    _get("position/position_mode", "position_mode"),
    _post("position/change_position_mode", "change_position_mode"),
    _post("position/reverse", "reverse", PLACING),
    _post("position/close_all", "close_all", PLACING),
    _post("order/create", "create", PLACING),
    _post("order/submit", "submit"),
    _post("order/submit_batch", "submit_batch", PLACING),
    _post("order/change_limit_order", "change_limit_order", PLACING),
    _post("order/chase_limit_order", "chase_limit_order", PLACING),
    _post("order/cancel", "cancel"),
    _post("order/cancel_with_external", "cancel_with_external"),
    _post("order/batch_cancel_with_external", "cancel_with_external"),
    _post("order/cancel_all", "cancel_all"),
    _get("order/list/open_orders", "open_orders"),
    _get("order/list/open_orders/{symbol}", "open_orders"),
    _get("order/open_orders", "open_orders_paged"),
    _get("order/open_orders/{symbol}", "open_orders_paged"),
    _get("order/list/history_orders", "history_orders"),
    _get("order/history_orders", "history_orders_paged"),
    _get("order/list/close_orders", "close_orders"),
    _get("order/external/{symbol}/{external_oid}", "external"),
    _get("order/get/{order_id}", "get_order"),
    Endpoint("GET", "/api/v1/private/order/batch_query", "batch_query", "O", (5, 2.0)),
    _post("order/batch_query_with_external", "batch_query_with_external", permission="O"),
    _get("order/deal_details/{order_id}", "deal_details"),
    _get("order/list/order_deals", "order_deals"),
    _get("order/list/order_deals/v3", "order_deals"),
    _get("order/fee_details", "fee_details"),
    _post("order/open_order_total_count", "open_order_total_count", permission="O"),
    _get("order/open_order_total_count", "open_order_total_count"),
    _post("planorder/place/v2", "place_plan", PLACING),
    _post("planorder/place", "place_plan_legacy"),
    _post("planorder/change_price", "change_plan", PLACING),
    _post("planorder/change_stop_order", "change_plan_stops", PLACING),
    _post("planorder/cancel", "cancel_plans"),
    _post("planorder/cancel_all", "cancel_all_plans"),
    _get("planorder/list/orders", "list_plans"),
    _post("stoporder/place", "place_stop", (5, 2.0)),
    _post("stoporder/cancel", "cancel_stops"),
    _post("stoporder/cancel_all", "cancel_all_stops"),
    _post("stoporder/change_price", "change_attached", PLACING),
    _post("stoporder/change_plan_price", "change_stop", PLACING),
    _get("stoporder/list/orders", "list_stops"),
    _get("stoporder/open_orders", "open_stops"),
    _get("stoporder/order_details/{stop_order_id}", "stop_details"),
    _post("trackorder/place", "place_track", PLACING),
    _post("trackorder/cancel", "cancel_tracks"),
    _post("trackorder/change_order", "change_track", PLACING),
    _get("trackorder/list/orders", "list_tracks"),
    _get(GROUPS, "list_groups"),
    _get(GROUPS + "/search", "own_group"),
    _post(GROUPS + "/create", "create_group"),
    _post(GROUPS + "/update", "update_group"),
    _post(GROUPS + "/delete", "delete_group"),
)

#: Path prefix to the reason why it is not served; all of protocol.md 13 to 16 is.
UNSERVED: dict[str, str] = {
    "/api/v1/contract/detailV2": "web front end only, undocumented",
    "/api/v3/": "spot trading is outside this exchange",
}

Headers = Mapping[str, str]


@dataclass(slots=True)
class Answer:
    """HTTP status and JSON text, or a file."""

    http: int
    text: str
    file: File | None = None

    @property
    def body(self) -> bytes:
        """As it is sent."""
        return self.text.encode() if self.file is None else self.file.body

    @property
    def content_type(self) -> str:
        """As it is announced."""
        return "application/json" if self.file is None else self.file.content_type


@dataclass(slots=True)
class Budgets:
    """Sliding windows per caller and endpoint (protocol.md 4)."""

    _used: dict[tuple[str, str], deque[float]] = field(default_factory=dict)

    def take(self, caller: str, group: str, budget: tuple[int, float]) -> None:
        """Use one, or Refused(510). A refused request uses nothing."""
        number, seconds = budget
        now = time.monotonic()
        used = self._used.setdefault((caller, group), deque())
        while used and now - used[0] >= seconds:
            used.popleft()
        if len(used) >= number:
            raise Refused(510)
        used.append(now)


class Rest:
    """Answers requests. Knows nothing of HTTP beyond method, path, query, headers and body."""

    def __init__(
        self,
        venue: Venue,
        faults: Faults,
        limits: Limits,
        variations: Variations,
        *,
        lenient_auth: bool,
        strict_clock: bool,
    ) -> None:
        self.venue = venue
        self.limits = limits
        self.variations = variations
        self.lenient_auth = lenient_auth
        self.strict_clock = strict_clock
        self.faults = faults
        self._budgets = Budgets()
        self._seen: deque[str] = deque(maxlen=10_000)
        """Signatures of the newest requests that change something."""
        handlers = (
            PublicHandlers(venue, faults, variations),
            AccountHandlers(venue, variations),
            PrivateHandlers(venue, variations),
            ConditionalHandlers(venue, variations),
        )
        self._exact: dict[tuple[str, str], tuple[Endpoint, Callable[[Call], Any]]] = {}
        self._patterns: list[tuple[list[str], Endpoint, Callable[[Call], Any]]] = []
        for endpoint in ENDPOINTS:
            handler = next(
                getattr(one, endpoint.handler) for one in handlers if hasattr(one, endpoint.handler)
            )
            if "{" in endpoint.path:
                self._patterns.append((endpoint.path.split("/"), endpoint, handler))
            else:
                self._exact[endpoint.method, endpoint.path] = (endpoint, handler)

    def route(
        self, method: str, path: str
    ) -> tuple[Endpoint, Callable[[Call], Any], dict[str, str]] | None:
        """The row for a request and its path parameters; a trailing slash does not matter."""
        path = path.rstrip("/")
        found = self._exact.get((method, path))
        if found is not None:
            return *found, {}
        parts = path.split("/")
        for pattern, endpoint, handler in self._patterns:
            if endpoint.method == method and len(pattern) == len(parts):
                taken = {}
                for wanted, part in zip(pattern, parts, strict=True):
                    if wanted.startswith("{"):
                        taken[wanted[1:-1]] = part
                    elif wanted != part:
                        break
                else:
                    return endpoint, handler, taken
        return None

    def answer(
        self, method: str, path: str, raw_query: str, headers: Headers, body: bytes, remote: str
    ) -> Answer:
        """Check in the order of 18.1, execute, answer."""
        closed = self.faults.closed_for(path)
        if closed is not None:
            code, message = closed
            view: dict[str, Any] = {"success": False, "code": code, "message": message}
            return Answer(200, wire.dumps({**view, "announcement": NOTICE}))
        try:
            found = self.route(method, path)
            if found is None:
                for prefix, reason in UNSERVED.items():
                    if path.startswith(prefix):
                        raise Refused(404, f"Not served by this exchange: {reason}", http=404)
                raise Refused(404, http=404)
            endpoint, handler, taken = found
            account = self._authenticate(endpoint, raw_query, headers, body, remote)
            self._spend(endpoint, account, remote)
            self._once(endpoint, account, headers)
            call = self._read(endpoint, raw_query, body, taken, account)
            try:
                return self._success(endpoint, handler(call))
            except Refused:
                if endpoint.budget == PLACING and account is not None:
                    self._failed(account)
                raise
        except Refused as refused:
            view = {
                "success": False,
                "code": refused.code,
                "message": refused.text(self._chinese(headers)),
            }
            return Answer(refused.http, wire.dumps(view))

    def _chinese(self, headers: Headers) -> bool:
        language = headers.get("Language", "")
        return language == "Chinese" or (not language and self.variations.chinese)

    def _success(self, endpoint: Endpoint, data: Any) -> Answer:
        if isinstance(data, File):
            return Answer(200, "", data)
        if isinstance(data, Nothing):
            return Answer(200, '{"success":true,"code":0}')
        if endpoint.path.startswith("/api/v3/"):
            return Answer(200, wire.dumps(data))
        if endpoint.handler == "depth" and self.variations.snapshot_bare:
            return Answer(200, wire.dumps(data))
        code, message = 0, ""
        if isinstance(data, Reply):
            code = data.code
            if data.message is not None:
                message = f',"message":{wire.dumps(data.message)}'
            data = data.data
        extra = ',"novelty":{"a":[1]}' if self.variations.unknown_fields else ""
        return Answer(
            200,
            f'{{"success":true,"code":{code}{message},"data":{wire.dumps(data)}{extra}}}',
        )

    def _authenticate(
        self, endpoint: Endpoint, raw_query: str, headers: Headers, body: bytes, remote: str
    ) -> Account | None:
        if not endpoint.permission:
            return None
        key = headers.get("ApiKey", "")
        request_time = headers.get("Request-Time", "")
        given = headers.get("Signature", "")
        account = self.venue.keys.get(key)
        if not key or not request_time or not given or account is None:
            raise Refused(401)
        if account.expired:
            raise Refused(402)
        if not account.activated:
            raise Refused(1000)
        if account.addresses and remote not in account.addresses:
            raise Refused(406)
        if self.limits.clock_window:
            check_clock(
                request_time, headers.get("Recv-Window"), self.venue.clock_ms(), self.strict_clock,
                self.limits.clock_window_seconds,
            )
        payload = body if endpoint.method == "POST" else signed_query(raw_query).encode()
        wanted = signature(account.secret, key, request_time, payload)
        matches = hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))
        if not matches and not self.lenient_auth:
            raise Refused(602)
        if account.access_denied:
            raise Refused(511)
        if endpoint.permission not in account.permissions:
            raise Refused(MISSING_PERMISSION[endpoint.permission])
        return account

    def _spend(self, endpoint: Endpoint, account: Account | None, remote: str) -> None:
        if not self.limits.rest_budgets:
            return
        budget = endpoint.budget
        if budget == PLACING:
            budget = self.limits.order_budget or NORMAL
        budget = (budget[0], budget[1] * self.limits.time_scale)
        caller = f"uid {account.uid}" if account is not None else f"address {remote}"
        self._budgets.take(caller, endpoint.path, budget)

    def _once(self, endpoint: Endpoint, account: Account | None, headers: Headers) -> None:
        """603 for a signed request that came before, where that is wanted."""
        if not self.variations.repeated_603 or account is None or endpoint.method != "POST":
            return
        seen = f"{account.uid} {headers.get('Request-Time')} {headers.get('Signature')}"
        if seen in self._seen:
            raise Refused(603)
        self._seen.append(seen)

    def _failed(self, account: Account) -> None:
        """A placing was refused; too many of them block opening for a while (4)."""
        rule = self.limits.failing_orders
        if rule is None:
            return
        number, seconds, blocked = rule
        scale = self.limits.time_scale * 1000
        now, failures = self.venue.clock_ms(), account.failures
        failures.append(now)
        while failures and now - failures[0] > seconds * scale:
            failures.popleft()
        if len(failures) >= number:
            failures.clear()
            account.opening_blocked_ms = now + int(blocked * scale)

    def _read(
        self,
        endpoint: Endpoint,
        raw_query: str,
        body: bytes,
        taken: dict[str, str],
        account: Account | None,
    ) -> Call:
        values: dict[str, Any] = dict(query_values(raw_query))
        decoded: Any = None
        if endpoint.method == "POST":
            if body.strip():
                decoded = decode_json(body)
            elif self.lenient_auth and values:
                decoded = dict(values)
            else:
                decoded = {}
            if isinstance(decoded, dict):
                values.update(decoded)
        values.update(taken)
        return Call(Params(values), decoded, taken, account)
