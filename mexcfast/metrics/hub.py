"""Metrics of one client: Client.metrics. Off until started; then hooks count, and scrapes read.

    off     start()     serve()     close()
    off     on          serving     off
    on      on          serving     off
    serving serving     (refused)   off
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mexcfast.core.topics import depth
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.metrics.server import MetricsServer, check_host
from mexcfast.metrics.sources import Sources
from mexcfast.metrics.table import Reader
from mexcfast.metrics.taps import Taps
from mexcfast.net.tasks import end

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from mexcfast.metrics.exposition import Collector
    from mexcfast.metrics.otel import Bridge

log = logging.getLogger("mexcfast.metrics")

PORT = 9464             # what OpenTelemetry's own Prometheus exporter takes
MOST_CONTRACTS = 100
OFFSET_EVERY_S = 1.0    # a wall clock that is stepped makes venue_to_wire wrong for this long
PINGS_EVERY = 60        # in rounds of OFFSET_EVERY_S; the bound grows by 3 ms in that time


class Metrics:
    """What one client does, in numbers. Made by Client.metrics.

    Nothing is hooked in and nothing runs before start() or serve().
    """

    def __init__(self, sources: Sources) -> None:
        self.taps = Taps(sources)
        self.reader = Reader(sources, self.taps)
        self.address: tuple[str, int] | None = None     # host and port while it serves
        self._sources = sources
        self._server: MetricsServer | None = None
        self._clock: asyncio.Task[None] | None = None
        self._registries: tuple[Any, ...] = ()
        self._bridges: list[Bridge] = []

    def __repr__(self) -> str:
        state = "on" if self.is_on else "off"
        return f"<Metrics {state if self.url is None else self.url}>"

    @property
    def is_on(self) -> bool:
        """Hooks are in."""
        return self.taps.is_installed

    @property
    def url(self) -> str | None:
        """Where a scraper finds them; None while nobody serves."""
        if self.address is None:
            return None
        host, port = self.address
        return f"http://[{host}]:{port}/metrics" if ":" in host else f"http://{host}:{port}/metrics"

    def start(self, *, contracts: Iterable[str] = ()) -> None:
        """Count from now on; once more, only the contracts change.

        contracts: those whose books have metrics of their own, at most 100. Needs a running event
        loop. Raises ConfigError or ValueError for contracts.
        """
        if isinstance(contracts, str):
            raise ConfigError(f"contracts is {contracts!r}; allowed: a list of contracts")
        named = tuple(dict.fromkeys(depth(symbol).symbol for symbol in contracts))
        if len(named) > MOST_CONTRACTS:
            raise ConfigError(f"contracts are {len(named)}; allowed: {MOST_CONTRACTS} at most, "
                              "the sums hold the others")
        self.reader = Reader(self._sources, self.taps, named)
        if self._clock is None:
            self._clock = asyncio.get_running_loop().create_task(self._keep_offset(),
                                                                 name="mexcfast metrics")
        self.taps.install()

    async def serve(self, port: int = PORT, host: str = "127.0.0.1", *, remote: bool = False,
                    contracts: Iterable[str] = (), registries: Iterable[Any] = ()
                    ) -> tuple[str, int]:
        """start(), and answer GET /metrics; returns the address, port 0 takes a free one.

        host: of this machine only, unless remote=True. registries: prometheus_client registries
        of your own, written after ours. Raises ConfigError for an address that cannot be had or
        is not loopback, MissingExtra without the extra `metrics`.
        """
        from mexcfast.metrics.exposition import CONTENT_TYPE

        check_host(host, remote)
        if self._server is not None:
            raise ConfigError(f"metrics are served at {self.url} already; allowed: close() first")
        was_on = self.is_on
        self._registries = tuple(registries)
        server = self._server = MetricsServer(self.pieces, CONTENT_TYPE)
        try:
            self.start(contracts=contracts)
            self.address = await server.start(host, port)
        except BaseException:
            self._server = None
            if not was_on:
                await self.close()
            raise
        log.info("metrics at %s", self.url)
        return self.address

    def collector(self) -> Collector:
        """For a prometheus_client registry of your own that is scraped in the loop's thread."""
        from mexcfast.metrics.exposition import Collector

        return Collector(self.reader)

    def export_to(self, provider: MeterProvider, *, contracts: Iterable[str] = ()) -> None:
        """start(), and an instrument a metric in this OpenTelemetry meter provider.

        Instruments cannot be taken back: after close() they have no values until the next start().
        Raises ConfigError for the same provider again, MissingExtra without the extra `otel`.
        """
        from mexcfast.metrics.otel import Bridge

        if any(each.provider is provider for each in self._bridges):
            raise ConfigError("provider has these metrics already; allowed: each provider once")
        self.start(contracts=contracts)
        self._bridges.append(Bridge(provider, lambda: self.reader if self.is_on else None))

    def exposition(self) -> bytes:
        """What a scrape would get now."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The same, a metric at a time: each is read when it is taken."""
        from mexcfast.metrics.exposition import process_registry, texts

        return texts(self.collector(), (process_registry(), *self._registries))

    async def close(self) -> None:
        """Take every hook out, stop serving. The counts stay; start() goes on with them."""
        self.taps.remove()
        task, self._clock = self._clock, None
        server, self._server = self._server, None
        self.address = None
        await end(task)
        if server is not None:
            await server.close()

    async def _keep_offset(self) -> None:
        """Keep venue_to_wire true: the offset each second, a ping when nobody else sends any."""
        executor, round_ = self._sources.executor, 0
        while True:
            if round_ % PINGS_EVERY == 0 and not self._sources.orders.keeps_clock:
                with suppress(MexcfastError):       # then without, until the next round
                    await executor.sync_clock(1 if executor.clock.is_synced else 3)
            round_ += 1
            self.taps.learn_offset()
            await asyncio.sleep(OFFSET_EVERY_S)
