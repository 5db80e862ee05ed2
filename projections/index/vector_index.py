"""The projection of the vector index: every chunk of every live document, by its vector."""

from __future__ import annotations

from collections.abc import Sequence

from projections.index.changes import INDEX_TOPICS, IndexChange, IndexSpec, index_changes
from streams.log import Recorded

VECTOR = "vector"
"""The index's name, in the log, in positions and on the command line."""

MAPPING = "cosine"
"""How texts become entries, besides by the embedder: unit vectors compared by their dot product."""


class VectorIndex:
    """Tells the vector index what to serve, with the vectors of one embedder.

    A VectorsAdded means nothing to it: versions without this embedder's vectors stay awaiting until the next version.
    """

    name = VECTOR
    version = 1
    topics: Sequence[str] = INDEX_TOPICS

    def __init__(self, *, embedder: str, dim: int) -> None:
        self.spec = IndexSpec(name=VECTOR, mapping=MAPPING, embedder=embedder, dim=dim)

    def changes(self, recorded: Recorded) -> Sequence[IndexChange]:
        """What `recorded` means for the vector index."""
        return index_changes(recorded, self.spec)
