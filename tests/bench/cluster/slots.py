"""Real slots over Kafka and a manifest in PostgreSQL, whose attempts are held back: only intake is at work."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from projections.manifest.view import ManifestView
from schemas.events import DocumentRequested, Meta
from schemas.ids import EventId, document_id_of, event_id_of, random_id
from streams.artifact_stores.memory import MemoryArtifacts
from streams.log import Draft, EventLog
from streams.slot.answers import DocumentEventWriter
from streams.slot.attempt import Attempt, AttemptOutcome
from streams.slot.parts import SlotParts
from streams.slot.retry import RetryPolicy
from streams.slot.workload import Workload

IN_FLIGHT = 16
CONTENT = b"As much text as a generated document. " * 10
"""What a request carries inline."""


class HeldAttempts:
    """Attempts that never come to an end."""

    parameters: Mapping[str, str] = {}

    async def run(self, _: Attempt) -> AttemptOutcome:
        """Wait until the worker ends."""
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def close(self) -> None:
        """Nothing is kept."""


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def slot_parts(log: EventLog, states: ManifestView, begin: Callable[[EventId, Attempt], None]) -> SlotParts:
    """What a slot works with; artifacts stay in memory."""
    return SlotParts(
        log=log,
        states=states,
        artifacts=MemoryArtifacts(now),
        writer=DocumentEventWriter(pipeline_id=random_id(), retries=RetryPolicy(), generator=random.Random(1)),
        workload=Workload(IN_FLIGHT),
        begin=begin,
        parameters={},
        clock=now,
        monotonic=time.monotonic,
    )


def request_draft(name: str, content: bytes = CONTENT) -> Draft:
    """A request to take in the pushed document `name`."""
    uri = f"push:{name}"
    meta = Meta(event_id=event_id_of("bench", "DocumentRequested", name), occurred_at=now(), pipeline_id="bench")
    document_id = document_id_of(uri)
    request = DocumentRequested(meta=meta, document_id=document_id, uri=uri, adapter="push", content=content)
    return Draft("requests", document_id, request)
