"""An exchange with an hour of candles in a thread of its own, and configurations for freqtrade."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from mexcfast.cli.sim import ccxt_addresses
from mexcfast.sim import Exchange
from mexcfast.sim.truth import account

PAIR, MARKET = "BTC/USDT:USDT", "BTC_USDT"
HISTORY = 30                 # minutes of candles before now

STRATEGY = '''
from pathlib import Path

from freqtrade.strategy import IStrategy

HERE = Path(__file__).parent


class Tiny(IStrategy):
    """Always in: {side}, at once; out when a file says so."""

    INTERFACE_VERSION = 3
    timeframe = "1m"
    can_short = True
    startup_candle_count = 0
    process_only_new_candles = False
    minimal_roi = {{}}
    stoploss = {stoploss}
    use_custom_stoploss = True
    order_types = {{"entry": "{entry}", "exit": "market", "stoploss": "market",
                   "stoploss_on_exchange": True, "stoploss_on_exchange_interval": 1,
                   "emergency_exit": "market"}}

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_{side}"] = 0 if (HERE / "leave").exists() else 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe

    def custom_exit(self, *args, **kwargs):
        return "told to" if (HERE / "leave").exists() else None

    def custom_stoploss(self, *args, **kwargs):
        told = HERE / "stop"
        return float(told.read_text()) if told.exists() else -0.25

    def leverage(self, *args, **kwargs):
        return 5.0
'''


class Venue:
    """The embedded exchange in a thread; `do` runs a function in its loop."""

    def __init__(self, **settings: Any) -> None:
        self.behind_ms = HISTORY * 60_000
        self.exchange = Exchange(
            symbols=(MARKET,), updates_per_second=0, limits=False,
            clock_ms=lambda: int(time.time() * 1000) - self.behind_ms, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._await(self.exchange.start())
        while self.behind_ms:                     # one trade a minute, up to now
            self.behind_ms -= 60_000
            self.trade("buy" if self.behind_ms % 120_000 else "sell", 1)

    def stop(self) -> None:
        self._await(self.exchange.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def do(self, function: Callable[[], Any]) -> Any:
        """What `function` returns, called where the exchange lives."""
        async def call() -> Any:
            return function()

        return self._await(call())

    def trade(self, side: str, volume: int) -> int:
        return int(self.do(lambda: self.exchange.trade(MARKET, side, volume)))

    def sell_down_to(self, price: float) -> None:
        """One market sell through every bid from here to a price."""
        bids = self.do(lambda: self.exchange.book(MARKET).bids)
        self.trade("sell", sum(int(bid[1]) for bid in bids if float(bid[0]) >= price))

    def sent(self, path: str) -> list[Any]:
        """Bodies of the requests to paths that end so."""
        return [json.loads(one.body) for one in self._requests() if one.path.endswith(path)]

    def asked(self, path: str) -> list[dict[str, str]]:
        """Queries of the requests to paths with this in them."""
        return [dict(parse_qsl(one.query)) for one in self._requests() if path in one.path]

    def _requests(self) -> list[Any]:
        return list(self.do(lambda: list(self.exchange.requests)))

    def _truth(self, part: str) -> list[dict[str, Any]]:
        """Part of the account's true state, numbers as floats."""
        rows = self.do(lambda: account(self.exchange, None)[part])
        return [{name: float(value) if isinstance(value, Decimal) else value
                 for name, value in row.items()} for row in rows]

    def position(self) -> list[dict[str, Any]]:
        """What the account holds."""
        return self._truth("positions")

    def waiting(self) -> list[dict[str, Any]]:
        """Its plan orders that have not fired."""
        return self._truth("waiting")

    def one_way(self) -> None:
        """Put the account in the mode that the adapter refuses."""
        self.do(lambda: self.exchange.venue.desk.change_mode(self.exchange.account, 2))


@contextmanager
def running(**settings: Any) -> Iterator[Venue]:
    venue = Venue(**settings)
    venue.start()
    try:
        yield venue
    finally:
        venue.stop()


def configuration(venue: Venue, folder: Path, *, side: str = "long", entry: str = "market",
                  stoploss: float = -0.25, **changes: Any) -> dict[str, Any]:
    """A whole configuration; its strategy lies in `folder`."""
    (folder / "tiny.py").write_text(STRATEGY.format(side=side, entry=entry, stoploss=stoploss))
    exchange = {
        "name": "mexc", "pair_whitelist": [PAIR], "pair_blacklist": [],
        "key": venue.exchange.access_key, "secret": venue.exchange.secret,
        "ccxt_config": {"enableRateLimit": False,
                        "urls": ccxt_addresses(venue.exchange.rest_url)},
    } | changes.pop("exchange", {})
    return {
        "trading_mode": "futures", "margin_mode": "isolated", "dry_run": True,
        "max_open_trades": 1, "stake_currency": "USDT", "stake_amount": 1000,
        "tradable_balance_ratio": 0.99, "dry_run_wallet": 10_000,
        "cancel_open_orders_on_exit": False, "initial_state": "running",
        "unfilledtimeout": {"entry": 10, "exit": 10, "unit": "minutes"},
        "entry_pricing": {"price_side": "other", "use_order_book": True, "order_book_top": 1},
        "exit_pricing": {"price_side": "other", "use_order_book": True, "order_book_top": 1},
        "exchange": exchange, "pairlists": [{"method": "StaticPairList"}],
        "strategy": "Tiny", "strategy_path": str(folder), "user_data_dir": str(folder),
        "db_url": f"sqlite:///{folder / 'trades.sqlite'}",
        "internals": {"process_throttle_secs": 1}, **changes,
    }


def written(folder: Path, config: dict[str, Any]) -> Path:
    """The configuration as a file."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path
