"""The tape's memory and its file: what went in comes out, whatever is cut, torn or turned over."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexcfast.core.tap import Kind
from mexcfast.errors import TapeError
from mexcfast.tape import format as form
from mexcfast.tape.export import export_lines
from mexcfast.tape.ring import RECORD_HEAD, Ring

HEADER = {"tape": "20260101T000000-00000000", "part": 0, "endpoint": "ws://x", "private": False}


def drain(ring: Ring, most: int = 1 << 20) -> list[form.Record]:
    found = []
    while (taken := ring.take(most)) is not None:
        raw, count, first_ns, last_ns, _ = taken
        records = list(form.records_of(raw))
        assert len(records) == count
        assert (records[0].ts_ns, records[-1].ts_ns) == (first_ns, last_ns)
        assert len(raw) <= most or count == 1
        found += records
    return found


# -- the ring -------------------------------------------------------------------------------------

@given(st.lists(st.one_of(st.binary(max_size=40_000), st.just(None)), max_size=40),
       st.integers(100, 100_000))
def test_the_ring_gives_what_it_took_and_counts_the_rest(steps, most):
    """None takes everything out. A list is the model; what it lacks must be in loss records."""
    ring = Ring(1 << 16)
    put, got = [], []
    for number, step in enumerate(steps, 1):
        if step is None:
            got += drain(ring, most)
        else:
            ring.note(Kind.SENT, number, step, number)
            put.append(form.Record(Kind.SENT, number, number, step))
    got += drain(ring, most)
    ring.tell_losses()
    got += drain(ring, most)
    losses = [record for record in got if record.kind == Kind.LOSS]
    kept = [record for record in got if record.kind != Kind.LOSS]
    assert kept == [record for record in put if record in kept]
    told = [list(map(int, record.payload.split())) for record in losses]
    assert sum(row[0] for row in told) == ring.lost == len(put) - len(kept)
    missing = [record for record in put if record not in kept]
    assert sum(row[1] for row in told) == ring.lost_bytes == sum(len(r.payload) for r in missing)
    assert ring.waiting == 0 and not ring.has_lost
    # each loss record stands where its records are missing and names their times
    for row, record in zip(told, losses, strict=True):
        at = got.index(record)
        after = next((r.source for r in got[at + 1:] if r.kind != Kind.LOSS), len(steps) + 1)
        before = next((r.source for r in reversed(got[:at]) if r.kind != Kind.LOSS), 0)
        inside = [r.source for r in missing if before < r.source < after]
        assert inside and (row[2], row[3]) == (inside[0], inside[-1]) and row[0] == len(inside)


def test_a_mark_begins_a_piece_and_a_long_record_is_one():
    ring = Ring(1 << 16)
    for kind, payload in ((1, b"a"), (Kind.MARK, b""), (1, b"b"), (1, b"c" * 500)):
        ring.note(kind, 3, payload, 5)
    pieces = []
    while (taken := ring.take(100)) is not None:
        pieces.append((taken[4], [r.payload for r in form.records_of(taken[0])]))
    assert pieces == [(False, [b"a"]), (True, [b"", b"b"]), (False, [b"c" * 500])]


@pytest.mark.parametrize("capacity", [0, 1, 65535, (1 << 32) + 1])
def test_a_ring_of_no_use_is_refused(capacity):
    with pytest.raises(ValueError, match=f"capacity is {capacity}; allowed: 65536"):
        Ring(capacity)


# -- the file -------------------------------------------------------------------------------------

def records(count: int) -> list[form.Record]:
    return [form.Record(Kind.FRAME, 1, 100 + i, f'{{"n":{i}}}'.encode() * (i % 5 + 1))
            for i in range(count)]


def block(number: int, some: list[form.Record], *, last: bool = False, level: int = 1) -> bytes:
    ring = Ring(1 << 20)
    for record in some:
        ring.note(record.kind, record.source, record.payload, record.ts_ns)
    taken = ring.take(1 << 20)
    raw, count, first, end = (b"", 0, 0, 0) if taken is None else taken[:4]
    return form.encode_block(number, raw, count, first, end, level=level, last=last)


def whole(blocks: int = 4, each: int = 6, **header: object
          ) -> tuple[list[bytes], list[form.Record]]:
    """The pieces of a closed file, and its records."""
    some = records(blocks * each)
    pieces = [form.encode_header(HEADER | header)]
    for i in range(blocks):
        pieces.append(block(i, some[i * each:(i + 1) * each], level=i % 2))
    pieces.append(block(blocks, [], last=True))
    return pieces, some


def read(path: Path) -> tuple[list[form.Record], list[form.Damage], form.Part]:
    part = form.open_part(path)
    rows = list(form.read_part(part))
    found = [row for row in rows if isinstance(row, form.Record)]
    damages = [row for row in rows if isinstance(row, form.Damage)]
    assert damages == part.damages
    return found, damages, part


def test_a_closed_file_reads_whole(tmp_path):
    pieces, some = whole()
    path = tmp_path / "a.tape"
    path.write_bytes(b"".join(pieces))
    found, damages, part = read(path)
    assert (found, damages, part.ended) == (some, [], True)
    assert part.header == HEADER


def test_cut_at_every_byte_it_reads_up_to_the_last_whole_block(tmp_path):
    pieces, some = whole()
    data = b"".join(pieces)
    path = tmp_path / "a.tape"
    ends = [sum(map(len, pieces[:i + 1])) for i in range(len(pieces))]
    for size in range(len(data)):
        path.write_bytes(data[:size])
        if size < ends[0]:
            with pytest.raises(TapeError, match=r"no tape|damaged"):
                form.open_part(path)
            continue
        found, damages, part = read(path)
        blocks = sum(size >= end for end in ends) - 1
        assert found == some[:6 * blocks]
        assert not part.ended and len(damages) == 1
        assert damages[0].at + damages[0].size == size
        assert damages[0].at == ends[blocks]
        assert ("cut" if size > ends[blocks] else "without closing") in damages[0].why


def test_every_turned_byte_is_noticed_and_costs_one_block(tmp_path):
    pieces, some = whole(3, 3)
    data = bytearray(b"".join(pieces))
    path = tmp_path / "a.tape"
    start = len(pieces[0])
    for at in range(start, len(data)):
        data[at] ^= 0x20
        path.write_bytes(data)
        data[at] ^= 0x20
        found, damages, part = read(path)
        assert damages, f"byte {at}"
        hit = next(i for i in range(4) if at < sum(map(len, pieces[:i + 2])))
        expected = [r for i, r in enumerate(some) if i // 3 != hit]
        assert found == expected
        assert damages[0].at == sum(map(len, pieces[:hit + 1]))
        assert part.ended == (hit < 3)
    for at in range(start):
        data[at] ^= 0x20
        path.write_bytes(data)
        data[at] ^= 0x20
        if at not in (10, 11):               # reserved
            with pytest.raises(TapeError):
                form.open_part(path)


def test_a_missing_block_is_named(tmp_path):
    pieces, some = whole()
    del pieces[2]
    path = tmp_path / "a.tape"
    path.write_bytes(b"".join(pieces))
    found, damages, _ = read(path)
    assert found == some[:6] + some[12:]
    assert [d.why for d in damages] == ["block 1 is missing, 2 follows"]


def test_a_block_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    raw = b"\0" * 5_000_000
    stored = zlib.compress(raw)
    head = form._BLOCK.pack(form.BLOCK_MAGIC, form.DEFLATED, 1, 0, 0, 1, 100, len(stored), 0, 0)
    data = head + form._CRC.pack(zlib.crc32(stored, zlib.crc32(head))) + stored
    path = tmp_path / "a.tape"
    path.write_bytes(form.encode_header(HEADER) + data)
    found, damages, _ = read(path)
    assert not found and "does not hold what its head says" in damages[0].why


def test_a_file_of_a_later_version_is_refused_by_name(tmp_path):
    path = tmp_path / "a.tape"
    data = bytearray(form.encode_header(HEADER))
    data[8] = 9
    path.write_bytes(data)
    with pytest.raises(TapeError, match=r"tape version 9; this mexcfast reads 1"):
        form.open_part(path)


def test_a_directory_holds_one_tape_with_no_part_missing(tmp_path):
    with pytest.raises(TapeError, match="no such file"):
        form.parts_at(tmp_path / "nothing")
    with pytest.raises(TapeError, match=r"holds no \.tape file"):
        form.parts_at(tmp_path)
    for number in (2, 0, 1):
        (tmp_path / f"{number}.tape").write_bytes(b"".join(whole(part=number)[0]))
    assert [part.number for part in form.parts_at(tmp_path)] == [0, 1, 2]
    (tmp_path / "1.tape").unlink()
    with pytest.raises(TapeError, match=r"parts \[0, 2\]"):
        form.parts_at(tmp_path)
    assert [part.number for part in form.parts_at(tmp_path / "2.tape")] == [2]
    (tmp_path / "x.tape").write_bytes(b"".join(whole(tape="another", part=1)[0]))
    with pytest.raises(TapeError, match="holds 2 tapes"):
        form.parts_at(tmp_path)


def test_record_heads_are_what_the_ring_writes():
    assert form._RECORD.size == RECORD_HEAD


# -- export ---------------------------------------------------------------------------------------

def test_frames_become_lines_for_other_tools(tmp_path):
    some = [form.Record(Kind.SOURCE, 1, 5, b'{"name": "public-1", "private": false}'),
            form.Record(Kind.SOURCE, 2, 5, b'{"name": "private", "private": true}'),
            form.Record(Kind.FRAME, 1, 1795434966575763561, b'{"a":1}'),
            form.Record(Kind.SENT, 1, 7, b'{"method":"ping"}'),
            form.Record(Kind.FRAME, 2, 8, b'{"mine":1}'),
            form.Record(Kind.FRAME, 1, 9, gzip.compress(b'{"b":\n2}'))]
    path = tmp_path / "a.tape"
    path.write_bytes(form.encode_header(HEADER) + block(0, some) + block(1, [], last=True))
    assert export_lines(path, tmp_path / "out.gz") == 2
    lines = gzip.decompress((tmp_path / "out.gz").read_bytes()).decode().splitlines()
    assert lines == ['1795434966575763561 {"a":1}', '0000000000000000009 {"b": 2}']
    for line in lines:
        json.loads(line[20:])
    assert export_lines(path, tmp_path / "all.gz", private=True) == 3
    with pytest.raises(TapeError, match="exists already"):
        export_lines(path, tmp_path / "out.gz")
