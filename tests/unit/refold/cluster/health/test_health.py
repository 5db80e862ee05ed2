"""What a process says of itself: not ready while it starts, while something stands, while it cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client.samples import Sample as Reading

from projections.fold.progress import ProjectionStatus
from refold.cluster.health.health import STARTING, Health, Watched, projection_samples
from refold.cluster.health.metrics import DocumentMetrics, ProjectionMetrics, SlotMetrics, process_registry
from refold.cluster.slot_set import SlotStatus
from refold.cluster.watchdog import PATIENCE_S, Sample, Watchdog
from refold.settings.cluster import ClusterSettings
from schemas.errors import FatalError, TransientError
from schemas.positions import Position, TopicPartition
from tests.samples.histories import NOON, Histories
from tests.worlds.waiting import Clock

EVENTS = TopicPartition("documents", 0)
STOPPED = ProjectionStatus(
    name="keyword",
    position=Position({EVENTS: 3}),
    head=Position({EVENTS: 10}),
    lag_events=7,
    lag_s=12.5,
    heartbeat_at=NOON,
    error=FatalError("the index is damaged"),
    is_stopped=True,
)


class Readers:
    """Readers that a test moves; they cannot be asked while `is_away`."""

    def __init__(self) -> None:
        self.offset, self.head, self.is_away = 0, 0, False
        self.reasons: list[str] = []

    def samples(self) -> Sequence[Sample]:
        if self.is_away:
            raise TransientError("Kafka does not answer")
        return [Sample("manifest", Position({EVENTS: self.offset}), Position({EVENTS: self.head}))]


def watched() -> tuple[Health, Readers, Clock]:
    """A health whose looks a test makes itself: its own thread waits for a day."""
    clock, readers = Clock(), Readers()
    health = Health(ClusterSettings(), watchdog=Watchdog(clock), look_every_s=86_400.0, clock=clock)
    health.watch(Watched(readers.samples, lambda: readers.reasons))
    return health, readers, clock


def value(registry_of: Health, name: str) -> float | None:
    return registry_of.registry.get_sample_value(name)


def test_a_process_that_starts_is_not_ready() -> None:
    health = Health(ClusterSettings())
    assert health.not_ready() == [STARTING]
    assert value(health, "refold_ready") == 0


def test_it_is_ready_while_nothing_is_wrong() -> None:
    health, _, _ = watched()
    health.look()
    assert health.not_ready() == []
    assert value(health, "refold_ready") == 1


def test_what_the_process_knows_itself_is_told() -> None:
    health, readers, _ = watched()
    readers.reasons = ["manifest: the disk is full"]
    assert health.not_ready() == ["manifest: the disk is full"]


def test_a_moving_head_and_a_standing_position_turn_it_red_within_a_minute_and_green_again() -> None:
    health, readers, clock = watched()
    for passed_s in range(0, int(PATIENCE_S), 5):
        assert health.not_ready() == [], passed_s
        readers.head += 1
        health.look()
        clock.now_s += 5
    assert "manifest has stood at offset 0" in health.not_ready()[0]
    assert value(health, "refold_stuck_partitions") == 1
    readers.offset = readers.head
    health.look()
    assert health.not_ready() == []


def test_a_log_that_cannot_be_asked_is_told_until_it_can() -> None:
    health, readers, _ = watched()
    readers.is_away = True
    health.look()
    assert health.not_ready() == ["Kafka does not answer"]
    readers.is_away = False
    health.look()
    assert health.not_ready() == []


def test_looks_that_hang_are_told() -> None:
    health, _, clock = watched()
    health.look()
    clock.now_s += PATIENCE_S + 1
    assert health.not_ready() == ["it could not be looked at for 61 s"]


def test_a_projection_that_has_stopped_is_not_called_stuck_besides() -> None:
    assert projection_samples([STOPPED]) == []


def readings(*collectors: object) -> dict[str, float]:
    """What collectors give, as Prometheus would name it."""
    registry = process_registry()
    for collector in collectors:
        registry.register(collector)  # type: ignore[arg-type]  # one of ours
    return {_named(reading): reading.value for family in registry.collect() for reading in family.samples}


def _named(reading: Reading) -> str:
    labels = ",".join(f"{name}={label}" for name, label in reading.labels.items())
    return f"{reading.name}{{{labels}}}" if labels else reading.name


def test_a_projections_metrics_tell_its_lag_its_heartbeat_and_its_end() -> None:
    later = NOON.replace(minute=1)
    found = readings(ProjectionMetrics(lambda: [STOPPED], clock=lambda: later))
    assert found["refold_projection_lag_events{projection=keyword}"] == 7
    assert found["refold_projection_lag_seconds{projection=keyword}"] == 12.5
    assert found["refold_projection_heartbeat_age_seconds{projection=keyword}"] == 60
    assert found["refold_projection_stopped{projection=keyword}"] == 1
    assert found["refold_projection_failing{projection=keyword}"] == 1
    assert found["refold_projection_offset{projection=keyword,topic=documents,partition=0}"] == 3
    assert found["refold_projection_head_offset{projection=keyword,topic=documents,partition=0}"] == 10
    assert found["refold_projections_readable"] == 1


def test_a_server_that_is_away_leaves_the_other_metrics() -> None:
    def away() -> Sequence[ProjectionStatus]:
        raise TransientError("PostgreSQL does not answer")

    found = readings(ProjectionMetrics(away, clock=lambda: datetime.now(UTC)))
    assert found["refold_projections_readable"] == 0
    assert found["process_resident_memory_bytes"] > 0
    assert not any("lag" in name for name in found)


def test_a_slots_metrics_tell_what_it_has_taken_and_has_in_work() -> None:
    status = SlotStatus(number=3, taken_offset=40, in_flight=2, error=None)
    found = readings(SlotMetrics(lambda: [status]))
    assert found["refold_slots_owned"] == 1
    assert found["refold_slot_taken_offset{slot=3}"] == 40
    assert found["refold_slot_in_flight_documents{slot=3}"] == 2
    assert found["refold_slot_failed{slot=3}"] == 0


def test_events_are_counted_by_kind_and_failures_by_what_failed() -> None:
    registry, made = process_registry(), Histories()
    metrics = DocumentMetrics(registry)
    queued = made.queued()
    made.started(queued)
    failed = made.failed(queued)
    metrics.written([queued, failed])
    counted = registry.get_sample_value("refold_document_events_total", {"kind": "DocumentQueued"})
    labels = {"stage": failed.stage.value, "error_class": failed.error_class.value, "final": "true"}
    assert (counted, registry.get_sample_value("refold_document_failures_total", labels)) == (1, 1)
