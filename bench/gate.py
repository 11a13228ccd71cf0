"""CI's gate: a few ratios must be at 60 % of what has to be reached, or the exit code is 1.

    python bench/gate.py

One process, candidates in turns, minima: what holds on a busy machine too. Only the ratios of
bench/micro.py are asked for; sockets, p99 and absolute times depend on the machine. A ratio that is
too low is measured again, at most twice, and the minima of all rounds count. A rival that is not
installed fails the gate by its name: pip install '.[bench]'.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import micro
from frames import make_stream
from harness import cores, pin, told
from rows import ROWS, Row

SHARE = 0.6
ROUNDS = 3
TIMED = {*(name for _, ours, theirs, _, _ in micro.TARGETS for name in (ours, *theirs)),
         "sign 31 bytes", "hmac.new 31 bytes", "sign 250 bytes", "hmac.new 250 bytes",
         micro.OUR_REQUEST, micro.THEIR_REQUEST}


def rows() -> list[Row]:
    return [row for row in ROWS if row.kind == "times" and row.what.startswith(
        ("parse + check", "sign", "body, signature"))]


def judge(times: dict[str, list[float]], share: float = SHARE) -> tuple[list[str], list[str]]:
    """(a line for each row, what is wrong)."""
    lines, wrong = [], []
    for row in rows():
        value, wanted = row.value({"micro": {"times": times}}), row.must * share
        if value is None:
            wrong.append(f"{row.what}: its rival is missing")
            continue
        lines.append(f"{value:6.1f}x, at least {wanted:4.1f}x: {row.what}")
        if value < wanted:
            wrong.append(f"{row.what}: {value:.1f}x is below {wanted:.1f}x, {share:.0%} of the "
                         f"{row.must:g}x that have to be reached")
    return lines, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="A few ratios at 60 % of what must be.")
    parser.add_argument("--frames", type=int, default=3_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--share", type=float, default=SHARE, help=argparse.SUPPRESS)
    given = parser.parse_args()
    pin(cores()[1])
    stream = make_stream(given.frames)
    micro.check_answers(stream)
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, values in micro.measure(stream, given.repeats, only=TIMED).items():
            times.setdefault(name, []).extend(values)
        lines, wrong = judge(times, given.share)
        if not wrong:
            break
    return told(lines, wrong)


if __name__ == "__main__":
    sys.exit(main())
