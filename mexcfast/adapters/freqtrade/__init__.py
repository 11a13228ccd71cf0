"""MEXC futures in freqtrade. Experimental.

    python -m mexcfast.adapters.freqtrade trade --config config.json --strategy Yours

freqtrade refuses MEXC futures and looks for its exchange class before it reads a strategy, so it is
started through here: register() puts ours where freqtrade looks, main() then is freqtrade's own.
docs/adapters/freqtrade.md has the whole story, and what freqtrade's licence means.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from mexcfast.errors import ConfigError, MexcfastError

__all__ = ["main", "register"]

log = logging.getLogger("mexcfast.freqtrade")


def register() -> None:
    """Make freqtrade find MEXC futures: exchange class and ccxt's class; again changes nothing.

    Raises MissingExtra without freqtrade, ConfigError when freqtrade or ccxt has changed where
    they are taken hold of: to trade on with half an adapter would cost money.
    """
    from mexcfast.adapters.freqtrade import exchange

    found = exchange.differences()
    if found:
        raise ConfigError(f"freqtrade {exchange.VERSION} and ccxt differ from what this adapter "
                          f"was written for (2026.9, 4.5.90): {'; '.join(found)}")
    exchange.install()


def main(arguments: Sequence[str] | None = None) -> None:
    """freqtrade's command line with MEXC futures in it; ends with SystemExit, as freqtrade's does.

    arguments: without the program's name; None: the process's.
    """
    try:
        register()
    except MexcfastError as error:
        print(f"mexcfast: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    from freqtrade.main import main as start  # type: ignore  # typed or not, here or not

    start(list(sys.argv[1:] if arguments is None else arguments))
