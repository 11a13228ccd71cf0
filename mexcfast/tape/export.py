"""A tape as text lines for other tools: `<19-digit local ns> <raw json>`, gzip."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

from mexcfast.core.tap import Kind
from mexcfast.errors import TapeError
from mexcfast.tape import format as form
from mexcfast.tape.format import Record

MOST_INFLATED = 64 << 20


def export_lines(path: str | os.PathLike[str], target: str | os.PathLike[str], *,
                 private: bool = False) -> int:
    """Write every frame of a tape as a line; returns how many.

    target: a new file, gzip. private: the private socket's frames too, if the tape has them.
    TapeError when there is no tape or the target exists.
    """
    sources: dict[int, bool] = {}
    count = 0
    where = Path(target)
    try:
        with where.open("xb") as plain, gzip.GzipFile("", "wb", 6, plain, 0) as out:
            for record in form.read(path):
                if not isinstance(record, Record):
                    continue
                if record.kind == Kind.SOURCE:
                    sources[record.source] = b'"private": true' in record.payload
                elif record.kind == Kind.FRAME and (private or not sources.get(record.source)):
                    text = inflated(record.payload)
                    if b"\n" in text:
                        text = text.replace(b"\r", b" ").replace(b"\n", b" ")
                    out.write(b"%019d %b\n" % (record.ts_ns, text))
                    count += 1
    except FileExistsError:
        raise TapeError(f"{where}: exists already") from None
    except OSError as fault:
        raise TapeError(f"{where}: cannot be written: {fault.strerror or fault}") from fault
    return count


def inflated(frame: bytes) -> bytes:
    """A frame's text; the venue may send it as gzip."""
    if frame[:2] != b"\x1f\x8b":
        return frame
    try:
        return zlib.decompressobj(31).decompress(frame, MOST_INFLATED)
    except zlib.error:
        return frame
