"""What MEXC's contracts demand, as plain arithmetic: risk tiers, liquidation, stops, proof.

Needs neither freqtrade nor ccxt. Numbers are floats because freqtrade's are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mexcfast.errors import CODES, NotFound, VenueFault

Row = dict[str, Any]

#: The venue refuses a signed request whose time is older than this: what is not there by then
#: never comes (protocol.md 3.4: 10 s; the rest is for clocks that differ).
REQUEST_LIFE_S = 15.0
GIVE_UP_S = 60.0             # of asking without an answer
PAUSE_S = 1.0                # between two looks: 20 in 2 s are allowed
PAGE = 100                   # rows of a page, the most that every paged endpoint gives
SPAN_MS = 89 * 86_400_000    # histories answer for at most 90 days
AHEAD_MS = 60_000            # an end a little ahead: our clock may be behind the venue's

# protocol.md 11.1, 11.2, 11.5
ENTRY_SIDES = {"buy": 1, "sell": 3}
EXIT_SIDES = {"buy": 2, "sell": 4}
RISES_TO, FALLS_TO = 1, 2
MARKET = 5                   # ccxt sends 6, of which what is not filled at once rests
SEVEN_DAYS = 2

_CODE = re.compile(r'"code"\s*:\s*"?(-?\d+)')


def code_of(text: str) -> int | None:
    """The venue's error code in a message of ccxt, which quotes the answer; None without one."""
    found = _CODE.search(text)
    return None if found is None else int(found.group(1))


def is_refusal(text: str) -> bool:
    """Whether ccxt's message proves that a write was not executed: the venue said why.

    A timeout, a lost connection, a firewall's page, an unreadable answer and the codes of the
    venue's own faults prove nothing. 603 and 2042 speak of the same order seen before.
    """
    code = code_of(text)
    return (code not in (None, 0, 200, 603, 2042)
            and CODES.get(code) is not VenueFault)


def is_gone(text: str) -> bool:
    """Whether a cancel was refused because there is nothing left to cancel."""
    code = code_of(text)
    return code == 2041 or (code is not None and CODES.get(code) is NotFound)


def tiers(contract: Mapping[str, Any], price: float) -> list[Row]:
    """ccxt's leverage tiers of a linear contract, with bounds in the quote currency.

    contract: an element of contract/detail (protocol.md 12.7). ccxt's own tiers give contracts as
    notional, do not know riskLimitMode CUSTOM and have no rates when one tier is all there is.
    price: turns contracts into notional; tiers BY_VALUE are notional already.
    """
    size = float(contract["contractSize"]) * price
    unit = 1.0 if contract.get("riskLimitType") == "BY_VALUE" else size
    rows: list[tuple[float, float, float]] = []           # (contracts, maintenance, leverage)
    highest = float(contract["maxLeverage"])
    if contract.get("riskLimitMode") == "CUSTOM" and contract.get("riskLimitCustom"):
        rows = [(float(row["maxVol"]), float(row["mmr"]), float(row["maxLeverage"]))
                for row in contract["riskLimitCustom"]]
    else:
        base = float(contract.get("riskBaseVol") or contract["maxVol"])
        step = float(contract.get("riskIncrVol") or 0)
        count = max(1, int(contract.get("riskLevelLimit") or 1)) if step else 1
        for level in range(count):
            initial = (float(contract["initialMarginRate"])
                       + level * float(contract.get("riskIncrImr") or 0))
            rows.append((base + level * step,
                         float(contract["maintenanceMarginRate"])
                         + level * float(contract.get("riskIncrMmr") or 0),
                         # 1e-9: 1 / 0.005 must not become 199
                         min(highest, max(1.0, float(int(1 / initial + 1e-9))))))
    found: list[Row] = []
    floor = 0.0
    for contracts, maintenance, leverage in sorted(rows):
        cap = contracts * unit
        found.append({"minNotional": floor, "maxNotional": cap, "maxLeverage": leverage,
                      "maintenanceMarginRate": maintenance, "info": {}})
        floor = cap
    return found


def liquidation_price(open_rate: float, amount: float, margin: float, rate: float, *,
                      is_short: bool) -> float:
    """Where an isolated position of a linear contract is liquidated.

    amount: coins. margin: in the quote currency. rate: maintenance margin and taker fee, of the
    value at entry. With both in it the price comes a little earlier than the venue's.
    Source: the position in protocol.md 12.3, 109777.5 at 2x: 55020.5 is a rate of 0.0012.
    """
    room = margin / amount - open_rate * rate
    return open_rate + room if is_short else max(0.0, open_rate - room)


def stop_terms(side: str) -> Row:
    """What a plan order needs besides its price: a sell waits for a fall, a buy for a rise."""
    return {"triggerType": FALLS_TO if side == "sell" else RISES_TO,
            "executeCycle": SEVEN_DAYS, "trend": 1}


def funding_in(rows: list[Row], since_ms: int) -> float:
    """What was received (positive) or paid since then, of ccxt's funding history."""
    return float(sum(row["amount"] for row in rows if row["timestamp"] >= since_ms))
