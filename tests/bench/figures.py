"""The table: which figure of which measurement, its unit, and what is wanted of it on two cores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NEARLY_NOTHING = 1e-6
"""Stands for what is not there, or less: a ratio to nothing says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A row of the table. With a target, `ratio` of 1 or more meets it."""

    label: str
    measurement: str
    path: str
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """As it is printed."""
        if self.at_least is not None:
            return f">= {self.at_least:,g}"
        return "" if self.at_most is None else f"<= {self.at_most:,g}"

    def ratio(self, value: float) -> float | None:
        """How far `value` is beyond the target; None without one."""
        if self.at_least is not None:
            return value / self.at_least
        return None if self.at_most is None else self.at_most / max(value, NEARLY_NOTHING)


STAND_IN = "*"
"""Marks what waits for vectors in the cluster: its vector index is qdrant-client's local mode, not a Qdrant server."""


def _cluster(label: str, path: str, unit: str, **target: float) -> Figure:
    return Figure(label=label, measurement="cluster", path=path, unit=unit, **target)


CLUSTER_FIGURES = (
    _cluster("projector, manifest", "projector_events_per_s", "events/s"),
    _cluster("bare consumer", "bare_consumer_events_per_s", "events/s"),
    _cluster("projector / bare consumer", "projector_per_bare", "x", at_least=0.5),
    _cluster("intake of a worker", "requests_per_s", "requests/s", at_least=5_000),
    _cluster(f"cluster{STAND_IN}", "cluster_documents_per_s", "documents/s"),
    _cluster("cluster, keyword index only", "keyword_documents_per_s", "documents/s"),
    _cluster("cluster, answered", "answered_documents_per_s", "documents/s"),
    _cluster("embedded, the same documents", "embedded_documents_per_s", "documents/s"),
    _cluster(f"cluster / embedded{STAND_IN}", "cluster_per_embedded", "x", at_least=0.5),
    _cluster("keyword index only / embedded", "keyword_per_embedded", "x", at_least=0.5),
    _cluster("published", "published_per_s", "documents/s"),
    _cluster(f"until searchable p50{STAND_IN}", "searchable_p50_s", "s", at_most=2.0),
    _cluster(f"until searchable p95{STAND_IN}", "searchable_p95_s", "s", at_most=5.0),
    _cluster("until searchable by words p50", "searchable_keyword_p50_s", "s"),
    _cluster("until searchable by words p95", "searchable_keyword_p95_s", "s"),
    _cluster("owning a slot, half folded", "owned_half_folded_s", "s", at_most=5.0),
    _cluster("owning a slot, all folded", "owned_at_head_s", "s", at_most=5.0),
    _cluster("owning a slot, nothing folded", "owned_without_manifest_s", "s", at_most=5.0),
)
"""Of the processes of a cluster, all on one machine."""

FIGURES = (
    Figure(label="cold ingest", measurement="ingest", path="cold_documents_per_s", unit="documents/s"),
    Figure(label="cold ingest", measurement="ingest", path="cold_chunks_per_s", unit="chunks/s"),
    Figure(label="cold ingest", measurement="ingest", path="cold_mib_per_s", unit="MiB/s"),
    Figure(label="cold, processor time", measurement="ingest", path="cold_cpu_s", unit="s"),
    Figure(label="floor, processor time", measurement="ingest", path="floor_cpu_s", unit="s"),
    Figure(label="cold / floor, by the clock", measurement="ingest", path="cold_per_floor", unit="x", at_least=1.0),
    Figure(label="cold / floor, by processor time", measurement="ingest", path="cold_per_floor_cpu", unit="x"),
    Figure(label="cold / naive loop", measurement="ingest", path="cold_per_naive", unit="x", at_least=5.0),
    Figure(label="peak anonymous memory", measurement="ingest", path="cold_peak_mib", unit="MiB", at_most=1_024),
    Figure(label="no-op, whole process", measurement="ingest", path="noop_wall_s", unit="s"),
    Figure(label="1% edited, whole process", measurement="ingest", path="edited_wall_s", unit="s"),
    Figure(
        label="rebuild vector, real files", measurement="ingest", path="rebuild_vector_chunks_per_s", unit="chunks/s"
    ),
    Figure(
        label="rebuild keyword, real files", measurement="ingest", path="rebuild_keyword_chunks_per_s", unit="chunks/s"
    ),
    Figure(
        label="no-op, many small files",
        measurement="resume",
        path="noop_files_per_s",
        unit="files/s",
        at_least=20_000,
    ),
    Figure(label="no-op, with starting", measurement="resume", path="noop_files_per_s_whole_process", unit="files/s"),
    Figure(label="cold, many small files", measurement="resume", path="documents_per_s", unit="documents/s"),
    Figure(label="resume after SIGKILL", measurement="resume", path="resume_s", unit="s", at_most=5.0),
    Figure(label="memory grown after a tenth", measurement="resume", path="memory_grown_mib", unit="MiB", at_most=64),
    Figure(label="log append", measurement="log", path="append_events_per_s", unit="events/s"),
    Figure(label="log append / bare SQLite", measurement="log", path="append_ratio", unit="x", at_least=0.5),
    Figure(label="log read", measurement="log", path="read_events_per_s", unit="events/s"),
    Figure(label="log read / bare SQLite", measurement="log", path="read_ratio", unit="x"),
    *(
        Figure(
            label=f"rebuild {name}",
            measurement="search-100k",
            path=f"rebuild_{name}_chunks_per_s",
            unit="chunks/s",
            at_least=10_000,
        )
        for name in ("vector", "keyword")
    ),
    Figure(
        label="verify both indexes",
        measurement="search-100k",
        path="verify_both_chunks_per_s",
        unit="chunks/s",
        at_least=100_000,
    ),
    Figure(label="hybrid search p50 at 10,000", measurement="search-10k", path="hybrid_p50_ms", unit="ms"),
    Figure(label="hybrid search p95 at 10,000", measurement="search-10k", path="hybrid_p95_ms", unit="ms"),
    Figure(
        label="hybrid search p50 at 100,000", measurement="search-100k", path="hybrid_p50_ms", unit="ms", at_most=10.0
    ),
    Figure(label="hybrid search p95 at 100,000", measurement="search-100k", path="hybrid_p95_ms", unit="ms"),
    *CLUSTER_FIGURES,
)


def table(measured: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for every figure that was measured."""
    for figure in FIGURES:
        value = measured.get(figure.measurement, {}).get(figure.path)
        if value is not None:
            ratio = figure.ratio(value)
            yield {
                "what": figure.label,
                "measured": value,
                "unit": figure.unit,
                "target": figure.target,
                "ratio": ratio,
                "is_met": None if ratio is None else ratio >= 1,
            }


def printed(row: Mapping[str, Any]) -> str:
    """`row` as a line."""
    if row["ratio"] is None:
        return f"{row['what']:34}{row['measured']:14,.2f} {row['unit']}"
    met = "yes" if row["is_met"] else "NO"
    return f"{row['what']:34}{row['measured']:14,.2f} {row['unit']:12}{row['target']:>12}{row['ratio']:8.2f}  {met}"
