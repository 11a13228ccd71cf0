"""Hypothesis for the whole suite: seeded, no clock, no files left behind; a list of what failed;
where a test stands that is stuck; a loud word about frameworks that are missing: their tests are
skipped, and nothing was proven."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

import stuck

if TYPE_CHECKING:
    from collections.abc import Generator

settings.register_profile(
    "mexcfast", derandomize=True, deadline=None, database=None, max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                           HealthCheck.filter_too_much])
settings.load_profile("mexcfast")


def _list_failed(terminalreporter: Any) -> None:
    """Write the failed tests, one a line, to the file that MEXCFAST_FAILED names (tests/run)."""
    if target := os.environ.get("MEXCFAST_FAILED"):
        failed = [report.nodeid for what in ("failed", "error")
                  for report in terminalreporter.stats.get(what, ())]
        Path(target).write_text("".join(f"{test}\n" for test in dict.fromkeys(failed)))


def pytest_configure() -> None:
    stuck.configure()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with stuck.told(item.nodeid):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a framework that is not installed: framework(name, extra=name)."""
    for item in items:
        for name in getattr(getattr(item, "function", None), "cases", ()):
            item.user_properties.append(("case", name))
        for marker in item.iter_markers("framework"):
            if importlib.util.find_spec(marker.args[0]) is None:
                item.add_marker(pytest.mark.skip(reason=(
                    f"FRAMEWORK NOT TESTED: {marker.args[0]}; "
                    f"pip install 'mexcfast[{marker.args[-1]}]'")))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Cases of host frameworks that passed; what was skipped, in red."""
    _list_failed(terminalreporter)
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
