"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# Set by ``musannif serve --workers``: the processes count into files there, and any of them answers for all.
SHARED = "PROMETHEUS_MULTIPROC_DIR"

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16)


class Metrics:
    """The figures of one service; no text, id or address is among their labels."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "musannif_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "musannif_request_seconds",
            "Seconds from a request to the end of its answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batch_texts = Histogram(
            "musannif_batch_texts", "Texts of a batch of the model.", buckets=_TEXTS, registry=self._registry
        )
        self._batch_seconds = Histogram(
            "musannif_batch_seconds", "Seconds of a batch of the model.", buckets=_SECONDS, registry=self._registry
        )
        self._waiting = Gauge(
            "musannif_waiting_texts",
            "Texts that wait for the model.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._jobs = Gauge(
            "musannif_open_jobs",
            "Jobs that have not ended.",
            registry=self._registry,
            multiprocess_mode="mostrecent",
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            method: of HTTP; ``other`` where it is none of the common ones.
            route: its template, such as ``/v1/jobs/{job_id}``.
            status: of the answer.
            seconds: that it took.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def batch(self, texts: int, seconds: float) -> None:
        """Count a batch of the model."""
        self._batch_texts.observe(texts)
        self._batch_seconds.observe(seconds)

    def written(self, *, waiting: int, jobs: int) -> bytes:
        """All figures, in the text format of Prometheus.

        Args:
            waiting: texts that wait for the model of this process.
            jobs: that have not ended.
        """
        self._waiting.set(waiting)
        self._jobs.set(jobs)
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
