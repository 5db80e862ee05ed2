"""The projection of the keyword index: every chunk of every live document, by its words."""

from __future__ import annotations

from collections.abc import Sequence

from projections.index.changes import INDEX_TOPICS, IndexChange, IndexSpec, index_changes
from streams.log import Recorded

KEYWORD = "keyword"
"""The index's name, in the log, in positions and on the command line."""

MAPPING = "words"
"""How texts become entries: Unicode words, lower-cased, ASCII-folded, not stemmed."""


class KeywordIndex:
    """Tells the keyword index what to serve."""

    name = KEYWORD
    version = 1
    topics: Sequence[str] = INDEX_TOPICS
    spec = IndexSpec(name=KEYWORD, mapping=MAPPING)

    def changes(self, recorded: Recorded) -> Sequence[IndexChange]:
        """What `recorded` means for the keyword index."""
        return index_changes(recorded, self.spec)
