"""core/journal: what any part of a journal adds up to."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core import journal as lines
from mexcfast.core.journal import Entry, Ledger, replay
from mexcfast.errors import JournalError

ENTRIES = st.builds(
    Entry, st.sampled_from(["mf-1-1", "mf-1-2", "amend 17"]), st.sampled_from(["create", "amend"]),
    st.sampled_from(["BTC_USDT", "币_USDT"]), st.integers(0, 2**45), st.none() | st.integers(1),
    st.none() | st.integers(1, 4), st.none() | st.integers(1, 6),
    st.none() | st.decimals(0, 10**9, places=5), st.none() | st.decimals(0, 10**9, places=5))
FACTS = st.lists(st.one_of(
    ENTRIES, st.sampled_from(["mf-1-1", "mf-1-2", "amend 17"]),
    st.integers(16, 18),
    st.tuples(st.sampled_from(["edge POST", "rate x"]), st.integers(0, 2**45))), max_size=12)


def line_of(fact):
    if isinstance(fact, Entry):
        return lines.encode(fact.record())
    if isinstance(fact, str):
        return lines.end(fact, "accepted", 17)
    if isinstance(fact, int):
        return lines.gone(fact)
    return lines.closed(*fact)


@settings(deadline=None)
@given(FACTS, st.data())
def test_a_journal_cut_anywhere_adds_up_to_its_whole_lines(facts, data):
    written = [lines.head("abc"), lines.session(7), *map(line_of, facts)]
    whole = b"".join(written)
    cut = data.draw(st.integers(0, len(whole)))
    tail = data.draw(st.sampled_from([b"", b"\0" * 7, b"garbage\n\0\0\n"]))
    ledger, torn = replay(whole[:cut] + tail)
    survived, size = 0, 0
    while survived < len(written) and size + len(written[survived]) <= cut:
        size += len(written[survived])
        survived += 1
    assert torn == cut - size + len(tail)
    unsettled, penalties, heirs, placed = {}, {}, {}, {}
    for fact in facts[:max(0, survived - 2)]:
        if isinstance(fact, Entry):
            unsettled[fact.name] = fact
        elif isinstance(fact, str):
            ended = unsettled.pop(fact, None)
            if ended is not None and ended.what == "amend" and ended.order_id != 17:
                heirs[17] = ended.symbol
            if ended is not None and ended.body is not None and ended.order_id is None:
                placed[17] = None
        elif isinstance(fact, int):
            heirs.pop(fact, None)
        else:
            penalties[fact[0]] = fact[1]
    assert ledger == Ledger("abc" if survived else "", 7 if survived > 1 else 0, unsettled,
                            penalties, heirs, placed)
    again, torn = replay(ledger.compact(0))
    assert torn == 0
    assert (again.unsettled, again.session, again.heirs, again.placed) == (
        unsettled, ledger.session, heirs, placed)
    assert again.penalties == {what: until for what, until in penalties.items() if until > 0}


def test_damage_in_the_middle_is_refused():
    good = lines.head("abc") + lines.session(7) + lines.end("x", "rejected")
    bad = bytearray(good)
    bad[len(lines.head("abc")) + 12] ^= 1
    with pytest.raises(JournalError, match="damaged at byte"):
        replay(bytes(bad))


@pytest.mark.parametrize("record", [
    {}, {"k": "new"}, {"k": "head", "format": 2, "account": "x"}, {"k": "send", "id": "x"},
    {"k": "session", "n": "many"}, {"k": "closed"},
    {"k": "send", "id": "x", "what": "create", "symbol": "s", "ms": 1, "price": "dear"},
])
def test_a_sound_line_that_says_nothing_known_is_refused(record):
    with pytest.raises(JournalError):
        replay(lines.encode(record))


@pytest.mark.parametrize("line", [b"", b"x", b"00000000 {}", b"00000000  ", b"zzzzzzzz {}",
                                  lines.encode({"a": 1})[:-2], lines.encode({"a": 1})[1:-1]])
def test_damaged_lines_are_recognised(line):
    assert lines.decode(line) is None


def test_entries_keep_their_numbers():
    entry = Entry("amend 17", "amend", "BTC_USDT", 5, 17, 1, 1, Decimal("0.10"), Decimal("1E+3"))
    ledger, _ = replay(lines.encode(entry.record()))
    assert ledger.unsettled == {"amend 17": entry}


def test_the_fingerprint_does_not_name_the_key():
    assert lines.fingerprint("mxkey") != lines.fingerprint("mxkez")
    assert "mxkey" not in lines.fingerprint("mxkey") and len(lines.fingerprint("mxkey")) == 16


def test_the_newest_conditional_orders_are_remembered_through_compaction():
    text = b""
    for number in range(lines.PLACED + 3):
        entry = Entry(f"plan_place x{number}", "plan_place", "BTC_USDT", 5, body="{}")
        text += lines.encode(entry.record()) + lines.end(entry.name, "accepted", number)
    changed = Entry("track_change y", "track_change", "BTC_USDT", 5, 2, body="{}")
    text += lines.encode(changed.record()) + lines.end(changed.name, "accepted", 2)
    refused = Entry("plan_place z", "plan_place", "BTC_USDT", 5, body="{}")
    text += lines.encode(refused.record()) + lines.end(refused.name, "rejected", 9999)
    for _ in range(2):
        ledger, _ = replay(text)
        assert list(ledger.placed) == list(range(3, lines.PLACED + 3))
        text = ledger.compact(0)
