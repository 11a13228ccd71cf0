"""Tiers, liquidation, stops and proof as plain arithmetic; and what is said without freqtrade."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from mexcfast.adapters.freqtrade import rules
from mexcfast.sim.contracts import contract as contract_named

TIERED = {
    "contractSize": 0.0001, "maxVol": 900_000, "maxLeverage": 200, "riskLimitType": "BY_VOLUME",
    "riskLimitMode": "INCREASE", "riskBaseVol": 100_000, "riskIncrVol": 50_000,
    "riskLevelLimit": 3, "initialMarginRate": 0.005, "maintenanceMarginRate": 0.004,
    "riskIncrImr": 0.005, "riskIncrMmr": 0.002, "riskLimitCustom": []}


def rows(contract: dict[str, Any], price: float) -> list[tuple[float, float, float, float]]:
    return [(one["minNotional"], one["maxNotional"], one["maxLeverage"],
             pytest.approx(one["maintenanceMarginRate"])) for one in rules.tiers(contract, price)]


def test_the_formula_of_tiers() -> None:
    """Level n: base + (n - 1) x step contracts, of 0.0001 coins, at 50 000: 5 USDT each."""
    assert rows(TIERED, 50_000) == [
        (0, 500_000, 200, 0.004), (500_000, 750_000, 100, 0.006), (750_000, 1_000_000, 66, 0.008)]


def test_a_table_of_tiers() -> None:
    table = [{"level": 2, "maxVol": 300, "mmr": 0.02, "imr": 0.04, "maxLeverage": 25},
             {"level": 1, "maxVol": 100, "mmr": 0.01, "imr": 0.02, "maxLeverage": 50}]
    custom = TIERED | {"riskLimitMode": "CUSTOM", "riskLimitCustom": table}
    assert rows(custom, 10_000) == [(0, 100, 50, 0.01), (100, 300, 25, 0.02)]


def test_one_tier() -> None:
    """Where ccxt's own tiers have no bounds and no rates."""
    assert rows(TIERED | {"riskIncrVol": 0, "riskBaseVol": 0}, 10_000) == [
        (0, 900_000, 200, 0.004)]


def test_tiers_by_value_do_not_move_with_the_price() -> None:
    by_value = TIERED | {"riskLimitType": "BY_VALUE"}
    assert rows(by_value, 50_000) == rows(by_value, 10_000)
    assert rows(by_value, 1)[0][1] == 100_000


def test_no_tier_allows_more_than_the_contract() -> None:
    assert rows(TIERED | {"maxLeverage": 125}, 1)[0][2] == 125


@pytest.mark.parametrize("symbol", ["BTC_USDT", "ETH_USDT", "SOL_USDT"])
def test_tiers_are_those_of_the_embedded_exchange(symbol: str) -> None:
    contract = contract_named(symbol)
    shown = {name: float(value) if isinstance(value, Decimal) else value
             for name, value in contract.describe().items()}
    size = float(contract.contract_size) * 84_000
    assert rows(shown, 84_000) == [
        (pytest.approx(low), pytest.approx(tier.max_vol * size), tier.max_leverage,
         pytest.approx(float(tier.mmr)))
        for tier, low in zip(contract.tiers, [0.0, *(one.max_vol * size for one in contract.tiers)],
                             strict=False)]


def test_the_liquidation_of_the_documents_position() -> None:
    """protocol.md 12.3 and 15: 5 contracts of 0.0001 at 109777.5, 2x, margin 27.444375."""
    price = rules.liquidation_price(109_777.5, 0.0005, 27.444375 * 3, 0.0012, is_short=False)
    assert price == 0                                   # 1.5 times its value: never
    price = rules.liquidation_price(109_777.5, 0.0005, 27.444375, 0.0012, is_short=False)
    assert round(price, 1) == 55_020.5
    price = rules.liquidation_price(109_777.5, 0.0005, 27.444375, 0.0012, is_short=True)
    assert round(price, 1) == 164_534.5


def test_a_stop_waits_on_the_losing_side() -> None:
    assert rules.stop_terms("sell")["triggerType"] == 2           # <=
    assert rules.stop_terms("buy")["triggerType"] == 1            # >=
    assert rules.stop_terms("buy")["executeCycle"] == 2           # seven days, the longest


@pytest.mark.parametrize(("text", "proves"), [
    ('mexc {"success":false,"code":2005,"message":"Balance insufficient"}', True),
    ('mexc {"success":false,"code":510,"message":"too frequent"}', True),
    ('mexc {"success":false,"code": 1002}', True),
    ('mexc {"success":false,"code":31337}', True),
    ('mexc {"success":false,"code":500,"message":"Internal error"}', False),
    ('mexc {"success":false,"code":501}', False),
    ('mexc {"success":false,"code":603,"message":"repeated"}', False),
    ('mexc {"success":false,"code":2042,"message":"duplicate externalOid"}', False),
    ('mexc {"success":true,"code":0}', False),
    ("mexc POST https://contract.mexc.com/api/v1/private/order/create", False),
    ("mexc POST ... 504 Gateway Time-out <html>", False),
    ("None", False),
])
def test_only_a_reason_is_a_refusal(text: str, proves: bool) -> None:
    assert rules.is_refusal(text) is proves


@pytest.mark.parametrize(("code", "gone"), [(2040, True), (2041, True), (5002, True),
                                            (510, False), (2009, False)])
def test_what_cannot_be_cancelled_any_more(code: int, gone: bool) -> None:
    assert rules.is_gone(f'mexc {{"success":false,"code":{code}}}') is gone
    assert not rules.is_gone("timed out")


def test_funding_of_one_trade() -> None:
    history = [{"timestamp": 10, "amount": -1.5}, {"timestamp": 9, "amount": 100.0},
               {"timestamp": 12, "amount": 0.5}]
    assert rules.funding_in(history, 10) == -1.0
    assert rules.funding_in([], 10) == 0.0


def test_what_is_missing_is_named() -> None:
    code = ("import sys; sys.modules['freqtrade'] = None\n"
            "from mexcfast.adapters.freqtrade import main\nmain(['trade'])\n")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'mexcfast[freqtrade]'" in done.stderr
    assert "Traceback" not in done.stderr
