"""Metrics of workers and projectors, collected when they are asked for; names and units as Prometheus wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from projections.fold.progress import ProjectionStatus
from refold.cluster.slot_set import SlotStatus
from schemas.errors import RefoldError
from schemas.events import DocumentCompleted, DocumentEvent, DocumentFailed, StageReport

STAGE_BUCKETS_S: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0)
"""From a text that is split to a document at the default time limit."""

_OFFSETS: Final = ("projection", "topic", "partition")


def process_registry() -> CollectorRegistry:
    """A registry with what there is to know of the process itself: memory, CPU, files, garbage."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class ProjectionMetrics(Collector):
    """How the projections are doing that are kept in this process.

    Args:
        statuses: One per projection; where it raises RefoldError, only ``refold_projections_readable 0`` is shown.
        clock: The time in UTC.
    """

    def __init__(self, statuses: Callable[[], Sequence[ProjectionStatus]], *, clock: Callable[[], datetime]) -> None:
        self._statuses = statuses
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        statuses = self._read()
        says = "1 if the state of the projections could be read, else 0."
        yield GaugeMetricFamily("refold_projections_readable", says, value=float(statuses is not None))
        if statuses is not None:
            yield from self._of_each(statuses)
            yield from _offsets(statuses)

    def _read(self) -> Sequence[ProjectionStatus] | None:
        try:
            return self._statuses()
        except RefoldError:  # a server is away: the metrics of the process itself are wanted now most of all
            return None

    def _of_each(self, statuses: Sequence[ProjectionStatus]) -> Iterator[Metric]:
        lag_events = _gauge("projection_lag_events", "Offsets between the projection and the end of its topics.")
        lag_s = _gauge("projection_lag_seconds", "Seconds since the projection was at the end of its topics.")
        age_s = _gauge("projection_heartbeat_age_seconds", "Seconds since the projection last went round.")
        stopped = _gauge("projection_stopped", "1 if the projection follows the log no more, else 0.")
        failing = _gauge("projection_failing", "1 if it has stopped by an error or tries something again, else 0.")
        for one in statuses:
            lag_events.add_metric([one.name], one.lag_events)
            lag_s.add_metric([one.name], one.lag_s)
            if one.heartbeat_at is not None:
                age_s.add_metric([one.name], max((self._clock() - one.heartbeat_at).total_seconds(), 0.0))
            stopped.add_metric([one.name], float(one.is_stopped))
            failing.add_metric([one.name], float(one.error is not None))
        yield from (lag_events, lag_s, age_s, stopped, failing)


class SlotMetrics(Collector):
    """How the slots of this process are doing: `statuses` gives one status per slot."""

    def __init__(self, statuses: Callable[[], Sequence[SlotStatus]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        statuses = self._statuses()
        owned = GaugeMetricFamily("refold_slots_owned", "Slots that this process owns.", value=len(statuses))
        taken = _slot_gauge("slot_taken_offset", "Offset of requests before which the slot has taken everything.")
        in_flight = _slot_gauge("slot_in_flight_documents", "Documents of the slot that are in work.")
        failed = _slot_gauge("slot_failed", "1 if the slot has stopped by an error, else 0.")
        for one in statuses:
            taken.add_metric([str(one.number)], one.taken_offset)
            in_flight.add_metric([str(one.number)], one.in_flight)
            failed.add_metric([str(one.number)], float(one.error is not None))
        yield from (owned, taken, in_flight, failed)


class DocumentMetrics:
    """Counts what the slots of this process have written to topic `documents`; thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "refold_document_events_total", "Events written to documents.", ["kind"], registry=registry
        )
        self._failures = Counter(
            "refold_document_failures_total",
            "Failed attempts; final ones are dead letters.",
            ["stage", "error_class", "final"],
            registry=registry,
        )
        self._stage_s = Histogram(
            "refold_stage_duration_seconds",
            "What stages took that were not answered from the cache.",
            ["stage"],
            registry=registry,
            buckets=STAGE_BUCKETS_S,
        )

    def written(self, events: Sequence[DocumentEvent]) -> None:
        """Count `events`, which are durable now."""
        for event in events:
            self._events.labels(type(event).__name__).inc()
            match event:
                case DocumentFailed():
                    final = "true" if event.is_final else "false"
                    self._failures.labels(event.stage.value, event.error_class.value, final).inc()
                    self._count_stages(event.stages)
                case DocumentCompleted():
                    self._count_stages(event.stages)
                case _:
                    pass

    def _count_stages(self, reports: Sequence[StageReport]) -> None:
        for report in reports:
            if not report.cached:
                self._stage_s.labels(report.stage.value).observe(report.duration_ms / 1_000)


def _offsets(statuses: Sequence[ProjectionStatus]) -> Iterator[Metric]:
    at = GaugeMetricFamily("refold_projection_offset", "Next offset that the projection applies.", labels=_OFFSETS)
    head = GaugeMetricFamily("refold_projection_head_offset", "End of the partition in the log.", labels=_OFFSETS)
    for one in statuses:
        for tp, end_offset in one.head.items():
            labels = [one.name, tp.topic, str(tp.partition)]
            at.add_metric(labels, one.position.offset(tp))
            head.add_metric(labels, end_offset)
    yield from (at, head)


def _gauge(name: str, says: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"refold_{name}", says, labels=["projection"])


def _slot_gauge(name: str, says: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"refold_{name}", says, labels=["slot"])
