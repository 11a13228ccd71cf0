"""Rows of account statements and small market facts (protocol.md 13 to 16).

Money in the currency named beside it, exact Decimals; times in ms of the venue's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mexcfast.types import OpenType, PositionType


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money moved between the futures account and another one."""

    transfer_id: int
    transaction_id: str
    currency: str
    amount: Decimal
    direction: str              # IN or OUT
    state: str                  # WAIT, SUCCESS, FAILED
    ts_created_ms: int
    ts_updated_ms: int


@dataclass(frozen=True, slots=True)
class FundingRecord:
    """Funding of one position at one settlement."""

    record_id: int
    symbol: str
    position_type: PositionType
    position_value: Decimal
    funding: Decimal            # positive received
    rate: Decimal
    ts_settle_ms: int


@dataclass(frozen=True, slots=True)
class LeverageTier:
    """What is allowed in one direction and margin mode of one contract, and what is set."""

    symbol: str | None
    position_type: PositionType
    open_type: OpenType | None
    level: int
    max_quantity: Decimal       # contracts
    leverage: int               # set now
    max_leverage: int | None
    maintenance_margin_rate: Decimal
    initial_margin_rate: Decimal
    is_limited_by_system: bool | None


@dataclass(frozen=True, slots=True)
class FeeDetail:
    """The fee of one fill, and what it was paid with."""

    record_id: int
    order_id: int
    fee_currency: str
    fee: Decimal                # positive paid
    deduct_type: int            # 0 none, 1 MX, 2 trial fund
    deduct_currency: str | None
    deduct_fee: Decimal | None
    ts_event_ms: int


@dataclass(frozen=True, slots=True)
class InsuranceFund:
    """What covers bankrupt positions of a contract."""

    symbol: str
    currency: str
    available: Decimal
    ts_venue_ms: int


@dataclass(frozen=True, slots=True)
class SelfTradeGroup:
    """Accounts that must not trade with each other (16.7)."""

    name: str
    user_ids: tuple[str, ...]
    ts_created_ms: int
    ts_updated_ms: int
