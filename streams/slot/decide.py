"""What to do with a document when its turn comes: pure decisions over its state.

`decide` is asked twice in the life of a request: here before the start, and by the attempt after the content was read
(`streams/attempts/attempts.py` compares fingerprints and answers Unchanged).

Which of a document's open requests is acted on:

| rule | why |
|---|---|
| a request of a cancelled job is answered DocumentCancelled, wherever it stands | cancel means what has not started |
| requests of paused jobs are passed over | the others of the document go on |
| so are starts of jobs whose readers are behind; answers that need no start are not | others need not wait for them |
| what was passed over is SUPERSEDED once a later one has said what the document is | nothing past comes back |
| one request at a time, in taken order; one that waits for a retry keeps its place | order is kept |
| a request is SUPERSEDED when a later one starts or removes, in the same append | work nobody needs |
| a RETRY whose failure is no longer the last answer is SUPERSEDED | somebody was faster |
| REMOVE of what is not live is skipped as ABSENT; REINDEX likewise | nothing to do |
| INGEST: mode, force and what is live decide (`streams/documents/modes.py`) | |
| `max_crashes` starts that ended in nothing, superseded requests included: POISON | it kills whoever touches it |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.events import Action, DocumentCompleted, DocumentFailed, Mode, SkipReason
from schemas.ids import JobId
from streams.documents.modes import verdict
from streams.documents.state import DocumentState, OpenRequest
from streams.slot.retry import MAX_CRASHES
from streams.source import CLOCK_GRAIN_NS

SUSPECT_AFTER_CRASHES = 2
"""A document that was being processed at two crashes runs alone from then on: the next crash is its own."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start this request; the superseded ones are answered in the same append."""

    request: OpenRequest
    superseded: Sequence[OpenRequest] = ()
    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """Answer DocumentRemoved; the superseded ones are answered in the same append."""

    request: OpenRequest
    superseded: Sequence[OpenRequest] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """Answer DocumentSkipped."""

    request: OpenRequest
    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Cancel:
    """Answer DocumentCancelled."""

    request: OpenRequest


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Answer DocumentFailed, POISON: it crashed the process too often."""

    request: OpenRequest
    crashes: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before `until` (a retry is due), or before a job may go on when that is None."""

    until: datetime | None


Decision = Start | Remove | Skip | Cancel | GiveUp | Wait


def decide(
    state: DocumentState,
    *,
    now: datetime,
    parameters: Mapping[str, str],
    paused_jobs: Collection[JobId] = (),
    cancelled_jobs: Collection[JobId] = (),
    held_jobs: Collection[JobId] = (),
    max_crashes: int = MAX_CRASHES,
) -> Decision | None:
    """What to do with the document now; None when it has no open request. It must not be running in this process.

    No document of `held_jobs` may start, since their readers are behind.
    """
    if not state.requests:
        return None
    for request in state.requests:
        if request.queued.meta.job_id in cancelled_jobs:
            return Cancel(request)
    eligible = [r for r in state.requests if r.queued.meta.job_id not in paused_jobs]
    decision = _decide_among(eligible, state, now=now, parameters=parameters, max_crashes=max_crashes)
    if isinstance(decision, Start) and decision.request.queued.meta.job_id in held_jobs:
        eligible = [r for r in eligible if r.queued.meta.job_id not in held_jobs]
        decision = _decide_among(eligible, state, now=now, parameters=parameters, max_crashes=max_crashes)
    return decision


def _decide_among(
    eligible: Sequence[OpenRequest],
    state: DocumentState,
    *,
    now: datetime,
    parameters: Mapping[str, str],
    max_crashes: int,
) -> Decision:
    if not eligible:
        return Wait(None)
    superseded, target = _superseded(state, eligible, parameters)
    reason = _skip_reason(state, target, parameters)
    if reason is not None:
        return Skip(target, reason)
    if target.retry_at is not None and target.retry_at > now:
        return Wait(target.retry_at)
    if target.queued.action is Action.REMOVE:
        return Remove(target, superseded)
    crashes = max(request.crashes_so_far for request in (*superseded, target))
    if crashes >= max_crashes:
        return GiveUp(target, crashes)
    return Start(target, superseded, is_suspect=crashes >= SUSPECT_AFTER_CRASHES)


def supersedes(later: OpenRequest, earlier: OpenRequest) -> bool:
    """Whether `later` makes `earlier` needless.

    An ``auto`` INGEST supersedes INGEST and RETRY (a forced one only if itself forced); REMOVE supersedes INGEST, RETRY
    and REINDEX and is never superseded; nothing else supersedes.
    """
    match later.queued.action:
        case Action.REMOVE:
            return earlier.queued.action in {Action.INGEST, Action.RETRY, Action.REINDEX}
        case Action.INGEST if later.queued.mode is Mode.AUTO:
            is_superseded = later.queued.force or not earlier.queued.force
            return is_superseded and earlier.queued.action in {Action.INGEST, Action.RETRY}
        case _:
            return False


def _superseded(
    state: DocumentState, eligible: Sequence[OpenRequest], parameters: Mapping[str, str]
) -> tuple[Sequence[OpenRequest], OpenRequest]:
    """The requests that are superseded, and the one to act on: the latest that supersedes all before it."""
    for place in reversed(_superseding(eligible)):
        if _skip_reason(state, eligible[place], parameters) is None:
            return eligible[:place], eligible[place]
    return (), eligible[0]


def _superseding(eligible: Sequence[OpenRequest]) -> Sequence[int]:
    """The places of those that supersede all before them; looks at each once, since there may be thousands."""
    places = []
    kinds = {_kind_of(eligible[0]): eligible[0]}
    for place, later in enumerate(eligible[1:], start=1):
        if all(supersedes(later, earlier) for earlier in kinds.values()):
            places.append(place)
        kinds.setdefault(_kind_of(later), later)
    return places


def _kind_of(request: OpenRequest) -> tuple[Action, Mode, bool]:
    """All that `supersedes` looks at."""
    return request.queued.action, request.queued.mode, request.queued.force


def _skip_reason(state: DocumentState, request: OpenRequest, parameters: Mapping[str, str]) -> SkipReason | None:
    queued = request.queued
    if _is_past(state, request):
        return SkipReason.SUPERSEDED
    match queued.action:
        case Action.REMOVE | Action.REINDEX:
            return None if state.live is not None else SkipReason.ABSENT
        case Action.RETRY:
            return None if _retries_last_answer(state, request) else SkipReason.SUPERSEDED
        case _:
            return verdict(
                queued.mode,
                force=queued.force,
                is_live=state.live is not None,
                is_unchanged=_is_unchanged(state, request, parameters),
            )


def _is_past(state: DocumentState, request: OpenRequest) -> bool:
    """Whether `request` was passed over and a later one has said since what the document is.

    A forced INGEST of a live document reads its source again: it brings nothing old, and is wanted for its own sake.
    Vectors are added to whatever is live.
    """
    if state.settled_order is None or request.order > state.settled_order:
        return False
    queued = request.queued
    match queued.action:
        case Action.REINDEX:
            return False
        case Action.INGEST if queued.force and queued.content_ref is None:
            return state.live is None
        case _:
            return True


def _retries_last_answer(state: DocumentState, request: OpenRequest) -> bool:
    last = state.last_answer
    is_failure = last is not None and last.kind == DocumentFailed.__name__
    return is_failure and last is not None and last.request_id == request.queued.meta.causation_id


def _is_unchanged(state: DocumentState, request: OpenRequest, parameters: Mapping[str, str]) -> bool:
    """Whether the finding alone proves that reading would give the live version again.

    It does so when another request completed exactly this finding with the same stages and metadata, and the content
    was old enough then to be told from a later change.
    """
    live, last, finding = state.live, state.last_answer, request.queued.finding
    if live is None or last is None or finding is None or finding.modified_at_ns is None:
        return False
    if finding != state.finding or dict(live.metadata) != dict(request.queued.metadata):
        return False
    if last.kind != DocumentCompleted.__name__ or dict(last.parameters) != dict(parameters):
        return False
    completed_at_ns = int(live.meta.occurred_at.timestamp() * 1e9)
    return finding.modified_at_ns + CLOCK_GRAIN_NS < completed_at_ns
