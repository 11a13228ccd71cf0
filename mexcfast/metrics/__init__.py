"""What a client does, in numbers: Prometheus over HTTP, OpenTelemetry. docs/metrics.md."""

from pathlib import Path

from mexcfast.metrics.hub import Metrics
from mexcfast.metrics.table import TABLE, Row

#: a dashboard for Grafana, ready to be imported
DASHBOARD = Path(__file__).with_name("grafana.json")

__all__ = ["DASHBOARD", "TABLE", "Metrics", "Row"]
