"""No order lost, none doubled: a bot that is killed, an exchange that fails, and a judge on trial.

The short plans run with the suite; the whole one: pytest -m soak tests/chaos, or order_chaos.py.
"""

from __future__ import annotations

import pytest

from chaos.order_chaos import chaos
from chaos.order_plan import FAULTS, STEPS, Plan
from children import needs_kill


def show(report) -> str:
    print(report)
    return str(report)


@needs_kill
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_or_doubled_through_faults_and_deaths(seed):
    """Both request paths: the lane has the odd seeds."""
    report = chaos(seed, 160, steps_per_life=70, fault_rate=0.25)
    assert not report.found, show(report)
    assert report.restarts >= 1 and report.checks >= 2, show(report)
    assert report.counts["outcome Unknown"] and sum(report.faults.values()) > 10, show(report)
    assert report.at_exchange > 60, show(report)


@needs_kill
@pytest.mark.soak
@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_nothing_is_lost_or_doubled_in_50_000_orders(seed):
    report = chaos(seed, 12_500, steps_per_life=500)
    assert not report.found, show(report)
    assert report.restarts >= 10, show(report)
    print(report)


#: a way to be wrong -> what the judge must say of it
SINS = {
    "resend": ("DOUBLED: intent",),         # sends again when it does not know
    "guess": ("called rejected and is",),   # calls failed what it does not know
    # half the lines of the journal are missing
    "forget": ("nobody was told", "never told", "not among our open orders"),
    "deaf": ("here, CANCELLED there", "here, FILLED there"),    # does not believe what it is told
    "greedy": ("BUDGET: ",),                # takes four times what the venue allows
}


@needs_kill
@pytest.mark.parametrize(("sins", "orders", "life", "fault_rate"), [
    (("resend", "guess"), 100, 0, 0.5), (("forget",), 300, 40, 0.5), (("deaf",), 120, 0, 0.0),
    (("greedy",), 60, 0, 0.0)])
def test_the_judge_finds_what_is_wrong(sins, orders, life, fault_rate):
    """A bot that sins is convicted, and of each of its sins.

    A machine that stalls excuses whole windows of a budget, and a bot that hardly runs sins
    little: what one plan has not shown another may. Innocence is never assumed: three plans
    without a conviction fail.
    """
    left, reports = set(sins), []
    for seed in (7, 8, 9):
        # Two orders a second: even on a machine that hardly runs a greedy bot exceeds that.
        budget = {"time_scale": 0.5, "order_count": 2} if "greedy" in sins else {}
        reports.append(chaos(seed, orders, sins=sins, steps_per_life=life, fault_rate=fault_rate,
                             **budget))
        left -= {sin for sin in left if any(
            words in one for one in reports[-1].found for words in SINS[sin])}
        if not left:
            return
    pytest.fail(f"not convicted of {sorted(left)}: {[show(report) for report in reports]}")


def test_a_seed_is_a_plan():
    one, two = Plan(9, fault_rate=0.5), Plan(9, fault_rate=0.5)
    assert [list(one.faults(n)) for n in range(200)] == [list(two.faults(n)) for n in range(200)]
    assert [(one.step(n)[0], one.step(n)[1].random()) for n in range(200)] == [
        (two.step(n)[0], two.step(n)[1].random()) for n in range(200)]
    deaths = [(next(one.kills()), next(two.kills())) for _ in range(3)]
    assert all(first == second for first, second in deaths)
    other = Plan(10, fault_rate=0.5)
    assert [list(one.faults(n)) for n in range(200)] != [list(other.faults(n)) for n in range(200)]
    assert {fault.kind for n in range(20_000) for fault in one.faults(n)} == (
        set(FAULTS) - {"html_5xx"}), "every kind of fault comes"
    assert {one.step(n)[0] for n in range(2000)} == set(STEPS)
