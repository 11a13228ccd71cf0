"""A command in a terminal of some size: what it shows, keys, how it leaves the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Any, Self

MEXCFAST = [sys.executable, "-P", "-m", "mexcfast.cli"]
PATIENCE_S = 60.0


class Terminal:
    """Runs `mexcfast <arguments>` with a pseudo terminal as its input, output and errors.

    seen: everything it wrote so far. modes: of the terminal, now and before it began.
    """

    def __init__(self, *arguments: str, width: int = 100, height: int = 40, **env: str) -> None:
        self.seen = ""
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.before = self.modes()
        clean = {name: value for name, value in os.environ.items()
                 if name not in ("COLUMNS", "LINES", "NO_COLOR", "TTY_COMPATIBLE")}

        def own() -> None:                      # the terminal is theirs, as under a shell
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*MEXCFAST, *arguments], stdin=self._theirs, stdout=self._theirs, stderr=self._theirs,
            env={**clean, "TERM": "xterm-256color", "COLORTERM": "", **env}, preexec_fn=own)

    def modes(self) -> list[Any]:
        """As termios gives them; our end of the terminal outlives the command."""
        return termios.tcgetattr(self._theirs)

    @property
    def is_raw(self) -> bool:
        """Keys arrive one at a time and are not echoed."""
        return not self.modes()[3] & (termios.ICANON | termios.ECHO)

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self._ours, keys.encode())

    def read(self, seconds: float = 0.2) -> bool:
        """Take in what is there; False when nothing came."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._ours, 1 << 16)
        except OSError:
            return False
        self.seen += piece.decode(errors="replace")
        return bool(piece)

    def until(self, pattern: str, *, fresh: bool = False) -> re.Match[str]:
        """Read on until it matches what was seen, or only what comes from now on (fresh)."""
        start = len(self.seen) if fresh else 0
        ends = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, plain(self.seen[start:]))) is None:
            assert time.monotonic() < ends, f"no {pattern!r} in {plain(self.seen[start:])[-3000:]}"
            if not self.read() and self.process.poll() is not None and not self.read():
                raise AssertionError(f"ended with {self.process.returncode}, no {pattern!r} in "
                                     f"{plain(self.seen)[-3000:]}")
        return found

    def wait(self) -> int:
        """Its exit code."""
        ends = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < ends, "it does not end"
            self.read()
        while self.read(0.05):
            pass
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


def plain(text: str) -> str:
    """Without colours and movements of the cursor."""
    return re.sub(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>])", "", text)
