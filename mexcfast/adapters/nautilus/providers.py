"""Contracts as instruments."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CryptoPerpetual

import mexcfast as mx
from mexcfast.adapters.nautilus import names
from mexcfast.errors import ConfigError
from mexcfast.types import Contract, ContractState, FutureType

FILTERS = {"base": "base_coin", "quote": "quote_coin", "settle": "settle_coin"}


class MEXCInstrumentProvider(InstrumentProvider):  # type: ignore[misc]
    """Loads perpetual contracts from the venue.

    client: whom to ask; not owned. filters: {"settle": "USDT"}, {"quote": [...]}, {"base": [...]}.
    contracts: what was loaded, by the venue's name.
    """

    def __init__(self, client: mx.Client | None = None,
                 config: InstrumentProviderConfig | None = None) -> None:
        super().__init__(config=config)
        self.client = client
        self.contracts: dict[str, Contract] = {}

    async def load_all_async(self, filters: Mapping[str, Any] | None = None) -> None:
        """Every contract that is neither delivered nor gone. Raises ConfigError for a filter that
        does not exist."""
        await self.read_all(filters)

    async def read_all(self, filters: Mapping[str, Any] | None = None) -> list[CryptoPerpetual]:
        """load_all_async, and what it has loaded."""
        wanted = _wanted(filters)
        return self.take(
            contract for contract in await self._read()
            if all(getattr(contract, name) in allowed for name, allowed in wanted.items()))

    async def load_ids_async(self, instrument_ids: list[InstrumentId],
                             filters: Mapping[str, Any] | None = None) -> None:
        """These contracts. Raises ValueError for an instrument of another venue."""
        symbols = {_checked(each) for each in instrument_ids}
        found = [contract for contract in await self._read() if contract.symbol in symbols]
        self.take(found)
        for symbol in sorted(symbols - {contract.symbol for contract in found}):
            self._log.error(f"{symbol} is no contract of the venue")

    async def load_async(self, instrument_id: InstrumentId,
                         filters: Mapping[str, Any] | None = None) -> None:
        """One contract. Raises ValueError for an instrument of another venue."""
        symbol = _checked(instrument_id)
        found = [each for each in await self._read(symbol) if each.symbol == symbol]
        if not found:
            self._log.error(f"{symbol} is no contract of the venue")
        self.take(found)

    async def _read(self, symbol: str | None = None) -> tuple[Contract, ...]:
        if self.client is None:
            raise ConfigError("the provider has no client; allowed: provider.client set to one")
        return await self.client.market_api.contracts(symbol)

    def take(self, contracts: Iterable[Contract]) -> list[CryptoPerpetual]:
        """Hold these as they are now; the instruments they have become."""
        taken = []
        ts_ns = time.time_ns()
        for contract in contracts:
            if (contract.future_type != FutureType.PERPETUAL
                    or contract.state in (ContractState.DELIVERED, ContractState.OFFLINE)):
                continue
            try:
                found: CryptoPerpetual = names.instrument(contract, ts_ns)
            except (ValueError, OverflowError) as error:
                self._log.warning(f"{contract.symbol} is left out: {error}")
                continue
            self.contracts[contract.symbol] = contract
            for kind in (found.base_currency, found.quote_currency, found.settlement_currency):
                self.add_currency(kind)
            self.add(found)
            taken.append(found)
        return taken


def _checked(instrument_id: InstrumentId) -> str:
    if instrument_id.venue != names.MEXC_VENUE:
        raise ValueError(f"instrument_id is {instrument_id}; allowed: venue {names.MEXC}")
    return names.symbol_of(instrument_id)


def _wanted(filters: Mapping[str, Any] | None) -> dict[str, frozenset[str]]:
    wanted = {}
    for name, value in (filters or {}).items():
        if name not in FILTERS:
            raise ConfigError(f"filters has {name!r}; allowed: {', '.join(FILTERS)}")
        wanted[FILTERS[name]] = frozenset([value] if isinstance(value, str) else value)
    return wanted
