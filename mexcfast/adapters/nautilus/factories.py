"""What a TradingNode makes the clients with."""

from __future__ import annotations

import asyncio
from typing import Any

from nautilus_trader.live.factories import LiveDataClientFactory, LiveExecClientFactory

import mexcfast as mx
from mexcfast.adapters.nautilus.config import (
    MEXCDataClientConfig,
    MEXCExecClientConfig,
    endpoint,
)
from mexcfast.adapters.nautilus.data import MEXCDataClient
from mexcfast.adapters.nautilus.execution import MEXCExecutionClient
from mexcfast.adapters.nautilus.names import MEXC
from mexcfast.adapters.nautilus.providers import MEXCInstrumentProvider
from mexcfast.errors import ConfigError


class MEXCLiveDataClientFactory(LiveDataClientFactory):  # type: ignore[misc]
    """Makes MEXCDataClient."""

    @staticmethod
    def create(loop: asyncio.AbstractEventLoop, name: str, config: MEXCDataClientConfig,
               msgbus: Any, cache: Any, clock: Any) -> MEXCDataClient:
        """As the node asks for it; the connection is made later."""
        return MEXCDataClient(
            loop, lambda: mx.Client(endpoint(config)), msgbus, cache, clock,
            MEXCInstrumentProvider(config=config.instrument_provider), config, name or MEXC)


class MEXCLiveExecClientFactory(LiveExecClientFactory):  # type: ignore[misc]
    """Makes MEXCExecutionClient."""

    @staticmethod
    def create(loop: asyncio.AbstractEventLoop, name: str, config: MEXCExecClientConfig,
               msgbus: Any, cache: Any, clock: Any) -> MEXCExecutionClient:
        """As the node asks for it. Raises ConfigError when keys are missing."""
        try:
            limits = None if config.limits is None else mx.RiskLimits(**config.limits)
        except TypeError as error:
            raise ConfigError(f"limits: {error}; allowed: members of mexcfast.RiskLimits"
                              ) from None
        more: dict[str, Any] = {"journal": config.journal, "limits": limits}

        def make() -> mx.Client:
            if config.api_key is None:
                return mx.Client.from_env(endpoint(config), **more)
            return mx.Client(endpoint(config), config.api_key, config.api_secret, **more)

        make()          # what is wrong with keys or settings is said when the node is built
        return MEXCExecutionClient(
            loop, make, msgbus, cache, clock,
            MEXCInstrumentProvider(config=config.instrument_provider), config, name or MEXC)
