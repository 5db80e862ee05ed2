"""Vector backends: `flat` is exact and in memory, `qdrant_edge` is exact and on disk."""
