"""Copying another store's artifacts: what is damaged there is counted, and the rest is copied."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from streams.artifact_stores.local import LocalArtifacts
from streams.artifact_stores.memory import MemoryArtifacts
from streams.transfer.artifacts import CopiedArtifacts, copy_artifacts
from tests.samples.flipped_bits import tamper

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_one_damaged_artifact_does_not_keep_the_others_from_being_copied(tmp_path: Path) -> None:
    source = LocalArtifacts(tmp_path, clock=lambda: NOON)
    refs = source.put([b"first", b"second", b"third"])
    source.sync()
    source.close()
    tamper(tmp_path / "packed.sqlite", "UPDATE contents SET data = flip_bit(data) WHERE data = ?", b"second")
    target = MemoryArtifacts(lambda: NOON)
    assert copy_artifacts(str(tmp_path), target, clock=lambda: NOON) == CopiedArtifacts(copied=2, damaged=1)
    assert set(target.scan()) == {refs[0], refs[2]}
