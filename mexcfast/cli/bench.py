"""`mexcfast bench`: the measuring scripts of the source tree, run with this very package."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mexcfast
from mexcfast.cli.progress import Bar
from mexcfast.errors import ConfigError

#: what bench/report.py measures, in this order
PARTS = ("micro", "memory", "wire", "tick_to_trade", "orders", "orders_tls", "startup", "stall")
_BEGINS = re.compile(r"(\w+) \.\.\.\n?")
_ENDS = re.compile(r"(\w+): (?:done|FAILED), ")


def find() -> Path:
    """bench/ beside the package or in the current directory; ConfigError where there is none."""
    for place in (Path.cwd(), Path(mexcfast.__file__).resolve().parent.parent):
        if (place / "bench" / "report.py").is_file():
            return place / "bench"
    raise ConfigError(f"no bench/report.py in {Path.cwd()}; the benches are in the source tree, "
                      "not in the wheel: run this in a checkout, with pip install '.[bench,cli]'")


def bench(*, quick: bool, out: str, parts: list[str], keep: bool) -> int:
    """Run bench/report.py and pass on what it says; its exit code."""
    wrong = [part for part in parts if part not in PARTS]
    if wrong:
        raise ConfigError(f"--part is {', '.join(wrong)}; allowed: {', '.join(PARTS)}")
    command = [sys.executable, str(find() / "report.py"), "--out", out]
    command += ["--quick"] if quick else []
    command += ["--keep"] if keep else []
    for part in parts:
        command += ["--part", part]
    total, done = len(parts or PARTS), 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        with process.stdout as lines, Bar("measuring") as bar:
            for line in lines:
                begins = _BEGINS.fullmatch(line)
                done += _ENDS.match(line) is not None
                bar(done, total, f"measuring: {begins[1]}" if begins else None)
                if begins is None or not bar.is_shown:
                    print(line, end="", flush=True)
        return process.wait()
    finally:
        if process.poll() is None:          # Ctrl-C: the script has had it too, or has it now
            process.terminate()
            process.wait()
