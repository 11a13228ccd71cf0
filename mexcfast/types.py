"""Enums and frozen results: what users read. The venue's spellings stop before this file.

Prices, quantities and money are Decimal, exactly as the venue wrote them. Quantities are numbers of
contracts: base quantity = quantity x Contract.contract_size. Times are the venue's wall clock in
milliseconds and say so in their names (ts_..._ms). Ids of the venue are int, beyond 2**53.
Source: protocol.md 11 and 12. How they are read from JSON: core/rest.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, unique
from typing import Any, Self, TypeAlias

from mexcfast.errors import MexcfastError, VenueError


class VenueEnum(IntEnum):
    """An IntEnum that keeps numbers it does not know, as a member named UNKNOWN_<n>."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        """False for a number the venue's documents do not list."""
        return self.name in type(self).__members__


@unique
class Side(VenueEnum):
    """11.1. Direction and effect in one number; one-way mode uses the same four."""

    OPEN_LONG = 1
    CLOSE_SHORT = 2
    OPEN_SHORT = 3
    CLOSE_LONG = 4

    @property
    def is_buy(self) -> bool:
        return self in (1, 2)

    @property
    def is_open(self) -> bool:
        return self in (1, 3)


@unique
class OrderType(VenueEnum):
    """11.2."""

    LIMIT = 1
    POST_ONLY = 2
    IOC = 3
    FOK = 4
    MARKET = 5
    MARKET_TO_LIMIT = 6


@unique
class OpenType(VenueEnum):
    """11.3. Margin of a position."""

    ISOLATED = 1
    CROSS = 2


@unique
class PositionMode(VenueEnum):
    """11.3. 0 marks orders older than the setting."""

    NOT_RECORDED = 0
    HEDGE = 1
    ONE_WAY = 2


@unique
class PositionType(VenueEnum):
    LONG = 1
    SHORT = 2


@unique
class PositionState(VenueEnum):
    HOLDING = 1
    TAKEN_OVER = 2
    CLOSED = 3


@unique
class MarginSupport(VenueEnum):
    """11.3 positionOpenType of a contract, the REST numbering."""

    ISOLATED_ONLY = 1
    CROSS_ONLY = 2
    BOTH = 3


@unique
class LeverageMode(VenueEnum):
    ADVANCED = 1
    SIMPLE = 2


@unique
class OrderState(VenueEnum):
    """11.4."""

    PENDING = 1
    OPEN = 2
    FILLED = 3
    CANCELLED = 4
    INVALID = 5

    @property
    def is_final(self) -> bool:
        return self in (3, 4, 5)


@unique
class OrderCategory(VenueEnum):
    """11.4."""

    ORDINARY = 1
    TAKE_OVER = 2
    TAKE_OVER_CLOSE = 3
    ADL = 4
    DELIVERY = 5
    LIQUIDATION_HEDGE = 6


@unique
class TriggerType(VenueEnum):
    """11.5."""

    AT_OR_ABOVE = 1
    AT_OR_BELOW = 2


@unique
class TriggerPrice(VenueEnum):
    """11.5 trend: which price is watched."""

    LAST = 1
    FAIR = 2
    INDEX = 3


@unique
class ConditionalState(VenueEnum):
    """11.5. Plan and TP/SL orders."""

    UNTRIGGERED = 1
    CANCELLED = 2
    EXECUTED = 3
    INVALID = 4
    FAILED = 5


@unique
class StopDetailState(VenueEnum):
    """11.5. stoporder/order_details counts differently."""

    UNTRIGGERED = 0
    EXECUTED = 3
    CANCELLED = 5
    FAILED = 6


@unique
class TrailingState(VenueEnum):
    """11.5. Trailing orders count differently again."""

    NOT_ACTIVATED = 0
    ACTIVATED = 1
    EXECUTED = 2
    FAILED = 3
    CANCELLED = 4


@unique
class ExecuteCycle(VenueEnum):
    """11.5, in requests."""

    ONE_DAY = 1
    SEVEN_DAYS = 2


@unique
class TriggerSide(VenueEnum):
    NOT_TRIGGERED = 0
    TAKE_PROFIT = 1
    STOP_LOSS = 2


@unique
class StopVolumeType(VenueEnum):
    PARTIAL = 1
    WHOLE_POSITION = 2


@unique
class BackType(VenueEnum):
    """11.5. How far a trailing order stays behind: 0.02 is 2 % or an absolute distance."""

    PERCENTAGE = 1
    ABSOLUTE = 2


@unique
class BestPrice(VenueEnum):
    """11.5 bboTypeNum: let the venue fill in the price."""

    NONE = 0
    OPPOSITE_1 = 1
    OPPOSITE_5 = 2
    SAME_SIDE_1 = 3
    SAME_SIDE_5 = 4


@unique
class SelfTrade(VenueEnum):
    """11.6 stpMode."""

    NONE = 0
    CANCEL_BOTH = 1
    CANCEL_MAKER = 2
    CANCEL_TAKER = 3


@unique
class TradeSide(VenueEnum):
    """11.7 deal T: the taker's direction."""

    BUY = 1
    SELL = 2


@unique
class ContractState(VenueEnum):
    """11.7."""

    ENABLED = 0
    IN_DELIVERY = 1
    DELIVERED = 2
    OFFLINE = 3
    PAUSED = 4


@unique
class FutureType(VenueEnum):
    PERPETUAL = 1
    DAILY = 2


@unique
class OrderErrorCode(VenueEnum):
    """11.10. Why an accepted order ended."""

    NORMAL = 0
    PARAM_INVALID = 1
    INSUFFICIENT_BALANCE = 2
    POSITION_NOT_EXISTS = 3
    POSITION_NOT_ENOUGH = 4
    POSITION_LIQ = 5
    ORDER_LIQ = 6
    RISK_LEVEL_LIMIT = 7
    SYS_CANCEL = 8
    POSITION_MODE_NOT_MATCH = 9
    REDUCE_ONLY_LIQ = 10
    CONTRACT_NOT_ENABLE = 11
    DELIVERY_CANCEL = 12
    POSITION_LIQ_CANCEL = 13
    ADL_CANCEL = 14
    BLACK_USER_CANCEL = 15
    SETTLE_FUNDING_CANCEL = 16
    POSITION_IM_CHANGE_CANCEL = 17
    IOC_CANCEL = 18
    FOK_CANCEL = 19
    POST_ONLY_CANCEL = 20
    MARKET_CANCEL = 21
    OID_DUPLICATE = 22
    CID_DUPLICATE = 23
    OTHER = 999


@dataclass(frozen=True, slots=True)
class Contract:
    """12.7. One instrument and its limits. Quantities in contracts."""

    symbol: str
    contract_id: int | None
    display_name: str
    base_coin: str
    quote_coin: str
    settle_coin: str
    contract_size: Decimal      # base per contract; quote per contract when inverse
    tick_size: Decimal
    lot_size: Decimal
    price_scale: int            # decimals
    quantity_scale: int
    amount_scale: int
    min_quantity: Decimal
    max_quantity: Decimal
    max_limit_quantity: Decimal | None   # limit orders; None: as max_quantity
    min_leverage: int
    max_leverage: int
    margin_support: MarginSupport
    bid_limit_rate: Decimal     # highest bid = index x (1 + rate)
    ask_limit_rate: Decimal     # lowest ask = index x (1 - rate)
    taker_fee_rate: Decimal
    maker_fee_rate: Decimal
    maintenance_margin_rate: Decimal
    initial_margin_rate: Decimal
    state: ContractState
    future_type: FutureType
    api_allowed: bool
    is_hidden: bool
    max_open_orders: tuple[int, ...]     # hedge, one-way
    depth_steps: tuple[str, ...]

    @property
    def is_inverse(self) -> bool:
        """Settled in the base coin."""
        return self.settle_coin == self.base_coin


@dataclass(frozen=True, slots=True)
class Order:
    """12.1. One ordinary order as the venue reports it."""

    order_id: int
    symbol: str
    client_order_id: str | None   # ours, or the venue's own "_m_..." when none was given
    side: Side
    type: OrderType
    state: OrderState
    price: Decimal
    quantity: Decimal
    filled_quantity: Decimal
    average_price: Decimal        # 0 without fills
    leverage: int
    open_type: OpenType
    category: OrderCategory
    position_id: int              # 0 until a position exists
    order_margin: Decimal
    used_margin: Decimal
    taker_fee: Decimal            # paid so far, positive
    maker_fee: Decimal
    profit: Decimal
    fee_currency: str
    error_code: OrderErrorCode
    position_mode: PositionMode | None
    reduce_only: bool | None
    stop_loss_price: Decimal | None
    take_profit_price: Decimal | None
    version: int | None           # grows with every change
    ts_created_ms: int
    ts_updated_ms: int

    @property
    def remaining_quantity(self) -> Decimal:
        return self.quantity - self.filled_quantity

    @property
    def is_final(self) -> bool:
        return self.state.is_final


@dataclass(frozen=True, slots=True)
class Fill:
    """12.2. One execution."""

    fill_id: int
    order_id: int
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal                  # positive paid, negative received
    fee_currency: str
    profit: Decimal
    category: OrderCategory
    is_taker: bool | None
    is_self_trade: bool | None
    client_order_id: str | None
    position_mode: PositionMode | None
    ts_venue_ms: int


@dataclass(frozen=True, slots=True)
class Position:
    """12.3. One holding."""

    position_id: int
    symbol: str
    type: PositionType
    open_type: OpenType
    state: PositionState
    quantity: Decimal
    frozen_quantity: Decimal      # locked by closing orders
    closed_quantity: Decimal
    hold_average_price: Decimal
    open_average_price: Decimal
    close_average_price: Decimal
    liquidation_price: Decimal
    initial_margin: Decimal
    original_initial_margin: Decimal
    funding: Decimal              # positive received
    realised: Decimal             # with fees and funding
    close_profit: Decimal | None  # without fees
    fee: Decimal | None           # signed result: negative is a cost
    leverage: int
    margin_ratio: Decimal | None
    adl_level: int | None
    auto_add_margin: bool | None
    version: int | None
    ts_created_ms: int
    ts_updated_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    """12.4. One currency of the account; None where the venue did not say."""

    currency: str
    available: Decimal
    frozen: Decimal
    position_margin: Decimal
    bonus: Decimal
    cash: Decimal | None          # withdrawable
    equity: Decimal | None
    unrealised: Decimal | None
    available_to_open: Decimal | None
    available_cash: Decimal | None


#: price, quantity, number of orders (None when the venue left it out)
Level: TypeAlias = tuple[Decimal, Decimal, int | None]


@dataclass(frozen=True, slots=True)
class Depth:
    """A snapshot, or one entry of the commits (then without a time)."""

    asks: tuple[Level, ...]
    bids: tuple[Level, ...]
    version: int
    ts_venue_ms: int | None


@dataclass(frozen=True, slots=True)
class Trade:
    """A public deal."""

    price: Decimal
    quantity: Decimal
    side: TradeSide
    open_flag: int | None         # the venue's O: its documents disagree on the meaning
    ts_venue_ms: int


@dataclass(frozen=True, slots=True)
class Candle:
    ts_open_s: int                # seconds: the one place where the venue counts in seconds
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    quantity: Decimal
    amount: Decimal               # quote currency


@dataclass(frozen=True, slots=True)
class Ticker:
    symbol: str
    last_price: Decimal
    best_bid: Decimal | None
    best_ask: Decimal | None
    index_price: Decimal | None
    fair_price: Decimal | None
    funding_rate: Decimal | None
    max_bid_price: Decimal | None
    min_ask_price: Decimal | None
    high_24h: Decimal | None
    low_24h: Decimal | None
    volume_24h: Decimal | None    # contracts
    amount_24h: Decimal | None    # quote currency
    open_interest: Decimal | None  # contracts
    change_rate: Decimal | None
    change_value: Decimal | None
    ts_venue_ms: int


@dataclass(frozen=True, slots=True)
class FundingRate:
    symbol: str
    rate: Decimal
    max_rate: Decimal | None
    min_rate: Decimal | None
    cycle_hours: int | None
    ts_settle_ms: int | None      # next settlement, or the one the rate was settled at (history)
    ts_venue_ms: int | None


@dataclass(frozen=True, slots=True)
class PriceTick:
    """Index or fair price."""

    symbol: str
    price: Decimal
    ts_venue_ms: int


@dataclass(frozen=True, slots=True)
class OrderAck:
    """The venue's number for a new order, plan, TP/SL or trailing order."""

    order_id: int
    ts_venue_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One item of a batch or a cancel; error is None when it was done."""

    order_id: int | None
    client_order_id: str | None
    error: VenueError | None


@dataclass(frozen=True, slots=True)
class OrderCounts:
    """Open orders by kind."""

    total: int
    limit: int
    stop: int
    plan: int
    trailing: int


class Record(Mapping[str, Any]):
    """A reply without a class of its own: read-only, snake_case names, exact numbers.

    record["total_fee"] and record.total_fee are the same; times end in _ms.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_fields", dict(fields))

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Record is read-only")

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Record({self._fields!r})"

    def __reduce__(self) -> tuple[type[Record], tuple[dict[str, Any]]]:
        return Record, (dict(self._fields),)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue took the request. For a cancel this is not yet the final state.

    order_id: the venue's; None where its answer carries none.
    order: filled in by the resolver, which has seen the order itself.
    data: the parsed answer.
    """

    symbol: str | None = None
    client_order_id: str | None = None
    order_id: int | None = None
    ts_venue_ms: int | None = None
    order: Order | None = None
    data: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request was not executed, for certain."""

    error: MexcfastError
    symbol: str | None = None
    client_order_id: str | None = None
    order_id: int | None = None
    ts_venue_ms: int | None = None

    @property
    def reason(self) -> str:
        """Name of the error's class."""
        return type(self.error).__name__

    @property
    def code(self) -> int | None:
        """The venue's number, None when the venue did not speak."""
        return self.error.code if isinstance(self.error, VenueError) else None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request was sent and may have been executed: ask before doing anything else.

    ts_sent_ms: the request time that was signed.
    """

    error: MexcfastError
    symbol: str | None = None
    client_order_id: str | None = None
    order_id: int | None = None
    ts_venue_ms: int | None = None
    ts_sent_ms: int | None = None

    @property
    def reason(self) -> str:
        """Name of the error's class."""
        return type(self.error).__name__

    @property
    def code(self) -> int | None:
        """The venue's number, None when the venue did not speak."""
        return self.error.code if isinstance(self.error, VenueError) else None


Outcome: TypeAlias = Accepted | Rejected | Unknown
