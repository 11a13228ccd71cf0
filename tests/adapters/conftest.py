"""Says loudly when a framework is missing: its tests are skipped, and nothing was proven."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a framework that is not installed; its extra may have another name."""
    for item in items:
        for name in getattr(getattr(item, "function", None), "cases", ()):
            item.user_properties.append(("case", name))
        for marker in item.iter_markers("framework"):
            if importlib.util.find_spec(marker.args[0]) is None:
                item.add_marker(pytest.mark.skip(reason=(
                    f"FRAMEWORK NOT TESTED: {marker.args[0]}; "
                    f"pip install 'mexcfast[{marker.args[-1]}]'")))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The last word of the run, in red."""
    passed = sorted({name for report in terminalreporter.stats.get("passed", ())
                     for kind, name in report.user_properties if kind == "case"})
    if passed:
        terminalreporter.line(f"{len(passed)} cases of host frameworks passed: {', '.join(passed)}")
    gone = sorted({report.longrepr[2].split(": ", 2)[2]
                   for report in terminalreporter.stats.get("skipped", ())
                   if isinstance(report.longrepr, tuple) and "FRAMEWORK NOT" in report.longrepr[2]})
    if gone:
        terminalreporter.section("FRAMEWORKS", sep="!", red=True, bold=True)
        for each in gone:
            terminalreporter.line(f"Not tested: {each}", red=True)
