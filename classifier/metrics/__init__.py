"""What the service measures about itself, and the only place that knows prometheus_client."""

from classifier.metrics.observer import Metrics

__all__ = ["Metrics"]
