"""core/killswitch: the table, the triggers and their thresholds, the file."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexcfast.core.killswitch import (
    ADDS_RISK,
    HISTORY,
    TRANSITIONS,
    KillSwitchSettings,
    Switch,
    SwitchState,
    Trigger,
    classify,
)
from mexcfast.core.rest import BY_NAME, ROUTES
from mexcfast.core.throttle import Lane
from mexcfast.errors import (
    BadAnswer,
    ConfigError,
    EdgeError,
    KillSwitchTripped,
    RequestTimeout,
    venue_error,
)

CREATE, BALANCES = BY_NAME["create"], BY_NAME["balances"]
NOW = 1_700_000_000_000


def tripped(**settings) -> Switch:
    switch = Switch(KillSwitchSettings(**settings))
    assert switch.note(Trigger.MANUAL, "why", NOW)
    return switch


def test_the_ladder_of_states():
    switch = tripped()
    assert switch.state is SwitchState.TRIPPED
    switch.begin()
    assert not switch.note(Trigger.CLOCK, "another", NOW + 1), "one ladder at a time"
    assert switch.trip.trigger is Trigger.MANUAL, "the first reason stays"
    switch.late()
    assert switch.state is SwitchState.STUCK
    switch.gone()
    assert switch.state is SwitchState.SAFE
    assert switch.note(Trigger.CLOCK, "again", NOW + 2), "SAFE is looked at anew"
    assert switch.trip.trigger is Trigger.CLOCK


@pytest.mark.parametrize("state", list(SwitchState))
@pytest.mark.parametrize("event", ["trip", "begin", "gone", "late", "reset", "force"])
def test_what_the_table_lacks_is_refused(state, event):
    switch = tripped()
    switch.state = state
    calls = {"trip": lambda: switch.note(Trigger.MANUAL, "", NOW), "begin": switch.begin,
             "gone": switch.gone, "late": switch.late, "reset": lambda: switch.reset("r", NOW),
             "force": lambda: switch.reset("r", NOW, force=True)}
    after = TRANSITIONS.get((state, event))
    if after is None:
        with pytest.raises(ConfigError, match=state):
            calls[event]()
        assert switch.state is state
    else:
        calls[event]()
        assert switch.state is after


def test_no_way_back_but_by_hand():
    assert {event for (_, event), after in TRANSITIONS.items() if after is SwitchState.ARMED} == {
        "reset", "force"}


# A second reading of protocol.md 17 and the design: error -> trigger.
@pytest.mark.parametrize(("error", "trigger"), [
    (venue_error(404), Trigger.PATH_GONE), (EdgeError(404), Trigger.PATH_GONE),
    (venue_error(511), Trigger.ACCESS_DENIED),
    (venue_error(604), Trigger.MAINTENANCE), (venue_error(801), Trigger.MAINTENANCE),
    (venue_error(11444), Trigger.MAINTENANCE),
    (venue_error(1002, "Contract not allow place order!"), Trigger.MAINTENANCE),
    (venue_error(1002, "contract not activated"), Trigger.MAINTENANCE),
    (venue_error(500, "x", "https://notice.invalid"), Trigger.MAINTENANCE),
    (venue_error(602), Trigger.SIGNATURE), (BadAnswer("not JSON", 200), Trigger.UNREADABLE),
    (EdgeError(403), Trigger.EDGE), (EdgeError(429), Trigger.EDGE),
    (venue_error(500, "internal"), None), (BadAnswer("not JSON", 502), None),
    (EdgeError(200), Trigger.UNREADABLE), (EdgeError(302), Trigger.UNREADABLE),
    (EdgeError(502), None), (venue_error(2005), None), (venue_error(510), None),
    (venue_error(513), None), (RequestTimeout("x"), None), (venue_error(2040), None),
])
def test_which_answers_are_drift(error, trigger):
    assert classify(CREATE, error) is trigger
    # Elsewhere only signatures count: a closed statistics page is no reason to stop.
    assert classify(BALANCES, error) is (trigger if trigger is Trigger.SIGNATURE else None)


@pytest.mark.parametrize(("setting", "error"), [
    ("path_gone", venue_error(404)), ("access_denied", venue_error(511)),
    ("maintenance", venue_error(801)), ("unreadable", BadAnswer("x", 200)),
    ("edge", EdgeError(403)), ("signature_run", venue_error(602))])
@pytest.mark.parametrize("limit", [1, 3, None])
def test_thresholds(setting, error, limit):
    switch = Switch(KillSwitchSettings(**{setting: limit}))
    trips = [switch.answer(CREATE, error, NOW + at) for at in range(5)]
    assert [trip is not None for trip in trips] == [
        limit is not None and count >= limit for count in range(1, 6)]
    if limit:
        assert "private/order/create" in trips[-1].text


def test_old_signs_do_not_count_and_runs_are_broken():
    switch = Switch(KillSwitchSettings(path_gone=2, signature_run=2, window_ms=1000))
    assert switch.answer(CREATE, venue_error(404), NOW) is None
    assert switch.answer(CREATE, venue_error(404), NOW + 1001) is None
    assert switch.answer(CREATE, venue_error(404), NOW + 1002) is not None
    assert switch.answer(CREATE, venue_error(602), NOW) is None
    assert switch.answer(CREATE, RequestTimeout(""), NOW) is None       # says nothing of keys
    switch.answered()
    assert switch.answer(CREATE, venue_error(602), NOW) is None
    assert switch.answer(BALANCES, venue_error(602), NOW).trigger is Trigger.SIGNATURE


@pytest.mark.parametrize(("seen", "trigger"), [
    ({"unknown": 6}, Trigger.UNKNOWN_ORDERS), ({"unknown": 5}, None),
    ({"stream_lost_ms": 15_001}, Trigger.STREAM_LOST), ({"stream_lost_ms": 15_000}, None),
    ({"clock_error_ms": 2000.5}, Trigger.CLOCK), ({"clock_error_ms": 2000.0}, None),
    ({"clock_error_ms": None}, None), ({"operator_file": "x.kill"}, Trigger.OPERATOR_FILE),
    ({"losses": {"USDT": Decimal("-100.01")}}, Trigger.LOSS),
    ({"losses": {"USDT": Decimal(-100), "BTC": Decimal(500)}}, None)])
def test_looks(seen, trigger):
    found = Switch(KillSwitchSettings(max_loss=100)).look(NOW, **seen)
    assert (None if found is None else found.trigger) is trigger
    off = KillSwitchSettings(max_unknown=None, stream_lost_ms=None, clock_error_ms=None)
    if trigger is not Trigger.OPERATOR_FILE:
        assert Switch(off).look(NOW, **seen) is None


def test_what_is_refused():
    """Every write is either let through for a reason, or refused: nobody is forgotten."""
    passes = {"change_margin", "change_auto_margin", "change_position_mode", "change_risk_level",
              "plan_change_stop", "stop_change_price", "stop_change_plan_price", "stp_create",
              "stp_update", "stp_delete"}
    switch = tripped()
    for route in ROUTES:
        if not route.writes:
            continue
        refused = switch.refusal(route, route.lane)
        if route.lane in (Lane.CANCEL, Lane.REDUCE) or route.name in passes:
            assert refused is None, route.name
        else:
            assert isinstance(refused, KillSwitchTripped), route.name
            assert (refused.trigger, refused.ts_ms) == ("manual", NOW)
    assert switch.refusal(CREATE, Lane.REDUCE) is None
    assert set(BY_NAME) >= ADDS_RISK
    assert Switch().refusal(CREATE, Lane.OPEN) is None


@given(st.sampled_from(list(SwitchState)), st.text(max_size=500), st.integers(0, 2**53))
def test_a_restart_is_never_more_trusting(state, text, ts_ms):
    switch = Switch()
    switch.account = "abc"
    switch.note(Trigger.EDGE, text, ts_ms)
    switch.state = state
    again = Switch()
    again.account = "abc"
    works = again.restore(switch.encode(), NOW)
    if state is SwitchState.ARMED:
        assert not again.is_tripped
    else:
        assert again.is_tripped and again.trip.text == text[:300]
        assert works is (state is not SwitchState.SAFE)


@pytest.mark.parametrize("change", [
    b"", b"{", b"[]", b"null", b'{"format":1}', {"format": 2}, {"state": "FINE"},
    {"trip": None}, {"trip": {"trigger": "whim", "text": "", "ms": 1}}, {"account": "another"},
    {"history": 5}])
def test_what_cannot_be_read_counts_as_tripped(change):
    switch = tripped()
    switch.account = "abc"
    data = switch.encode()
    if isinstance(change, bytes):
        data = change
    else:
        data = json.dumps({**json.loads(data), **change}).encode()
    again = Switch()
    again.account = "abc"
    assert again.restore(data, NOW)
    assert again.trip.trigger is Trigger.STATE_FILE and again.state is SwitchState.TRIPPED


def test_whole_files_cut_anywhere_are_tripped():
    data = tripped().encode()
    for length in range(len(data) - 1):
        again = Switch()
        again.restore(data[:length], NOW)
        assert again.is_tripped


def test_history_is_bounded():
    switch = Switch()
    for number in range(3 * HISTORY):
        switch.note(Trigger.MANUAL, str(number), NOW)
        switch.begin()
        switch.gone()
        switch.reset("again", NOW)
    assert len(switch.history) == HISTORY


@pytest.mark.parametrize("wrong", [
    {"path_gone": 0}, {"edge": True}, {"window_ms": None}, {"kinds": ()}, {"kinds": ("spot",)},
    {"max_loss": 0}, {"stuck_after_ms": -1}, {"max_unknown": 1.5}])
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        KillSwitchSettings(**wrong)
