"""The vector index in Qdrant, embedded or as a server."""
