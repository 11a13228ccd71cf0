"""Writing: what a client's sockets receive goes through a ring in memory into compressed files.

The event loop's thread copies bytes into the ring and nothing else; a thread of its own packs and
writes them. When that thread cannot keep up, records are lost, counted, and the tape says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from mexcfast.core.depth import OrderBook, State
from mexcfast.core.reader import Reader
from mexcfast.core.stream_events import StreamEvent
from mexcfast.core.tap import Kind
from mexcfast.errors import ConfigError, TapeError
from mexcfast.tape import format as form
from mexcfast.tape import told
from mexcfast.tape.keyframe import describe_book
from mexcfast.tape.ring import Ring

log = logging.getLogger("mexcfast.tape")

BLOCK_BYTES = 1 << 20
KEYFRAME_RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class TapeSettings:
    """How to record. Sizes in bytes, times in seconds.

    private: the private socket's frames too (orders, fills, balances; never logins). orders: "no",
    "redacted" (which request, when, the venue's code) or "full" (bodies and answers; never keys
    or signatures). keep_parts: files kept, the oldest are deleted; None keeps all. level: of zlib.
    sync: force every block to the disk, not only every file.
    """

    private: bool = False
    orders: Literal["no", "redacted", "full"] = "no"
    capacity: int = 16 << 20
    part_bytes: int = 256 << 20
    part_s: float = 3600.0
    keep_parts: int | None = None
    flush_s: float = 0.25
    level: int = 1
    sync: bool = False

    def __post_init__(self) -> None:
        for name, least in (("part_bytes", 1), ("part_s", 0.001), ("flush_s", 0.001),
                            ("capacity", 1 << 16)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name} is {value!r}; allowed: {least} and above")
        if self.keep_parts is not None and self.keep_parts < 1:
            raise ConfigError(f"keep_parts is {self.keep_parts}; allowed: 1 and above, or None")
        if self.orders not in ("no", "redacted", "full"):
            raise ConfigError(f"orders is {self.orders!r}; allowed: 'no', 'redacted', 'full'")
        if not 0 <= self.level <= 9:
            raise ConfigError(f"level is {self.level}; allowed: 0 to 9")


class Source(Protocol):
    """One socket: net/connection.Connection."""

    name: str
    reader: Reader

    @property
    def is_closed(self) -> bool: ...


class Noted(Protocol):
    """Who tells of stream events: net/notices.Notices."""

    recorder: Any


class Sources(Protocol):
    """The public sockets of a client: net/pool.Pool."""

    recorder: Any

    @property
    def connections(self) -> Sequence[Source]: ...
    @property
    def notices(self) -> Noted: ...


class Private(Protocol):
    """The private socket: net/private.PrivateStream."""

    recorder: Any

    @property
    def connection(self) -> Source | None: ...


class Sender(Protocol):
    """Who sends orders: net/executor.Executor."""

    on_write: Callable[..., None] | None


class Recorder:
    """One recording. Made by Client.record(); stop() or `async with` ends it.

    directory: made when missing; its files are readable by their owner only.
    error: why recording stopped by itself, for example a full disk; None while all is well.
    """

    def __init__(self, directory: str | os.PathLike[str], endpoint: str,
                 settings: TapeSettings | None = None) -> None:
        self.settings = settings or TapeSettings()
        self.directory = Path(directory)
        self.ring = Ring(self.settings.capacity)
        self.tape = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + os.urandom(4).hex()
        self.error: OSError | None = None
        self.written = 0                # bytes in files
        self.parts: list[Path] = []
        self._endpoint = endpoint
        self._sources: dict[int, tuple[Source, bool]] = {}
        self._numbers = 0
        self._pool: Sources | None = None
        self._private: Private | None = None
        self._sender: Sender | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._described: deque[OrderBook] = deque()
        # the writing thread's own
        self._file: int | None = None
        self._part = -1
        self._part_bytes = 0
        self._part_since = 0.0
        self._block = 0
        self._turning = False
        self._lost_told = 0

    def __repr__(self) -> str:
        return f"<Recorder {self.tape} {self.written} bytes, {self.ring.lost} lost>"

    @property
    def is_running(self) -> bool:
        """Frames are being recorded."""
        return self._thread is not None and not self._stopping.is_set()

    # -- the event loop's side --------------------------------------------------------------------

    def start(self, pool: Sources, sender: Sender | None = None,
              private: Private | None = None) -> None:
        """Record everything that the pool's sockets receive from now on.

        TapeError when the directory cannot be written, ConfigError when it is being recorded.
        """
        if pool.recorder is not None:
            raise ConfigError("the client is being recorded already; stop that recording first")
        self._loop = asyncio.get_running_loop()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._open_part()
        except OSError as fault:
            raise TapeError(f"{self.directory}: cannot record here: "
                            f"{fault.strerror or fault}") from fault
        self._pool = pool
        pool.recorder = pool.notices.recorder = self
        for source in pool.connections:
            self._take_in(source, False)
        if private is not None and self.settings.private:
            self._private = private
            private.recorder = self
            if private.connection is not None:
                self._take_in(private.connection, True)
        self._describe()
        if sender is not None and self.settings.orders != "no":
            self._sender = sender
            sender.on_write = self._on_write
        self._thread = threading.Thread(target=self._write, name="mexcfast tape", daemon=True)
        self._thread.start()

    def adopt(self, source: Source, private: bool = False) -> None:
        """A socket was made: record it too."""
        number = self._take_in(source, private)
        self._tell_source(number, source, private)
        for channel, symbol in source.reader.heard():
            self.ring.note(Kind.LISTENED, number, f"{channel} {symbol}")

    def _take_in(self, source: Source, private: bool) -> int:
        gone = [number for number, (each, _) in self._sources.items() if each.is_closed]
        for number in gone:
            del self._sources[number]
        self._numbers += 1
        self._sources[self._numbers] = source, private
        source.reader.record(self.ring, self._numbers)
        return self._numbers

    def told(self, event: StreamEvent) -> None:
        """Listeners and watchers are about to be told of this."""
        self.ring.note(Kind.TOLD, 0, told.encode_event(event))

    def told_private(self, hook: str, *details: Any) -> None:
        """A hook of the private stream's listeners is about to be called."""
        self.ring.note(Kind.TOLD, 0, told.encode_hook(hook, details))

    def _tell_source(self, number: int, source: Source, private: bool) -> None:
        self.ring.note(Kind.SOURCE, number, json.dumps({"name": source.name, "private": private}))

    def _describe(self) -> None:
        """Write down all that is being recorded, so that reading can begin here.

        The books follow one a turn of the loop: one takes a fraction of a millisecond.
        """
        self.ring.tell_losses()
        self.ring.note(Kind.MARK, 0, b"")
        books: dict[OrderBook, None] = {}
        for number, (source, private) in self._sources.items():
            self._tell_source(number, source, private)
            for symbol, route in source.reader.routes.items():
                if route.book is not None:
                    self.ring.note(Kind.BOOK_ATTACHED, number,
                                   f"{route.book.tap_number} {int(route.book.strict)} 1 {symbol}")
                    if route.book.hold_ns:
                        self.ring.note(Kind.HOLDS, route.book.tap_number, str(route.book.hold_ns))
                    books[route.book] = None
                for text in route.arbitrations():
                    self.ring.note(Kind.ARBITRATED, number, text)
            for channel, symbol in source.reader.heard():
                self.ring.note(Kind.LISTENED, number, f"{channel} {symbol}")
        idle = not self._described
        self._described.extend(books)
        if books and idle:
            self._describe_next()

    def _describe_next(self) -> None:
        book = self._described.popleft()
        if book.tap is self.ring:
            self._keyframe(book)
        if self._described:
            assert self._loop is not None
            self._loop.call_soon(self._describe_next)

    def _keyframe(self, book: OrderBook) -> None:
        """One that is not LIVE is written again later: its kept frames are not part of it."""
        if book.tap is self.ring and book.state is not State.STOPPED:
            if not book.held_ns or self._loop is None:
                self.ring.note(Kind.KEYFRAME, book.tap_number, describe_book(book))
            if (book.held_ns or book.state is not State.LIVE) and self._loop is not None:
                self._loop.call_later(KEYFRAME_RETRY_S, self._keyframe, book)

    def _on_write(self, name: str, request: Any, ts_sent_ms: int | None, status: int | None,
                  answer: bytes, error: str) -> None:
        """net/executor tells of a request that changes something, and of its answer."""
        row: dict[str, Any] = {"name": name, "ts_sent_ms": ts_sent_ms, "status": status,
                               "error": error}
        if self.settings.orders == "full":
            row["request"] = (request.body or b"").decode(errors="replace")
            row["answer"] = answer.decode(errors="replace")
        else:
            row["request_bytes"] = len(request.body or b"")
            row["code"] = _code_of(answer)
        self.ring.note(Kind.ORDER, 0, json.dumps(row))

    async def stop(self) -> None:
        """Write what waits, close the file. Nothing happens when it was stopped before."""
        self._detach()
        thread, self._thread = self._thread, None
        if thread is not None:
            self.ring.tell_losses()
            self._stopping.set()
            await asyncio.to_thread(thread.join)

    def _detach(self) -> None:
        for source, _ in self._sources.values():
            if source.reader.tap is self.ring:
                for route in source.reader.routes.values():
                    if route.book is not None:
                        route.book.record(None)
                source.reader.record(None)
        self._sources.clear()
        self._described.clear()
        if self._pool is not None and self._pool.recorder is self:
            self._pool.recorder = self._pool.notices.recorder = None
        if self._private is not None and self._private.recorder is self:
            self._private.recorder = None
        if self._sender is not None:
            self._sender.on_write = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.stop()

    # -- the writing thread's side ----------------------------------------------------------------

    def _write(self) -> None:
        stopping = False
        try:
            while not stopping:
                stopping = self._stopping.wait(self.settings.flush_s)
                while (taken := self.ring.take(BLOCK_BYTES)) is not None:
                    if stopping:
                        self.ring.tell_losses()       # nobody else writes any more
                    if taken[4] and self._turning:
                        self._close_part()
                        self._open_part()
                        self._turning = False
                    self._put(*taken[:4])
                if not stopping:
                    self._look_around()
            self._close_part()
        except OSError as fault:
            self.error = fault
            log.error("recording to %s stopped: %s", self.directory, fault)
            self._stopping.set()
            self._call(self._detach)

    def _look_around(self) -> None:
        """Ask for a description of everything at a new part, and after losses."""
        settings = self.settings
        full = (self._part_bytes >= settings.part_bytes
                or time.monotonic() - self._part_since >= settings.part_s)
        lost = self.ring.lost
        if (full and not self._turning) or lost != self._lost_told:
            self._turning = self._turning or full
            if lost != self._lost_told:
                log.warning("%s: %d records lost: the writer is too slow", self.tape,
                            lost - self._lost_told)
            self._lost_told = lost
            self._call(self._describe)

    def _call(self, what: Callable[[], None]) -> None:
        """In the event loop's thread, if there is one still."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            log.warning("%s: the event loop is closed", self.tape)

    def _open_part(self) -> None:
        self._part += 1
        path = self.directory / f"{self.tape}-{self._part:05d}{form.SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                             | getattr(os, "O_BINARY", 0), 0o600)     # Windows: bytes as they are
        self.parts.append(path)
        self._part_bytes = 0
        self._part_since = time.monotonic()
        self._block = 0
        self._write_all(form.encode_header({
            "tape": self.tape, "part": self._part, "endpoint": self._endpoint,
            "ts_ns": time.time_ns(), "private": self.settings.private,
            "orders": self.settings.orders}))
        while self.settings.keep_parts is not None and len(self.parts) > self.settings.keep_parts:
            self.parts.pop(0).unlink(missing_ok=True)

    def _put(self, raw: bytes, records: int, first_ns: int, last_ns: int, last: bool = False
             ) -> None:
        self._write_all(form.encode_block(self._block, raw, records, first_ns, last_ns,
                                          level=self.settings.level, last=last))
        self._block += 1
        if self.settings.sync and self._file is not None:
            os.fsync(self._file)

    def _write_all(self, data: bytes) -> None:
        assert self._file is not None
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left):]
        self._part_bytes += len(data)
        self.written += len(data)

    def _close_part(self) -> None:
        if self._file is not None:
            self._put(b"", 0, 0, 0, last=True)
            os.fsync(self._file)
            os.close(self._file)
            self._file = None


def _code_of(answer: bytes) -> int | None:
    try:
        code = json.loads(answer).get("code")
    except (ValueError, AttributeError):
        return None
    return code if isinstance(code, int) else None
