"""net/pool, net/connection and net/repair against a scripted venue on loopback."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

import pytest

from mexcfast.core import topics as T
from mexcfast.core.depth import State
from mexcfast.core.stream_events import Disconnected, Gap, Live, Refused, Repairing, Rotated
from mexcfast.errors import BookError, NetworkError, VenueError
from mexcfast.net.connection import ConnectionState, StreamSettings, TopicState
from mexcfast.net.pool import Pool
from mexcfast.net.stream import NativeStream
from mexcfast.net.transport import PythonStream
from models.frames import commits_text, snapshot_text
from net.scripted_stream import BTC, DEAL, QUICK, Me, Rest, Venue, Watch, depth, play


@pytest.mark.parametrize("cls", [NativeStream, PythonStream])
def test_subscribe_receive_unsubscribe(cls):
    async def script(venue, pool, me, watch, rest):
        topic = T.deals(BTC)
        pool.subscribe(me, topic)
        assert pool.state_of(topic) is TopicState.WAITING
        await watch.until(lambda: venue.requests("sub.deal"))
        await venue.push(DEAL)
        await watch.until(lambda: me.events)
        assert pool.state_of(topic) is TopicState.LIVE
        assert me.events[0].deals[0].trade_id == 4
        assert me.life == [("connected", "public-1")]
        pool.unsubscribe(me, topic)
        await watch.until(lambda: venue.requests("unsub.deal"))
        assert pool.state_of(topic) is None
        assert venue.requests("unsub.deal") == [{"method": "unsub.deal", "param": {"symbol": BTC}}]
        pool.unsubscribe(me, topic)

    play(script, cls=cls)


def test_two_listeners_share_a_topic():
    async def script(venue, pool, me, watch, rest):
        other = Me(watch)
        for listener in (me, other, me):
            pool.subscribe(listener, T.deals(BTC))
        await watch.until(lambda: venue.requests("sub.deal"))
        pool.unsubscribe(me, T.deals(BTC))
        await venue.push(DEAL)
        await watch.until(lambda: other.events)
        assert not me.events and not venue.requests("unsub.deal")
        assert len(venue.requests("sub.deal")) == 1

    play(script)


def test_thirty_topics_a_socket():
    async def script(venue, pool, me, watch, rest):
        for number in range(65):
            pool.subscribe(me, T.deals(f"S{number}_USDT"))
        await watch.until(lambda: len(venue.requests("sub.deal")) == 65)
        assert sorted(len(venue.requests("sub.deal", n)) for n in (1, 2, 3)) == [5, 30, 30]
        assert [len(c.topics) for c in pool.connections] == [30, 30, 5]
        pool.unsubscribe(me, T.deals("S3_USDT"))
        pool.subscribe(me, T.ticker("S3_USDT"))
        assert [len(c.topics) for c in pool.connections] == [30, 30, 5], "the free place is used"

    play(script)


def test_requests_are_paced():
    async def script(venue, pool, me, watch, rest):
        for number in range(7):
            pool.subscribe(me, T.deals(f"S{number}_USDT"))
        await watch.until(lambda: len(venue.requests("sub.deal")) == 7)
        times = [at for _, asked, at in venue.seen]
        for first, sixth in zip(times, itertools.islice(times, 5, None), strict=False):
            assert sixth - first > 0.9, "more than five messages within a second"

    play(script, messages_per_second=5, ping_interval=10)


def test_after_a_loss_everything_is_asked_for_again():
    async def script(venue, pool, me, watch, rest):
        wanted = [T.deals(BTC), T.kline(BTC, "Min1"), T.kline(BTC, "Min5"), T.tickers()]
        for topic in wanted:
            pool.subscribe(me, topic)
        await watch.until(lambda: len(venue.seen) >= 4)
        before = sorted(json.dumps(asked) for _, asked, _ in venue.seen
                        if asked["method"] != "ping")
        await venue.sockets[0].close()
        await watch.until(lambda: len(venue.requests("sub.kline", 2)) == 2
                          and venue.requests("sub.tickers", 2))
        again = sorted(json.dumps(asked) for n, asked, _ in venue.seen
                       if n == 2 and asked["method"] != "ping")
        assert again == before
        await venue.push(DEAL)
        await watch.until(lambda: me.events)
        assert [call[0] for call in me.life] == ["connected", "disconnected", "reconnected"]
        assert me.life[1][2] == "closed by the peer"
        assert all(pool.state_of(topic) is TopicState.LIVE for topic in wanted)
        assert pool.connections[0].opened == 2

    play(script)


def test_a_socket_that_breaks_without_a_word():
    async def script(venue, pool, me, watch, rest):
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: venue.requests("sub.deal"))
        venue.sockets[0]._req.transport.abort()
        await watch.until(lambda: venue.requests("sub.deal", 2))
        assert [call[0] for call in me.life[:2]] == ["connected", "disconnected"]

    play(script)


def test_a_venue_that_is_not_there_yet():
    async def run():
        watch = Watch()
        async with Venue(watch) as venue:
            url = venue.url
        pool = Pool(url, Rest(watch).fetch, StreamSettings(**QUICK))
        me = Me(watch)
        pool.subscribe(me, T.deals(BTC))
        connection = pool.connections[0]
        while not connection.lost_because:      # noqa: ASYNC110 - nobody is told of a first failure
            await asyncio.sleep(0)
        assert connection.lost_because.startswith(f"cannot connect to {url}")
        assert connection.state is ConnectionState.CONNECTING
        await pool.close()
        assert connection.state is ConnectionState.CLOSED
        assert me.life == []

    asyncio.run(run())


def test_refused_acknowledgements():
    async def script(venue, pool, me, watch, rest):
        venue.answers["sub.ticker"] = [{"channel": "rs.sub.ticker", "data": "failed"}]
        venue.answers["sub.deal"] = [{"channel": "rs.sub.deal", "data": {"code": 401, "msg": "no"}}]
        pool.subscribe(me, T.ticker(BTC))
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: len(me.refused) == 2)
        assert me.refused == [(T.ticker(BTC), "failed"), (T.deals(BTC), "no")]
        assert pool.state_of(T.ticker(BTC)) is TopicState.REFUSED
        assert pool.refusals[T.deals(BTC)] == "no"
        with pytest.raises(VenueError, match="failed"):
            pool.raise_refusal(T.ticker(BTC))
        assert pool.connections[0].is_open and len(venue.sockets) == 1

    play(script)


def test_an_error_belongs_to_the_oldest_open_request():
    async def script(venue, pool, me, watch, rest):
        venue.answers["sub.ticker"] = [None]
        venue.answers["sub.deal"] = [{"channel": "rs.error", "data": "Contract [X] not exists"}]
        pool.subscribe(me, T.ticker("X_USDT"))
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: me.refused)
        assert me.refused == [(T.ticker("X_USDT"), "Contract [X] not exists")]
        assert pool.state_of(T.deals(BTC)) is TopicState.ASKED
        assert pool.connections[0].is_open
        await venue.push({"channel": "rs.sub.deal", "data": "success"})
        await venue.push({"channel": "rs.error", "data": "out of the blue"})
        await venue.push(DEAL)
        await watch.until(lambda: me.events)
        assert pool.state_of(T.deals(BTC)) is TopicState.LIVE
        assert pool.refusals[None] == "out of the blue"

    play(script)


def test_a_missing_acknowledgement_is_asked_for_again():
    async def script(venue, pool, me, watch, rest):
        venue.answers["sub.deal"] = [None]
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: len(venue.requests("sub.deal")) == 2)
        await venue.push(DEAL)
        await watch.until(lambda: me.events)
        assert pool.state_of(T.deals(BTC)) is TopicState.LIVE
        assert len(venue.sockets) == 1

    play(script, acknowledge_timeout=0.1, ping_interval=30)


def test_no_acknowledgement_at_all():
    async def script(venue, pool, me, watch, rest):
        venue.answers["sub.deal"] = [None] * 9
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: me.refused)
        assert me.refused == [(T.deals(BTC), "no answer to 3 requests")]
        assert len(venue.requests("sub.deal")) == 3
        assert len(venue.sockets) == 1

    play(script, acknowledge_timeout=0.1, ping_interval=30)


def test_what_delivers_needs_no_acknowledgement():
    async def script(venue, pool, me, watch, rest):
        venue.answers["sub.deal"] = [DEAL]
        venue.answers["sub.ticker"] = [None] * 9
        pool.subscribe(me, T.deals(BTC))
        pool.subscribe(me, T.ticker(BTC))
        await watch.until(lambda: me.refused)
        assert me.refused[0][0] == T.ticker(BTC)
        assert pool.state_of(T.deals(BTC)) is TopicState.LIVE
        assert len(venue.requests("sub.deal")) == 1

    play(script, acknowledge_timeout=0.1, ping_interval=30)


def test_what_the_last_socket_delivered_says_nothing_about_the_next():
    async def script(venue, pool, me, watch, rest):
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: venue.requests("sub.deal"))
        await venue.push(DEAL)
        await watch.until(lambda: me.events)
        venue.answers["sub.deal"] = [None]
        await venue.sockets[0].close()
        await watch.until(lambda: len(venue.requests("sub.deal", 2)) == 2)

    play(script, acknowledge_timeout=0.1, ping_interval=30)


def test_a_silent_venue_is_left():
    async def script(venue, pool, me, watch, rest):
        venue.answers["ping"] = [None]
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: ("reconnected", "public-1") in me.life)
        assert me.life[1] == ("disconnected", "public-1", "no pong within 0.1 s")
        await watch.until(lambda: len(venue.requests("ping", 2)) >= 2)
        connection = pool.connections[0]
        await watch.until(lambda: connection.pongs >= 1)
        assert connection.round_trip_ns > 0

    play(script, ping_interval=0.05, pong_deadline=0.1)


def test_a_book_from_subscription_to_repair():
    async def script(venue, pool, me, watch, rest):
        topic = T.depth(BTC)
        pool.subscribe(me, topic)
        await watch.until(lambda: me.books)
        book = pool.books[BTC]
        assert (book.version, me.books, book.is_live) == (100, [100], True)
        await venue.push(depth(101, 102, asks=[(11, 1)]))
        await venue.push(depth(105, 106, asks=[(12, 1)]))
        await watch.until(lambda: (State.REPAIRING, State.LIVE) in me.states)
        assert (book.version, me.books) == (106, [100, 102, 106])
        assert rest.asked == [("depth", BTC), ("depth_commits", BTC)]
        with pytest.raises(BookError, match="one kind of depth"):
            pool.subscribe(me, T.depth(BTC, compress=False))
        await venue.sockets[0].close()
        await watch.until(lambda: me.books[-1] == 100 and len(venue.sockets) == 2)
        assert me.states[-2:] == [(State.INIT, State.SYNCING), (State.SYNCING, State.LIVE)] or (
            me.states[-1] == (State.SYNCING, State.LIVE))
        assert (State.LIVE, State.SYNCING) in me.states, "lost: not LIVE"
        assert book is pool.books[BTC]
        pool.unsubscribe(me, topic)
        assert book.state is State.STOPPED and BTC not in pool.books
        await watch.until(lambda: venue.requests("unsub.depth"))

    play(script, rest={"depth": [snapshot_text(100, [], [])], "depth_commits": [
        commits_text([(n, [], []) for n in (104, 103, 102)])]})


def test_commits_that_do_not_reach_lead_to_a_snapshot():
    async def script(venue, pool, me, watch, rest):
        pool.subscribe(me, T.depth(BTC))
        await watch.until(lambda: me.books)
        await venue.push(depth(105, 106))
        await watch.until(lambda: me.books[-1] == 106)
        assert [name for name, _ in rest.asked] == ["depth", "depth_commits", "depth"]
        assert pool.repairer.requests == {"depth": 2, "depth_commits": 1}

    play(script, rest={"depth": [snapshot_text(100, [], []), snapshot_text(105, [], [])],
                       "depth_commits": [commits_text([(104, [], [])])]})


def test_a_snapshot_that_lags_and_one_that_fails():
    async def script(venue, pool, me, watch, rest):
        await asyncio.sleep(0)
        pool.subscribe(me, T.depth(BTC))
        await watch.until(lambda: rest.asked)
        await venue.push(depth(105, 106))
        await watch.until(lambda: me.books)
        assert me.books == [106]
        assert len(rest.asked) >= 2

    play(script, rest={"depth_commits": [commits_text([])], "depth": [
        NetworkError("cut"), snapshot_text(100, [], []), snapshot_text(104, [], [])]})


def test_a_refused_depth_leaves_no_live_book():
    async def script(venue, pool, me, watch, rest):
        venue.answers["sub.depth"] = [None]
        pool.subscribe(me, T.depth(BTC))
        book = pool.books[BTC]
        await watch.until(lambda: book.state is State.LIVE)
        assert not book.is_live and not me.books, "a snapshot alone: its stream has not spoken"
        assert book.doubt == "its stream has not spoken yet"
        await venue.push({"channel": "rs.error", "data": "Blocked"})
        await watch.until(lambda: me.refused)
        assert book.state is State.STOPPED and not book.is_live
        assert me.states[-1] == (State.LIVE, State.STOPPED)
        await venue.sockets[0].close()
        await watch.until(lambda: book.is_live)      # the next socket asks again

    play(script)


def test_intervals_of_candles_part_one_by_one():
    async def script(venue, pool, me, watch, rest):
        for interval in ("Min1", "Min5"):
            pool.subscribe(me, T.kline(BTC, interval))
        await watch.until(lambda: len(venue.requests("sub.kline")) == 2)
        pool.unsubscribe(me, T.kline(BTC, "Min1"))
        await venue.push({"channel": "push.kline", "symbol": BTC,
                          "data": {"interval": "Min5", "t": 1, "c": 2}})
        await watch.until(lambda: me.events)
        assert me.events[0].interval == "Min5"
        pool.unsubscribe(me, T.kline(BTC, "Min5"))
        await watch.until(lambda: len(venue.requests("unsub.kline")) == 2)

    play(script)


def test_a_listener_that_raises_harms_no_connection():
    class Bad(Me):
        def on_connected(self, connection):
            raise ValueError("mine")

        def on_disconnected(self, connection, why):
            raise ValueError("mine")

    async def script(venue, pool, me, watch, rest):
        bad = Bad(watch)
        pool.subscribe(bad, T.deals(BTC))
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: me.life)
        await venue.sockets[0].close()
        await watch.until(lambda: ("reconnected", "public-1") in me.life)

    play(script)


def test_a_hook_that_subscribes_and_unsubscribes():
    class Busy(Me):
        def on_event(self, event):
            super().on_event(event)
            pool = self.pool
            pool.unsubscribe(self, T.deals(BTC))
            pool.subscribe(self, T.ticker(BTC))

    async def script(venue, pool, me, watch, rest):
        busy = Busy(watch)
        busy.pool = pool
        pool.subscribe(busy, T.deals(BTC))
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: venue.requests("sub.deal"))
        await venue.push(DEAL)
        await venue.push(DEAL)
        await watch.until(lambda: len(me.events) == 2 and venue.requests("sub.ticker"))
        assert len(busy.events) == 1

    play(script)


def test_closing_stops_everything():
    async def script(venue, pool, me, watch, rest):
        pool.subscribe(me, T.depth(BTC))
        await watch.until(lambda: me.books)
        book = pool.books[BTC]
        await pool.close()
        assert book.state is State.STOPPED and book.version == 100
        assert pool.connections[0].state is ConnectionState.CLOSED
        await pool.close()

    play(script)


@pytest.mark.parametrize("wrong", [
    {"ping_interval": 0}, {"topics_per_socket": 31}, {"messages_per_second": 101},
    {"pong_deadline": -1}, {"acknowledge_tries": True}, {"handshake_timeout": "5"},
])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        StreamSettings(**wrong)


def test_what_happens_is_told_as_events(caplog):
    async def script(venue, pool, me, watch, rest):
        seen = []

        def note(event):
            seen.append(event)
            watch.note()

        def bad(event):
            raise RuntimeError("mine")

        pool.watch(bad)
        end = pool.watch(note)
        pool.subscribe(me, T.depth(BTC))
        await watch.until(lambda: me.books)
        await venue.push(depth(105, 106))
        await watch.until(lambda: [e for e in seen if isinstance(e, Live)][1:])
        await venue.sockets[0].close()
        await watch.until(lambda: [e for e in seen if isinstance(e, Live)][2:])
        names = [type(event).__name__ for event in seen]
        assert [name for name in names if name != "Repairing"] == [
            "Connected", "Live", "Gap", "Live", "Disconnected", "Reconnected", "Live"]
        assert [e.by for e in seen if isinstance(e, Repairing)] == [
            "depth", "depth_commits", "depth"]
        gap = next(e for e in seen if isinstance(e, Gap))
        assert (gap.symbol, gap.first, gap.last, gap.connection) == (BTC, 101, 104, "public-1")
        assert all(e.after_ns > 0 for e in seen if isinstance(e, Live))
        lost = next(e for e in seen if isinstance(e, Disconnected))
        assert lost.why == "closed by the peer" and lost.lived_ns > 0
        end()
        end()
        await venue.sockets[1].close()
        await watch.until(lambda: len(venue.sockets) == 3)
        assert len(seen) == len(names)
        lines = [record.getMessage() for record in caplog.records]
        assert str(gap) in lines and str(lost) in lines

    with caplog.at_level("INFO", "mexcfast.net"):
        play(script, rest={"depth": [snapshot_text(100, [], [])], "depth_commits": [
            commits_text([(n, [], []) for n in (104, 103, 102, 101)])]})


def test_a_refusal_that_may_pass_is_asked_for_again():
    async def script(venue, pool, me, watch, rest):
        venue.answers["sub.depth"] = [{"channel": "rs.error", "data": "Blocked"}] * 2
        pool.subscribe(me, T.depth(BTC))
        book = pool.books[BTC]
        await watch.until(lambda: book.is_live)
        assert len(venue.requests("sub.depth")) == 3 and len(venue.sockets) == 1
        assert [why for _, why in me.refused] == ["Blocked", "Blocked"]
        assert pool.state_of(T.depth(BTC)) is TopicState.LIVE and not pool.refusals
        pool.raise_refusal(T.depth(BTC))
        assert book.version == 100

    play(script, refused_retry=0.05, refused_retry_cap=0.1, silence_tick=0.01)


def test_a_refusal_that_is_final_is_not():
    async def script(venue, pool, me, watch, rest):
        seen = []
        pool.watch(seen.append)
        venue.answers["sub.deal"] = [{"channel": "rs.error", "data": "Contract [X] not exists"}]
        venue.answers["sub.ticker"] = [{"channel": "rs.error", "data": "Blocked"}] * 3
        pool.subscribe(me, T.deals("X_USDT"))
        pool.subscribe(me, T.ticker(BTC))
        await watch.until(lambda: len(venue.requests("sub.ticker")) == 4)
        assert len(venue.requests("sub.deal")) == 1
        refused = [event for event in seen if isinstance(event, Refused)]
        assert {event.topic.channel: event.retry_ns is None for event in refused} == {
            "deal": True, "ticker": False}

    play(script, refused_retry=0.05, refused_retry_cap=0.1, silence_tick=0.01)


def test_forms_that_exclude_each_other_live_on_different_sockets():
    async def script(venue, pool, me, watch, rest):
        pool.subscribe(me, T.depth_full(BTC, 5))
        pool.subscribe(me, T.depth_full(BTC, 20))
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: len(venue.requests("sub.depth.full")) == 2)
        assert [[str(topic) for topic in each.topics] for each in pool.connections] == [
            ["depth.full BTC_USDT limit=5", "deal BTC_USDT"], ["depth.full BTC_USDT limit=20"]]

    play(script)


def test_topics_go_where_the_least_is_carried():
    async def script(venue, pool, me, watch, rest):
        first = T.deals("A_USDT")
        pool.subscribe(me, first, redundancy=2)
        one, other = pool.connections
        for second in range(20):
            one.load.measure(second * 10**9, 500 * second, 0)
            other.load.measure(second * 10**9, 100 * second, 0)
        pool.subscribe(me, T.ticker("A_USDT"))
        assert pool.homes_of(T.ticker("A_USDT")) == (other,)
        for second in range(20, 60):
            one.load.measure(second * 10**9, 9000 * second, 0)
            other.load.measure(second * 10**9, 9000 * second, 0)
        pool.subscribe(me, T.ticker("B_USDT"))
        assert len(pool.connections) == 3, "both carry as much as a socket may"

    play(script, silence_tick=3600.0)


class FixedLoad:
    """What a socket carries, as the test says."""

    def __init__(self, frames_per_s):
        self.frames_per_s, self.bytes_per_s = frames_per_s, 0.0

    def measure(self, *_):
        pass


def test_half_the_topics_of_a_crowded_socket_move_and_it_lives_on():
    async def script(venue, pool, me, watch, rest):
        seen = []
        pool.watch(lambda event: (seen.append(event), watch.note()))
        names = [f"S{number}_USDT" for number in range(5)]
        for name in names:
            pool.subscribe(me, T.deals(name))
        one, = pool.connections
        await watch.until(lambda: all(one.carries(T.deals(name)) for name in names))
        one.load = FixedLoad(4001.0)
        await watch.until(lambda: [e for e in seen if isinstance(e, Rotated)])
        moved, = [event for event in seen if isinstance(event, Rotated)]
        assert (moved.old, moved.connection, moved.topics) == ("public-1", "public-2", 2)
        assert "4001 frames" in moved.why
        one.load = FixedLoad(3999.0)                # between the two bounds: nothing more moves
        two = pool.connections[1]
        assert [[topic.symbol for topic in each.topics] for each in pool.connections] == [
            names[::2], names[1::2]]
        assert one.is_open and not one.is_leaving and pool.rotator.phase is None
        await watch.until(lambda: len(venue.requests("unsub.deal", 1)) == 2)
        assert {asked["param"]["symbol"] for asked in venue.requests("unsub.deal", 1)} == set(
            names[1::2])
        order = [(number, asked["method"], asked["param"]["symbol"]) for number, asked, _ in
                 venue.seen if asked["method"].endswith("sub.deal")]
        for name in names[1::2]:                    # made before it was broken
            assert order.index((2, "sub.deal", name)) < order.index((1, "unsub.deal", name))
        for number, name in ((0, names[0]), (1, names[1])):
            await venue.push({**DEAL, "symbol": name}, number)
            await watch.until(lambda name=name: me.events and me.events[-1].symbol == name)
        looks = []
        real = pool.vitals.look
        pool.vitals.look = lambda now_ns: (real(now_ns), looks.append(1), watch.note())
        await watch.until(lambda: len(looks) > 20)
        assert len(pool.connections) == 2 and pool.rotator.done == 1
        one.load, two.load = FixedLoad(9000.0), FixedLoad(0.0)
        await watch.until(lambda: pool.rotator.done == 3, 20)
        assert [topic.symbol for topic in one.topics] == [names[0]], "one topic cannot be halved"
        assert [len(each.topics) for each in pool.connections] == [1, 2, 1, 1]
        looks.clear()
        await watch.until(lambda: len(looks) > 20)
        assert pool.rotator.done == 3

    play(script, silence_tick=0.01, crowded_after=0.05, rotation_overlap=0.02,
         silence_scale=1000.0)


def test_a_new_socket_that_cannot_be_had_leaves_everything_where_it_is():
    async def script(venue, pool, me, watch, rest):
        topics = [T.deals(f"S{number}_USDT") for number in range(4)]
        for topic in topics:
            pool.subscribe(me, topic)
        one, = pool.connections
        await watch.until(lambda: all(one.carries(topic) for topic in topics))
        rotate_at = one.rotate_at_ns
        real = pool.vitals.look
        pool.vitals.look = lambda now_ns: (real(now_ns), watch.note())
        pool.ws_url = "ws://127.0.0.1:1/edge"
        one.load = FixedLoad(9000.0)
        await watch.until(lambda: pool.rotator.given_up)
        one.load = FixedLoad(0.0)
        assert list(one.topics) == topics and not one.is_leaving and pool.connections[0] is one
        assert one.rotate_at_ns == rotate_at

    play(script, silence_tick=0.01, crowded_after=0.05, rotation_timeout=0.2,
         handshake_timeout=0.1, silence_scale=1000.0)


def pair(pool, me, topic=None):
    pool.subscribe(me, topic or T.depth(BTC), redundancy=2)
    return pool.books[BTC]


async def both_live(venue, pool, watch, book):
    await watch.until(lambda: len(venue.requests("sub.depth")) == 2)
    await venue.push(depth(101, 101), 0)
    await venue.push(depth(101, 101), 1)
    await watch.until(lambda: book.is_live and book.version == 101 and book.stale)


def test_an_early_frame_waits_for_the_other_socket():
    async def script(venue, pool, me, watch, rest):
        seen = []
        pool.watch(lambda event: (seen.append(event), watch.note()))
        book = pair(pool, me)
        await both_live(venue, pool, watch, book)
        await venue.push(depth(103, 103), 1)
        await venue.push(depth(104, 104), 1)
        await venue.push(depth(102, 102), 0)
        await watch.until(lambda: book.version == 104)
        assert me.books[-1] == 104 and not [e for e in seen if isinstance(e, Gap)]
        assert not pool._holds or book.held_ns == 0
        assert [name for name, _ in rest.asked] == ["depth"]

    play(script, early_hold=60.0)


def test_an_early_frame_that_waited_long_enough_is_a_gap():
    """No other frame comes: a timer tells it."""
    async def script(venue, pool, me, watch, rest):
        seen = []
        pool.watch(lambda event: (seen.append(event), watch.note()))
        book = pair(pool, me)
        await both_live(venue, pool, watch, book)
        await venue.push(depth(103, 103), 1)
        await watch.until(lambda: book.is_live and book.version == 103)
        gap, = [event for event in seen if isinstance(event, Gap)]
        assert (gap.first, gap.last) == (102, 102) and book.gaps == book.repairs == 1
        assert [name for name, _ in rest.asked] == ["depth", "depth_commits"]

    play(script, early_hold=0.05, rest={"depth": [snapshot_text(100, [], [])],
                                        "depth_commits": [commits_text([(102, [], [])])]})


def test_when_the_second_socket_goes_what_waits_is_a_gap():
    async def script(venue, pool, me, watch, rest):
        book = pair(pool, me)
        await both_live(venue, pool, watch, book)
        assert book.hold_ns == 60 * 10**9
        one, other = pool.connections
        one.reader.feed_bytes(depth(103, 103).encode(), time.time_ns())
        assert book.held_ns and book.is_live
        pool.detach(other, T.depth(BTC))
        assert book.hold_ns == 0 and book.state is State.REPAIRING
        await watch.until(lambda: book.is_live and book.version == 103)

    play(script, early_hold=60.0, rest={"depth": [snapshot_text(100, [], [])],
                                        "depth_commits": [commits_text([(102, [], [])])]})


def test_requests_that_were_not_sent_are_not_undone():
    """Topics that come and go faster than messages may leave do not pile up."""
    async def script(venue, pool, me, watch, rest):
        pool.subscribe(me, T.tickers())
        await watch.until(lambda: venue.requests("sub.tickers"))
        connection = pool.connections[0]
        for number in range(1000):
            pool.subscribe(me, T.deals(f"S{number}_USDT"))
            pool.unsubscribe(me, T.deals(f"S{number}_USDT"))
        assert len(connection._to_send) == 0
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: venue.requests("sub.deal"))
        assert venue.requests("sub.deal") == [{"method": "sub.deal", "param": {"symbol": BTC}}]
        assert not venue.requests("unsub.deal")

    play(script, messages_per_second=2, ping_interval=30)


def test_every_contract_of_the_venue():
    """1100 books: 37 sockets, five handshakes at once, snapshots in order, an honest estimate."""
    async def script(venue, pool, me, watch, rest):
        names = [f"S{number}_USDT" for number in range(1100)]
        for name in names:
            pool.subscribe(me, T.depth(name))
        start = pool.startup
        assert (start.total, start.live, start.unopened) == (1100, 0, 1100)
        assert start.seconds_left >= 1100 / 100 * 0.1
        estimates = []
        live = set()

        def count(event):
            if isinstance(event, Live):
                live.add(event.symbol)
                estimates.append(pool.startup.seconds_left if len(live) % 100 == 0 else None)

        pool.watch(count)
        await watch.until(lambda: len(live) == 1100 and pool.startup.is_done, 90)
        assert len(venue.sockets) == 37
        assert max(len(venue.requests("sub.depth", n)) for n in range(1, 38)) == 30
        assert len(venue.requests("sub.depth")) == 1100, "nothing was asked twice"
        asked = [symbol for name, symbol in rest.asked]
        assert sorted(asked) == sorted(names), "one snapshot each"
        assert set(asked[:60]) <= set(names[:300]), "the user's order, as sockets open"
        assert pool.startup == (1100, 1100, 0, 0, 0, 0.0)
        told = [each for each in estimates if each is not None]
        assert told[0] > told[-1] >= 0.0

    play(script, ping_interval=30, pong_deadline=30, acknowledge_timeout=30,
         budgets={"depth": (100, 0.1), "depth_commits": (100, 0.1)})


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_cancel_that_comes_with_a_loss_is_not_lost(turns):
    """As when asyncio.run() ends while the venue closes the socket."""
    async def script(venue, pool, me, watch, rest):
        pool.subscribe(me, T.deals(BTC))
        await watch.until(lambda: venue.requests("sub.deal"))
        connection = pool.connections[0]
        connection._lose("the test wants it")
        for _ in range(turns):
            await asyncio.sleep(0)
        connection._task.cancel()
        done, _ = await asyncio.wait([connection._task], timeout=5)
        assert done and connection._task.cancelled()

    play(script)
