"""Socket to callback: latency at a steady pace, CPU a message at full blast.

    python bench/wire.py                      every candidate, 5 interleaved repeats: some minutes
    python bench/wire.py --quick              a look that it runs
    python bench/wire.py --only "mexcfast, Python listener" --only "aiohttp + json" --json FILE

The server (bench/server.py) has core 0 and spins; each candidate runs in a fresh
process on core 1 (bench/client.py), sleeping and spinning, in turns. Latency is from just before
the server's send to the first line of the user's callback: for candidates with a book, the book
updated. p90 and p99 tell of the machine as much as of the code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from client import AIOHTTP_JSON, BARE, CANDIDATES, CCXT, EMPTY, OURS, OURS_COMPILED
from harness import (
    environment,
    least,
    middle,
    on_core,
    run_child,
    server,
    turns_of_children,
    write_json,
)

QUICK = [BARE, EMPTY, OURS_COMPILED, OURS, AIOHTTP_JSON]


def measure(names: Sequence[str], repeats: int, paced: int, blast: int, rate: float = 1000,
            levels: int = 1_000) -> dict[str, Any]:
    """By candidate and loop ("sleep", "spin") what each repeat gave, as bench/client.py prints."""
    frames = 200 + paced + blast

    def once(key: str) -> Any:
        name, _, loop = key.rpartition(" | ")
        # One blast a repeat is enough: the loop never sleeps in it either way.
        return run_child("client.py", name, loop, port, "--paced", paced, "--rate", rate,
                         "--blast", blast if loop == "sleep" else 0, "--frames", frames,
                         "--levels", levels, *on_core())

    with server(frames, levels) as port:
        turns, missing = turns_of_children(
            [f"{name} | {loop}" for name in names for loop in ("sleep", "spin")], repeats, once)
    found: dict[str, dict[str, Any]] = {}
    for key, values in turns.items():
        name, _, loop = key.rpartition(" | ")
        found.setdefault(name, {})[loop] = [one["paced"] for one in values]
        if loop == "sleep":
            found[name]["blast"] = [one["blast"] for one in values]
        found[name]["checked"] = values[0]["checked"]
    return {"paced": paced, "rate": rate, "blast": blast, "repeats": repeats, "levels": levels,
            "candidates": found, "missing": missing}


def value(found: dict[str, Any], name: str, loop: str, what: str) -> float | None:
    """The least over the repeats of one figure; None when it was not measured."""
    repeats = found["candidates"].get(name, {}).get(loop)
    return least(repeats, what) if repeats else None


def table(found: dict[str, Any]) -> str:
    out = [f"{found['paced']:,} frames at {found['rate']:,.0f}/s, us from send to callback, "
           f"minimum of {found['repeats']} repeats (median in brackets); then "
           f"{found['blast']:,} frames at once, CPU us a message.", "",
           "| candidate | sleeping p50 | p90 | p99 | spinning p50 | p90 | p99 | blast, CPU us | "
           "woken a frame |", "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, by_loop in found["candidates"].items():
        cells = []
        for loop in ("sleep", "spin"):
            for what in ("p50", "p90", "p99"):
                repeats = by_loop.get(loop)
                cells.append(f"{least(repeats, what):.1f} ({middle(repeats, what):.1f})"
                             if repeats else "-")
        blast = by_loop.get("blast")
        cells += [f"{least(blast, 'cpu_us'):.3f} ({middle(blast, 'cpu_us'):.3f})",
                  f"{blast[0]['woken'] / blast[0]['frames']:.2f}"] if blast else ["-", "-"]
        out.append(f"| {name} | {' | '.join(cells)} |")
    if BARE in found["candidates"]:
        blast = found["candidates"][BARE]["blast"]
        out += ["", f"The server's own cost of a frame at full blast, with the bare client: "
                f"{least(blast, 'server_us'):.3f} us of wall time, waiting for the client in it: "
                "a candidate well above it is not held up by the server."]
    out += ["", *(f"MISSING: {reason}" for reason in found["missing"])]
    return "\n".join(out).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency and CPU from socket to callback.")
    parser.add_argument("--only", action="append", choices=list(CANDIDATES), metavar="NAME",
                        help=f"a candidate; may be repeated: {', '.join(CANDIDATES)}")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--paced", type=int, default=1_000, help="frames of the paced run")
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--blast", type=int, default=30_000, help="frames at full blast")
    parser.add_argument("--quick", action="store_true", help="one short repeat of a few")
    parser.add_argument("--json", type=Path, help="also write everything here")
    given = parser.parse_args()
    names = given.only or (QUICK if given.quick else list(CANDIDATES))
    if given.quick:
        given.repeats, given.paced, given.blast = 1, 300, 3_000
    found = measure(names, given.repeats, given.paced, given.blast, given.rate)
    print(table(found))
    if given.json:
        write_json(given.json, {"environment": environment(), "wire": found})


__all__ = ["CCXT", "EMPTY", "OURS", "OURS_COMPILED", "measure", "table", "value"]

if __name__ == "__main__":
    main()
