"""What a client does, in numbers: Prometheus over HTTP, OpenTelemetry. docs/metrics.md."""

from mexcfast.metrics.hub import Metrics
from mexcfast.metrics.table import TABLE, Row

__all__ = ["TABLE", "Metrics", "Row"]
