"""Where a test stands that does not come to its end: threads and tasks, past all capture."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 120.0
"""Seconds until a test is called stuck; pyproject.toml's `timeout` ends it later."""
_standard_error: int = 2


def configure() -> None:
    """Keep the way to standard error, before pytest's capture takes its place."""
    global _standard_error
    _standard_error = os.dup(2)


def _tasks() -> list[asyncio.Task[object]]:
    """The unfinished tasks of every loop of this process, whichever thread has it."""
    return [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]


def _tell(test: str) -> None:
    """Called by the timer's thread: the test's own thread may be waiting for ever."""
    with os.fdopen(os.dup(_standard_error), "w") as out:
        out.write(f"\n== stuck for {LIMIT:g} s: {test}\n")
        out.flush()
        faulthandler.dump_traceback(out)
        for task in _tasks():
            task.print_stack(file=out)


@contextmanager
def told(test: str) -> Iterator[None]:
    """Around one test: tell where it stands when it takes longer than LIMIT."""
    timer = threading.Timer(LIMIT, _tell, (test,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
