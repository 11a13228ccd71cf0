"""Child processes of tests: whoever waits for one waits for a bounded time."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: A machine under load starts an interpreter in seconds, not in minutes.
DEADLINE_S = 120.0


@contextmanager
def deadline(process: subprocess.Popen[Any], seconds: float = DEADLINE_S) -> Iterator[None]:
    """Kill the process when the block takes longer; what is read from it then ends.

    Raises TimeoutError after the block if it had to.
    """
    over = threading.Event()

    def end() -> None:
        over.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except BaseException as error:
        if over.is_set():
            raise TimeoutError(f"{process.args} was killed after {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError(f"{process.args} was killed after {seconds:g} s")


def lines_until(process: subprocess.Popen[str], word: str) -> str:
    """What it prints up to and with the line that holds the word; an AssertionError at its end."""
    assert process.stdout is not None
    text = ""
    while word not in text:
        line = process.stdout.readline()
        assert line, f"it ended without {word!r}: {text}"
        text += line
    return text
