"""The page tells every metric that there is, and alerts name none that there is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from projections.fold.progress import ProjectionStatus
from refold.cluster.health.health import LOOK_EVERY_S, Health
from refold.cluster.health.metrics import DocumentMetrics, ProjectionMetrics, SlotMetrics
from refold.cluster.slot_set import SlotStatus
from refold.cluster.watchdog import PATIENCE_S
from refold.engine.engine import INDEXES, SQL_VIEWS
from refold.settings.cluster import ClusterSettings
from schemas.positions import Position, TopicPartition
from tests.commands.markdown_blocks import ROOT, code, rows, section
from tests.samples.histories import NOON, Histories

PAGE = ROOT / "ops" / "observability.md"
ALERTS = ROOT / "ops" / "prometheus" / "alerts.yml"
HEAD = Position({TopicPartition("documents", 0): 9})
PROJECTIONS = (*SQL_VIEWS, *INDEXES)


def shown() -> dict[str, set[str]]:
    """The metrics of a worker and a projector that have done something, with their labels."""
    health, made = Health(ClusterSettings()), Histories()
    statuses = [
        ProjectionStatus(
            name=name,
            position=Position(),
            head=HEAD,
            lag_events=9,
            lag_s=1.0,
            heartbeat_at=NOON,
            error=None,
            is_stopped=False,
        )
        for name in PROJECTIONS
    ]
    health.registry.register(ProjectionMetrics(lambda: statuses, clock=lambda: NOON))
    slot = SlotStatus(number=0, taken_offset=1, in_flight=0, error=None)
    health.registry.register(SlotMetrics(lambda: [slot]))
    queued = made.queued()
    made.started(queued)
    DocumentMetrics(health.registry).written([queued, made.failed(queued)])
    readings = [reading for family in health.registry.collect() for reading in family.samples]
    return {
        reading.name.removesuffix("_count"): set(reading.labels)
        for reading in readings
        if reading.name.startswith("refold_") and not reading.name.endswith(("_created", "_bucket", "_sum"))
    }


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    return found


def told() -> Iterator[tuple[str, set[str]]]:
    for row in rows(PAGE):
        if row[0].startswith("`refold_"):
            yield code(row[0])[0], set(code(row[1]))


def test_the_page_tells_every_metric_with_its_labels() -> None:
    assert dict(told()) == shown()


def test_the_page_tells_every_alert() -> None:
    page = section(PAGE, "## Alerts")
    assert {name for name in code(page) if name.startswith("Refold")} == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    known = shown()
    named = set(re.findall(r"refold_[a-z_]+", rule["expr"]))
    assert named
    assert named <= set(known)
    labels = set().union(*(known[name] for name in named), {"job", "instance"})
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in by.split(",")}
    chosen = set(re.findall(r"[{,](\w+)=", rule["expr"]))
    assert grouped | chosen <= labels
    texts = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= grouped
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_alert_for_projections_without_a_holder_knows_how_many_there_are() -> None:
    (rule,) = [rule for rule in rules() if rule["alert"] == "RefoldProjectionWithoutHolder"]
    assert f"< {len(PROJECTIONS)} " in rule["expr"]
    assert all(name in rule["annotations"]["summary"] for name in PROJECTIONS)


def test_the_page_tells_how_long_patience_is_and_how_often_it_is_looked() -> None:
    page = PAGE.read_text()
    assert f"{PATIENCE_S:.0f} seconds" in page
    assert f"{LOOK_EVERY_S:.0f} seconds" in page
