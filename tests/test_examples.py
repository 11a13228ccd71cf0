"""The programs in examples/ do what they say, on the embedded exchange."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import mexcfast as mx
from example_support import EXAMPLES, example
from mexcfast.core.tracker import Phase
from mexcfast.sim import Exchange

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="an installed wheel has no examples")


def test_the_market_maker_quotes_both_sides_and_takes_its_quotes_back() -> None:
    maker = example("market_maker")

    async def story() -> None:
        async with (
            asyncio.timeout(40), Exchange(seed=3, updates_per_second=100) as venue,
            mx.Client(venue.rest_url, venue.access_key, venue.secret,
                      limits=maker.LIMITS) as client,
        ):
            await maker.trade(client, "BTC_USDT", 3)
            await client.orders.refresh()
            orders = list(client.orders.tracker)
            placed = [order for order in orders if order.order_id is not None]
            assert {order.side.is_buy for order in placed} == {True, False}
            assert all(order.type == mx.OrderType.POST_ONLY for order in placed)
            assert not client.orders.unresolved and not client.orders.open_orders()
            assert not venue.account.open_orders
            assert {order.order_id for order in placed} == set(venue.account.orders)
            creates = [r for r in venue.requests if r.path.endswith("order/create")]
            assert all(r.status == 200 and '"code":510' not in r.reply for r in creates)

    asyncio.run(story())


def test_the_taker_leaves_nothing_behind() -> None:
    taker = example("taker")
    taker.HOLD_SECONDS, taker.THRESHOLD = 0.1, 0.5

    async def story() -> None:
        async with (
            asyncio.timeout(40), Exchange(seed=3, updates_per_second=100) as venue,
            mx.Client(venue.rest_url, venue.access_key, venue.secret,
                      limits=taker.LIMITS) as client,
        ):
            did = await taker.trade(client, "BTC_USDT", 2)
            assert did["bought"] + did["sold"] >= 1
            assert not venue.account.positions and not venue.account.open_orders
            phases = {order.phase for order in client.orders.tracker}
            assert phases <= {Phase.FILLED, Phase.CANCELLED} and Phase.FILLED in phases

    asyncio.run(story())


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """examples/cython_strategy, built as its README says, in a directory of its own."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    place = tmp_path_factory.mktemp("example") / "cython_strategy"
    shutil.copytree(EXAMPLES / "cython_strategy", place,
                    ignore=shutil.ignore_patterns("*.so", "*.pyd", "*.c", "build"))
    root = Path(mx.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-P", "setup.py", "build_ext", "--inplace"], cwd=place, text=True,
        capture_output=True, timeout=600,
        env=os.environ | {"CFLAGS": "-O0", "PYTHONPATH": str(root)})
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(place))
    try:
        import trade  # type: ignore[import-not-found]
        yield trade
    finally:
        sys.path.remove(str(place))
        for name in ("trade", "pressure"):
            sys.modules.pop(name, None)


def test_the_compiled_strategy_trades_and_leaves_nothing_behind(compiled: ModuleType) -> None:
    async def story() -> None:
        async with (
            asyncio.timeout(60), Exchange(seed=3, updates_per_second=100) as venue,
            mx.Client(venue.rest_url, venue.access_key, venue.secret,
                      limits=compiled.LIMITS) as client,
        ):
            did = await compiled.trade(client, "BTC_USDT", 5, threshold=0.3, hold_books=20)
            assert did.books > 0 and did.bought >= 1 and not did.refused
            assert not venue.account.positions and not venue.account.open_orders
            assert not client.orders.unresolved
            orders = list(client.orders.tracker)
            assert {order.order_id for order in orders} == set(venue.account.orders)
            assert orders[0].side is mx.Side.OPEN_LONG and orders[0].type is mx.OrderType.IOC

    asyncio.run(story())


def test_the_compiled_strategy_obeys_the_limits(compiled: ModuleType) -> None:
    async def story() -> None:
        async with (
            asyncio.timeout(60), Exchange(seed=3, updates_per_second=100) as venue,
            mx.Client(venue.rest_url, venue.access_key, venue.secret,
                      limits=mx.RiskLimits(max_position=4)) as client,
        ):
            did = await compiled.trade(client, "BTC_USDT", 1, threshold=0.0)
            assert did.books > 0 and did.refused and did.is_flat and not venue.account.orders

    asyncio.run(story())


@pytest.mark.parametrize("name", ["backtest", "grid", "market_maker", "scanner", "taker"])
def test_a_program_runs_as_it_is_told_at_its_top(name: str, tmp_path: Path) -> None:
    """Whole, in a process of its own, on the embedded exchange; live ones are not tried."""
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    assert f"    python examples/{name}.py  " in text and "--live" in text
    done = subprocess.run([sys.executable, "-P", "-W", "error", str(EXAMPLES / f"{name}.py"),
                           "--seconds", "1"], cwd=tmp_path, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())     # nothing is left behind
