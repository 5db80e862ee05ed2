"""Vector backends, all exact: `flat` is in memory, `qdrant_edge` on disk, `qdrant` on a server."""
