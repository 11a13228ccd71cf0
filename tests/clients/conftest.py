"""Says loudly when a stock client is missing: its tests are skipped, and nothing was proven."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest

#: import name: (distribution, the version the tests were written for)
CLIENTS = {
    "ccxt": ("ccxt", "4.5.90"),
    "typed_mexc": ("typed-mexc", "2.3.0"),
    "pymexc": ("pymexc", "1.1.1"),
}


def missing() -> list[str]:
    """What the extra `clients` would install and is not here, or not in its version."""
    found = []
    for name, (distribution, wanted) in CLIENTS.items():
        try:
            here = version(distribution) if importlib.util.find_spec(name) else "absent"
        except PackageNotFoundError:
            here = "absent"
        if here != wanted:
            found.append(f"{distribution}=={wanted} ({here})")
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the module of a client that is absent; another version runs, at its own risk."""
    for item in items:
        marker = item.get_closest_marker("client")
        if marker is not None and importlib.util.find_spec(marker.args[0]) is None:
            reason = f"STOCK CLIENT NOT TESTED: {marker.args[0]}; pip install 'mexcfast[clients]'"
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The last word of the run, in red."""
    gone = missing()
    if gone:
        terminalreporter.section("STOCK CLIENTS", sep="!", red=True, bold=True)
        terminalreporter.line(f"Not in the pinned version: {', '.join(gone)}.", red=True)
        terminalreporter.line("Their tests were skipped or prove little.", red=True)
        terminalreporter.line("Install them: pip install 'mexcfast[clients]'", red=True)
