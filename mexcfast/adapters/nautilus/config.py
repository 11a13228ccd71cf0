"""Settings of the two clients. Keys are in no repr."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from nautilus_trader.config import (
    LiveDataClientConfig,
    LiveExecClientConfig,
    LiveExecEngineConfig,
    PositiveInt,
)

import mexcfast as mx
from mexcfast.errors import ConfigError

SHOWN = "<hidden>"


def _repr(config: Any, hidden: tuple[str, ...] = ()) -> str:
    parts = []
    for name in config.__struct_fields__:
        value = getattr(config, name)
        parts.append(f"{name}={SHOWN if name in hidden and value is not None else repr(value)}")
    return f"{type(config).__name__}({', '.join(parts)})"


def endpoint(config: Any) -> mx.Endpoint:
    """Where base_url_http and base_url_ws point; the live venue by default."""
    http, ws = config.base_url_http, config.base_url_ws
    if http is None:
        return mx.LIVE if ws is None else replace(mx.LIVE, ws_url=ws)
    return mx.Endpoint.at(http, ws)


class MEXCDataClientConfig(LiveDataClientConfig, frozen=True):  # type: ignore[call-arg,misc]
    """Market data; needs no keys.

    base_url_http, base_url_ws: another venue than the live one, for example mexcfast.sim.
    every: each version of books and each trade on its own instead of merged by the venue.
    bars_timestamp_on_close: ts_event of a bar is its end, else its beginning.
    update_instruments_interval_mins: how often all contracts are read again; None: never.
    """

    base_url_http: str | None = None
    base_url_ws: str | None = None
    every: bool = False
    bars_timestamp_on_close: bool = True
    update_instruments_interval_mins: PositiveInt | None = 60


class MEXCExecClientConfig(LiveExecClientConfig, frozen=True):  # type: ignore[call-arg,misc]
    """Orders, positions, balances.

    api_key, api_secret: both or neither; neither takes MEXC_API_KEY and MEXC_API_SECRET.
    base_url_http, base_url_ws: as above.
    position_mode: the account's. "one_way" is NETTING, "hedge" HEDGING; another one at the venue
    ends the start. margin_mode: of opening orders. leverage: of opening orders, leverages by
    instrument before it; an opening order without either is denied.
    max_age_ms: an order that waits longer than this for a slot of the venue's budget never leaves
    and is rejected; None: it waits as long as it takes, cancels and closing orders first.
    use_gtd: False sends GTD orders as GTC, for strategies with manage_gtd_expiry; True denies them.
    journal: file where orders are written before they leave, so that doubts outlive the process.
    limits: members of mexcfast.RiskLimits that no order may exceed; price_band and max_book_age_ms
    are not allowed, they need a book and this client has none.
    """

    api_key: str | None = None
    api_secret: str | None = None
    base_url_http: str | None = None
    base_url_ws: str | None = None
    position_mode: Literal["one_way", "hedge"] = "one_way"
    margin_mode: Literal["isolated", "cross"] = "isolated"
    leverage: PositiveInt | None = None
    leverages: dict[str, PositiveInt] | None = None
    max_age_ms: PositiveInt | None = None
    use_gtd: bool = True
    journal: str | None = None
    limits: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.api_key is None) is not (self.api_secret is None):
            raise ConfigError("one of api_key and api_secret is missing; allowed: both or neither")
        for name, allowed in (("position_mode", ("one_way", "hedge")),
                              ("margin_mode", ("isolated", "cross"))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; allowed: "
                                  f"{' or '.join(map(repr, allowed))}")
        for name in ("price_band", "max_book_age_ms"):
            if self.limits is not None and self.limits.get(name) is not None:
                raise ConfigError(f"limits has {name}; allowed: limits that need no book")

    def __repr__(self) -> str:
        return _repr(self, ("api_key", "api_secret"))


def exec_engine_config(**settings: Any) -> LiveExecEngineConfig:
    """LiveExecEngineConfig with what this venue needs.

    inflight_check_interval_ms=0: the engine's own check of orders in flight calls an order
    rejected, or cancelled, after some questions without an answer; mexcfast's resolver does so on
    proof only. convert_quote_qty_to_base=False: the engine's conversion does not know that a
    contract is not a coin; so such orders are denied. settings: as there.
    """
    settings.setdefault("convert_quote_qty_to_base", False)
    settings.setdefault("inflight_check_interval_ms", 0)
    return LiveExecEngineConfig(**settings)
