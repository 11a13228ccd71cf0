"""Fuzz target: core/http1.AnswerReader against the slow model, whole and in pieces.

Any bytes are an answer, the beginning of one, or BadAnswer; the model in tests/models/http_model.py
says the same, and so does the reader when the bytes come in pieces.

    python tests/fuzz/fuzz_http.py --seconds 30
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from mexcfast.core.http1 import AnswerReader
from mexcfast.errors import BadAnswer
from models import http_model

SEEDS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Length: 9\r\nKeep-Alive: timeout=5\r\n\r\n"
    b'{"a": 10}',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nabcde\r\nA\r\n0123456789\r\n0\r\n\r\n",
    b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
)
PIECES = (b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":", b" ", b"\t", b"\0", b"\x7f", b"\xff", b",",
          b"0", b"-1", b"99999999999", b"1048577", b"HTTP/1.1 ", b"HTTP/1.0 200 OK\r\n", b"200",
          b"099",
          b"Content-Length: 3\r\n", b"content-length:0\r\n", b"Transfer-Encoding: chunked\r\n",
          b"Transfer-Encoding: gzip\r\n", b"Content-Encoding: gzip\r\n",
          b"Connection: close\r\n",
          b"Keep-Alive: timeout=7, max=3\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"f" * 9, b"x" * 9000)


class Failure(AssertionError):
    """Reader and model differ."""


def read(pieces: list[bytes]) -> Any:
    reader = AnswerReader()
    whole = False
    try:
        for piece in pieces:
            whole = reader.feed(piece)
    except BadAnswer:
        return "bad"
    if not whole:
        return "more"
    return reader.status, reader.body, reader.keep_alive, reader.keep_alive_s


def check(data: bytes, cut: int = 0) -> str:
    """Break with Failure when a rule does not hold; else say what the bytes are."""
    try:
        truth: Any = http_model.read(data)
    except http_model.More:
        truth = "more"
    except http_model.Bad:
        truth = "bad"
    ways = [[data], [data[:cut], data[cut:]]]
    if len(data) < 300:
        ways.append([data[i:i + 1] for i in range(len(data))])
    for pieces in ways:
        ours = read(pieces)
        if ours != truth:
            raise Failure(f"we read {ours!r}, the model {truth!r}: {pieces!r}")
    return truth if isinstance(truth, str) else "answer"


def mutated(random_: random.Random) -> bytes:
    data = random_.choice(SEEDS)
    for _ in range(random_.randrange(5)):
        at, kind = random_.randrange(len(data) + 1), random_.randrange(6)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data = data[:at] + bytes([random_.randrange(256)]) + data[at + 1:]
        elif kind == 2:
            data = data[:at] + data[at + random_.randrange(1, 9):]
        elif kind == 3:
            lines = data.split(b"\r\n")
            lines.insert(random_.randrange(len(lines) + 1), random_.choice(lines))
            data = b"\r\n".join(lines)
        else:
            data = data[:at] + random_.choice(PIECES) + data[at:]
    return data


def run(runs: int, seconds: float, seed: int) -> dict[str, int]:
    """What happened, by count. A Failure names its input."""
    random_ = random.Random(seed)
    stop = time.monotonic() + seconds if seconds else float("inf")
    seen: dict[str, int] = {}
    done = 0
    while done < runs and (done & 63 or time.monotonic() < stop):
        data = mutated(random_)
        what = check(data, random_.randrange(len(data) + 1))
        seen[what] = seen.get(what, 0) + 1
        done += 1
    return seen


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from command import command

    command("the reading of HTTP answers", run, 20260102)
