"""CI's eye on small changes: instructions a call, held against those that were kept.

    python bench/counts.py               exit code 1 when one has grown by more than a twentieth
    python bench/counts.py --keep        after a change that is worth its instructions

Time cannot show a few per cent on a busy machine; instructions hardly vary (valgrind's cachegrind).
They belong to one Python, compiler and Cython: on others the kept ones are shown and judge nothing.
Kept in bench/reports/instructions.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from compare import instructions
from harness import HERE, told

#: between them they pass everything that workload.py does
WATCHED = ("apply a frame, read the top", "a typed event of a frame",
           "a frame, an order and its answer")
KEPT = HERE / "reports" / "instructions.json"
MOST = 1.05


def built_with() -> dict[str, str]:
    """What instructions depend on besides our own source."""
    return {"python": platform.python_version(), "compiler": platform.python_compiler(),
            "machine": platform.machine(), "Cython": version("Cython")}


def measure() -> dict[str, float]:
    """By workload; as many at a time as there are cores."""
    variables = {**os.environ, "PYTHONHASHSEED": "0"}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        counts = pool.map(lambda name: instructions(variables, name), WATCHED)
        return dict(zip(WATCHED, counts, strict=True))


def judge(kept: dict[str, Any], found: dict[str, float], here: dict[str, str]
          ) -> tuple[list[str], list[str]]:
    """(a line for each workload, what is wrong)."""
    lines, wrong = [], []
    if kept["built_with"] != here:
        lines.append(f"not judged: kept with {kept['built_with']}, here {here}")
    for name, count in found.items():
        before = kept["instructions"].get(name)
        if before is None:
            wrong.append(f"{name}: nothing was kept; allowed after --keep")
            continue
        lines.append(f"{count:10,.0f}, kept {before:10,.0f}: {name}")
        if count > before * MOST and kept["built_with"] == here:
            wrong.append(f"{name}: {count:,.0f} instructions, {count / before:.3f} times the "
                         f"{before:,.0f} that were kept; allowed: {MOST:g}")
    return lines, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Instructions a call, held against the kept.")
    parser.add_argument("--keep", action="store_true", help="these are the right ones from now on")
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.error("needs valgrind: apt-get install valgrind")
    found = measure()
    if given.keep:
        KEPT.write_text(json.dumps({"built_with": built_with(), "instructions": {
            name: round(count) for name, count in found.items()}}, indent=1) + "\n",
            encoding="utf-8")
    lines, wrong = judge(json.loads(KEPT.read_text(encoding="utf-8")), found, built_with())
    return told(lines, wrong)


if __name__ == "__main__":
    sys.exit(main())
