"""Layer 3: what ccxt's own live harness passes for stock it passes for ours. Long: soak only."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.ccxt_support import NEEDS_CCXT

pytestmark = [*NEEDS_CCXT, pytest.mark.soak]

HARNESS = Path(__file__).parents[1] / "clients" / "ccxt_harness.py"


def passed(*flags: str) -> set[str]:
    """The names of the tests that ended well."""
    done = subprocess.run([sys.executable, str(HARNESS), *flags], capture_output=True, text=True,
                          timeout=900)
    return set(re.findall(r"TESTING DONE\s+mexc (\w+)", done.stdout))


@pytest.mark.parametrize("flags", [(), ("--ws",), ("--private", "--only-buys"),
                                   ("--ws", "--private", "--only-buys")])
def test_the_harness_passes_what_stock_passes(flags: tuple[str, ...]) -> None:
    pytest.importorskip("psutil")
    stock, ours = passed(*flags), passed(*flags, "--adapter")
    assert stock and ours >= stock, stock - ours
