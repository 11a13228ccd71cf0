"""Child processes of tests: whoever waits for one waits for a bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

#: A machine under load starts an interpreter in seconds, not in minutes.
DEADLINE_S = 120.0

needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")


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


async def killed_where_it_says_here(program: Path, *arguments: str) -> None:
    """Start a program in Python, wait until it prints "here", end it with kill -9."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(program), *arguments, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert child.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            assert (await child.stdout.readline()).strip() == b"here"
    finally:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        await asyncio.wait_for(child.wait(), DEADLINE_S)
