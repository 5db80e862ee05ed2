"""Turns a plan into requests in the log, and tells the log how planning went.

For one job, in this order:

1. JobSubmitted (not when it is resumed), and each adapter IDLE → STARTING.
2. Per batch of the plan, in one append: its requests, AdapterReported for what could not be looked at, and with the
   first batch each adapter STARTING → RUNNING. Before each batch the gate is asked: it holds back while readers are
   slow.
3. AdapterReported for how many documents are left out, JobPlanned, and each adapter RUNNING → STOPPED.

Event ids follow from the job, so a planner that was killed anywhere plans the same job again and repeats nothing:
requests that are in the log already are counted and not appended.

Without JobPlanned a job is not finished. It is missing after a shutdown (the job is resumed at the next start) and when
a source could not be scanned (somebody has to bring it back, or cancel the job). It is there after a cancellation and
when the removals were refused: all else was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from enum import Enum, auto
from itertools import islice
from pathlib import Path

from schemas.events import (
    AdapterState,
)
from schemas.ids import EventId
from streams.log import EventLog
from streams.planning.job import Job
from streams.planning.plan import Plan
from streams.planning.publication import Publication, Published
from streams.planning.removals import MassRemovalRefused
from streams.planning.uploads import Uploads
from streams.scratch import MAX_IDS_PER_CALL, IdSet


class Permission(Enum):
    """What the gate says to the next batch."""

    GO_ON = auto()
    CANCELLED = auto()
    SHUTDOWN = auto()


Gate = Callable[[], Permission]
"""Asked before each batch; returns when the planner may go on, or must not any more."""


class Publisher:
    """Publishes plans of jobs. Thread-safe, as the log is; one call per job at a time.

    With `uploads`, each file's content is put into the artifact store and its request says where.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        pipeline_id: str,
        now: Callable[[], datetime],
        scratch: Path,
        uploads: Uploads | None = None,
    ) -> None:
        self._log = log
        self._uploads = uploads
        self._pipeline_id = pipeline_id
        self._now = now
        self._scratch = scratch

    def publish(
        self, job: Job, plan: Plan, *, adapters: Sequence[str], gate: Gate, already: Iterable[EventId] | None = None
    ) -> Published:
        """Ask the log for what `plan` says, and return when all of it is there.

        Args:
            job: The job.
            plan: Its plan, from `Planner.plan`; closed in the end.
            adapters: The names of the adapters whose sources are planned.
            gate: Back-pressure, cancellation and shutdown.
            already: For a job that goes on: the ids of its requests in the log (`requests_in_log`). None submits it.

        Raises:
            MassRemovalRefused: after JobPlanned; everything but the removals was asked for.
            RefoldError: a scan or the log failed; the job is not planned.
        """
        with closing(plan), IdSet(self._scratch) as requests:
            for ids in _chunks(already or (), MAX_IDS_PER_CALL):
                requests.add(ids)
            publication = Publication(job, requests, adapters, self._pipeline_id, self._now, self._uploads)
            self._log.append(None, publication.opening(is_new=already is None))
            return self._publish(publication, plan, gate)

    def _publish(self, publication: Publication, plan: Plan, gate: Gate) -> Published:
        while (permission := gate()) is Permission.GO_ON:
            try:
                batch = next(plan, None)
            except MassRemovalRefused as exc:
                self._log.append(
                    None, [publication.report("removals_refused", str(exc)), *publication.conclusion(str(exc))]
                )
                raise
            except Exception as exc:
                self._log.append(None, publication.state(AdapterState.FAILED, reason=str(exc)))
                raise
            if batch is None:
                self._log.append(None, publication.conclusion("every source was scanned"))
                return publication.counts(is_planned=True)
            if drafts := publication.drafts(batch):
                if self._uploads is not None:
                    self._uploads.sync()
                self._log.append(None, drafts)
        if permission is Permission.CANCELLED:
            self._log.append(None, publication.conclusion("the job was cancelled"))
        else:
            self._log.append(None, publication.state(AdapterState.STOPPED, reason="shutdown"))
        return publication.counts(is_planned=permission is Permission.CANCELLED)


def _chunks(ids: Iterable[EventId], size: int) -> Iterator[list[EventId]]:
    rest = iter(ids)
    while chunk := list(islice(rest, size)):
        yield chunk
