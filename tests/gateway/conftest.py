"""Says loudly when there is no nats-server: the gateway's tests are skipped, nothing was proven."""

from __future__ import annotations

from typing import Any

from gateway.nats_server import MISSING


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The last word of the run, in red."""
    if MISSING:
        terminalreporter.section("GATEWAY", sep="!", red=True, bold=True)
        terminalreporter.line(f"Missing: {', '.join(MISSING)}.", red=True)
        terminalreporter.line("The gateway's tests were skipped.", red=True)
