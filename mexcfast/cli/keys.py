"""Keys of a terminal, one at a time and without Enter; the terminal is put back at the end.

Nothing where standard input is no terminal, or on a system without termios.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

try:
    import termios
    import tty
except ImportError:                     # Windows
    termios = tty = None  # type: ignore[assignment]

#: what terminals send for keys that are no character
NAMES = {"\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left", "\x1bOA": "up",
         "\x1bOB": "down", "\x1bOC": "right", "\x1bOD": "left", "\x1b[Z": "shift-tab",
         "\t": "tab", " ": "space", "\r": "enter", "\n": "enter", "\x1b": "escape"}


def split(text: str) -> list[str]:
    """What was typed, key by key: characters as they are, others by name, unknown ones left out."""
    found = []
    while text:
        if text[0] == "\x1b" and len(text) > 1 and text[1] in "[O":
            end = 2
            while end < len(text) and not ("@" <= text[end] <= "~"):
                end += 1
            whole, text = text[:end + 1], text[end + 1:]
            if whole in NAMES:
                found.append(NAMES[whole])
            continue
        found.append(NAMES.get(text[0], text[0]))
        text = text[1:]
    return found


class Keys:
    """Calls back with each key while the block runs.

        with Keys(on_key):
            ...

    Signals of the keyboard (Ctrl-C, Ctrl-Z) stay what they are. is_on: whether there are keys.
    """

    def __init__(self, on_key: Callable[[str], object]) -> None:
        self._on_key = on_key
        self._saved: Any = None             # what tcgetattr said
        self._fd = -1
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_on(self) -> bool:
        """Keys arrive."""
        return self._saved is not None

    def __enter__(self) -> Self:
        if termios is None or not sys.stdin.isatty():
            return self
        self._fd = sys.stdin.fileno()
        if os.tcgetpgrp(self._fd) != os.getpgrp():      # in the background: the shell has the keys
            return self
        self._saved = termios.tcgetattr(self._fd)
        self._loop = asyncio.get_running_loop()
        try:
            self._raw()
            self._loop.add_reader(self._fd, self._read)
            self._loop.add_signal_handler(signal.SIGCONT, self._raw)    # after Ctrl-Z and fg
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _raw(self) -> None:
        """No echo, no waiting for a line; keeps Ctrl-C."""
        tty.setcbreak(self._fd, termios.TCSANOW)

    def _read(self) -> None:
        try:
            typed = os.read(self._fd, 1024)
        except OSError:
            typed = b""
        if not typed:                   # the terminal is gone
            assert self._loop is not None
            self._loop.remove_reader(self._fd)
            return
        for key in split(typed.decode(errors="replace")):
            self._on_key(key)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._saved is None or self._loop is None:
            return
        saved, self._saved = self._saved, None
        self._loop.remove_reader(self._fd)
        with suppress(ValueError, RuntimeError):
            self._loop.remove_signal_handler(signal.SIGCONT)
        with suppress(termios.error):   # it may be gone
            termios.tcsetattr(self._fd, termios.TCSADRAIN, saved)
