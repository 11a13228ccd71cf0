"""The order journal's file: small, append-only, crash-safe.

Every order writes one line before its first byte leaves and one when its fate is proven. So after
a crash the file names exactly those requests that may have left and were not settled.

When lines are safe: a line is in the operating system's hands before the request leaves, with one
unbuffered write: it survives any death of this process. durable=True also waits for the disk, so
that it survives a power cut or a kernel crash; this holds up the event loop for a disk flush (often
milliseconds) before each order. Compaction always waits for the disk.

A line torn by a crash is cut off when the file is opened. One process at a time: a lock file beside
it is held while it is open. No keys, no signatures, no balances in it.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from mexcfast.core import journal as lines
from mexcfast.core.journal import Entry, Ledger
from mexcfast.errors import JournalError

log = logging.getLogger("mexcfast.net")

try:
    import fcntl
except ImportError:             # Windows: msvcrt locks the file's first byte instead
    fcntl = None  # type: ignore[assignment]
O_BINARY = getattr(os, "O_BINARY", 0)       # Windows would write two bytes for each end of a line
REPLACES_OPEN_FILES = os.name != "nt"       # Windows: neither the old nor the new one may be open


class Journal:
    """One file of one account.

    durable: wait for the disk before each order. max_bytes: beyond this the file is compacted to
    what is still unsettled.
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = False,
                 max_bytes: int = 4 << 20) -> None:
        self.path = Path(path)
        self.durable = durable
        self.max_bytes = max_bytes
        self.ledger = Ledger()
        self.torn_bytes = 0         # cut off when it was opened
        self._now_ms: Callable[[], int] = lambda: 0
        self._fd: int | None = None
        self._size = 0
        self._compact_at = max_bytes
        self._lock: IO[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Journal {self.path} {len(self.ledger.unsettled)} unsettled>"

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    @property
    def is_open(self) -> bool:
        """Lines can be written."""
        return self._fd is not None

    def open(self, access_key: str, session: int, now_ms: Callable[[], int]) -> int:
        """Read what an earlier run left, start a new session; returns its number.

        session: the number wished for; an earlier run's number plus one when that is larger.
        Raises JournalError when the file is in use, damaged in the middle, or of another account
        with requests still unsettled.
        """
        if self._fd is not None:
            raise JournalError(f"{self.path}: is open already")
        self._now_ms = now_ms
        account = lines.fingerprint(access_key)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            data = self.path.read_bytes() if self.path.exists() else b""
            self.ledger, self.torn_bytes = lines.replay(data)
            if self.ledger.account not in ("", account) and self.ledger.unsettled:
                raise JournalError("of another account, with "
                                   f"{len(self.ledger.unsettled)} requests unsettled")
            self.ledger.account = account
            self.ledger.session = max(session, self.ledger.session + 1)
            self._rewrite()
        except (JournalError, OSError) as error:
            self.close()
            raise JournalError(f"{self.path}: {error}") from None
        return self.ledger.session

    def close(self) -> None:
        """Close file and lock; what is unsettled stays so for the next run."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # -- facts -----------------------------------------------------------------------------------

    def send(self, entry: Entry) -> None:
        """Call before the first byte of the request leaves. Raises JournalError: then do not send.
        """
        self.ledger.send(entry)     # first: compaction writes what it holds
        try:
            self._write(lines.encode(entry.record()), durable=self.durable)
        except JournalError:
            del self.ledger.unsettled[entry.name]
            raise

    def end(self, name: str, fate: str, order_id: int | None = None) -> None:
        """The fate of a request is proven: "accepted" or "rejected"."""
        if self.ledger.end(name, fate, order_id):
            self._write(lines.end(name, fate, order_id))

    def forget_heir(self, order_id: int) -> None:
        """An order that an amend has left has ended."""
        if self.ledger.heirs.pop(order_id, None) is not None:
            self._write(lines.gone(order_id))

    def note_closed(self, what: str, until_ms: int) -> None:
        """The venue closed something until this wall-clock time."""
        self.ledger.penalties[what] = until_ms
        self._write(lines.closed(what, until_ms))

    # -- the file --------------------------------------------------------------------------------

    def _take_lock(self) -> None:
        self._lock = open(self.path.with_name(self.path.name + ".lock"), "ab")  # noqa: SIM115
        try:
            if fcntl is not None:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                msvcrt = importlib.import_module("msvcrt")
                self._lock.seek(0)
                msvcrt.locking(self._lock.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            raise JournalError("another process uses it") from None

    def _write(self, line: bytes, *, durable: bool = False) -> None:
        if self._fd is None:
            raise JournalError(f"{self.path}: is not open")
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(f"{written} of {len(line)} bytes written")
            if durable:
                os.fsync(self._fd)
        except OSError as error:
            # Half a line would join the next one: take it back.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise JournalError(f"{self.path}: {error}") from None
        self._size += len(line)
        if self._size > self._compact_at:
            try:
                self._rewrite()
            except OSError as error:        # the line itself is safe in the old file
                log.warning("%s: not compacted: %s", self.path, error)
                self._compact_at = 2 * self._size

    def _rewrite(self) -> None:
        """Replace the file by the shortest one that says the same, in one step."""
        content = self.ledger.compact(self._now_ms())
        fresh = self.path.with_name(self.path.name + ".new")
        appending = os.O_WRONLY | os.O_APPEND | O_BINARY
        fd = os.open(fresh, appending | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view):]
            os.fsync(fd)
            if REPLACES_OPEN_FILES:
                os.replace(fresh, self.path)
        except OSError:
            os.close(fd)
            raise
        if not REPLACES_OPEN_FILES:
            os.close(fd)
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
            try:
                os.replace(fresh, self.path)
            finally:                        # whichever it is now: without one nothing may leave
                fd = os.open(self.path, appending | os.O_CREAT, 0o600)
                self._fd, self._size = fd, os.fstat(fd).st_size
        self._flush_folder()
        if self._fd is not None and self._fd != fd:
            os.close(self._fd)
        self._fd, self._size = fd, len(content)
        self._compact_at = max(self.max_bytes, 2 * self._size)

    def _flush_folder(self) -> None:
        """The new name itself must reach the disk; not every system lets a folder be opened."""
        with contextlib.suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
