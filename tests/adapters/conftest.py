"""What a host's own log says is part of a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def allowed() -> list[str]:
    """Parts of errors that a test expects in the log, each of them."""
    return []


@pytest.fixture
def nothing_is_hidden(capfd: pytest.CaptureFixture[str], allowed: list[str]) -> Iterator[None]:
    """A TradingNode logs what goes wrong inside a client and goes on."""
    yield
    text = "".join(capfd.readouterr())
    wrong = [line for line in text.splitlines() if "[ERROR]" in line
             and not any(part in line for part in allowed)]
    assert not wrong, text
    assert all(part in text for part in allowed), text
