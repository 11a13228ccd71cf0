"""Two versions side by side: is the new one faster, slower, or is there no difference to be seen?

    python bench/compare.py main my-branch                  two commits, built here
    python bench/compare.py old.whl new.whl --rounds 30     two wheels
    python bench/compare.py v0.1.0 HEAD --instructions      and instructions, by valgrind

Each version is installed into a directory of its own; processes of both take turns on one core, the
first of a pair changing every time. The verdict is on the ratio of the medians, new to old, with a
95 % bootstrap interval: slower or faster only when the interval leaves out 1 and the difference is
above 2 %. Instruction counts (cachegrind) hardly vary between runs, on a busy machine neither: the
cost of one call is the difference of a long and a short run. Exit code 1 when something is slower.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import HERE, ROOT, bootstrap, cores, git, pin
from workload import WORKLOADS

LEAST = 0.02        # smaller differences are nobody's business
CALLS = (500, 2_500)


def install(what: str, folder: Path) -> Path:
    """A commit or a wheel, installed into folder; SystemExit with what pip or git said."""
    source = what
    if not what.endswith(".whl"):
        if not git("rev-parse", "--verify", "--quiet", f"{what}^{{commit}}"):
            sys.exit(f"{what} is neither a commit of this repository nor a wheel")
        # An archive, not a worktree: nothing of it is left in the repository, however we end.
        archive = folder.with_suffix(".tar")
        _run("git", "archive", "--format=tar", f"--output={archive}", what)
        tree = folder.with_name(folder.name + "-tree")
        tree.mkdir()
        _run("tar", "-xf", str(archive), "-C", str(tree))
        source = str(tree)
    elif not Path(what).is_file():
        sys.exit(f"{what} does not exist")
    _run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
         "--target", str(folder), source)
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")


def environ(home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(home), "PYTHONHASHSEED": "0"}


def timed(home: Path, *more: str) -> dict[str, float]:
    """ns a call by workload, in a fresh process."""
    done = subprocess.run([sys.executable, str(HERE / "workload.py"), *more], env=environ(home),
                          capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.exit(f"{home.name}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def instructions(variables: dict[str, str], name: str) -> float:
    """Instructions a call: a long run less a short one. variables: the environment of both."""
    counts = []
    for calls in CALLS:
        done = subprocess.run(
            ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
             sys.executable, str(HERE / "workload.py"), "--only", name, "--calls", str(calls),
             "--inner", "1"], env=variables, capture_output=True, text=True, timeout=1200)
        seen = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
        if done.returncode or seen is None:
            sys.exit(f"valgrind: {done.stderr[-2000:]}")
        counts.append(int(seen.group(1).replace(",", "")))
    return (counts[1] - counts[0]) / (CALLS[1] - CALLS[0])


def verdict(low: float, high: float, estimate: float) -> str:
    if abs(estimate - 1) < LEAST or low <= 1 <= high:
        return "no difference seen"
    return "SLOWER" if estimate > 1 else "faster"


def compare(old: Path, new: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """By workload, {"old": ns, "new": ns}, one figure a process."""
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds):
        pair = [("old", old), ("new", new)]
        for which, home in pair if turn % 2 else reversed(pair):
            for name, value in timed(home).items():
                found.setdefault(name, {"old": [], "new": []})[which].append(value)
    return found


def report(found: dict[str, dict[str, list[float]]]) -> tuple[list[str], bool]:
    """(table, whether anything is slower); what one version lacks is named."""
    lines = ["| what | old, ns | new, ns | new/old | 95 % | verdict |",
             "| --- | --- | --- | --- | --- | --- |"]
    slower = False
    for name, both in found.items():
        if not both["old"] or not both["new"]:
            lines.append(f"| {name} | | | | | only in one of them |")
            continue
        estimate, low, high = bootstrap(both["old"], both["new"])
        word = verdict(low, high, estimate)
        slower = slower or word == "SLOWER"
        lines.append(f"| {name} | {min(both['old']):,.0f} | {min(both['new']):,.0f} | "
                     f"{estimate:.3f} | {low:.3f} to {high:.3f} | {word} |")
    return lines, slower


def main() -> int:
    parser = argparse.ArgumentParser(description="Two versions, interleaved.")
    parser.add_argument("old", help="a commit or a wheel")
    parser.add_argument("new", help="a commit or a wheel")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--instructions", action="store_true", help="count them too (valgrind)")
    given = parser.parse_args()
    if given.rounds < 3:
        parser.error(f"--rounds is {given.rounds}; allowed: 3 and more")
    if given.instructions and shutil.which("valgrind") is None:
        parser.error("--instructions needs valgrind: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = install(given.old, folder / "old")
        new = install(given.new, folder / "new")
        pin(cores()[1])
        lines, slower = report(compare(old, new, given.rounds))
        print("\n".join(lines), flush=True)
        if given.instructions:
            print("\n| what | old, instructions | new | new/old |\n| --- | --- | --- | --- |")
            for what in WORKLOADS:
                before, after = (instructions(environ(home), what) for home in (old, new))
                print(f"| {what} | {before:,.0f} | {after:,.0f} | {after / before:.3f} |",
                      flush=True)
                slower = slower or after / before > 1 + LEAST
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
