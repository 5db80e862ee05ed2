"""One ingest as its caller sees it: the jobs that it follows to their ends, told as they go, and the result of all."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from datetime import datetime

from projections.jobs.entries import JobState, JobStatus
from refold.commands.event_json import recorded_json
from refold.commands.jobs import job_json
from refold.commands.results import joint_outcome
from refold.commands.waiting import parked_of_job, wait_for_position
from refold.control.messages import Emit, Interrupted, Json
from refold.engine.engine import Engine
from refold.engine.job_events import JobEvents
from refold.engine.planning_thread import PlanningThread
from refold.engine.unfinished_jobs import FollowedJob, OpenedJob, jobs_of_ingest, open_of_others
from schemas.ids import JobId
from streams.planning.job import Job

LOOK_EVERY_S = 0.1
"""How often a watched job's row is looked at: a query of a millisecond."""

NEW_FAILURES = 50
"""Failures told at once; the rest is in the documents' list."""

LAST_WORD_S = 5.0
"""How long JobFinished is waited for once the last answer is there: the jobs' bookkeeper needs a turn for it."""

COUNTS = ("completed", "skipped", "failed", "removed", "cancelled")


class IngestRun:
    """Follows jobs one after the other.

    Args:
        engine: Where they run.
        emit: Is told how far they are and, if that `is_streamed`, every event.
        stop: Ends the run; the jobs go on when somebody works on the corpus.
        waits: Whether a job is followed to its end, or only until it is planned.
        is_streamed: Whether every event of the jobs is emitted.
    """

    def __init__(self, engine: Engine, emit: Emit, stop: threading.Event, *, waits: bool, is_streamed: bool) -> None:
        self._engine = engine
        self._emit = emit
        self._stop = stop
        self._waits = waits
        self._is_streamed = is_streamed
        self._began_s = time.monotonic()
        self._completed_before = 0
        self._left_out = 0
        self._followed: list[JobId] = []
        self._resumed: list[JobId] = []

    def follow(self, asked: OpenedJob) -> None:
        """Follow the unfinished jobs like `asked`, then `asked` itself, as long as each comes to its end."""
        for followed in jobs_of_ingest(self._engine, asked):
            row = followed.row
            if row is not None and row.job_id != asked.job.job_id:
                self._resumed.append(row.job_id)
                self._completed_before += row.counts.completed
                self._emit({"type": "resumed", **job_json(row)})
            if not self._follow(followed):
                return

    def _follow(self, followed: FollowedJob) -> bool:
        """Plan a job to its end, if it is not, and follow it; whether it has ended."""
        job_id = followed.job.job_id
        self._followed.append(job_id)
        is_over = threading.Event()
        events = JobEvents(self._engine, job_id, after=self._engine.end(), stop=is_over)
        planning = None if followed.is_planned else self._engine.work().plan(followed.job, followed.sources)
        streaming = threading.Thread(target=self._stream, args=(events,), name="stream", daemon=True)
        if self._is_streamed:
            streaming.start()
        try:
            last = self._watched(job_id, planning)
            is_finished = last is not None and last.finished_at is not None
            if self._is_streamed and is_finished:
                streaming.join(LAST_WORD_S)
        finally:
            is_over.set()
        if planning is not None:
            if planning.error is not None:
                raise planning.error
            self._left_out = planning.published.left_out if planning.published is not None else 0
        return is_finished

    def _stream(self, events: JobEvents) -> None:
        for recorded in events:
            self._emit({"type": "event", "event": recorded_json(recorded)})

    def _watched(self, job_id: JobId, planning: PlanningThread | None) -> JobState | None:
        """The job's row when it has finished (or is planned, where nobody waits); None when `stop` came first."""
        failures_told = 0
        while not self._stop.is_set():
            self._engine.check()
            row = self._engine.parts.views.jobs.job(job_id)
            if row is not None:
                failures_told = self._tell(row, failures_told)
                if row.finished_at is not None or (not self._waits and row.plan is not None):
                    return row
            if planning is not None and planning.error is not None and (row is None or row.plan is None):
                return row
            self._stop.wait(LOOK_EVERY_S)
        if planning is not None:
            planning.leave()
        return None

    def _tell(self, row: JobState, failures_told: int) -> int:
        """Emit how far the job is, and its new failures; returns how many failures were told so far."""
        new = min(row.counts.failed - failures_told, NEW_FAILURES)
        if new > 0:
            for failure in reversed(self._engine.parts.views.jobs.failures(row.job_id, limit=new)):
                self._emit({"type": "failure", **asdict(failure), "failed_at": failure.failed_at.isoformat()})
        self._emit(
            {
                "type": "progress",
                **job_json(row),
                "phase": "planning" if row.status is JobStatus.PLANNING else str(row.status),
                "documents_per_minute": _per_minute(row, self._engine.parts.clock()),
                "eta_s": row.pace.eta_s if row.pace else None,
            }
        )
        return row.counts.failed

    # -- the result

    def result(self, job: Job) -> Json:
        """What became of all that was followed, as the log says it by now; `job` is what was asked for."""
        if self._stop is self._engine.ends_with:
            self._engine.drain()  # what finishes meanwhile counts
        rows = [row for job_id in self._followed if (row := self._last_word(job_id)) is not None]
        told = [job_json(row) for row in rows]
        is_finished = len(rows) == len(self._followed) and all(row.finished_at is not None for row in rows)
        outcomes = [(str(one["outcome"]), int(one["requested"])) for one in told]
        counts = {name: sum(one[name] for one in told) for name in COUNTS}
        seconds = time.monotonic() - self._began_s
        completed_here = counts["completed"] - self._completed_before
        unfinished = "INTERRUPTED" if self._stop.is_set() else "RUNNING"
        return {
            "job_id": self._followed[-1] if self._followed else job.job_id,
            "outcome": joint_outcome(outcomes) if is_finished and told else unfinished,
            "resumed": list(self._resumed),
            "requested": sum(one["requested"] for one in told),
            **counts,
            # what a later look finds unchanged is what the first job has dealt with
            "unchanged": told[0]["unchanged"] if told else 0,
            "not_started": sum(one["remaining"] for one in told),
            "left_out": self._left_out,
            "chunks": sum(one["chunks"] for one in told),
            "seconds": round(seconds, 3),
            "documents_per_s": round(completed_here / seconds, 3) if seconds > 0 else 0.0,
            "searchable": self._is_searchable() if is_finished else not self._stop.is_set(),
            "open_of_others": open_of_others(self._engine, rows),
            "position": str(self._engine.end()),
        }

    def _last_word(self, job_id: JobId) -> JobState | None:
        """The job's row; one whose last answer is there is about to be finished."""
        deadline_s = time.monotonic() + LAST_WORD_S
        while True:
            row = self._engine.parts.views.jobs.job(job_id)
            is_about_to_finish = row is not None and row.finished_at is None and row.plan is not None
            if not is_about_to_finish or row is None or row.remaining or time.monotonic() > deadline_s:
                return row
            self._engine.check()
            time.sleep(LOOK_EVERY_S)

    def _is_searchable(self) -> bool:
        try:
            wait_for_position(self._engine, self._engine.end(), self._stop)
        except Interrupted:
            return False
        return not any(parked_of_job(self._engine, job_id) for job_id in self._followed)


def _per_minute(row: JobState, now: datetime) -> float:
    if row.pace is not None:
        return row.pace.documents_per_minute
    elapsed_s = (now - row.submitted_at).total_seconds() if row.submitted_at else 0.0
    return row.counts.answered * 60 / elapsed_s if elapsed_s > 0 else 0.0
