"""The vectors of chunks as vector indexes take them in and account for them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from projections.index.backend import IndexedChunk, refused_chunk


def checked_rows(chunks: Sequence[IndexedChunk], dim: int) -> NDArray[np.float32]:
    """The vectors of `chunks`, a row each, little-endian.

    Raises:
        PoisonError: a chunk has no vector of `dim` finite numbers.
    """
    rows = np.empty((len(chunks), dim), "<f4")
    for row, chunk in zip(rows, chunks, strict=True):
        if chunk.vector is None or chunk.vector.shape != (dim,):
            raise refused_chunk(chunk, f"has no vector of length {dim}")
        row[:] = chunk.vector
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise refused_chunk(chunks[int(np.argmin(finite))], "has a vector with numbers that are not finite")
    return rows


def vector_digest(row: NDArray[np.float32]) -> str:
    """SHA-256 of a row of little-endian float32, in hex."""
    return sha256(row.tobytes()).hexdigest()
