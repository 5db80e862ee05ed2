"""What a slot works with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.events import DocumentEvent
from schemas.ids import EventId, JobId
from streams.artifacts import ArtifactStore
from streams.documents.states import DocumentStates
from streams.log import EventLog
from streams.slot.answers import DocumentEventWriter
from streams.slot.attempt import Attempt
from streams.slot.overlay import OVERLAY_LIMIT
from streams.slot.retry import MAX_CRASHES
from streams.slot.workload import Workload

FAULT_POINTS = ("before sync", "artifacts synced", "appended", "memory updated", "begun")
"""Where a crash test may stop the slot: around each numbered step."""


def no_fault(point: str) -> None:
    """The hook of production: nothing happens at `point`."""


def uncounted(events: Sequence[DocumentEvent]) -> None:
    """The hook of those who count nothing: `events` are durable."""


def nobody() -> None:
    """The hook of those who look by themselves."""


def no_jobs() -> Collection[JobId]:
    """The hook of those whom no reader holds back."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotParts:
    """What a slot works with.

    `begin` has a started attempt run and returns at once; the outcome comes back by `Slot.finished`.
    `wake` is called from any thread when there may be room for what had to wait. `held_jobs` tells, once a turn, of
    which jobs nothing may start, for their readers are behind. `written` is told what each append has written; it must
    be quick and must not raise. `fault` is for crash tests.
    """

    log: EventLog
    states: DocumentStates
    artifacts: ArtifactStore
    writer: DocumentEventWriter
    workload: Workload
    begin: Callable[[EventId, Attempt], None]
    parameters: Mapping[str, str]
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    wake: Callable[[], None] = nobody
    held_jobs: Callable[[], Collection[JobId]] = no_jobs
    written: Callable[[Sequence[DocumentEvent]], None] = uncounted
    fault: Callable[[str], None] = no_fault
    max_crashes: int = MAX_CRASHES
    overlay_limit: int = OVERLAY_LIMIT
