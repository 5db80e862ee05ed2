"""Writes the golden log of a schema set: ``python tests/golden/write_golden_log.py v1``.

A golden log holds every kind of event of one released schema set. It is written once, when the set is released, and
read for ever (`tests/replay/test_golden_log.py`): a folder that is there is left alone. With ``--states`` only what the
log folds to is written anew, for a change of states that is meant; the diff of the JSON shows what it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.events import (
    Action,
    AdapterReported,
    AdapterState,
    AdapterStateChange,
    BackupCompleted,
    ConsistencyVerified,
    DeletionVerified,
    DocumentRequested,
    Finding,
    GenerationCreated,
    GenerationDropped,
    GenerationPromoted,
    GenerationRolledBack,
    JobOutcome,
    Meta,
    Mode,
    OperatorActed,
    Priority,
    RepairRequested,
    RequestRejected,
    SkipReason,
    StageTotals,
)
from schemas.ids import document_id_of, event_id_of
from streams.log import Draft
from streams.logs.sqlite.log import SqliteLog
from streams.transfer.log import export_log
from tests.samples.golden_states import states_json, states_of
from tests.samples.histories import NOON, Histories, artifact, drafts_of, sha256_of

GOLDEN = Path(__file__).parent
LOG_ID = "90de9010-0000-4000-8000-000000000001"
REPORT, LETTER, ODD, GONE = (f"folder:docs/{name}" for name in ("report.md", "letter.txt", "odd name ä.pdf", "gone.md"))


def meta(name: str, *, after_s: int = 0) -> Meta:
    """A meta of the topics that no history is kept of."""
    return Meta(
        event_id=event_id_of(LOG_ID, name),
        occurred_at=NOON + timedelta(seconds=after_s, microseconds=5),
        pipeline_id="run-1",
        causation_id=event_id_of(LOG_ID, "cause"),
    )


def requests() -> list[Draft]:
    """What was asked for: from a folder, pushed, and to be removed."""
    found = Finding(uri="file:///srv/docs/report.md", size_bytes=40, modified_at_ns=1, validators={"inode": "7"})
    asked = [
        DocumentRequested(
            meta=meta("request 1"),
            document_id=document_id_of(REPORT),
            uri=REPORT,
            adapter="folder",
            mode=Mode.ADD_ONLY,
            force=True,
            priority=Priority.CRITICAL,
            source_root="folder:docs",
            finding=found,
            metadata={"team": "ä"},
        ),
        DocumentRequested(
            meta=meta("request 2"),
            document_id=document_id_of("push:note"),
            uri="push:note",
            content=b"\x00 pushed \xff",
            priority=Priority.BATCH,
        ),
        DocumentRequested(
            meta=meta("request 3"),
            document_id=document_id_of("push:big"),
            uri="push:big",
            action=Action.RETRY,
            content_ref=artifact("a big content"),
        ),
    ]
    return [Draft("requests", event.document_id, event) for event in asked]


def documents_and_jobs() -> list[Draft]:
    """Documents in every state, and what jobs say of them."""
    made = Histories(log_id=LOG_ID)
    made.job_submitted("nightly", sources=("file:///srv/docs",))
    made.ingested(REPORT, job="nightly", text="ten chunks")
    crashed = made.queued(LETTER, job="nightly", metadata={"to": "reader"}, priority=Priority.BATCH)
    made.started(crashed)
    made.started(crashed)
    made.released(crashed)
    made.started(crashed)
    made.failed(crashed, is_final=False, error_code="source_busy")
    made.job_progressed("nightly", completed_count=1)
    made.started(crashed)
    made.completed(crashed, title=None, chunk_count=0)
    failing = made.queued(ODD, job="nightly", modified_at_ns=77)
    made.job_planned("nightly", requested=4, unchanged=2)
    made.started(failing)
    made.failed(failing, stages_done=2)
    made.ingested(GONE, job="nightly")
    made.removed(made.queued(GONE, action=Action.REMOVE))
    made.job_finished(
        "nightly",
        outcome=JobOutcome.PARTIAL,
        counts={"completed": 3, "failed": 1},
        stages={"PARSE": StageTotals(documents=3, cached=1, duration_ms=60)},
        duration_ms=9_000,
    )

    made.job_submitted("second")
    made.job_paused("second")
    made.job_resumed("second")
    superseded = made.queued(REPORT, job="second")
    latest = made.queued(REPORT, job="second", mode=Mode.UPDATE_ONLY)
    made.skipped(superseded, SkipReason.SUPERSEDED)
    made.started(latest)
    made.completed(latest, text="three chunks", chunk_count=3)
    made.vectors_added(made.queued(REPORT, action=Action.REINDEX))
    made.skipped(made.queued(LETTER, job="second"), SkipReason.UNCHANGED)
    made.job_cancelled("second")
    made.cancelled(made.queued(ODD, job="second"))
    made.queued(LETTER, priority=Priority.CRITICAL)
    made.started(made.queued("folder:docs/in work.md"))
    return drafts_of(made.recorded)


def adapters() -> list[Draft]:
    """What adapters said."""
    said = [
        AdapterStateChange(
            meta=meta("state"),
            adapter="folder",
            old_state=AdapterState.IDLE,
            new_state=AdapterState.STARTING,
            reason="ä",
        ),
        AdapterReported(meta=meta("report"), adapter="folder", kind="unreadable", detail="/srv/docs/secret"),
        RequestRejected(
            meta=meta("rejected"), topic="requests", partition=0, offset=9, sha256=sha256_of("?"), error="no event"
        ),
    ]
    return [Draft("adapters", "folder", event) for event in said]


def operations() -> list[Draft]:
    """What was done with indexes, and by people."""
    done = [
        GenerationCreated(
            meta=meta("g1"), index="vector", generation="g1", embedder="words", dim=4, mapping="chunks-1"
        ),
        GenerationPromoted(meta=meta("g1 live"), index="vector", generation="g1"),
        GenerationCreated(
            meta=meta("g2"), index="vector", generation="g2", embedder="words", dim=4, mapping="chunks-2"
        ),
        GenerationPromoted(meta=meta("g2 live"), index="vector", generation="g2", previous="g1"),
        GenerationRolledBack(meta=meta("back"), index="vector", generation="g1", previous="g2"),
        GenerationDropped(meta=meta("dropped"), index="vector", generation="g2"),
        ConsistencyVerified(
            meta=meta("verified"),
            index="vector",
            generation="g1",
            position="documents:0=3",
            is_consistent=True,
            counts={"expected": 5, "missing": 0},
        ),
        RepairRequested(
            meta=meta("repair"), index="keyword", document_ids=(document_id_of(REPORT), document_id_of(GONE))
        ),
        DeletionVerified(meta=meta("gone"), document_id=document_id_of(GONE), receipts={"vector": "not found"}),
        BackupCompleted(meta=meta("backup"), position="documents:0=3", path="/srv/backup", size_bytes=12_345),
        OperatorActed(meta=meta("acted"), actor="an operator", action="discard", target=REPORT),
    ]
    return [Draft("operations", getattr(event, "index", "") or "operation", event) for event in done]


WRITERS: dict[str, Callable[[], list[Draft]]] = {
    "v1": lambda: [*requests(), *documents_and_jobs(), *adapters(), *operations()],
}
"""What the golden log of each schema set holds."""


def write_log(name: str) -> None:
    """Write the golden log `name` into its folder, which must not be there."""
    with (
        TemporaryDirectory() as scratch,
        closing(SqliteLog(Path(scratch) / "log.sqlite", new_id=lambda: LOG_ID)) as log,
    ):
        log.append(None, WRITERS[name]())
        export_log(log, GOLDEN / name)


def main() -> None:
    """Write what the command line names."""
    parser = argparse.ArgumentParser(description="Writes the golden log of a schema set.")
    parser.add_argument("name", choices=sorted(WRITERS))
    parser.add_argument("--states", action="store_true", help="write only what the log folds to")
    arguments = parser.parse_args()
    if not arguments.states:
        write_log(arguments.name)
    with TemporaryDirectory() as scratch:
        states = states_of(GOLDEN / arguments.name, Path(scratch))
    (GOLDEN / f"{arguments.name}.states.json").write_text(states_json(states), encoding="utf-8")


if __name__ == "__main__":
    main()
