"""net/killswitch and net/ladder: everything is cancelled, proven at the exchange, remembered."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

import mexcfast as mx
from mexcfast.core.killswitch import KillSwitchSettings, SwitchState, Trigger
from mexcfast.core.rest import Endpoint
from mexcfast.core.throttle import Lane
from mexcfast.errors import ConfigError, KillSwitchTripped
from mexcfast.net.alerts import Alert
from mexcfast.net.killswitch import reset_file
from mexcfast.sim import Exchange
from mexcfast.sim.truth import open_counts
from mexcfast.types import OrderType, Side, TriggerType
from net.everything import SYMBOL, is_empty, place_everything, truth, until

Story = Callable[[Exchange, mx.Client, list[Alert]], Awaitable[None]]
SETTINGS = KillSwitchSettings(cancel_timeout_ms=1000)


def on_exchange(story: Story, *, settings: KillSwitchSettings = SETTINGS, journal=None,
                recv_window_s: int = 1, limits: object = False, **more: object) -> None:
    """A story on a fresh exchange, with a started client that has an open order of every kind."""

    async def told() -> None:
        async with (asyncio.timeout(90),
                    Exchange(seed=3, limits=limits, updates_per_second=20, **more) as venue):
            alerts: list[Alert] = []
            endpoint = Endpoint.at(venue.rest_url, recv_window_s=recv_window_s, timeout_ms=3000)
            async with mx.Client(endpoint, venue.access_key, venue.secret, kill_switch=settings,
                                 journal=journal, alerts=[alerts.append]) as client:
                await client.start()
                await place_everything(venue, client)
                await story(venue, client, alerts)

    asyncio.run(told())


async def proven_safe(venue: Exchange, client: mx.Client, trigger: Trigger) -> None:
    """Tripped by this trigger; SAFE is only said when the exchange has nothing open."""
    switch = client.kill_switch
    await until(lambda: switch.is_tripped)
    await switch.until_safe()
    assert is_empty(venue), truth(venue)
    assert switch.state is SwitchState.SAFE and switch.trip_info.trigger is trigger


async def refused(client: mx.Client) -> KillSwitchTripped:
    """An opening order and an opening plan are refused by type, and nothing is sent."""
    outcomes = [
        await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, 1000, leverage=20),
        await client.orders.amend(SYMBOL, 17, 1000, 1),
        await client.conditional.plan.place(SYMBOL, Side.OPEN_LONG, 1, 1000,
                                            TriggerType.AT_OR_BELOW, type=OrderType.MARKET,
                                            leverage=20)]
    for outcome in outcomes:
        assert isinstance(outcome, mx.Rejected)
        assert isinstance(outcome.error, KillSwitchTripped), outcome
    return outcomes[0].error


def placing(venue: Exchange) -> int:
    ends = ("order/create", "order/change_limit_order", "planorder/place/v2", "trackorder/place")
    return sum(request.path.endswith(ends) for request in venue.requests)


def test_by_hand_everything_is_cancelled_and_opens_are_refused():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        before = placing(venue)
        client.kill_switch.trip("looks wrong")
        error = await refused(client)       # at once, while the ladder is at work
        assert (error.trigger, error.text) == ("manual", "looks wrong")
        assert error.trigger in str(error) and str(error.ts_ms) in str(error) and error.advice
        await proven_safe(venue, client, Trigger.MANUAL)
        await refused(client)
        assert placing(venue) == before, "nothing that adds risk was sent"
        reduced = await client.orders.submit(SYMBOL, Side.CLOSE_LONG, 1, type=OrderType.MARKET)
        assert isinstance(reduced, mx.Accepted), "a way out stays open"
        assert [alert.state for alert in alerts] == ["TRIPPED", "CANCELLING", "SAFE"]
        assert [alert.level for alert in alerts] == ["critical", "warning", "warning"]
        client.kill_switch.reset("looked at it, M.")
        opened = await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, 80000, leverage=20,
                                            type=OrderType.LIMIT, wait=True)
        assert not isinstance(opened.error if isinstance(opened, mx.Rejected) else None,
                              KillSwitchTripped)

    on_exchange(story)


def test_what_waits_for_a_slot_is_dropped_at_once():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        waiting = [asyncio.ensure_future(client.orders.submit(
            SYMBOL, Side.OPEN_LONG, 1, 80000, leverage=20, wait=True)) for _ in range(12)]
        await until(lambda: len(client.orders.queue) >= 4)
        queued, before = len(client.orders.queue), placing(venue)
        client.kill_switch.trip()
        assert not client.orders.queue
        outcomes = await asyncio.gather(*waiting)
        dropped = [one for one in outcomes if isinstance(one, mx.Rejected)
                   and isinstance(one.error, KillSwitchTripped)]
        assert len(dropped) >= queued
        assert placing(venue) - before <= 12 - len(dropped)
        await proven_safe(venue, client, Trigger.MANUAL)

    on_exchange(story)


@pytest.mark.parametrize("fault", [
    {"kind": "http_status", "path": "order/cancel_all", "status": 502, "count": 3},
    {"kind": "lose_answer", "path": "*", "count": 6},
    {"kind": "hang", "path": "order/cancel_all", "seconds": 20.0},
    {"kind": "throttle", "path": "*", "count": 8},
    {"kind": "garble_answer", "path": "order/list/open_orders", "count": 4},
    {"kind": "http_status", "path": "planorder/cancel_all", "status": 404, "count": 9},
    {"kind": "http_status", "path": "stoporder/cancel_all", "status": 500, "count": 9},
    {"kind": "truncate_answer", "path": "*", "count": 5},
], ids=lambda fault: f"{fault['kind']}-{fault['path'].replace('/', '_')}")
def test_the_ladder_gets_there_whatever_fails(fault):
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        venue.faults.inject(fault["kind"], {k: v for k, v in fault.items() if k != "kind"})
        client.kill_switch.trip()
        await proven_safe(venue, client, Trigger.MANUAL)

    on_exchange(story)


def test_with_the_budgets_of_the_venue_used_up():
    """510 for placing and for reading: cancels have budgets of their own and leave at once."""
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        await asyncio.gather(*(client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, 80000, leverage=20)
                               for _ in range(6)))
        venue.faults.throttle("order/create", 3)
        await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, 80000, leverage=20, wait=True)
        assert client.orders.next_slot_ns > 0
        client.kill_switch.trip()
        await proven_safe(venue, client, Trigger.MANUAL)

    on_exchange(story, limits=True)


def test_an_order_that_arrives_late_is_found():
    """Sent before the trip, executed after the first looks: SAFE waits until it cannot come."""
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        venue.faults.hang("order/create", seconds=0.7)
        bid = venue.book(SYMBOL).bids[9][0]
        late = asyncio.ensure_future(client.orders.submit(
            SYMBOL, Side.OPEN_LONG, 3, bid, leverage=20, wait=True))
        before = placing(venue)
        await until(lambda: client._executor.doubt_until_ms > client._clock.venue_ms() - 1
                    and placing(venue) >= before and not client.orders.queue)
        client.kill_switch.trip()
        await proven_safe(venue, client, Trigger.MANUAL)
        outcome = await late
        assert isinstance(outcome, mx.Accepted), "the exchange did execute it"
        assert not venue.account.open_orders

    on_exchange(story)


def test_positions_are_closed_when_asked_for():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        assert open_counts(venue)["positions"] == 1
        client.kill_switch.trip()
        await proven_safe(venue, client, Trigger.MANUAL)
        assert open_counts(venue)["positions"] == 0
        last = [order for order in venue.account.orders.values()][-1]
        assert last.side == Side.CLOSE_LONG

    on_exchange(story, settings=KillSwitchSettings(close_positions=True, cancel_timeout_ms=1000))


def test_kinds_can_be_left_alone():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        client.kill_switch.trip()
        await client.kill_switch.until_safe()
        assert truth(venue) == {"limit": 0, "plan": 0, "stop": 1, "trailing": 0}
        assert open_counts(venue)["positions"] == 1

    on_exchange(story, settings=KillSwitchSettings(kinds=("limit", "plan", "trailing")))


def test_stuck_says_so_and_goes_on():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        venue.faults.http_status("order/cancel_all", 503, count=10_000)
        venue.faults.http_status("order/cancel", 503, count=10_000)
        switch = client.kill_switch
        switch.trip()
        await until(lambda: switch.state is SwitchState.STUCK)
        assert any(alert.level == "critical" and "limit" in alert.text for alert in alerts[1:])
        with pytest.raises(ConfigError, match="STUCK"):
            switch.reset("too early")
        await refused(client)
        venue.faults.clear()
        await proven_safe(venue, client, Trigger.MANUAL)

    on_exchange(story, settings=KillSwitchSettings(stuck_after_ms=300, cancel_timeout_ms=1000))


# -- triggers --------------------------------------------------------------------------------------

async def place(client: mx.Client) -> object:
    return await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, 80000, leverage=20, wait=True)


@pytest.mark.parametrize(("fault", "trigger", "times"), [
    ({"kind": "http_status", "status": 404, "count": 2}, Trigger.PATH_GONE, 2),
    ({"kind": "html", "status": 403, "count": 2}, Trigger.EDGE, 2),
    ({"kind": "garble_answer", "count": 3}, Trigger.UNREADABLE, 3),
], ids=["404", "edge", "unreadable"])
def test_drift_on_an_order_path(fault, trigger, times):
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        switch = client.kill_switch
        venue.faults.inject(fault["kind"], {"path": "order/create", **{
            name: value for name, value in fault.items() if name != "kind"}})
        for _ in range(times):
            assert not switch.is_tripped
            # a 403 of the edge closes placing for minutes: the next one goes around the pause
            await client._executor.execute("create", b"{}", wait=True, lane=Lane.REDUCE)
        await proven_safe(venue, client, trigger)

    on_exchange(story)




@pytest.mark.parametrize("code", [604, 801, 1002, 11444, 500])
def test_maintenance(code):
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        venue.faults.maintenance(code, seconds=0.8)
        await place(client)
        await proven_safe(venue, client, Trigger.MAINTENANCE)

    on_exchange(story)


def test_access_denied():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        venue.change_key(venue.access_key, access_denied=True)
        await place(client)
        await until(lambda: client.kill_switch.is_tripped)
        venue.change_key(venue.access_key, access_denied=False)
        await proven_safe(venue, client, Trigger.ACCESS_DENIED)

    on_exchange(story)


def test_a_run_of_bad_signatures():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        right = client._executor._signer
        client._executor._signer = mx.Signer(venue.access_key, "not-the-secret")
        for _ in range(3):
            assert not client.kill_switch.is_tripped
            await place(client)
        client._executor._signer = right
        await proven_safe(venue, client, Trigger.SIGNATURE)

    on_exchange(story)


def test_too_many_orders_in_doubt():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        await client.orders.resolver.close()
        venue.faults.http_status("order/create", 503, count=2)
        for _ in range(2):
            await place(client)
        await proven_safe(venue, client, Trigger.UNKNOWN_ORDERS)

    on_exchange(story, settings=KillSwitchSettings(max_unknown=1))


def test_a_lost_private_stream():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        while not client.kill_switch.is_tripped:     # it comes back, and is cut again
            venue.faults.cut()
            await asyncio.sleep(0.01)
        await proven_safe(venue, client, Trigger.STREAM_LOST)

    on_exchange(story, settings=KillSwitchSettings(stream_lost_ms=200))


def test_an_uncertain_clock():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        clock = client._clock
        now_ns, now_ms = clock.monotonic_ns(), clock.venue_ms()
        clock.forget()
        clock.learn(now_ns - 20_000_000_000, now_ns, now_ms)      # a ping of 20 s
        await proven_safe(venue, client, Trigger.CLOCK)

    on_exchange(story)


def test_the_operators_file(tmp_path):
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        assert str(client.kill_switch.operator_file) == f"{tmp_path / 'orders'}.kill"
        client.kill_switch.operator_file.touch()
        await proven_safe(venue, client, Trigger.OPERATOR_FILE)

    on_exchange(story, journal=tmp_path / "orders")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal here")
def test_a_signal():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        await proven_safe(venue, client, Trigger.SIGNAL)

    before = signal.getsignal(signal.SIGUSR1)
    on_exchange(story, settings=KillSwitchSettings(signals=("SIGUSR1",)))
    assert signal.getsignal(signal.SIGUSR1) == before, "given back"


def test_the_days_loss():
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        # Buying and selling at market loses the spread and the fees.
        await client.orders.submit(SYMBOL, Side.CLOSE_LONG, 10, type=OrderType.MARKET, wait=True)
        await until(lambda: bool(client.kill_switch.day.results))
        await proven_safe(venue, client, Trigger.LOSS)
        truth_fees = sum(deal.fee for deal in venue.account.deals)
        assert -sum(client.kill_switch.day.results.values()) >= Decimal("0.05") and truth_fees

    # The fee of the position that is there to begin with is 0.034.
    on_exchange(story, settings=KillSwitchSettings(max_loss=Decimal("0.05")))


# -- the file --------------------------------------------------------------------------------------

def test_it_stays_tripped_across_restarts_until_reset_by_hand(tmp_path):
    journal = tmp_path / "orders"
    state = tmp_path / "orders.switch"

    async def told() -> None:
        async with (asyncio.timeout(60), Exchange(seed=3, limits=False,
                                                  updates_per_second=5) as venue):
            def client() -> mx.Client:
                return mx.Client(Endpoint.at(venue.rest_url, recv_window_s=1), venue.access_key,
                                 venue.secret, journal=journal)

            async with client() as first:
                await first.start()
                await place_everything(venue, first)
                first.kill_switch.trip("before the ladder has done anything")
                # The process dies here: nothing of the ladder has run.
            assert not is_empty(venue)
            assert stat.S_IMODE(state.stat().st_mode) == 0o600
            text = state.read_text()
            assert venue.access_key not in text and venue.secret not in text
            async with client() as second:
                assert second.kill_switch.state is SwitchState.TRIPPED
                await second.start()
                await second.kill_switch.until_safe()
                assert is_empty(venue), "the next run finishes the ladder"
                assert isinstance((await place(second)).error, KillSwitchTripped)
            async with client() as third:
                assert third.kill_switch.state is SwitchState.SAFE
                await third.start()
                assert isinstance((await place(third)).error, KillSwitchTripped)
            trip = reset_file(state, "operator M. has looked")
            assert trip.trigger is Trigger.MANUAL and "ladder" in trip.text
            async with client() as fourth:
                assert fourth.kill_switch.state is SwitchState.ARMED
                await fourth.start()
                assert isinstance(await fourth.orders.submit(
                    SYMBOL, Side.OPEN_LONG, 1, venue.book(SYMBOL).bids[9][0], leverage=20),
                    mx.Accepted)

    asyncio.run(told())


def test_reset_of_a_file(tmp_path):
    state = tmp_path / "s"
    with pytest.raises(ConfigError, match="does not exist"):
        reset_file(state, "why")
    state.write_bytes(b"{torn")
    with pytest.raises(ConfigError, match="not proven"):
        reset_file(state, "why")
    with pytest.raises(ConfigError, match="reason"):
        reset_file(state, "  ", force=True)
    assert reset_file(state, "why", force=True).trigger is Trigger.STATE_FILE
    kept = json.loads(state.read_bytes())
    assert kept["state"] == "ARMED" and kept["history"][-1]["text"] == "why"


def test_a_file_that_cannot_be_written_does_not_stop_the_ladder(tmp_path):
    async def story(venue: Exchange, client: mx.Client, alerts: list[Alert]) -> None:
        def broken(data: bytes) -> None:
            raise OSError(28, "No space left on device")
        client.kill_switch._file.write = broken
        client.kill_switch.trip()
        await proven_safe(venue, client, Trigger.MANUAL)
        assert any("could not be written" in alert.text for alert in alerts)

    on_exchange(story, journal=tmp_path / "orders")
