"""django-prometheus's own metrics, added up over the gunicorn workers."""

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)
_merge: Any = MultiProcessCollector.merge


def render_django_metrics() -> str:
    """Render django-prometheus's metrics: of all web processes if PROMETHEUS_MULTIPROC_DIR is set, else of this one."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY).decode()
    registry = CollectorRegistry()
    registry.register(Readable(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])))
    return generate_latest(registry).decode()


class Readable(Collector):
    """Collects from all readable files: a process killed while it writes leaves half a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        merged: Iterable[Metric] = _merge([str(path) for path in sorted(self._folder.glob("*.db")) if _reads(path)])
        return merged


def _reads(path: Path) -> bool:
    try:
        _merge([str(path)])
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, struct.error) as error:
        log.warning("metrics.file_skipped", file=path.name, error=str(error), next="its counts are left out")
        return False
    return True
