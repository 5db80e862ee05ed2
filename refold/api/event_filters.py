"""Which events a stream hands on: filters that combine with ``&``, ``|`` and ``~``."""

from __future__ import annotations

from collections.abc import Callable

from schemas.events import BatchProgress, DocumentFailed, JobFinished, JobPlanned, JobSubmitted, PipelineEvent


class EventFilter:
    """A yes or no about an event.

    ``errors_only | progress_only`` passes what either passes; ``~progress_only`` everything else.
    """

    def __init__(self, passes: Callable[[PipelineEvent], bool]) -> None:
        self._passes = passes

    def __call__(self, event: PipelineEvent) -> bool:
        """Whether `event` passes."""
        return self._passes(event)

    def __and__(self, other: Callable[[PipelineEvent], bool]) -> EventFilter:
        return EventFilter(lambda event: self(event) and other(event))

    def __or__(self, other: Callable[[PipelineEvent], bool]) -> EventFilter:
        return EventFilter(lambda event: self(event) or other(event))

    def __invert__(self) -> EventFilter:
        return EventFilter(lambda event: not self(event))


def kinds(*of: type[PipelineEvent]) -> EventFilter:
    """Passes events of these classes."""
    return EventFilter(lambda event: isinstance(event, of))


errors_only = kinds(DocumentFailed)
"""Failures, those that will be tried again included (see `event.is_final`)."""

progress_only = kinds(BatchProgress, JobSubmitted, JobPlanned, JobFinished)
"""How far the job is."""
