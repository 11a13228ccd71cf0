"""MEXC futures under nautilus_trader, on mexcfast's books, streams and orders.

    from mexcfast.adapters.nautilus import (
        MEXC, MEXCDataClientConfig, MEXCExecClientConfig, MEXCLiveDataClientFactory,
        MEXCLiveExecClientFactory)
    node.add_data_client_factory(MEXC, MEXCLiveDataClientFactory)
    node.add_exec_client_factory(MEXC, MEXCLiveExecClientFactory)

For TradingNode; docs/adapters/nautilus.md has the whole story and the test cases by number.
"""

from __future__ import annotations

from mexcfast.errors import MissingExtra

try:
    import nautilus_trader as _host
except ImportError as error:
    raise MissingExtra("nautilus", str(error)) from error

from mexcfast.adapters.nautilus.config import (
    MEXCDataClientConfig,
    MEXCExecClientConfig,
    exec_engine_config,
)
from mexcfast.adapters.nautilus.data import MEXCDataClient
from mexcfast.adapters.nautilus.execution import MEXCExecutionClient
from mexcfast.adapters.nautilus.factories import (
    MEXCLiveDataClientFactory,
    MEXCLiveExecClientFactory,
)
from mexcfast.adapters.nautilus.names import MEXC, MEXC_VENUE
from mexcfast.adapters.nautilus.providers import MEXCInstrumentProvider

HOST_VERSION: str = _host.__version__

__all__ = [
    "HOST_VERSION",
    "MEXC",
    "MEXC_VENUE",
    "MEXCDataClient",
    "MEXCDataClientConfig",
    "MEXCExecClientConfig",
    "MEXCExecutionClient",
    "MEXCInstrumentProvider",
    "MEXCLiveDataClientFactory",
    "MEXCLiveExecClientFactory",
    "exec_engine_config",
]
