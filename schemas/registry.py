"""The port of the schema registry; its technologies stand in `schemas/registries/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.errors import FatalError


class SchemaConflict(FatalError):  # noqa: N818 - a state, as in the error tree
    """The registry holds another schema under this record and version."""


class SchemaNotRegistered(FatalError):  # noqa: N818 - as above
    """The registry does not hold this record and version, and may not or cannot take it."""


@dataclass(frozen=True, slots=True)
class WriterSchema:
    """One version of one record's schema, as events are written with it.

    Attributes:
        record: The record's name without its namespace, which is the event's kind.
        version: From 1.
        canonical: The schema in the canonical form of `schemas/canonical.py`, as JSON text.
        fingerprint: SHA-256 hex of `canonical`; the same in every registry, unlike the id.
    """

    record: str
    version: int
    canonical: str
    fingerprint: str


def require_same(own: WriterSchema, held: WriterSchema, *, where: str, hint: str) -> None:
    """Raise SchemaConflict if a registry `held` another schema where this release has `own`."""
    if own.fingerprint != held.fingerprint:
        raise SchemaConflict(
            f"{own.record} version {own.version} is registered {where} with another schema",
            op="compare schemas",
            subject=own.record,
            hint=hint,
        )


class SchemaRegistry(Protocol):
    """Gives schemas the 4-byte ids that stand in front of every event, and gives schemas back for ids.

    An id never changes its meaning. A registry is made with the schemas of this release, and whoever makes one to write
    with registers them there and then (or, where that is a step of its own, finds them registered): each must be stored
    under its (record, version) exactly as it is here, else SchemaConflict. One made to read with registers nothing and
    conflicts just the same.

    A server that knows subjects and no records names them ``<topic>-refold.events.<record>`` (TopicRecordNameStrategy;
    the topic with its corpus prefix, from `schemas.events.TOPICS`) and is given `WriterSchema.canonical`.

    Thread-safe. Callers keep the answers, that an id is absent for seconds, so neither method needs to be quick.
    """

    def id_of(self, record: str, version: int) -> int:
        """The id of that schema: 32 bits, unsigned.

        Raises:
            SchemaNotRegistered: it has none.
            TransientError: it is not known here yet, and the registry cannot be reached.
        """

    def schema_of(self, schema_id: int) -> WriterSchema | None:
        """The schema of that id, or None where there is none.

        Looks again before it says None: another process may have registered it a moment ago. Raises TransientError as
        `id_of` does.
        """
