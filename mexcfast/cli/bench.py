"""`mexcfast bench`: the measuring scripts of the source tree, run with this very package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mexcfast
from mexcfast.errors import ConfigError


def find() -> Path:
    """bench/ beside the package or in the current directory; ConfigError where there is none."""
    for place in (Path.cwd(), Path(mexcfast.__file__).resolve().parent.parent):
        if (place / "bench" / "report.py").is_file():
            return place / "bench"
    raise ConfigError(f"no bench/report.py in {Path.cwd()}; the benches are in the source tree, "
                      "not in the wheel: run this in a checkout, with pip install '.[bench,cli]'")


def bench(*, quick: bool, out: str, parts: list[str], keep: bool) -> int:
    """Run bench/report.py; its exit code."""
    command = [sys.executable, str(find() / "report.py"), "--out", out]
    command += ["--quick"] if quick else []
    command += ["--keep"] if keep else []
    for part in parts:
        command += ["--part", part]
    return subprocess.run(command).returncode
