"""core/stream_events: frozen, and one readable line each."""

from __future__ import annotations

import dataclasses

import pytest

from mexcfast.core import stream_events as E
from mexcfast.core import topics as T

DEPTH = T.depth("BTC_USDT")
EVENTS = {
    "public-1: connected after 0.250 s": E.Connected(ts_ns=1, connection="public-1",
                                                     took_ns=250_000_000),
    "public-1: lost after 2.000 s: no pong": E.Disconnected(
        ts_ns=1, connection="public-1", why="no pong", lived_ns=2 * 10**9),
    "public-1: reconnected after 1.000 s": E.Reconnected(ts_ns=1, connection="public-1",
                                                         down_ns=10**9),
    "public-2: took 30 topics over from public-1 in 1.500 s: 23 h old": E.Rotated(
        ts_ns=1, connection="public-2", old="public-1", why="23 h old", topics=30,
        took_ns=1_500_000_000),
    "public-1: depth BTC_USDT refused: Blocked, asking again in 5.000 s": E.Refused(
        ts_ns=1, connection="public-1", topic=DEPTH, why="Blocked", retry_ns=5 * 10**9),
    "public-1: a request refused: Blocked": E.Refused(ts_ns=1, connection="public-1", topic=None,
                                                      why="Blocked"),
    "public-1: depth BTC_USDT degraded: silent for 3.0 s": E.Degraded(
        ts_ns=1, connection="public-1", topic=DEPTH, why="silent for 3.0 s", silent_ns=3 * 10**9),
    "public-1: depth BTC_USDT trusted after 0.100 s: it spoke": E.Recovered(
        ts_ns=1, connection="public-1", topic=DEPTH, why="it spoke", after_ns=10**8),
    "public-1: BTC_USDT misses versions 5 to 9": E.Gap(ts_ns=1, connection="public-1",
                                                       symbol="BTC_USDT", first=5, last=9),
    "public-1: BTC_USDT is mended by depth": E.Repairing(ts_ns=1, connection="public-1",
                                                         symbol="BTC_USDT", by="depth"),
    "public-1: BTC_USDT live at version 9 after 0.020 s": E.Live(
        ts_ns=1, connection="public-1", symbol="BTC_USDT", version=9, after_ns=20_000_000),
}


@pytest.mark.parametrize("line", EVENTS)
def test_lines(line):
    event = EVENTS[line]
    assert str(event) == line
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.ts_ns = 2


def test_every_class_is_here():
    assert {type(event) for event in EVENTS.values()} == {
        value for value in vars(E).values() if isinstance(value, type)
        and issubclass(value, E.StreamEvent) and value is not E.StreamEvent}


def test_trouble_is_what_somebody_should_read():
    assert {type(event).__name__ for event in EVENTS.values() if event.is_trouble} == {
        "Disconnected", "Refused", "Degraded", "Gap"}
