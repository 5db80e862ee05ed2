"""Compares what sources hold with what the manifest knows, lazily, and says what is to be done and why.

Nothing is read to find a document unchanged: it is when size, time and validators of the finding equal those known, the
finding is old enough to be trusted, the metadata is the same, and the stages' fingerprints would give the live
version's fingerprint again. A document whose last answer for the same finding and stages was a final failure that time
does not heal is left alone, too. Which of this counts in which mode: `streams/documents/modes.py`.

Removals come last, when every scan has ended and the guard has agreed (`streams/planning/removals.py`). A document
belongs to every source that it lies in, whichever brought it, and to the one that brought it from elsewhere (by a
link).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from schemas.events import ErrorClass, Finding, SkipReason
from schemas.ids import DocumentId, document_id_of
from streams.documents.modes import removes_what_is_gone, verdict
from streams.documents.states import DocumentStates, KnownDocument
from streams.planning.plan import Origin, Plan, PlannedAction, PlannedDocument, PlanRules
from streams.planning.removals import Expected, Unmet, refuse_mass_removal
from streams.scratch import IdSet
from streams.source import Found, Source, Unreadable

BATCH_DOCUMENTS = 500
"""Documents looked up in the manifest and appended to the log at once."""

WHY_LEFT_OUT = "it is still there, but its source leaves it out now; --allow-removals removes it"

_PAGE_DOCUMENTS = 1_000
_HEALED_BY_TIME = {"", ErrorClass.TRANSIENT, ErrorClass.UNKNOWN}


@dataclass(slots=True)
class _Progress:
    """What one plan remembers while it goes on.

    `verdicts` is the modes table for this plan: by (is live, is unchanged), what is not to run and why. `visited` is
    there only where a document can come from two sources. `room` is what the limit leaves.
    """

    verdicts: Mapping[tuple[bool, bool], tuple[PlannedAction, str] | None]
    unmet: Unmet | None
    visited: IdSet | None
    room: int | None
    unreadable: set[str] = field(default_factory=set)


class Planner:
    """Plans sources. Thread-safe: every plan keeps what it knows to itself.

    Args:
        states: What is known of documents; it may lag behind the log, for the slot decides again.
        parameters: The stages' fingerprints, as DocumentStarted.parameters holds them.
        expected_fingerprint: The fingerprint that a known document's content and metadata would get from these stages.
        scratch: An existing folder for temporary tables.
    """

    def __init__(
        self,
        states: DocumentStates,
        *,
        parameters: Mapping[str, str],
        expected_fingerprint: Callable[[KnownDocument], str],
        scratch: Path,
    ) -> None:
        self._states = states
        self._parameters = dict(parameters)
        self._expected_fingerprint = expected_fingerprint
        self._scratch = scratch

    def plan(self, sources: Sequence[Source], rules: PlanRules) -> Plan:
        """The plan of all `sources` together, in batches, as the scans go on; each document once.

        A caller that does not iterate to the end closes it.

        Raises:
            UsageError: while iterating: a source does not exist.
            MassRemovalRefused: while iterating, after everything else and before the first removal.
        """
        with ExitStack() as open_tables:
            removes = removes_what_is_gone(rules.mode) and rules.limit is None
            progress = _Progress(
                verdicts=_verdicts(rules),
                unmet=open_tables.enter_context(Unmet(self._scratch)) if removes else None,
                visited=open_tables.enter_context(IdSet(self._scratch)) if len(sources) > 1 else None,
                room=rules.limit,
            )
            if progress.unmet is not None:
                self._expect_live(progress.unmet, sources)
            for source in sources:
                yield from self._scanned(source, rules, progress)
            if progress.unmet is not None:
                yield from self._removals(progress.unmet, sources, rules, progress.unreadable)

    def _expect_live(self, unmet: Unmet, sources: Sequence[Source]) -> None:
        for source_root, source in {source.source_root: source for source in sources}.items():
            for page in self._lying_in(source):
                unmet.expect(source_root, [(document_id, uri) for document_id, uri in page if source.covers(uri)])
            for page in self._brought_by(source_root):
                unmet.expect(source_root, [one for one in page if _lies_elsewhere(one[1], source)])

    def _lying_in(self, source: Source) -> Iterator[Sequence[tuple[DocumentId, str]]]:
        after: str | None = None
        while page := self._states.live_below(source.place, after=after, limit=_PAGE_DOCUMENTS):
            yield page
            after = page[-1][1]

    def _brought_by(self, source_root: str) -> Iterator[Sequence[tuple[DocumentId, str]]]:
        after: DocumentId | None = None
        while page := self._states.live_under(source_root, after=after, limit=_PAGE_DOCUMENTS):
            yield page
            after = page[-1][0]

    def _scanned(self, source: Source, rules: PlanRules, progress: _Progress) -> Iterator[Sequence[PlannedDocument]]:
        origin, scan = Origin(source.name, source.source_root), source.scan()
        while progress.room is None or progress.room > 0:
            seen = list(islice(scan, BATCH_DOCUMENTS))
            if not seen:
                return
            planned = self._compared(origin, seen, rules, progress)
            if progress.room is not None:
                planned = _cut(planned, progress.room)
                progress.room -= sum(document.action.is_request for document in planned)
            yield planned

    def _compared(
        self, origin: Origin, seen: Sequence[Found | Unreadable], rules: PlanRules, progress: _Progress
    ) -> list[PlannedDocument]:
        items = [(document_id_of(item.uri), item) for item in seen]
        if progress.visited is not None:
            new = progress.visited.add([document_id for document_id, _ in items])
            items = [(document_id, item) for document_id, item in items if document_id in new]
        known = self._states.known_documents([document_id for document_id, _ in items])
        if progress.unmet is not None:
            progress.unmet.meet(known)
        planned = []
        for document_id, item in items:
            if isinstance(item, Found):
                action, reason = self._action_for(item, known.get(document_id), rules, progress)
                planned.append(
                    PlannedDocument(document_id, item.uri, action, reason, origin, item.finding, item.metadata)
                )
            else:
                progress.unreadable.add(item.uri)
                planned.append(PlannedDocument(document_id, item.uri, PlannedAction.UNREADABLE, item.reason, origin))
        return planned

    def _action_for(
        self, found: Found, known: KnownDocument | None, rules: PlanRules, progress: _Progress
    ) -> tuple[PlannedAction, str]:
        is_live = known is not None and known.is_live
        change = self._change(found, known) if known is not None and is_live else None
        skipped = progress.verdicts[is_live, is_live and change is None]
        if skipped is not None:
            return skipped
        if known is not None and not rules.force and self._failed_before(found, known):
            return PlannedAction.FAILED_BEFORE, f"failed before ({known.error_class}), and nothing has changed since"
        if is_live:
            return PlannedAction.UPDATE, change or "forced"
        return PlannedAction.ADD, _why_added(known)

    def _change(self, found: Found, known: KnownDocument) -> str | None:
        """Why the live version may not be what reading would give, or None."""
        difference = _difference(known.finding, found.finding)
        if difference is not None:
            return difference
        if not found.is_trustworthy:
            return "it is too young to tell whether it was modified"
        if found.metadata != (known.metadata or {}):
            return "its metadata changed"
        if self._expected_fingerprint(known) != known.fingerprint:
            return "the settings of a stage changed"
        return None

    def _failed_before(self, found: Found, known: KnownDocument) -> bool:
        return (
            known.error_class not in _HEALED_BY_TIME
            and found.is_trustworthy
            and _difference(known.failed_finding, found.finding) is None
            and dict(known.failed_parameters or {}) == self._parameters
        )

    def _removals(
        self, unmet: Unmet, sources: Sequence[Source], rules: PlanRules, unreadable: set[str]
    ) -> Iterator[Sequence[PlannedDocument]]:
        """What is left out, which stays, and then what is gone, unless the guard refuses."""
        by_root = {source.source_root: Origin(source.name, source.source_root) for source in sources}
        if rules.allow_removals:
            unmet.settle(unreadable)
        else:
            losses = unmet.settle(unreadable, still_holds=partial(_still_holds, sources))
            yield from _in_batches(unmet.left_out, PlannedAction.LEFT_OUT, WHY_LEFT_OUT, by_root)
            refuse_mass_removal(losses)
        yield from _in_batches(unmet.gone, PlannedAction.REMOVE, "its source no longer holds it", by_root)


def _lies_elsewhere(uri: str, source: Source) -> bool:
    """Whether a document that `source` has brought is found by no look at its place: a link led to it.

    A uri of another kind was not brought by a scan, whatever root its request carried.
    """
    return not source.covers(uri) and uri.partition(":")[0] == source.place.partition(":")[0]


def _still_holds(sources: Sequence[Source], source_root: str, uri: str) -> bool:
    return any(source.still_holds(uri) for source in sources if source.source_root == source_root)


def _in_batches(
    documents: Iterator[Expected], action: PlannedAction, reason: str, by_root: Mapping[str, Origin]
) -> Iterator[Sequence[PlannedDocument]]:
    while batch := [
        PlannedDocument(document_id, uri, action, reason, by_root[root])
        for document_id, uri, root in islice(documents, BATCH_DOCUMENTS)
    ]:
        yield batch


def _difference(was: Finding | None, now: Finding) -> str | None:
    """What tells two findings apart; not their uris, for a folder that goes by a name may have moved."""
    if was is None or (now.modified_at_ns is None and not now.validators):
        return "nothing is known to compare it with"
    if was.size_bytes != now.size_bytes:
        return f"its size changed from {was.size_bytes} to {now.size_bytes} bytes"
    if was.modified_at_ns != now.modified_at_ns or was.validators != now.validators:
        return "it was modified"
    return None


def _cut(planned: list[PlannedDocument], room: int) -> list[PlannedDocument]:
    """`planned` up to its `room`-th request."""
    requests = [place for place, document in enumerate(planned) if document.action.is_request]
    return planned if len(requests) < room else planned[: requests[room - 1] + 1]


def _verdicts(rules: PlanRules) -> dict[tuple[bool, bool], tuple[PlannedAction, str] | None]:
    mode = rules.mode.lower()
    why = {
        SkipReason.UNCHANGED: (PlannedAction.UNCHANGED, "size, time and settings are the same"),
        SkipReason.EXISTS: (
            PlannedAction.EXISTS,
            f"it is there already, and mode {mode} leaves such documents alone",
        ),
        SkipReason.ABSENT: (PlannedAction.ABSENT, f"it is not there yet, and mode {mode} adds nothing"),
    }
    states = [(False, False), (True, False), (True, True)]
    skips = {state: verdict(rules.mode, force=rules.force, is_live=state[0], is_unchanged=state[1]) for state in states}
    return {state: None if skip is None else why[skip] for state, skip in skips.items()}


def _why_added(known: KnownDocument | None) -> str:
    if known is None:
        return "it is new"
    return f"it failed before ({known.error_class})" if known.error_class else "it was removed before"
