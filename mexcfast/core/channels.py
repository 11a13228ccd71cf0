"""THE table of channels: which fields each carries, what we call them, what they hold.

core/frame checks every frame against it, core/events gives each row a typed class, and
events.pyi is written from it. Source: protocol.md 6 to 9 and 12.

A field reads `venue_name`, `venue_name:kind` or `venue_name:kind:our_name`. Kinds:
  dec   a decimal number, as a JSON number or a numeric string; float for reading, its text is kept.
        At most 64 characters: averages come with 38 digits (protocol.md 2)
  int   an integer, as a JSON number or a string; ids beyond 2**53 included
  str   text; numbers are taken by their text
  bool  true or false
  any   anything, decoded when read
Any field may be null or absent: it then reads None. Fields not listed are skipped by checks
and kept for `to_dict`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

KINDS = ("dec", "int", "str", "bool", "any")


class Field(NamedTuple):
    """One member of a channel's data."""

    venue_name: str
    kind: str
    name: str


class Channel(NamedTuple):
    """One channel: its name on the wire, its event class and its data's members."""

    name: str
    event: str
    record: str  # class of one element when data is a list, else ""
    fields: tuple[Field, ...]


# The venue's words and ours, the same as in types.py (style.md 3). Units stand in the name: ms on
# the venue's clock.
OUR_NAMES = {
    "vol": "quantity",
    "dealVol": "filled_quantity",
    "remainVol": "remaining_quantity",
    "holdVol": "quantity",
    "frozenVol": "frozen_quantity",
    "closeVol": "closed_quantity",
    "externalOid": "client_order_id",
    "createTime": "ts_created_ms",
    "updateTime": "ts_updated_ms",
    "timestamp": "ts_event_ms",
    "cts": "ts_engine_ms",
    "ct": "ts_engine_ms",
    "dealAvgPrice": "average_price",
    "holdAvgPrice": "hold_average_price",
    "openAvgPrice": "open_average_price",
    "closeAvgPrice": "close_average_price",
    "liquidatePrice": "liquidation_price",
    "im": "initial_margin",
    "oim": "original_initial_margin",
    "holdFee": "funding",
    "closeProfitLoss": "close_profit",
    "autoAddIm": "auto_add_margin",
    "orderType": "type",
    "availableBalance": "available",
    "frozenBalance": "frozen",
    "cashBalance": "cash",
    "unrealized": "unrealised",
    "isSelf": "is_self_trade",
    "riseFallRate": "change_rate",
    "riseFallValue": "change_value",
    "bid1": "best_bid",
    "ask1": "best_ask",
    "unRealizedPnl": "unrealized_pnl",
}


def snake(venue_name: str) -> str:
    """riseFallRatesOfTimezone -> rise_fall_rates_of_timezone, high24Price -> high24_price."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", venue_name).lower()


def _fields(text: str) -> tuple[Field, ...]:
    out = []
    for word in text.split():
        venue_name, kind, name = (word + "::").split(":")[:3]
        kind = kind or "dec"
        if kind not in KINDS:
            raise ValueError(f"kind of {word!r} is {kind!r}; allowed: {', '.join(KINDS)}")
        out.append(Field(venue_name, kind, name or OUR_NAMES.get(venue_name) or snake(venue_name)))
    return tuple(out)


def _channel(name: str, event: str, fields: str, record: str = "") -> Channel:
    return Channel(name, event, record, _fields(fields))


_TICKER = """
symbol:str contractId:int timestamp:int lastPrice volume24 amount24 riseFallRate fairPrice
indexPrice maxBidPrice minAskPrice lower24Price high24Price bid1 ask1 holdVol::open_interest
fundingRate riseFallValue zone:str riseFallRates:any riseFallRatesOfTimezone:any
"""
_LEVELS = "version:int begin:int end:int cts:int"
_ORDER = """
orderId:int symbol:str positionId:int price priceStr:dec:price_exact vol leverage:int side:int
category:int orderType:int dealAvgPrice dealAvgPriceStr:dec:average_price_exact dealVol remainVol
orderMargin usedMargin takerFee makerFee takerFeeRate makerFeeRate profit feeCurrency:str
openType:int state:int errorCode:int externalOid:str createTime:int updateTime:int
positionMode:int reduceOnly:bool version:int bboTypeNum:int stopLossPrice takeProfitPrice
lossTrend:int profitTrend:int priceProtect:int showCancelReason:int showProfitRateShare:int
pnlRate openAvgPrice totalFee zeroSaveTotalFeeBinance zeroTradeTotalFeeBinance bizSource:int
positionType:str sideType:str
"""
_FILL = """
id:int:fill_id symbol:str side:int vol price fee feeCurrency:str profit category:int
orderId:int timestamp:int isTaker:bool:is_taker taker:bool:is_taker positionMode:int
externalOid:str isSelf:bool reduceOnly:bool opponentUid:int opponentOrderId:int
"""
_POSITION = """
positionId:int symbol:str positionType:int:type openType:int state:int holdVol frozenVol closeVol
holdAvgPrice openAvgPrice closeAvgPrice holdAvgPriceFullyScale:dec:hold_average_price_exact
openAvgPriceFullyScale:dec:open_average_price_exact newOpenAvgPrice newCloseAvgPrice liquidatePrice
oim im holdFee realised closeProfitLoss fee totalFee leverage:int marginRatio adlLevel:int
autoAddIm:bool pnl unRealizedPnl profitRatio positionShowStatus:str deductFeeList:any makerFeeRate
takerFeeRate zeroSaveTotalFeeBinance zeroTradeTotalFeeBinance createTime:int updateTime:int
version:int
"""
_PLAN = """
id:int:plan_id symbol:str leverage:int side:int triggerPrice price vol openType:int
triggerType:int state:int executeCycle:int trend:int errorCode:int orderId:int orderType:int
marketOrderLevel:int priceProtect:int positionMode:int lossTrend:int profitTrend:int
stopLossPrice takeProfitPrice reduceOnly:bool ensureStopLoss:int extraTakerFeeRate
createTime:int updateTime:int currency:str deductFee convertSettleFee
"""
_STOP_PLAN = """
id:int:plan_id orderId:int symbol:str positionId:int lossTrend:int profitTrend:int stopLossPrice
takeProfitPrice state:int triggerSide:int positionType:int vol takeProfitVol stopLossVol
realityVol::placed_quantity placeOrderId:int errorCode:int version:int isFinished:int
priceProtect:int profitLossVolType:str volType:int takeProfitReverse:int stopLossReverse:int
closeTryTimes:int reverseTryTimes:int reverseErrorCode:int takeProfitType:int
takeProfitOrderPrice stopLossType:int stopLossOrderPrice ensureStopLoss:int createTime:int
updateTime:int
"""
_TRACK = """
id:int:track_id symbol:str leverage:int side:int vol openType:int trend:int activePrice
markPrice::extreme_price backType:int backValue triggerPrice triggerType:int orderId:int
errorCode:int state:int positionMode:int reduceOnly:bool createTime:int updateTime:int
"""
_CONTRACT = """
symbol:str displayName:str displayNameEn:str id:int:contract_id positionOpenType:int baseCoin:str
quoteCoin:str settleCoin:str baseCoinName:str quoteCoinName:str futureType:int type:int state:int
contractSize minLeverage:int maxLeverage:int countryConfigContractMaxLeverage:int priceScale:int
volScale:int amountScale:int priceUnit::tick_size volUnit::lot_size minVol::min_quantity
maxVol::max_quantity limitMaxVol::max_limit_quantity bidLimitPriceRate askLimitPriceRate
takerFeeRate makerFeeRate maintenanceMarginRate initialMarginRate riskBaseVol riskIncrVol
riskIncrMmr riskIncrImr riskLevelLimit:int riskLimitType:str riskLimitMode:str riskLimitCustom:any
priceCoefficientVariation indexOrigin:any isNew:bool isHot:bool isHidden:bool apiAllowed:bool
conceptPlate:any conceptPlateId:any maxNumOrders:any marketOrderMaxLevel:int
marketOrderPriceLimitRate1 marketOrderPriceLimitRate2 triggerProtect depthStepList:any
liquidationFeeRate feeRateMode:str leverageFeeRates:any tieredFeeRates:any createTime:int
openingTime:int openingCountdownOption:int riskLongShortSwitch:int
"""

CHANNELS: tuple[Channel, ...] = (
    # Tags 0 to 8 have names of their own in core/frame.pxd; the order is checked there.
    _channel("", "Unknown", ""),
    _channel("push.depth", "Depth", _LEVELS),
    _channel("push.depth.full", "DepthFull", _LEVELS),
    _channel("push.depth.step", "DepthStep",
             "version:int askMarketLevelPrice bidMarketLevelPrice ct:int"),
    _channel("pong", "Pong", ""),
    _channel("rs.error", "RequestError", "code:int msg:str"),
    _channel("rs.", "Acknowledgement", "code:int msg:str"),
    _channel("push.deal", "Deals", """
        p:dec:price v:dec:quantity T:int:side O:int:open_flag M:int:self_trade
        t:int:ts_venue_ms i:int:trade_id cts:int""", "Deal"),
    _channel("push.tickers", "Tickers", _TICKER, "TickerRow"),
    _channel("push.ticker", "Ticker", _TICKER),
    _channel("push.kline", "Kline", """
        symbol:str interval:str t:int:ts_open_s o::open c::close h::high l::low a::amount
        q::quantity
        ro::real_open rc::real_close rh::real_high rl::real_low v::total_quantity"""),
    _channel("push.funding.rate", "FundingRate",
             "symbol:str rate::rate fundingRate::rate nextSettleTime:int:ts_settle_ms"),
    _channel("push.index.price", "IndexPrice", "symbol:str price"),
    _channel("push.fair.price", "FairPrice", "symbol:str price"),
    _channel("push.contract", "ContractUpdate", _CONTRACT),
    _channel("push.event.contract", "EventContract", """
        contractId:int symbol:str baseCoin:str quoteCoin:str settleCoin:str baseCoinName:str
        quoteCoinName:str baseCoinIconUrl:str investMinAmount investMaxAmount amountScale:int
        payRateScale:int indexPriceScale:int availableScale:int"""),
    _channel("push.personal.order", "OrderUpdate", _ORDER),
    _channel("push.personal.order.deal", "FillUpdate", _FILL),
    _channel("push.personal.position", "PositionUpdate", _POSITION),
    _channel("push.personal.asset", "AssetUpdate", """
        currency:str availableBalance frozenBalance positionMargin bonus cashBalance equity
        unrealized"""),
    _channel("push.personal.plan.order", "PlanOrderUpdate", _PLAN),
    _channel("push.personal.stop.order", "StopOrderUpdate", """
        symbol:str orderId:int lossTrend:int profitTrend:int stopLossPrice takeProfitPrice"""),
    _channel("push.personal.stop.planorder", "StopPlanOrderUpdate", _STOP_PLAN),
    _channel("push.personal.track.order", "TrackOrderUpdate", _TRACK),
    _channel("push.personal.risk.limit", "RiskLimitUpdate", """
        symbol:str positionType:int riskSource:int level:int maxVol::max_quantity maxLeverage:int
        mmr imr leverage:int openType:int limitBySys:bool maxVolView::max_quantity_view"""),
    _channel("push.personal.adl.level", "AdlLevelUpdate", "adlLevel:int positionId:int"),
    _channel("push.personal.liquidate.risk", "LiquidateRisk",
             "symbol:str positionId:int liquidatePrice marginRatio adlLevel:int"),
    _channel("push.personal.position.mode", "PositionModeUpdate", "positionMode:int"),
    _channel("push.personal.leverage.mode", "LeverageModeUpdate", "lm:int:leverage_mode"),
    _channel("push.personal.reverse.position", "ReversePosition",
             "contractId:int positionId:int state:int errorCode:int"),
    _channel("push.personal.generic.notify", "GenericNotify", "type:int param:any"),
    _channel("push.personal.order.chase", "OrderChaseFailed",
             "ec:int:error_code s:str:chased_symbol"),
    _channel("push.personal.position.closeall.fail", "CloseAllFailed", ""),
    _channel("push.personal.bonus", "BonusUpdate", """
        c:str:currency b::bonus be:int:ts_expiry_ms g:bool:granted ret:int:ts_nearest_expiry_ms
        rea::expiring"""),
    _channel("push.personal.event.contract.position", "EventContractPosition", """
        positionId:int symbol:str side:str payRate amount openPrice closePrice rewardAmount
        rewardAmountUsdt state:str closeResult:str createTime:int closeTime:int:ts_closed_ms
        pnlAmount"""),
)
