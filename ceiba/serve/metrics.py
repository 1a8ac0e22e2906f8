"""What Prometheus reads. Each worker counts in a file that all may read, so that any worker tells the sum of all."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from ceiba.serve import metric_files

if metric_files.VARIABLE not in os.environ:
    metric_files.begin()

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 10_000)
"""Upper ends of the histograms' buckets."""


class Durations(Histogram):
    """A histogram that takes many values at once."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """The same as `observe` on each, with one write a bucket."""
        places = np.searchsorted(self._upper_bounds, amounts)
        self._sum.inc(float(np.sum(amounts)))
        for place, count in enumerate(np.bincount(places)):
            if count:
                self._buckets[place].inc(int(count))


class Metrics:
    """The counts of one worker. Label values are names of what is served, never what a client wrote."""

    content_type = CONTENT_TYPE_LATEST.encode()

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter("ceiba_requests", "Requests.", ["protocol", "model", "version", "status"], registry=own)
        self.latency = Durations(
            "ceiba_request_seconds",
            "Time from a request's headers to its answer.",
            ["protocol", "model"],
            buckets=SECONDS,
            registry=own,
        )
        self.rejected = Counter("ceiba_rejected", "Requests that were refused, by status.", ["status"], registry=own)
        self.batch_rows = Histogram(
            "ceiba_batch_rows", "Rows of a batch.", ["model", "version"], buckets=ROWS, registry=own
        )
        self.batch_seconds = Histogram(
            "ceiba_batch_seconds",
            "Time to encode and compute a batch.",
            ["model", "version"],
            buckets=SECONDS,
            registry=own,
        )
        self.queue = Gauge(
            "ceiba_queue_rows", "Rows that wait.", ["model", "version"], registry=own, multiprocess_mode="livesum"
        )
        self.connections = Gauge("ceiba_connections", "Open connections.", registry=own, multiprocess_mode="livesum")
        self.workers = Gauge("ceiba_workers", "Workers that answer.", registry=own, multiprocess_mode="livesum")
        self.versions = Gauge(
            "ceiba_model_loaded",
            "Workers that hold a version.",
            ["model", "version"],
            registry=own,
            multiprocess_mode="livesum",
        )
        self.drift = Gauge(
            "ceiba_input_drift",
            "Population stability index of a column against the training rows.",
            ["model", "version", "column"],
            registry=own,
            multiprocess_mode="livemax",
        )
        self.tokens = Counter(
            "ceiba_tokens", "Tokens of texts that were generated.", ["model", "direction"], registry=own
        )
        self.log_lost = Counter("ceiba_log_lines_lost", "Lines that the log could not take.", registry=own)
        self._requests: defaultdict[tuple[str, str, int, int], int] = defaultdict(int)
        self._seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        """Requests since the last `settle`: a tally in memory costs a tenth of a write to the file that all read."""
        self._batches: dict[tuple[str, int], tuple[Histogram, Histogram]] = {}

    def answered(self, protocol: str, model: str, version: int, status: int, seconds: float) -> None:
        """One request, whatever became of it."""
        self._requests[protocol, model, version, status] += 1
        self._seconds[protocol, model].append(seconds)

    def settle(self) -> None:
        """Write down the requests since the last time; several times a second, and when a worker leaves."""
        for (protocol, model, version, status), count in self._requests.items():
            self.requests.labels(protocol, model, str(version or ""), str(status)).inc(count)
        for labels, seconds in self._seconds.items():
            self.latency.labels(*labels).observe_all(seconds)
        self._requests.clear()
        self._seconds.clear()

    def wrote(self, model: str, usage: Mapping[str, int]) -> None:
        """Tokens of texts that were read and written."""
        self.tokens.labels(model, "in").inc(usage["prompt_tokens"])
        self.tokens.labels(model, "out").inc(usage["completion_tokens"])

    def refused(self, status: int) -> None:
        """One request that was refused."""
        self.rejected.labels(str(status)).inc()

    def computed(self, model: str, version: int, rows: int, seconds: float) -> None:
        """One batch."""
        found = self._batches.get((model, version))
        if found is None:
            labels = (model, str(version))
            found = self._batches[model, version] = self.batch_rows.labels(*labels), self.batch_seconds.labels(*labels)
        found[0].observe(rows)
        found[1].observe(seconds)

    def text(self) -> bytes:
        """The sum over all workers, those that ended included; of others, as of their last `settle`."""
        self.settle()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return bytes(generate_latest(registry))
