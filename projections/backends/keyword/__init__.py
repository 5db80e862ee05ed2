"""Keyword backends: `memory` is the reference, `tantivy` is on disk, `opensearch` on a server."""
