"""Rows of the table as Prometheus reads them. Needs the extra `metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from mexcfast.errors import MissingExtra
from mexcfast.metrics.table import TABLE, Buckets, Reader, Row

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.gc_collector import GCCollector
    from prometheus_client.process_collector import ProcessCollector
except ImportError as error:
    raise MissingExtra("metrics", str(error)) from error

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def family(row: Row, reader: Reader) -> Metric:
    """One metric with its values of this moment."""
    if row.kind == "histogram":
        buckets = HistogramMetricFamily(row.name, row.help, labels=row.labels)
        for labels, value in row.read(reader):
            assert isinstance(value, Buckets)
            cells = [(f"{bound:.10g}", float(count)) for bound, count in value.cumulative]
            buckets.add_metric(labels, [*cells, ("+Inf", float(value.count))], value.sum_s)
        return buckets
    made = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
    plain = made(row.name, row.help, labels=row.labels)
    for labels, value in row.read(reader):
        assert not isinstance(value, Buckets)
        plain.add_metric(labels, value)
    return plain


class Collector:
    """All rows, for a registry of your own. collect() must run in the event loop's thread."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def describe(self) -> Iterator[Metric]:
        """Names only: a registry that asks when we are registered must not read a client."""
        for row in TABLE:
            yield Metric(row.name, row.help, row.kind)

    def collect(self) -> Iterator[Metric]:
        """One metric after the other, each as it is when it is taken."""
        return (family(row, self._reader) for row in TABLE)


def process_registry() -> CollectorRegistry:
    """The process itself: memory, processor time, open files, garbage collections."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class _Single:
    """A registry of one metric: the library writes whole registries only."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def texts(collector: Collector, registries: Iterable[CollectorRegistry]) -> Iterator[bytes]:
    """The exposition piece by piece, a metric each; of two with one name the first counts."""
    seen: set[str] = set()
    for metric in chain(collector.collect(), *(each.collect() for each in registries)):
        if metric.name not in seen:
            seen.add(metric.name)
            yield generate_latest(_Single(metric))
