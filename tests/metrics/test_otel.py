"""metrics.otel: the same table, read by the SDK's readers, from the loop's thread and others."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)

import mexcfast as mx
from metrics.scraping import BTC, Scrape, on_exchange, until
from mexcfast.errors import ConfigError
from mexcfast.metrics.table import TABLE


def points(data: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a reader collected, as Scrape holds a scrape."""
    if data is None:
        return {}
    return {(metric.name, frozenset(point.attributes.items())): point.value
            for resource in data.resource_metrics for scope in resource.scope_metrics
            for metric in scope.metrics for point in metric.data.data_points}


def test_both_tell_the_same() -> None:
    async def story(venue, client) -> None:
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], shutdown_on_exit=False)
        client.metrics.export_to(provider, contracts=[BTC])
        assert client.metrics.is_on
        with pytest.raises(ConfigError, match="already"):
            client.metrics.export_to(provider)
        await client.start()
        book = await client.book(BTC)
        venue.step(20, BTC)
        await until(lambda: book.version == venue.book(BTC).version)
        await client.orders.cancel_all(BTC)
        told = points(reader.get_metrics_data())
        seen = Scrape(client.metrics.exposition().decode())
        kinds = {row.name: row.kind for row in TABLE}
        moving = ("age_seconds", "verified_seconds", "oldest", "clock", "bytes")
        compared = set()
        for (name, labels), value in told.items():
            ours = name if name in kinds else name.rpartition("_")[0]
            shown = name + "_total" if kinds[ours] == "counter" else name
            if not any(part in name for part in moving):
                assert seen.values[shown, labels] == value, (name, labels)
            compared.add((shown, labels))
        expected = {key for key in seen.values
                    if key[0].startswith("mexcfast_") and not key[0].endswith("_bucket")}
        assert compared == expected
        assert told["mexcfast_books", frozenset({("state", "live")})] == 1
        assert told["mexcfast_wire_to_callback_seconds_count", frozenset()] == 20
        # a later collection is a new reading
        venue.step(5, BTC)
        await until(lambda: book.version == venue.book(BTC).version)
        told = points(reader.get_metrics_data())
        assert told["mexcfast_wire_to_callback_seconds_count", frozenset()] == 25
        await client.metrics.close()
        assert points(reader.get_metrics_data()) == {}
        client.metrics.start()
        assert points(reader.get_metrics_data())
        provider.shutdown()

    on_exchange(story)


class Kept(MetricExporter):
    """An exporter that keeps what it is given, and from which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()
        self.batches: list[Any] = []

    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any
               ) -> MetricExportResult:
        self.threads.add(threading.get_ident())
        self.batches.append(points(metrics_data))
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        pass


def test_an_exporters_thread_reads_in_the_loops() -> None:
    async def story(venue, client) -> None:
        kept, threads = Kept(), set()
        periodic = PeriodicExportingMetricReader(kept, export_interval_millis=20)
        provider = MeterProvider([periodic], shutdown_on_exit=False)
        client.metrics.export_to(provider)
        row = next(row for row in TABLE if row.name == "mexcfast_books")

        def watched(reader: Any) -> Any:
            threads.add(threading.get_ident())
            return row.read(reader)

        await client.book(BTC)
        from mexcfast.metrics import otel

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(otel, "TABLE", tuple(
                each if each is not row else type(row)(row.name, row.kind, row.help, watched,
                                                       row.labels) for each in TABLE))
            key = ("mexcfast_books", frozenset({("state", "live")}))
            await until(lambda: threads and any(batch.get(key) == 1 for batch in kept.batches))
        await asyncio.to_thread(provider.shutdown)
        assert threads == {threading.get_ident()} and threading.get_ident() not in kept.threads

    on_exchange(story)


def test_a_closed_loop_gives_nothing_and_hangs_nobody() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)

    async def story(venue, client) -> None:
        client.metrics.export_to(provider)

    on_exchange(story)
    found: list[Any] = []
    other = threading.Thread(target=lambda: found.append(points(reader.get_metrics_data())))
    other.start()
    other.join(60)
    assert found == [{}]
    provider.shutdown()


def test_without_the_library_it_says_which_extra(monkeypatch) -> None:
    async def story(venue, client) -> None:
        monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
        monkeypatch.delitem(sys.modules, "mexcfast.metrics.otel", raising=False)
        with pytest.raises(mx.MissingExtra, match=r"mexcfast\[otel\]"):
            client.metrics.export_to(object())
        assert not client.metrics.is_on

    on_exchange(story)
