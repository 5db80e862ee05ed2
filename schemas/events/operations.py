"""The events of topic `operations`, keyed by index or operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.events.meta import Meta
from schemas.ids import DocumentId


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCreated:
    """A generation of an index begins to be written."""

    meta: Meta
    index: str = ""
    generation: str = ""
    embedder: str | None = None
    dim: int | None = None
    mapping: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationPromoted:
    """A generation answers searches from now on."""

    meta: Meta
    index: str = ""
    generation: str = ""
    previous: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRolledBack:
    """An earlier generation answers searches again."""

    meta: Meta
    index: str = ""
    generation: str = ""
    previous: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationDropped:
    """A generation's contents are gone."""

    meta: Meta
    index: str = ""
    generation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyVerified:
    """An index was compared with the log at `position`."""

    meta: Meta
    index: str = ""
    generation: str = ""
    position: str = ""
    is_consistent: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRequested:
    """The active projector of `index` is asked to write these documents again (at most 1,000)."""

    meta: Meta
    index: str = ""
    document_ids: Sequence[DocumentId] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionVerified:
    """A removed document was looked for everywhere and not found; `receipts` says where and how."""

    meta: Meta
    document_id: DocumentId
    receipts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupCompleted:
    """A backup can be restored from."""

    meta: Meta
    position: str = ""
    path: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorActed:
    """A person did something by hand."""

    meta: Meta
    actor: str = ""
    action: str = ""
    target: str = ""


OperationEvent = (
    GenerationCreated
    | GenerationPromoted
    | GenerationRolledBack
    | GenerationDropped
    | ConsistencyVerified
    | RepairRequested
    | DeletionVerified
    | BackupCompleted
    | OperatorActed
)
