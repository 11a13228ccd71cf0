"""net/journal: the file itself, whole, torn, full, shared and long."""

from __future__ import annotations

import os
from decimal import Decimal

import pytest

from mexcfast.core.journal import Entry
from mexcfast.errors import JournalError
from mexcfast.net import journal as room
from mexcfast.net.journal import Journal

KEY = "mxkey"


def entry(number: int, **more) -> Entry:
    return Entry(f"mf-1-{number}", "create", "BTC_USDT", number, quantity=Decimal(1), **more)


def opened(path, session=1, key=KEY, **more) -> Journal:
    journal = Journal(path, **more)
    journal.open(key, session, lambda: 1000)
    return journal


def test_what_is_unsettled_survives(tmp_path):
    path = tmp_path / "deep" / "orders"
    first = opened(path, 5)
    first.send(entry(1))
    first.send(entry(2))
    first.end("mf-1-1", "accepted", 17)
    first.end("mf-1-1", "accepted", 17)
    first.note_closed("edge POST", 5000)
    first.note_closed("rate x", 900)
    first.close()
    again = Journal(path)
    assert again.open(KEY, 3, lambda: 1000) == 6, "ids never repeat, even when the clock went back"
    assert again.ledger.unsettled == {"mf-1-2": entry(2)}
    assert again.ledger.penalties["edge POST"] == 5000
    assert "1 unsettled" in repr(again)
    again.close()


def test_nothing_of_the_key_is_written(tmp_path):
    opened(tmp_path / "j", key="mx0-very-visible-key").close()
    assert b"visible" not in (tmp_path / "j").read_bytes()


def test_a_torn_line_is_cut_off_and_writing_goes_on(tmp_path):
    journal = opened(tmp_path / "j")
    journal.send(entry(1))
    journal.close()
    whole = (tmp_path / "j").read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "j").write_bytes(whole[:cut])
        journal = opened(tmp_path / "j")
        assert set(journal.ledger.unsettled) <= {"mf-1-1"}
        journal.send(entry(2))
        journal.close()
        journal = opened(tmp_path / "j")
        assert journal.torn_bytes == 0 and "mf-1-2" in journal.ledger.unsettled
        journal.close()


def test_one_process_at_a_time(tmp_path):
    journal = opened(tmp_path / "j")
    with pytest.raises(JournalError, match="another process"):
        opened(tmp_path / "j")
    with pytest.raises(JournalError, match="open already"):
        journal.open(KEY, 1, lambda: 1)
    journal.close()
    opened(tmp_path / "j").close()


def test_another_account_is_refused_while_something_is_unsettled(tmp_path):
    journal = opened(tmp_path / "j")
    journal.send(entry(1))
    journal.close()
    with pytest.raises(JournalError, match=r"another account.* 1 requests"):
        opened(tmp_path / "j", key="other")
    journal = opened(tmp_path / "j")
    journal.end("mf-1-1", "rejected")
    journal.close()
    opened(tmp_path / "j", key="other").close()


def test_damage_in_the_middle_is_refused_and_nothing_is_changed(tmp_path):
    path = tmp_path / "j"
    journal = opened(path)
    journal.send(entry(1))
    journal.close()
    damaged = path.read_bytes().replace(b"session", b"sessiom", 1)
    path.write_bytes(damaged)
    with pytest.raises(JournalError, match="damaged at byte"):
        opened(path)
    assert path.read_bytes() == damaged


def test_it_stays_small(tmp_path):
    journal = opened(tmp_path / "j", max_bytes=2000)
    journal.send(entry(0))
    for number in range(1, 500):
        journal.send(entry(number))
        journal.end(f"mf-1-{number}", "accepted", number)
    assert (tmp_path / "j").stat().st_size < 4000
    journal.close()
    journal = opened(tmp_path / "j")
    assert list(journal.ledger.unsettled) == ["mf-1-0"]
    journal.close()


def test_a_send_that_triggers_compaction_is_kept(tmp_path):
    journal = opened(tmp_path / "j", max_bytes=1)
    journal.send(entry(1))
    journal.close()
    journal = opened(tmp_path / "j")
    assert list(journal.ledger.unsettled) == ["mf-1-1"]
    journal.close()


def test_a_full_disk_refuses_the_order_and_leaves_no_half_line(tmp_path, monkeypatch):
    journal = opened(tmp_path / "j")
    real = os.write
    monkeypatch.setattr(room.os, "write", lambda fd, data: real(fd, data[:5]))
    with pytest.raises(JournalError, match="5 of"):
        journal.send(entry(1))
    monkeypatch.undo()
    assert not journal.ledger.unsettled
    journal.send(entry(2))
    journal.close()
    journal = opened(tmp_path / "j")
    assert journal.torn_bytes == 0 and list(journal.ledger.unsettled) == ["mf-1-2"]
    journal.close()


def test_a_failed_compaction_loses_nothing(tmp_path, monkeypatch, caplog):
    journal = opened(tmp_path / "j", max_bytes=1)

    def refuse(*paths):
        raise OSError("no room")

    monkeypatch.setattr(room.os, "replace", refuse)
    journal.send(entry(1))
    assert "not compacted" in caplog.text
    journal.close()
    monkeypatch.undo()
    journal = opened(tmp_path / "j")
    assert list(journal.ledger.unsettled) == ["mf-1-1"]
    journal.close()


def test_durable_waits_for_the_disk(tmp_path, monkeypatch):
    journal = opened(tmp_path / "j", durable=True)
    synced = []
    monkeypatch.setattr(room.os, "fsync", synced.append)
    journal.send(entry(1))
    journal.end("mf-1-1", "accepted")
    assert len(synced) == 1, "only what must not be lost"
    journal.close()


def test_a_closed_journal_refuses_orders(tmp_path):
    with pytest.raises(JournalError, match="not open"):
        Journal(tmp_path / "j").send(entry(1))


def test_when_requests_left_survives_them(tmp_path):
    journal = opened(tmp_path / "j")
    for number in range(20):
        journal.send(entry(number))
        if number != 18:
            journal.end(f"mf-1-{number}", "accepted", number)
    journal.close()
    for _ in range(2):          # through compaction: each once, settled or not
        journal = opened(tmp_path / "j")
        assert sorted(journal.ledger.recent) == [("create", number) for number in range(4, 20)]
        journal.close()


def test_what_amends_have_left_survives_until_it_ends(tmp_path):
    journal = opened(tmp_path / "j")
    for old, new in ((7, 8), (9, 10), (11, 11)):
        journal.send(Entry(f"amend {old}", "amend", "BTC_USDT", 1, old))
        journal.end(f"amend {old}", "accepted", new)
    journal.send(Entry("amend 12", "amend", "BTC_USDT", 1, 12))
    journal.end("amend 12", "rejected", 12)
    journal.forget_heir(10)
    journal.forget_heir(10)
    assert journal.ledger.heirs == {8: "BTC_USDT"}
    journal.close()
    journal = opened(tmp_path / "j")        # reads the lines, writes the short form
    journal.close()
    journal = opened(tmp_path / "j")
    assert journal.ledger.heirs == {8: "BTC_USDT"}
    journal.close()
