"""What attempts come to in tests of those who write it down."""

from __future__ import annotations

from schemas.events import ArtifactRef, ErrorClass, Stage
from streams.slot.attempt import AttemptFailed, Produced

REF = ArtifactRef(sha256="0" * 64, size_bytes=1)
LONE = "half a pair: \udcff"

PRODUCED = Produced(
    finding=None,
    content_hash="c",
    fingerprint="f",
    stages=(),
    text=REF,
    chunks=REF,
    vectors=(),
    chunk_count=1,
    media_type="text/plain",
    title=None,
)
FAILED = AttemptFailed(
    stage=Stage.PARSE, stages=(), error_class=ErrorClass.PERMANENT, error_code="parser_failed", message="no"
)
