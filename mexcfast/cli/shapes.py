"""The shapes of the exchange's public answers as they were recorded, and what has drifted since.

A shape is text: `name:types`, with ? behind the name of a member that is not always there. Types:
s text, n number, b true or false, l list, o object; null counts as any. mexcfast reads some of the
members; the others are here so that a new one is noticed. Source: the payloads in tests/data, read
2026-10.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from mexcfast.cli.checkup import Finding, Patient, check
from mexcfast.core import topics
from mexcfast.errors import MexcfastError

SYMBOL = "BTC_USDT"
PATIENCE_S = 6.0        # for a frame of each channel

_CONTRACT = """symbol:s contractSize:n priceUnit:n volUnit:n priceScale:n volScale:n minVol:n
maxVol:n minLeverage:n maxLeverage:n baseCoin:s quoteCoin:s settleCoin:s state:n apiAllowed:b
makerFeeRate:n takerFeeRate:n maintenanceMarginRate:n initialMarginRate:n positionOpenType:n
bidLimitPriceRate:n askLimitPriceRate:n amountScale:n
displayName?:s displayNameEn?:s baseCoinName?:s quoteCoinName?:s futureType?:n
countryConfigContractMaxLeverage?:n riskBaseVol?:n riskIncrVol?:n riskLongShortSwitch?:n
riskIncrMmr?:n riskIncrImr?:n riskLevelLimit?:n priceCoefficientVariation?:n indexOrigin?:l
isNew?:b isHot?:b isHidden?:b conceptPlate?:l conceptPlateId?:l riskLimitType?:s maxNumOrders?:l
marketOrderMaxLevel?:n marketOrderPriceLimitRate1?:n marketOrderPriceLimitRate2?:n
triggerProtect?:n appraisal?:n showAppraisalCountdown?:n automaticDelivery?:n depthStepList?:l
limitMaxVol?:n threshold?:n baseCoinIconUrl?:s id?:n vid?:s baseCoinId?:s createTime?:n
openingTime?:n openingCountdownOption?:n showBeforeOpen?:b isMaxLeverage?:b isZeroFeeRate?:b
riskLimitMode?:s isZeroFeeSymbol?:b riskLimitCustom?:l liquidationFeeRate?:n feeRateMode?:s
leverageFeeRates?:l tieredFeeRates?:l tieredDealAmount?:n tieredEffectiveDay?:n
tieredAppointContract?:b tieredExcludeContractId?:b tieredContractIds?:l tieredExcludeZeroFee?:b
type?:n stopOnlyFair?:b statisticType?:s fixedStartTime?:n fixedEndTime?:n
riskBaseVolLong?:n riskIncrVolLong?:n riskBaseVolShort?:n riskIncrVolShort?:n feeRateType?:s
typeLabel?:n preMarket?:b fn?:s tagIdList?:l"""
_TICKER = """symbol:s lastPrice:n bid1:n ask1:n volume24:n amount24:n holdVol:n lower24Price:n
high24Price:n riseFallRate:n indexPrice:n fairPrice:n fundingRate:n timestamp:n contractId?:n
riseFallValue?:n maxBidPrice?:n minAskPrice?:n zone?:s riseFallRates?:lo
riseFallRatesOfTimezone?:l"""

#: REST endpoint -> path members, query, shape of an item of `data`
ANSWERS: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "contracts": ({}, {"symbol": SYMBOL}, _CONTRACT),
    "depth": ({"symbol": SYMBOL}, {}, "asks:l bids:l version:n timestamp:n"),
    "tickers": ({}, {"symbol": SYMBOL}, _TICKER),
    "funding_rate": ({"symbol": SYMBOL}, {}, """symbol:s fundingRate:n maxFundingRate:n
        minFundingRate:n collectCycle:n nextSettleTime:n timestamp:n idxPrice?:n fairPrice?:n"""),
    "deals": ({"symbol": SYMBOL}, {}, "p:n v:n T:n t:n O?:n M?:n i?:ns"),
    "index_price": ({"symbol": SYMBOL}, {}, "symbol:s indexPrice:n timestamp:n"),
    "fair_price": ({"symbol": SYMBOL}, {}, "symbol:s fairPrice:n timestamp:n"),
}
#: push channel -> shape of an item of `data`
PUSHES: dict[str, str] = {
    "push.depth": "asks:l bids:l version:n begin?:n end?:n cts?:n",
    "push.deal": "p:n v:n T:n t:n i?:ns O?:n M?:n cts?:sn",
    "push.ticker": _TICKER,
    "push.funding.rate": "symbol:s rate:n nextSettleTime:n",
}
_TOPICS = (topics.depth(SYMBOL), topics.deals(SYMBOL), topics.ticker(SYMBOL),
           topics.funding_rate(SYMBOL))


def letter(value: Any) -> str:
    """The type of a JSON value; "" for null."""
    if isinstance(value, bool):
        return "b"
    for kind, found in ((int | float, "n"), (str, "s"), (list, "l"), (dict, "o")):
        if isinstance(value, kind):
            return found
    return ""


def differences(shape: str, items: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """What broke (missing, of another type) and what is new, each named once."""
    members = [each.rpartition(":") for each in shape.split()]
    types = {name.removesuffix("?"): kinds for name, _, kinds in members}
    needed = [name for name, _, _ in members if not name.endswith("?")]
    broken: dict[str, None] = {}
    new: dict[str, None] = {}
    for item in items:
        for name in needed:
            if name not in item:
                broken[f"{name} is missing"] = None
        for name, value in item.items():
            found = letter(value)
            if name not in types:
                new[name] = None
            elif found and found not in types[name]:
                broken[f"{name} is {found!r} instead of {types[name]!r}"] = None
    return list(broken), list(new)


def items_of(message: Any) -> list[dict[str, Any]]:
    """The objects in `data` of an answer or a push."""
    data = message.get("data") if isinstance(message, dict) else None
    return [each for each in (data if isinstance(data, list) else [data])
            if isinstance(each, dict)]


@check("drift", needs="rest")
async def drift(patient: Patient) -> Finding:
    """Public answers and pushes against their recorded shapes."""
    broken: dict[str, list[str]] = {}
    new: dict[str, list[str]] = {}
    unseen: list[str] = []

    def compare(name: str, shape: str, message: Any) -> None:
        items = items_of(message)
        if not items:
            unseen.append(name)
            return
        wrong, more = differences(shape, items)
        if wrong:
            broken[name] = wrong
        if more:
            new[name] = more

    for name, (path, query, shape) in ANSWERS.items():
        try:
            compare(name, shape, json.loads(await patient.executor.fetch(name, path, query)))
        except MexcfastError as error:
            broken[name] = [f"{type(error).__name__}: {error}"]
        except ValueError as error:
            broken[name] = [f"no JSON: {error}"]
    pushes: dict[str, Any] = {}
    if patient.address("stream")[1] not in patient.unreachable:
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            await _collect(patient.endpoint.ws_url, pushes)
    for name, shape in PUSHES.items():
        compare(name, shape, pushes.get(name))
    data = {"broken": broken, "new": new, "unseen": unseen,
            "compared": len(ANSWERS) + len(PUSHES) - len(unseen)}
    texts = [f"{data['compared']} of {len(ANSWERS) + len(PUSHES)} shapes compared"]
    texts += [f"{name}: {', '.join(what)}" for name, what in broken.items()]
    texts += [f"{name} has new members: {', '.join(what)}" for name, what in new.items()]
    if unseen:
        texts.append(f"nothing came of {', '.join(unseen)}")
    text = "; ".join(texts)
    if broken:
        return Finding("failed", text, data, "The exchange answers differently from what mexcfast "
                       "was written for: do not trade before that is understood; report it.")
    if new:
        return Finding("ok", text, data, "New members are ignored; a newer mexcfast may use them.")
    return Finding("ok" if data["compared"] else "skipped", text, data)


async def _collect(ws_url: str, found: dict[str, Any]) -> None:
    """The first push of each channel that holds something, as long as patience lasts."""
    async with (asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session,
                session.ws_connect(ws_url, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)
                                   ) as socket):
        for topic in _TOPICS:
            await socket.send_str(topic.subscribe_frame().decode())
        while len(found) < len(PUSHES):
            answer = await socket.receive()
            if answer.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return
            with suppress(ValueError):
                message = json.loads(answer.data)
                if message.get("channel") in PUSHES and items_of(message):
                    found.setdefault(message["channel"], message)
