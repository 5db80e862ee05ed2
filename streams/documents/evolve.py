"""`evolve`, the only function that folds an event into a document's state."""

from __future__ import annotations

from dataclasses import replace

from schemas.errors import FatalError
from schemas.events import (
    Action,
    Answer,
    DocumentCancelled,
    DocumentCompleted,
    DocumentEvent,
    DocumentFailed,
    DocumentQueued,
    DocumentReleased,
    DocumentRemoved,
    DocumentSkipped,
    DocumentStarted,
    SkipReason,
    VectorsAdded,
)
from streams.documents.state import DocumentState, LastAnswer, OpenRequest

OPENED_PER_OPEN = 4
"""Ids remembered per open request; when there are more, most are answered, and they are collected again."""


class SequenceHole(FatalError):  # noqa: N818 - a state, as in the error tree
    """An event's sequence is not the next one of its document: the log has a hole or a fork."""


class ImpossibleTransition(FatalError):  # noqa: N818 - as above
    """An event says something that cannot follow what its document's earlier events said."""


def evolve(state: DocumentState, event: DocumentEvent, offset: int) -> DocumentState:
    """The state after `event`, which stands at `offset` of `documents`.

    Raises:
        SequenceHole: the event's sequence is not ``state.sequence + 1``.
        ImpossibleTransition: it cannot follow: an answer to no open request, a second open start, a version that is not
            the next.
    """
    if event.meta.sequence != state.sequence + 1:
        raise SequenceHole(
            f"sequence {event.meta.sequence} follows {state.sequence}", op="evolve", subject=event.document_id
        )
    if isinstance(event, DocumentQueued):
        _refuse(event, state.has_open(event.request_id), "the request is open already")
    after = _evolved(state, event, offset)
    opened = getattr(state, "opened", None)
    if opened is not None and len(opened) <= OPENED_PER_OPEN * (len(after.requests) + 1):
        if isinstance(event, DocumentQueued):
            opened[event.request_id] = (*opened.get(event.request_id, ()), offset)
        object.__setattr__(after, "opened", opened)
    return after


def _evolved(state: DocumentState, event: DocumentEvent, offset: int) -> DocumentState:
    state = replace(state, sequence=event.meta.sequence)
    match event:
        case DocumentQueued():
            return replace(state, requests=(*state.requests, OpenRequest(queued=event, order=offset)))
        case DocumentStarted():
            return _started(state, event)
        case DocumentReleased():
            open_request = _open(state, event)
            _refuse(event, open_request.started_by is None, "nothing was started")
            return _with_request(state, replace(open_request, started_by=None, started_id=None))
        case DocumentFailed() if not event.is_final:
            return _with_request(state, _waiting(state, event))
        case _:
            return _answered(state, event)


def _started(state: DocumentState, event: DocumentStarted) -> DocumentState:
    open_request = _open(state, event)
    for running in (r for r in state.requests if r.started_by is not None):
        is_other = running is not open_request
        _refuse(event, is_other and running.started_by == event.meta.pipeline_id, "another request is in work")
        crashed = replace(running, crashes=running.crashes_so_far, started_by=None, started_id=None)
        state = _with_request(state, crashed)
    return _with_request(
        state,
        replace(
            _open(state, event),
            starts=open_request.starts + 1,
            started_by=event.meta.pipeline_id,
            started_id=event.meta.event_id,
            parameters=event.parameters,
            retry_at=None,
        ),
    )


def _waiting(state: DocumentState, event: DocumentFailed) -> OpenRequest:
    open_request = _open(state, event)
    _refuse(event, open_request.started_by is None, "nothing was started")
    return replace(
        open_request,
        failures=open_request.failures + 1,
        started_by=None,
        started_id=None,
        retry_at=event.retry_at,
    )


def _answered(state: DocumentState, event: Answer) -> DocumentState:
    answered = _open(state, event)
    state = _without(state, answered)
    # What the answer says of the document: only these change its live version or what was seen of it.
    match event:
        case DocumentCompleted():
            _refuse(event, event.version != state.version + 1, f"version {event.version} follows {state.version}")
            _refuse(event, answered.started_by is None, "nothing was started")
            state = replace(state, version=event.version, live=event, finding=event.finding)
        case DocumentRemoved():
            _refuse(event, state.live is None, "nothing is live")
            state = replace(state, live=None, finding=None)
        case DocumentSkipped(reason=SkipReason.UNCHANGED, finding=finding) if finding is not None:
            state = replace(state, finding=finding)
        case VectorsAdded():
            _refuse(event, state.live is None or state.live.version != event.version, "that version is not live")
        case DocumentSkipped(reason=SkipReason.SUPERSEDED):
            return _with_crashes(state, answered.crashes_so_far, after=answered.order)
        case DocumentCancelled():
            return state
        case _:
            pass
    # What it says of the request: a failed one may be tried again, and earlier ones may be settled with it.
    failed = answered.queued if isinstance(event, DocumentFailed) else None
    settled_order = state.settled_order
    if _settles(answered, event):
        settled_order = max(settled_order or 0, answered.order)
    last_answer = _last_answer(answered, event)
    return replace(state, last_answer=last_answer, failed_request=failed, settled_order=settled_order)


def _settles(answered: OpenRequest, event: DocumentEvent) -> bool:
    """Whether `event` says what the document is now, so that what was asked before it is past."""
    match event:
        case DocumentCompleted() | DocumentRemoved() | DocumentSkipped(reason=SkipReason.UNCHANGED):
            return True
        case DocumentSkipped(reason=SkipReason.ABSENT):
            return answered.queued.action is Action.REMOVE
        case _:
            return False


def _last_answer(answered: OpenRequest, event: Answer) -> LastAnswer:
    said = LastAnswer(
        request_id=event.request_id,
        kind=type(event).__name__,
        occurred_at=event.meta.occurred_at,
        finding=answered.queued.finding,
        parameters=answered.parameters,
    )
    if not isinstance(event, DocumentFailed):
        return said
    return replace(
        said,
        stage=event.stage,
        error_class=event.error_class,
        error_code=event.error_code,
        message=event.message,
        hint=event.hint,
        attempt=event.attempt,
    )


def _open(state: DocumentState, event: DocumentEvent) -> OpenRequest:
    open_request = state.request(event.request_id)
    if open_request is None:
        raise ImpossibleTransition(
            f"{type(event).__name__} for request {event.request_id}, which is not open",
            op="evolve",
            subject=event.document_id,
        )
    return open_request


def _refuse(event: DocumentEvent, impossible: bool, why: str) -> None:  # noqa: FBT001 - reads as a sentence
    if impossible:
        raise ImpossibleTransition(f"{type(event).__name__}: {why}", op="evolve", subject=event.document_id)


def _without(state: DocumentState, answered: OpenRequest) -> DocumentState:
    # Mostly the first is answered, and a document may have thousands: what stands behind it is copied, not looked at.
    place = next(n for n, request in enumerate(state.requests) if request is answered)
    return replace(state, requests=state.requests[:place] + state.requests[place + 1 :])


def _with_crashes(state: DocumentState, crashes: int, *, after: int) -> DocumentState:
    """The requests taken later than the one of order `after` know of at least so many crashes."""
    if not crashes:
        return state
    later = (r for r in state.requests if r.order > after and r.crashes < crashes)
    for request in later:
        state = _with_request(state, replace(request, crashes=crashes))
    return state


def _with_request(state: DocumentState, changed: OpenRequest) -> DocumentState:
    return replace(
        state,
        requests=tuple(changed if r.queued.request_id == changed.queued.request_id else r for r in state.requests),
    )
