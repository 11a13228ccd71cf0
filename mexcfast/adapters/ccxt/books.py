"""ccxt's live order books, with mexcfast's own book deciding whether they are whole.

Stock ccxt applies whatever comes: a missing frame, or the frames after a reconnect, leave a book
that looks well and is wrong. Here each frame goes through mexcfast.OrderBook first, and ccxt's
lists change only as far as it says. On a gap, a crossed book or an unreadable frame ccxt's book
keeps its last whole state, wakes nobody, and is loaded again.

The lists are changed by list operations on ccxt's own side objects: users keep them, slice them,
dump them.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from typing import Any

import orjson
from ccxt.base.errors import ExchangeError, RateLimitExceeded  # type: ignore[import-untyped]

from mexcfast import BookError, Change, FrameError, OrderBook
from mexcfast.adapters.ccxt.parsing import is_time, iso8601

log = logging.getLogger("mexcfast.ccxt")

APPLIED, STALE, NEED_SNAPSHOT = Change.APPLIED, Change.STALE, Change.NEED_SNAPSHOT
AT_ONCE = 4                  # snapshots under way; the venue allows 20 in 2 s
LIMITED_WAIT = 1.0           # seconds after "too many requests"
LIMITED_TRIES = 60


class Keeper:
    """One contract's book on one connection."""

    __slots__ = ("book", "client", "hash", "machine", "market", "pending", "syncing")

    def __init__(self, client: Any, market: dict[str, Any], book: Any) -> None:
        self.client = client
        self.market = market
        self.book = book                         # ccxt's
        self.hash = f"orderbook:{market['symbol']}"
        self.machine = OrderBook(market["id"])   # ours
        self.pending: list[dict[str, Any]] = []  # data of the frames the machine keeps
        self.syncing = False


def put(side: Any, rows: list[Any], counts: bool) -> None:
    """What ccxt's storeArray does for each row; counts: keep the count of orders current too."""
    keys, descending = side._index, side.side
    for row in rows:
        price, size = row[0], row[1]
        key = -price if descending else price
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            if size:
                level = side[at]
                level[1] = size
                if counts:
                    level[2:] = row[2:]
            else:
                del keys[at]
                del side[at]
        elif size:
            keys.insert(at, key)
            side.insert(at, row)


def _version(data: dict[str, Any]) -> int:
    """A frame's last version."""
    version = data.get("version")
    return int(data["end"] if version is None else version)


class Books:
    """Mixed into the exchange: handle_order_book for swaps, and the loading of snapshots."""

    def _start_books(self) -> None:
        self._keepers: dict[str, Keeper] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._gate: asyncio.Semaphore | None = None

    def handle_order_book(self: Any, client: Any, message: dict[str, Any]) -> None:
        keeper = self._keepers.get(message.get("symbol"))
        if keeper is None or keeper.client is not client or keeper.hash not in client.subscriptions:
            market = self._swap(message.get("symbol"))
            if market is None:
                super().handle_order_book(client, message)   # type: ignore[misc]
                return
            keeper = self._keep(client, market)
            if keeper is None:
                return
        machine = keeper.machine
        try:
            frame = getattr(client, "frame", None)
            change = machine.apply(orjson.dumps(message) if frame is None else frame)
        except (FrameError, BookError) as error:
            log.warning("%s: its book is loaded again: %s", keeper.hash, error)
            self._reload(keeper)
            return
        data = message["data"]
        if change is APPLIED:
            if keeper.pending:
                self._settle(keeper, data)
            else:
                self._put(keeper.book, data)
            self._stamp(keeper.book, message)
            client.resolve(keeper.book, keeper.hash)
        elif change is not STALE:
            self._wait(keeper, data, change)

    def _put(self: Any, book: Any, data: dict[str, Any]) -> None:
        """One frame into ccxt's lists."""
        book["nonce"] = _version(data)
        counts = self._fixes
        for name in ("asks", "bids"):
            rows = data.get(name)
            if rows:
                try:
                    put(book[name], rows, counts)
                except TypeError:                # numbers as text: stock could not take them
                    put(book[name], [[float(one) for one in row] for row in rows], counts)

    def _stamp(self: Any, book: Any, message: dict[str, Any]) -> None:
        ms = message.get("ts")
        if is_time(ms) and "t" not in message:
            book["timestamp"] = ms
            book["datetime"] = iso8601(ms)       # type: ignore[arg-type]
        else:
            ms = self.safe_integer_n(message, ["t", "ts", "sendTime"])
            book["timestamp"] = ms
            book["datetime"] = self.iso8601(ms)

    def _settle(self: Any, keeper: Keeper, data: dict[str, Any] | None = None,
                since: int = -1) -> None:
        """Into ccxt's lists: of what was kept whatever the machine has taken, oldest first."""
        frames = [*keeper.pending, data] if data is not None else keeper.pending
        frames = sorted(frames, key=_version)
        version = keeper.machine.version
        for frame in frames:
            if since <= _version(frame) <= version:
                self._put(keeper.book, frame)
        keeper.pending = [frame for frame in frames if _version(frame) > version]

    def _wait(self: Any, keeper: Keeper, data: dict[str, Any], change: Change) -> None:
        """The frame does not follow: kept by the machine, or too many are and all were dropped."""
        keeper.pending.append(data)
        machine = keeper.machine
        if change is NEED_SNAPSHOT and not machine.pending_frames:
            # Bounds passed, or crossed twice: nothing is left to build on.
            keeper.pending.clear()
            self._sync(keeper)
            return
        if len(keeper.pending) > machine.pending_frames:
            self._settle(keeper)                 # a late frame let it take some, not all
        if machine.pending_frames > self._choice("snapshotDelay") or machine.gaps:
            self._sync(keeper)

    # -- keepers ----------------------------------------------------------------------------------

    def _keep(self: Any, client: Any, market: dict[str, Any]) -> Keeper | None:
        """A new book for a new subscription; None for a frame nobody is subscribed to."""
        symbol = market["symbol"]
        if f"orderbook:{symbol}" not in client.subscriptions:
            return None                          # late, after un_watch_order_book
        old = self._keepers.get(market["id"])
        if old is not None and old.client is client:
            return old  # type: ignore[no-any-return]
        # After a reconnect nothing old survives but the object itself, which users hold.
        book = self.orderbooks.get(symbol)
        if book is None:
            book = self.orderbooks[symbol] = self.order_book()
        book["nonce"] = None
        keeper = self._keepers[market["id"]] = Keeper(client, market, book)
        return keeper

    def _forget_book(self, symbol: str) -> None:
        for market_id, keeper in list(self._keepers.items()):
            if keeper.market["symbol"] == symbol:
                del self._keepers[market_id]

    def _subscribed_depth(self: Any, client: Any, market_id: str) -> None:
        """The venue has confirmed: ask for the snapshot now, a quiet contract may send nothing."""
        market = self._swap(market_id)
        keeper = None if market is None else self._keep(client, market)
        if keeper is not None and not keeper.machine.is_live and not self._choice("snapshotDelay"):
            keeper.machine.expect_snapshot()
            self._sync(keeper)

    def _reload(self: Any, keeper: Keeper) -> None:
        keeper.machine.reset()
        keeper.pending.clear()
        keeper.machine.expect_snapshot()
        self._sync(keeper)

    # -- snapshots --------------------------------------------------------------------------------

    def _sync(self: Any, keeper: Keeper) -> None:
        if not keeper.syncing:
            keeper.syncing = True
            task = self.asyncio_loop.create_task(self._load(keeper))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    def _is_kept(self: Any, keeper: Keeper) -> bool:
        return (self._keepers.get(keeper.market["id"]) is keeper
                and keeper.hash in keeper.client.subscriptions and not keeper.client.error)

    async def _load(self: Any, keeper: Keeper) -> None:
        """Load snapshots until one fits; when none does, the watcher is told and may try again."""
        try:
            error: Exception | None = None
            tries = limited = 0
            while tries < self._choice("snapshotTries") and limited < LIMITED_TRIES:
                if tries or limited:
                    await asyncio.sleep(LIMITED_WAIT if isinstance(error, RateLimitExceeded)
                                        else min(2.0, 0.05 * 2 ** tries))
                if not self._is_kept(keeper):
                    return
                try:
                    error = await self._load_once(keeper)
                except RateLimitExceeded as refused:
                    error, limited = refused, limited + 1
                    continue
                except Exception as failed:      # whatever it is, the watcher is told
                    error = failed
                if error is None:
                    return
                tries += 1
            if self._is_kept(keeper) and error is not None:
                del self._keepers[keeper.market["id"]]
                keeper.client.subscriptions.pop(keeper.hash, None)
                keeper.client.reject(error, keeper.hash)
        finally:
            keeper.syncing = False

    async def _load_once(self: Any, keeper: Keeper) -> Exception | None:
        """One snapshot; None when the book is whole with it, or nobody wants it any more."""
        if self._gate is None:
            self._gate = asyncio.Semaphore(AT_ONCE)
        async with self._gate:
            snapshot = await self.fetch_order_book(keeper.market["symbol"])
        if not self._is_kept(keeper):
            return None
        machine = keeper.machine
        data = {key: snapshot[key] for key in ("asks", "bids")}
        change = machine.load_snapshot(orjson.dumps(
            {"success": True, "code": 0, "data": {**data, "version": snapshot["nonce"]}}))
        if change is STALE:
            return None                          # a late frame has closed the gap meanwhile
        if machine.version >= snapshot["nonce"]:
            keeper.book.reset(snapshot)
            self._settle(keeper, since=snapshot["nonce"])
        if change is APPLIED:
            keeper.client.resolve(keeper.book, keeper.hash)
            return None
        return ExchangeError(f"{self.id} {keeper.market['symbol']}: the snapshot's version "  # type: ignore[no-any-return]
                             f"{snapshot['nonce']} does not reach the stream's")

    async def _stop_books(self) -> None:
        self._keepers.clear()
        tasks = list(self._background)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._gate = None                        # the next loop may be another one
