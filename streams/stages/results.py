"""The port that tells which stage results are known already; `projections` implements it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.events import ArtifactRef, Stage


@dataclass(frozen=True, slots=True)
class StageKey:
    """What a stage result depends on: the stage, the SHA-256 hex of its input, and the stage's fingerprint."""

    stage: Stage
    input_hash: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StageResult:
    """A known output; `counts` are those its StageReport had."""

    output: ArtifactRef
    counts: Mapping[str, int]


class StageResults(Protocol):
    """Results of stages as the log tells them; it may lag, which costs work and never correctness."""

    def known(self, keys: Sequence[StageKey]) -> Mapping[StageKey, StageResult]:
        """The results known for `keys`; unknown keys are absent."""
