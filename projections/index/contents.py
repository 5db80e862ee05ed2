"""A version's chunks as an index takes them in, loaded from its artifacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from projections.index.backend import IndexedChunk, Vector
from projections.index.changes import ServeVersion
from projections.index.chunk_ids import packed_ids_of, unpack
from projections.index.vectors import vector_digest
from schemas.errors import PoisonError
from schemas.events import ArtifactRef
from streams.artifacts import ArtifactStore
from streams.stages.contents import decode_chunks, decode_vectors

SLICE_BYTES = 8 * 1024 * 1024
"""Artifact bytes loaded together; a few times as much in memory once decoded."""

SLICE_DOCUMENTS = 64
"""Documents loaded together: enough to read small artifacts in one go."""


class ContentsMismatch(PoisonError):  # noqa: N818 - a state, as in the error tree
    """A version's artifacts are not what its event says: another number of chunks, or another length of vectors."""


def slices(versions: Sequence[ServeVersion]) -> Iterator[Sequence[ServeVersion]]:
    """`versions` in runs whose artifacts may be held in memory together; a larger one stands alone."""
    run: list[ServeVersion] = []
    size_bytes = 0
    for version in versions:
        more = sum(ref.size_bytes for ref in _refs(version))
        if run and (size_bytes + more > SLICE_BYTES or len(run) >= SLICE_DOCUMENTS):
            yield run
            run, size_bytes = [], 0
        run.append(version)
        size_bytes += more
    if run:
        yield run


def load_blobs(versions: Sequence[ServeVersion], artifacts: ArtifactStore) -> Mapping[str, bytes]:
    """The artifacts of `versions` by sha256; those that cannot be read are left out."""
    refs = [ref for version in versions for ref in _refs(version)]
    try:
        return artifacts.get_many(refs)
    except PoisonError:
        return {ref.sha256: blob for ref in refs if (blob := _readable(ref, artifacts)) is not None}


def indexed_chunks(
    version: ServeVersion, blobs: Mapping[str, bytes], artifacts: ArtifactStore, *, dim: int | None
) -> list[IndexedChunk]:
    """The chunks of `version`, with vectors of length `dim`, or without where that is None.

    Raises:
        PoisonError: an artifact is missing, damaged, unreadable or not what the event says.
    """
    if not version.chunk_count:
        return []
    chunks = decode_chunks(_blob(version, version.chunks, blobs, artifacts))
    if [chunk.ordinal for chunk in chunks] != list(range(version.chunk_count)):
        raise _mismatch(version, f"{len(chunks)} chunks instead of {version.chunk_count}, or others than it should")
    vectors = _vectors(version, blobs, artifacts, dim=dim) if dim is not None else [None] * len(chunks)
    chunk_ids = unpack(packed_ids_of(version.document_id, version.version, version.chunk_count))
    return [
        IndexedChunk(
            chunk_id=chunk_ids[chunk.ordinal],
            document_id=version.document_id,
            version=version.version,
            ordinal=chunk.ordinal,
            text=chunk.text,
            text_hash=chunk.text_hash,
            attributes=version.attributes,
            vector=vectors[chunk.ordinal],
        )
        for chunk in chunks
    ]


def digest_of(chunk: IndexedChunk) -> str:
    """What an index must say it holds for `chunk`: see `IndexEntry.digest`."""
    return chunk.text_hash if chunk.vector is None else vector_digest(chunk.vector)


def _refs(version: ServeVersion) -> list[ArtifactRef]:
    if not version.chunk_count:
        return []
    vectors = version.vectors.ref if version.vectors else None
    return [ref for ref in (version.chunks, vectors) if ref is not None]


def _readable(ref: ArtifactRef, artifacts: ArtifactStore) -> bytes | None:
    try:
        return artifacts.get(ref)
    except PoisonError:
        return None


def _blob(
    version: ServeVersion, ref: ArtifactRef | None, blobs: Mapping[str, bytes], artifacts: ArtifactStore
) -> bytes:
    if ref is None:
        raise _mismatch(version, "no artifact")
    loaded = blobs.get(ref.sha256)
    return artifacts.get(ref) if loaded is None else loaded  # again, for the error that says why it is not there


def _vectors(
    version: ServeVersion, blobs: Mapping[str, bytes], artifacts: ArtifactStore, *, dim: int
) -> Sequence[Vector]:
    if version.vectors is None:
        raise _mismatch(version, "no vectors")
    if version.vectors.dim != dim:
        raise _mismatch(version, f"vectors of length {version.vectors.dim} instead of {dim}")
    vectors = decode_vectors(_blob(version, version.vectors.ref, blobs, artifacts), dim)
    if len(vectors) != version.chunk_count:
        raise _mismatch(version, f"{len(vectors)} vectors instead of {version.chunk_count}")
    return list(vectors)


def _mismatch(version: ServeVersion, what: str) -> ContentsMismatch:
    return ContentsMismatch(
        f"version {version.version} of {version.attributes.uri} has {what}",
        op="load contents",
        subject=version.document_id,
        hint=f"ingest it again: refold ingest {version.attributes.uri} --force",
    )
