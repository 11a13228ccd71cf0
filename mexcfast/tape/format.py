"""The file: a header, then blocks of records, each with its length and checksum (docs/tape.md).

A file is readable up to its last whole block, whatever happened to the process or the disk; what is
missing behind it is named. All numbers are little-endian.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mexcfast.core.tap import Kind
from mexcfast.errors import TapeError
from mexcfast.tape.ring import RECORD_HEAD

MAGIC = b"\x89MXTAPE\n"
VERSION = 1
SUFFIX = ".tape"

_FILE = struct.Struct("<8sHHII")           # magic, version, 0, size and crc32 of the description
_BLOCK = struct.Struct("<4sBBHIIIIqq")     # magic, codec, last, 0, number, records, sizes, times
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<IIq")
BLOCK_MAGIC = b"\xb1BLK"
BLOCK_HEAD = _BLOCK.size + _CRC.size

STORED, DEFLATED = 0, 1
MOST_RAW = 128 << 20        # bytes of one block, unpacked; a frame is 64 MiB at most
MOST_HEADER = 1 << 20

NAME = re.compile(r"(?P<tape>\d{8}T\d{6}-[0-9a-f]{8})-(?P<part>\d{5})\.tape")


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened. source: a reader's or a book's number, see core/tap.Kind."""

    kind: int
    source: int
    ts_ns: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a file that cannot be read. at: their offset; size: how many."""

    path: str
    at: int
    size: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.size} bytes from {self.at} unreadable: {self.why}"


@dataclass(slots=True)
class Part:
    """One file of a tape. ended: it was closed in order; damages: known once it has been read."""

    path: Path
    header: dict[str, Any]
    ended: bool = False
    damages: list[Damage] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Its place in the tape, from 0."""
        return int(self.header["part"])


def encode_header(description: dict[str, Any]) -> bytes:
    """The start of a file."""
    text = json.dumps(description, separators=(",", ":")).encode()
    return _FILE.pack(MAGIC, VERSION, 0, len(text), zlib.crc32(text)) + text


def encode_block(number: int, raw: bytes, records: int, first_ns: int, last_ns: int, *,
                 level: int, last: bool = False) -> bytes:
    """Whole records as one block. level: of zlib, 0 stores them as they are."""
    stored = zlib.compress(raw, level) if level else raw
    codec = DEFLATED
    if not level or len(stored) >= len(raw):
        stored, codec = raw, STORED
    head = _BLOCK.pack(BLOCK_MAGIC, codec, last, 0, number, records, len(raw), len(stored),
                       first_ns, last_ns)
    return head + _CRC.pack(zlib.crc32(stored, zlib.crc32(head))) + stored


def records_of(raw: bytes) -> Iterator[Record]:
    """The records of an unpacked block; TapeError when their sizes do not add up."""
    at = 0
    while at < len(raw):
        if at + RECORD_HEAD > len(raw):
            raise TapeError(f"a record's head is cut at byte {at} of its block")
        size, what, ts_ns = _RECORD.unpack_from(raw, at)
        at += RECORD_HEAD
        if at + size > len(raw):
            raise TapeError(f"a record of {size} bytes is cut at byte {at} of its block")
        yield Record(what & 0xFF, what >> 8, ts_ns, raw[at:at + size])
        at += size


def _count(raw: bytes) -> int:
    """Number of records; -1 when their sizes do not add up."""
    count = at = 0
    while at + RECORD_HEAD <= len(raw):
        at += RECORD_HEAD + int.from_bytes(raw[at:at + 4], "little")
        count += 1
    return count if at == len(raw) else -1


def open_part(path: Path) -> Part:
    """A file's header; TapeError when it has none that we know."""
    try:
        with path.open("rb") as file:
            head = file.read(_FILE.size)
            if len(head) < _FILE.size:
                raise TapeError(f"{path}: no tape: {len(head)} bytes, the header needs "
                                f"{_FILE.size}")
            magic, version, _, size, crc = _FILE.unpack(head)
            if magic != MAGIC:
                raise TapeError(f"{path}: no tape: it begins with {head[:8]!r}; allowed: {MAGIC!r}")
            if version != VERSION:
                raise TapeError(f"{path}: tape version {version}; this mexcfast reads {VERSION}")
            text = file.read(size) if size <= MOST_HEADER else b""
            if len(text) != size or zlib.crc32(text) != crc:
                raise TapeError(f"{path}: the tape's header is damaged")
            return Part(path, json.loads(text))
    except OSError as fault:
        raise TapeError(f"{path}: cannot be read: {fault.strerror or fault}") from fault


def read_part(part: Part) -> Iterator[Record | Damage]:
    """Its records in order, and where bytes are missing or wrong, what is.

    After damage in the middle the next whole block is looked for. Blocks left out are damage too.
    """
    path = str(part.path)
    expected = 0
    part.ended = False
    part.damages.clear()
    with part.path.open("rb") as file:
        at = _FILE.size + _FILE.unpack(file.read(_FILE.size))[3]
        end = os.fstat(file.fileno()).st_size
        while at < end:
            found = _block(file, at, end)
            if isinstance(found, str):
                next_at = _next_block(file, at + 1, end)
                part.damages.append(Damage(path, at, next_at - at, found))
                yield part.damages[-1]
                at = next_at
                continue
            number, last, size, raw = found
            if number != expected:
                part.damages.append(Damage(path, at, 0, f"block {expected} is missing, {number} "
                                                        "follows"))
                yield part.damages[-1]
            expected = number + 1
            yield from records_of(raw)
            part.ended = bool(last)
            at += size
    if not part.ended and not (part.damages and part.damages[-1].at + part.damages[-1].size >= end):
        part.damages.append(Damage(path, end, 0, "the recording stopped without closing the file"))
        yield part.damages[-1]


def _block(file: BinaryIO, at: int, end: int) -> tuple[int, int, int, bytes] | str:
    """(number, last, whole size, unpacked records) of the block at an offset, or what is wrong."""
    if at + BLOCK_HEAD > end:
        return f"cut in a block's head, {end - at} of {BLOCK_HEAD} bytes"
    file.seek(at)
    head = file.read(_BLOCK.size)
    magic, codec, last, _, number, records, raw_size, size, _, _ = _BLOCK.unpack(head)
    (crc,) = _CRC.unpack(file.read(_CRC.size))
    if magic != BLOCK_MAGIC:
        return "no block begins here"
    if at + BLOCK_HEAD + size > end:
        return f"cut in block {number}, {end - at - BLOCK_HEAD} of {size} bytes"
    if raw_size > MOST_RAW or codec not in (STORED, DEFLATED):
        return f"block {number} has codec {codec} and {raw_size} bytes unpacked"
    stored = file.read(size)
    if zlib.crc32(stored, zlib.crc32(head)) != crc:
        return f"block {number} has another checksum"
    raw = stored
    if codec == DEFLATED:
        try:
            raw = zlib.decompressobj().decompress(stored, raw_size)
        except zlib.error as fault:
            return f"block {number} does not unpack: {fault}"
    if len(raw) != raw_size or _count(raw) != records:
        return f"block {number} does not hold what its head says"
    return number, last, BLOCK_HEAD + size, raw


def _next_block(file: BinaryIO, at: int, end: int) -> int:
    """Offset of the next whole block, or the end of the file."""
    keep = b""
    file.seek(at)
    while True:
        piece = file.read(1 << 20)
        if not piece:
            return end
        window = keep + piece
        start = file.tell() - len(window)
        found = window.find(BLOCK_MAGIC)
        while found >= 0:
            here = file.tell()
            if not isinstance(_block(file, start + found, end), str):
                return start + found
            file.seek(here)
            found = window.find(BLOCK_MAGIC, found + 1)
        keep = window[-3:]


def parts_at(path: str | os.PathLike[str]) -> list[Part]:
    """The files of the tape at a path, in order.

    path: one file, which is read alone, or a directory that holds one tape. TapeError otherwise,
    also when a part between two others is missing.
    """
    place = Path(path)
    if not place.exists():
        raise TapeError(f"{place}: no such file or directory")
    if not place.is_dir():
        return [open_part(place)]
    files = sorted(each for each in place.iterdir() if each.suffix == SUFFIX)
    if not files:
        raise TapeError(f"{place}: holds no {SUFFIX} file")
    parts = sorted((open_part(each) for each in files), key=lambda part: part.number)
    tapes = sorted({part.header["tape"] for part in parts})
    if len(tapes) > 1:
        raise TapeError(f"{place}: holds {len(tapes)} tapes: {', '.join(tapes)}; allowed: one, or "
                        "name a file")
    numbers = [part.number for part in parts]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise TapeError(f"{place}: parts {numbers} of tape {tapes[0]}; allowed: none missing in "
                        "between; name a file to play it alone")
    return parts


def read(path: str | os.PathLike[str]) -> Iterator[Record | Damage]:
    """Every record of a tape in order, Damage where something is missing. Path: see parts_at."""
    for part in parts_at(path):
        yield from read_part(part)


__all__ = ["Damage", "Kind", "Part", "Record", "open_part", "parts_at", "read", "read_part"]
