"""gateway/sources: who lives and whom to take a contract from, as a function of time."""

from __future__ import annotations

from mexcfast.gateway.sources import DRIFT, FORGET_AFTER_NS, Life, Sources
from mexcfast.gateway.wire import Beat

S = 1_000_000_000
CLOCK = 5_000 * S            # what our clock is ahead of the gateway's


def beat(at_s, number=1, name="a", **more):
    """A beat sent at at_s on our clock."""
    return Beat(number, int(at_s * S) - CLOCK, name, 500, ("depth", "deal"), ("tickers",),
                more.pop("seqs", {"X": (1, 2), "": (3,)}), more.pop("flagged", {}), **more)


def hear(sources, at_s, late_s=0.0, **more):
    return sources.hear(beat(at_s, **more), int((at_s + late_s) * S))


def names(changed):
    return [(each.name, each.number, each.life) for each in changed]


def test_silence_is_counted_from_the_sending_of_the_last_beat():
    sources = Sources(2 * S)
    assert names(hear(sources, 100)) == [("a", 1, Life.ALIVE)]
    assert sources.check(102 * S) == []
    (gone,) = sources.check(102 * S + S // 100)
    assert gone.life is Life.SILENT and "2.0 s ago" in gone.why
    assert sources.check(103 * S) == [], "told once"
    assert names(hear(sources, 104)) == [("a", 1, Life.ALIVE)] and gone.why == ""


def test_beats_that_were_long_under_way_are_no_sign_of_life():
    sources = Sources(2 * S)
    for at_s in range(100, 110):
        hear(sources, at_s, late_s=0.1)
    for at_s in range(110, 115):
        hear(sources, at_s, late_s=3)              # what we have not read yet piles up
    (silent,) = sources.check(117 * S)
    assert silent.life is Life.SILENT
    assert hear(sources, 115, late_s=3) == [], "it is as old"
    assert names(hear(sources, 118, late_s=0.2)) == [("a", 1, Life.ALIVE)]


def test_clocks_that_run_apart_do_not_look_like_lateness():
    sources = Sources(2 * S)
    for hour in range(200):                        # 100 ppm for 200 h are 72 s
        at = hour * 3600
        sources.hear(beat(at), int(at * S * 1.0001))
        assert not sources.check(int(at * S * 1.0001))
    assert DRIFT > 0.0001


def test_a_later_start_of_a_name_replaces_the_earlier():
    sources = Sources(2 * S)
    hear(sources, 100, number=5)
    assert names(hear(sources, 100.1, number=7)) == [("a", 5, Life.GONE), ("a", 7, Life.ALIVE)]
    assert hear(sources, 100.2, number=5) == [], "it is dead to us"
    assert hear(sources, 100.3, number=6) == [], "and so is one between"
    assert sources.choose("depth", "X", 5).number == 7
    assert names(hear(sources, 100.4, number=2, name="b")) == [("b", 2, Life.ALIVE)]


def test_who_leaves_is_gone():
    sources = Sources(2 * S)
    hear(sources, 100)
    assert names(hear(sources, 101, leaving=True)) == [("a", 1, Life.GONE)]
    assert sources.choose("depth", "X", 1) is None
    assert hear(sources, 102) == [] and sources.check(103 * S) == []


def test_old_beats_change_nothing():
    sources = Sources(2 * S)
    hear(sources, 100)
    assert hear(sources, 99) == []
    assert sources.known[1].beat.mono_ns == 100 * S - CLOCK


def test_a_lost_bus_silences_all_until_they_are_heard():
    sources = Sources(2 * S)
    hear(sources, 100)
    assert names(sources.doubt("gone")) == [("a", 1, Life.SILENT)] and sources.doubt("gone") == []
    assert names(hear(sources, 100.5)) == [("a", 1, Life.ALIVE)]


def test_whom_to_take_a_contract_from():
    sources = Sources(2 * S)
    hear(sources, 100, number=1, name="a")
    hear(sources, 100, number=2, name="b")
    assert sources.choose("depth", "X", None).name == "a", "the one that has been up longest"
    assert sources.choose("depth", "X", 2).name == "b", "the one we have"
    hear(sources, 101, number=2, name="b", flagged={"X": "its book is SYNCING"})
    assert sources.choose("depth", "X", 2).name == "a", "who trusts the contract"
    assert [each.name for each in sources.check(102 * S + S // 2)] == ["a"]
    assert sources.choose("depth", "X", 1).name == "b", "who lives"
    sources.check(110 * S)
    assert sources.choose("depth", "X", 2).name == "b", "nobody lives: nothing is gained"


def test_topics_that_nobody_brings():
    sources = Sources(2 * S)
    hear(sources, 100)
    source = sources.known[1]
    assert sources.choose("ticker", "X", None) is None
    assert sources.choose("depth", "Y", None) is None
    assert sources.choose("tickers", "", None) is source
    assert (source.seq("deal", "X"), source.seq("tickers", ""), source.seq("deal", "Y")) == (
        2, 3, None)
    assert source.seq("tickers", "X") is None


def test_the_dead_are_forgotten_in_the_end():
    sources = Sources(2 * S)
    hear(sources, 100)
    sources.check(200 * S)
    assert sources.known
    sources.check(101 * S + 2 * FORGET_AFTER_NS)
    assert not sources.known
