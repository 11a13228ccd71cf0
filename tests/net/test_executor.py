"""net/executor against a raw server: what is sent, how often, and what is made of the answer."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import time

import pytest

from mexcfast.core.rest import Endpoint, Subject
from mexcfast.core.sign import Signer
from mexcfast.core.throttle import Lane
from mexcfast.errors import (
    BadAnswer,
    BudgetSpent,
    ClockError,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    EdgeError,
    InsufficientBalance,
    IntentError,
    RateLimited,
    RequestTimeout,
    VenueFault,
)
from mexcfast.net.clock import Clock
from mexcfast.net.executor import Executor
from mexcfast.types import Accepted, Rejected, Unknown
from models import hmac_model
from net.scripted_server import CLOSE, HANG, RESET, Server, reply

pytestmark = pytest.mark.usefixtures("path")      # both ways of order entry

KEY, SECRET = "mxU1TzSmRDW1o5AsE", "mexcfast-demo-secret-0001"
ABOUT = Subject("BTC_USDT", "cl-1")
BODY = b'{"symbol":"BTC_USDT","vol":10}'
OK = b'{"success":true,"code":0,"data":{"orderId":"17","ts":1779799999123}}'
FAST = {"order_place": (1000, 1), "balances": (1000, 1)}


def play(script, steps, *, limits=FAST, wait_for_budget=False, signer=True, clock=None,
         **settings):
    """Run steps(executor, server) against a scripted server; returns what it returns."""
    async def main():
        async with Server(script) as server:
            endpoint = Endpoint.at(server.url, limits=limits, margin_ms=0, warm_connections=1,
                                   **settings)
            async with Executor(endpoint, Signer(KEY, SECRET) if signer else None, clock,
                                wait_for_budget=wait_for_budget) as executor:
                await executor.warm_up()
                return await steps(executor, server)

    result = asyncio.run(main())
    gc.collect()    # an unclosed socket or an exception nobody fetched would warn here
    return result


def place(executor, **more):
    return executor.execute("create", BODY, ABOUT, **more)


# -- what is sent --------------------------------------------------------------------------------

def test_bytes_signed_are_the_bytes_sent():
    async def steps(executor, server):
        outcome = await place(executor)
        await executor.request("history", params={"symbol": "币_USDT", "states": [2, 3]})
        return outcome, server.seen

    def script(seen):
        return reply(OK if seen.method == "POST" else b'{"success":true,"code":0,"data":[]}')

    outcome, (post, get) = play(script, steps, recv_window_s=20, language="Korean")
    assert outcome == Accepted("BTC_USDT", "cl-1", 17, 1779799999123)
    assert (post.target, post.body) == ("/api/v1/private/order/create", BODY)
    assert get.target == ("/api/v1/private/order/list/history_orders"
                          "?states=2%2C3&symbol=%E5%B8%81_USDT")
    for seen, payload in ((post, BODY), (get, get.target.split("?")[1].encode())):
        now_ms = int(seen.headers["Request-Time"])
        assert abs(now_ms - time.time() * 1000) < 60_000
        assert seen.headers["Signature"] == hmac_model.signature(KEY, SECRET, now_ms, payload)
        assert seen.headers["ApiKey"] == KEY
        assert seen.headers["Content-Type"] == "application/json"
        assert seen.headers["Recv-Window"] == "20"
        assert seen.headers["Language"] == "Korean"
        assert seen.headers["User-Agent"] == "mexcfast"
        assert "Cookie" not in seen.headers


def test_public_requests_carry_no_key():
    async def steps(executor, server):
        result = await executor.request("ping")
        return result, server.seen

    now = b'{"success":true,"code":0,"data":1761875313209}'
    result, (seen,) = play(lambda seen: reply(now, Set_Cookie="a=b"), steps, signer=False)
    assert result == 1761875313209
    assert not {"ApiKey", "Request-Time", "Signature"} & set(seen.headers)


def test_mistakes_send_nothing():
    async def steps(executor, server):
        for name, call in (("nope", executor.execute), ("nope", executor.request),
                           ("depth", executor.request)):
            with pytest.raises(IntentError):
                await call(name)
        with pytest.raises(ConfigError, match="request"):
            await executor.execute("balances")
        with pytest.raises(ConfigError, match="execute"):
            await executor.request("create")
        assert not server.seen

    play(lambda seen: reply(), steps)


def test_private_needs_a_signer():
    async def steps(executor, server):
        with pytest.raises(ConfigError, match="Signer"):
            await executor.request("balances")
        with pytest.raises(ConfigError, match="Signer"):
            await place(executor)
        assert not server.seen

    play(lambda seen: reply(), steps, signer=False)


# -- one order, every way it can end -------------------------------------------------------------

@pytest.mark.parametrize(("act", "kind", "reason"), [
    (reply(OK), Accepted, None),
    (reply(b'{"success":false,"code":2005,"message":"x"}'), Rejected, "InsufficientBalance"),
    (reply(b'{"success":false,"code":602}', 400), Rejected, "SignatureError"),
    (reply(b"<html>", 403), Rejected, "EdgeError"),
    (reply(b"<html>", 502), Unknown, "EdgeError"),
    (reply(b"", 500), Unknown, "BadAnswer"),
    (reply(b"", 302, Location="/api/v1/private/order/create"), Unknown, "BadAnswer"),
    (reply(b"", 307, Location="/api/v1/private/order/create"), Unknown, "BadAnswer"),
    (reply(b"gibberish"), Unknown, "BadAnswer"),
    (reply(b"junk", Content_Encoding="gzip"), Unknown, None),
    (b"not http at all\r\n\r\n", Unknown, "BadAnswer"),
    (CLOSE, Unknown, "ConnectionLost"),
    (RESET, Unknown, "ConnectionLost"),
    (HANG, Unknown, "RequestTimeout"),
    ((reply(OK)[:-5], CLOSE), Unknown, "ConnectionLost"),
    ((reply(OK)[:-5], HANG), Unknown, "RequestTimeout"),
    ((b"HTTP/1.1 200 OK\r\nContent-", CLOSE), Unknown, "ConnectionLost"),
], ids=str)
def test_an_order_is_sent_once_whatever_happens(act, kind, reason):
    async def steps(executor, server):
        outcome = await place(executor)
        return outcome, [seen for seen in server.seen if seen.method == "POST"]

    outcome, posts = play(lambda seen: act, steps, timeout_ms=150)
    assert len(posts) == 1
    assert type(outcome) is kind
    assert (outcome.symbol, outcome.client_order_id) == ("BTC_USDT", "cl-1")
    if reason is not None:
        assert outcome.reason == reason
        for text in (repr(outcome), str(outcome.error)):
            assert KEY not in text
            assert SECRET not in text
            assert posts[0].headers["Signature"] not in text
    if kind is Unknown:
        assert outcome.ts_sent_ms == int(posts[0].headers["Request-Time"])


def test_no_connection_means_rejected():
    async def main():
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = Endpoint.at(f"http://127.0.0.1:{unused.getsockname()[1]}")
            async with Executor(endpoint, Signer(KEY, SECRET)) as executor:
                outcome = await place(executor)
                assert isinstance(outcome, Rejected)
                assert isinstance(outcome.error, ConnectFailed)
                with pytest.raises(ConnectFailed):
                    await executor.request("ping")

    asyncio.run(main())


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["close", "reset"])
def test_a_dead_kept_alive_connection_never_doubles_an_order(end):
    """The server answers once, then takes the next order on that connection and hangs up."""
    def script(seen):
        first = len([1 for other in server_seen if other.connection == seen.connection]) == 1
        return reply(OK) if first else end

    server_seen = []

    async def steps(executor, server):
        nonlocal server_seen
        server_seen = server.seen
        outcomes = [await place(executor), await place(executor), await place(executor)]
        return outcomes, list(server.seen), server.connections

    outcomes, seen, connections = play(script, steps)
    assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown, Accepted]
    assert outcomes[1].reason == "ConnectionLost"
    assert len(seen) == 3, "each order arrived exactly once"
    assert [request.connection for request in seen] == [1, 1, 2]
    assert connections == 2


def test_a_connection_closed_while_idle_loses_no_order():
    """The server closes after its answer; whatever the client notices, nothing is sent twice."""
    async def steps(executor, server):
        outcomes = [await place(executor) for _ in range(3)]
        return outcomes, len(server.seen)

    outcomes, arrived = play(lambda seen: (reply(OK), CLOSE), steps)
    assert arrived <= 3
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == arrived
    assert not any(isinstance(outcome, Rejected) for outcome in outcomes)


def test_connections_are_reused():
    async def steps(executor, server):
        for _ in range(5):
            await place(executor)
        return server.connections

    assert play(lambda seen: reply(OK), steps) == 1


# -- reads ---------------------------------------------------------------------------------------

@pytest.mark.parametrize(("act", "kind", "tries"), [
    (reply(b'{"success":false,"code":2005}'), InsufficientBalance, 1),
    (reply(b'{"success":false,"code":500}', 500), VenueFault, 2),
    (reply(b'{"success":false,"code":501}'), VenueFault, 2),
    (reply(b"<html>", 503), EdgeError, 2), (reply(b"<html>"), EdgeError, 1),
    (reply(b"", 502), BadAnswer, 2), (HANG, RequestTimeout, 2),
    (CLOSE, ConnectionLost, 2),     # aiohttp's own repeat would take no slot of the budget
    (reply(b"x"), BadAnswer, 1), (reply(b'{"success":true,"code":0,"data":[{}]}'), BadAnswer, 1),
])
def test_reads_raise(act, kind, tries):
    async def steps(executor, server):
        executor.read_tries = 2
        with pytest.raises(kind):
            await executor.request("balances")
        return len([seen for seen in server.seen if seen.method == "GET"])

    assert play(lambda seen: act, steps, timeout_ms=100) == tries


def test_a_read_survives_a_fault_that_passes():
    acts = [reply(b"", 500), CLOSE, reply(b'{"success":true,"code":0,"data":[]}')]

    async def steps(executor, server):
        return await executor.request("balances")

    assert play(lambda seen: acts.pop(0), steps) == ()
    with pytest.raises(ConfigError, match="read_tries"):
        Executor(read_tries=0)


# -- budgets -------------------------------------------------------------------------------------

def test_orders_over_the_budget_are_refused_here():
    async def steps(executor, server):
        assert (executor.free("create"), executor.next_free_ns("create")) == (4, 0)
        outcomes = [await place(executor) for _ in range(6)]
        return outcomes, len(server.seen), executor.free("create"), executor.next_free_ns("submit")

    outcomes, arrived, free, wait_ns = play(lambda seen: reply(OK), steps, limits={})
    assert arrived == 4
    assert all(isinstance(outcome, Accepted) for outcome in outcomes[:4])
    for outcome in outcomes[4:]:
        assert isinstance(outcome, Rejected)
        assert isinstance(outcome.error, BudgetSpent)
        assert 0 < outcome.error.wait_ns <= 2_000_000_000
    assert free == 0
    assert 0 < wait_ns <= 2_000_000_000


def test_waiting_orders_leave_by_lane():
    async def steps(executor, server):
        async def one(name, lane):
            return await executor.execute("create", name, ABOUT, wait=True, lane=lane)

        tasks = [asyncio.create_task(one(name, lane)) for name, lane in (
            (b"first", Lane.OPEN), (b"open", Lane.OPEN), (b"amend", Lane.AMEND),
            (b"late open", Lane.OPEN), (b"reduce", Lane.REDUCE))]
        refused = None
        await asyncio.sleep(0)
        refused = await place(executor, wait=False)
        await asyncio.gather(*tasks)
        return refused, [seen.body for seen in server.seen]

    refused, bodies = play(lambda seen: reply(OK), steps, limits={"order_place": (1, 20)})
    assert bodies == [b"first", b"reduce", b"amend", b"open", b"late open"]
    assert refused.reason == "BudgetSpent", "nobody overtakes those who wait"


def test_a_cancelled_waiter_sends_nothing_and_takes_no_slot():
    async def steps(executor, server):
        await place(executor)
        gone = asyncio.create_task(place(executor, wait=True))
        stays = asyncio.create_task(place(executor, wait=True))
        await asyncio.sleep(0)
        gone.cancel()
        assert isinstance(await stays, Accepted)
        assert gone.cancelled()
        return len(server.seen)

    assert play(lambda seen: reply(OK), steps, limits={"order_place": (1, 20)}) == 2


def test_closing_ends_the_wait_without_sending():
    async def steps(executor, server):
        await place(executor)
        waiting = asyncio.create_task(place(executor, wait=True))
        await asyncio.sleep(0)
        await executor.close()
        outcome = await waiting
        assert isinstance(outcome, Rejected)
        assert isinstance(outcome.error, ConnectFailed)
        return len(server.seen)

    assert play(lambda seen: reply(OK), steps, limits={"order_place": (1, 60_000)}) == 1


@pytest.mark.parametrize("act", [reply(b'{"success":false,"code":510,"message":"x"}'),
                                 reply(b"", 429)])
def test_too_frequent_closes_the_group_for_a_window(act):
    async def steps(executor, server):
        first, second = await place(executor), await place(executor)
        with pytest.raises(RateLimited):
            await executor.request("balances")
        return first, second, len(server.seen), executor.free("balances")

    first, second, arrived, free = play(lambda seen: act, steps,
                                        limits={"balances": (20, 60_000)})
    assert isinstance(first, Rejected)
    assert isinstance(first.error, RateLimited)
    # order_place has a window of 1 ms here, so only balances is still closed
    assert arrived in (2, 3)
    assert free == 0
    assert second.reason in ("BudgetSpent", "RateLimited")


# -- the queue -----------------------------------------------------------------------------------

SLOW = {"order_place": (1, 100)}


def test_an_outdated_order_never_leaves():
    async def steps(executor, server):
        first = await place(executor)
        waiting = [asyncio.create_task(executor.execute(
            "create", name, ABOUT, wait=True, lane=Lane.OPEN, **more)) for name, more in (
            (b"bid 1", {"key": "bid"}), (b"bid 2", {"key": "bid"}), (b"old", {"max_age_ms": 20}),
            (b"bid 3", {"key": "bid", "keep": True}))]
        await asyncio.sleep(0)
        queue = executor.queue()
        outcomes = await asyncio.gather(*waiting)
        return first, queue, outcomes, [seen.body for seen in server.seen]

    first, queue, outcomes, sent = play(lambda seen: reply(OK), steps, limits=SLOW)
    assert isinstance(first, Accepted)
    assert [(queued.lane, queued.key, queued.about) for queued in queue] == [
        (Lane.OPEN, "bid", ABOUT), (Lane.OPEN, None, ABOUT)]
    assert [type(outcome) for outcome in outcomes] == [Rejected, Accepted, Rejected, Rejected]
    assert [outcomes[n].error.reason for n in (0, 2, 3)] == ["replaced", "outdated", "kept"]
    assert sent == [BODY, b"bid 2"]


def test_a_late_body_is_asked_for_when_the_slot_is_there():
    bodies, times = [b"early"], []

    async def steps(executor, server):
        await place(executor)
        task = asyncio.create_task(executor.execute(
            "create", lambda: bodies.pop(), ABOUT, wait=True, on_send=times.append))
        await asyncio.sleep(0)
        bodies[0] = b"late"
        await task
        return server.seen[1]

    seen = play(lambda seen: reply(OK), steps, limits=SLOW)
    assert seen.body == b"late"
    assert times == [int(seen.headers["Request-Time"])]


def test_what_on_send_raises_stops_the_request():
    def refuse(ts_ms):
        raise OSError("disk full")

    async def steps(executor, server):
        with pytest.raises(OSError, match="disk"):
            await place(executor, on_send=refuse)
        assert not server.seen

    play(lambda seen: reply(OK), steps)


# -- penalties -----------------------------------------------------------------------------------

def test_the_edge_firewall_closes_what_adds_risk_and_lets_cancels_try():
    async def steps(executor, server):
        told = []
        executor.on_penalty = lambda what, until_ms: told.append(what)
        refused = await place(executor)
        blocked = await place(executor)
        reducing = await place(executor, lane=Lane.REDUCE)
        cancel = await executor.execute("cancel", b"[1]")
        return refused, blocked, reducing, cancel, told, len(server.seen)

    refused, blocked, reducing, cancel, told, arrived = play(
        lambda seen: reply(b"<html>", 403), steps)
    assert refused.reason == reducing.reason == cancel.reason == "EdgeError"
    assert blocked.reason == "BudgetSpent"
    assert 100e9 < blocked.error.wait_ns < 130e9
    assert (told, arrived) == (["edge POST"] * 3, 3)


def test_a_block_on_opening_leaves_reducing_alone():
    async def steps(executor, server):
        outcomes = [await place(executor, lane=lane)
                    for lane in (Lane.OPEN, Lane.OPEN, Lane.REDUCE)]
        return outcomes

    refused, blocked, reducing = play(
        lambda seen: reply(b'{"success":false,"code":6026,"message":"x"}'), steps)
    assert refused.code == reducing.code == 6026
    assert blocked.reason == "BudgetSpent"


def test_penalties_of_an_earlier_run_are_respected():
    async def steps(executor, server):
        now_ms = executor.clock.wall_ms()
        executor.restore_penalties({"rate order_place": now_ms + 60_000, "edge GET": now_ms + 500,
                                    "rate balances": now_ms - 1})
        outcome = await place(executor)
        assert isinstance(outcome.error, BudgetSpent)
        assert 50e9 < outcome.error.wait_ns < 61e9
        assert not server.seen
        await executor.request("balances")
        assert executor.clock.wall_ms() >= now_ms + 500

    play(lambda seen: reply(b'{"success":true,"code":0,"data":[]}'), steps)


# -- the clock -----------------------------------------------------------------------------------

class Venue:
    """A venue whose clock is 20 s behind ours and which insists on it."""

    def __init__(self):
        self.pings = 0

    def now_ms(self):
        return int(time.time() * 1000) - 20_000

    def __call__(self, seen):
        if seen.target.endswith("/ping"):
            self.pings += 1
            return reply(b'{"success":true,"code":0,"data":%d}' % self.now_ms())
        late = self.now_ms() - int(seen.headers["Request-Time"])
        if not 0 <= late <= 10_000:
            return reply(b'{"success":false,"code":513,"message":"x"}')
        return reply(OK if seen.method == "POST" else b'{"success":true,"code":0,"data":[]}')


def test_a_read_outside_the_window_resyncs_once():
    async def steps(executor, server):
        assert await executor.request("balances") == ()
        assert await executor.request("balances") == ()
        return [seen.target.rsplit("/", 1)[1] for seen in server.seen]

    assert play(Venue(), steps) == ["assets", "ping", "assets", "assets"]


def test_a_write_outside_the_window_is_not_resent():
    async def steps(executor, server):
        first, second = await place(executor), await place(executor)
        assert isinstance(first, Rejected)
        assert isinstance(first.error, ClockError)
        assert isinstance(second, Accepted)
        return [seen.target.rsplit("/", 1)[1] for seen in server.seen]

    assert play(Venue(), steps) == ["create", "ping", "create"]


def test_a_clock_that_cannot_be_learnt_is_reported_once():
    async def steps(executor, server):
        with pytest.raises(BadAnswer):
            await executor.request("balances")
        with pytest.raises(BadAnswer):
            await executor.request("balances")
        outcome = await place(executor)
        assert isinstance(outcome.error, ClockError)

    def script(seen):
        if seen.target.endswith("/ping"):
            return reply(b'{"success":true,"code":0,"data":5}')
        return reply(b'{"success":false,"code":513,"message":"x"}')

    play(script, steps)


def test_sync_clock():
    venue = Venue()

    async def steps(executor, server):
        await executor.sync_clock(3)
        assert executor.clock.is_synced
        assert -20_500 < executor.clock.offset_ms < -19_500
        assert 0 <= executor.clock.error_ms < 500

    play(venue, steps, clock=Clock())
    assert venue.pings == 3


def test_json_of_the_body_survives():
    async def steps(executor, server):
        await executor.execute("change_leverage", json.dumps({"leverage": 5}).encode())
        return server.seen[0].body

    assert play(lambda seen: reply(b'{"success":true,"code":0}'), steps) == b'{"leverage": 5}'


# -- a connection for reads before it is needed --------------------------------------------------

BOOK = reply(b'{"success":true,"code":0,"data":{"asks":[],"bids":[],"version":1}}' + b" " * 512)
NOW = reply(b'{"success":true,"code":0,"data":1761875313209}')


@pytest.mark.parametrize("ping", [NOW, reply(b"", 404), reply(b"gibberish"), reply(b"x", 503)],
                         ids=["fine", "404", "gibberish", "503"])
def test_a_fetch_takes_the_connection_that_was_opened_for_it(ping):
    async def steps(executor, server):
        executor.warm_reads()
        executor.warm_reads()
        await executor.fetch("depth", {"symbol": "BTC_USDT"})
        executor.warm_reads()               # one is there
        await executor.fetch("depth", {"symbol": "BTC_USDT"})
        assert executor.clock.is_synced == (ping is NOW)
        return [(seen.target.rsplit("/", 1)[1], seen.connection) for seen in server.seen]

    def script(seen):
        return ping if seen.target.endswith("ping") else BOOK

    seen = play(script, steps, signer=False)
    assert [target for target, _ in seen] == ["ping", "BTC_USDT", "BTC_USDT"]
    assert len({connection for _, connection in seen}) == 1


def test_a_fetch_does_not_wait_for_ever_for_it(monkeypatch):
    monkeypatch.setattr("mexcfast.net.executor.WARMING_S", 0.01)

    async def steps(executor, server):
        executor.warm_reads()
        await executor.fetch("depth", {"symbol": "BTC_USDT"})

    play(lambda seen: HANG if seen.target.endswith("ping") else BOOK, steps, signer=False)


def test_nothing_of_it_is_left_behind():
    async def steps(executor, server):
        executor.warm_reads()
        await asyncio.sleep(0)
        await executor.close()
        assert executor._warming is None

    play(lambda seen: HANG, steps, signer=False)
