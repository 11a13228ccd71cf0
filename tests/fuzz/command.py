"""What each fuzz target is as a program: bounded runs, a count of what happened."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any


def command(what: str, run: Callable[[int, float, int], dict[str, int]], seed: int,
            check: Callable[[bytes], Any] | None = None) -> None:
    """Run for as long as the arguments say. check: takes one input of atheris, for --atheris."""
    if check is not None and "--atheris" in sys.argv:
        import atheris  # type: ignore[import-not-found]

        sys.argv.remove("--atheris")
        atheris.instrument_all()
        atheris.Setup(sys.argv, check)
        atheris.Fuzz()
        return
    parser = argparse.ArgumentParser(description=f"Fuzz {what}.")
    parser.add_argument("--runs", type=int, default=2**60)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=seed)
    given = parser.parse_args()
    seen = run(given.runs, given.seconds, given.seed)
    for name, count in sorted(seen.items(), key=lambda item: -item[1]):
        print(f"{count:10,}  {name}")
    print(f"{sum(seen.values()):10,}  executions, seed {given.seed}, no failure")
