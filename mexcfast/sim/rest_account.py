"""Account, fees and statistics over REST (protocol.md 14)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from mexcfast.sim import wire
from mexcfast.sim.accounts import CROSS, ISOLATED, LONG, SHORT, ZERO
from mexcfast.sim.calls import DAY_MS, Call, File, Reply, integers, page, paged, times
from mexcfast.sim.checks import Refused
from mexcfast.sim.contracts import Contract
from mexcfast.sim.records import Statistics, day_of, month_of, ranking, statistics
from mexcfast.sim.settings import Variations
from mexcfast.sim.statement import CONTENT_TYPES, EXCEL, Row, pages, workbook
from mexcfast.sim.venue import Venue

FEE_RATE_KEYS = (
    "symbol", "isMaxLeverage", "isZeroFeeRate", "maxLeverage", "countryConfigContractMaxLeverage",
    "takerFeeRate", "makerFeeRate", "feeRateMode", "leverageFeeRates", "tieredFeeRates",
    "tieredDealAmount", "tieredEffectiveDay", "tieredAppointContract", "tieredExcludeContractId",
    "tieredContractIds", "tieredExcludeZeroFee", "statisticType", "fixedStartTime", "fixedEndTime",
)  # fmt: skip
TIER_KEYS = FEE_RATE_KEYS[FEE_RATE_KEYS.index("tieredDealAmount") :]
RECENT_DAYS = (60, 90, 120, 150, 180, 360)
#: One discount that everybody could have and nobody here has: holding MX.
DISCOUNT_CONFIG = '[{"day":1,"discount":0.5,"level":1,"volMax":2147483647,"volMin":500}]'


class AccountHandlers:
    """One method per row of the endpoint table."""

    def __init__(self, venue: Venue, variations: Variations) -> None:
        self.venue = venue
        self.variations = variations

    def _asset(self, call: Call, currency: str) -> dict[str, Any]:
        account = call.user
        return account.asset_full(
            currency,
            self.venue.unrealised(account, currency),
            self.venue.spendable(account, currency),
        )

    def assets(self, call: Call) -> Any:
        """Every asset."""
        return [self._asset(call, currency) for currency in call.user.cash]

    def asset(self, call: Call) -> Any:
        """One asset; zeros for a currency never held."""
        currency = call.params.need_text("currency")
        known = {one.contract.settle for one in self.venue.markets.values()} | {"MX"}
        if currency not in call.user.cash and currency not in known:
            raise Refused(4001)
        return self._asset(call, currency)

    def transfer_record(self, call: Call) -> Any:
        """Transfers in and out, newest first."""
        params = call.params
        currency, state, kind = params.text("currency"), params.text("state"), params.text("type")
        rows = [one.wire() for one in reversed(call.user.transfers)]
        chosen = [
            row
            for row in rows
            if currency in (None, row["currency"])
            and state in (None, row["state"])
            and kind in (None, row["type"])
        ]
        return paged(chosen, *params.page(100))

    # Fees

    def _contracts(self, call: Call) -> list[Contract]:
        symbol = call.params.text("symbol")
        if symbol is not None:
            return [self.venue.market(symbol).contract]
        return [one.contract for one in self.venue.markets.values()]

    def fee_rate(self, call: Call) -> Any:
        """Fee rates per contract."""
        rows = []
        for contract in self._contracts(call):
            whole = contract.describe()
            row = {"contractId": contract.id, "agentFee": False}
            row.update({key: whole[key] for key in FEE_RATE_KEYS})
            rows.append(row)
        return rows

    def zero_fee_rate(self, call: Call) -> Any:
        """Contracts whose rates are zero: none, until a program sets some."""
        free = [
            {"contractId": one.id, "ifHotTag": False}
            for one in self._contracts(call)
            if not one.taker_fee_rate and not one.maker_fee_rate
        ]
        return {"contracts": free, "hotRecs": []}

    def _dealt(self, call: Call, contract: Contract) -> Decimal:
        """Turnover of 30 days in the settle currency."""
        since = self.venue.clock_ms() - 30 * DAY_MS
        return sum(
            (
                contract.notional(deal.price, deal.vol)
                for deal in call.user.deals
                if deal.symbol == contract.symbol and deal.time_ms >= since
            ),
            ZERO,
        )

    def tiered_fee_rate(self, call: Call) -> Any:
        """One tier for everybody."""
        contract = self._contracts(call)[0]
        return {
            "level": 1,
            "dealAmount": self._dealt(call, contract),
            "walletBalance": call.user.cash.get(contract.settle, ZERO),
            "makerFee": contract.maker_fee_rate,
            "takerFee": contract.taker_fee_rate,
            "makerFeeDiscount": 1,
            "takerFeeDiscount": 1,
        }

    def tiered_fee_rate_v2(self, call: Call) -> Any:
        """The same in the newer form."""
        contract = self._contracts(call)[0]
        whole = contract.describe()
        rates = {"makerFee": contract.maker_fee_rate, "takerFee": contract.taker_fee_rate}
        tier = {
            "takerFeeRate": rates["takerFee"],
            "makerFeeRate": rates["makerFee"],
            "minTieredDealAmount": 0,
            "realTakerFee": rates["takerFee"],
            "realMakerFee": rates["makerFee"],
        }
        return {
            "symbol": contract.symbol,
            "joinDiscount": False,
            "enjoyDiscount": False,
            "discountRate": 1,
            "joinDeduct": False,
            "enjoyDeduct": False,
            "deductRate": 1,
            "originalMakerFee": rates["makerFee"],
            "originalTakerFee": rates["takerFee"],
            "realMakerFee": rates["makerFee"],
            "realTakerFee": rates["takerFee"],
            "dealAmount": self._dealt(call, contract),
            "walletBalance": call.user.cash.get(contract.settle, ZERO),
            "inviterKyc": "",
            "level": 1,
            "feeType": 1,
            "agentFee": False,
            "feeRateMode": "NORMAL",
            "leverageFeeRates": [],
            **{key: whole[key] for key in TIER_KEYS},
            "tieredFeeRates": [tier],
        }

    def discount_type(self, call: Call) -> Any:
        """No discounts are used here."""
        return {"useFeeDiscount": False, "useFeeDeduct": False}

    def fee_deduct_configs(self, call: Call) -> Any:
        """What could be deducted with MX, per settle currency."""
        settles = dict.fromkeys(one.contract.settle for one in self.venue.markets.values())
        return [
            {"deductCoin": "MX", "settleCoin": one, "discountRatio": Decimal("0.8")}
            for one in settles
        ]

    def fee_discount_config(self, call: Call) -> Any:
        """Answers with code 200 and a message, as documented."""
        row = {
            "id": 1,
            "currency": "MX",
            "state": "ENABLED",
            "discountConfig": DISCOUNT_CONFIG,
            "ineffectiveDiscountConfig": "",
            "operator": "",
            "blackContractIdSet": [],
            "createTime": 1_699_775_818_000,
            "updateTime": 1_699_775_818_000,
            "enabled": True,
        }
        return Reply([row], code=200, message="success")

    def fee_total(self, call: Call) -> Any:
        """Fees of 30 days."""
        since = self.venue.clock_ms() - 30 * DAY_MS
        fees = (one.fee for one in call.user.deals if one.time_ms >= since)
        return {"totalFee": sum(fees, ZERO), "saveFee": 0}

    def fee_details(self, call: Call) -> Any:
        """Fees of fills."""
        params = call.params
        symbol = self.venue.market(params.need_text("symbol")).symbol
        ids = integers(params.text("ids") or "", "ids")
        if len(ids) > 20:
            raise Refused(2034)
        start, end = times(params, self.venue.clock_ms())
        as_int = self.variations.ids == "int"
        rows = [
            {
                "id": wire.shown_id(deal.id, as_int),
                "orderId": wire.shown_id(deal.order_id, as_int),
                "feeCurrency": deal.currency,
                "fee": deal.fee,
                "deductType": 0,
                "timestamp": deal.time_ms,
            }
            for deal in reversed(call.user.deals)
            if deal.symbol == symbol
            and start <= deal.time_ms <= end
            and (not ids or deal.id in ids)
        ]
        return page(rows, params, 1000)

    def change_risk_level(self, call: Call) -> Any:
        """Always 8817 (14)."""
        raise Refused(8817)

    def risk_limit(self, call: Call) -> Any:
        """Tiers by symbol."""
        return {
            contract.symbol: [
                {**row, "symbol": contract.symbol} for row in self.tier_rows(call, contract)
            ]
            for contract in self._contracts(call)
        }

    def leverage(self, call: Call) -> Any:
        """Leverage by direction and margin mode."""
        return self.tier_rows(call, self.venue.market(call.params.need_text("symbol")).contract)

    def tier_rows(self, call: Call, contract: Contract) -> list[dict[str, Any]]:
        """A row per direction and margin mode; only the position's mode while there is one."""
        rows = []
        for kind in (LONG, SHORT):
            position = call.user.positions.get((contract.symbol, kind))
            for open_type in (ISOLATED, CROSS):
                if position is None or position.open_type == open_type:
                    rows.append(
                        self.venue.liquidation.tier_row(call.user, contract, kind, open_type)
                    )
        return rows

    # Statistics

    def profit_rate(self, call: Call) -> Any:
        """Rank and profit rate of the day (1) or the week (2)."""
        kind = call.params.need_integer("type")
        if kind not in (1, 2):
            raise Refused(600, "type: 1 or 2")
        place, profit_rate = ranking(self.venue, call.user, 1 if kind == 1 else 7)
        now = self.venue.clock_ms()
        return {"ranking": place, "profitRate": profit_rate, "statisticTime": day_of(now)}

    def _statistics(self, call: Call) -> tuple[Statistics, bool]:
        params = call.params
        reverse = params.integer("reverse") or 0
        if reverse not in (0, 1, 2, 3):
            raise Refused(600, "reverse: 0 to 3")
        found = statistics(
            self.venue, call.user, reverse=reverse, symbol=params.text("symbol")
        )
        return found, bool(params.integer("includeUnrealisedPnl"))

    def _span(self, call: Call) -> tuple[int, int]:
        start = call.params.need_integer("startTime", "start_time")
        end = call.params.need_integer("endTime", "end_time")
        if start > end:
            raise Refused(6003)
        return start, end

    def analysis(self, call: Call) -> Any:
        """1 this week, 2 this month, 3 all, 4 custom; of one currency."""
        params = call.params
        kind, currency = params.need_integer("type"), params.need_text("currency")
        now = self.venue.clock_ms()
        if kind == 4:
            start, end = self._span(call)
        elif kind in (1, 2, 3):
            week = day_of(now) - (day_of(now) // DAY_MS + 3) % 7 * DAY_MS  # day 0 was a Thursday
            start, end = {1: week, 2: month_of(now), 3: 0}[kind], now
        else:
            raise Refused(600, "type: 1 to 4")
        found = statistics(self.venue, call.user, currency=currency)
        history = found.history(start, end)
        today = found.today(unrealised=True)
        return {
            "historyDailyData": history,
            "todayPnl": today["todayPnl"],
            "todayPnlRate": today["todayPnlRate"],
            "totalPnl": sum(history["dailyPnlList"], ZERO),
            "totalEquity": found.base(0) + found.unrealised,
            "winRate": round(Decimal(found.wins) / found.closes, 4) if found.closes else 0,
        }

    def export(self, call: Call) -> Any:
        """The days of an account as a workbook or a PDF; UTC days, whatever timezone-login says."""
        params = call.params
        kind = params.integer("fileType") or EXCEL
        if kind not in CONTENT_TYPES:
            raise Refused(600, "fileType: 1 or 2")
        start = params.integer("startTime", "start_time") or 0
        end = params.integer("endTime", "end_time") or self.venue.clock_ms()
        if start > end:
            raise Refused(6003)
        found, _ = self._statistics(call)
        rows: list[Row] = [("Date (UTC)", "Profit, USDT", "Transferred", "Equity at the end")]
        for time_ms, day, money in found.between(start, end):
            date = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d")
            rows.append((date, day.profit, day.transferred, money))
        return File((workbook if kind == EXCEL else pages)(rows), CONTENT_TYPES[kind])

    def yesterday_pnl(self, call: Call) -> Any:
        """A bare number."""
        found = statistics(self.venue, call.user)
        return found.profit(2) - found.profit(1)

    def today_pnl(self, call: Call) -> Any:
        """Today so far."""
        found, unrealised = self._statistics(call)
        return found.today(unrealised=unrealised)

    def analysis_v3(self, call: Call) -> Any:
        """The newer page."""
        start, end = self._span(call)
        found, unrealised = self._statistics(call)
        history = found.history(start, end)
        profit, profit_rate = found.recent(7)
        month, month_rate = found.recent(30)
        return {
            "historyDailyData": history,
            **found.today(unrealised=unrealised),
            "totalPnl": sum(history["dailyPnlList"], ZERO),
            "totalEquity": found.base(0) + found.unrealised,
            "recentPnl": profit,
            "recentPnlRate": profit_rate,
            "recentPnl30": month,
            "recentPnlRate30": month_rate,
            "accurate": True,
            "timestamp": self.venue.clock_ms(),
        }

    def calendar_daily(self, call: Call) -> Any:
        """Profit by day."""
        start, end = self._span(call)
        found, _ = self._statistics(call)
        history = found.history(start, end)
        return {
            "dailyTimeList": history["timeList"],
            "dailyPnlList": history["dailyPnlList"],
            "todayPnlFinished": True,
        }

    def calendar_monthly(self, call: Call) -> Any:
        """Profit by month."""
        found, _ = self._statistics(call)
        months = found.months()
        return {
            "monthlyTimeList": list(months),
            "monthlyPnlList": list(months.values()),
            "todayPnlFinished": True,
        }

    def recent(self, call: Call) -> Any:
        """Profit of the last 60 to 360 days."""
        found, _ = self._statistics(call)
        view: dict[str, Any] = {"todayPnlFinished": True}
        for days in RECENT_DAYS:
            view[f"recentPnl{days}"], view[f"recentPnlRate{days}"] = found.recent(days)
        return view
