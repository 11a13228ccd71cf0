"""net/private: login, filters and who hears what, against a scripted venue on loopback."""

from __future__ import annotations

import asyncio
import json

import pytest

from mexcfast.core.sign import Signer
from mexcfast.core.topics import FILTERS
from mexcfast.errors import AuthenticationError, ConnectFailed
from mexcfast.net.connection import StreamSettings
from mexcfast.net.private import (
    PERSONAL,
    PrivateStream,
    StreamState,
    union,
    wishes,
)
from net.test_pool import QUICK, Me, Venue, Watch

SIGNER = ("mxKEY", "secret-of-the-test")
REQ_TIME = 1611038237237


def play(script, **settings):
    """Run script(venue, stream, me, watch), then close everything."""
    async def run():
        watch = Watch()
        async with Venue(watch) as venue:
            stream = PrivateStream(venue.url, Signer(*SIGNER), lambda: REQ_TIME,
                                   StreamSettings(**QUICK | {"rotation_overlap": 0.05} | settings))
            try:
                async with asyncio.timeout(20):
                    await script(venue, stream, Me(watch), watch)
            finally:
                await stream.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, left

    asyncio.run(run())


def push(name, **data):
    return {"channel": f"push.personal.{name}", "data": data, "ts": 1}


def filters(venue, number=None):
    """What each personal.filter asked for: key -> rules."""
    return [{one["filter"]: one.get("rules") for one in asked["param"]["filters"]}
            for asked in venue.requests("personal.filter", number)]


def test_login_comes_first_and_pushes_arrive():
    async def script(venue, stream, me, watch):
        await stream.listen(me)
        assert [asked for _, asked, _ in venue.seen] == [
            json.loads(Signer(*SIGNER).login(REQ_TIME))], "everything is pushed without a filter"
        await venue.push(push("asset", currency="USDT"))
        await watch.until(lambda: me.events)
        assert me.events[0].currency == "USDT"
        await venue.sockets[0].close()
        await watch.until(lambda: ("reconnected", "private") in me.life)
        await stream.listen(me)
        assert len(venue.sockets) == 2, "one private socket, logged in again by itself"
        assert me.life[0] == ("connected", "private")

    play(script)


@pytest.mark.parametrize("answer", [
    {"channel": "rs.error", "data": "Confirming signature failed"},
    {"channel": "rs.login", "data": {"code": 401, "msg": "denied"}},
    {"channel": "rs.login", "code": 401, "msg": "denied"},
    {"channel": "rs.login", "data": "failed"},
])
def test_a_refused_login(answer):
    async def script(venue, stream, me, watch):
        venue.answers["login"] = [answer]
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="login was refused") as caught:
                await asyncio.wait_for(stream.listen(me), 5)
            assert "secret" not in str(caught.value)
        assert len(venue.requests("login")) == 1, "wrong keys are not tried again"
        assert stream.state is StreamState.CLOSED

    play(script)


@pytest.mark.parametrize("answer, why", [
    (None, "no answer to the login within 0.1 s"), ("close", "closed by the peer")])
def test_a_login_without_an_answer_is_tried_on_a_new_socket(answer, why):
    async def script(venue, stream, me, watch):
        venue.answers["login"] = [answer]
        await stream.listen(me)
        assert len(venue.requests("login")) == 2
        assert ("disconnected", "private", why) in me.life

    play(script, acknowledge_timeout=0.1)


@pytest.mark.parametrize("answer", [None, "close"])
def test_a_venue_that_never_confirms_is_not_waited_for(answer):
    async def script(venue, stream, me, watch):
        venue.answers["login"] = [answer] * 100
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="logins were not confirmed"):
                await stream.listen(me)
        venue.answers["login"].clear()
        await stream.listen(me)
        assert stream.is_live, "it goes on in the background"

    play(script, acknowledge_timeout=0.05, backoff_cap_ms=50)


def test_keys_that_worked_before_are_tried_again():
    async def script(venue, stream, me, watch):
        await stream.listen(me)
        venue.answers["login"] = [{"channel": "rs.error", "data": "Request time"}]
        await venue.sockets[0].close()
        await watch.until(lambda: ("reconnected", "private") in me.life)
        assert len(venue.requests("login")) == 3
        assert stream.login_error is None

    play(script, backoff_cap_ms=50)


def test_nothing_is_sent_before_the_login_is_confirmed():
    async def script(venue, stream, me, watch):
        venue.answers["login"] = [None]
        listening = asyncio.create_task(stream.listen(me, ["order"]))
        await watch.until(lambda: venue.requests("login"))
        other = asyncio.create_task(stream.listen(Me(watch), ["asset"]))
        await asyncio.sleep(3 * 0.02)       # several pings are due
        assert [asked["method"] for _, asked, _ in venue.seen] == ["login"]
        assert stream.state is StreamState.LOGGING_IN
        await venue.push({"channel": "rs.login", "data": "success"})
        await asyncio.gather(listening, other)
        assert "subscribe" in venue.requests("login")[0]
        assert filters(venue) == [{"order": None, "asset": None}], "one filter for both"

    play(script, ping_interval=0.02)


def test_the_filter_is_the_union_and_narrows_again():
    async def script(venue, stream, me, watch):
        one, two = Me(watch), Me(watch)
        await stream.listen(one, {"order": ["BTC_USDT"], "asset": None})
        assert venue.requests("login")[0]["subscribe"] is False
        await stream.listen(two, {"order": ["ETH_USDT"], "position": None})
        assert filters(venue)[-1] == {"order": ["BTC_USDT", "ETH_USDT"], "position": None,
                                      "asset": None}
        await venue.push(push("order", symbol="BTC_USDT"))
        await venue.push(push("order", symbol="ETH_USDT"))
        await venue.push(push("position", symbol="SOL_USDT"))
        await venue.push(push("adl.level", positionId=1))
        await watch.until(lambda: len(two.events) == 2)
        assert [event.symbol for event in one.events] == ["BTC_USDT"]
        assert [event.channel for event in two.events] == [
            "push.personal.order", "push.personal.position"]
        stream.forget(two)
        await watch.until(lambda: len(filters(venue)) == 3)
        assert filters(venue)[-1] == {"order": ["BTC_USDT"], "asset": None}
        await stream.listen(two, {"order": None})
        assert filters(venue)[-1] == {"order": None, "asset": None}
        await venue.sockets[0].close()
        await watch.until(lambda: ("reconnected", "private") in one.life)
        assert filters(venue, 2) == [{"order": None, "asset": None}], "sent again"
        stream.forget(one)
        stream.forget(two)
        while not venue.sockets[1].closed:  # noqa: ASYNC110 - the server's socket has no event
            await asyncio.sleep(0.005)
        assert stream.state is StreamState.CLOSED

    play(script)


def test_a_wish_no_filter_can_name_needs_another_login():
    async def script(venue, stream, me, watch):
        await stream.listen(me, ["order"])
        quiet, loud = venue.requests("login"), Me(watch)
        await stream.listen(loud, ["liquidate.risk"])
        logins = venue.requests("login")
        assert len(logins) == 2 and "subscribe" in quiet[0] and "subscribe" not in logins[1]
        assert not filters(venue, 2), "nobody knows what a filter does to liquidate.risk"
        await venue.push(push("asset", currency="USDT"), 1)
        await venue.push(push("liquidate.risk", symbol="BTC_USDT"), 1)
        await watch.until(lambda: loud.events)
        assert not me.events and len(loud.events) == 1
        stream.forget(loud)
        await watch.until(lambda: filters(venue, 2))
        assert filters(venue, 2) == [{"order": None}]
        await stream.listen(loud, ["liquidate.risk"])
        assert len(venue.sockets) == 3 and not filters(venue, 3), "a filter was sent on the second"

    play(script)


def test_all_filter_keys_for_all_contracts_need_no_filter():
    async def script(venue, stream, me, watch):
        await stream.listen(me, ["order"])
        await stream.listen(Me(watch), list(FILTERS))
        assert filters(venue) == [{"order": None}, {}], "everything again"

    play(script)


def test_a_filter_without_an_answer_is_asked_again_and_then_the_socket_is_given_up():
    async def script(venue, stream, me, watch):
        venue.answers["personal.filter"] = [None, None, None]
        await stream.listen(me, ["order"])
        assert len(filters(venue, 1)) == 2 and len(filters(venue, 2)) == 2
        assert ("disconnected", "private", "no answer to 2 personal filters") in me.life

    play(script, acknowledge_timeout=0.1, acknowledge_tries=2)


def test_a_refused_filter_falls_back_to_everything():
    async def script(venue, stream, me, watch):
        venue.answers["personal.filter"] = [{"channel": "rs.error", "data": "invalid param"}]
        await stream.listen(me, ["order"])
        assert stream.refusals == {"personal.filter": "invalid param"}
        assert "subscribe" not in venue.requests("login")[-1]
        await venue.push(push("asset", currency="USDT"), -1)
        await venue.push(push("order", symbol="BTC_USDT"), -1)
        await watch.until(lambda: me.events)
        assert [event.channel for event in me.events] == ["push.personal.order"]

    play(script)


def asset(ts, available):
    return {"channel": "push.personal.asset", "ts": ts,
            "data": {"currency": "USDT", "availableBalance": available}}


def test_a_rotation_makes_before_it_breaks_and_tells_everything_once():
    async def script(venue, stream, me, watch):
        told = []
        stream.notices.watch(told.append)
        await stream.listen(me, ["asset", "order"])
        await venue.push(asset(1, 5), 0)
        rotating = asyncio.create_task(stream.rotate("a test"))
        while not stream.rotations:  # noqa: ASYNC110 - told when the old socket is closed
            await asyncio.sleep(0.002)
        assert [asked["method"] for n, asked, _ in venue.seen if n == 2][:2] == [
            "login", "personal.filter"] and not venue.sockets[0].closed
        for number in (0, 1, 0):                # a copy, and the same state once more
            await venue.push(asset(2, 6), number)
        await venue.push(asset(3, 5), 1)
        await venue.push(asset(3, 5), 0)
        await watch.until(lambda: len(me.events) == 4)
        assert await rotating
        assert venue.sockets[0].closed and not venue.sockets[1].closed
        await venue.push(asset(4, 7), 1)
        await watch.until(lambda: len(me.events) == 5)
        assert [event.available for event in me.events] == [5, 6, 6, 5, 7]
        assert [type(event).__name__ for event in told] == ["Connected", "Rotated"]
        assert (told[1].old, told[1].connection) == ("private", "private-2")
        assert not any("disconnected" in each for each in me.life)
        await venue.sockets[1].close()
        await watch.until(lambda: ("reconnected", "private-2") in me.life)

    play(script, rotation_overlap=1.0)


@pytest.mark.parametrize("answer", [
    None, "close", {"channel": "rs.error", "data": "Confirming signature failed"}])
def test_a_rotation_that_fails_leaves_the_old_socket(answer):
    async def script(venue, stream, me, watch):
        await stream.listen(me)
        venue.answers["login"] = [answer] * 200
        assert not await stream.rotate("a test")
        assert stream.is_live and stream.login_error is None
        await venue.push(asset(1, 5), 0)
        await watch.until(lambda: me.events)
        assert not any("disconnected" in each for each in me.life)
        venue.answers["login"].clear()
        assert await stream.rotate("a test")

    play(script, rotation_timeout=0.3, acknowledge_timeout=0.1, backoff_cap_ms=50)


def test_the_old_socket_may_be_lost_while_the_new_one_logs_in():
    async def script(venue, stream, me, watch):
        await stream.listen(me)
        venue.answers["login"] = [None]
        rotating = asyncio.create_task(stream.rotate("a test"))
        await watch.until(lambda: venue.requests("login", 2))
        venue.answers["login"] = [None] * 50
        await venue.sockets[0].close()
        await watch.until(lambda: any("disconnected" in each for each in me.life))
        await venue.push({"channel": "rs.login", "data": "success"}, 1)
        assert await rotating
        assert stream.is_live and ("reconnected", "private-2") in me.life
        await venue.push(asset(1, 5), 1)
        await watch.until(lambda: me.events)

    play(script)


def test_closing_while_the_old_socket_of_a_rotation_closes_comes_to_an_end():
    async def script(venue, stream, me, watch):
        await stream.listen(me)
        old = stream.connection                 # it is rotated away soon
        closes, reached = old.close, asyncio.Event()

        async def close():
            reached.set()
            await closes()

        old.close = close
        await reached.wait()                    # the next turn of the loop is inside of close()
        await asyncio.wait_for(stream.close(), 30)
        assert stream.connection is None and not stream._tasks

    play(script, rotate_after=0.3, rotate_spread=0.01)


def test_sockets_are_rotated_by_themselves():
    async def script(venue, stream, me, watch):
        await stream.listen(me)
        await watch.until(lambda: stream.rotations >= 3 and len(venue.sockets) >= 4)
        assert not any("disconnected" in each for each in me.life)

    play(script, rotate_after=0.2, rotate_spread=0.1, rotation_overlap=0.02)


def test_closing_releases_whoever_waits():
    async def script(venue, stream, me, watch):
        venue.answers["login"] = [None]
        waiting = asyncio.create_task(stream.listen(me))
        await watch.until(lambda: venue.requests("login"))
        await stream.close()
        with pytest.raises(ConnectFailed, match="closed"):
            await waiting

    play(script)


def test_a_call_that_is_cancelled_leaves_nothing_behind():
    async def script(venue, stream, me, watch):
        venue.answers["login"] = [None]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.listen(me), 0.1)
        assert stream.state is StreamState.CLOSED
        await stream.listen(me)

    play(script)


def test_a_listener_that_raises_stops_nobody():
    class Broken(Me):
        def on_event(self, event):
            raise RuntimeError("mine")

    async def script(venue, stream, me, watch):
        await stream.listen(Broken(watch))
        await stream.listen(me)
        await venue.push(push("asset", currency="USDT"))
        await watch.until(lambda: me.events)

    play(script)


def test_wishes_are_checked():
    assert wishes(None) == dict.fromkeys(PERSONAL)
    assert wishes("order") == wishes(["order"]) == {"order": None}
    assert wishes({"order": ["A", "B"], "asset": []}) == {"order": {"A", "B"}, "asset": None}
    for wrong in (["orders"], {"order": "BTC_USDT"}, {"asset": ["BTC_USDT"]}, []):
        with pytest.raises(ValueError):
            wishes(wrong)
    assert set(FILTERS) < set(PERSONAL)


def test_the_union():
    assert union([]) == {}
    assert union([{"order": frozenset("a")}, {"order": frozenset("b"), "asset": None}]) == {
        "order": frozenset("ab"), "asset": None}
    assert union([{"order": frozenset("a")}, {"order": None}]) == {"order": None}
