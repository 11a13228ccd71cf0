"""Every kind of fault at every phase of a client's life; proof that the judge sees what is wrong.

Many more plans, and one plan again: python tests/chaos/stream_run.py --help
"""

from __future__ import annotations

import asyncio
import json

import pytest

import mexcfast as mx
from chaos.stream_run import KINDS, PHASES, Judge, Plan, live, many
from mexcfast.core.depth import OrderBook
from mexcfast.sim import Exchange

EVERY_PAIR = range(1, len(PHASES) * len(KINDS) + 1)


@pytest.mark.filterwarnings("ignore:unclosed .socket:ResourceWarning")     # aiohttp's, see many()
def test_every_fault_at_every_phase() -> None:
    assert {(Plan.of(seed).phase, Plan.of(seed).kind) for seed in EVERY_PAIR} == {
        (phase, kind) for phase in PHASES for kind in KINDS}
    failures, sums = mx.run(many(EVERY_PAIR, 16))
    print(dict(sums))
    assert not failures, "\n".join(failures)
    assert sums["lives"] == len(EVERY_PAIR)
    for what in ("Gap", "Repairing", "Live", "Rotated", "Disconnected", "Reconnected"):
        assert sums[what] > 0, what


def of_kind(phase: str, kind: str) -> int:
    return next(seed for seed in EVERY_PAIR
                if (Plan.of(seed).phase, Plan.of(seed).kind) == (phase, kind))


def test_a_client_that_trusts_silence_is_found_out() -> None:
    """Without pong deadline and silence clocks a half-open socket leaves books LIVE and old."""
    plan, judge = mx.run(live(
        of_kind("live", "half_open"), settle=3.0, ping_interval=30.0, pong_deadline=60.0,
        silence_scale=1000.0, late_pong=60.0, lateness_limit=600.0))
    assert plan.kind == "half_open"
    assert any("says LIVE" in wrong for wrong in judge.wrong), judge.wrong


def test_a_wrong_level_and_a_doubled_trade_are_found_out() -> None:
    async def judged() -> Judge:
        async with Exchange(seed=3, updates_per_second=0, levels=20) as venue:
            judge = Judge(venue, Plan.of(1))
            truth = venue.book("BTC_USDT")
            book = OrderBook("BTC_USDT")
            rows = [[[float(price), quantity, orders] for price, quantity, orders in side]
                    for side in (truth.asks, truth.bids)]
            rows[0][4][1] += 1
            book.load_snapshot(json.dumps({"asks": rows[0], "bids": rows[1],
                                        "version": truth.version}))
            judge.compare(book)
            judge.trades["BTC_USDT"].update([7, 7])
            judge.judge_trades()
            return judge

    judge = asyncio.run(judged())
    assert "differs from the exchange's" in judge.wrong[0]
    assert any("told twice" in wrong for wrong in judge.wrong)


@pytest.mark.soak
def test_two_thousand_lives() -> None:
    failures, sums = mx.run(many(range(1_000, 3_000), 24))
    print(dict(sums))
    assert not failures, "\n".join(failures)
