"""What a plan says of each document, and what was asked of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from schemas.events import Finding, Mode
from schemas.ids import DocumentId


class PlannedAction(StrEnum):
    """What an ingest does with a document; only ADD, UPDATE and REMOVE become requests.

    A LEFT_OUT one is live and still there, but its source as it is set up now does not take it.
    """

    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"
    UNCHANGED = "unchanged"
    FAILED_BEFORE = "failed_before"
    EXISTS = "exists"
    ABSENT = "absent"
    LEFT_OUT = "left_out"
    UNREADABLE = "unreadable"

    @property
    def is_request(self) -> bool:
        """Whether the log is asked for anything."""
        return self in _REQUESTS


_REQUESTS = {PlannedAction.ADD, PlannedAction.UPDATE, PlannedAction.REMOVE}


@dataclass(frozen=True, slots=True)
class Origin:
    """The source a document was planned for."""

    adapter: str
    source_root: str


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """A document, what is to be done with it, and why, in words for people.

    An UNREADABLE one is whatever could not be looked at: a folder's uri ends in a slash.
    """

    document_id: DocumentId
    uri: str
    action: PlannedAction
    reason: str
    origin: Origin
    finding: Finding | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


Plan = Generator[Sequence[PlannedDocument], None, None]
"""A plan as it is made, in batches; a caller that does not iterate to its end closes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRules:
    """What was asked of a plan.

    Attributes:
        mode: Which documents may be touched (`streams/documents/modes.py`).
        force: Run what is unchanged or has failed before, too.
        allow_removals: Remove however large a share of a source is gone, and what is there but left out, too.
        limit: Request at most this many documents; then nothing is removed, for the scan may not have seen it all.
    """

    mode: Mode = Mode.AUTO
    force: bool = False
    allow_removals: bool = False
    limit: int | None = None

    def as_parameters(self) -> Mapping[str, str]:
        """These rules as JobSubmitted keeps them (the mode has its own field there)."""
        parameters = {"force": str(self.force).lower(), "allow_removals": str(self.allow_removals).lower()}
        return parameters if self.limit is None else {**parameters, "limit": str(self.limit)}

    @classmethod
    def from_parameters(cls, mode: Mode, parameters: Mapping[str, str]) -> Self:
        """The rules that `as_parameters` wrote."""
        return cls(
            mode=mode,
            force=parameters.get("force") == "true",
            allow_removals=parameters.get("allow_removals") == "true",
            limit=int(parameters["limit"]) if "limit" in parameters else None,
        )
