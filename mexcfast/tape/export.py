"""A tape as text lines for other tools: `<19-digit local ns> <raw json>`, gzip."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path

from mexcfast.core.tap import Kind
from mexcfast.tape import format as form
from mexcfast.tape.format import Record
from mexcfast.tape.fresh import fresh

MOST_INFLATED = 64 << 20


def export_lines(path: str | os.PathLike[str], target: str | os.PathLike[str], *,
                 private: bool = False, force: bool = False,
                 progress: Callable[[int], object] | None = None) -> int:
    """Write every frame of a tape as a line; returns how many.

    target: a new file, gzip; there is none after an error. private: the private socket's frames
    too, if the tape has them. force: replace a file that exists. progress: told of the records
    read, every ten thousand. TapeError when there is no tape, the target exists or cannot be
    written.
    """
    sources: dict[int, bool] = {}
    count = 0
    form.parts_at(path)                 # before there is a file
    with fresh([Path(target)], force=force) as (draft,), draft.open("xb") as plain, gzip.GzipFile(
            "", "wb", 6, plain, 0) as out:
        for number, record in enumerate(form.read(path), 1):
            if progress is not None and number % 10_000 == 0:
                progress(number)
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
    return count


def inflated(frame: bytes) -> bytes:
    """A frame's text; the venue may send it as gzip."""
    if frame[:2] != b"\x1f\x8b":
        return frame
    try:
        return zlib.decompressobj(31).decompress(frame, MOST_INFLATED)
    except zlib.error:
        return frame
