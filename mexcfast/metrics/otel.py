"""The same table for OpenTelemetry: one observable instrument a row. Needs the extra `otel`.

OpenTelemetry has no histogram that is read instead of recorded, so a histogram becomes two
counters, _count and _sum; its quantiles are in mexcfast_latency_quantile_seconds.

Exporters read from a thread of theirs. Whatever they ask for is read in the client's event loop, a
slice at a time, once a collection: the first instrument's callback brings it, the others take
theirs from it. An exporter that finds the loop busy for WAIT_S, or closed, gets nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as WaitedTooLong
from functools import partial

import mexcfast
from mexcfast.errors import MissingExtra
from mexcfast.metrics.server import SLICE_NS
from mexcfast.metrics.table import TABLE, Buckets, Reader, Row, Sample

try:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
except ImportError as error:
    raise MissingExtra("otel", str(error)) from error

WAIT_S = 1.0
Part = Callable[[float | Buckets], float]


def _plain(value: float | Buckets) -> float:
    assert not isinstance(value, Buckets)
    return value


def _count(value: float | Buckets) -> float:
    assert isinstance(value, Buckets)
    return value.count


def _sum(value: float | Buckets) -> float:
    assert isinstance(value, Buckets)
    return value.sum_s


class Bridge:
    """The instruments of one client in one meter provider. reader: None while metrics are off."""

    def __init__(self, provider: MeterProvider, reader: Callable[[], Reader | None]) -> None:
        self.provider = provider
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._seen: dict[str, list[Sample]] = {}
        self._leads = True                      # until the first instrument is made
        meter = provider.get_meter("mexcfast", mexcfast.__version__)
        for row in TABLE:
            self._make(meter, row)

    def _make(self, meter: Meter, row: Row) -> None:
        if row.kind == "gauge":
            meter.create_observable_gauge(row.name, [self._callback(row, _plain)], row.unit,
                                          row.help)
        elif row.kind == "counter":
            meter.create_observable_counter(row.name, [self._callback(row, _plain)], row.unit,
                                            row.help)
        else:
            meter.create_observable_counter(row.name + "_count", [self._callback(row, _count)],
                                            "1", row.help + " How many.")
            meter.create_observable_counter(row.name + "_sum", [self._callback(row, _sum)],
                                            row.unit, row.help + " Added up.")

    def _callback(self, row: Row, part: Part) -> Callable[[CallbackOptions], Iterable[Observation]]:
        leads, self._leads = self._leads, False
        return partial(self._observe, row, part, leads)

    def _observe(self, row: Row, part: Part, leads: bool, options: CallbackOptions
                 ) -> Iterator[Observation]:
        if leads:
            self._seen = self._take()
        for labels, value in self._seen.get(row.name, ()):
            yield Observation(part(value), dict(zip(row.labels, labels, strict=True)))

    def _take(self) -> dict[str, list[Sample]]:
        """All rows, read in the loop's thread."""
        if threading.get_ident() == self._thread:
            reader = self._reader()
            return {} if reader is None else {row.name: list(row.read(reader)) for row in TABLE}
        reading = self._read()
        try:
            found = asyncio.run_coroutine_threadsafe(reading, self._loop)
        except RuntimeError:                    # the loop is closed
            reading.close()
            return {}
        try:
            return found.result(WAIT_S)
        except (WaitedTooLong, CancelledError):
            found.cancel()
            return {}

    async def _read(self) -> dict[str, list[Sample]]:
        found: dict[str, list[Sample]] = {}
        since_ns = time.perf_counter_ns()
        for row in TABLE:
            reader = self._reader()
            if reader is None:
                return {}
            found[row.name] = list(row.read(reader))
            if time.perf_counter_ns() - since_ns > SLICE_NS:
                await asyncio.sleep(0)
                since_ns = time.perf_counter_ns()
        return found
