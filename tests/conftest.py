"""For the whole suite: hypothesis is seeded, has no clock and leaves no files; failures are listed."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

settings.register_profile(
    "mexcfast", derandomize=True, deadline=None, database=None, max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                           HealthCheck.filter_too_much])
settings.load_profile("mexcfast")


def pytest_terminal_summary(terminalreporter):
    """Write the failed tests, one a line, to the file that MEXCFAST_FAILED names (tests/run)."""
    if target := os.environ.get("MEXCFAST_FAILED"):
        failed = [report.nodeid for what in ("failed", "error")
                  for report in terminalreporter.stats.get(what, ())]
        Path(target).write_text("".join(f"{test}\n" for test in dict.fromkeys(failed)))
